//! Looking for damage: in the local store and on remotes.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;

use super::super::catalog::names;
use super::super::codec::decode_object;
use super::super::ledger::{self, Chain};
use super::super::object::pack_id;
use super::super::pack::PACK_LIMIT;
use super::super::transfer::index::RemoteIndex;
use super::super::transfer::{doomed, fanned};
use super::super::{Local, Location, PackEntry, Pin, Remote, StoreError};
use super::accounts::{Account, accounts};
use super::reach::{self, Ids, Reach};
use super::roots::{self, Roots};
use crate::base::{Digest, Entry, Sink, Unit};

/// How deep to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What names what: pins, records, ledgers, trees, indexes. No data are read.
    Quick,
    /// And every hundredth pack, of few packs more.
    Sample,
    /// And every byte.
    Full,
}

/// A sample has about as many packs at least.
const FEW: usize = 8;

impl Depth {
    /// Which packs are read: spread over all of them, as their names are.
    pub(super) fn chosen(self, packs: &[Digest]) -> Vec<Digest> {
        match self {
            Self::Quick => Vec::new(),
            Self::Sample => packs.iter().step_by((packs.len() / FEW).clamp(1, 100)).copied().collect(),
            Self::Full => packs.to_vec(),
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The object, pack, pin, record or ledger.
    pub what: String,
    /// What was found.
    pub detail: String,
    /// Who needs it: pins by dataset, model or step, with the version's root.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<String>,
}

/// What a look over a store found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Checked {
    /// Pins looked at.
    pub pins: u64,
    /// Records looked at.
    pub records: u64,
    /// Ledgers looked at.
    pub ledgers: u64,
    /// Objects that pins, records and ledgers need and that are there.
    pub objects: u64,
    /// Objects that they need and that are not here: never fetched.
    pub absent: u64,
    /// Packs that are there.
    pub packs: u64,
    /// Packs of which every byte was read.
    pub packs_read: u64,
    /// Bytes read of them.
    pub bytes_read: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Objects that are damaged or lost, for repair.
    #[serde(skip)]
    pub(super) lost: BTreeSet<Digest>,
    /// Records that are damaged or lost, for repair.
    #[serde(skip)]
    pub(super) lost_records: BTreeSet<Digest>,
    /// Packs that are damaged or gone, for repair.
    #[serde(skip)]
    pub(super) bad_packs: HashSet<Digest>,
    /// Names of pins of a remote that are damaged or gone, for repair.
    #[serde(skip)]
    pub(super) bad_pins: Vec<String>,
    /// Ledgers that are damaged, for repair.
    #[serde(skip)]
    pub(super) bad_ledgers: Vec<Chain>,
    /// Names of index objects of a remote that are damaged, for repair.
    #[serde(skip)]
    pub(super) bad_indexes: Vec<String>,
}

impl Checked {
    fn found(&mut self, what: impl Into<String>, detail: impl Into<String>) {
        self.findings.push(Finding { what: what.into(), detail: detail.into(), needed_by: Vec::new() });
    }

    /// Notes an error that is a finding; any other ends the look.
    fn note(&mut self, error: StoreError) -> Result<(), StoreError> {
        match error {
            StoreError::Damaged { what, detail } => self.found(what, detail),
            StoreError::LedgerDamaged { model, seq, path, detail } => {
                self.found(format!("entry {seq} of the ledger of `{model}`"), format!("{detail} (`{path}`)"));
            }
            error => return Err(error),
        }
        Ok(())
    }

