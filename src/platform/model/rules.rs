//! What a judgement goes by: stages, roles, signers and waivers as they stand on the trust branch.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::{Absent, Approvals, Candidate, GateSpec, ModelError, Separation, StageSpec, Waiver};
use crate::base::{Digest, Name, nearest};
use crate::infrastructure::keys::Signers;
use crate::platform::data::NearGuard;

/// The resolved rules for one model.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Where they stand, for people: `origin/main`, or `main` where there is no remote.
    pub source: String,
    /// The commit of that branch, in hexadecimal.
    pub commit: String,
    /// The stages in order, with the gates of the profile.
    pub stages: IndexMap<Name, StageSpec>,
    /// Principals by role.
    pub roles: BTreeMap<Name, Vec<String>>,
    /// Who may sign.
    pub signers: Signers,
    /// The path of the signers' file, for people.
    pub signers_path: String,
    /// Who may approve.
    pub separation: Separation,
    /// Suspended gates.
    pub waivers: Vec<Waiver>,
    /// The project's datasets.
    pub data: BTreeMap<Name, DataRule>,
    /// The dataset of the model.
    pub dataset: Option<Name>,
    /// The model card.
    pub card: Option<Card>,
    /// Other files that gates name, by path.
    pub files: BTreeMap<String, Card>,
    /// The licence of the model, an SPDX identifier.
    pub licence: Option<String>,
}

/// What the rules know of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataRule {
    /// Where it lies in the project.
    pub path: String,
    /// Digest of the settings that decide the parts.
    pub settings: Digest,
    /// How many expectations it has.
    pub expectations: usize,
    /// How many examples of one part may stand in another.
    pub overlap: u64,
    /// How near images of different parts may be, and how many may be nearer.
    pub near: Option<NearGuard>,
    /// The data card.
    pub card: Option<Card>,
    /// Its licence, an SPDX identifier.
    pub licence: Option<String>,
}

/// A text file on the trust branch: a card, a charter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its path in the project.
    pub path: String,
    /// Its text; none if the trust branch has no such file.
    pub text: Option<String>,
    /// The digest of its bytes.
    pub digest: Option<Digest>,
}

impl Rules {
    /// The trust branch, called the same in every clone: what stands in a verdict.
    pub fn branch(&self) -> &str {
        self.source.strip_prefix("origin/").unwrap_or(&self.source)
    }

    /// All files of the trust branch that a verdict can rest on.
    pub fn pages(&self) -> impl Iterator<Item = &Card> {
        let of_data = self.data.values().filter_map(|rule| rule.card.as_ref());
        self.card.iter().chain(of_data).chain(self.files.values())
    }

    /// Whether a principal made the model, where who made it does not approve it: it is the email address, its part before the `@`, or
    /// the name of one of the `authors` (`Name <email>`).
    pub fn is_author(&self, principal: &str, authors: &[String]) -> bool {
        if self.separation == Separation::None {
            return false;
        }
        authors.iter().any(|author| {
            let (name, email) = author.split_once('<').unwrap_or((author, ""));
            let email = email.trim_end_matches('>').trim();
            let local = email.split('@').next().unwrap_or_default();
            [name.trim(), email, local]
                .iter()
                .any(|known| !known.is_empty() && known.eq_ignore_ascii_case(principal))
        })
    }

    /// What is not here of who made the candidate, where who made it does not approve it.
    pub fn unknown_authors(&self, candidate: &Candidate<'_>) -> Option<Absent> {
        candidate.absent().filter(|_| self.separation != Separation::None)
    }

    /// Fails where who made the candidate does not approve it, and cannot be told here.
    pub fn known_authors(&self, candidate: &Candidate<'_>) -> Result<(), ModelError> {
        let Some(Absent { what, next }) = self.unknown_authors(candidate) else { return Ok(()) };
        let (model, number) = (candidate.history.model().clone(), candidate.version.number);
        Err(ModelError::UnknownAuthors { model, number, what, next })
    }

    /// The stage that the user calls `stage`.
    pub fn stage(&self, stage: &str) -> Result<&Name, ModelError> {
        let known = || self.stages.keys().map(Name::as_str);
        self.stages.keys().find(|name| name.as_str() == stage).ok_or_else(|| ModelError::UnknownStage {
            stage: stage.escape_debug().to_string(),
            near: nearest(stage, known()).map(str::to_owned),
            known: known().map(str::to_owned).collect(),
        })
    }

    /// Whether the gate asks for approvals. One signature must not stand for those of others: only `waivers:` on the trust branch can
    /// suspend it.
    pub fn asks_for_approvals(&self, stage: &Name, gate: &Name) -> bool {
        let gate = self.stages.get(stage).and_then(|stage| stage.gates.get(gate));
        matches!(gate, Some(GateSpec::Approvals(_)))
    }

    /// The roles whose approvals the gates on the way to `target` ask for.
    pub fn approving_roles(&self, target: &Name) -> Vec<&Name> {
        let asked = self.gates(target).filter_map(|(_, _, gate)| match gate {
            GateSpec::Approvals(gate) => Some(gate),
            _ => None,
        });
        let mut roles: Vec<&Name> = asked.flat_map(Approvals::groups).map(|(role, _)| role).collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    /// Fails for a gate that a signed waiver cannot suspend.
    pub fn waivable(&self, stage: &Name, gate: &Name) -> Result<(), ModelError> {
        if self.asks_for_approvals(stage, gate) {
            return Err(ModelError::Approvals { stage: stage.clone(), gate: gate.clone() });
        }
        Ok(())
    }

    /// The gates that a promotion to `target` must pass: its own and those of all earlier stages, in order.
    pub fn gates<'a>(&'a self, target: &Name) -> impl Iterator<Item = (&'a Name, &'a Name, &'a GateSpec)> {
        let until = self.stages.get_index_of(target).map_or(0, |index| index + 1);
        self.stages
            .iter()
            .take(until)
            .flat_map(|(stage, spec)| spec.gates.iter().map(move |(name, gate)| (stage, name, gate)))
    }

    /// The stage after the last one in which something is live, or the first: where the work goes next.
    pub fn next_stage(&self, is_live: impl Fn(&Name) -> bool) -> Option<&Name> {
        let last = self.stages.keys().rposition(is_live);
        self.stages.get_index(last.map_or(0, |index| index + 1)).map(|(name, _)| name)
    }
}
