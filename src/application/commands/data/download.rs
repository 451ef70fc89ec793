//! `mlp data download`.

use super::super::{Answer, Context};

/// Downloads or renders the sources of datasets.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
