//! `mlp model`.

mod attest;
pub(super) mod card;
mod export;
mod history;
mod ls;
mod pull;
mod register;
mod show;
mod standing;

use super::{Answer, Context};

/// Registers, shows and packs model versions.
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
    Pull(pull::Args),
    Export(export::Args),
    Attest(attest::Args),
    Card(card::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    match args.command {
        Command::Register(args) => register::run(&args, context),
        Command::Ls(args) => ls::run(&args, context),
        Command::Show(args) => show::run(&args, context),
        Command::History(args) => history::run(&args, context),
        Command::Pull(args) => pull::run(args, context),
        Command::Export(args) => export::run(args, context),
        Command::Attest(args) => attest::run(&args, context),
        Command::Card(args) => card::run(args, context),
    }
}
