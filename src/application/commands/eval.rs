//! `mlp eval`.

use super::{Answer, Context};

/// Evaluates a model on a part of its data.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
