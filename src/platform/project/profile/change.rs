//! What another version of a profile asks, and taking it over: a three-way merge of gates, whose base is the version that the project
//! follows and whose sides are the project's own gates and those of the other version.

use indexmap::IndexMap;
use serde::Serialize;

use super::{Following, Loosening, Manifest, defaults, kinds, loosened, versions, waived, weaker};
use crate::base::{Name, Time};
use crate::platform::model::GateSpec;

/// A gate that another version of the profile has and this one has not, or the other way round, or in another form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The stage.
    pub stage: Name,
    /// The gate.
    pub gate: Name,
    /// Whether more is asked, or less.
    pub kind: ChangeKind,
    /// What the version that the project follows wants; absent if it has no such gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What the other version wants; absent if it has no such gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Whether another version asks for more or for less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A gate that was not there, or a stricter one.
    More,
    /// A gate that is gone, or a weaker one.
    Less,
    /// More in one way and less in another.
    Other,
}

/// A gate that both the project and the other version changed, and where the project's asks for less.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The stage.
    pub stage: Name,
    /// The gate.
    pub gate: Name,
    /// What the project wants.
    pub own: String,
    /// What the other version wants.
    pub wanted: String,
    /// In what the project's asks for less.
    pub why: String,
}

/// What following another version would come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Update {
    /// What the project follows.
    #[serde(serialize_with = "shown")]
    pub from: Following,
    /// What it would follow.
    #[serde(serialize_with = "shown")]
    pub to: Following,
    /// What changes, apart from gates that the project has in its own form.
    pub changes: Vec<Change>,
    /// Own gates of the project that stay as they are, although the other version has another form of them: they ask for as much.
    pub kept: Vec<Change>,
    /// Own gates that would ask for less than the other version.
    pub conflicts: Vec<Conflict>,
}

fn shown<S: serde::Serializer>(following: &Following, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(following)
}

type Gates = IndexMap<Name, IndexMap<Name, GateSpec>>;

impl Update {
    /// What following the version `to` instead of the present one would come to in this project at `at`.
    pub fn plan(manifest: &Manifest, to: Following, at: Time) -> Self {
        let from = manifest.project.profile;
        let mut update = Self { from, to, changes: Vec::new(), kept: Vec::new(), conflicts: Vec::new() };
        for of in kinds(manifest, None) {
            update.add(manifest, &defaults(manifest, from, of), &defaults(manifest, to, of), at);
        }
        // What asks for as much for one kind of models counts for it; the other kind gets the version's own.
        let kept = std::mem::take(&mut update.kept);
        let stays = |conflict: &Conflict| {
            kept.iter().any(|kept| (&kept.stage, &kept.gate) == (&conflict.stage, &conflict.gate))
        };
        update.conflicts.retain(|conflict| !stays(conflict));
        let mut update = Self { kept, ..update };
        update.add_loosened(manifest, at);
        update
    }

    /// Adds own gates that ask for less than a gate that both versions have.
    fn add_loosened(&mut self, manifest: &Manifest, at: Time) {
        let mut moved = manifest.clone();
        moved.project.profile = self.to;
        for Loosening { stage, gate, why } in loosened(&moved, at) {
            let known = self.conflicts.iter().any(|other| (&other.stage, &other.gate) == (&stage, &gate));
            let own = manifest.stages.get(&stage).and_then(|own| own.gates.get(&gate));
            let theirs = kinds(&moved, None).into_iter().find_map(|of| {
                defaults(&moved, self.to, of).get(&stage).and_then(|gates| gates.get(&gate)).cloned()
            });
            if let (Some(own), Some(theirs), false) = (own, theirs, known) {
                let (own, wanted) = (own.wanted(), theirs.wanted());
                self.conflicts.push(Conflict { stage, gate, own, wanted, why });
            }
        }
    }

    /// Adds what changes for models of one kind.
    fn add(&mut self, manifest: &Manifest, base: &Gates, other: &Gates, at: Time) {
        for change in changes(base, other) {
            if self.changes.contains(&change) || self.kept.contains(&change) {
                continue;
            }
            let own = manifest.stages.get(&change.stage).and_then(|stage| stage.gates.get(&change.gate));
            let theirs = other.get(&change.stage).and_then(|gates| gates.get(&change.gate));
            // A gate that leaves the profile and that the project has in its own form is the project's own from then on.
            let (Some(own), Some(theirs)) = (own, theirs) else {
                match own {
                    Some(_) => self.kept.push(change),
                    None => self.changes.push(change),
                }
                continue;
            };
            let waived = waived(manifest, &change.stage, &change.gate, at);
            match weaker(theirs, own).filter(|_| !waived) {
                None => self.kept.push(change),
                Some(why) => self.conflicts.push(Conflict {
                    stage: change.stage,
                    gate: change.gate,
                    own: own.wanted(),
                    wanted: theirs.wanted(),
                    why,
                }),
            }
        }
    }
}

/// The gates that are not the same, stage by stage.
fn changes(base: &Gates, other: &Gates) -> Vec<Change> {
    let mut found = Vec::new();
    for (stage, after) in other {
        let none = IndexMap::new();
        let before = base.get(stage).unwrap_or(&none);
        let names = before.keys().chain(after.keys().filter(|gate| !before.contains_key(*gate)));
        for gate in names {
            let (old, new) = (before.get(gate), after.get(gate));
            let kind = match (old, new) {
                (old, new) if old == new => continue,
                (None, _) => ChangeKind::More,
                (_, None) => ChangeKind::Less,
                (Some(old), Some(new)) => match (weaker(old, new), weaker(new, old)) {
                    (None, _) => ChangeKind::More,
                    (Some(_), None) => ChangeKind::Less,
                    (Some(_), Some(_)) => ChangeKind::Other,
                },
            };
            found.push(Change {
                stage: stage.clone(),
                gate: gate.clone(),
                kind,
                before: old.map(GateSpec::wanted),
                after: new.map(GateSpec::wanted),
            });
        }
    }
    found
}

impl Following {
    /// The text of this version, as it is compiled in: `templates/profiles/product-2.yaml`.
    pub fn text(self) -> &'static str {
        versions::text(self)
    }

    /// What it is, in one line.
    pub fn about(self) -> &'static str {
        &versions::version(self).about
    }
}
