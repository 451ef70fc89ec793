//! Jobs on this machine: the same supervisor as everywhere, started as a process of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::folder::Cancel;
use super::frame::BEGUN;
use super::link::Link;
use super::process::{self, Kill};
use super::tail::Tail;
use super::{
    Cursor, Ended, Executor, JobError, JobFolder, JobSpec, JobStatus, SlurmSpec, Ticket, agent, mirror, slurm,
};
use crate::base::{Digest, Event, Id, JobState, Level, Log, Null, Sink, StateChange, What};
use crate::hardware::facts;
use crate::infrastructure::store::Stored;

/// How often a follower looks for news.
const POLL: Duration = Duration::from_millis(40);

/// How supervisors are started.
#[derive(Default)]
pub(super) struct Starter<'a> {
    /// By Slurm; as a process of this machine otherwise.
    pub(super) slurm: Option<&'a SlurmSpec>,
    /// Variables for the worker, a JSON object, which are written nowhere.
    pub(super) variables: &'a [u8],
}

impl Starter<'_> {
    fn start(&self, folder: &JobFolder) -> Result<(), JobError> {
        let Some(slurm) = self.slurm else {
            let program = std::env::current_exe().map_err(JobError::io("find", "the mlp executable"))?;
            return agent::start(&program, folder, self.variables);
        };
        if !matches!(self.variables, b"" | b"{}") {
            return Err(JobError::Slurm {
                command: "sbatch",
                said:
                    "variables of `env:` and `secrets:` cannot go through a queue without being written down"
                        .to_owned(),
            });
        }
        let submitted = slurm::submit(&folder.0, &folder.spec()?, slurm)?;
        folder.set_submitted(&submitted)
    }
}

/// Runs jobs on this machine, in `<state dir>/jobs`.
pub struct LocalExecutor {
    /// `<state dir>/jobs`.
    pub jobs: PathBuf,
}

impl LocalExecutor {
    /// The executor whose job folders lie in `jobs`.
    pub fn new(jobs: PathBuf) -> Self {
        Self { jobs }
    }

    /// The folder of a job.
    pub fn folder(&self, id: Id) -> JobFolder {
        JobFolder(self.jobs.join(id.to_string()))
    }

