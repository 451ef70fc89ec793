//! `mlp schema`.

use super::{Answer, Context};
use crate::base::Exit;
use crate::platform::project::schema;

/// Prints a JSON Schema: of `mlp.yaml` for editors, of records or of event lines for programs.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// What it describes.
    #[arg(value_enum, default_value = "manifest")]
    kind: Kind,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Kind {
    /// `mlp.yaml`.
    Manifest,
    /// Records: runs, evaluations, verdicts, …
    Record,
    /// Lines of `$MLP_EVENTS`, `events.jsonl` and `--json`.
    Event,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    context.ui.raw(&schema::text(match args.kind {
        Kind::Manifest => schema::Kind::Manifest,
        Kind::Record => schema::Kind::Record,
        Kind::Event => schema::Kind::Event,
    }));
    Ok(Exit::Ok)
}
