//! `mlp promote`.

use super::{Answer, Context};

/// Puts a model version into a stage, if its gates are open.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
