//! `mlp completions`.

use super::{Answer, Context};

/// Prints the completion script of a shell.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
