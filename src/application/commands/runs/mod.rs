//! `mlp runs`: what was trained and run.

mod attach;
mod cancel;
mod cost;
mod diff;
mod fetch;
mod logs;
mod ls;
mod resume;
mod rm;
mod show;
mod watch;

use super::{Answer, Context};

/// Lists, shows, follows, compares, cancels, resumes, fetches and removes runs, and adds up their costs.
///
/// A run is named by the beginning of its identifier, by `latest`, or by a model or step for its newest run.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Ls(ls::Args),
    Show(show::Args),
    Diff(diff::Args),
    Logs(logs::Args),
    Watch(watch::Args),
    Attach(attach::Args),
    Cancel(cancel::Args),
    Resume(resume::Args),
    Fetch(fetch::Args),
    Rm(rm::Args),
    Cost(cost::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    match args.command {
        Command::Ls(args) => ls::run(args, context),
        Command::Show(args) => show::run(args, context),
        Command::Diff(args) => diff::run(args, context),
        Command::Logs(args) => logs::run(args, context),
        Command::Watch(args) => watch::run(args, context),
        Command::Attach(args) => attach::run(args, context),
        Command::Cancel(args) => cancel::run(args, context),
        Command::Resume(args) => resume::run(args, context),
        Command::Fetch(args) => fetch::run(args, context),
        Command::Rm(args) => rm::run(args, context),
        Command::Cost(args) => cost::run(args, context),
    }
}
