//! `mlp approve`.

use super::{Answer, Context};

/// Signs an approval of a model version for a stage.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let _ = (args, context);
    todo!()
}
