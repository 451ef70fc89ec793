//! Whether what is live in a stage stands today: what `mlp model pull --verify` asks.

use crate::application::judgement::{Grounds, Judging};
use crate::base::{Digest, Entry, EntryKind, Failure, Name, Time, Verdict, VerdictValue};
use crate::infrastructure::store::StoreError;
use crate::platform::model::package::PackageError;
use crate::platform::model::{Evidence, GateSpec, History, ModelError, Version, judge};

/// What was found to stand.
pub(super) struct Standing {
    /// The entry that made the version live.
    pub(super) entry: Digest,
    /// How many verdicts of its promotion pass.
    pub(super) verdicts: u64,
    /// The approvals that gates ask for, in words: `2 of 2: max, sam`.
    pub(super) approvals: Vec<String>,
}

/// Checks what is live in `stage`. The verdicts of its promotion are at hand, about these files, and pass; each gate of the rules of then
/// has its own, and waivers hold today. The approvals that gates ask for are signed, by the signers of today, for the time of the entry.
pub(super) fn standing(
    judging: &Judging<'_>,
    history: &History,
    version: &Version,
    stage: &Name,
) -> Result<Standing, Failure> {
    let model = history.model();
    let refuse = |why: String| -> Failure {
        let (model, stage) = (model.clone(), stage.clone());
        PackageError::Unapproved { model, number: version.number, stage, why }.into()
    };
    let Some(live) = history.live_entry(stage) else { return Err(refuse("no entry made it so".to_owned())) };
    let promoted = |entry: &&Entry| {
        let subject = &entry.subject;
        entry.kind == EntryKind::Promote
            && (subject.version, subject.stage.as_ref()) == (version.number, Some(stage))
            && entry.seq <= live.seq
    };
    // A rollback names no evidence: what it puts back was promoted before.
    let Some(promotion) = history.entries().iter().rev().find(promoted) else {
        return Err(refuse("no promotion made it so".to_owned()));
    };
    judging.bring(history.evidence())?;
    let store = &judging.project.store;
    for id in &promotion.evidence {
        let verdict = match store.record::<Verdict>(id) {
            Ok(record) => record.body,
            Err(StoreError::Missing(_)) => {
                return Err(refuse(format!("the verdict {id} that its promotion names is not at hand")));
            }
            Err(error) => return Err(error.into()),
        };
        if (&verdict.model, verdict.version, verdict.tree) != (model, version.number, version.tree) {
            return Err(refuse(format!("the verdict {id} that its promotion names is about other files")));
        }
        if verdict.verdict != VerdictValue::Pass {
            let found = verdict.observed.escape_debug().to_string();
            return Err(refuse(format!("the verdict of `{}` was no pass: {found}", verdict.gate)));
        }
    }
    match Grounds::new(judging, model).gaps(history, promotion, Some(Time::now()))? {
        Ok(gaps) if gaps.is_empty() => {}
        Ok(gaps) => return Err(refuse(gaps[0].to_string().escape_debug().to_string())),
        Err(why) => return Err(refuse(why.to_string())),
    }
    let rules = judging.rules(model)?;
    let asks = |gate: &GateSpec| matches!(gate, GateSpec::Approvals(_));
    let mut approvals = Vec::new();
    if rules.gates(stage).any(|(_, _, gate)| asks(gate)) {
        let evidence = Evidence::collect(store)?;
        let candidate = judging.candidate(history, version)?;
        let judged = judge(&rules, &candidate, &evidence, stage, live.time)?;
        for judgement in judged {
            let verdict = &judgement.verdict;
            let gate = rules.stages.get(&verdict.stage).and_then(|stage| stage.gates.get(&verdict.gate));
            if !gate.is_some_and(asks) {
                continue;
            }
            if !judgement.passed() {
                let reason = verdict.reason.clone().map(|reason| format!(" ({reason})")).unwrap_or_default();
                let observed = &verdict.observed;
                return Err(refuse(format!(
                    "`{}` wants {}, found {observed}{reason}",
                    verdict.gate, verdict.wanted
                )));
            }
            approvals.push(verdict.observed.clone());
        }
    }
    Ok(Standing { entry: live.digest(), verdicts: promotion.evidence.len() as u64, approvals })
}

/// The entry that made the version live in `stage`, or registered it.
pub(super) fn entry(
    history: &History,
    version: &Version,
    stage: Option<&Name>,
) -> Result<Digest, ModelError> {
    Ok(stage.and_then(|stage| history.live_entry(stage)).map_or(version.entry, Entry::digest))
}
