//! Waivers: a gate suspended until a day, with a reason and somebody who answers for it. Those of `waivers:` in `mlp.yaml` are for
//! every version; those of the ledger are signed and for one.

use super::{Case, Finding};
use crate::base::{Digest, Entry, Record, SignedWaiver, Time, VerdictValue};
use crate::infrastructure::keys::{KeyError, NAMESPACE_WAIVER};
use crate::platform::model::{ModelError, Waiver, end_of_day};

/// Applies the waivers of this gate, if there are any. An active one turns what does not pass into a pass that says so; those that
/// are void or have expired change nothing, and the last of them says so.
pub(super) fn apply(case: &Case<'_>, mut finding: Finding) -> Result<Finding, ModelError> {
    if finding.value == VerdictValue::Pass {
        return Ok(finding);
    }
    let mut why = None;
    let written =
        case.rules.waivers.iter().filter(|waiver| (&waiver.gate, &waiver.stage) == (case.gate, case.stage));
    for waiver in written {
        match refusal(waiver, case) {
            None => return Ok(open(finding, &waiver.until, &waiver.signer, &waiver.reason, None)),
            refusal => why = refusal,
        }
    }
    for entry in case.candidate.history.waivers(case.candidate.version.number) {
        for id in &entry.evidence {
            let Some(record) = case.evidence.waiver(id)? else { continue };
            let body = &record.body;
            if (&body.gate, &body.stage) != (case.gate, case.stage) {
                continue;
            }
            match void(&record, entry, case)? {
                None => return Ok(open(finding, &body.until, &body.principal, &body.reason, Some(*id))),
                refusal => why = refusal,
            }
        }
    }
    if let Some(why) = why {
        finding.reason = Some(match finding.reason {
            Some(reason) => format!("{reason}; {why}"),
            None => why,
        });
    }
    Ok(finding)
}

fn open(mut finding: Finding, until: &str, signer: &str, reason: &str, record: Option<Digest>) -> Finding {
    finding.value = VerdictValue::Pass;
    finding.reason = Some(format!("waived until {until} by {signer}: {reason}"));
    finding.next = None;
    finding.need = None;
    finding.evidence.extend(record);
    finding
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
fn void(record: &Record<SignedWaiver>, entry: &Entry, case: &Case<'_>) -> Result<Option<String>, ModelError> {
    let body = &record.body;
    let version = case.candidate.version;
    let of = |why: &str| Ok(Some(format!("the waiver by {} {why}", body.principal)));
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
    Ok(over(&body.until, &body.principal, case.at))
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