    /// All job folders, oldest first.
    pub fn folders(&self) -> Result<Vec<(Id, JobFolder)>, JobError> {
        let entries = match std::fs::read_dir(&self.jobs) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(JobError::io("list", &self.jobs)(error)),
        };
        let mut folders: Vec<(Id, JobFolder)> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .map(|id| (id, self.folder(id)))
            .collect();
        folders.sort_by_key(|(id, _)| *id);
        Ok(folders)
    }

    /// Starts a job whose worker gets `variables` (a JSON object, or nothing), which go into no file.
    pub fn submit_with(&self, spec: &JobSpec, variables: &[u8]) -> Result<Ticket, JobError> {
        self.submit_as(spec, 1, &BTreeMap::new(), &Starter { slurm: None, variables })
    }

    /// Starts the next attempt of a job that has ended; it goes on from its last checkpoint. `variables` (a JSON object, or nothing) goes
    /// to the worker and into no file.
    pub fn resume(&self, id: Id, variables: &[u8]) -> Result<Ticket, JobError> {
        self.resume_by(id, &Starter { slurm: None, variables })
    }

    /// The same by the rule of a job whose supervisor is gone ([`JobFolder::pause_after_loss`]).
    pub fn retry(&self, id: Id, variables: &[u8]) -> Result<Ticket, JobError> {
        self.folder(id).set_retried()?;
        self.resume(id, variables)
    }

    pub(super) fn resume_by(&self, id: Id, by: &Starter<'_>) -> Result<Ticket, JobError> {
        let folder = self.folder(id);
        if let Some(mirrored) = folder.mirrored()? {
            let mut link = Link::open(&mirrored.host, self.binary()?, &Null)?;
            link.resume(&folder, by.variables)?;
            link.rest();
            return Ok(ticket(id));
        }
        folder.settle()?;
        folder.reopen()?;
        by.start(&folder)?;
        Ok(ticket(id))
    }

    /// Starts a job that may have begun elsewhere: as its attempt `attempt`, with these files of the store ([`BEGUN`]).
    pub(super) fn submit_as(
        &self,
        spec: &JobSpec,
        attempt: u32,
        begun: &BTreeMap<String, Stored>,
        by: &Starter<'_>,
    ) -> Result<Ticket, JobError> {
        let folder = self.folder(spec.id);
        if folder.create(spec)? {
            folder.set_attempt(attempt)?;
            for (name, stored) in begun.iter().filter(|(name, _)| BEGUN.contains(&name.as_str())) {
                mirror::lay(&folder.store()?, stored, &folder.0.join(name))?;
            }
            by.start(&folder)?;
        }
        Ok(ticket(spec.id))
    }

    /// Brings jobs that ask for the same resources into the queue of Slurm, of which at most `at_once` are at work at a time.
    pub(super) fn queue(&self, specs: &[JobSpec], at_once: usize, slurm: &SlurmSpec) -> Result<(), JobError> {
        let folders: Vec<JobFolder> = specs.iter().map(|spec| self.folder(spec.id)).collect();
        for (folder, spec) in folders.iter().zip(specs) {
            folder.create(spec)?;
        }
        let paths: Vec<&Path> = folders.iter().map(|folder| folder.0.as_path()).collect();
        let submitted = slurm::submit_all(&paths, specs, at_once, slurm)?;
        folders.iter().zip(&submitted).try_for_each(|(folder, submitted)| folder.set_submitted(submitted))
    }

    /// As [`Executor::cancel`], without the time to end in an orderly way.
    pub fn kill(&self, ticket: &Ticket) -> Result<(), JobError> {
        self.stop(ticket, Cancel::Kill)
    }

    /// Takes over what is new about a job on a host; nothing for jobs of this machine.
    pub fn refresh(&self, folder: &JobFolder, sink: &dyn Sink) -> Result<(), JobError> {
        match folder.mirrored()? {
            Some(mirrored) if folder.exit()?.is_none() => {
                mirror::run(folder, &mirrored, self.binary()?, &AtomicBool::new(true), sink)
            }
            _ => Ok(()),
        }
    }

    /// Digest of this executable.
    fn binary(&self) -> Result<Digest, JobError> {
        facts::binary(&self.jobs.with_file_name("binary")).map_err(JobError::io("read", "the mlp executable"))
    }

    pub(super) fn stop(&self, ticket: &Ticket, how: Cancel) -> Result<(), JobError> {
        let folder = self.folder(ticket.id);
        let status = folder.status()?;
        if status.end.is_some() {
            return Ok(());
        }
        // Of a mirrored job, whoever follows it passes it on.
        folder.request_cancel(how)?;
        if let Some(submitted) = folder.submitted()?
            && status.state == JobState::Queued
        {
            // Nobody is there yet who would see the request.
            slurm::cancel(&submitted.job)?;
        }
        if status.state == JobState::Orphaned {
            // Nobody is left who would see the request.
            let grace = Duration::from_secs(if how == Cancel::Kill { 0 } else { folder.spec()?.grace_s });
            end_orphans(&folder, grace)?;
        }
        Ok(())
    }
}

pub(super) fn ticket(id: Id) -> Ticket {
    Ticket { id, host: "local".to_owned() }
}

