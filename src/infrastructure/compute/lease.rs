//! Who may use which GPU of this machine, without anybody who hands them out.
//!
//! A card is its holder's for as long as a file of it is locked (flock). The worker inherits the descriptor, so that a lease ends with the
//! last process that could use the card, however it ends: nothing is left behind by a crash, and nothing needs cleaning up. Whoever waits
//! holds a ticket, a file locked in the same way, whose name sorts by the time of submission; the oldest ticket takes cards, the others
//! wait, so that a job for two cards is not starved by those for one.
//!
//! A card that is shared is locked for reading by each of its holders, of whom each locks a part of it besides.
//!
//! ```text
//! /run/lock/mlp, or /var/tmp/mlp-leases     for all users of the machine; on a local disk
//!   gpu-<uuid>        who holds the card
//!   gpu-<uuid>.s<n>   who holds a part of it
//!   ticket-<job id>   who waits
//! ```

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::JobError;
use crate::base::{Id, Name, Time, variables};
use crate::hardware::Gpu;

/// How often the oldest ticket looks for free cards.
const POLL: Duration = Duration::from_millis(200);
/// MiB of memory in use from which on a card that nobody holds is somebody's all the same.
const BUSY: u64 = 500;

/// Who holds a card or waits for some.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The job.
    pub job: Id,
    /// Its model or step.
    pub name: Name,
    /// The user's name on this machine.
    pub user: String,
    /// Since when it holds or waits.
    pub since: Time,
    /// How many cards it wants.
    pub wants: u32,
    /// With how many jobs, itself included, it would share one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<NonZeroU32>,
}

/// A card and who has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The card.
    #[serde(flatten)]
    pub gpu: Gpu,
    /// Its holder, or those who share it.
    pub holders: Vec<Claim>,
    /// Whether somebody uses it without holding it.
    pub foreign: bool,
}

/// The cards of a machine and who waits for them, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cards {
    /// The cards.
    pub cards: Vec<Card>,
    /// Those that wait.
    pub queue: Vec<Claim>,
}

/// Cards that are held until this value and every process that inherited it are gone.
pub(super) struct Lease {
    pub(super) gpus: Vec<Gpu>,
    _files: Vec<File>,
}

/// Where leases are kept.
pub(super) struct Desk {
    folder: PathBuf,
}

impl Desk {
    /// The machine's own.
    pub(super) fn of_machine() -> Result<Self, JobError> {
        if let Some(folder) = std::env::var_os(variables::LEASES) {
            return Self::at(Path::new(&folder));
        }
        // Not every system lets users make folders in the first.
        let shared = Path::new("/run/lock");
        match Self::at(&shared.join("mlp")) {
            Ok(desk) if shared.is_dir() => Ok(desk),
            _ => Self::at(Path::new("/var/tmp/mlp-leases")),
        }
    }

    pub(super) fn at(folder: &Path) -> Result<Self, JobError> {
        let made = fs::create_dir(folder);
        match made {
            // Everybody may claim; nobody may remove what another made.
            #[cfg(unix)]
            Ok(()) => {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
                fs::set_permissions(folder, mode).map_err(JobError::io("open to all", folder))?;
            }
            #[cfg(not(unix))]
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(error) => return Err(JobError::io("make", folder)(error)),
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Waits for as many cards as `claim` wants and takes them; none if `stop` says true before. `gpus` tells what there is now.
    pub(super) fn take(
        &self,
        claim: &Claim,
        gpus: &dyn Fn() -> Vec<Gpu>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Lease>, JobError> {
        let path = self.folder.join(format!("{TICKET}{}", claim.job));
        let mut ticket = loop {
            let ticket = open(&path)?;
            ticket.lock().map_err(JobError::io("lock", &path))?;
            // Somebody may have taken it for one that nobody holds, before it was locked.
            if is_at(&ticket, &path) {
                break ticket;
            }
        };
        write(&mut ticket, &path, claim)?;
        let lease = loop {
            if stop() {
                break None;
            }
            if self.is_first(claim.job)?
                && let Some(lease) = self.collect(claim, &gpus())?
            {
                break Some(lease);
            }
            std::thread::sleep(POLL);
        };
        fs::remove_file(&path).map_err(JobError::io("remove", &path))?;
        Ok(lease)
    }

    /// Whether no older ticket is held.
    fn is_first(&self, job: Id) -> Result<bool, JobError> {
        Ok(self.waiting()?.first().is_none_or(|claim| claim.job == job))
    }

    /// Who waits, the oldest first. What nobody holds any more is removed.
    fn waiting(&self) -> Result<Vec<Claim>, JobError> {
        let mut names = self.files()?;
        names.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TICKET)));
        Ok(names.iter().filter_map(|path| held(path, true)).collect())
    }

