//! A job on a host, mirrored: its folder here is kept in step with the one there, so that whatever reads job folders (listing, following,
//! logs, records) knows nothing of hosts. `host.json` in the folder says where the job is.
//!
//! Bytes of `events.jsonl` and `log` are asked for from where the files here end: however often the connection breaks, the files are
//! those of the host, byte for byte. `exit.json` is written last, when the results are in the store.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::folder::{Cancel, State};
use super::frame::{Ask, News};
use super::link::Link;
use super::{Host, JobError, JobFolder};
use crate::base::{Digest, JobState, Level, Null, Sink, Time};
use crate::infrastructure::store::worktree::{self, CheckoutOptions};
use crate::infrastructure::store::{Local, Stored};

/// The host waits so long for news before it answers that there is none.
const WAIT: Duration = Duration::from_millis(250);
/// Checkpoints are brought at most so often while the job runs.
const CHECKPOINTS: Duration = Duration::from_secs(20);
/// Waits between attempts to connect grow up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Where a mirrored job is (`host.json`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Mirrored {
    pub(super) schema: String,
    /// The host by name.
    pub(super) host: Host,
    /// The host's own name, for the record.
    pub(super) machine: String,
}

impl Mirrored {
    pub(super) const SCHEMA: &str = "mlp/host/1";
}

/// What a job left, in the host's store.
#[derive(Deserialize)]
struct Results {
    out: Stored,
    kept: Option<BTreeMap<String, Stored>>,
}

