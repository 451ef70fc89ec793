//! From a thing to the versions that rest on it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::link::{is_made, links};
use super::{Lineage, Thing};
use crate::base::{Digest, Name, RecordKind};
use crate::infrastructure::store::{NodeKind, StoreError};
use crate::platform::model::ModelError;

/// What rests on a thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Impact {
    /// The versions, by model and number.
    pub versions: Vec<Rests>,
    /// How many runs rest on it, registered or not.
    pub runs: u64,
    /// Versions of data that rest on it or hold it, by digest, with their names.
    pub data: BTreeMap<Digest, String>,
    /// Versions of data that could not be looked into, since they are not in the local store.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unseen: BTreeMap<Digest, String>,
}

/// How a version rests on a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Its training did.
    Trained,
    /// Only the evidence about it does.
    Judged,
}

/// A version that rests on a thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rests {
    /// The model.
    pub model: Name,
    /// The version.
    pub version: u64,
    /// Its files.
    pub digest: Digest,
    /// The stages that it is live in.
    pub live: Vec<Name>,
    /// Whether it was taken out of use.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
    /// How.
    pub how: How,
    /// The runs, versions of data and commits between, from the version on.
    pub through: Vec<String>,
}

impl Lineage<'_> {
    /// The versions that rest on `thing`, by whatever way: data that a step made of it, a version that another was begun with.
    ///
    /// # Errors
    /// Those of the store, but for what is not here: see [`Impact::unseen`].
    pub fn impact(&self, thing: &Thing) -> Result<Impact, ModelError> {
        let mut spread = Spread { lineage: self, from: HashMap::new(), commits: HashSet::new() };
        let mut unseen = BTreeMap::new();
        let mut start: Vec<Digest> = Vec::new();
        match thing {
            Thing::Version(model, number) => {
                let history = self.histories.iter().find(|history| history.model() == model);
                start.extend(
                    history.and_then(|history| history.version(*number).ok()).map(|version| version.tree),
                );
            }
            Thing::Record(id) | Thing::Entry(id) | Thing::Content(id) => start.push(*id),
            Thing::Commit(commit) => drop(spread.commits.insert(commit.clone())),
            // Nothing is made of an answer.
            Thing::Prediction { .. } => {}
            Thing::Code { commits, .. } => spread.commits.extend(commits.iter().cloned()),
        }
        if let Thing::Content(id) = thing {
            // A version of data may hold it without naming it.
            for (held, _) in self.looked_into(id, &mut unseen)? {
                spread.from.insert(held, Some(*id));
            }
        }
        for id in start {
            spread.from.entry(id).or_insert(None);
        }
        spread.run();
        Ok(spread.tell(unseen))
    }

    /// The trees that records and ledgers name and that hold `id` below them, with the path of the first place.
    pub(super) fn holders(&self, id: &Digest) -> Result<Vec<(Digest, String)>, ModelError> {
        self.looked_into(id, &mut BTreeMap::new())
    }

    fn looked_into(
        &self,
        id: &Digest,
        unseen: &mut BTreeMap<Digest, String>,
    ) -> Result<Vec<(Digest, String)>, ModelError> {
        let mut roots: BTreeSet<Digest> = self.pinned.keys().copied().collect();
        roots.extend(self.versions().map(|(_, version)| version.tree));
        for (named, by) in &self.naming {
            let is_tree = |(_, role): &(Digest, String)| {
                role.starts_with("data.") || role.starts_with("outputs.") || role == "tree"
            };
            if by.iter().any(is_tree) {
                roots.insert(*named);
            }
        }
        let mut search = Search { lineage: self, wanted: *id, known: HashMap::new() };
        let mut found = Vec::new();
        for root in roots.into_iter().filter(|root| root != id) {
            match search.path(&root) {
                Ok(Some(path)) => found.push((root, path)),
                Ok(None) => {}
                Err(StoreError::Missing(_)) => {
                    let name = self.data_name(&root).unwrap_or_default();
                    unseen.insert(root, name);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }
}

/// Looks for content in trees; a tree that several share is looked into once.
struct Search<'a, 'l> {
    lineage: &'a Lineage<'l>,
    wanted: Digest,
    known: HashMap<Digest, Option<String>>,
}

impl Search<'_, '_> {
    fn path(&mut self, root: &Digest) -> Result<Option<String>, StoreError> {
        if let Some(known) = self.known.get(root) {
            return Ok(known.clone());
        }
        let store = self.lineage.store;
        let mut found = None;
        if store.root_node(root)?.kind == NodeKind::Directory {
            for node in store.tree(root)?.nodes {
                let name = String::from_utf8_lossy(&node.name).into_owned();
                if node.id == self.wanted {
                    found = Some(name);
                } else if node.kind == NodeKind::Directory {
                    found = self.path(&node.id)?.map(|path| format!("{name}/{path}"));
                }
                if found.is_some() {
                    break;
                }
            }
        }
        self.known.insert(*root, found.clone());
        Ok(found)
    }
}

/// What rests on the thing so far, and on what it rests itself (none for the thing).
struct Spread<'a, 'l> {
    lineage: &'a Lineage<'l>,
    from: HashMap<Digest, Option<Digest>>,
    commits: HashSet<String>,
}

impl Spread<'_, '_> {
    /// Follows the runs: one that used what rests on the thing, or saw one of the commits, rests on it with all that it made.
    fn run(&mut self) {
        let lineage = self.lineage;
        let mut todo: Vec<Digest> = self.from.keys().copied().collect();
        todo.sort_unstable();
        for id in &lineage.order {
            let record = &lineage.records[id];
            let saw = lineage.commit_of(record).is_some_and(|commit| self.commits.contains(commit));
            if record.kind == RecordKind::Run && saw && !self.from.contains_key(id) {
                self.from.insert(*id, None);
                todo.push(*id);
            }
        }
        // Breadth first: the way that is told is a shortest one.
        let mut next = 0;
        while let Some(id) = todo.get(next).copied() {
            next += 1;
            let mut reached: Vec<Digest> = Vec::new();
            match lineage.records.get(&id) {
                Some(record) if record.kind == RecordKind::Run => {
                    reached.extend(
                        links(record).into_iter().filter(|link| is_made(&link.role)).map(|link| link.to),
                    );
                }
                _ => {
                    let users = lineage.naming(&id).iter().filter(|(record, role)| {
                        lineage.records[record].kind == RecordKind::Run && !is_made(role)
                    });
                    reached.extend(users.map(|(record, _)| *record));
                }
            }
            for to in reached {
                if let std::collections::hash_map::Entry::Vacant(entry) = self.from.entry(to) {
                    entry.insert(Some(id));
                    todo.push(to);
                }
            }
        }
    }

    fn tell(&self, unseen: BTreeMap<Digest, String>) -> Impact {
        let lineage = self.lineage;
        let mut versions = Vec::new();
        for (history, version) in lineage.versions() {
            // Where the run is known it decides: another may have made the same bytes.
            let trained = match version.run.filter(|run| lineage.records.contains_key(run)) {
                Some(run) => self.from.contains_key(&run).then_some(run),
                None => self.from.contains_key(&version.tree).then_some(version.tree),
            };
            let by_commit = version.commit.as_ref().filter(|commit| self.commits.contains(*commit));
            let (how, through) = match (trained, by_commit, self.from.get(&version.tree)) {
                // The thing itself.
                (None, None, Some(None)) => continue,
                (Some(id), ..) => (How::Trained, self.way(id)),
                (None, Some(commit), _) => (How::Trained, vec![commit.clone()]),
                (None, None, _) => match self.judged(&version.tree) {
                    Some(way) => (How::Judged, way),
                    None => continue,
                },
            };
            versions.push(Rests {
                model: history.model().clone(),
                version: version.number,
                digest: version.tree,
                live: history.live_in(version.number),
                retired: history.retired(version.number),
                how,
                through,
            });
        }
        let is_run =
            |id: &&Digest| lineage.records.get(*id).is_some_and(|record| record.kind == RecordKind::Run);
        let runs = self.from.keys().filter(is_run).count() as u64;
        let data = self.from.iter().filter(|(id, from)| from.is_some() && !lineage.records.contains_key(*id));
        let data = data.filter(|(id, _)| lineage.version_of(id).is_none() && self.is_data(id));
        let data = data.map(|(id, _)| (*id, lineage.data_name(id).unwrap_or_default())).collect();
        Impact { versions, runs, data, unseen }
    }

    /// Whether some run used it, or a step kept it under a path.
    fn is_data(&self, id: &Digest) -> bool {
        let names = |(_, role): &(Digest, String)| {
            role.starts_with("data.") || (role.starts_with("outputs.") && role != "outputs.model")
        };
        self.lineage.naming(id).iter().any(names) || self.lineage.pinned.contains_key(id)
    }

    /// The way to evidence about the files `tree` that rests on the thing.
    fn judged(&self, tree: &Digest) -> Option<Vec<String>> {
        let lineage = self.lineage;
        lineage.naming(tree).iter().find_map(|(id, role)| {
            let record = &lineage.records[id];
            if record.kind == RecordKind::Run || is_made(role) {
                return None;
            }
            let rests = |to: &Digest| to != tree && self.from.contains_key(to);
            let link = links(record).into_iter().find(|link| !is_made(&link.role) && rests(&link.to));
            match link {
                Some(link) => {
                    let mut way = vec![id.to_string()];
                    way.extend(self.way(link.to));
                    Some(way)
                }
                None => self.from.contains_key(id).then(|| vec![id.to_string()]),
            }
        })
    }

    /// From `id` to the thing.
    fn way(&self, id: Digest) -> Vec<String> {
        let mut way = Vec::new();
        let mut at = Some(id);
        while let Some(id) = at {
            way.push(id.to_string());
            at = self.from.get(&id).copied().flatten();
        }
        // A run that saw one of the commits.
        if let Some(record) =
            way.last().and_then(|last| last.parse().ok()).and_then(|id: Digest| self.lineage.records.get(&id))
            && let Some(commit) =
                self.lineage.commit_of(record).filter(|commit| self.commits.contains(*commit))
        {
            way.push(commit.to_owned());
        }
        way
    }
}
