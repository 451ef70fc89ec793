//! `mlp gate verify`.

use clap_complete::engine::ArgValueCompleter;
use console::style;
use serde::Serialize;

use crate::application::commands::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::Judging;
use crate::application::ui::{Report, clean, plural};
use crate::base::{Digest, Entry, EntryKind, Exit, Failure, Name, Time, Verdict, VerdictValue};
use crate::platform::model::{Candidate, History, ModelError, Recomputed, recompute};

/// Judges again what let a version into its stages, and holds it against the recorded verdicts, byte for byte.
///
/// Each promotion of the version is judged by the rules as they stood then, at the time of its ledger entry, on the evidence that its
/// verdicts name. Rules count only from a commit of the trust branch. A clone of the repository and the project's store are
/// enough. Exit status 1 if a verdict is not the same, or was no pass.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The model version: `digits` (the newest), `digits@7`, `digits@staging`.
    #[arg(add = ArgValueCompleter::new(completion::references))]
    model: String,
}

#[derive(Serialize)]
struct Verified {
    model: Name,
    version: u64,
    identical: bool,
    promotions: Vec<Promotion>,
}

/// One promotion, judged again.
#[derive(Serialize)]
struct Promotion {
    seq: u64,
    stage: Option<Name>,
    time: Time,
    entry: Digest,
    /// The commit of the trust branch whose rules were judged by; absent where the entry does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<String>,
    identical: bool,
    /// Why it cannot be judged again.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    gates: Vec<Recomputed>,
}

impl Report for Verified {
    fn schema(&self) -> &'static str {
        "mlp/gate-verify/1"
    }

    fn human(&self) -> String {
        let mut text = String::new();
        for promotion in &self.promotions {
            let stage = promotion.stage.as_ref().map_or("", Name::as_str);
            let rules = promotion.rules.as_ref().map_or_else(String::new, |commit| {
                format!(", rules of commit {}", commit.chars().take(12).collect::<String>())
            });
            text += &format!("entry {} to {stage}, {}{rules}\n", promotion.seq, promotion.time);
            if let Some(reason) = &promotion.reason {
                text += &format!("  {} {}\n", style("✗").red().bold(), clean(reason));
            }
            for gate in &promotion.gates {
                let name = format!("{} {}", gate.gate, style(&gate.stage).dim());
                let Some(difference) = &gate.difference else {
                    text += &format!("  {} {name}\n", style("✓").green());
                    continue;
                };
                text += &format!("  {} {name}\n", style("✗").red().bold());
                match (&difference.recorded, &difference.now) {
                    (Some(_), None) if difference.at.is_empty() => {
                        text += "      a verdict is recorded, and the rules have no such gate\n";
                    }
                    (None, _) if difference.at.is_empty() => {
                        text += "      the rules have this gate, and no verdict is recorded\n";
                    }
                    (recorded, now) => {
                        let shown = |value: &Option<serde_json::Value>| match value {
                            None => "absent".to_owned(),
                            Some(value) => clean(&value.to_string()).into_owned(),
                        };
                        text += &format!(
                            "      {} was {}\n      {} now {}\n",
                            clean(&difference.at),
                            shown(recorded),
                            " ".repeat(difference.at.chars().count()),
                            shown(now)
                        );
                    }
                }
            }
        }
        let what = format!("{}@{}", self.model, self.version);
        let count: usize = self.promotions.iter().map(|promotion| promotion.gates.len()).sum();
        let head = match self.identical {
            true => {
                let verdicts = plural(count as u64, "verdict");
                style(format!("{what}: {verdicts} judged again, every byte the same")).green()
            }
            false if self.promotions.iter().all(|promotion| promotion.reason.is_none()) => {
                style(format!("{what}: not every verdict comes out as it is recorded")).red()
            }
            false => style(format!("{what}: not everything is in order")).red(),
        };
        format!("{text}\n{}\n", head.bold())
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::open(&project, &context.ui)?;
    let (model, selector) = judging.reference(&args.model)?;
    let history = judging.registry().history(&model)?;
    let version = history.select(&selector)?.number;
    let promotes = |entry: &&Entry| entry.kind == EntryKind::Promote && entry.subject.version == version;
    let mut promotions = Vec::new();
    for entry in history.entries().iter().filter(promotes) {
        promotions.push(again(&judging, &model, &history, entry)?);
    }
    if promotions.is_empty() {
        return Err(ModelError::NothingJudged { model, number: version }.into());
    }
    let identical = promotions.iter().all(|promotion| promotion.identical);
    context.ui.report(&Verified { model, version, identical, promotions });
    Ok(if identical { Exit::Ok } else { Exit::No })
}

/// Judges one promotion again.
fn again(
    judging: &Judging<'_>,
    model: &Name,
    history: &History,
    entry: &Entry,
) -> Result<Promotion, Failure> {
    let mut promotion = Promotion {
        seq: entry.seq,
        stage: entry.subject.stage.clone(),
        time: entry.time,
        entry: entry.digest(),
        rules: entry.subject.commit.clone(),
        identical: false,
        reason: None,
        gates: Vec::new(),
    };
    let Some(commit) = &promotion.rules else {
        let reason = "the entry does not name the commit of its rules: an earlier mlp wrote it";
        promotion.reason = Some(reason.to_owned());
        return Ok(promotion);
    };
    let then = match judging.at(commit)? {
        Ok(then) => then,
        Err(why) => {
            promotion.reason = Some(why);
            return Ok(promotion);
        }
    };
    let rules = then.rules(model)?;
    let before = usize::try_from(entry.seq - 1).unwrap_or(usize::MAX);
    let history = History::replay(model, &history.entries()[..before])?;
    let candidate: Candidate<'_> = then.candidate(&history, history.version(entry.subject.version)?)?;
    let store = &judging.project.store;
    promotion.gates = recompute(store, &rules, &candidate, entry, &|id| judging.get(id))?;
    let closed =
        |id: &Digest| store.record::<Verdict>(id).is_ok_and(|it| it.body.verdict != VerdictValue::Pass);
    if let Some(gate) = promotion.gates.iter().find(|gate| gate.record.as_ref().is_some_and(closed)) {
        promotion.reason = Some(format!("the gate `{}` of {} was not open", gate.gate, gate.stage));
    }
    promotion.identical =
        promotion.reason.is_none() && promotion.gates.iter().all(|gate| gate.difference.is_none());
    Ok(promotion)
}