/// Keeps the folder of a mirrored job in step until the job has ended or `stop` says true. If another process does so already,
/// waits until that is over.
pub(super) fn run(
    folder: &JobFolder,
    mirrored: &Mirrored,
    binary: Digest,
    stop: &AtomicBool,
    sink: &dyn Sink,
) -> Result<(), JobError> {
    let _lock = loop {
        if let Some(lock) = folder.lock("mirror.lock", false)? {
            break lock;
        }
        if stop.load(Ordering::Relaxed) || folder.exit()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(WAIT);
    };
    let name = &mirrored.host.name;
    let mut down: Option<(Instant, Duration)> = None;
    loop {
        let synced = Link::open(&mirrored.host, binary, sink).and_then(|mut link| {
            if let Some((since, _)) = down.take() {
                let seconds = since.elapsed().as_secs();
                sink.log(Level::Info, &format!("connected to {name} again after {seconds} s"));
            }
            sync(folder, &mut link, stop, sink)?;
            link.rest();
            Ok(())
        });
        match synced {
            Err(error) if error.passes() && !stop.load(Ordering::Relaxed) => {
                let (since, pause) = down.unwrap_or((Instant::now(), Duration::from_millis(500)));
                if down.is_none() {
                    sink.log(
                        Level::Warn,
                        &format!("{error}; the run goes on there, trying to connect again"),
                    );
                }
                down = Some((since, (pause * 2).min(LONGEST_PAUSE)));
                let begun = Instant::now();
                while begun.elapsed() < pause {
                    if stop.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            other => return other,
        }
    }
}

/// Takes over what is new until the job has ended and its results are here.
fn sync(folder: &JobFolder, link: &mut Link, stop: &AtomicBool, sink: &dyn Sink) -> Result<(), JobError> {
    let id = folder.spec()?.id;
    let mut forwarded: Option<Cancel> = None;
    let mut fetched: Option<Instant> = None;
    let mut waits: Option<String> = None;
    loop {
        if folder.exit()?.is_some() {
            return Ok(());
        }
        let asked = folder.cancel();
        if asked > forwarded {
            let ((), _) = link.ask(&Ask::Cancel { id, kill: asked == Some(Cancel::Kill) }, &[])?;
            forwarded = asked;
        }
        let (events, log) = (length(&folder.events())?, length(&folder.log())?);
        let wait = if stop.load(Ordering::Relaxed) { 0 } else { WAIT.as_millis() as u64 };
        let (news, bytes): (News, _) = link.ask(&Ask::News { id, events, log, wait }, &[])?;
        let (new_events, new_log) = bytes.split_at_checked(news.events as usize).unwrap_or((&bytes, &[]));
        append(&folder.events(), new_events)?;
        append(&folder.log(), new_log)?;
        // Another host may have to go on from it.
        let newer = news.checkpoint.is_some() && news.checkpoint != folder.newest_checkpoint();
        let due = fetched.is_none_or(|fetched| fetched.elapsed() > CHECKPOINTS);
        let unfinished = news.end.as_ref().is_some_and(|end| end.state != JobState::Succeeded);
        if newer && (unfinished || due && news.end.is_none()) {
            checkpoints(folder, link, id)?;
            fetched = Some(Instant::now());
        }
        if let Some(end) = &news.end {
            match results(folder, link, id, sink) {
                // Of a run that failed its end is what matters: the host may have no room to say more.
                Err(error) if end.state != JobState::Succeeded => {
                    sink.log(Level::Warn, &format!("what the run left cannot be brought: {error}"));
                }
                other => other?,
            }
            return folder.set_exit(end, 0, Duration::ZERO);
        }
        if news.reason != waits {
            waits.clone_from(&news.reason);
            if let Some(reason) = &news.reason {
                sink.log(Level::Info, reason);
            }
        }
        let started = news.started.unwrap_or_else(Time::now);
        let state = State {
            schema: "mlp/state/1".into(),
            state: news.state,
            started,
            since: None,
            before: 0.0,
            worker: None,
        };
        if folder.state()?.is_none_or(|known| known.state != state.state) {
            folder.set_state(&state)?;
        }
        if folder.attempt()? != news.attempt {
            folder.set_attempt(news.attempt)?;
        }
        if stop.load(Ordering::Relaxed) && bytes.is_empty() && folder.cancel() <= forwarded {
            return Ok(());
        }
    }
}

/// Brings the checkpoints. That one goes while they are read is no harm: the next are as good.
fn checkpoints(folder: &JobFolder, link: &mut Link, id: crate::base::Id) -> Result<(), JobError> {
    let stored = match link.ask::<Option<Stored>>(&Ask::Checkpoints { id }, &[]) {
        Ok((Some(stored), _)) => stored,
        Ok((None, _)) | Err(JobError::OnHost { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let store = folder.store()?;
    link.get(&store, &[stored.id], &Null)?;
    lay_folder(&store, &stored, &folder.checkpoints(), &link.host.name)
}

/// As [`lay`], for what a host says is a folder: as a link it would lead out of this one.
fn lay_folder(store: &Local, stored: &Stored, path: &Path, host: &str) -> Result<(), JobError> {
    if stored.is_folder() {
        return lay(store, stored, path);
    }
    let detail = "what it calls a folder is none".to_owned();
    Err(JobError::Agent { host: host.to_owned(), detail })
}

/// Brings what the job left: `out/` into its folder, what a step kept into the store.
fn results(
    folder: &JobFolder,
    link: &mut Link,
    id: crate::base::Id,
    sink: &dyn Sink,
) -> Result<(), JobError> {
    let (results, _): (Results, _) = link.ask(&Ask::Results { id }, &[])?;
    let store = folder.store()?;
    let kept = results.kept.unwrap_or_default();
    let roots: Vec<Digest> =
        [results.out.id].into_iter().chain(kept.values().map(|stored| stored.id)).collect();
    link.get(&store, &roots, sink)?;
    lay_folder(&store, &results.out, &folder.out(), &link.host.name)?;
    folder.set_kept(&kept)
}

/// Puts a node of the store at `path`, in place of what is there.
pub(super) fn lay(store: &Local, stored: &Stored, path: &Path) -> Result<(), JobError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(JobError::io("make", parent))?;
    }
    let options = CheckoutOptions { force: true, kept: None };
    worktree::checkout(&stored.node(""), path, store, None, options, &Null)?;
    Ok(())
}

fn length(path: &Path) -> Result<u64, JobError> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(meta.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(JobError::io("read", path)(error)),
    }
}

fn append(path: &Path, bytes: &[u8]) -> Result<(), JobError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let file = std::fs::File::options().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(bytes)).map_err(JobError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_calls_a_folder_cannot_be_a_link_out_of_ours() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Local::open(&dir.path().join("store")).expect("opens");
        let target = store.put(b"/etc").expect("stores");
        let told = serde_json::json!({ "kind": "link", "size": 4, "id": target });
        let stored: Stored = serde_json::from_value(told).expect("is one");
        let place = dir.path().join("out");
        let refused = lay_folder(&store, &stored, &place, "h1");
        assert!(matches!(refused, Err(JobError::Agent { .. })), "{refused:?}");
        assert!(place.symlink_metadata().is_err(), "nothing was made");
    }
}
