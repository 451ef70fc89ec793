//! `mlp data`: versions of datasets.

mod add;
mod card;
mod changes;
mod checkout;
mod diff;
mod download;
mod export;
mod fetch;
mod get;
mod import;
mod info;
mod ls;
mod pull;
mod push;
mod remote_status;
mod rm;
mod sparse;
mod status;
pub(super) mod subject;
mod transfer;
mod trash;

use super::{Answer, Context};

/// Versions data: add, status, checkout, diff, download, push, pull.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Add(add::Args),
    Rm(rm::Args),
    Status(status::Args),
    Checkout(checkout::Args),
    Diff(diff::Args),
    Ls(ls::Args),
    Info(info::Args),
    Card(card::Args),
    Download(download::Args),
    Import(import::Args),
    Fetch(fetch::Args),
    Push(push::Args),
    Pull(pull::Args),
    Get(get::Args),
    Export(export::Args),
    Sparse(sparse::Args),
    Trash(trash::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    match args.command {
        Command::Add(args) => add::run(args, context),
        Command::Rm(args) => rm::run(args, context),
        Command::Status(args) => status::run(args, context),
        Command::Checkout(args) => checkout::run(args, context),
        Command::Diff(args) => diff::run(args, context),
        Command::Ls(args) => ls::run(args, context),
        Command::Info(args) => info::run(args, context),
        Command::Card(args) => card::run(args, context),
        Command::Download(args) => download::run(args, context),
        Command::Import(args) => import::run(args, context),
        Command::Fetch(args) => fetch::run(args, context),
        Command::Push(args) => push::run(args, context),
        Command::Pull(args) => pull::run(args, context),
        Command::Get(args) => get::run(args, context),
        Command::Export(args) => export::run(args, context),
        Command::Sparse(args) => sparse::run(args, context),
        Command::Trash(args) => trash::run(args, context),
    }
}
