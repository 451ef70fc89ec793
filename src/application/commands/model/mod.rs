//! `mlp model`.

mod history;
mod ls;
mod register;
mod show;

use super::{Answer, Context};

/// Registers and shows model versions.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Register(register::Args),
    Ls(ls::Args),
    Show(show::Args),
    History(history::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    match args.command {
        Command::Register(args) => register::run(&args, context),
        Command::Ls(args) => ls::run(&args, context),
        Command::Show(args) => show::run(&args, context),
        Command::History(args) => history::run(&args, context),
    }
}
