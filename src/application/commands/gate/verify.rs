//! `mlp gate verify`.

use clap_complete::engine::ArgValueCompleter;
use console::style;
use serde::Serialize;

use crate::application::commands::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::{Grounds, Judging, Then, before};
use crate::application::ui::{Report, clean, plural};
use crate::base::{Digest, Entry, EntryKind, Exit, Failure, Name, Time};
use crate::infrastructure::store::StoreError;
use crate::platform::model::{Candidate, Gap, History, ModelError, Recomputed, recompute};

/// Judges again what let a version into its stages, and holds it against the recorded verdicts.
///
/// What was found must be the same: rule, evidence, figures and verdict. Where another version of mlp only told it in other words, that
/// is said.
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
    /// Whether all that was found is the same, in whatever words.
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
    /// Why it cannot be judged again, or the first gate that it went past.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Records that the entry names and that are not here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<Digest>,
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
            for id in &promotion.missing {
                let words = format!("its record {id} is not here; `mlp data fetch` gets what others pushed");
                text += &format!("  {} {words}\n", style("✗").red().bold());
            }
            for gate in &promotion.gates {
                let name = format!("{} {}", gate.gate, style(&gate.stage).dim());
                let Some(difference) = &gate.difference else {
                    let words = match &gate.wording {
                        Some(wording) => format!(": the same in other words ({})", clean(&wording.at)),
                        None => String::new(),
                    };
                    text += &format!("  {} {name}{words}\n", style("✓").green());
                    continue;
                };
                text += &format!("  {} {name}\n", style("✗").red().bold());
                match (&difference.recorded, &difference.now) {
                    (Some(_), None) if difference.at.is_empty() => {
                        text += "      a verdict is recorded, and the rules have no such gate\n";
                    }
                    (None, _) if difference.at.is_empty() => {
                        let what = match promotion.missing.is_empty() {
                            true => "no verdict is recorded",
                            false => "no verdict of it is here",
                        };
                        text += &format!("      the rules have this gate, and {what}\n");
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
        let gates = self.promotions.iter().flat_map(|promotion| &promotion.gates);
        let reworded = gates.filter(|gate| gate.wording.is_some()).count();
        let head = match self.identical {
            true => {
                let verdicts = plural(count as u64, "verdict");
                let how = match reworded {
                    0 => "every byte the same".to_owned(),
                    some => format!("all found the same, {some} in other words"),
                };
                style(format!("{what}: {verdicts} judged again, {how}")).green()
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
    let judging = Judging::looking(&project, &context.ui)?;
    let (model, selector) = judging.reference(&args.model)?;
    let history = judging.registry().history(&model)?;
    let version = history.select(&selector)?.number;
    judging.bring(history.evidence())?;
    let promotes = |entry: &&Entry| entry.kind == EntryKind::Promote && entry.subject.version == version;
    let grounds = Grounds::new(&judging, &model);
    let mut promotions = Vec::new();
    for entry in history.entries().iter().filter(promotes) {
        promotions.push(again(&judging, &grounds, &history, entry)?);
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
    grounds: &Grounds<'_, '_>,
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
        missing: Vec::new(),
        gates: Vec::new(),
    };
    let known = grounds.then(entry)?;
    let Then { judging: then, rules } = match &*known {
        Ok(then) => then,
        Err(why) => {
            promotion.reason = Some(why.to_string());
            return Ok(promotion);
        }
    };
    if let Ok(gaps) = grounds.gaps(history, entry, None)? {
        promotion.reason = gaps.first().map(Gap::to_string);
    }
    let history = before(history, entry)?;
    let candidate: Candidate<'_> = then.candidate(&history, history.version(entry.subject.version)?)?;
    let store = &judging.project.store;
    for id in &entry.evidence {
        if matches!(store.any_record(id), Err(StoreError::Missing(_))) {
            promotion.missing.push(*id);
        }
    }
    promotion.gates = recompute(store, rules, &candidate, entry, &|id| judging.get(id))?;
    promotion.identical = promotion.reason.is_none()
        && promotion.missing.is_empty()
        && promotion.gates.iter().all(|gate| gate.difference.is_none());
    Ok(promotion)
}
