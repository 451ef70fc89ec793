//! Waivers: a gate suspended until a day, with a reason and somebody who answers for it. Those of `waivers:` in `mlp.yaml` are for
//! every version; those of the ledger are signed and for one.

use super::{Case, Finding};
use crate::base::{Digest, Entry, Name, Record, SignedWaiver, Time, Verdict, VerdictValue};
use crate::infrastructure::keys::{KeyError, NAMESPACE_WAIVER};
use crate::infrastructure::store::Local;
use crate::platform::model::{Candidate, Evidence, ModelError, Rules, Waiver, end_of_day};

/// Applies the waivers of this gate, if there are any. An active one turns what does not pass into a pass that says so; those that
/// are void or have expired change nothing, and the last of them says so.
pub(super) fn apply(case: &Case<'_>, mut finding: Finding) -> Result<Finding, ModelError> {
    if finding.value == VerdictValue::Pass {
        return Ok(finding);
    }
    let why = match standing(case)? {
        Ok(Standing { until, signer, reason, record }) => {
            finding.value = VerdictValue::Pass;
            finding.reason = Some(format!("{WAIVED}{until} by {signer}: {reason}"));
            finding.next = None;
            finding.need = None;
            finding.evidence.extend(record);
            return Ok(finding);
        }
        Err(why) => why,
    };
    if let Some(Void { why, next }) = why {
        if next.is_some() {
            finding.value = VerdictValue::Unknown;
            finding.next = next.map(str::to_owned);
        }
        finding.reason = Some(match finding.reason {
            Some(reason) => format!("{reason}; {why}"),
            None => why,
        });
    }
    Ok(finding)
}

/// How the reason of a waived gate's verdict begins.
const WAIVED: &str = "waived until ";

/// Whether a verdict says that its gate was waived.
pub(in crate::platform::model) fn is_waived(verdict: &Verdict) -> bool {
    verdict.reason.as_ref().is_some_and(|reason| reason.starts_with(WAIVED))
}

/// Whether a waiver of the gate, given as its stage and name, stands at `at`, or why none does.
pub(in crate::platform::model) fn standing_waiver(
    store: &Local,
    rules: &Rules,
    candidate: &Candidate<'_>,
    (stage, gate): (&Name, &Name),
    target: &Name,
    at: Time,
) -> Result<Result<(), String>, ModelError> {
    let evidence = &Evidence::of(store, &[])?;
    let found = standing(&Case { rules, candidate, evidence, stage, gate, target, at })?;
    Ok(found.map(drop).map_err(|void| void.map_or_else(|| "there is none".to_owned(), |void| void.why)))
}

/// A waiver that counts.
struct Standing {
    until: String,
    signer: String,
    reason: String,
    /// That of the ledger.
    record: Option<Digest>,
}

/// Why a waiver does not count.
struct Void {
    why: String,
    /// The command that may bring what is not here, where it might count.
    next: Option<&'static str>,
}

impl Void {
    fn new(why: String) -> Self {
        Self { why, next: None }
    }
}

/// The first waiver of the gate that counts, or why the last of them does not; of one that might, if there is any.
fn standing(case: &Case<'_>) -> Result<Result<Standing, Option<Void>>, ModelError> {
    let mut why: Option<Void> = None;
    let written =
        case.rules.waivers.iter().filter(|waiver| (&waiver.gate, &waiver.stage) == (case.gate, case.stage));
    for waiver in written {
        match refusal(waiver, case) {
            None => {
                let Waiver { until, signer, reason, .. } = waiver.clone();
                return Ok(Ok(Standing { until, signer, reason, record: None }));
            }
            refusal => why = refusal.map(Void::new),
        }
    }
    for entry in case.candidate.history.waivers(case.candidate.version.number) {
        for id in &entry.evidence {
            let Some(record) = case.evidence.waiver(id)? else { continue };
            let body = &record.body;
            if (&body.gate, &body.stage) != (case.gate, case.stage) {
                continue;
            }
            if case.rules.asks_for_approvals(case.stage, case.gate) {
                let text = format!("the waiver by {} is void: approvals cannot be waived so", body.principal);
                why = Some(Void::new(text));
                continue;
            }
            match void(&record, entry, case)? {
                Some(refusal) if why.as_ref().is_none_or(|why| why.next.is_none()) => why = Some(refusal),
                Some(_) => {}
                None => {
                    let SignedWaiver { until, principal: signer, reason, .. } = record.body;
                    return Ok(Ok(Standing { until, signer, reason, record: Some(*id) }));
                }
            }
        }
    }
    Ok(Err(why))
}

/// Why a waiver of `mlp.yaml` does not count.
fn refusal(waiver: &Waiver, case: &Case<'_>) -> Option<String> {
    let signers = case.rules.signers.principals();
    if !signers.is_empty() && !signers.contains(&waiver.signer) {
        return Some(format!("a waiver by `{}`, who is no signer, is void", waiver.signer));
    }
    over(&waiver.until, &waiver.signer, case.at)
}

/// Why a signed waiver does not count.
fn void(record: &Record<SignedWaiver>, entry: &Entry, case: &Case<'_>) -> Result<Option<Void>, ModelError> {
    let body = &record.body;
    let version = case.candidate.version;
    let of = |why: &str| Ok(Some(Void::new(format!("the waiver by {} {why}", body.principal))));
    if (&body.model, body.version) != (case.candidate.history.model(), version.number) {
        return of(&format!("is for {}@{}", body.model, body.version));
    }
    if body.tree != version.tree {
        return of(&format!("is for other files ({})", body.tree.short()));
    }
    let Some(signature) = &record.signature else { return of("is not signed") };
    let (bytes, signers) = (record.signed_bytes(), &case.rules.signers);
    // The ledger's time, which only grows, and not the signer's: an expired key cannot sign for the past.
    match signers.verify(&body.principal, NAMESPACE_WAIVER, &bytes, signature, entry.time) {
        Ok(()) => {}
        Err(KeyError::Invalid(why)) => return of(&format!("does not verify ({why})")),
        Err(error) => return Err(error.into()),
    }
    if case.rules.is_author(&body.principal, &case.candidate.authors) {
        return of("is by an author of the model");
    }
    if let Some(over) = over(&body.until, &body.principal, case.at) {
        return Ok(Some(Void::new(over)));
    }
    Ok(case.rules.unknown_authors(case.candidate).map(|absent| Void {
        why: format!(
            "whether {}, who signed a waiver, made the model cannot be told: {}",
            body.principal, absent.what
        ),
        next: Some(absent.next),
    }))
}

/// That a waiver is over, if it is.
fn over(until: &str, signer: &str, at: Time) -> Option<String> {
    match end_of_day(until) {
        Some(end) if at <= end => None,
        Some(_) => Some(format!("the waiver by {signer} expired on {until}")),
        None => Some(format!("the waiver's date `{until}` is none such as 2026-12-31")),
    }
}

impl Waiver {
    /// Whether it has not expired at `at`.
    pub fn holds(&self, at: Time) -> bool {
        end_of_day(&self.until).is_some_and(|end| at <= end)
    }
}
