//! What can go wrong with runs.

use std::path::PathBuf;

use crate::base::{Diagnose, Digest, Exit, Explain, Label};
use crate::infrastructure::compute::JobError;
use crate::infrastructure::git::GitError;
use crate::infrastructure::store::StoreError;
use crate::platform::data::DataError;
use crate::platform::train::TrainError;

/// What can go wrong with runs.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A job.
    #[error(transparent)]
    Job(#[from] JobError),
    /// Git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A dataset.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Training or evaluation.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A file operation failed.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No run is called so.
    #[error("no run is called `{0}`")]
    Unknown(String),
    /// Several runs begin so.
    #[error("`{text}` may be {}", .candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Runs that begin so.
        candidates: Vec<String>,
    },
    /// `--set` does not fit the model.
    #[error("cannot set `{setting}`: {detail}")]
    Set {
        /// As given.
        setting: String,
        /// What is wrong.
        detail: String,
        /// The key that was most likely meant.
        nearest: Option<String>,
    },
    /// A sweep over something that is no space.
    #[error("cannot try `{axis}`: {detail}")]
    Space {
        /// As given.
        axis: String,
        /// What is wrong.
        detail: String,
    },
    /// A sweep that nobody would drive.
    #[error("only a queue goes on with a sweep that nobody follows")]
    Detached,
    /// The program that proposes settings.
    #[error("the optimiser `{command}`: {detail}")]
    Optimiser {
        /// The command line.
        command: String,
        /// What is wrong.
        detail: String,
    },
    /// Steps need each other.
    #[error("steps need each other in a circle: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
    /// Two steps make the same path.
    #[error("steps `{first}` and `{second}` both make `{path}`")]
    Overlap {
        /// One step.
        first: String,
        /// The other.
        second: String,
        /// The path.
        path: String,
    },
    /// No step or model is called so.
    #[error("no step or model is called `{name}`")]
    NoStep {
        /// What was asked for.
        name: String,
        /// The name that was most likely meant.
        nearest: Option<String>,
    },
    /// A path that leaves the project.
    #[error("path `{path}` of step `{step}` does not stay inside the project")]
    Outside {
        /// The step.
        step: String,
        /// The path as written.
        path: String,
    },
    /// What a training is to begin with is not there.
    #[error("cannot begin with `{from}`: {detail}")]
    Weights {
        /// As written, or the version that it stands for.
        from: String,
        /// Why not.
        detail: String,
        /// What to do.
        hint: String,
    },
    /// An input of a step is not there.
    #[error("step `{step}` reads `{path}`, which is not there")]
    MissingInput {
        /// The step.
        step: String,
        /// The path as written.
        path: String,
    },
    /// GPUs were asked for, and the build of mlp that would train drives none.
    #[error("GPUs were asked for, and the mlp {place} computes on the processor")]
    NoGpu {
        /// `here`, or the machine.
        place: String,
    },
    /// Several machines or processes of a step were asked for, and nothing is there that starts them.
    #[error("step `{name}` asks for several nodes or ranks, which need a Slurm cluster")]
    NoSlurm {
        /// The step.
        name: String,
    },
    /// A variable of a step is not what the run was planned with.
    #[error("the variable `{name}` is not what run {run} was planned with")]
    Variable {
        /// The variable.
        name: String,
        /// The run.
        run: String,
    },
    /// An input changed while it was read.
    #[error("`{path}` changed while it was read")]
    Moving {
        /// The path.
        path: String,
    },
    /// A step did not make what it declares.
    #[error("step `{step}` succeeded but did not make `{path}`")]
    MissingOutput {
        /// The step.
        step: String,
        /// The path as written.
        path: String,
    },
    /// The run kept no such file.
    #[error("run {run} kept no file `{path}`")]
    NoFile {
        /// The run.
        run: String,
        /// As asked for.
        path: String,
        /// The file that was most likely meant.
        nearest: Option<String>,
    },
    /// The run cannot go on.
    #[error("run {run} cannot be resumed: {reason}")]
    NotResumable {
        /// The run.
        run: String,
        /// Why.
        reason: String,
    },
    /// The run left no model of the project's.
    #[error("run {run} has no model: {reason}")]
    NoModel {
        /// The run.
        run: String,
        /// Why.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// What a run left is not put over something else.
    #[error("`{}` is there already", path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// The run of an evaluation left no answer to what was asked.
    #[error("run {run} does not answer: {detail}")]
    NoAnswer {
        /// The run.
        run: String,
        /// Why.
        detail: String,
    },
    /// The run cannot be done again.
    #[error("run {run} cannot be reproduced: {reason}")]
    NotReproducible {
        /// The run.
        run: String,
        /// Why.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// What a run used cannot be had.
    #[error("run {run} used `{name}` b3:{}, which is not here", .id.short())]
    Gone {
        /// The run.
        run: String,
        /// What the run calls it.
        name: String,
        /// Tree or file.
        id: Digest,
    },
    /// The run is under way.
    #[error("run {run} is {state}")]
    Active {
        /// The run.
        run: String,
        /// Its state.
        state: String,
    },
}

impl RunError {
    /// Wraps an I/O error: `.map_err(RunError::io("read", path))`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    fn inner(&self) -> Option<&dyn Diagnose> {
        match self {
            Self::Store(error) => Some(error),
            Self::Job(error) => Some(error),
            Self::Git(error) => Some(error),
            Self::Data(error) => Some(error),
            Self::Train(error) => Some(error),
            _ => None,
        }
    }
}

