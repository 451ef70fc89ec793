//! `mlp model`.

use super::{Answer, Context};

/// Registers and shows model versions.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
