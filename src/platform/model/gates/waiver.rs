//! `waivers:`: a gate suspended until a date, with a reason and somebody who answers for it.

use super::{Case, Finding};
use crate::base::{Time, VerdictValue};
use crate::platform::model::Waiver;

/// Applies the waiver of this gate, if there is one. An active one turns what does not pass into a pass that says so; one that
/// has expired changes nothing and says so.
pub(super) fn apply(case: &Case<'_>, mut finding: Finding) -> Finding {
    if finding.value == VerdictValue::Pass {
        return finding;
    }
    let waivers: Vec<&Waiver> = case
        .rules
        .waivers
        .iter()
        .filter(|waiver| (&waiver.gate, &waiver.stage) == (case.gate, case.stage))
        .collect();
    let active = waivers.iter().find(|waiver| refusal(waiver, case).is_none());
    if let Some(waiver) = active {
        finding.value = VerdictValue::Pass;
        finding.reason =
            Some(format!("waived until {} by {}: {}", waiver.until, waiver.signer, waiver.reason));
        finding.next = None;
        finding.need = None;
        return finding;
    }
    if let Some(why) = waivers.last().and_then(|waiver| refusal(waiver, case)) {
        finding.reason = Some(match finding.reason {
            Some(reason) => format!("{reason}; {why}"),
            None => why,
        });
    }
    finding
}

/// Why a waiver does not count.
fn refusal(waiver: &Waiver, case: &Case<'_>) -> Option<String> {
    let signers = case.rules.signers.principals();
    if !signers.is_empty() && !signers.contains(&waiver.signer) {
        return Some(format!("a waiver by `{}`, who is no signer, is void", waiver.signer));
    }
    if waiver.holds(case.at) {
        return None;
    }
    Some(match waiver.end() {
        Some(_) => format!("the waiver by {} expired on {}", waiver.signer, waiver.until),
        None => format!("the waiver's date `{}` is none such as 2026-12-31", waiver.until),
    })
}

impl Waiver {
    /// The end of its last day, in UTC; none if the date is none.
    fn end(&self) -> Option<Time> {
        format!("{}T23:59:59.999Z", self.until).parse().ok()
    }

    /// Whether it has not expired at `at`.
    pub fn holds(&self, at: Time) -> bool {
        self.end().is_some_and(|end| at <= end)
    }
}
