//! A ledger in refs of a shared git repository: `refs/mlp/ledger/<project>/<16 hex>`, a commit per entry.
//!
//! The commit of an entry follows the commit of the entry before and holds the entry's bytes; the ref moves from one to the
//! next by compare-and-swap. The same entries are the same commits, whoever makes them.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::bucket::Bucket;
use super::chain::{damaged, decode, encode};
use super::shared::{Far, Shared};
use super::{Care, folder};
use crate::base::{Digest, Entry, Id, Name};
use crate::infrastructure::git::Repo;
use crate::infrastructure::store::StoreError;

/// Attempts to move the ref when neither success nor defeat can be read back.
const ATTEMPTS: u32 = 4;

/// One model's ledger in a ref.
pub(super) struct Refs<'a> {
    repo: &'a Repo,
    origin: &'a str,
    store: PathBuf,
    /// Where the ledger was, or would be, without `ledger: git`.
    before: &'a Bucket<'a>,
    /// Where what is known about the git remote is kept.
    seen: PathBuf,
    name: String,
    /// The commits and their bytes, as last read.
    links: RefCell<Vec<(String, Vec<u8>)>>,
}

impl<'a> Refs<'a> {
    /// The ledger `key` (`ledger/<project>/<model>`) on the git remote `origin`.
    pub(super) fn new(
        repo: &'a Repo,
        origin: &'a str,
        store: &Path,
        key: String,
        before: &'a Bucket<'a>,
    ) -> Result<Self, StoreError> {
        let url = repo.remote_url(origin).map_err(StoreError::Git)?;
        let folder = Digest::of(format!("git\n{url}").as_bytes()).hex()[..16].to_owned();
        Ok(Self {
            repo,
            origin,
            store: store.to_owned(),
            before,
            seen: store.join("remotes").join(folder).join(&key),
            name: format!("refs/mlp/{key}"),
            links: RefCell::default(),
        })
    }

