//! `mlp schema`.

use super::{Answer, Context};

/// Prints a JSON Schema.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
