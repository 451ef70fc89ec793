//! `mlp store stats`.

use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::stores;
use crate::application::ui::{Report, Table, bytes, count, plural};
use crate::base::Exit;
use crate::infrastructure::store::{Stats, stats, stats_remote};

/// Tells figures of the local store, or of a remote one: sizes, what deduplication and compression save, requests saved.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A remote store by its name in `stores:`, with the versions of all its projects, instead of the local one.
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let stats = match &args.store {
        None => stats(&project.store, &context.ui)?,
        Some(name) => stats_remote(&project.store, &stores::remote(&project, Some(name))?, &context.ui)?,
    };
    context.ui.report(&Told { ratio: stats.ratio(), stats });
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Told {
    /// Bytes of all versions for each byte stored.
    ratio: f64,
    #[serde(flatten)]
    stats: Stats,
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/store-stats/1"
    }

    fn human(&self) -> String {
        let stats = &self.stats;
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 };
        let mut table = Table::plain();
        table.row(["versions", &count(stats.versions), "that pins name and that are here"]);
        table.row(["files", &count(stats.files), "in all versions"]);
        table.row(["bytes", &bytes(stats.bytes), "in all versions"]);
        let unique =
            format!("{:.1} % of that: what occurs twice is kept once", share(stats.unique, stats.bytes));
        table.row(["unique", &bytes(stats.unique), &unique]);
        let stored = format!("{:.1} % of that: compressed", share(stats.stored, stats.unique));
        table.row(["stored", &bytes(stats.stored), &stored]);
        table.row(["ratio", &format!("{:.2}", self.ratio), "bytes of versions for each byte stored"]);
        table.row([
            "waste",
            &bytes(stats.waste),
            "that no pin needs (`mlp store gc` looks at pointers, too)",
        ]);
        table.row([
            "packs",
            &count(stats.packs),
            &format!(
                "{}, {} {}",
                plural(stats.objects, "object"),
                count(stats.indexes),
                if stats.indexes == 1 { "index" } else { "indexes" }
            ),
        ]);
        if stats.clones > 0 {
            let what = format!("{} long files that share blocks with the work tree", count(stats.clones));
            table.row(["clones", &bytes(stats.clone_bytes), &what]);
        }
        for (codec, stored) in &stats.codecs {
            table.row([&format!("  {codec}"), &bytes(*stored), ""]);
        }
        let requests = "files for each object that a push sends";
        table.row(["requests", &format!("{:.0}", stats.files_per_request), requests]);
        table.render()
    }
}
