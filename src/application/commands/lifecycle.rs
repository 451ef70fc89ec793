//! `mlp lifecycle`.

mod diff;
mod show;
mod update;

use console::style;

use super::{Answer, Context};
use crate::application::ui::{Table, clean};
use crate::platform::project::{Change, ChangeKind, Following, ProjectError};

/// Shows the profile that the project follows, and moves it to another version.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Show(show::Args),
    Diff(diff::Args),
    Update(update::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    match args.command {
        Command::Show(args) => show::run(&args, context),
        Command::Diff(args) => diff::run(&args, context),
        Command::Update(args) => update::run(&args, context),
    }
}

/// The version to go to: the one that is named, or the newest one of the same profile.
fn target(from: Following, to: Option<Following>) -> Following {
    to.unwrap_or_else(|| Following::newest(from.profile))
}

/// The version that a user names: `product@1`, or `product` for its newest one.
fn named(text: &str) -> Result<Following, ProjectError> {
    let read = |text: &str| text.parse::<Following>().map_err(|why| ProjectError::Profile { why });
    let following = read(text)?;
    Ok(if text.contains('@') { following } else { Following::newest(following.profile) })
}

/// What changes, a line for each gate.
fn render(changes: &[Change]) -> String {
    let mut table = Table::plain().indent(2);
    for change in changes {
        let mark = match change.kind {
            ChangeKind::More => style("+").green(),
            ChangeKind::Less => style("-").red(),
            ChangeKind::Other => style("~").yellow(),
        };
        let words = match (&change.before, &change.after) {
            (Some(before), Some(after)) => format!("{after} (before: {before})"),
            (None, Some(after)) => after.clone(),
            (Some(before), None) => format!("no longer: {before}"),
            (None, None) => String::new(),
        };
        table.row([
            mark.to_string(),
            change.gate.to_string(),
            style(&change.stage).dim().to_string(),
            clean(&words).into_owned(),
        ]);
    }
    table.render()
}
