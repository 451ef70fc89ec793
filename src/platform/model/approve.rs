//! Approving a version: a signed statement, and an entry in the ledger that names it.

use super::gates::does_not_verify;
use super::promotion::Workshop;
use super::{Candidate, Evidence, History, ModelError, Selector};
use crate::base::{Approval, Entry, EntryKind, Failure, Name, Record, Time};
use crate::platform::run::publish;

/// What became of an approval.
#[derive(Clone, Debug)]
pub struct Approved {
    /// The entry that brought it into the ledger.
    pub entry: Entry,
    /// Who approved.
    pub principal: String,
    /// Whether the same person had approved the version for the stage already: nothing was written then.
    pub already: bool,
}

impl Workshop<'_> {
    /// Signs that `selector` may go to `stage`.
    ///
    /// # Errors
    /// Those of [`Workshop::may_approve`]; [`ModelError::NoSigners`] and [`ModelError::NotASigner`] for a key that is no signer's.
    pub fn approve(
        &self,
        selector: &Selector,
        stage: &Name,
        comment: Option<&str>,
    ) -> Result<Approved, Failure> {
        let body = self.approval(selector, stage, comment, "")?;
        let record = self.registry.approval(body, self.actor)?;
        self.take_approval(&record)
    }

    /// What `principal` would sign to say that `selector` may go to `stage`.
    pub fn approval(
        &self,
        selector: &Selector,
        stage: &Name,
        comment: Option<&str>,
        principal: &str,
    ) -> Result<Approval, ModelError> {
        let history = self.history()?;
        let version = history.select(selector)?;
        Ok(Approval {
            model: self.model.clone(),
            version: version.number,
            tree: version.tree,
            stage: stage.clone(),
            principal: principal.to_owned(),
            comment: comment.map(str::to_owned),
        })
    }

    /// Fails for an approval that no gate would count.
    ///
    /// # Errors
    /// [`ModelError::OwnApproval`] by somebody who made the version, where authors do not approve; [`ModelError::NoRole`] by somebody who
    /// has no role that the gates on the way to the stage ask for, if they ask for any.
    pub fn may_approve(&self, body: &Approval) -> Result<(), ModelError> {
        let principal = &body.principal;
        let history = self.history()?;
        let candidate = Candidate::load(self.store, &history, history.version(body.version)?, self.origin)?;
        if self.rules.is_author(principal, &candidate.authors) {
            return Err(ModelError::OwnApproval { principal: principal.clone() });
        }
        let roles = self.rules.approving_roles(&body.stage);
        let holds = |role: &&Name| self.rules.roles.get(*role).is_some_and(|held| held.contains(principal));
        if roles.is_empty() || roles.iter().any(holds) {
            return Ok(());
        }
        let roles = roles.into_iter().map(Name::to_string).collect();
        Err(ModelError::NoRole { principal: principal.clone(), stage: body.stage.clone(), roles })
    }

    /// Writes a signed approval of a version into the ledger, unless the same person has approved the version for the stage already.
    ///
    /// # Errors
    /// Those of [`Workshop::may_approve`].
    pub fn take_approval(&self, record: &Record<Approval>) -> Result<Approved, Failure> {
        let body = &record.body;
        self.may_approve(body)?;
        let done =
            |entry: Entry, already: bool| Approved { entry, principal: body.principal.clone(), already };
        let history = self.history()?;
        if let Some(there) = self.approved(&history, body)? {
            return Ok(done(there, true));
        }
        let version = history.version(body.version)?.clone();
        let id = publish(self.store, record, self.model.as_str(), &[])?;
        (self.share)(&[id])?;
        self.race(|history| {
            if let Some(there) = self.approved(history, body)? {
                return Ok(Some(done(there, true)));
            }
            let subject = self.subject(&version, Some(&body.stage), body.comment.as_deref());
            let entry = self.append(history, EntryKind::Approve, subject, vec![id], Time::now())?;
            Ok(entry.map(|entry| done(entry, false)))
        })
    }

    /// The entry that brought an approval of the same files for the same stage by the same person, if its signature holds.
    fn approved(&self, history: &History, body: &Approval) -> Result<Option<Entry>, ModelError> {
        let evidence = Evidence::of(self.store, &[])?;
        let about = |one: &Approval| (one.version, one.tree, one.stage.clone(), one.principal.clone());
        for entry in history.approvals(body.version) {
            for id in &entry.evidence {
                let Some(record) = evidence.approval(id)? else { continue };
                let holds = || does_not_verify(&record, entry, self.registry.signers);
                if about(&record.body) == about(body) && holds()?.is_none() {
                    return Ok(Some(entry.clone()));
                }
            }
        }
        Ok(None)
    }
}
