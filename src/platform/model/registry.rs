//! Reading and extending the ledger of a model, with signatures where the project has signers.

use std::cell::RefCell;

use rayon::prelude::*;

use super::{History, ModelError};
use crate::base::{Approval, Body, Digest, Entry, EntryKind, Id, Name, Record, SignedWaiver, Subject, Time};
use crate::infrastructure::keys::{
    KeyError, NAMESPACE_APPROVAL, NAMESPACE_LEDGER, NAMESPACE_WAIVER, Signers, SigningKey,
};
use crate::infrastructure::store::{Appended, Head, Ledger, LedgerHome};

/// The ledgers of one project.
pub struct Registry<'a> {
    /// Where they live.
    pub home: &'a LedgerHome,
    /// The project.
    pub project: Id,
    /// Who may sign, from the trust branch; empty in a project without signers.
    pub signers: &'a Signers,
}

/// An entry to be, without what its place in the chain gives it.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What it does.
    pub kind: EntryKind,
    /// What it is about.
    pub subject: Subject,
    /// The records it rests on.
    pub evidence: Vec<Digest>,
}

/// Who acts.
pub struct Actor {
    /// Git's `Name <email>`.
    author: String,
    key: Option<SigningKey>,
    /// The principal that the key is taken for; corrected once the first signature tells.
    principal: RefCell<String>,
    /// Where the signers stand, for people.
    signers_place: String,
}

/// Whether entries of this kind are signed in a project with signers.
fn is_signed(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::Approve | EntryKind::Promote | EntryKind::Rollback | EntryKind::Waive)
}

impl Actor {
    /// Somebody who acts without signing: the project has no signers.
    pub fn unsigned(author: impl Into<String>, signers_place: impl Into<String>) -> Self {
        let (author, signers_place) = (author.into(), signers_place.into());
        Self { author, key: None, principal: RefCell::default(), signers_place }
    }

    /// Somebody who signs with `key` and is most likely the principal `email`.
    pub fn signing(
        author: impl Into<String>,
        email: impl Into<String>,
        key: SigningKey,
        signers_place: impl Into<String>,
    ) -> Self {
        Self {
            author: author.into(),
            key: Some(key),
            principal: RefCell::new(email.into()),
            signers_place: signers_place.into(),
        }
    }

    /// Git's `Name <email>`.
    pub fn author(&self) -> &str {
        &self.author
    }

    /// Signs what `bytes` gives for a principal, and finds the principal: once with the likely one, and again if the
    /// signature turns out to be another's.
    fn seal(
        &self,
        key: &SigningKey,
        namespace: &str,
        signers: &Signers,
        at: Time,
        bytes: impl Fn(&str) -> Vec<u8>,
    ) -> Result<(String, String), ModelError> {
        for _ in 0..2 {
            let likely = self.principal.borrow().clone();
            let message = bytes(&likely);
            let signature = key.sign(&message, namespace)?;
            let found = signers.signer(&likely, namespace, &message, &signature, at);
            let principal = found.map_err(|error| match error {
                KeyError::Invalid(why) => {
                    ModelError::NotASigner { key: key.describe(), signers: self.signers_place.clone(), why }
                }
                other => other.into(),
            })?;
            if principal == likely {
                return Ok((principal, signature));
            }
            *self.principal.borrow_mut() = principal;
        }
        let why = "its principal cannot be told".to_owned();
        Err(ModelError::NotASigner { key: key.describe(), signers: self.signers_place.clone(), why })
    }
}

