//! `mlp lifecycle diff`.

use console::style;
use serde::Serialize;

use super::{named, render, target};
use crate::application::commands::{Answer, Context};
use crate::application::ui::Report;
use crate::base::{Exit, Time};
use crate::platform::project::{Project, Update};

/// Says what another version of the profile, or another profile, asks more or less of this project.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The version: `product@2`, or `product` for its newest one; the newest of the project's profile if left out.
    #[arg(long, value_name = "PROFILE")]
    to: Option<String>,
}

#[derive(Serialize)]
struct Difference {
    #[serde(flatten)]
    update: Update,
}

impl Report for Difference {
    fn schema(&self) -> &'static str {
        "mlp/lifecycle-diff/1"
    }

    fn human(&self) -> String {
        human(&self.update)
    }
}

/// What an update comes to, in words.
pub(super) fn human(update: &Update) -> String {
    let Update { from, to, changes, kept, conflicts } = update;
    let mut text = format!("from {from} to {to}\n");
    if changes.is_empty() && kept.is_empty() && conflicts.is_empty() {
        return text + "  asks for the same\n";
    }
    text += &render(changes);
    if !kept.is_empty() {
        text += "\nyours, which ask for as much, stay as they are\n";
        text += &render(kept);
    }
    if !conflicts.is_empty() {
        text += "\nyours ask for less\n";
        for conflict in conflicts {
            let name = format!("{} in {}", conflict.gate, conflict.stage);
            text += &format!(
                "  {} {name}: {}\n      yours   {}\n      wanted  {}\n",
                style("!").red().bold(),
                conflict.why,
                conflict.own,
                conflict.wanted
            );
        }
    }
    text
}

pub(super) fn run(args: &Args, context: &Context) -> Answer {
    let (_, manifest) = Project::read(&context.dir)?;
    let to = args.to.as_deref().map(named).transpose()?;
    let update = Update::plan(&manifest, target(manifest.project.profile, to), Time::now());
    context.ui.report(&Difference { update });
    Ok(Exit::Ok)
}
