//! `mlp store compact`.

use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::stores;
use crate::application::ui::{Report, plural};
use crate::base::Exit;
use crate::infrastructure::store::{Compacted, compact};

/// Joins the index objects of a remote store: each push leaves one or two, and a new clone reads all of them.
///
/// The index of the local store is joined by itself.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The store, by its name in `stores:`; the first of them if left out.
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let remote = stores::remote(&project, args.store.as_deref())?;
    let done = compact(&project.store, &remote, args.dry_run)?;
    context.ui.report(&Told { store: remote.name.to_string(), dry_run: args.dry_run, done });
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Told {
    store: String,
    dry_run: bool,
    #[serde(flatten)]
    done: Compacted,
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/store-compact/1"
    }

    fn human(&self) -> String {
        let Compacted { before, after } = self.done;
        if before == after {
            return format!("`{}` has {}: nothing to join\n", self.store, plural(before, "index object"));
        }
        let verb = if self.dry_run { "would become" } else { "became" };
        format!("`{}`: {} {verb} {after}\n", self.store, plural(before, "index object"))
    }

    fn quiet(&self) -> String {
        String::new()
    }
}
