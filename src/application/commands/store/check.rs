//! `mlp store check`.

use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::stores;
use crate::application::ui::{Report, Table, bytes};
use crate::base::Exit;
use crate::infrastructure::store::{Outcome, Tried};

/// Tries what a store really guarantees, and says what follows.
///
/// Writes small objects below `probe/`, and one of 8 MiB, and removes them. Services promise more than some of them hold:
/// that of several writers one wins, that what was written is read and listed at once. The result is kept; ledgers are
/// only ever written where exactly one writer wins. Exits with 1 if the store cannot carry data.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The store, by its name in `stores:`; the first of them if left out.
    #[arg(value_name = "NAME")]
    store: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let remote = stores::remote(&project, args.store.as_deref())?;
    let url = project.manifest.stores[&remote.name].url.clone();
    let checked = remote.check(project.store.root(), &context.ui)?;
    let exit = if checked.data { Exit::Ok } else { Exit::No };
    context.ui.report(&Told { store: remote.name.to_string(), url, checked });
    Ok(exit)
}

#[derive(Serialize)]
struct Told {
    store: String,
    url: String,
    #[serde(flatten)]
    checked: Tried,
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/store-check/1"
    }

    fn human(&self) -> String {
        let checked = &self.checked;
        let mut table = Table::new(["CHECK", "HOLDS", "SEEN"]);
        for finding in &checked.findings {
            let outcome = match finding.outcome {
                Outcome::Yes => "yes",
                Outcome::No => "NO",
                Outcome::Unknown => "?",
            };
            table.row([finding.name, outcome, &finding.detail]);
        }
        let mut text = format!("store `{}` ({})\n{}", self.store, self.url, table.render());
        let rate =
            |rate: Option<f64>| rate.map_or("?".to_owned(), |rate| format!("{}/s", bytes(rate as u64)));
        if let Some(latency) = checked.latency_ms {
            text.push_str(&format!("a small object is read in {latency:.1} ms"));
            if !checked.read_only {
                text.push_str(&format!(
                    ", 8 MiB are written at {} and read at {}",
                    rate(checked.upload),
                    rate(checked.download)
                ));
            }
            text.push('\n');
        }
        for line in self.follows() {
            text.push_str(&format!("- {line}\n"));
        }
        text
    }

    fn quiet(&self) -> String {
        String::new()
    }
}

impl Told {
    /// What follows from it.
    fn follows(&self) -> Vec<String> {
        let checked = &self.checked;
        let mut lines = Vec::new();
        lines.push(match (checked.data, checked.read_only) {
            (true, false) => "it carries data".to_owned(),
            (true, true) => "data can be fetched from it; it cannot be written to".to_owned(),
            (false, _) => "it cannot carry data".to_owned(),
        });
        if checked.read_only {
            return lines;
        }
        lines.push(match checked.ledgers {
            true => "it can hold ledgers".to_owned(),
            false => format!(
                "it cannot hold ledgers: put another store first, or keep them in git (`ledger: git` in the entry of `{}`)",
                self.store
            ),
        });
        lines.push(match checked.gc {
            true => "garbage can be collected".to_owned(),
            false => "garbage cannot be collected".to_owned(),
        });
        if let Some(skew) = checked.skew_s.filter(|skew| skew.abs() > 300.0) {
            lines.push(format!(
                "correct the clock of this machine or of the store: they differ by {:.0} s",
                skew.abs()
            ));
        }
        lines
    }
}
