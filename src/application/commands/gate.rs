//! `mlp gate`.

use super::{Answer, Context};

/// Judges and explains the gates of a stage.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