impl Diagnose for RunError {
    fn code(&self) -> &'static str {
        if let Some(inner) = self.inner() {
            return inner.code();
        }
        match self {
            Self::Unknown(_) => "run::unknown",
            Self::Ambiguous { .. } => "run::ambiguous",
            Self::Set { .. } => "run::set",
            Self::Space { .. } => "run::space",
            Self::Detached => "run::detached",
            Self::Optimiser { .. } => "run::optimiser",
            Self::Cycle(_) => "run::cycle",
            Self::Overlap { .. } => "run::overlap",
            Self::NoStep { .. } => "run::no-step",
            Self::Outside { .. } => "run::outside",
            Self::Weights { .. } => "run::weights",
            Self::MissingInput { .. } => "run::missing-input",
            Self::Moving { .. } => "run::moving",
            Self::Variable { .. } => "run::variable",
            Self::NoGpu { .. } => "run::no-gpu",
            Self::NoSlurm { .. } => "run::no-slurm",
            Self::MissingOutput { .. } => "run::missing-output",
            Self::NoFile { .. } => "run::no-file",
            Self::NotResumable { .. } => "run::not-resumable",
            Self::NoModel { .. } => "run::no-model",
            Self::Exists { .. } => "run::exists",
            Self::NoAnswer { .. } => "run::no-answer",
            Self::NotReproducible { .. } => "run::not-reproducible",
            Self::Gone { .. } => "run::gone",
            Self::Active { .. } => "run::active",
            _ => "run::io",
        }
    }

    fn exit(&self) -> Exit {
        if let Some(inner) = self.inner() {
            return inner.exit();
        }
        match self {
            Self::Io { .. } | Self::Gone { .. } | Self::NoAnswer { .. } => Exit::World,
            Self::MissingOutput { .. } => Exit::No,
            _ => Exit::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        if let Some(inner) = self.inner() {
            return inner.hint();
        }
        match self {
            Self::Unknown(_) => Some("`mlp runs ls` lists them; `latest` is the newest".into()),
            Self::Variable { .. } => {
                Some("set it as it was, or start a run of its own with `mlp run`".into())
            }
            Self::NoGpu { .. } => Some(
                "build mlp with `--features cuda`, for a host name it as `agent`; or leave `--gpus` out"
                    .into(),
            ),
            Self::NoSlurm { .. } => Some(
                "run it with `--on` a host that has `slurm:`, or let the program start its own processes"
                    .into(),
            ),
            Self::Ambiguous { .. } => Some("give more letters of the identifier".into()),
            Self::Set { nearest, .. } | Self::NoStep { nearest, .. } => {
                nearest.as_ref().map(|near| format!("did you mean `{near}`?"))
            }
            Self::NoFile { run, nearest, .. } => Some(match nearest {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("`mlp runs show {run}` lists its files"),
            }),
            Self::Space { .. } => Some(
                "`--over 'train.batch_size=[32, 64]'` names values, `--over 'train.optimizer.adamw.lr={log: [0.0001, 0.1]}'` a range".into(),
            ),
            Self::Detached => Some("leave `--detach` out; or name one host that has `slurm:` with `--on`".into()),
            Self::Optimiser { .. } => Some("`mlp explain run::optimiser` tells what it reads and writes".into()),
            Self::Cycle(_) => Some("take one path out of `in:` or `out:` of one of these steps".into()),
            Self::Overlap { .. } => Some("let each path be the `out:` of one step only".into()),
            Self::Outside { .. } => Some("give paths relative to `mlp.yaml`, without `..`".into()),
            Self::Weights { hint, .. } => Some(hint.clone()),
            Self::MissingInput { .. } => Some(
                "make it, or name the step that makes it by giving that step this path under `out:`".into(),
            ),
            Self::MissingOutput { .. } => Some("mend the program, or take the path out of `out:`".into()),
            Self::NotResumable { .. } => Some("start it anew with `mlp train` or `mlp run --force`".into()),
            Self::Exists { .. } => Some("name a folder that is not there yet".into()),
            Self::NoAnswer { run, .. } => {
                Some(format!("`mlp runs logs {run}` tells what it said; `--force` evaluates again"))
            }
            Self::NoModel { hint, .. } | Self::NotReproducible { hint, .. } => Some(hint.clone()),
            Self::Gone { .. } => {
                Some("a store or a clone that has it must push it first: `mlp data push`".into())
            }
            Self::Active { run, .. } => Some(format!(
                "wait for it with `mlp runs attach {run}` or stop it with `mlp runs cancel {run}`"
            )),
            _ => None,
        }
    }

    fn label(&self) -> Option<Label> {
        self.inner().and_then(Diagnose::label)
    }
}