fn end_orphans(folder: &JobFolder, grace: Duration) -> Result<(), JobError> {
    let begun = Instant::now();
    let mut asked = Vec::new();
    loop {
        let left = folder.orphans()?;
        if left.is_empty() {
            return Ok(());
        }
        for orphan in left {
            if begun.elapsed() >= grace {
                process::kill(&orphan, Kill::Kill);
            } else if !asked.contains(&orphan) {
                process::kill(&orphan, Kill::Term);
                asked.push(orphan);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Executor for LocalExecutor {
    fn submit(&self, spec: &JobSpec) -> Result<Ticket, JobError> {
        self.submit_as(spec, 1, &BTreeMap::new(), &Starter::default())
    }

    fn follow(
        &self,
        ticket: &Ticket,
        from: Cursor,
        sink: &dyn Sink,
        detach: &dyn Fn() -> bool,
    ) -> Result<Ended, JobError> {
        let folder = self.folder(ticket.id);
        match folder.mirrored()?.filter(|_| !matches!(folder.exit(), Ok(Some(_)))) {
            None => read(&folder, from, sink, detach),
            Some(mirrored) => {
                let (binary, stop) = (self.binary()?, AtomicBool::new(false));
                std::thread::scope(|scope| {
                    let mirror = scope.spawn(|| mirror::run(&folder, &mirrored, binary, &stop, sink));
                    let gone = || detach() || mirror.is_finished();
                    let ended = read(&folder, from, sink, &gone);
                    stop.store(true, Ordering::Relaxed);
                    let mirrored = mirror.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                    match (ended, mirrored) {
                        // The mirror ended and so did the reader: what the mirror brought last is read now.
                        (Ok(Ended::Detached(cursor)), Ok(())) if folder.exit()?.is_some() => {
                            read(&folder, cursor, sink, detach)
                        }
                        (Ok(ended @ Ended::Job(_)), _) => Ok(ended),
                        (ended, mirrored) => mirrored.and(ended),
                    }
                })
            }
        }
    }

    fn cancel(&self, ticket: &Ticket) -> Result<(), JobError> {
        self.stop(ticket, Cancel::Term)
    }

    fn status(&self, tickets: &[Ticket]) -> Result<Vec<JobStatus>, JobError> {
        tickets.iter().map(|ticket| self.folder(ticket.id).status()).collect()
    }
}

/// Reads what the folder of a job says until it has ended or `detach` says true.
fn read(
    folder: &JobFolder,
    from: Cursor,
    sink: &dyn Sink,
    detach: &dyn Fn() -> bool,
) -> Result<Ended, JobError> {
    let mut reader = Reader {
        events: Tail::new(folder.events(), from.events),
        log: Tail::new(folder.log(), from.log),
        sink,
    };
    let mut known = None;
    loop {
        // The state first: what was written before the end is then read before the end is told.
        let status = folder.status()?;
        reader.news(folder)?;
        if known != Some((status.state, status.attempt)) && status.end.is_none() {
            sink.emit(&state_event(status.state, None));
        }
        known = Some((status.state, status.attempt));
        if status.end.is_some()
            && let Some(end) = folder.settle()?
        {
            reader.rest(folder)?;
            sink.emit(&state_event(end.state, end.reason.clone()));
            return Ok(Ended::Job(end));
        }
        if detach() {
            return Ok(Ended::Detached(reader.cursor()));
        }
        std::thread::sleep(POLL);
    }
}

fn state_event(state: JobState, reason: Option<String>) -> Event {
    Event::now(What::State(StateChange { state, reason }))
}

struct Reader<'a> {
    events: Tail,
    log: Tail,
    sink: &'a dyn Sink,
}

impl Reader<'_> {
    fn news(&mut self, folder: &JobFolder) -> Result<(), JobError> {
        let sink = self.sink;
        self.events
            .lines(&mut |line| sink.emit(&event(line)))
            .map_err(JobError::io("read", folder.events()))?;
        self.log.lines(&mut |line| sink.emit(&words(line))).map_err(JobError::io("read", folder.log()))
    }

    fn rest(&mut self, folder: &JobFolder) -> Result<(), JobError> {
        let sink = self.sink;
        self.events
            .finish(&mut |line| sink.emit(&event(line)))
            .map_err(JobError::io("read", folder.events()))?;
        self.log.finish(&mut |line| sink.emit(&words(line))).map_err(JobError::io("read", folder.log()))
    }

    fn cursor(&self) -> Cursor {
        Cursor { events: self.events.offset, log: self.log.offset }
    }
}

/// A line of `events.jsonl` as an event: what is not one is kept as a line for people.
pub fn event(line: &[u8]) -> Event {
    match serde_json::from_slice::<Event>(line) {
        Ok(event) => Event { time: event.time.or_else(|| Event::now(event.what.clone()).time), ..event },
        Err(_) => words(line),
    }
}

fn words(line: &[u8]) -> Event {
    let text = String::from_utf8_lossy(line).trim_end_matches('\r').to_owned();
    Event::now(What::Log(Log { level: Level::Info, text }))
}
