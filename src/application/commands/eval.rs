//! `mlp eval`.

mod report;

use std::path::PathBuf;

use serde::Serialize;

use self::report::Evaluated;
use super::{Answer, Context};
use crate::application::answering::{Followed, Through};
use crate::application::chosen;
use crate::application::elsewhere::{Place, Wishes, known, list};
use crate::application::following::{RunReport, workspace};
use crate::application::ui::{Report, Ui};
use crate::base::{Digest, Evaluation, Exit, Failure, JobState, Level, Name, Record, Run, Sink};
use crate::infrastructure::compute::Wants;
use crate::infrastructure::durable;
use crate::platform::data::Format;
use crate::platform::project::{Project, ProjectError};
use crate::platform::run::{self, Question, RunError};
use crate::platform::train::Corruption;

/// The parts of data.
const PARTS: [&str; 3] = ["train", "val", "test"];

/// Evaluates a model: metrics with 95 % bounds, per class and per slice, confusion matrix, calibration.
///
/// Every prediction is kept as evidence. MODEL@VERSION and MODEL@STAGE evaluate a registered version; MODEL alone the model's newest finished run, and its
/// newest version where there is no run. An evaluation that was already made of the same bytes is shown again.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model; may be left out where the project has only one.
    #[arg(value_name = "MODEL[@REF]")]
    reference: Option<String>,
    /// Evaluate the model of this run instead: the beginning of its identifier, or `latest`.
    #[arg(long, conflicts_with = "reference")]
    run: Option<String>,
    /// The part of the data.
    #[arg(long, default_value = "test", value_parser = PARTS)]
    part: String,
    /// Also judges it on corrupted inputs: with the corruptions that `evaluate` of the model names, or all that its data can
    /// have.
    #[arg(long)]
    corruptions: bool,
    /// Draws the confusion matrix and the reliability curve into this file (SVG).
    #[arg(long, value_name = "FILE.svg", value_hint = clap::ValueHint::FilePath, value_parser = svg)]
    plot: Option<PathBuf>,
    /// Evaluate even if the same evaluation was already made.
    #[arg(long)]
    force: bool,
    /// Evaluates on this host (`mlp host ls`). Of several (`a,b`), or `any`, on the one that is free first.
    #[arg(long, value_name = "HOST")]
    on: Option<String>,
    /// Leaves it running on the host; the same command without it brings the answer.
    #[arg(short, long, requires = "on")]
    detach: bool,
    /// Threads that computations use; the result does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Says what would be evaluated, and whether it was done before.
    #[arg(long)]
    dry_run: bool,
}

/// A picture is SVG, whatever it is called: a name that says something else would mislead whoever opens it.
fn svg(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension() {
        Some(extension) if !extension.eq_ignore_ascii_case("svg") => {
            Err(format!("pictures are drawn as SVG: write `{}`", path.with_extension("svg").display()))
        }
        _ => Ok(path),
    }
}

/// What is evaluated.
struct Target {
    model: Name,
    tree: Digest,
    /// For people: `digits@3`, `digits (run 01j…)`.
    label: String,
}

/// What would be evaluated.
#[derive(Serialize)]
struct DryRun {
    model: String,
    files: Digest,
    data: Name,
    version: Digest,
    part: String,
    /// The evaluation that was already made.
    done: Option<Digest>,
}

impl Report for DryRun {
    fn schema(&self) -> &'static str {
        "mlp/eval-plan/1"
    }

    fn human(&self) -> String {
        let done = match self.done {
            Some(id) => format!("evaluated before: b3:{}", id.short()),
            None => "not evaluated yet".to_owned(),
        };
        format!(
            "{}  b3:{}\n  {} of {} b3:{}\n  {done}\n",
            self.model,
            self.files.short(),
            self.part,
            self.data,
            self.version.short()
        )
    }
}

/// The run on a host that has no answer: it goes on, or did not end well.
#[derive(Serialize)]
struct Unanswered {
    model: String,
    run: RunReport,
}