/// The codes of this module.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "run::io",
        text: "A file of a run could not be read or written. The message names the file and what the system said: \
               most often a full disk or missing permission.",
    },
    Explain {
        code: "run::unknown",
        text: "No run of this project has an identifier that begins with the given letters. `mlp runs ls` lists all \
               runs; `latest` is the newest.",
    },
    Explain {
        code: "run::ambiguous",
        text: "More than one run begins with the given letters. Give more of them.",
    },
    Explain {
        code: "run::set",
        text: "`--set PATH=VALUE` names a setting of the model as it stands in `mlp.yaml`, such as `train.epochs=3`, \
               `train.optimizer={sgd: {lr: 0.1}}` or `network.0.conv2d.out=16` (list positions count from 0). The key \
               must exist in the model's schema and the value must have its type.",
    },
    Explain {
        code: "run::space",
        text: "`mlp sweep --over PATH=VALUES` names a setting as `--set` does, and what is tried of it: a list (`[32, 64]`), or a \
               range that is drawn from evenly (`{uniform: [0, 0.5]}`) or evenly in its logarithms (`{log: [0.0001, 0.1]}`). A range \
               whose ends are integers gives integers. A grid takes lists only.",
    },
    Explain {
        code: "run::detached",
        text: "On a Slurm cluster all trials of a grid, or of a number of combinations, go into the queue at once, and `mlp sweep --detach` \
               may leave them there. Everywhere else the command itself begins one trial after the other: it must go on. Ended, it is \
               taken up by the same command.",
    },
    Explain {
        code: "run::optimiser",
        text: "The program behind `mlp sweep --ask` reads one line of JSON after the other. To `{\"ask\":{\"trial\":1}}` it answers with \
               a line `{\"set\":{\"train.optimizer.adamw.lr\":0.01}}`, or `{\"done\":true}` if it has nothing more to try. Of each end it \
               is told: `{\"tell\":{\"trial\":1,\"state\":\"done\",\"value\":0.98}}`, which wants no answer. If it added \
               `\"reports\":true` to its answer, it also hears of each epoch, \
               `{\"report\":{\"trial\":1,\"epoch\":2,\"value\":0.93}}`, and answers `{}` or `{\"stop\":true}`. Its output must \
               not be held back: flush it after each line.",
    },
    Explain {
        code: "run::cycle",
        text: "Each step must be able to run after the steps that make what it reads. These steps read what others of \
               them make, so that none can be first.",
    },
    Explain {
        code: "run::overlap",
        text: "Two steps declare the same path, or one path inside the other, as their output. Which of them made it \
               could not be told.",
    },
    Explain { code: "run::no-step", text: "`mlp run` takes names of `steps:` and `models:` in `mlp.yaml`." },
    Explain {
        code: "run::outside",
        text: "Inputs and outputs of steps are relative to the folder of `mlp.yaml` and stay inside it: no absolute \
               path and no `..`.",
    },
    Explain {
        code: "run::weights",
        text: "`train.init.from` names what a training begins with: a registered version of a model of this project \
               (`digits@3`, `digits@production`, `digits` for the newest), or a file that ends in `.safetensors` and lies in \
               the project. The content belongs to the plan of the run, so that it must be here before the run is planned. \
               Files that git does not keep reach other clones as data: `mlp data add`, `mlp data push`, and there \
               `mlp data pull`.",
    },
    Explain {
        code: "run::missing-input",
        text: "A declared input of the step does not exist and no other step makes it.",
    },
    Explain {
        code: "run::no-gpu",
        text: "The training was to have GPUs, and the build of mlp that would do it computes on the processor only. It would \
               have held the cards without using them.",
    },
    Explain {
        code: "run::no-slurm",
        text: "`resources: {nodes: 2, ranks_per_node: 4}` of a step lets Slurm's `srun` start its command several times, on several machines. Here \
               and on a host without `slurm:` there is nothing that would.",
    },
    Explain {
        code: "run::variable",
        text: "A step's variables (`env:`) belong to what it depends on. Resumed with another value, its result would be taken for that of the first. \
               The values are kept nowhere, so that they must be set again.",
    },
    Explain {
        code: "run::moving",
        text: "An input was planned with one content and had another when it was stored for its way to a host: something writes there. \
               Nothing was started.",
    },
    Explain {
        code: "run::missing-output",
        text: "The program ended with exit code 0 but a path under `out:` is not there. The run is recorded as it is; \
               nothing that depends on the path is started.",
    },
    Explain {
        code: "run::no-file",
        text: "`mlp runs show RUN --file PATH` prints a file that the program wrote below `$MLP_OUT`; the path is \
               relative to that folder. `mlp runs show RUN` lists them. What a step makes under `out:` is no such \
               file: it lies in the project.",
    },
    Explain {
        code: "run::not-resumable",
        text: "Only a run that has ended without success and whose job folder still exists can go on from its last \
               checkpoint.",
    },
    Explain {
        code: "run::no-model",
        text: "The run was named for its model, and it left none: it did not succeed, or it is the run of a step, of a fold of a \
               cross-validation (which tells how well such a model does, and is thrown away), or one that trained a model again \
               to see whether it comes out the same. `mlp runs ls` lists all runs.",
    },
    Explain {
        code: "run::exists",
        text: "`mlp runs fetch --to` makes the folder that it is given and puts nothing over what is there. Name another, or remove it.",
    },
    Explain {
        code: "run::no-answer",
        text: "`mlp eval --on` left a run on a host that ended well, but what it left is no evaluation of the model, data and part \
               that were asked for. Nothing of it counts. The log of the run tells what the host said.",
    },
    Explain {
        code: "run::not-reproducible",
        text: "`mlp reproduce` trains again what the record of a training says: model, data, seed and what it began with. Steps \
               have programs of their own and are run again by `mlp run --force`; a training that failed, and that of a fold, \
               left no model to be held against.",
    },
    Explain {
        code: "run::gone",
        text: "The record of the run names data, or weights it began with, that are neither in the work tree nor in the local store nor \
               in the project's first store. Without them the training cannot be done again. Somebody who has them can push \
               them.",
    },
    Explain {
        code: "run::active",
        text: "The run has not ended yet, so that it can neither be resumed nor removed.",
    },
];
