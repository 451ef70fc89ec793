//! `mlp impact`.

use console::style;
use serde::Serialize;

use super::lineage::{First, histories, thing, with_lineage};
use super::{Answer, Context};
use crate::application::judgement::Judging;
use crate::application::ui::{Report, Table, clean, plural};
use crate::base::Name;
use crate::platform::model::{How, Impact};

/// Tells which model versions rest on a file, a version of data, a run, a commit, and where they are live.
///
/// Follows steps that made data of data and versions that others were begun with. A file of code means the runs that saw it as it is
/// now, or as it was at a revision: `prepare.py@v1.2`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A file, dataset (`mnist`, `mnist@REV`, `mnist/a.png`), run, commit, model version, or the beginning of a digest.
    #[arg(value_name = "FILE|DATA[@REV]|RUN|ID")]
    subject: String,
}

#[derive(Serialize)]
struct Told {
    subject: String,
    #[serde(flatten)]
    impact: Impact,
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/impact/1"
    }

    fn human(&self) -> String {
        let Impact { versions, runs, data, unseen } = &self.impact;
        let mut text = String::new();
        if versions.is_empty() {
            text.push_str(&format!("no model version rests on {}", clean(&self.subject)));
            let runs = if *runs > 0 { format!("; {} did", plural(*runs, "run")) } else { String::new() };
            text.push_str(&format!("{runs}\n"));
        } else {
            let mut table = Table::new(["VERSION", "LIVE", "HOW", "THROUGH"]);
            for rests in versions {
                let live: Vec<&str> = rests.live.iter().map(Name::as_str).collect();
                let live = match (live.as_slice(), rests.retired) {
                    ([], true) => "retired".to_owned(),
                    ([], false) => "-".to_owned(),
                    (live, _) => live.join(", "),
                };
                let how = match rests.how {
                    How::Trained => "trained",
                    How::Judged => "judged",
                };
                let short = |id: &String| match id.strip_prefix("b3:") {
                    Some(hex) => format!("b3:{}", hex.get(..8).unwrap_or(hex)),
                    None => id.get(..8).unwrap_or(id).to_owned(),
                };
                let through: Vec<String> = rests.through.iter().map(short).collect();
                table.row([
                    format!("{}@{}", rests.model, rests.version),
                    live,
                    how.to_owned(),
                    through.join(" < "),
                ]);
            }
            text.push_str(&table.render());
            let live = versions.iter().filter(|rests| !rests.live.is_empty()).count() as u64;
            let count = plural(versions.len() as u64, "version");
            text.push_str(&format!("\n{count}, {live} live; {}\n", plural(*runs, "run")));
        }
        for (id, name) in data {
            text.push_str(&format!("data: {} {}\n", clean(name), style(format!("b3:{}", id.short())).dim()));
        }
        if !unseen.is_empty() {
            let names: Vec<String> =
                unseen.iter().map(|(id, name)| format!("{} b3:{}", clean(name), id.short())).collect();
            text.push_str(&format!(
                "not looked into, since not in the local store: {}; `mlp data fetch` gets them\n",
                names.join(", ")
            ));
        }
        text
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::looking(&project, &context.ui)?;
    let histories = histories(&judging)?;
    let impact = with_lineage(&project, &histories, |lineage| {
        let thing = thing(&args.subject, First::Data, &project, context, &histories, lineage)?;
        Ok(lineage.impact(&thing)?)
    })?;
    context.ui.report(&Told { subject: args.subject, impact });
    Ok(judging.exit())
}
