//! `mlp status`: the board.

mod board;
mod shown;

use clap_complete::engine::ArgValueCandidates;

use super::{Answer, Context};
use crate::application::completion;

/// Shows the board: what is done, what blocks, and which command unblocks it.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Only this model.
    #[arg(add = ArgValueCandidates::new(completion::models))]
    model: Option<String>,
    /// The stage to look at; for each model the next one if left out.
    #[arg(long, value_name = "STAGE", add = ArgValueCandidates::new(completion::stages))]
    to: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let board = board::board(&project, args.model.as_deref(), args.to.as_deref(), &context.ui)?;
    context.ui.report(&board);
    Ok(board.exit)
}
