//! `mlp explain`.

use super::{Answer, Context};

/// Explains an error code.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
