//! `mlp hook`.

mod pre_push;

use std::path::PathBuf;

use serde::Serialize;

use super::{Answer, Context};
use crate::application::ui::{Report, Table};
use crate::base::{Exit, Failure, Level, Sink};
use crate::infrastructure::git::Hook;
use crate::platform::project::{Project, Setup};

/// Sets up this clone: the check before `git push`, and the merge of datasets.
///
/// Both live in the clone's git directory and are not committed: each clone is set up once.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Installs the pre-push hook and the merge driver. A hook of yours stays as it is.
    Install(Change),
    /// Removes what `install` made.
    Remove(Change),
    /// Shows whether both are there; exits with 1 if not.
    Status,
    /// What git runs before a push.
    #[command(hide = true)]
    PrePush(pre_push::Args),
}

#[derive(clap::Args, Debug)]
struct Change {
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    if let Command::PrePush(args) = args.command {
        return pre_push::run(&args, context);
    }
    let project = context.project()?;
    let folder = folder(&project);
    let (setup, action, dry_run) = match args.command {
        Command::Install(Change { dry_run: false }) => {
            (Setup::install(&project.repo, &folder)?, "install", false)
        }
        Command::Remove(Change { dry_run: false }) => {
            (Setup::remove(&project.repo, &folder)?, "remove", false)
        }
        Command::Install(_) => (Setup::of(&project.repo, &folder)?, "install", true),
        Command::Remove(_) => (Setup::of(&project.repo, &folder)?, "remove", true),
        Command::Status | Command::PrePush(_) => (Setup::of(&project.repo, &folder)?, "status", false),
    };
    let fine = setup.is_complete() || action == "remove" || dry_run;
    context.ui.report(&Told::new(setup, action, dry_run));
    Ok(if fine { Exit::Ok } else { Exit::No })
}

/// The project's folder, relative to the root of the repository.
fn folder(project: &Project) -> PathBuf {
    project.root.strip_prefix(project.repo.root()).map(PathBuf::from).unwrap_or_default()
}

/// Says once per clone that it is not set up. Only where there are others to work with: in a clone with a git remote.
pub(crate) fn hint(project: &Project, context: &Context) -> Result<(), Failure> {
    let told = project.repo.state_dir().join("hooks-told");
    if told.exists()
        || !project.repo.has_remote()?
        || Setup::of(&project.repo, &folder(project))?.is_complete()
    {
        return Ok(());
    }
    context.ui.log(
        Level::Info,
        "this clone lacks the check before `git push` or the merge of datasets: `mlp hook install` sets it up",
    );
    // A hint that is given twice does no harm.
    let _ = std::fs::write(told, "");
    Ok(())
}

/// How the clone is set up now.
#[derive(Serialize)]
struct Told {
    action: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    /// `absent`, `installed`, `chained` or `foreign`.
    hook: &'static str,
    path: PathBuf,
    /// Whether the merge driver is configured.
    merge_driver: bool,
    /// What a hook of the user's needs to run the check.
    #[serde(skip_serializing_if = "Option::is_none")]
    add: Option<String>,
}

impl Told {
    fn new(setup: Setup, action: &'static str, dry_run: bool) -> Self {
        let hook = match setup.hook {
            Hook::Absent => "absent",
            Hook::Ours => "installed",
            Hook::Chained => "chained",
            Hook::Foreign => "foreign",
        };
        let by_hand = setup.hook == Hook::Foreign || (setup.hook == Hook::Absent && setup.managed);
        let add = (by_hand && action != "remove").then_some(setup.line);
        Self { action, dry_run, hook, path: setup.path, merge_driver: setup.driver, add }
    }
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/hook/1"
    }

    fn human(&self) -> String {
        let mut table = Table::plain();
        let hook = match self.hook {
            "absent" => "not installed".to_owned(),
            "foreign" => {
                format!("not installed: `{}` is a hook of yours, left as it is", self.path.display())
            }
            "chained" => format!("run by your hook `{}`", self.path.display()),
            _ => format!("installed as `{}`", self.path.display()),
        };
        let driver = if self.merge_driver { "configured" } else { "not configured" };
        table.row(["pre-push hook", hook.as_str()]).row(["merge driver", driver]);
        let mut text = table.render();
        if let Some(line) = &self.add {
            text += &format!("add this line to `{}`:\n  {line}\n", self.path.display());
        }
        let missing = !self.merge_driver || self.hook == "absent";
        match (self.action, self.dry_run) {
            ("install", true) => text += "would install what is missing\n",
            ("remove", true) => text += "would remove what `mlp hook install` made\n",
            ("status", _) if missing && self.add.is_none() => {
                text += "`mlp hook install` sets up this clone\n"
            }
            _ => {}
        }
        text
    }

    fn quiet(&self) -> String {
        String::new()
    }
}
