//! `mlp serve`.

use super::{Answer, Context};

/// Serves the model version of a stage over HTTP.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
