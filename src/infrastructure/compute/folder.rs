//! The job folder: the only truth about a job.
//!
//! ```text
//! <state dir>/jobs/<id>/
//!   spec.json      what to do; immutable, complete before the folder has its name
//!   params.json    what MLP_PARAMS names
//!   attempt        number of the attempt, from 1: the fencing token
//!   lock           held (flock) by the supervisor for as long as it lives
//!   sup.json       which process supervises, on which host, since which boot
//!   state.json     preparing, running or cancelling; the worker's process; when the first attempt began
//!   log            raw stdout and stderr of the worker
//!   events.pipe    where a worker with secrets writes its events (`mask.rs`)
//!   events.jsonl   events, one JSON object a line
//!   ckpt/  out/    checkpoints; files to keep
//!   cancel         a request to stop: `term`, or `kill` to skip the grace
//!   exit.json      how it ended, written last; `exit.1.json` is the end of the first attempt of a job that went on
//!   recorded       digest of the run's record, once it is published
//!   usage.json     what it used so far, over all attempts here
//!   kept.json      what a step made, in the store
//!   slurm.json     Slurm's number of the job, if it went there
//!   begun          there since the first attempt
//!   host.json      where the job is, if this folder only mirrors it
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::mirror::Mirrored;
use super::process::{self, Identity};
use super::{Host, JobError, JobSpec, JobStatus};
use crate::base::{Cause, Digest, JobState, RunEnd, Time, variables};
use crate::hardware::facts;
use crate::infrastructure::durable;
use crate::infrastructure::store::{Local, Stored};

/// How long a job may wait for its supervisor before it counts as lost.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A job folder: `<state dir>/jobs/<id>/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFolder(pub PathBuf);

/// Which process supervises (`sup.json`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Supervisor {
    pub(super) schema: String,
    pub(super) process: Identity,
    pub(super) boot: String,
    pub(super) host: String,
}

/// What goes on (`state.json`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) schema: String,
    pub(super) state: JobState,
    /// When the first attempt began.
    pub(super) started: Time,
    /// When this attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Time>,
    /// Seconds that attempts before it took.
    #[serde(default)]
    pub(super) before: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) worker: Option<Identity>,
}

/// How it ended (`exit.json`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ExitFile {
    pub(super) schema: String,
    pub(super) end: RunEnd,
    /// Processes the worker left behind, which the supervisor ended.
    #[serde(default)]
    pub(super) strays: u32,
    /// Whether the next attempt was begun by the job's own rule, not by hand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) retried: bool,
}

/// How urgently a job was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cancel {
    /// TERM, grace, KILL.
    Term,
    /// KILL.
    Kill,
}

impl JobFolder {
    /// The folder at `path`.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes the folder of a new job. It appears under its name complete, or not at all; false if it is there already.
    pub fn create(&self, spec: &JobSpec) -> Result<bool, JobError> {
        self.create_mirrored(spec, None)
    }

    /// The same for a job that is on a host.
    pub(super) fn create_mirrored(
        &self,
        spec: &JobSpec,
        mirrored: Option<&Mirrored>,
    ) -> Result<bool, JobError> {
        if self.0.exists() {
            return Ok(false);
        }
        let jobs = self.0.parent().unwrap_or(&self.0);
        fs::create_dir_all(jobs).map_err(JobError::io("make", jobs))?;
        let draft = tempfile::Builder::new()
            .prefix(".job-")
            .tempdir_in(jobs)
            .map_err(JobError::io("make a folder in", jobs))?;
        let inside = Self::at(draft.path());
        for dir in [inside.out(), inside.checkpoints()] {
            fs::create_dir(&dir).map_err(JobError::io("make", &dir))?;
        }
        inside.write("spec.json", &json(spec))?;
        inside.write("params.json", &json(&spec.params))?;
        inside.write("attempt", b"1\n")?;
        if let Some(mirrored) = mirrored {
            inside.write("host.json", &json(mirrored))?;
        }
        match durable::rename(draft.path(), &self.0) {
            Ok(()) => {
                let _ = draft.keep();
                Ok(true)
            }
            // Somebody else was faster; the draft is removed.
            Err(_) if self.0.exists() && draft.path().exists() => Ok(false),
            Err(error) => Err(JobError::io("make", &self.0)(error)),
        }
    }