impl Report for Unanswered {
    fn schema(&self) -> &'static str {
        "mlp/eval-run/1"
    }

    fn human(&self) -> String {
        self.run.human()
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let (project, ui) = (context.project()?, &context.ui);
    if let Some(on) = &args.on {
        known(&project, on).map_err(|failure| meant_part(on, failure))?;
    }
    let target = target(&project, &args)?;
    let question = question(&project, &target, &args, ui)?;
    let found = match args.force {
        true => None,
        false => run::find_evaluation(&project.store, &question)?,
    };
    if args.dry_run {
        ui.report(&DryRun {
            model: target.label,
            files: question.model,
            data: question.dataset.name,
            version: question.tree,
            part: question.part,
            done: found.map(|(id, _)| id),
        });
        return Ok(Exit::Ok);
    }
    let reused = found.is_some();
    let (evaluation, record) = match found {
        Some(found) => {
            ui.log(Level::Info, "this evaluation was already made; `--force` makes it again");
            found
        }
        None if args.on.is_some() => match elsewhere(&project, &target, &question, &args, ui)? {
            Ok(answer) => answer,
            Err(exit) => return Ok(exit),
        },
        None => run::evaluate(&project.store, &project.repo.author(), &question, ui)?,
    };
    let metrics = question.spec.evaluate.metrics;
    for name in metrics.iter().filter(|name| !record.body.metrics.contains_key(*name)) {
        let text =
            format!("`{name}`, which `evaluate.metrics` asks for, is not defined for these predictions");
        ui.log(Level::Warn, &text);
    }
    let pictures = draw(&project, &target, &record.body, args.plot, ui)?;
    let label = target.label;
    ui.report(&Evaluated { label, evaluation, reused, body: record.body, pictures, metrics });
    Ok(Exit::Ok)
}

fn question(project: &Project, target: &Target, args: &Args, ui: &Ui) -> Result<Question, Failure> {
    let mut spec = project.model(target.model.as_str())?.clone();
    let dataset = project.dataset(spec.data.as_str())?;
    if args.corruptions && spec.evaluate.corruptions.is_empty() {
        spec.evaluate.corruptions = match dataset.spec.format {
            Format::Csv | Format::Parquet => Corruption::OF_TABLES.to_vec(),
            Format::Text => Corruption::OF_TEXTS.to_vec(),
            _ => Corruption::OF_IMAGES.to_vec(),
        };
    }
    let tree = dataset.version(&project.cache(), &project.store, ui)?.id;
    Ok(Question { model: target.tree, spec, dataset, tree, part: args.part.clone() })
}

/// Has a host answer; the exit status where it has no answer yet, or none.
fn elsewhere(
    project: &Project,
    target: &Target,
    question: &Question,
    args: &Args,
    ui: &Ui,
) -> Result<Result<(Digest, Record<Evaluation>), Exit>, Failure> {
    let roots = vec![question.model, question.tree];
    let wants = Wants { trains: true, roots, ..Wants::default() };
    let place = Place::of(project, args.on.as_deref(), &wants, ui)?;
    let workspace = place.workspace(project);
    let planned = run::plan_evaluation(&workspace, &target.model, question)?;
    let listed = list(&workspace, ui)?;
    let author = project.repo.author();
    if !args.force
        && let Some(ended) = run::done(&listed, &planned.digest)
    {
        let text = format!("run {} evaluated it", run::short(ended.1.body.run));
        ui.log(Level::Info, &text);
        return Ok(Ok(run::answered(&project.store, &author, question, &ended)?));
    }
    let what = format!("evaluating {} on {} of {}", target.label, question.part, question.dataset.name);
    let wishes = Wishes { threads: args.threads.map(usize::from), ..Wishes::default() };
    let through = Through { place: &place, workspace: &workspace, wishes, detach: args.detach };
    match through.follow(&planned, &listed, &what, ui)? {
        Followed::Succeeded(ended) => Ok(Ok(run::answered(&project.store, &author, question, &ended)?)),
        Followed::Unanswered(run, exit) => {
            ui.report(&Unanswered { model: target.label.clone(), run: *run });
            Ok(Err(exit))
        }
    }
}

/// `--on test` is meant for a part of the data where no host is called so.
fn meant_part(on: &str, failure: Failure) -> Failure {
    if !PARTS.contains(&on) {
        return failure;
    }
    let hint = format!("the part of the data is `--part {on}`; `--on` names a host");
    ProjectError::UnknownHost { name: on.to_owned(), hint }.into()
}

