//! `mlp runs`.

use super::{Answer, Context};

/// Lists, shows, follows, compares, cancels, resumes and removes runs.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
