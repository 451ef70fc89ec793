//! The host side of a command elsewhere: `mlp agent serve` answers questions on its standard input until that ends. It keeps nothing:
//! all truth about jobs lies in their folders, all objects in the host's store.
//!
//! ```text
//! ~/.mlp/
//!   bin/<16 letters of its digest>/mlp    agents
//!   store/                                objects of all projects of this user
//!   jobs/<id>/                            job folders
//! ```

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::folder::Cancel;
use super::frame::{self, Ask, Hello, HostedJob, News, PROTOCOL, Reply, Tidied};
use super::lease::Desk;
use super::local::{Starter, ticket};
use super::tail::bytes_from;
use super::{JobError, JobFolder, JobStatus, LocalExecutor};
use crate::base::{Diagnose, Digest, Id, Null, Time};
use crate::hardware::{Facts, device_line, facts, gpus};
use crate::infrastructure::store::{Local, Stored, Writer, sweep, worktree};

/// How often the host looks whether there is news.
const POLL: Duration = Duration::from_millis(20);
/// Bytes of one file in one piece of news.
const PIECE: u64 = 1 << 20;
/// Ended jobs stay so long for whoever has not fetched them.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Answers on `out` what is asked on `input`, for the mlp folder `root`.
pub fn serve(root: &Path, nonce: &str, input: &mut dyn Read, out: &mut dyn Write) -> Result<(), JobError> {
    let pipe = |source| JobError::Io { action: "talk through", path: "standard output".into(), source };
    private_folder(root)?;
    let store = Local::open(&root.join("store"))?;
    writeln!(out, "{} {nonce}", frame::MAGIC).map_err(pipe)?;
    frame::write(out, &hello(root)?, &[]).map_err(pipe)?;
    let mut session =
        Session { store: &store, jobs: LocalExecutor::new(root.join("jobs")), root, writer: None };
    while let Some((ask, body)) = frame::read::<Ask>(input).map_err(pipe)? {
        let (reply, body) = match session.answer(ask, &body) {
            Ok((value, body)) => (Reply::Ok(value), body),
            Err(error) => {
                let (code, message) = (error.code().to_owned(), error.to_string());
                (Reply::Failed { code, message, hint: error.hint() }, Vec::new())
            }
        };
        frame::write(out, &reply, &body).map_err(pipe)?;
    }
    Ok(())
}

/// Puts this executable where agents lie, if it is the one that `digest` names. Any number may do so at once.
pub fn install(root: &Path, digest: &Digest) -> Result<PathBuf, JobError> {
    let own = std::env::current_exe().map_err(JobError::io("find", "the mlp executable"))?;
    let bytes = std::fs::read(&own).map_err(JobError::io("read", &own))?;
    if Digest::of(&bytes) != *digest {
        return Err(JobError::Damaged { path: own, detail: "it did not arrive as it was sent".into() });
    }
    let place = root.join(agent_path(digest));
    let folder = place.parent().unwrap_or(root);
    std::fs::create_dir_all(folder).map_err(JobError::io("make", folder))?;
    crate::infrastructure::durable::rename(&own, &place).map_err(JobError::io("rename", own))?;
    Ok(place)
}

/// Where the agent of this digest lies below the mlp folder.
pub(super) fn agent_path(digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    Path::new("bin").join(&hex[..16]).join("mlp")
}

fn private_folder(root: &Path) -> Result<(), JobError> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(root).map_err(JobError::io("make", root))
}

fn hello(root: &Path) -> Result<Hello, JobError> {
    Ok(Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        root: root.to_owned(),
        binary: facts::binary(&root.join("binary")).map_err(JobError::io("read", "the mlp executable"))?,
        facts: Facts::here(),
        device: device_line(),
        time: Time::now(),
        free: worktree::available(root),
    })
}

struct Session<'a> {
    store: &'a Local,
    jobs: LocalExecutor,
    root: &'a Path,
    /// Takes parcels until the last.
    writer: Option<Writer<'a>>,
}

