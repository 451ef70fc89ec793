//! `mlp predict`.

use super::{Answer, Context};

/// Predicts for files.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
