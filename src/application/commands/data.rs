//! `mlp data`.

use super::{Answer, Context};

/// Versions data: add, status, checkout, diff, download, push, pull.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
