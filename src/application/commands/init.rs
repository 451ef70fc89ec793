//! `mlp init`.

use super::{Answer, Context};

/// Makes a project from a template.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