    /// Takes what the store's ledger holds into the copy, while there is none in git: from there it is published.
    fn take_over(&self) -> Result<(), StoreError> {
        match self.old().pull(Vec::new(), Care::Last) {
            Ok(_) | Err(StoreError::LedgerMoved { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Closes the store's ledger before the first of `entries` is made in git, so that a clone that does not know of the
    /// move cannot append there. Returns the number of an entry on the store that `entries` lack, if there is one.
    fn close(&self, entries: &[Entry]) -> Result<Option<u64>, StoreError> {
        loop {
            let (there, count) = match self.old().pull(Vec::new(), Care::Last) {
                Err(StoreError::LedgerMoved { .. }) => return Ok(None),
                pulled => pulled?,
            };
            // As each entry names the one before, the last tells for all.
            if let Some(last) = there.last()
                && entries.get(there.len() - 1).is_none_or(|entry| entry.digest() != last.digest())
            {
                return Ok(Some(last.seq));
            }
            if self.before.close(count)? {
                return Ok(None);
            }
        }
    }

    fn old(&self) -> Shared<'_> {
        Shared::new(self.before, &self.store, self.before.key.clone(), &self.before.model)
    }

    fn links(&self) -> usize {
        self.links.borrow().len()
    }

    /// Moves the ref on by these entries, all at once: others see none of them or all.
    fn push(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let before = self.links.borrow().last().map(|(id, _)| id.clone());
        let mut links = Vec::new();
        let mut tip = before.clone();
        for entry in entries {
            let message = format!("{} {} {}\n", entry.kind, entry.subject.model, entry.seq);
            let (bytes, seconds) = (encode(entry), entry.time.as_ms().div_euclid(1000));
            let commit =
                self.repo.link(tip.as_deref(), &bytes, seconds, &message).map_err(StoreError::Git)?;
            links.push((commit.clone(), bytes));
            tip = Some(commit);
        }
        let Some(tip) = tip else { return Ok(()) };
        self.repo.push_ref(self.origin, &self.name, before.as_deref(), &tip).map_err(StoreError::Git)?;
        self.links.borrow_mut().extend(links);
        // The ref here only keeps the objects; another process may be moving it.
        let _ = self.repo.keep_ref(&self.name, &tip);
        Ok(())
    }
}

impl Far for Refs<'_> {
    fn numbers(&self) -> Result<Vec<u64>, StoreError> {
        Ok((1..=self.count()?).collect())
    }

    fn count(&self) -> Result<u64, StoreError> {
        let found = self.repo.remote_refs(self.origin, &self.name).map_err(StoreError::Git)?;
        let Some((_, tip)) = found.into_iter().find(|(name, _)| *name == self.name) else {
            self.links.borrow_mut().clear();
            self.take_over()?;
            return Ok(0);
        };
        if self.links.borrow().last().is_some_and(|(last, _)| *last == tip) {
            return Ok(self.links() as u64);
        }
        if !self.repo.has_commit(&tip).map_err(StoreError::Git)? {
            self.repo.fetch_ref(self.origin, &self.name).map_err(StoreError::Git)?;
        }
        *self.links.borrow_mut() = self.repo.chain(&tip).map_err(StoreError::Git)?;
        let _ = self.repo.keep_ref(&self.name, &tip);
        Ok(self.links() as u64)
    }

    fn bytes(&self, seq: u64) -> Result<Vec<u8>, StoreError> {
        let links = self.links.borrow();
        links
            .get(seq as usize - 1)
            .map(|(_, bytes)| bytes.clone())
            .ok_or_else(|| damaged(&self.before.model, seq, &self.place(seq), "it cannot be read".to_owned()))
    }

    fn publish(&self, entries: &[Entry]) -> Result<Option<u64>, StoreError> {
        for attempt in 1.. {
            // What is there now: the commit to follow, or entries with these numbers.
            let count = self.count()?;
            let here = entries.iter().take_while(|entry| entry.seq <= count).count();
            for entry in &entries[..here] {
                let there = decode(&self.bytes(entry.seq)?).map_err(|detail| {
                    damaged(&self.before.model, entry.seq, &self.place(entry.seq), detail)
                })?;
                if there.op != entry.op {
                    return Ok(Some(entry.seq));
                }
            }
            let Some(first) = entries.get(here) else { return Ok(None) };
            if first.seq != count + 1 {
                return Ok(Some(first.seq));
            }
            if count == 0
                && let Some(seq) = self.close(entries)?
            {
                return Ok(Some(seq));
            }
            match self.push(&entries[here..]) {
                Ok(()) => return Ok(None),
                Err(error) if attempt == ATTEMPTS => return Err(error),
                // Somebody was quicker, or the answer was lost: the next look tells.
                Err(_) => std::thread::sleep(Duration::from_millis(50 << attempt)),
            }
        }
        unreachable!("the loop ends by returning")
    }

    fn place(&self, seq: u64) -> String {
        format!("{}:{}~{seq}", self.origin, self.name)
    }

    fn name(&self) -> String {
        format!("git remote {}", self.origin)
    }

    fn seen_path(&self) -> PathBuf {
        self.seen.clone()
    }
}

/// Models with a ledger on the git remote.
pub(super) fn models(repo: &Repo, origin: &str, project: Id) -> Result<Vec<Name>, StoreError> {
    let folder = format!("refs/mlp/ledger/{project}/");
    let mut models = Vec::new();
    let chain = |name: &str, tip: &str| {
        if !repo.has_commit(tip)? {
            repo.fetch_ref(origin, name)?;
        }
        repo.chain(tip)
    };
    for (name, tip) in repo.remote_refs(origin, &format!("{folder}*")).map_err(StoreError::Git)? {
        let Some(hash) = name.strip_prefix(&folder) else { continue };
        if let Some((_, bytes)) = chain(&name, &tip).map_err(StoreError::Git)?.first() {
            models.push(folder::model(bytes, hash, &format!("{origin}:{name}"))?);
        }
    }
    Ok(models)
}
