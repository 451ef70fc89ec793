//! Suspending a gate for one version: a signed statement, and an entry in the ledger that names it.

use super::promotion::Workshop;
use super::{ModelError, Selector};
use crate::base::{Entry, EntryKind, Failure, Name, Record, SignedWaiver, Time};
use crate::platform::run::publish;

/// What is to be suspended, until when, and why.
#[derive(Clone, Debug)]
pub struct Suspension<'a> {
    /// The stage the gate belongs to.
    pub stage: &'a Name,
    /// The gate.
    pub gate: &'a Name,
    /// The last day it holds, in UTC: `2026-12-31`.
    pub until: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// The end of a day such as `2026-12-31`, in UTC; none if the text is no day.
pub fn end_of_day(day: &str) -> Option<Time> {
    (day.len() == 10).then(|| format!("{day}T23:59:59.999Z").parse().ok())?
}

impl Workshop<'_> {
    /// Signs that a gate is suspended for the version that `selector` means, and writes it into the ledger.
    ///
    /// # Errors
    /// [`ModelError::Approvals`] for a gate that asks for approvals; [`ModelError::Until`] for a day that is none or over;
    /// [`ModelError::NoSigners`] and [`ModelError::NotASigner`] as for an approval; [`ModelError::OwnWaiver`] for somebody who made the version, where authors do not approve, and
    /// [`ModelError::UnknownAuthors`] if nobody can tell here who that is.
    pub fn waive(&self, selector: &Selector, suspension: &Suspension<'_>) -> Result<Entry, Failure> {
        let Suspension { stage, gate, until, reason } = *suspension;
        if end_of_day(until).is_none_or(|end| end < Time::now()) {
            return Err(ModelError::Until { text: until.to_owned() }.into());
        }
        self.rules.waivable(stage, gate)?;
        let history = self.history()?;
        let version = history.select(selector)?.clone();
        let candidate = super::Candidate::load(self.store, &history, &version, self.origin)?;
        self.rules.known_authors(&candidate)?;
        let body = SignedWaiver {
            model: self.model.clone(),
            version: version.number,
            tree: version.tree,
            stage: stage.clone(),
            gate: gate.clone(),
            until: until.to_owned(),
            reason: reason.to_owned(),
            principal: String::new(),
        };
        let record: Record<SignedWaiver> = self.registry.waiver(body, self.actor)?;
        if self.rules.is_author(&record.body.principal, &candidate.authors) {
            let principal = record.body.principal;
            return Err(ModelError::OwnWaiver { principal, gate: gate.clone() }.into());
        }
        let id = publish(self.store, &record, self.model.as_str(), &[])?;
        (self.share)(&[id])?;
        self.race(|history| {
            let subject = self.subject(&version, Some(stage), Some(reason));
            Ok(self.append(history, EntryKind::Waive, subject, vec![id], Time::now())?)
        })
    }
}