    /// Reads `spec.json`.
    pub fn spec(&self) -> Result<JobSpec, JobError> {
        self.read("spec.json")?.ok_or_else(|| JobError::NoJob(self.0.clone()))
    }

    /// `out/`: files the job wants to keep.
    pub fn out(&self) -> PathBuf {
        self.0.join("out")
    }

    /// `ckpt/`: checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("ckpt")
    }

    /// `events.jsonl`.
    pub fn events(&self) -> PathBuf {
        self.0.join("events.jsonl")
    }

    /// `log`: raw stdout and stderr.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// `params.json`.
    pub fn params(&self) -> PathBuf {
        self.0.join("params.json")
    }

    /// `attempt`: the fencing token. A worker whose own attempt is not this number must stop.
    pub fn attempt(&self) -> Result<u32, JobError> {
        let path = self.0.join("attempt");
        let text = fs::read_to_string(&path).map_err(JobError::io("read", &path))?;
        text.trim()
            .parse()
            .map_err(|_| JobError::Damaged { path, detail: format!("`{}` is not a number", text.trim()) })
    }

    pub(super) fn set_attempt(&self, attempt: u32) -> Result<(), JobError> {
        self.write("attempt", format!("{attempt}\n").as_bytes())
    }

    /// Whether an attempt has begun; a job may be put into a queue again before.
    pub(super) fn is_begun(&self) -> bool {
        self.0.join("begun").exists()
    }

    pub(super) fn set_begun(&self) -> Result<(), JobError> {
        self.write("begun", b"")
    }

    /// Whether somebody asked the job to stop.
    pub fn cancel_requested(&self) -> bool {
        self.cancel().is_some()
    }

    pub(super) fn cancel(&self) -> Option<Cancel> {
        match fs::read(self.0.join("cancel")) {
            Ok(text) if text.starts_with(b"kill") => Some(Cancel::Kill),
            Ok(_) => Some(Cancel::Term),
            Err(_) => None,
        }
    }

    pub(super) fn request_cancel(&self, cancel: Cancel) -> Result<(), JobError> {
        if self.cancel() >= Some(cancel) {
            return Ok(());
        }
        self.write("cancel", if cancel == Cancel::Kill { b"kill\n" } else { b"term\n" })
    }

    /// Bytes of memory that the worker and its children hold now; none where that cannot be told.
    pub fn memory(&self) -> Option<u64> {
        let worker = self.state().ok()??.worker?;
        if worker.alive() { process::resident(worker.pid) } else { None }
    }

    /// Name of the newest checkpoint: they sort by the step that they were written at.
    pub(super) fn newest_checkpoint(&self) -> Option<String> {
        let files = fs::read_dir(self.checkpoints()).ok()?;
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        names.filter(|name| !name.starts_with('.')).max()
    }

    /// Says that the job's next attempt is on another host.
    pub(super) fn begin_on(&self, mirrored: &Mirrored, attempt: u32) -> Result<(), JobError> {
        let exit = self.0.join("exit.json");
        if exit.exists() {
            let kept = self.0.join(format!("exit.{}.json", attempt - 1));
            durable::rename(&exit, &kept).map_err(JobError::io("rename", exit))?;
        }
        self.set_attempt(attempt)?;
        for name in ["cancel", "recorded", "state.json"] {
            self.remove(name)?;
        }
        self.write("host.json", &json(mirrored))
    }

    /// When the newest checkpoint was written.
    pub fn checkpointed(&self) -> Option<SystemTime> {
        let files = fs::read_dir(self.checkpoints()).ok()?;
        files.filter_map(|file| file.ok()?.metadata().ok()?.modified().ok()).max()
    }

    /// The digest of the run's record, once it is published.
    pub fn recorded(&self) -> Option<Digest> {
        fs::read_to_string(self.0.join("recorded")).ok()?.trim().parse().ok()
    }

    /// Notes that the run's record is published.
    pub fn set_recorded(&self, record: &Digest) -> Result<(), JobError> {
        self.write("recorded", format!("{record}\n").as_bytes())
    }

    /// Where the job is, if that is not here.
    pub(super) fn mirrored(&self) -> Result<Option<Mirrored>, JobError> {
        self.read("host.json")
    }

    /// The host that the job is on, and that machine's own name; none if it is here.
    pub fn host(&self) -> Result<Option<(Host, String)>, JobError> {
        Ok(self.mirrored()?.map(|mirrored| (mirrored.host, mirrored.machine)))
    }

    /// The store beside the folder of all jobs.
    pub fn store(&self) -> Result<Local, JobError> {
        let state = self.0.parent().and_then(Path::parent).ok_or_else(|| JobError::NoJob(self.0.clone()))?;
        Ok(Local::open(&state.join("store"))?)
    }

    /// What a step made and kept, by path; none before it did.
    pub fn kept(&self) -> Result<Option<BTreeMap<String, Stored>>, JobError> {
        self.read("kept.json")
    }

    /// Notes what a step made and kept.
    pub fn set_kept(&self, kept: &BTreeMap<String, Stored>) -> Result<(), JobError> {
        self.write("kept.json", &json(kept))
    }

    /// Whether it has ended longer than `age` ago.
    pub(super) fn ended_before(&self, age: Duration) -> Result<bool, JobError> {
        let ended = modified(&self.0.join("exit.json")).and_then(|time| time.elapsed().ok());
        Ok(ended.is_some_and(|elapsed| elapsed > age) && self.exit()?.is_some())
    }

    /// Holds `name` in this folder (flock) until the file is dropped, or the process ends however it may; none if another
    /// process holds it and `wait` is false.
    pub fn lock(&self, name: &str, wait: bool) -> Result<Option<File>, JobError> {
        let path = self.0.join(name);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(JobError::io("open", &path))?;
        if wait {
            file.lock().map_err(JobError::io("lock", &path))?;
            return Ok(Some(file));
        }
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(JobError::io("lock", &path)(error)),
        }
    }

    /// What the folder says about the job now, judged by evidence (pid, start time, boot id).
    pub fn status(&self) -> Result<JobStatus, JobError> {
        let attempt = self.attempt()?;
        if let Some(exit) = self.exit()? {
            return Ok(JobStatus { state: exit.end.state, end: Some(exit.end), attempt });
        }
        let going = |state| Ok(JobStatus { state, end: None, attempt });
        let state: Option<State> = self.read("state.json")?;
        if self.mirrored()?.is_some() {
            // As it was when the host was last asked.
            return going(state.map_or(JobState::Queued, |state| state.state));
        }
        if let Some(submitted) = self.submitted()? {
            return self.in_slurm(&submitted, state.as_ref(), attempt);
        }
        let Some(supervisor) = self.read::<Supervisor>("sup.json")? else {
            let waited = modified(&self.0.join("attempt")).and_then(|time| time.elapsed().ok());
            if waited.is_none_or(|waited| waited < START_LIMIT) {
                return going(JobState::Queued);
            }
            return self.lost(state.as_ref(), attempt, "the supervisor did not start");
        };
        if supervisor.host != facts::host() {
            return going(JobState::Unknown);
        }
        let same_boot = supervisor.boot == facts::boot();
        if same_boot && supervisor.process.alive() {
            return going(state.map_or(JobState::Preparing, |state| state.state));
        }
        // It may have written the end just before it went.
        if let Some(exit) = self.exit()? {
            return Ok(JobStatus { state: exit.end.state, end: Some(exit.end), attempt });
        }
        if same_boot && !self.orphans()?.is_empty() {
            return going(JobState::Orphaned);
        }
        let why = if same_boot {
            "its supervisor was killed, or the disk was full at its end"
        } else {
            "the machine was restarted"
        };
        self.lost(state.as_ref(), attempt, why)
    }

    /// Processes of a job whose supervisor is gone: the worker, and whatever carries the job's identifier.
    pub(super) fn orphans(&self) -> Result<Vec<Identity>, JobError> {
        let id = self.spec()?.id.to_string();
        let mut found = process::with_variable(variables::JOB, &id);
        if let Some(worker) = self.read::<State>("state.json")?.and_then(|state| state.worker)
            && worker.alive()
            && !found.contains(&worker)
        {
            found.push(worker);
        }
        Ok(found)
    }

    pub(super) fn lost(&self, state: Option<&State>, attempt: u32, why: &str) -> Result<JobStatus, JobError> {
        let last = [self.events(), self.log(), self.0.join("state.json"), self.0.join("attempt")]
            .iter()
            .filter_map(|path| modified(path))
            .max();
        let ended = last.map_or_else(Time::now, |time| {
            Time::from_ms(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64)
        });
        let end = RunEnd {
            state: JobState::Lost,
            cause: Some(Cause::Lost),
            code: None,
            signal: None,
            reason: Some(why.to_owned()),
            started: state.map_or(ended, |state| state.started),
            ended,
            seconds: state.and_then(|state| Some(state.before + ended.seconds_since(state.since?).max(0.0))),
            cpu_seconds: None,
            attempts: attempt,
            usage: self.usage().ok().flatten(),
        };
        Ok(JobStatus { state: JobState::Lost, end: Some(end), attempt })
    }

    /// The end of the job if it has ended. A job that was lost gets its `exit.json` here, so that its end stays the same.
    pub fn settle(&self) -> Result<Option<RunEnd>, JobError> {
        let status = self.status()?;
        if status.end.is_none() || self.exit()?.is_some() {
            return Ok(status.end);
        }
        let Some(_lock) = self.lock("lock", false)? else { return Ok(None) };
        let status = self.status()?;
        if let (Some(end), None) = (&status.end, self.exit()?) {
            self.set_exit(end, 0, Duration::ZERO)?;
        }
        Ok(status.end)
    }

    /// Prepares another attempt of a job that has ended; returns its number. The checkpoints stay.
    pub fn reopen(&self) -> Result<u32, JobError> {
        self.reopen_after(|| Ok(()))
    }

    /// The same, if `first` succeeds.
    pub(super) fn reopen_after(&self, first: impl FnOnce() -> Result<(), JobError>) -> Result<u32, JobError> {
        let active = || JobError::Active(self.spec().map(|spec| spec.id.to_string()).unwrap_or_default());
        let _lock = self.lock("lock", false)?.ok_or_else(active)?;
        if self.exit()?.is_none() {
            return Err(active());
        }
        let attempt = self.attempt()?;
        first()?;
        // The new number first: whatever of the old attempt still lives must not write a checkpoint any more.
        self.set_attempt(attempt + 1)?;
        for name in ["cancel", "recorded", "sup.json"] {
            self.remove(name)?;
        }
        let (exit, kept) = (self.0.join("exit.json"), self.0.join(format!("exit.{attempt}.json")));
        durable::rename(&exit, &kept).map_err(JobError::io("rename", exit))?;
        Ok(attempt + 1)
    }

    pub(super) fn exit(&self) -> Result<Option<ExitFile>, JobError> {
        self.read("exit.json")
    }

    /// Writes `exit.json`; while the disk is full, tries again for as long as `patience` says.
    pub(super) fn set_exit(&self, end: &RunEnd, strays: u32, patience: Duration) -> Result<(), JobError> {
        let exit = json(&ExitFile { schema: "mlp/exit/1".into(), end: end.clone(), strays, retried: false });
        let path = self.0.join("exit.json");
        durable::when_there_is_room(patience, || durable::replace(&path, &exit))
            .map_err(JobError::io("write", &path))
    }

    pub(super) fn state(&self) -> Result<Option<State>, JobError> {
        self.read("state.json")
    }

    pub(super) fn set_state(&self, state: &State) -> Result<(), JobError> {
        self.write("state.json", &json(state))
    }

    pub(super) fn set_supervisor(&self, supervisor: &Supervisor) -> Result<(), JobError> {
        self.write("sup.json", &json(supervisor))
    }

    pub(super) fn supervised(&self) -> bool {
        self.0.join("sup.json").exists()
    }

    fn remove(&self, name: &str) -> Result<(), JobError> {
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(JobError::io("remove", path)(error)),
            _ => Ok(()),
        }
    }

    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, JobError> {
        let path = self.0.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(JobError::io("read", path)(error)),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| JobError::Damaged { path, detail: error.to_string() })
    }

    /// Replaces the file `name` at once and durably.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), JobError> {
        let path = self.0.join(name);
        durable::replace(&path, bytes).map_err(JobError::io("write", &path))
    }
}

pub(super) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    // The types of this module hold string keys and plain values only, so that writing cannot fail.
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}
