//! `mlp check`.

use super::{Answer, Context};

/// Checks `mlp.yaml`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