impl Registry<'_> {
    /// The ledger of `model`, replayed and its signatures verified: for who builds on it.
    pub fn history(&self, model: &Name) -> Result<History, ModelError> {
        self.of(model, self.ledger(model).whole()?)
    }

    /// The same once more: entries that were compared by [`Registry::history`] are not compared again.
    pub fn history_again(&self, model: &Name) -> Result<History, ModelError> {
        self.of(model, self.ledger(model).entries()?)
    }

    fn of(&self, model: &Name, entries: Vec<Entry>) -> Result<History, ModelError> {
        let history = History::of_chain(model, entries)?;
        self.verify(&history)?;
        Ok(history)
    }

    /// The same for who only looks, with what is wrong if it is not the ledger that this clone has seen. Of one with a damaged or
    /// untrusted entry it is what comes before that.
    pub fn look(&self, model: &Name) -> Result<(History, Option<ModelError>), ModelError> {
        let (entries, changed) = self.ledger(model).look()?;
        let (history, wrong) = History::sound(model, entries);
        match self.verify(&history) {
            Err(error @ ModelError::Untrusted { seq, .. }) => {
                Ok((history.first(seq.saturating_sub(1) as usize)?, Some(error)))
            }
            verified => verified.map(|()| (history, wrong.or(changed.map(ModelError::from)))),
        }
    }

    /// Checks every signature that was not checked before against the same signers.
    fn verify(&self, history: &History) -> Result<(), ModelError> {
        if self.signers.is_empty() {
            return Ok(());
        }
        let (ledger, signers) = (self.ledger(history.model()), Digest::of(self.signers.0.as_bytes()));
        let known = ledger.verified(signers).map_or(0, |head| {
            let is_there = history.digests().get(head.seq as usize - 1) == Some(&head.entry);
            if is_there { head.seq as usize } else { 0 }
        });
        let entries = history.entries();
        if known == entries.len() {
            return Ok(());
        }
        let first_signed =
            entries.iter().position(|entry| entry.signature.is_some()).unwrap_or(entries.len());
        let wrong = |(index, entry): (usize, &Entry)| {
            let why = distrust(entry, self.signers, index > first_signed)?;
            Some(ModelError::Untrusted {
                model: history.model().clone(),
                seq: entry.seq,
                what: format!("{} by {}", entry.kind, entry.actor),
                why,
            })
        };
        let found = entries.par_iter().enumerate().skip(known).map(wrong).find_first(Option::is_some);
        if let Some(error) = found.flatten() {
            return Err(error);
        }
        if let (Some(last), Some(tail)) = (entries.last(), history.tail()) {
            ledger.remember_verified(Head { seq: last.seq, entry: tail }, signers);
        }
        Ok(())
    }

    /// The stored ledger of `model`.
    pub fn ledger(&self, model: &Name) -> Ledger<'_> {
        Ledger { home: self.home, project: self.project, model: model.clone() }
    }

    /// Signs an approval by `actor`, who must be a signer of the project.
    pub fn approval(&self, body: Approval, actor: &Actor) -> Result<Record<Approval>, ModelError> {
        let tree = body.tree;
        self.signed(body, tree, NAMESPACE_APPROVAL, actor, |body, principal| {
            principal.clone_into(&mut body.principal);
        })
    }

    /// Signs a waiver by `actor`, who must be a signer of the project.
    pub fn waiver(&self, body: SignedWaiver, actor: &Actor) -> Result<Record<SignedWaiver>, ModelError> {
        let tree = body.tree;
        self.signed(body, tree, NAMESPACE_WAIVER, actor, |body, principal| {
            principal.clone_into(&mut body.principal);
        })
    }

    /// A record about `tree` that `actor` signs; `name` writes the principal into its body.
    fn signed<B: Body + Clone>(
        &self,
        body: B,
        tree: Digest,
        namespace: &str,
        actor: &Actor,
        name: impl Fn(&mut B, &str),
    ) -> Result<Record<B>, ModelError> {
        let Some(key) = &actor.key else {
            return Err(ModelError::NoSigners { signers: actor.signers_place.clone() });
        };
        let mut record = Record::new(actor.author.clone(), vec![tree], body);
        let at = record.time.unwrap_or_else(Time::now);
        let draft = record.clone();
        let (principal, signature) = actor.seal(key, namespace, self.signers, at, |principal| {
            let mut draft = draft.clone();
            name(&mut draft.body, principal);
            draft.signed_bytes()
        })?;
        name(&mut record.body, &principal);
        record.signature = Some(signature);
        Ok(record)
    }

    /// Makes `draft` the next entry after `history` at the time `at`; none if somebody else was faster.
    ///
    /// Signed if the project has signers and the kind of entry asks for it. The time never goes back.
    pub fn append(
        &self,
        history: &History,
        draft: &Draft,
        actor: &Actor,
        at: Time,
    ) -> Result<Option<Entry>, ModelError> {
        let last = history.entries().last();
        let mut entry = Entry {
            schema: Entry::SCHEMA.to_owned(),
            seq: last.map_or(0, |last| last.seq) + 1,
            prev: history.tail(),
            op: Id::new(),
            time: last.map_or(at, |last| last.time.max(at)),
            actor: actor.author.clone(),
            kind: draft.kind,
            subject: draft.subject.clone(),
            evidence: draft.evidence.clone(),
            signature: None,
        };
        if is_signed(draft.kind) && !self.signers.is_empty() {
            let Some(key) = &actor.key else {
                return Err(ModelError::NoSigners { signers: actor.signers_place.clone() });
            };
            let unsigned = entry.clone();
            let bytes =
                |principal: &str| Entry { actor: principal.to_owned(), ..unsigned.clone() }.signed_bytes();
            let (principal, signature) =
                actor.seal(key, NAMESPACE_LEDGER, self.signers, entry.time, bytes)?;
            entry.actor = principal;
            entry.signature = Some(signature);
        }
        // An entry that nobody could replay must not get in: it would close the ledger for good.
        history.followed_by(&entry)?;
        match self.ledger(history.model()).append(&entry)? {
            Appended::Yes => Ok(Some(entry)),
            Appended::Lost => Ok(None),
        }
    }
}

/// Why the signature of `entry`, or that it has none, cannot be trusted. Once an entry is signed (`signed_before`), every later one
/// that acts must be; those from before the project had signers stay as they are.
pub(super) fn distrust(entry: &Entry, signers: &Signers, signed_before: bool) -> Option<String> {
    match &entry.signature {
        Some(signature) => {
            let bytes = entry.signed_bytes();
            let verified = signers.verify(&entry.actor, NAMESPACE_LEDGER, &bytes, signature, entry.time);
            verified.err().map(|error| doubt(&entry.actor, signers, &error))
        }
        None => (signed_before && is_signed(entry.kind)).then(|| "it is not signed".to_owned()),
    }
}

/// Why a signature by `principal` does not hold: whoever is not in the file may have left, and need not have forged anything.
pub(super) fn doubt(principal: &str, signers: &Signers, error: &KeyError) -> String {
    let mut known = signers.principals().into_iter();
    match known.any(|name| name == principal || name.contains(['*', '?', '!'])) {
        true => error.to_string(),
        false => format!(
            "the signer `{}` is not in the signers' file (left? put the line back with `valid-before=`)",
            principal.escape_debug()
        ),
    }
}

impl History {
    /// Fails if the project has signers and what is live in `stage` came there unsigned: such a version is not served.
    pub fn verify_live(&self, stage: &Name, signers: &Signers) -> Result<(), ModelError> {
        match (self.live(stage), self.live_entry(stage)) {
            (Some(version), Some(entry)) if !signers.is_empty() && entry.signature.is_none() => {
                Err(ModelError::Unsigned {
                    model: self.model().clone(),
                    stage: stage.clone(),
                    number: version.number,
                })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