    fn object(&mut self, id: Digest, detail: impl Into<String>) {
        if self.lost.insert(id) {
            self.found(format!("object `{id}`"), detail);
        }
    }
}

/// Looks over the local store. What is damaged is set aside on the way, as whenever it is read.
pub fn fsck(local: &Local, depth: Depth, sink: &dyn Sink) -> Result<Checked, StoreError> {
    let mut checked = Checked::default();
    // A damaged index is set aside and made anew from the packs.
    if let Err(error) = local.reload() {
        checked.note(error)?;
    }
    let pins = local_pins(local, &mut checked)?;
    let mut roots = Roots::default();
    pins.iter().for_each(|pin| roots.pin(pin));
    for chain in ledger::chains(local.root())? {
        checked.ledgers += 1;
        chain.readable().for_each(|entry| roots.entry(&entry));
        if let Err(error) = chain.verified() {
            checked.note(error)?;
            checked.bad_ledgers.push(chain);
        }
    }
    local_records(local, &roots, &mut checked)?;
    roots.close(local)?;
    let all: Vec<Digest> = roots.required.iter().chain(&roots.optional).copied().collect();
    let mut reach = reach::here(local, &all, sink)?;
    let packs = local.reload()?.packs();
    checked.packs = packs.len() as u64;
    let chosen = depth.chosen(&packs);
    for (at, pack) in chosen.iter().enumerate() {
        local_pack(local, pack, &mut checked)?;
        sink.progress("reading packs", at as u64 + 1, Some(chosen.len() as u64), Unit::Items);
    }
    let catalog = local.reload()?;
    for index in &catalog.indexes {
        for pack in index.packs() {
            if !local.pack_path(pack).exists() && !catalog.is_damaged(pack) {
                checked.found(format!("pack `{}`", local.pack_path(pack).display()), "it is gone");
                checked.bad_packs.insert(*pack);
            }
        }
    }
    // What is set aside counts as absent: say which it is.
    let needed: Vec<Digest> = reach.live.iter().chain(&reach.missing).copied().collect();
    for id in needed {
        let sound = catalog.find(&id).is_some_and(|location| !checked.bad_packs.contains(&location.pack));
        if sound {
            continue;
        }
        match catalog.indexes.iter().any(|index| index.find(&id).is_some()) {
            true => checked.object(id, "it is damaged, or its pack is gone"),
            false => checked.absent += 1,
        }
    }
    for (id, detail) in std::mem::take(&mut reach.damaged) {
        checked.object(id, detail);
    }
    checked.objects = reach.live.len() as u64;
    name_needs(&mut checked, &pins, |root| reach::here(local, &[root], &crate::base::Null))?;
    Ok(checked)
}

/// Looks over a remote.
pub fn fsck_remote(
    local: &Local,
    remote: &Remote,
    depth: Depth,
    sink: &dyn Sink,
) -> Result<Checked, StoreError> {
    let mut checked = Checked::default();
    match remote.marker_fault(local.root())? {
        None => remote.expect(local.root())?,
        Some(detail) => checked.found(format!("`{}`", remote.place("mlpstore.json")), detail),
    }
    // Copies here say nothing of what others will read.
    let (mut index, bad) = RemoteIndex::afresh(local, remote)?;
    for (name, error) in bad {
        checked.bad_indexes.push(name);
        checked.note(error)?;
    }
    index.doom(doomed::packs(local, remote)?);
    let pins = roots::there(local, remote, true)?;
    for (name, error) in pins.bad {
        checked.bad_pins.push(name);
        checked.note(error)?;
    }
    let pins: Vec<Pin> = pins.sound.into_iter().map(|(_, pin)| pin).collect();
    checked.pins = pins.len() as u64;
    let chains = ledger::chains_there(remote)?;
    let entries = chains.iter().flat_map(Chain::readable);
    let of_entries = entries.flat_map(|entry| entry.subject.run.into_iter().chain(entry.evidence));
    let named: BTreeSet<Digest> =
        pins.iter().flat_map(|pin| pin.records.iter().copied()).chain(of_entries).collect();
    for id in &named {
        checked.records += 1;
        let key = fanned("records", &id.hex());
        if remote.get(&key, PACK_LIMIT as u64)?.is_none_or(|bytes| Digest::of(&bytes) != *id) {
            checked.found(format!("record `{}`", remote.place(&key)), "it is missing or damaged");
            checked.lost_records.insert(*id);
        }
    }
    let sound = pins.iter().filter(|pin| pin.records.iter().all(|id| !checked.lost_records.contains(id)));
    // What is lost is told already.
    let (mut roots, _) = roots::of(local, remote, sound, &chains, &mut |_| Ok(()))?;
    ledgers(local, remote, chains, &mut checked)?;
    for pin in &pins {
        roots.required.extend(&pin.roots);
    }
    let mut all = roots.required.clone();
    for id in &roots.optional {
        if index.find(id)?.is_some() {
            all.push(*id);
        }
    }
    let reach = reach::there(local, remote, &index, &all, sink)?;
    checked.objects = reach.live.len() as u64;
    let there: BTreeSet<Digest> = remote
        .list_all("packs/")?
        .iter()
        .filter_map(|key| Digest::from_hex(key.rsplit('/').next()?).ok())
        .collect();
    checked.packs = there.len() as u64;
    let accounts = accounts(index.objects().map(|(_, index)| index), &reach.live, |_| true);
    for (pack, account) in
        accounts.iter().filter(|(pack, account)| !there.contains(*pack) && !account.is_dead())
    {
        checked.bad_packs.insert(*pack);
        checked.found(format!("pack `{}`", remote.place(&fanned("packs", &pack.hex()))), "it is gone");
        lose(&mut checked, account, &reach.live, "its pack is gone");
    }
    let listed: Vec<Digest> = accounts.keys().filter(|pack| there.contains(*pack)).copied().collect();
    let chosen = depth.chosen(&listed);
    for (at, pack) in chosen.iter().enumerate() {
        remote_pack(remote, pack, &accounts[pack], &reach.live, &mut checked)?;
        sink.progress("reading packs", at as u64 + 1, Some(chosen.len() as u64), Unit::Items);
    }
    for (id, detail) in &reach.damaged {
        checked.object(*id, detail.clone());
        checked.bad_packs.extend(index.find(id)?.map(|location| location.pack));
    }
    for id in &reach.missing {
        checked.object(*id, "it is in no pack of the store");
    }
    let walk = |root| reach::there(local, remote, &index, &[root], &crate::base::Null);
    name_needs(&mut checked, &pins, walk)?;
    Ok(checked)
}

/// The ledgers of a remote: each must be whole, and none gone or shorter than the copy that this clone has.
fn ledgers(
    local: &Local,
    remote: &Remote,
    chains: Vec<Chain>,
    checked: &mut Checked,
) -> Result<(), StoreError> {
    let copies = ledger::chains(local.root())?;
    let was_seen = |copy: &&Chain| ledger::was_seen(remote, local.root(), &copy.key);
    for copy in copies.iter().filter(|copy| chains.iter().all(|chain| chain.key != copy.key)).filter(was_seen)
    {
        checked.found(
            format!("ledger `{}`", remote.place(&copy.key)),
            "this clone has it, and it is gone there",
        );
        checked.bad_ledgers.push(Chain::gone(&copy.key));
    }
    for chain in chains {
        checked.ledgers += 1;
        if let Err(error) = chain.verified() {
            checked.note(error)?;
            checked.bad_ledgers.push(chain);
            continue;
        }
        let copy = copies.iter().find(|copy| copy.key == chain.key);
        let Some(Ok(copy)) = copy.map(Chain::verified) else { continue };
        let what = |entry: &Entry| format!("entry {} of the ledger of `{}`", entry.seq, entry.subject.model);
        match (chain.lacks(&copy), chain.differs(&copy)) {
            (Some(lacks), _) => {
                let Some(first) = lacks.first() else { continue };
                checked.found(what(first), "this clone has it, and it is gone there");
                checked.bad_ledgers.push(chain);
            }
            (None, Some(first)) => {
                checked.found(what(first), "it is another one than this clone has: `mlp audit` says more");
            }
            (None, None) => {}
        }
    }
    Ok(())
}

fn local_pins(local: &Local, checked: &mut Checked) -> Result<Vec<Pin>, StoreError> {
    let mut pins = Vec::new();
    for id in local.pin_ids()? {
        checked.pins += 1;
        match local.pin(id) {
            Ok(pin) => pins.push(pin),
            Err(error) => checked.note(error)?,
        }
    }
    Ok(pins)
}

/// Every record that is here, and every record that is needed.
fn local_records(local: &Local, roots: &Roots, checked: &mut Checked) -> Result<(), StoreError> {
    let folder = local.root().join("records");
    let mut ids: BTreeSet<Digest> = roots.records.iter().copied().collect();
    for fan in names(&folder)? {
        ids.extend(names(&folder.join(fan))?.iter().filter_map(|name| Digest::from_hex(name).ok()));
    }
    for id in ids {
        checked.records += 1;
        match local.any_record(&id) {
            Ok(_) => {}
            Err(StoreError::Missing(_)) => {
                checked.found(format!("record `{id}`"), "a pin or ledger names it and it is not here");
                checked.lost_records.insert(id);
            }
            Err(error) => {
                checked.lost_records.insert(id);
                checked.note(error)?;
            }
        }
    }
    Ok(())
}

/// Every byte of a pack; where its name does not fit its bytes, every object of it.
fn local_pack(local: &Local, pack: &Digest, checked: &mut Checked) -> Result<(), StoreError> {
    let path = local.pack_path(pack);
    let bytes = match std::fs::read(&path) {
        // Told below.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(StoreError::io("read", &path))?,
    };
    checked.packs_read += 1;
    checked.bytes_read += bytes.len() as u64;
    if pack_id(&bytes) == *pack {
        return Ok(());
    }
    checked.found(format!("pack `{}`", path.display()), "its bytes do not match its name");
    checked.bad_packs.insert(*pack);
    let catalog = local.reload()?;
    for index in catalog.indexes.iter().filter(|index| index.packs().contains(pack)) {
        for location in (0..index.len()).map(|at| index.get(at)).filter(|location| location.pack == *pack) {
            match local.stored(&location) {
                Ok(_) => {}
                // It is set aside now, and named below if somebody needs it.
                Err(StoreError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn remote_pack(
    remote: &Remote,
    pack: &Digest,
    account: &Account,
    live: &Ids,
    checked: &mut Checked,
) -> Result<(), StoreError> {
    let key = fanned("packs", &pack.hex());
    let place = remote.place(&key);
    let mut bytes = Vec::new();
    // Damage on the way is not damage in the store: ask twice.
    for _ in 0..2 {
        bytes = remote.get(&key, PACK_LIMIT as u64)?.unwrap_or_default();
        checked.bytes_read += bytes.len() as u64;
        if pack_id(&bytes) == *pack {
            checked.packs_read += 1;
            return Ok(());
        }
    }
    checked.packs_read += 1;
    checked.found(format!("pack `{place}`"), "its bytes do not match its name");
    checked.bad_packs.insert(*pack);
    let is_sound = |entry: &PackEntry| {
        bytes.get(entry.range()).is_some_and(|stored| decode_object(entry, stored, &place).is_ok())
    };
    let entries = account.entries.iter().filter(|entry| !is_sound(entry)).copied().collect();
    lose(checked, &Account { entries, ..Account::default() }, live, "it is damaged");
    Ok(())
}

fn lose(checked: &mut Checked, account: &Account, live: &Ids, why: &str) {
    for entry in account.entries.iter().filter(|entry| live.contains(&entry.id)) {
        checked.object(entry.id, why);
    }
}

/// Says of each lost object which pins need it. Walks again for each pin, but only if something is lost.
fn name_needs(
    checked: &mut Checked,
    pins: &[Pin],
    walk: impl Fn(Digest) -> Result<Reach, StoreError>,
) -> Result<(), StoreError> {
    let mut needs: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    if checked.lost.is_empty() {
        return Ok(());
    }
    for pin in pins {
        for root in &pin.roots {
            let reach = walk(*root)?;
            for id in &checked.lost {
                if reach.live.contains(id) || reach.missing.binary_search(id).is_ok() {
                    needs.entry(*id).or_default().push(format!("{} {}", pin.name, root.short()));
                }
            }
        }
    }
    for finding in &mut checked.findings {
        let id = finding.what.strip_prefix("object `").and_then(|rest| rest.strip_suffix('`'));
        if let Some(needed_by) = id.and_then(|id| id.parse().ok()).and_then(|id: Digest| needs.remove(&id)) {
            finding.needed_by = needed_by;
        }
    }
    Ok(())
}

/// A location of an object, for repair.
pub(super) fn locations(index: &RemoteIndex, packs: &HashSet<Digest>) -> Vec<Location> {
    index
        .objects()
        .flat_map(|(_, index)| (0..index.len()).map(|at| index.get(at)))
        .filter(|location| packs.contains(&location.pack))
        .collect()
}
