//! `mlp status`.

use super::{Answer, Context};

/// Shows the board: what is done, what blocks, and which command unblocks it.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
