//! `mlp rollback`.

use super::{Answer, Context};

/// Puts the previous version of a stage back.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
