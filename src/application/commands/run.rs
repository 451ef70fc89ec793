//! `mlp run`.

use super::{Answer, Context};

/// Runs steps and models in the order of what they need.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