    /// Locks as many free cards as are wanted, or none.
    fn collect(&self, claim: &Claim, gpus: &[Gpu]) -> Result<Option<Lease>, JobError> {
        let (mut files, mut taken) = (Vec::new(), Vec::new());
        for gpu in gpus {
            if taken.len() == claim.wants as usize {
                break;
            }
            if let Some(held) = self.hold(claim, gpu)? {
                files.extend(held);
                taken.push(gpu.clone());
            }
        }
        if taken.len() < claim.wants as usize {
            return Ok(None);
        }
        #[cfg(unix)]
        for file in &files {
            rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty())
                .map_err(|error| JobError::io("hand on", &self.folder)(error.into()))?;
        }
        Ok(Some(Lease { gpus: taken, _files: files }))
    }

    /// Locks a card or a part of it, if it is to be had.
    fn hold(&self, claim: &Claim, gpu: &Gpu) -> Result<Option<Vec<File>>, JobError> {
        let claim = Claim { since: Time::now(), ..claim.clone() };
        let path = self.card(gpu);
        let mut card = open(&path)?;
        let Some(share) = claim.share else {
            if gpu.used >= BUSY || card.try_lock().is_err() {
                return Ok(None);
            }
            write(&mut card, &path, &claim)?;
            return Ok(Some(vec![card]));
        };
        let sharers = self.sharers(gpu)?;
        let most =
            sharers.iter().filter_map(|sharer| sharer.share).chain([share]).min().unwrap_or(share).get();
        // Whoever shares it uses its memory.
        let foreign = sharers.is_empty() && gpu.used >= BUSY;
        if foreign || sharers.len() >= most as usize || card.try_lock_shared().is_err() {
            return Ok(None);
        }
        for number in 0..most {
            let path = path.with_extension(format!("{PART}{number}"));
            let mut part = open(&path)?;
            if part.try_lock().is_ok() {
                write(&mut part, &path, &claim)?;
                return Ok(Some(vec![card, part]));
            }
        }
        Ok(None)
    }

    /// Who shares a card.
    fn sharers(&self, gpu: &Gpu) -> Result<Vec<Claim>, JobError> {
        let card = self.card(gpu);
        let part = |path: &PathBuf| {
            let ending = path.extension().is_some_and(|ending| ending.to_string_lossy().starts_with(PART));
            ending && path.file_stem() == card.file_name()
        };
        let mut paths = self.files()?;
        paths.retain(part);
        Ok(paths.iter().filter_map(|path| held(path, false)).collect())
    }

    /// All files, in the order of their names.
    fn files(&self) -> Result<Vec<PathBuf>, JobError> {
        let entries = fs::read_dir(&self.folder).map_err(JobError::io("list", &self.folder))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        Ok(paths)
    }

    fn card(&self, gpu: &Gpu) -> PathBuf {
        let safe: String =
            gpu.uuid.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect();
        self.folder.join(format!("gpu-{safe}"))
    }

    /// What there is and who has it.
    pub(super) fn cards(&self, gpus: Vec<Gpu>) -> Result<Cards, JobError> {
        let card = |gpu: Gpu| {
            let mut holders = self.sharers(&gpu)?;
            holders.extend(held(&self.card(&gpu), false));
            Ok(Card { foreign: holders.is_empty() && gpu.used >= BUSY, holders, gpu })
        };
        let cards = gpus.into_iter().map(card).collect::<Result<_, JobError>>()?;
        Ok(Cards { cards, queue: self.waiting()? })
    }
}

const TICKET: &str = "ticket-";
/// What the ending of the file of a part of a card begins with.
const PART: &str = "s";

/// Opens a file of the desk that anybody may have made. A link is not followed: the folder is everybody's.
fn open(path: &Path) -> Result<File, JobError> {
    let mut options = File::options();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NOFOLLOW.bits() as i32);
    // First without making it: in such folders systems refuse to "make" what another has made.
    let opened = options.open(path).or_else(|_| options.create(true).open(path));
    let file = opened.map_err(JobError::io("open", path))?;
    #[cfg(unix)]
    {
        // Fails where it is another user's, who has done it.
        let _ = file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    }
    Ok(file)
}

/// Whether `path` still leads to this file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let here = fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()));
    let held = file.metadata().map(|meta| (meta.dev(), meta.ino()));
    here.is_ok_and(|here| held.is_ok_and(|held| held == here))
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

fn write(file: &mut File, path: &Path, claim: &Claim) -> Result<(), JobError> {
    let bytes = serde_json::to_vec(claim).unwrap_or_default();
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&bytes));
    written.map_err(JobError::io("write", path))
}

