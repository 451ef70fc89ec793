//! `mlp store gc`.

use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::following::workspace;
use crate::application::named::named;
use crate::application::ui::{Report, bytes, count, plural};
use crate::application::{predictions, stores};
use crate::base::{Digest, Exit, Failure, Id, Time};
use crate::infrastructure::git::GitError;
use crate::infrastructure::store::{
    CollectOptions, Collected, Ledger, Pin, PinKind, StoreError, Swept, collect, fetch_pins, sweep,
};
use crate::platform::project::Project;
use crate::platform::run;

/// Removes what nobody needs from the local store, or from a remote one.
///
/// Needed is what pins, ledgers and records name, and what a pointer names in any commit that a branch, tag or work tree leads to.
/// Without `--yes` it only says what would be done. On a remote store nothing is deleted before a week has passed: a first run names
/// what is doomed, and any run a week later deletes it, if still nobody needs it.
///
/// A prediction log that was pushed is kept in its newest state, and of all logs of a model as much as `keep` of `serve: {log: …}` says.
/// Pins keep old versions. `--retire-after DAYS` takes away pins of datasets that are older and whose version no commit names any
/// more; it asks the git remote first whether this clone knows all branches.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A remote store by its name in `stores:`, instead of the local one.
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// Do it. Without, only say what would be done.
    #[arg(long)]
    yes: bool,
    /// Only say what would be done; the default.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Take away pins of versions that no commit names, if they are older than this.
    #[arg(long, value_name = "DAYS")]
    retire_after: Option<u32>,
    /// Delete what is doomed now instead of a week later. Nobody may be pushing. Needs `--confirm`.
    #[arg(long, requires = "store")]
    now: bool,
    /// The id of the store, as a run without `--yes` tells it.
    #[arg(long, value_name = "STORE-ID")]
    confirm: Option<Id>,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let named = named(&project)?;
    let mut extra = named.clone();
    extra.extend(run::rested_on(&workspace(&project))?);
    // What models rest on stays, wherever their ledger is. A home out of reach ends it.
    let home = project.ledger_home()?;
    for model in home.models(project.id())? {
        let ledger = Ledger { home: &home, project: project.id(), model };
        extra.extend(ledger.entries()?.into_iter().map(|entry| entry.subject.tree));
    }
    let remote = args.store.as_ref().map(|name| stores::remote(&project, Some(name))).transpose()?;
    if let Some(remote) = &remote {
        // Those of colleagues, too.
        let (_, lost) = fetch_pins(&project.store, remote, project.id(), &context.ui)?;
        if let Some(error) = lost.into_values().next() {
            return Err(error.into());
        }
    }
    let mut retire = predictions::over(&project)?;
    if let Some(days) = args.retire_after {
        retire.extend(unneeded(&project, days, &named)?);
    }
    let dry_run = !args.yes;
    let Some(remote) = remote else {
        extra.retain(|id| project.store.has(id).unwrap_or(true));
        let swept = sweep(&project.store, &extra, &retire, dry_run, &context.ui)?;
        context.ui.report(&Local { dry_run, swept });
        return Ok(Exit::Ok);
    };
    let id = remote.id(&project.store)?;
    if args.now && args.yes && args.confirm != Some(id) {
        let detail = format!("`--now` deletes at once: confirm it with `--confirm {id}` when nobody pushes");
        return Err(StoreError::Spec { store: remote.name.to_string(), detail }.into());
    }
    let options = CollectOptions { dry_run, now: args.now, retire, extra };
    let collected = collect(&project.store, &remote, project.id(), &options, &context.ui)?;
    context.ui.report(&Remote { store: remote.name.to_string(), id, dry_run, now: args.now, collected });
    Ok(Exit::Ok)
}

/// Pins of datasets that are older than some days and whose version no commit names.
fn unneeded(project: &Project, days: u32, named: &[Digest]) -> Result<Vec<Id>, Failure> {
    if !project.repo.has_whole_history()? {
        let detail =
            "this clone is shallow and does not know what older commits need; `git fetch --unshallow`";
        return Err(GitError::Partial(detail.to_owned()).into());
    }
    let unknown = project.repo.unknown_references()?;
    if let Some(first) = unknown.first() {
        let detail = format!(
            "this clone does not know {} of its git remote, such as `{first}`; `git fetch --all`",
            unknown.len()
        );
        return Err(GitError::Partial(detail).into());
    }
    let before = Time::now().as_ms() - i64::from(days) * 24 * 3600 * 1000;
    let is_old = |pin: &Pin| (pin.id.timestamp_ms() as i64) < before;
    let is_named = |pin: &Pin| pin.roots.iter().any(|root| named.binary_search(root).is_ok());
    let pins = project.store.pins()?;
    let unneeded = pins.iter().filter(|pin| pin.kind == PinKind::Data && is_old(pin) && !is_named(pin));
    Ok(unneeded.map(|pin| pin.id).collect())
}

#[derive(Serialize)]
struct Local {
    dry_run: bool,
    #[serde(flatten)]
    swept: Swept,
}

impl Report for Local {
    fn schema(&self) -> &'static str {
        "mlp/store-gc/1"
    }

    fn human(&self) -> String {
        let swept = &self.swept;
        let mut text = format!(
            "local store: {} in {}, {} of them needed by nobody\n",
            bytes(swept.stored),
            plural(swept.packs, "pack"),
            bytes(swept.waste)
        );
        let (removed, left_over) = (plural(swept.removed, "pack"), plural(swept.left_over, "left-over file"));
        let freed = bytes(swept.freed);
        text.push_str(&match self.dry_run {
            true => format!("would remove {removed} and {left_over}: {freed}; `--yes` does it\n"),
            false => format!("removed {removed} and {left_over}: {freed}\n"),
        });
        if swept.retired > 0 {
            text.push_str(&format!("pins of old versions: {}\n", count(swept.retired)));
        }
        text
    }

    fn quiet(&self) -> String {
        String::new()
    }
}

#[derive(Serialize)]
struct Remote {
    store: String,
    id: Id,
    dry_run: bool,
    now: bool,
    #[serde(flatten)]
    collected: Collected,
}

impl Report for Remote {
    fn schema(&self) -> &'static str {
        "mlp/store-gc-remote/1"
    }

    fn human(&self) -> String {
        let done = &self.collected;
        let mut text = format!(
            "store `{}` ({}): {} in {}, {} needed by {}, {} by nobody\n",
            self.store,
            self.id,
            bytes(done.stored),
            plural(done.packs, "pack"),
            plural(done.live_objects, "object"),
            plural(done.pins, "pin"),
            bytes(done.waste),
        );
        let verb = if self.dry_run { "would doom" } else { "doomed" };
        if done.doomed > 0 {
            text.push_str(&format!("{verb} {} ({})", plural(done.doomed, "pack"), bytes(done.doomed_bytes)));
            text.push_str(if self.now { "\n" } else { "; a run in a week deletes what is doomed\n" });
        }
        if done.retired > 0 {
            text.push_str(&format!("pins of old versions: {}\n", count(done.retired)));
        }
        if done.waiting > 0 {
            text.push_str(&format!("doomed before and waiting: {}\n", plural(done.waiting, "pack")));
        }
        if done.deleted > 0 {
            let verb = if self.dry_run { "would delete" } else { "deleted" };
            text.push_str(&format!("{verb} {}\n", plural(done.deleted, "pack")));
        }
        if self.dry_run {
            text.push_str("nothing was changed; `--yes` does it\n");
        }
        text
    }

    fn quiet(&self) -> String {
        String::new()
    }
}
