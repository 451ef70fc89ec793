//! `mlp import`: from other tools.

mod dvc;
mod lfs;

use super::{Answer, Context};

/// Takes over what another tool versions: DVC, git-lfs.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Dvc(dvc::Args),
    Lfs(lfs::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    match args.command {
        Command::Dvc(args) => dvc::run(args, context),
        Command::Lfs(args) => lfs::run(args, context),
    }
}
