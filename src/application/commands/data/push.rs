//! `mlp data push`.

use std::path::PathBuf;

use serde::Serialize;

use super::super::{Answer, Context};
use super::transfer::{Moved, Selection};
use crate::application::predictions;
use crate::application::ui::{Report, bytes, plural};
use crate::base::{Exit, Failure, Id};
use crate::infrastructure::store::{Pin, PinKind, missing, push};
use crate::platform::data::{DataError, Pointer};
use crate::platform::project::Project;

/// Sends data, runs and other evidence to a remote store.
///
/// Sends the versions that the pointers of the work tree name, and all evidence (runs, evaluations, verdicts) that the
/// store does not have. What was sent before a push broke off is not sent again.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Send the versions of all commits that no branch of a git remote has yet, too.
    #[arg(long)]
    unpushed: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let remote = args.selection.remote(&project)?;
    let store = remote.name.to_string();
    let mut pins = pins(&project, &args.selection, context)?;
    if args.unpushed {
        add_unpushed(&mut pins, &project, args.selection.dry_run)?;
    }
    if args.selection.dry_run {
        let missing = missing(&project.store, &remote, project.id(), &pins)?;
        context.ui.report(&Planned {
            dry_run: true,
            store,
            pins: missing.pins.iter().map(|pin| pin.id).collect(),
            records: missing.records.len() as u64,
            objects: (missing.data.len() + missing.metadata.len()) as u64,
            bytes: missing.bytes(),
        });
        return Ok(Exit::Ok);
    }
    let moved = push(&project.store, &remote, project.id(), &pins, &context.ui)?.into();
    // The first store becomes the home of ledgers that were begun without one.
    for model in project.ledger_home()?.models(project.id())? {
        let home = project.ledger_home()?;
        crate::infrastructure::store::Ledger { home: &home, project: project.id(), model }.entries()?;
    }
    context.ui.report(&Pushed { store, moved });
    Ok(Exit::Ok)
}

/// The pins of what the pointers name, made where there are none yet, and of all evidence.
fn pins(project: &Project, selection: &Selection, context: &Context) -> Result<Vec<Pin>, Failure> {
    let mut pins = project.store.pins()?;
    let mut wanted = Vec::new();
    for (subject, pointer) in selection.subjects(project, false, context)? {
        let root = pointer.root(&project.store)?.id;
        let name = subject.name.as_str();
        let is_of = |pin: &Pin| pin.kind == PinKind::Data && pin.name == name && pin.roots.contains(&root);
        if !pins.iter().any(is_of) {
            let pin = Pin { roots: vec![root], ..Pin::new(PinKind::Data, name) };
            if !selection.dry_run {
                project.store.put_pin(&pin)?;
            }
            pins.push(pin);
        }
        wanted.push((name.to_owned(), root));
    }
    let over = predictions::over(project)?;
    pins.retain(|pin| match pin.kind {
        PinKind::Record(_) => !over.contains(&pin.id),
        PinKind::Data => wanted.iter().any(|(name, root)| pin.name == *name && pin.roots.contains(root)),
    });
    Ok(pins)
}

/// Adds the pins of the versions that the commits of this branch brought, as far as no branch of a remote has them.
fn add_unpushed(pins: &mut Vec<Pin>, project: &Project, dry_run: bool) -> Result<(), Failure> {
    let known = project.store.pins()?;
    for found in project.repo.unpublished(".mlp")? {
        if !found.bytes.starts_with(b"mlp:") {
            continue;
        }
        let place = PathBuf::from(format!("{}@{}", found.path, found.commit));
        let pointer = match Pointer::parse(&String::from_utf8_lossy(&found.bytes), &place) {
            // Whoever needs it gets it from where it was imported from.
            Err(DataError::Unfetched(_)) => continue,
            pointer => pointer?,
        };
        let root = pointer.root(&project.store)?.id;
        let keeps = |pin: &&Pin| pin.kind == PinKind::Data && pin.roots.contains(&root);
        if pins.iter().any(|pin| keeps(&pin)) {
            continue;
        }
        pins.push(match known.iter().find(keeps) {
            Some(pin) => pin.clone(),
            None => {
                let name = found.path.strip_suffix(".mlp").unwrap_or(&found.path);
                let pin =
                    Pin { roots: vec![root], commit: Some(found.commit), ..Pin::new(PinKind::Data, name) };
                if !dry_run {
                    project.store.put_pin(&pin)?;
                }
                pin
            }
        });
    }
    Ok(())
}

#[derive(Serialize)]
struct Pushed {
    store: String,
    #[serde(flatten)]
    moved: Moved,
}

impl Report for Pushed {
    fn schema(&self) -> &'static str {
        "mlp/data-push/1"
    }

    fn human(&self) -> String {
        match self.moved.nothing() {
            true => format!("`{}` has everything\n", self.store),
            false => format!("pushed to `{}`: {}\n", self.store, self.moved.human()),
        }
    }

    fn quiet(&self) -> String {
        String::new()
    }
}

#[derive(Serialize)]
struct Planned {
    dry_run: bool,
    store: String,
    pins: Vec<Id>,
    records: u64,
    objects: u64,
    bytes: u64,
}

impl Report for Planned {
    fn schema(&self) -> &'static str {
        "mlp/data-push/1"
    }

    fn human(&self) -> String {
        if self.pins.is_empty() {
            return format!("`{}` has everything\n", self.store);
        }
        format!(
            "would push to `{}`: {} in packs ({}), {}, {}\n",
            self.store,
            plural(self.objects, "object"),
            bytes(self.bytes),
            plural(self.records, "record"),
            plural(self.pins.len() as u64, "pin"),
        )
    }
}
