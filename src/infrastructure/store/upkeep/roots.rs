//! What must be kept: pins, ledgers, and all that their records rest on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::super::ledger::{self, Chain};
use super::super::transfer::parallel::parallel;
use super::super::transfer::records::{Closure, Lost, closure, fetch_records};
use super::super::transfer::{Transfer, doomed};
use super::super::{Local, Pin, Remote, StoreError, pin};
use crate::base::{Digest, Entry, Id};
use crate::infrastructure::durable;

/// The roots of a walk.
#[derive(Default)]
pub(super) struct Roots {
    /// Trees and blobs that must be there.
    pub(super) required: Vec<Digest>,
    /// What records rest on besides: it need not be there, but what is stays.
    pub(super) optional: Vec<Digest>,
    /// Records that must be there.
    pub(super) records: Vec<Digest>,
}

impl Roots {
    /// Adds what a pin needs.
    pub(super) fn pin(&mut self, pin: &Pin) {
        self.required.extend(&pin.roots);
        self.records.extend(&pin.records);
    }

    /// Adds what a ledger entry needs.
    pub(super) fn entry(&mut self, entry: &Entry) {
        self.optional.push(entry.subject.tree);
        self.records.extend(entry.subject.run.iter().chain(&entry.evidence));
    }

    /// Adds what the records rest on, as far as it is here.
    pub(super) fn close(&mut self, local: &Local) -> Result<(), StoreError> {
        let here: Vec<Digest> =
            self.records.iter().copied().filter(|id| local.any_record(id).is_ok()).collect();
        let Closure { records, objects } = closure(local, here.into_iter(), &BTreeSet::new())?;
        self.records.extend(records);
        self.optional.extend(objects);
        for list in [&mut self.required, &mut self.optional, &mut self.records] {
            list.sort_unstable();
            list.dedup();
        }
        Ok(())
    }
}

/// What some pins and the ledgers of the local store need.
pub(super) fn here<'a>(local: &Local, pins: impl Iterator<Item = &'a Pin>) -> Result<Roots, StoreError> {
    let mut roots = Roots::default();
    pins.for_each(|pin| roots.pin(pin));
    for entry in ledger::copied(local.root())? {
        roots.entry(&entry);
    }
    roots.close(local)?;
    Ok(roots)
}

/// What becomes of damage that is met: an error, or a note.
pub(super) type Bad<'a> = &'a mut dyn FnMut(StoreError) -> Result<(), StoreError>;

/// The key of the pin with this name.
pub(super) fn pin_key(name: &str) -> String {
    format!("pins/{name}.json")
}

/// Pins of all projects on a remote, each with its name (`<project>/<pin>`).
#[derive(Default)]
pub(super) struct Pins {
    /// Those that can be read.
    pub(super) sound: Vec<(String, Pin)>,
    /// Those that are damaged, and those that are gone though this machine has seen them and no collection has retired them: a
    /// listing that leaves something out would make it look as if nobody needed it.
    pub(super) bad: Vec<(String, StoreError)>,
}

impl Pins {
    /// All of them.
    ///
    /// # Errors
    /// What is wrong with the first bad one.
    pub(super) fn all(self) -> Result<Vec<(String, Pin)>, StoreError> {
        match self.bad.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(self.sound),
        }
    }
}

/// The pins on a remote; `afresh`: as they are there now, not as they were read before.
pub(super) fn there(local: &Local, remote: &Remote, afresh: bool) -> Result<Pins, StoreError> {
    let mut pins = Pins::default();
    let names = pin_names(local, remote, &mut pins)?;
    let folder = remote.cache(local.root()).join("pins");
    let get = |(name, id): (String, Id)| {
        let (key, copy) = (pin_key(&name), folder.join(format!("{id}.json")));
        let place = remote.place(&key);
        let known = || std::fs::read(&copy).ok().and_then(|bytes| Pin::from_bytes(&bytes, id, &place).ok());
        if let Some(pin) = (!afresh).then(known).flatten() {
            return Ok((name, Ok(pin)));
        }
        let Some(bytes) = remote.get(&key, pin::LIMIT)? else {
            let detail = "it is listed and cannot be read";
            return Ok((name, Err(StoreError::damaged(format!("pin `{place}`"), detail))));
        };
        let pin = match Pin::from_bytes(&bytes, id, &place) {
            Ok(pin) => pin,
            Err(error) => return Ok((name, Err(error))),
        };
        durable::replace_through(&local.root().join("tmp"), &copy, &bytes)
            .map_err(StoreError::io("write", copy))?;
        Ok((name, Ok(pin)))
    };
    parallel(8, names.into_iter().map(Ok), get, |(name, pin)| {
        match pin {
            Ok(pin) => pins.sound.push((name, pin)),
            Err(error) => pins.bad.push((name, error)),
        }
        Ok(())
    })?;
    Ok(pins)
}

/// What some pins and the ledgers `chains` of a remote need, and the records that it has lost. Records are fetched, for they name what
/// must be kept. A damaged ledger goes to `bad`; what its readable entries need stays needed.
pub(super) fn of<'a>(
    local: &Local,
    remote: &Remote,
    pins: impl Iterator<Item = &'a Pin>,
    chains: &[Chain],
    bad: Bad<'_>,
) -> Result<(Roots, Lost), StoreError> {
    let mut roots = Roots::default();
    pins.for_each(|pin| roots.pin(pin));
    for chain in chains {
        match chain.verified() {
            Ok(entries) => entries.iter().for_each(|entry| roots.entry(entry)),
            Err(error) => {
                bad(error)?;
                chain.readable().for_each(|entry| roots.entry(&entry));
            }
        }
    }
    roots.records.sort_unstable();
    roots.records.dedup();
    let mut wanted = roots.records.clone();
    wanted.retain(|id| local.any_record(id).is_err());
    let lost = fetch_records(local, remote, &wanted, &mut Transfer::default())?;
    roots.close(local)?;
    Ok((roots, lost))
}

/// Names (`<project>/<pin>`) of all pins on the remote; those that were there before and are gone are among `pins`.
fn pin_names(local: &Local, remote: &Remote, pins: &mut Pins) -> Result<BTreeMap<String, Id>, StoreError> {
    let names: BTreeMap<String, Id> = remote
        .list_all("pins/")?
        .iter()
        .filter_map(|key| {
            let name = key.strip_prefix("pins/")?.strip_suffix(".json")?;
            Some((name.to_owned(), name.split_once('/')?.1.parse().ok()?))
        })
        .collect();
    let path = seen_path(local, remote);
    let seen = std::fs::read_to_string(&path).unwrap_or_default();
    let retired: BTreeSet<String> =
        doomed::read(local, remote)?.into_values().flat_map(|doom| doom.retired).collect();
    for gone in seen.lines().filter(|name| !names.contains_key(*name) && !retired.contains(*name)) {
        let detail = format!(
            "it was there before; the listing is not whole, or somebody removed it (`{}`)",
            path.display()
        );
        let what = format!("pin `{}`", remote.place(&pin_key(gone)));
        pins.bad.push((gone.to_owned(), StoreError::damaged(what, detail)));
    }
    let gone = pins.bad.iter().map(|(name, _)| name);
    let text: String = names.keys().chain(gone).map(|name| format!("{name}\n")).collect();
    if text != seen {
        durable::replace_through(&local.root().join("tmp"), &path, text.as_bytes())
            .map_err(StoreError::io("write", path))?;
    }
    Ok(names)
}

/// The file with the names of the pins that this machine saw last.
fn seen_path(local: &Local, remote: &Remote) -> PathBuf {
    remote.cache(local.root()).join("pins-seen")
}
