//! `mlp store`: where bytes live, here and on remotes.

mod check;
mod compact;
pub(super) mod fsck;
pub(super) mod gc;
mod ls;
pub(super) mod repair;
mod stats;

use super::{Answer, Context};

/// Looks after stores: lists, checks, mends, collects what nobody needs, and tells figures.
///
/// Without `--store` a command is about the local store, which all work trees of the repository share.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Ls(ls::Args),
    Check(check::Args),
    Stats(stats::Args),
    Fsck(fsck::Args),
    Repair(repair::Args),
    Gc(gc::Args),
    Compact(compact::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    match args.command {
        Command::Ls(args) => ls::run(args, context),
        Command::Check(args) => check::run(args, context),
        Command::Stats(args) => stats::run(args, context),
        Command::Fsck(args) => fsck::run(args, context),
        Command::Repair(args) => repair::run(args, context),
        Command::Gc(args) => gc::run(args, context),
        Command::Compact(args) => compact::run(args, context),
    }
}
