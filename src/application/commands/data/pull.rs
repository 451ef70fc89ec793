//! `mlp data pull`.

use super::super::{Answer, Context};

/// Gets data from a remote store and checks them out.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
