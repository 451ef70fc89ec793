//! Jobs on a host: the same as here, by questions over one connection.

use std::collections::{BTreeMap, BTreeSet};

use super::frame::{Ask, BEGUN, HostedJob, Tidied};
use super::link::Link;
use super::mirror::Mirrored;
use super::{Cards, JobError, JobFolder, JobSpec, LocalExecutor};
use crate::base::{Digest, Id, Sink};
use crate::infrastructure::store::{Local, Stored, worktree};

impl Link {
    /// Starts a job: sends what it needs, makes the folder that mirrors it at `folder`, and has it started there. Answers
    /// the bytes that went.
    ///
    /// The folder here first: a connection that breaks loses no job that may have been started.
    pub fn submit(
        &mut self,
        folder: &JobFolder,
        spec: &JobSpec,
        store: &Local,
        variables: &[u8],
        sink: &dyn Sink,
    ) -> Result<u64, JobError> {
        let sent = self.send(store, &spec.rests_on, sink)?;
        let mirrored = self.mirrored();
        folder.create_mirrored(spec, Some(&mirrored))?;
        let start = Ask::Start {
            spec: Box::new(spec.clone()),
            attempt: 1,
            begun: BTreeMap::new(),
            slurm: self.host.spec.slurm.clone(),
        };
        match self.ask::<()>(&start, variables) {
            // It said no: there is no job.
            Err(error @ JobError::OnHost { .. }) => {
                std::fs::remove_dir_all(&folder.0).map_err(JobError::io("remove", &folder.0))?;
                Err(error)
            }
            other => other.map(|_| sent),
        }
    }

    /// Brings jobs into the queue of the host's cluster, of which at most `at_once` are at work at a time; they ask for the same resources. `here`
    /// gets the folders that mirror them.
    pub fn queue(
        &mut self,
        here: &LocalExecutor,
        specs: &[JobSpec],
        at_once: usize,
        store: &Local,
        sink: &dyn Sink,
    ) -> Result<(), JobError> {
        let rests_on: BTreeSet<Digest> =
            specs.iter().flat_map(|spec| spec.rests_on.iter().copied()).collect();
        self.send(store, &rests_on.into_iter().collect::<Vec<_>>(), sink)?;
        let mirrored = self.mirrored();
        for spec in specs {
            here.folder(spec.id).create_mirrored(spec, Some(&mirrored))?;
        }
        let slurm = self.host.spec.slurm.clone().unwrap_or_default();
        match self.ask::<()>(&Ask::Queue { specs: specs.to_vec(), at_once, slurm }, &[]) {
            // It said no: there are no jobs.
            Err(error @ JobError::OnHost { .. }) => {
                for folder in specs.iter().map(|spec| here.folder(spec.id)) {
                    std::fs::remove_dir_all(&folder.0).map_err(JobError::io("remove", &folder.0))?;
                }
                Err(error)
            }
            other => other.map(drop),
        }
    }

    /// Starts the next attempt of a mirrored job that has ended; it goes on from its last checkpoint there.
    pub fn resume(&mut self, folder: &JobFolder, variables: &[u8]) -> Result<(), JobError> {
        let id = folder.spec()?.id;
        folder
            .reopen_after(|| {
                self.ask::<()>(&Ask::Resume { id, slurm: self.host.spec.slurm.clone() }, variables).map(drop)
            })
            .map(drop)
    }

    /// Goes on here, on this host, with a job that another host had: from the checkpoints that were mirrored.
    pub fn adopt(
        &mut self,
        folder: &JobFolder,
        store: &Local,
        variables: &[u8],
        sink: &dyn Sink,
    ) -> Result<(), JobError> {
        let spec = folder.spec()?;
        let mut roots = spec.rests_on.clone();
        let mut begun = BTreeMap::new();
        for name in BEGUN {
            let path = folder.0.join(name);
            if path.exists() {
                let root = worktree::snapshot(&path, store, None, sink)?.root;
                roots.push(root.id);
                begun.insert(name.to_owned(), Stored::from(&root));
            }
        }
        self.send(store, &roots, sink)?;
        let attempt = folder.attempt()? + 1;
        let start = Ask::Start { spec: Box::new(spec), attempt, begun, slurm: self.host.spec.slurm.clone() };
        self.ask::<()>(&start, variables)?;
        folder.begin_on(&self.mirrored(), attempt)
    }

    /// Makes the folder that mirrors a job of the host which another machine started.
    pub fn mirror(&mut self, folder: &JobFolder, id: Id) -> Result<(), JobError> {
        let (spec, _): (JobSpec, _) = self.ask(&Ask::Spec { id }, &[])?;
        let mirrored = self.mirrored();
        folder.create_mirrored(&spec, Some(&mirrored)).map(drop)
    }

    fn mirrored(&self) -> Mirrored {
        Mirrored {
            schema: Mirrored::SCHEMA.into(),
            host: self.host.clone(),
            machine: self.hello.facts.host.clone(),
        }
    }

    /// Asks a job to stop.
    pub fn cancel(&mut self, id: Id, now: bool) -> Result<(), JobError> {
        self.ask::<()>(&Ask::Cancel { id, kill: now }, &[]).map(drop)
    }

    /// Removes a job that has ended, with all that it left there.
    pub fn remove(&mut self, id: Id) -> Result<(), JobError> {
        self.ask::<()>(&Ask::Remove { id }, &[]).map(drop)
    }

    /// All jobs of this user there.
    pub fn jobs(&mut self) -> Result<Vec<HostedJob>, JobError> {
        self.ask(&Ask::Jobs, &[]).map(|(jobs, _)| jobs)
    }

    /// The GPUs of the machine, who has them and who waits.
    pub fn cards(&mut self) -> Result<Cards, JobError> {
        self.ask(&Ask::Cards, &[]).map(|(cards, _)| cards)
    }

    /// Removes ended jobs and agents that nobody uses any more.
    pub fn tidy(&mut self, dry_run: bool) -> Result<Tidied, JobError> {
        self.ask(&Ask::Tidy { dry_run }, &[]).map(|(tidied, _)| tidied)
    }
}
