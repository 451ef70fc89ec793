//! `mlp store fsck`.

use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::stores;
use crate::application::ui::{Report, bytes, clean, plural};
use crate::base::Exit;
use crate::infrastructure::store::{Checked, Depth, Finding, fsck, fsck_remote};

/// Looks for damage and loss: pins, records, ledgers, trees, indexes, and a sample of the data.
///
/// Says what is damaged or missing and which versions need it. Exit status 1 if anything is. Without `--quick` or `--full`, every
/// hundredth pack is read and hashed, of few packs some more.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A remote store by its name in `stores:`, instead of the local one.
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// Read no data: only what names what.
    #[arg(long)]
    quick: bool,
    /// Read and hash every byte.
    #[arg(long, conflicts_with = "quick")]
    full: bool,
}

/// How deep the flags ask to look.
pub(super) fn depth(quick: bool, full: bool) -> Depth {
    match (quick, full) {
        (true, _) => Depth::Quick,
        (_, true) => Depth::Full,
        _ => Depth::Sample,
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let depth = depth(args.quick, args.full);
    let (store, checked) = match &args.store {
        None => ("local".to_owned(), fsck(&project.store, depth, &context.ui)?),
        Some(name) => {
            let remote = stores::remote(&project, Some(name))?;
            (remote.name.to_string(), fsck_remote(&project.store, &remote, depth, &context.ui)?)
        }
    };
    let exit = if checked.findings.is_empty() { Exit::Ok } else { Exit::No };
    let repair = match &args.store {
        None => "mlp store repair".to_owned(),
        Some(name) => format!("mlp store repair --store {name}"),
    };
    let next = (exit == Exit::No).then(|| if args.full { repair + " --full" } else { repair });
    context.ui.report(&Told { store, checked, next });
    Ok(exit)
}

#[derive(Serialize)]
struct Told {
    store: String,
    #[serde(flatten)]
    checked: Checked,
    /// What mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One line a finding, and who needs it.
pub(super) fn lines(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        text.push_str(&format!("  {}: {}\n", clean(&finding.what), clean(&finding.detail)));
        if !finding.needed_by.is_empty() {
            text.push_str(&format!("    needed by {}\n", clean(&finding.needed_by.join(", "))));
        }
    }
    text
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/store-fsck/1"
    }

    fn human(&self) -> String {
        let checked = &self.checked;
        let mut text = format!(
            "{} store: {}, {}, {}, {} in {}; read {} ({})\n",
            self.store,
            plural(checked.pins, "pin"),
            plural(checked.records, "record"),
            plural(checked.ledgers, "ledger"),
            plural(checked.objects, "object"),
            plural(checked.packs, "pack"),
            plural(checked.packs_read, "pack"),
            bytes(checked.bytes_read),
        );
        if checked.absent > 0 {
            text.push_str(&format!(
                "never fetched: {} that versions name\n",
                plural(checked.absent, "object")
            ));
        }
        match &self.next {
            None => text.push_str("all is well\n"),
            Some(next) => {
                text.push_str(&format!("{} found:\n", plural(checked.findings.len() as u64, "fault")));
                text.push_str(&lines(&checked.findings));
                text.push_str(&format!("next: {next}\n"));
            }
        }
        text
    }
}
