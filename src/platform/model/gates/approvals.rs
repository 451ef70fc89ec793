//! `approvals`: people of a role have signed.

use std::collections::{BTreeMap, BTreeSet};

use super::card::commit;
use super::{Case, Finding};
use crate::base::{Approval, Entry, Name, Record};
use crate::infrastructure::keys::{KeyError, NAMESPACE_APPROVAL, Signers};
use crate::platform::model::{Approvals, ModelError};

pub(super) const MEANING: &str = "People who hold the role have signed an approval (`mlp approve`) of these very files \
     for this stage or a later one, with a key that stands in the signers' file and was valid then. Each person counts \
     once, over all groups together. Whoever trained the model does not count (trust: {separation: \
     author-not-approver}): where the record of the run or its commit is not here, nobody can tell who that was.";

pub(super) fn wanted(gate: &Approvals) -> String {
    let groups: Vec<String> = gate.groups().map(|(role, count)| format!("{count} by {role}")).collect();
    format!("signed approvals: {}", groups.join(", "))
}

impl Approvals {
    /// The groups of the gate and of its `also`: role and number.
    pub fn groups(&self) -> impl Iterator<Item = (&Name, u32)> {
        std::iter::successors(Some(self), |gate| gate.also.as_deref()).map(|gate| (&gate.role, gate.count))
    }
}

pub(super) fn find(gate: &Approvals, case: &Case<'_>) -> Result<Finding, ModelError> {
    if let Some(absent) = case.rules.unknown_authors(case.candidate) {
        return Ok(Finding::absent(absent, case));
    }
    let mut valid: BTreeMap<String, Vec<crate::base::Digest>> = BTreeMap::new();
    let mut void = Vec::new();
    let mut evidence = Vec::new();
    for entry in case.candidate.history.approvals(case.candidate.version.number) {
        for id in &entry.evidence {
            let Some(record) = case.evidence.approval(id)? else {
                void.push(format!("the approval by {} is not here", entry.actor));
                continue;
            };
            evidence.push(*id);
            match refusal(&record, entry, case)? {
                None => valid.entry(record.body.principal).or_default().push(*id),
                Some(why) => void.push(format!("the approval by {} {why}", record.body.principal)),
            }
        }
    }
    let people: Vec<&str> = valid.keys().map(String::as_str).collect();
    let places: Vec<Vec<usize>> = gate
        .groups()
        .flat_map(|(role, count)| {
            let holders = case.rules.roles.get(role).map_or(&[][..], Vec::as_slice);
            let able: Vec<usize> = (0..people.len())
                .filter(|&person| holders.iter().any(|holder| holder == people[person]))
                .collect();
            std::iter::repeat_n(able, count as usize)
        })
        .collect();
    let filled = seat(&places, people.len());
    // Who approved for the role of another gate is none of this one's.
    let asked: Vec<&str> = (0..people.len())
        .filter(|person| places.iter().any(|able| able.contains(person)))
        .map(|person| people[person])
        .collect();
    let observed = match asked.as_slice() {
        [] => "none".to_owned(),
        asked => format!("{} of {}: {}", filled, places.len(), asked.join(", ")),
    };
    let mut finding = Finding::decided(filled == places.len(), observed).resting_on(evidence);
    let mut candidates: Vec<&str> = gate
        .groups()
        .filter_map(|(role, _)| case.rules.roles.get(role))
        .flatten()
        .map(String::as_str)
        .filter(|principal| {
            !people.contains(principal) && !case.rules.is_author(principal, &case.candidate.authors)
        })
        .collect();
    let mut named = BTreeSet::new();
    candidates.retain(|principal| named.insert(*principal));
    if filled < places.len() {
        if candidates.is_empty() {
            let roles: Vec<&str> = gate.groups().map(|(role, _)| role.as_str()).collect();
            void.push(format!("nobody else holds the role {} (project: {{roles: …}})", roles.join(" or ")));
            finding = finding.next(format!(
                "name somebody else under `roles: {{{}: […]}}` in mlp.yaml, with a key in {}, then {}",
                roles[0],
                case.rules.signers_path,
                commit("mlp.yaml", case)
            ));
        } else {
            let able = candidates.join(", ");
            finding =
                finding.next(format!("mlp approve {} --to {}  # by {able}", case.reference(), case.target));
            void.push(format!("may sign: {able}"));
        }
    }
    if !void.is_empty() && filled < places.len() {
        finding = finding.because(void.join("; "));
    }
    Ok(finding)
}

/// Why an approval does not count.
fn refusal(record: &Record<Approval>, entry: &Entry, case: &Case<'_>) -> Result<Option<String>, ModelError> {
    let body = &record.body;
    let version = case.candidate.version;
    if (&body.model, body.version) != (case.candidate.history.model(), version.number) {
        return Ok(Some(format!("is for {}@{}", body.model, body.version)));
    }
    if body.tree != version.tree {
        return Ok(Some(format!("is for other files ({})", body.tree.short())));
    }
    let place = |stage| case.rules.stages.get_index_of(stage);
    if place(&body.stage) < place(case.stage) {
        return Ok(Some(format!("is for {}", body.stage)));
    }
    if let Some(why) = does_not_verify(record, entry, &case.rules.signers)? {
        return Ok(Some(why));
    }
    if case.rules.is_author(&body.principal, &case.candidate.authors) {
        return Ok(Some("is by an author of the model".to_owned()));
    }
    Ok(None)
}

/// Why the signature of an approval that came with `entry` does not hold.
pub(in crate::platform::model) fn does_not_verify(
    record: &Record<Approval>,
    entry: &Entry,
    signers: &Signers,
) -> Result<Option<String>, ModelError> {
    let Some(signature) = &record.signature else { return Ok(Some("is not signed".to_owned())) };
    let (who, bytes) = (&record.body.principal, record.signed_bytes());
    // The ledger's time, which only grows, and not the signer's: an expired key cannot sign for the past.
    match signers.verify(who, NAMESPACE_APPROVAL, &bytes, signature, entry.time) {
        Ok(()) => Ok(None),
        Err(KeyError::Invalid(why)) => Ok(Some(format!("does not verify ({why})"))),
        Err(error) => Err(error.into()),
    }
}

/// How many places can be filled when each person takes one at most (augmenting paths; Kuhn, 1955).
fn seat(places: &[Vec<usize>], people: usize) -> usize {
    fn find(place: usize, places: &[Vec<usize>], seen: &mut [bool], taken: &mut [Option<usize>]) -> bool {
        for &person in &places[place] {
            if std::mem::replace(&mut seen[person], true) {
                continue;
            }
            if taken[person].is_none_or(|other| find(other, places, seen, taken)) {
                taken[person] = Some(place);
                return true;
            }
        }
        false
    }
    let mut taken = vec![None; people];
    (0..places.len()).filter(|&place| find(place, places, &mut vec![false; people], &mut taken)).count()
}

#[cfg(test)]
mod tests {
    use super::seat;

    #[test]
    fn each_person_takes_one_place_and_all_that_can_be_filled_are() {
        // Person 0 holds both roles, person 1 only the first: 0 must give way.
        assert_eq!(seat(&[vec![0, 1], vec![0]], 2), 2);
        assert_eq!(seat(&[vec![0], vec![0]], 1), 1);
        assert_eq!(seat(&[vec![], vec![0]], 1), 1);
        assert_eq!(seat(&[], 3), 0);
    }
}
