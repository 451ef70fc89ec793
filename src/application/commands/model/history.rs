//! `mlp model history`.

use clap_complete::engine::ArgValueCandidates;
use console::style;
use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::Judging;
use crate::application::ui::{Align, Report, Table};
use crate::base::{Approval, Digest, Entry, EntryKind, Name, SignedWaiver, Time};
use crate::infrastructure::store::Local;
use crate::platform::model::ModelError;

/// Shows what happened to a model, or what was live at some time.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model; the only one of the project if left out.
    #[arg(add = ArgValueCandidates::new(completion::models))]
    model: Option<String>,
    /// As it was then: `2026-05-03T12:00:00Z`, or `2026-05-03` for the end of that day (UTC).
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

#[derive(Serialize)]
struct Told<'a> {
    model: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Time>,
    live: Vec<Live>,
    entries: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Live {
    stage: Name,
    version: u64,
    since: Time,
}

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    id: Digest,
    time: Time,
    kind: EntryKind,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'a Name>,
    actor: &'a str,
    /// Who approved or waived, where it was brought by somebody else and its record is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
    signed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Digest]>::is_empty")]
    evidence: &'a [Digest],
}

impl Report for Told<'_> {
    fn schema(&self) -> &'static str {
        "mlp/model-history/1"
    }

    fn human(&self) -> String {
        if self.entries.is_empty() {
            let when = self.at.map(|at| format!(" by {at}")).unwrap_or_default();
            return format!("nothing had happened to {}{when}\n", self.model);
        }
        let mut table = Table::new(["#", "TIME", "WHAT", "VERSION", "STAGE", "BY", "SIGNED", "REASON"])
            .align(0, Align::Right)
            .align(3, Align::Right);
        for line in &self.entries {
            table.row([
                line.seq.to_string(),
                line.time.to_string(),
                line.kind.to_string(),
                line.version.to_string(),
                line.stage.map_or_else(|| "-".to_owned(), Name::to_string),
                match &line.principal {
                    Some(principal) => {
                        format!("{} (brought by {})", principal.escape_debug(), line.actor.escape_debug())
                    }
                    None => line.actor.escape_debug().to_string(),
                },
                if line.signed { "yes" } else { "-" }.to_owned(),
                line.reason.unwrap_or_default().escape_debug().to_string(),
            ]);
        }
        let mut text = table.render();
        let now = if self.at.is_some() { "live then" } else { "live now" };
        text.push_str(&format!("\n{}\n", style(now).bold()));
        if self.live.is_empty() {
            text.push_str("  nothing\n");
        }
        let mut live = Table::plain().indent(2);
        for line in &self.live {
            live.row([line.stage.to_string(), format!("@{}", line.version), format!("since {}", line.since)]);
        }
        text + &live.render()
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Answer {
    let at = args.at.as_deref().map(time).transpose()?;
    let project = context.project()?;
    let judging = Judging::looking(&project, &context.ui)?;
    let model = judging.model(args.model.as_deref())?;
    let mut history = judging.look(&model)?;
    if let Some(at) = at {
        history = history.at(at)?;
    }
    let entries = history.entries().iter().zip(history.digests()).map(|(entry, id)| Line {
        seq: entry.seq,
        id: *id,
        time: entry.time,
        kind: entry.kind,
        version: entry.subject.version,
        stage: entry.subject.stage.as_ref(),
        actor: &entry.actor,
        principal: principal(&project.store, entry).filter(|principal| *principal != entry.actor),
        signed: entry.signature.is_some(),
        reason: entry.subject.reason.as_deref(),
        evidence: &entry.evidence,
    });
    let live = history.stages().filter_map(|(stage, version)| {
        let since = history.live_entry(stage)?.time;
        Some(Live { stage: stage.clone(), version: version.number, since })
    });
    let (live, entries) = (live.collect(), entries.collect());
    context.ui.report(&Told { model, at, live, entries });
    Ok(judging.exit())
}

/// Who signed the approval or waiver that an entry brought.
fn principal(store: &Local, entry: &Entry) -> Option<String> {
    let id = entry.evidence.first()?;
    match entry.kind {
        EntryKind::Approve => Some(store.record::<Approval>(id).ok()?.body.principal),
        EntryKind::Waive => Some(store.record::<SignedWaiver>(id).ok()?.body.principal),
        _ => None,
    }
}

fn time(text: &str) -> Result<Time, ModelError> {
    let day = format!("{text}T23:59:59.999Z");
    let wrong = |_| ModelError::Time { text: text.escape_debug().to_string() };
    text.parse::<Time>().or_else(|_| day.parse::<Time>()).map_err(wrong)
}
