//! `mlp store repair`.

use serde::Serialize;

use super::super::{Answer, Context};
use super::fsck::{depth, lines};
use crate::application::stores;
use crate::application::ui::{Report, plural};
use crate::base::Exit;
use crate::infrastructure::store::{Repaired, repair, repair_remote};

/// Mends what `mlp store fsck` finds.
///
/// The local store gets what it lost from the stores of the project; a remote store (`--store`) gets it from this clone: objects,
/// records, entries of ledgers. Nothing that is sound is overwritten. If a sample has a damaged pack, every byte is read. Exit status 1
/// if something could not be mended because nobody who was asked has it.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A remote store by its name in `stores:`, instead of the local one.
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// Look at what names what alone, not at data.
    #[arg(long)]
    quick: bool,
    /// Read and hash every byte first.
    #[arg(long, conflicts_with = "quick")]
    full: bool,
    /// Only say what is wrong.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let depth = depth(args.quick, args.full);
    let (store, done) = match &args.store {
        None => {
            let remotes = stores::remotes(&project)?;
            ("local".to_owned(), repair(&project.store, &remotes, depth, args.dry_run, &context.ui)?)
        }
        Some(name) => {
            let remote = stores::remote(&project, Some(name))?;
            let done = repair_remote(&project.store, &remote, depth, args.dry_run, &context.ui)?;
            (remote.name.to_string(), done)
        }
    };
    let exit = if done.left.is_empty() { Exit::Ok } else { Exit::No };
    context.ui.report(&Told { store, dry_run: args.dry_run, done });
    Ok(exit)
}

#[derive(Serialize)]
struct Told {
    store: String,
    dry_run: bool,
    #[serde(flatten)]
    done: Repaired,
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/store-repair/1"
    }

    fn human(&self) -> String {
        let Repaired { found, reindexed, objects, records, pins, entries, left } = &self.done;
        if found.is_empty() && *reindexed == 0 {
            return format!("{} store: nothing to mend\n", self.store);
        }
        let mut text = format!("{} store: {} found\n", self.store, plural(found.len() as u64, "fault"));
        text.push_str(&lines(found));
        if self.dry_run {
            return text;
        }
        text.push_str(&format!(
            "mended: {} indexed anew; {}, {}, {} and {} brought back\n",
            plural(*reindexed, "pack"),
            plural(*objects, "object"),
            plural(*records, "record"),
            plural(*pins, "pin"),
            plural(*entries, "ledger entry"),
        ));
        if !left.is_empty() {
            text.push_str("still wrong:\n");
            text.push_str(&lines(left));
            text.push_str("next: run it in another clone, or with the store of a colleague in `stores:`; ");
            text.push_str("`mlp data add` of the original files stores them anew\n");
        }
        text
    }

    fn quiet(&self) -> String {
        lines(&self.done.left)
    }
}
