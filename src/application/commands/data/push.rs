//! `mlp data push`.

use super::super::{Answer, Context};

/// Sends data to a remote store.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