/// The claim in a file that somebody holds. With `tidy`, one that nobody holds is removed.
fn held(path: &Path, tidy: bool) -> Option<Claim> {
    let file = File::open(path).ok()?;
    if file.try_lock_shared().is_ok() {
        if tidy {
            let _ = fs::remove_file(path);
        }
        return None;
    }
    let mut bytes = Vec::new();
    (&file).take(1 << 12).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn gpu(number: u32) -> Gpu {
        Gpu {
            uuid: format!("GPU-{number}"),
            name: "Card".into(),
            memory: 1000,
            used: 0,
            driver: "550".into(),
        }
    }

    fn claim(wants: u32) -> Claim {
        Claim {
            job: Id::new(),
            name: "digits".parse().expect("a name"),
            user: "ada".into(),
            since: Time::now(),
            wants,
            share: None,
        }
    }

    fn sharing(most: u32) -> Claim {
        Claim { share: NonZeroU32::new(most), ..claim(1) }
    }

    fn desk() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("leases");
        (dir, folder)
    }

    #[test]
    fn a_hundred_jobs_never_share_two_cards_and_all_come_to_their_turn() {
        let (_dir, folder) = desk();
        let users: [AtomicU32; 2] = Default::default();
        let done = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for number in 0..100 {
                let (folder, users, done) = (&folder, &users, &done);
                scope.spawn(move || {
                    let desk = Desk::at(folder).expect("opens");
                    let claim = claim(1 + u32::from(number % 7 == 0));
                    let cards = || vec![gpu(0), gpu(1)];
                    let lease = desk.take(&claim, &cards, &|| false).expect("works").expect("waits");
                    for gpu in &lease.gpus {
                        let at: usize = gpu.uuid[4..].parse().expect("a number");
                        assert_eq!(users[at].fetch_add(1, Ordering::SeqCst), 0, "nobody else has it");
                    }
                    std::thread::sleep(Duration::from_millis(1));
                    for gpu in &lease.gpus {
                        let at: usize = gpu.uuid[4..].parse().expect("a number");
                        users[at].fetch_sub(1, Ordering::SeqCst);
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(done.load(Ordering::SeqCst), 100);
        let desk = Desk::at(&folder).expect("opens");
        assert!(desk.cards(vec![gpu(0)]).expect("looks").queue.is_empty(), "no ticket is left");
    }

    #[test]
    fn who_came_first_is_served_first_and_a_large_job_is_not_starved() {
        let (_dir, folder) = desk();
        let desk = Desk::at(&folder).expect("opens");
        let cards = || vec![gpu(0), gpu(1)];
        let first = desk.take(&claim(1), &cards, &|| false).expect("works").expect("is free");
        let order = Mutex::new(Vec::new());
        let large = claim(2);
        std::thread::sleep(Duration::from_millis(5));
        let small = claim(1);
        std::thread::scope(|scope| {
            let waiting = || desk.cards(cards()).expect("looks").queue;
            for (place, (name, claim)) in [("large", &large), ("small", &small)].into_iter().enumerate() {
                let (order, folder) = (&order, &folder);
                scope.spawn(move || {
                    let desk = Desk::at(folder).expect("opens");
                    let lease = desk.take(claim, &cards, &|| false).expect("works");
                    order.lock().expect("works").push(name);
                    drop(lease);
                });
                while waiting().len() <= place {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            assert_eq!(waiting()[0].job, large.job, "the older one is at the head");
            std::thread::sleep(2 * POLL);
            assert!(order.lock().expect("works").is_empty(), "the small job waits though a card is free");
            drop(first);
        });
        assert_eq!(*order.lock().expect("works"), ["large", "small"]);
    }

    #[test]
    fn a_shared_card_has_as_many_holders_as_all_of_them_allow_and_no_other() {
        let (_dir, folder) = desk();
        let desk = Desk::at(&folder).expect("opens");
        // What the first uses of its memory does not keep the others away.
        let cards = || vec![Gpu { used: 3_000, ..gpu(0) }];
        let now = |claim: &Claim, gpus: &[Gpu]| desk.collect(claim, gpus).expect("works");
        let first = now(&sharing(3), &[gpu(0)]).expect("is free");
        let _second = now(&sharing(2), &cards()).expect("has room");
        assert!(now(&sharing(3), &cards()).is_none(), "the second would have two at most");
        assert!(now(&claim(1), &[gpu(0)]).is_none(), "nobody has it alone");
        assert_eq!(desk.cards(cards()).expect("looks").cards[0].holders.len(), 2);
        drop(first);
        let third = now(&sharing(3), &cards()).expect("has room again");
        assert_eq!(third.gpus[0].uuid, "GPU-0");
        drop((_second, third));
        let alone = now(&claim(1), &[gpu(0)]).expect("is free");
        assert!(now(&sharing(3), &[gpu(0)]).is_none());
        assert!(now(&sharing(3), &[gpu(0), gpu(1)]).is_some_and(|lease| lease.gpus[0].uuid == "GPU-1"));
        drop(alone);
        assert!(now(&sharing(3), &cards()).is_none(), "somebody uses it without mlp");
    }

    #[test]
    fn a_card_that_others_use_is_left_alone_and_waiting_can_be_ended() {
        let (_dir, folder) = desk();
        let desk = Desk::at(&folder).expect("opens");
        let busy = || vec![Gpu { used: 3_000, ..gpu(0) }];
        let asked = AtomicU32::new(0);
        let stop = || asked.fetch_add(1, Ordering::SeqCst) > 1;
        assert!(desk.take(&claim(1), &busy, &stop).expect("works").is_none());
        let cards = desk.cards(busy()).expect("looks");
        assert!(cards.cards[0].foreign && cards.queue.is_empty());
    }
}
