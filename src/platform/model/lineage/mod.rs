//! Lineage: what rests on what, read from the digests that records and ledger entries name.
//!
//! No table is kept beside the records: they are read once, and whatever digest a record names is an edge. A kind of record that is
//! made up later takes part without a word here.

mod error;
mod find;
mod graph;
mod impact;
mod link;
mod summary;
#[cfg(test)]
mod tests;
mod why;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use error::{EXPLAIN as LINEAGE_EXPLAIN, LineageError};
pub use find::Thing;
pub use graph::{Edge, Graph, Node};
pub use impact::{How, Impact, Rests};
pub(super) use summary::summary;

use self::link::{Link, links};
use super::{History, ModelError, Version};
use crate::base::{AnyRecord, Digest, RecordKind};
use crate::infrastructure::store::{Local, PinKind, StoreError};

/// All records at hand and the ledgers, with who names what.
pub struct Lineage<'a> {
    store: &'a Local,
    histories: &'a [History],
    /// What is known of a commit, for people: `Ada <ada@example.org>: Begin`.
    commit: &'a dyn Fn(&str) -> Option<String>,
    records: HashMap<Digest, AnyRecord>,
    /// The records, oldest first.
    order: Vec<Digest>,
    /// The records that name a digest, oldest first, and as what.
    naming: HashMap<Digest, Vec<(Digest, String)>>,
    /// Where versions of data were pinned: name and commit.
    pinned: BTreeMap<Digest, (String, Option<String>)>,
    /// Records that pins name and that are not here.
    pub absent: BTreeSet<Digest>,
}

impl<'a> Lineage<'a> {
    /// Reads and verifies every record that a pin of `store` names.
    ///
    /// # Errors
    /// Those of the store for a record that is damaged. One that is not here is no error: [`Lineage::absent`] names it.
    pub fn read(
        store: &'a Local,
        histories: &'a [History],
        commit: &'a dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ModelError> {
        let mut lineage = Self {
            store,
            histories,
            commit,
            records: HashMap::new(),
            order: Vec::new(),
            naming: HashMap::new(),
            pinned: BTreeMap::new(),
            absent: BTreeSet::new(),
        };
        for pin in store.pins()? {
            if pin.kind == PinKind::Data {
                for root in pin.roots {
                    lineage.pinned.insert(root, (pin.name.clone(), pin.commit.clone()));
                }
                continue;
            }
            for id in pin.records {
                if lineage.records.contains_key(&id) {
                    continue;
                }
                match store.any_record(&id) {
                    Ok(record) => lineage.take(id, record),
                    Err(StoreError::Missing(_)) => drop(lineage.absent.insert(id)),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(lineage)
    }

    fn take(&mut self, id: Digest, record: AnyRecord) {
        for Link { role, to } in links(&record) {
            let naming = self.naming.entry(to).or_default();
            // What stands among the inputs and in the body is one edge.
            if naming.last().is_none_or(|(last, _)| *last != id) {
                naming.push((id, role));
            }
        }
        self.order.push(id);
        self.records.insert(id, record);
    }

    /// How many records were read.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// A record at hand.
    pub fn record(&self, id: &Digest) -> Option<&AnyRecord> {
        self.records.get(id)
    }

    /// The records that name `id`, and are not what made it, oldest first.
    pub fn about(&self, id: &Digest) -> impl Iterator<Item = (Digest, &AnyRecord)> {
        let rests = self.naming(id).iter().filter(|(_, role)| !link::is_made(role));
        rests.map(|(record, _)| (*record, &self.records[record]))
    }

    /// The versions of all models, with their histories.
    fn versions(&self) -> impl Iterator<Item = (&'a History, &'a Version)> {
        let histories = self.histories;
        histories.iter().flat_map(|history| history.versions().iter().map(move |version| (history, version)))
    }

    /// The version whose files are the tree `tree`: of those with the same files the first.
    fn version_of(&self, tree: &Digest) -> Option<(&'a History, &'a Version)> {
        self.versions().find(|(_, version)| version.tree == *tree)
    }

    /// The records that name `id`, oldest first, and as what.
    fn naming(&self, id: &Digest) -> &[(Digest, String)] {
        self.naming.get(id).map_or(&[], Vec::as_slice)
    }

    /// The runs that made `id`, oldest first.
    fn makers(&self, id: &Digest) -> impl Iterator<Item = Digest> {
        let made = |(record, role): &&(Digest, String)| {
            self.records[record].kind == RecordKind::Run && link::is_made(role)
        };
        self.naming(id).iter().filter(made).map(|(record, _)| *record)
    }

    /// The commit that a run saw.
    fn commit_of<'r>(&self, record: &'r AnyRecord) -> Option<&'r str> {
        record.body["git"]["commit"].as_str()
    }
}
