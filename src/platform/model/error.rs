//! What can go wrong with models, stages and gates.

use crate::base::{Diagnose, Digest, Exit, Name};
use crate::infrastructure::keys::KeyError;
use crate::infrastructure::store::StoreError;

mod explain;

pub use explain::EXPLAIN;

/// What can go wrong with models, stages and gates.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A text that names no model version.
    #[error("`{text}` does not name a model version: {why}")]
    Reference {
        /// The text.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// The model has no such version.
    #[error("`{model}` has no version {number}")]
    NoVersion {
        /// The model.
        model: Name,
        /// The number asked for.
        number: u64,
        /// The newest number; 0 without any.
        newest: u64,
    },
    /// Nothing is registered.
    #[error("no version of `{model}` is registered")]
    NothingRegistered {
        /// The model.
        model: Name,
    },
    /// Nothing is live in a stage.
    #[error("nothing of `{model}` is live in `{stage}`")]
    NothingLive {
        /// The model.
        model: Name,
        /// The stage.
        stage: Name,
        /// A stage that is close to it.
        near: Option<String>,
        /// The stages that hold something.
        live: Vec<String>,
    },
    /// A stage that the project does not have.
    #[error("unknown stage `{stage}`")]
    UnknownStage {
        /// The stage.
        stage: String,
        /// A stage that is close to it.
        near: Option<String>,
        /// The stages there are, in order.
        known: Vec<String>,
    },
    /// A gate that no stage has.
    #[error("unknown gate `{gate}`")]
    UnknownGate {
        /// The gate.
        gate: String,
        /// A gate that is close to it.
        near: Option<String>,
        /// The gates there are.
        known: Vec<String>,
    },
    /// No model was named, and there is not just one.
    #[error("which model?")]
    WhichModel {
        /// The models there are.
        known: Vec<String>,
    },
    /// A text that is no time.
    #[error("`{text}` is not a time")]
    Time {
        /// The text.
        text: String,
    },
    /// There is no earlier version to go back to.
    #[error("nothing was live in `{stage}` of `{model}` before version {number}")]
    NothingBefore {
        /// The model.
        model: Name,
        /// The stage.
        stage: Name,
        /// What is live now.
        number: u64,
    },
    /// No finished run to register.
    #[error("no finished run of `{model}` that made a model")]
    NoRun {
        /// The model.
        model: Name,
    },
    /// A run that made no model.
    #[error("run `{run}` cannot be registered: {why}")]
    UnfitRun {
        /// The run.
        run: String,
        /// Why.
        why: String,
    },
    /// A ledger that makes no sense.
    #[error("entry {seq} of the ledger of `{model}` is wrong: {why}")]
    Ledger {
        /// The model.
        model: Name,
        /// The entry's number.
        seq: u64,
        /// What is wrong.
        why: String,
    },
    /// A signature in a ledger is missing or does not hold.
    #[error("entry {seq} of the ledger of `{model}` ({what}) is not trusted: {why}")]
    Untrusted {
        /// The model.
        model: Name,
        /// The entry's number.
        seq: u64,
        /// What the entry does: `promote by max`.
        what: String,
        /// Why.
        why: String,
    },
    /// The entry that a stage rests on is not signed.
    #[error(
        "version {number} of `{model}` came into `{stage}` without a signature, and the project has signers"
    )]
    Unsigned {
        /// The model.
        model: Name,
        /// The stage.
        stage: Name,
        /// The version.
        number: u64,
    },
    /// Something must be signed, and the project has no signers.
    #[error("the project has no signers: `{signers}` names nobody")]
    NoSigners {
        /// Where the signers would stand.
        signers: String,
    },
    /// The key in use is not a signer of the project.
    #[error("the key `{key}` belongs to no signer of the project: {why}")]
    NotASigner {
        /// The key.
        key: String,
        /// What `ssh-keygen` said.
        why: String,
        /// Where the signers stand: `.mlp/allowed_signers on main`.
        signers: String,
    },
    /// A principal that the signers' file does not name.
    #[error("`{principal}` is no signer of the project")]
    UnknownSigner {
        /// The principal.
        principal: String,
        /// Those that are named.
        known: Vec<String>,
    },
    /// A statement that was to be signed elsewhere is not the one that is meant.
    #[error("the statement `{path}` cannot be used: {why}")]
    Statement {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// A version that cannot be mirrored into git tags.
    #[error("version {number} of `{model}` cannot be tagged: {why}")]
    Tag {
        /// The model.
        model: Name,
        /// The version.
        number: u64,
        /// Why.
        why: String,
    },
    /// Something in a folder or tree of a model that no model has.
    #[error("`{path}` does not belong to a model: {why}")]
    Files {
        /// The path.
        path: String,
        /// Why.
        why: String,
    },
    /// What is named as a folder is none.
    #[error("`{path}` is no folder: {why}")]
    NoFolder {
        /// The path.
        path: String,
        /// What it is.
        why: &'static str,
    },
    /// Others wrote to the ledger again and again.
    #[error("others changed the ledger of `{model}` while this command worked (tried {tries} times)")]
    Contended {
        /// The model.
        model: Name,
        /// How often it was tried.
        tries: u32,
    },
    /// Evidence in the store is not what it should be.
    #[error("evidence `{id}` is not usable: {why}")]
    Evidence {
        /// The record or blob.
        id: Digest,
        /// Why.
        why: String,
    },
    /// A version that no promotion judged.
    #[error("{model}@{number} was never promoted: no verdict about it is recorded")]
    NothingJudged {
        /// The model.
        model: Name,
        /// The version.
        number: u64,
    },
    /// A server that was started for a moment did not do what it should.
    #[error("the rehearsal failed: {what}")]
    Rehearsal {
        /// What was not as it should be.
        what: String,
        /// The end of what the server said.
        said: String,
    },
    /// A rollback to a version of somebody's choice.
    #[error(
        "a rollback goes back by one promotion, to what was live before, and takes no version: `{model}@{rest}`"
    )]
    RollbackTo {
        /// The model.
        model: String,
        /// What follows the `@`.
        rest: String,
    },
    /// A day that a waiver cannot last until.
    #[error(
        "a waiver cannot last until `{text}`: {}",
        if super::end_of_day(text).is_some() { "that day is over" } else { "it is no day of the form 2026-12-31" }
    )]
    Until {
        /// The text.
        text: String,
    },
    /// Somebody would suspend a gate for a version that they made.
    #[error("{principal} made this version, and so cannot waive `{gate}` for it")]
    OwnWaiver {
        /// The signer.
        principal: String,
        /// The gate.
        gate: Name,
    },
    /// Somebody would approve a version that they made.
    #[error("{principal} made this version, and so their approval does not count")]
    OwnApproval {
        /// The signer.
        principal: String,
    },
    /// Somebody would approve whose approval no gate asks for.
    #[error("{principal} has no role whose approval the gates up to {stage} ask for")]
    NoRole {
        /// The signer.
        principal: String,
        /// The stage.
        stage: Name,
        /// The roles that gates ask for.
        roles: Vec<String>,
    },
    /// Whoever made a version must not decide about it, and it cannot be told who that was.
    #[error("who made {model}@{number} cannot be told: {what}")]
    UnknownAuthors {
        /// The model.
        model: Name,
        /// The version.
        number: u64,
        /// What is not here.
        what: String,
        /// The command that may bring it.
        next: &'static str,
    },
    /// Somebody would suspend a gate that asks for the signatures of others.
    #[error("the gate `{gate}` of {stage} asks for approvals, which one signature cannot waive")]
    Approvals {
        /// Its stage.
        stage: Name,
        /// The gate.
        gate: Name,
    },
    /// A gate that several stages have.
    #[error("several stages have a gate `{gate}`")]
    WhichStage {
        /// The gate.
        gate: Name,
        /// The stages.
        stages: Vec<String>,
    },
    /// A golden file that holds no requests and answers.
    #[error("`{path}` is no golden file: {why}")]
    Golden {
        /// Its path.
        path: String,
        /// Why.
        why: String,
    },
    /// A `command` gate could not be started.
    #[error("cannot run the command of gate `{gate}`: {why}")]
    Command {
        /// The gate.
        gate: Name,
        /// What the system said.
        why: String,
    },
    /// Keys and signatures.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Diagnose for ModelError {
    fn code(&self) -> &'static str {
        match self {
            Self::Reference { .. } => "model::reference",
            Self::NoVersion { .. } => "model::no-version",
            Self::NothingRegistered { .. } => "model::nothing-registered",
            Self::NothingLive { .. } => "model::nothing-live",
            Self::UnknownStage { .. } => "model::unknown-stage",
            Self::UnknownGate { .. } => "model::unknown-gate",
            Self::WhichModel { .. } => "model::which-model",
            Self::Time { .. } => "model::time",
            Self::NothingBefore { .. } => "model::nothing-before",
            Self::NoRun { .. } => "model::no-run",
            Self::UnfitRun { .. } => "model::unfit-run",
            Self::Ledger { .. } => "model::ledger",
            Self::Untrusted { .. } => "model::untrusted",
            Self::Unsigned { .. } => "model::unsigned",
            Self::NoSigners { .. } => "model::no-signers",
            Self::NotASigner { .. } => "model::not-a-signer",
            Self::UnknownSigner { .. } => "model::unknown-signer",
            Self::Statement { .. } => "model::statement",
            Self::Tag { .. } => "model::tag",
            Self::Files { .. } => "model::files",
            Self::NoFolder { .. } => "model::no-folder",
            Self::Contended { .. } => "model::contended",
            Self::Evidence { .. } => "model::evidence",
            Self::NothingJudged { .. } => "model::nothing-judged",
            Self::Rehearsal { .. } => "model::rehearsal",
            Self::RollbackTo { .. } => "model::rollback-to",
            Self::Until { .. } => "model::until",
            Self::OwnWaiver { .. } => "model::own-waiver",
            Self::UnknownAuthors { .. } => "model::unknown-authors",
            Self::OwnApproval { .. } => "model::own-approval",
            Self::NoRole { .. } => "model::no-role",
            Self::Approvals { .. } => "model::approvals",
            Self::WhichStage { .. } => "model::which-stage",
            Self::Golden { .. } => "model::golden",
            Self::Command { .. } => "model::command",
            Self::Key(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Ledger { .. }
            | Self::Untrusted { .. }
            | Self::Unsigned { .. }
            | Self::Statement { .. }
            | Self::Files { .. }
            | Self::Evidence { .. } => Exit::No,
            Self::Rehearsal { .. } | Self::OwnWaiver { .. } | Self::OwnApproval { .. } => Exit::No,
            Self::UnknownAuthors { .. } | Self::NoRole { .. } => Exit::No,
            Self::Contended { .. } | Self::Command { .. } => Exit::World,
            Self::Key(error) => error.exit(),
            Self::Store(error) => error.exit(),
            _ => Exit::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        let stage_list = |near: &Option<String>, list: &[String], words: &str| match (near, list.join(", ")) {
            (Some(near), list) => format!("did you mean `{near}`? {words}: {list}"),
            (None, list) if list.is_empty() => {
                "`mlp status` shows what blocks the first promotion (`mlp promote MODEL --to STAGE`)"
                    .to_owned()
            }
            (None, list) => format!("{words}: {list}"),
        };
        Some(match self {
            Self::Reference { .. } => "write `digits`, `digits@7` or `digits@production`".to_owned(),
            Self::NoVersion { model, newest: 0, .. } | Self::NothingRegistered { model } => {
                format!("train and register one: mlp train {model}; mlp model register {model}")
            }
            Self::NoVersion { model, newest, .. } => {
                format!("versions go from 1 to {newest}; `mlp model show {model}` lists them")
            }
            Self::NothingLive { model, stage, near: None, live } if !live.is_empty() => {
                format!(
                    "promote a version: mlp promote {model} --to {stage}; live now in: {}",
                    live.join(", ")
                )
            }
            Self::NothingLive { near, live, .. } => stage_list(near, live, "live now in"),
            Self::UnknownStage { near, known, .. } => stage_list(near, known, "stages"),
            Self::UnknownGate { near, known, .. } => stage_list(near, known, "gates"),
            Self::WhichModel { known } if known.is_empty() => "`mlp.yaml` has no model yet".to_owned(),
            Self::WhichModel { known } => format!("name one of: {}", known.join(", ")),
            Self::Time { .. } => {
                "write 2026-05-03T12:00:00Z, or 2026-05-03 for the end of that day".to_owned()
            }
            Self::NothingBefore { model, stage, .. } => {
                format!("promote another version: mlp promote {model}@N --to {stage}")
            }
            Self::NoRun { model } => format!("train one: mlp train {model}"),
            Self::UnfitRun { .. } => "`mlp runs ls` lists the runs".to_owned(),
            Self::Ledger { model, .. } => {
                format!(
                    "nothing is derived from it; compare it with another copy, `mlp explain model::ledger` ({model})"
                )
            }
            Self::Untrusted { .. } => "`mlp explain model::untrusted` tells how this can happen".to_owned(),
            Self::Unsigned { model, stage, number } => {
                format!("promote it again, signed: mlp promote {model}@{number} --to {stage}")
            }
            Self::NoSigners { signers } => {
                format!(
                    "write `EMAIL PUBLIC-KEY` lines into {signers} and commit: `mlp explain model::no-signers`"
                )
            }
            Self::NotASigner { signers, .. } => {
                format!("choose a key with `--key`, or have it added to {signers}")
            }
            Self::UnknownSigner { known, .. } => format!("signers: {}", known.join(", ")),
            Self::Statement { .. } => {
                "write it again with `--statement FILE`, and have that signed".to_owned()
            }
            Self::Files { .. } => "put the file itself there".to_owned(),
            Self::NoFolder { .. } => {
                "name the folder with the model's files, or a version: `digits@7`".to_owned()
            }
            Self::Tag { .. } => "leave `--tag` out".to_owned(),
            Self::Contended { .. } => "run the command again".to_owned(),
            Self::Evidence { .. } => "make the evidence again, or restore the store".to_owned(),
            Self::NothingJudged { model, number } => format!("judge it now: mlp gate check {model}@{number}"),
            Self::Rehearsal { said, .. } if said.is_empty() => "try `mlp serve MODEL@N --port 0`".to_owned(),
            Self::Rehearsal { said, .. } => format!("the server said: {said}"),
            Self::RollbackTo { model, rest } => match rest.parse::<u64>() {
                Ok(_) => format!(
                    "`mlp rollback {model} --stage STAGE` puts back what was live there before; `mlp promote {model}@{rest} --to STAGE` makes this version live"
                ),
                Err(_) => format!("name the stage apart: `mlp rollback {model} --stage {rest}`"),
            },
            Self::Until { .. } => "write a day that is not over, in UTC: --until 2026-12-31".to_owned(),
            Self::OwnApproval { .. } => "ask another signer of the project to approve it".to_owned(),
            Self::NoRole { roles, .. } => {
                format!("ask somebody who has one of the roles: {} (project: {{roles: …}})", roles.join(", "))
            }
            Self::UnknownAuthors { next, .. } => format!("fetch it: {next}"),
            Self::OwnWaiver { .. } => "ask another signer of the project to run it".to_owned(),
            Self::Approvals { .. } => {
                "have it approved (`mlp approve`), or suspend it under `waivers:` in mlp.yaml on the trust branch".to_owned()
            }
            Self::WhichStage { stages, .. } => format!("say which with --stage: {}", stages.join(", ")),
            Self::Golden { .. } => "`mlp explain model::golden` shows a line of one".to_owned(),
            Self::Command { .. } => "check that `sh` can run it in the project's folder".to_owned(),
            Self::Key(error) => return error.hint(),
            Self::Store(error) => return error.hint(),
        })
    }
}
