//! `mlp lifecycle update`.

use console::style;
use serde::Serialize;

use super::diff::human;
use super::{named, target};
use crate::application::commands::{Answer, Context};
use crate::application::ui::Report;
use crate::base::{Exit, Time};
use crate::platform::project::{Project, Update, follow};

/// Makes the project follow another version of its profile, or another profile.
///
/// Gates that the project has in its own form stay as they are: a merge of three sides, whose base is the version that it follows now.
/// Where its own form asks for less than the new version, nothing is written and the gate is named: tighten it, give it another name, or
/// put it under `waivers:`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The version: `product@2`, or `product` for its newest one; the newest of the project's profile if left out.
    #[arg(long, value_name = "PROFILE")]
    to: Option<String>,
    /// Say what would change, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Updated {
    #[serde(flatten)]
    update: Update,
    written: bool,
    dry_run: bool,
}

impl Report for Updated {
    fn schema(&self) -> &'static str {
        "mlp/lifecycle-update/1"
    }

    fn human(&self) -> String {
        let Update { from, to, conflicts, .. } = &self.update;
        let text = human(&self.update);
        let head = match (self.written, conflicts.len()) {
            (true, _) => style(format!("mlp.yaml follows {to} now; commit it to the trust branch")).green(),
            (false, 0) if from == to => style(format!("mlp.yaml follows {to} already")).green(),
            (false, 0) => style(format!("mlp.yaml would follow {to}; nothing was changed")).green(),
            (false, 1) => style(format!("1 gate stands in the way of {to}; nothing was changed")).red(),
            (false, many) => {
                style(format!("{many} gates stand in the way of {to}; nothing was changed")).red()
            }
        };
        format!("{text}\n{}\n", head.bold())
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Answer {
    let (root, manifest) = Project::read(&context.dir)?;
    let from = manifest.project.profile;
    let to = target(from, args.to.as_deref().map(named).transpose()?);
    let update = Update::plan(&manifest, to, Time::now());
    let open = update.conflicts.is_empty();
    let written = open && from != to && !args.dry_run;
    if written {
        follow(&root, to)?;
    }
    context.ui.report(&Updated { update, written, dry_run: args.dry_run });
    Ok(if open { Exit::Ok } else { Exit::No })
}