impl Session<'_> {
    fn answer(&mut self, ask: Ask, body: &[u8]) -> Result<(Value, Vec<u8>), JobError> {
        let value = match ask {
            Ask::Lacking => {
                return Ok((Value::Null, frame::put_ids(&self.store.lacking(named(body)?)?)));
            }
            Ask::Keep { last } => {
                let mut writer = match self.writer.take() {
                    Some(writer) => writer,
                    None => self.store.writer()?,
                };
                writer.take(body)?;
                if last {
                    writer.finish()?
                } else {
                    self.writer = Some(writer)
                }
                Value::Null
            }
            Ask::Borrow { lent } => json!(self.store.borrow(lent, &Null)?),
            Ask::Start { spec, attempt, begun, slurm } => {
                let by = Starter { slurm: slurm.as_ref(), variables: body };
                let started = self.jobs.submit_as(&spec, attempt, &begun, &by);
                let folder = self.jobs.folder(spec.id);
                if started.is_err() && !folder.supervised() {
                    // Whoever asked is told, and asks again with another: this one will never begin.
                    let _ = std::fs::remove_dir_all(&folder.0);
                }
                started?;
                Value::Null
            }
            Ask::Queue { specs, at_once, slurm } => {
                let queued = self.jobs.queue(&specs, at_once, &slurm);
                if queued.is_err() {
                    // As for one that was not started.
                    for spec in &specs {
                        let _ = std::fs::remove_dir_all(&self.jobs.folder(spec.id).0);
                    }
                }
                queued?;
                Value::Null
            }
            Ask::Checkpoints { id } => {
                let folder = self.folder(id)?;
                match folder.newest_checkpoint() {
                    None => Value::Null,
                    Some(_) => {
                        let root = worktree::snapshot(&folder.checkpoints(), self.store, None, &Null)?.root;
                        json!(Stored::from(&root))
                    }
                }
            }
            Ask::Spec { id } => json!(self.folder(id)?.spec()?),
            Ask::News { id, events, log, wait } => return self.news(id, events, log, wait),
            Ask::Cancel { id, kill } => {
                self.jobs.stop(&ticket(id), if kill { Cancel::Kill } else { Cancel::Term })?;
                Value::Null
            }
            Ask::Resume { id, slurm } => {
                self.jobs.resume_by(id, &Starter { slurm: slurm.as_ref(), variables: body })?;
                Value::Null
            }
            Ask::Results { id } => self.results(&self.folder(id)?)?,
            Ask::RestedOn { roots } => {
                let objects = self.store.rested_on(&roots)?;
                let each = |(id, size): (Digest, u64)| [&id.as_bytes()[..], &size.to_le_bytes()].concat();
                return Ok((Value::Null, objects.into_iter().flat_map(each).collect()));
            }
            Ask::Send => return Ok((Value::Null, self.store.parcel(&named(body)?)?)),
            Ask::Remove { id } => {
                let folder = self.folder(id)?;
                if folder.settle()?.is_none() {
                    return Err(JobError::Active(id.to_string()));
                }
                std::fs::remove_dir_all(&folder.0).map_err(JobError::io("remove", &folder.0))?;
                Value::Null
            }
            Ask::Cards => json!(Desk::of_machine()?.cards(gpus())?),
            Ask::Jobs => json!(self.listed()?),
            Ask::Tidy { dry_run } => json!(self.tidy(dry_run)?),
        };
        Ok((value, Vec::new()))
    }

    fn folder(&self, id: Id) -> Result<JobFolder, JobError> {
        let folder = self.jobs.folder(id);
        folder.spec().map(|_| folder)
    }

    fn news(&self, id: Id, events: u64, log: u64, wait: u64) -> Result<(Value, Vec<u8>), JobError> {
        let folder = self.folder(id)?;
        let begun = Instant::now();
        let first = folder.status()?.state;
        loop {
            // The state first: what was written before the end is then read before the end is told.
            let JobStatus { state, end, attempt } = folder.status()?;
            let read =
                |path: PathBuf, from| bytes_from(&path, from, PIECE).map_err(JobError::io("read", path));
            let (new_events, new_log) = (read(folder.events(), events)?, read(folder.log(), log)?);
            let quiet = new_events.is_empty() && new_log.is_empty();
            let end = if end.is_some() && quiet { folder.settle()? } else { None };
            let over = begun.elapsed() >= Duration::from_millis(wait);
            if !quiet || end.is_some() || over || state != first {
                let started = folder.state()?.map(|state| state.started);
                let checkpoint = folder.newest_checkpoint();
                let reason = folder.waits_for()?;
                let events = new_events.len() as u64;
                let news = News { state, attempt, started, reason, events, checkpoint, end };
                return Ok((json!(news), [new_events, new_log].concat()));
            }
            std::thread::sleep(POLL);
        }
    }

    /// `out/` as a node of the store, and what a step kept.
    fn results(&self, folder: &JobFolder) -> Result<Value, JobError> {
        let out = worktree::snapshot(&folder.out(), self.store, None, &Null)?.root;
        let kept = folder.kept()?;
        Ok(json!({ "out": Stored::from(&out), "kept": kept }))
    }

    fn listed(&self) -> Result<Vec<HostedJob>, JobError> {
        let mut jobs = Vec::new();
        for (id, folder) in self.jobs.folders()? {
            let (Ok(spec), Ok(status)) = (folder.spec(), folder.status()) else { continue };
            jobs.push(HostedJob { id, name: spec.name.to_string(), state: status.state });
        }
        Ok(jobs)
    }

    fn tidy(&self, dry_run: bool) -> Result<Tidied, JobError> {
        let mut tidied = Tidied::default();
        let mut needed = Vec::new();
        for (_, folder) in self.jobs.folders()? {
            if folder.ended_before(KEPT)? {
                tidied.jobs += 1;
                if !dry_run {
                    std::fs::remove_dir_all(&folder.0).map_err(JobError::io("remove", &folder.0))?;
                }
                continue;
            }
            needed.extend(folder.spec()?.rests_on);
            needed.extend(folder.kept()?.into_iter().flatten().map(|(_, stored)| stored.id));
        }
        // An hour of grace is for jobs whose objects were just sent and that have not begun.
        let swept = sweep(self.store, &needed, &[], dry_run, &Null)?;
        tidied.bytes = swept.freed;
        let own = std::env::current_exe().map_err(JobError::io("find", "the mlp executable"))?;
        let bin = self.root.join("bin");
        let agents = std::fs::read_dir(&bin).map_err(JobError::io("list", &bin))?;
        for agent in agents.filter_map(Result::ok).map(|entry| entry.path()) {
            let used = own.starts_with(&agent) || super::process::runs_from(&agent);
            if !used {
                tidied.agents += 1;
                if !dry_run {
                    std::fs::remove_dir_all(&agent).map_err(JobError::io("remove", &agent))?;
                }
            }
        }
        Ok(tidied)
    }
}

fn named(body: &[u8]) -> Result<Vec<Digest>, JobError> {
    frame::ids(body)
        .ok_or_else(|| JobError::Damaged { path: "a question".into(), detail: "its bytes are no ids".into() })
}