/// Draws confusion matrix and reliability curve into the file that was asked for, and beside the runs that made these files, as far as their
/// folders are here; returns where.
fn draw(
    project: &Project,
    target: &Target,
    body: &Evaluation,
    asked: Option<PathBuf>,
    sink: &dyn Sink,
) -> Result<Vec<PathBuf>, Failure> {
    let title = format!("{} on {} of {}", target.model, body.part, body.data);
    let picture = run::picture::evaluation(&title, body.confusion.as_ref(), &body.calibration);
    let Some(picture) = picture else {
        if asked.is_some() {
            sink.log(Level::Warn, "only an evaluation of classes has something that could be drawn");
        }
        return Ok(Vec::new());
    };
    let made_it = |listed: &run::Listed| {
        let model = listed.record.as_ref().and_then(|(_, record)| record.body.outputs.get("model"));
        model == Some(&target.tree)
    };
    let listed = run::list(&workspace(project))?.into_iter().filter(made_it);
    let beside = listed.filter_map(|run| Some(run.folder?.0.join(format!("evaluation-{}.svg", body.part))));
    let write = |path: &PathBuf| durable::replace(path, picture.as_bytes());
    // The folder of a run is an extra: one that cannot be written to is no failure.
    let mut drawn: Vec<PathBuf> = beside.filter(|path| write(path).is_ok()).collect();
    if let Some(path) = asked {
        write(&path).map_err(RunError::io("write", &path))?;
        drawn.push(path);
    }
    Ok(drawn)
}

fn target(project: &Project, args: &Args) -> Result<Target, Failure> {
    let workspace = workspace(project);
    if let Some(text) = &args.run {
        let all = run::list(&workspace)?;
        let mut models = all.clone();
        models.retain(|listed| listed.task == "model");
        // One that is no model's is found to say so.
        let found = run::find(&models, text).or_else(|_| run::find(&all, text))?;
        return match found.record {
            Some((_, record)) => of_run(record.body),
            None => Err(RunError::Active { run: found.short(), state: found.state.to_string() }.into()),
        };
    }
    let reference = match &args.reference {
        Some(reference) => reference.clone(),
        None => only_model(project)?,
    };
    if !reference.contains('@') {
        project.model(&reference)?;
        let newest = run::list(&workspace)?.into_iter().find_map(|listed| {
            let run = listed.record?.1.body;
            let fits = run.name.as_str() == reference && run.end.state == JobState::Succeeded;
            (fits && run.outputs.contains_key("model")).then_some(run)
        });
        if let Some(newest) = newest {
            return of_run(newest);
        }
    }
    let chosen = chosen::choose(project, &reference)?;
    let label = format!("{}@{}", chosen.name, chosen.version.number);
    Ok(Target { model: chosen.name, tree: chosen.version.tree, label })
}

fn of_run(run: Run) -> Result<Target, Failure> {
    let tree = run.outputs.get("model").filter(|_| run.task == "model");
    let Some(tree) = tree else {
        let (reason, hint) = match run.task.as_str() {
            "model" if matches!(run.end.state, JobState::Cancelled | JobState::Lost) => (
                format!("it ended as {} before its last epoch", run.end.state),
                format!("`mlp runs resume {}` goes on with it", run::short(run.run)),
            ),
            "model" => (
                format!("it ended as {}", run.end.state),
                format!("`mlp runs logs {}` says why", run::short(run.run)),
            ),
            task => (
                format!("its task is `{task}`"),
                format!("`mlp train {0}` makes a model, `mlp eval {0}` evaluates the newest", run.name),
            ),
        };
        return Err(RunError::NoModel { run: run::short(run.run), reason, hint }.into());
    };
    Ok(Target { tree: *tree, label: format!("{} (run {})", run.name, run::short(run.run)), model: run.name })
}

fn only_model(project: &Project) -> Result<String, Failure> {
    let mut models = project.manifest.models.keys();
    match (models.next(), models.next()) {
        (Some(only), None) => Ok(only.to_string()),
        // Names that cannot exist: the error lists what does.
        _ => project.model("").map(|_| String::new()).map_err(Failure::from),
    }
}
