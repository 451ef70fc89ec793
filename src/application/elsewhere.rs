//! Hosts as commands see them: `--on HOST`.

use std::collections::BTreeMap;

use etcetera::BaseStrategy;

use crate::base::{Digest, Failure, Id, Level, Name, Null, Sink, Span};
use crate::hardware::facts;
use crate::infrastructure::compute::{self, Hello, Host, JobFolder, JobSpec, Link, Wants, hideable};
use crate::infrastructure::keys::Secrets;
use crate::infrastructure::store::Remote;
use crate::platform::data::Pointer;
use crate::platform::project::{Manifest, Project};
use crate::platform::run::{self, Elsewhere, Listed, Planned, RunError, Workspace};

use super::stores::remote;
use super::ui::{Ui, bytes};

/// Connects to a host, whether in a project or not.
pub(super) fn connect(host: &Host, ui: &Ui) -> Result<Link, Failure> {
    Ok(Link::open(host, executable()?, ui)?)
}

/// Digest of this executable.
fn executable() -> Result<Digest, Failure> {
    // Outside of a project, too: kept in the user's own cache.
    let folder = etcetera::choose_base_strategy().map(|base| base.cache_dir().join("mlp"));
    let folder = folder.unwrap_or_else(|_| std::env::temp_dir());
    let _ = std::fs::create_dir_all(&folder);
    facts::binary(&folder.join("binary"))
        .map_err(|error| RunError::io("read", "the mlp executable")(error).into())
}

/// What a command line asks for one run, besides what `mlp.yaml` says.
#[derive(Default)]
pub(super) struct Wishes {
    /// Threads of computations.
    pub(super) threads: Option<usize>,
    /// GPUs.
    pub(super) gpus: Option<u32>,
    /// How long it may wait for them.
    pub(super) max_wait: Option<Span>,
}

impl Wishes {
    /// The run as a job for a host, with them.
    fn elsewhere(
        &self,
        planned: &Planned,
        workspace: &Workspace<'_>,
        host: &Host,
        apart: &[String],
        ui: &Ui,
    ) -> Result<Elsewhere, Failure> {
        let elsewhere = planned.elsewhere(workspace, self.threads, apart, ui)?;
        let job = JobSpec { power: host.spec.power, ..self.of(elsewhere.job, workspace)? };
        Ok(Elsewhere { job, ..elsewhere })
    }

    /// The job with them.
    fn of(&self, mut job: JobSpec, workspace: &Workspace<'_>) -> Result<JobSpec, Failure> {
        if self.gpus.is_some() {
            job.resources.gpus = self.gpus;
        }
        if self.max_wait.is_some() {
            job.resources.max_wait = self.max_wait;
        }
        // Who asks for a card does not want to be served by the processor in silence.
        let trains = job.argv.get(2).is_some_and(|verb| verb == "work");
        if trains && job.resources.gpus.is_some_and(|gpus| gpus > 0) && !workspace.drives_gpus() {
            let place =
                workspace.on.map_or_else(|| "here".to_owned(), |host| format!("on `{}`", host.facts.host));
            return Err(RunError::NoGpu { place }.into());
        }
        Ok(job)
    }
}

/// Where runs are started: here, or on a host.
pub(super) struct Place {
    /// The host, and what it said.
    host: Option<(Host, Hello)>,
    /// The store that a host may read itself.
    shared: Option<Remote>,
    /// Where secrets come from.
    secrets: Secrets,
}

/// What stands for all hosts in `--on`.
pub(super) const ANY: &str = "any";

impl Place {
    /// The host `on` of the project, connected to; of several (`a,b`, or `any`) the one that is free first; here if there is none.
    pub(super) fn of(project: &Project, on: Option<&str>, wants: &Wants, ui: &Ui) -> Result<Self, Failure> {
        let secrets = project.secrets.clone();
        let Some(on) = on else { return Ok(Self { host: None, shared: None, secrets }) };
        let binary = super::following::workspace(project).binary()?;
        let hosts = candidates(&project.manifest, on)?;
        let link = match hosts.as_slice() {
            [host] => Link::open(host, binary, ui)?,
            several => {
                let say = |text: &str| ui.log(Level::Info, text);
                compute::choose(several, wants, &project.store, binary, ui, &say)?
            }
        };
        let (host, hello) = (link.host.clone(), link.hello.clone());
        link.rest();
        Ok(Self { host: Some((host, hello)), shared: remote(project, None).ok(), secrets })
    }

    /// The host's name; none for this machine.
    pub(super) fn name(&self) -> Option<&str> {
        self.host.as_ref().map(|(host, _)| host.name.as_str())
    }

    /// Whether jobs go into the queue of a cluster.
    pub(super) fn is_queue(&self) -> bool {
        self.host.as_ref().is_some_and(|(host, _)| host.spec.slurm.is_some())
    }

    /// Whether the job in `folder` is one of this place.
    pub(super) fn has(&self, folder: &JobFolder) -> bool {
        folder.host().is_ok_and(|host| host.as_ref().map(|(host, _)| host.name.as_str()) == self.name())
    }

    /// The project's runs, planned for this place.
    pub(super) fn workspace<'a>(&'a self, project: &'a Project) -> Workspace<'a> {
        let on = self.host.as_ref().map(|(_, hello)| hello);
        Workspace { on, ..super::following::workspace(project) }
    }

    /// Starts a run; `apart` are the project's paths that are no code.
    pub(super) fn start(
        &self,
        planned: &Planned,
        workspace: &Workspace<'_>,
        wishes: &Wishes,
        apart: &[String],
        ui: &Ui,
    ) -> Result<Id, Failure> {
        let executor = workspace.executor();
        if planned.ranks() > 1 && !self.is_queue() {
            return Err(RunError::NoSlurm { name: planned.plan.name.to_string() }.into());
        }
        let Some((host, _)) = &self.host else {
            let job = wishes.of(planned.job(wishes.threads), workspace)?;
            executor.submit_with(&job, &told(&secrets(&job, &self.secrets, ui)?))?;
            return Ok(job.id);
        };
        let mut elsewhere = wishes.elsewhere(planned, workspace, host, apart, ui)?;
        elsewhere.variables.extend(secrets(&elsewhere.job, &self.secrets, ui)?);
        let mut link = Link::open(host, workspace.binary()?, ui)?;
        link.shared.clone_from(&self.shared);
        let folder = executor.folder(elsewhere.job.id);
        let sent = link.submit(&folder, &elsewhere.job, workspace.store, &told(&elsewhere.variables), ui)?;
        link.rest();
        let text = match sent {
            0 => format!("{} has all that the run needs", host.name),
            sent => format!("sent {} to {}", bytes(sent), host.name),
        };
        ui.log(Level::Info, &text);
        Ok(elsewhere.job.id)
    }

    /// Brings trainings into the queue of the cluster; of those that ask for the same resources at most `at_once` are at work at a time.
    pub(super) fn queue(
        &self,
        planned: &[Planned],
        workspace: &Workspace<'_>,
        wishes: &Wishes,
        at_once: usize,
        ui: &Ui,
    ) -> Result<Vec<Id>, Failure> {
        let Some((host, _)) = &self.host else { return Ok(Vec::new()) };
        let jobs = planned.iter().map(|planned| Ok(wishes.elsewhere(planned, workspace, host, &[], ui)?.job));
        let jobs = jobs.collect::<Result<Vec<JobSpec>, Failure>>()?;
        let executor = workspace.executor();
        let mut link = Link::open(host, workspace.binary()?, ui)?;
        link.shared.clone_from(&self.shared);
        // The jobs of an array ask for the same; those that ask for something else are an array of their own.
        for jobs in jobs.chunk_by(|one, other| one.resources == other.resources) {
            link.queue(&executor, jobs, at_once, workspace.store, ui)?;
        }
        link.rest();
        Ok(jobs.iter().map(|job| job.id).collect())
    }
}

/// The values of a job's secrets. Those too short to be hidden are named.
pub(super) fn secrets(job: &JobSpec, from: &Secrets, ui: &Ui) -> Result<BTreeMap<String, String>, Failure> {
    let values = from.values(&job.secrets)?;
    for name in values.iter().filter(|(_, value)| !hideable(value)).map(|(name, _)| name) {
        let text = format!("the secret {name} is too short to be told from other words: logs may show it");
        ui.log(Level::Warn, &text);
    }
    Ok(values)
}

/// Variables as they are told to a supervisor; nothing if there are none.
pub(super) fn told(variables: &BTreeMap<String, String>) -> Vec<u8> {
    if variables.is_empty() { Vec::new() } else { serde_json::to_vec(variables).unwrap_or_default() }
}

/// Whether `on` names hosts of the project; nobody is asked.
pub(super) fn known(project: &Project, on: &str) -> Result<(), Failure> {
    candidates(&project.manifest, on).map(drop)
}

/// The hosts that `on` names.
fn candidates(manifest: &Manifest, on: &str) -> Result<Vec<Host>, Failure> {
    let all =
        on == ANY && !manifest.hosts.is_empty() && !manifest.hosts.keys().any(|name| name.as_str() == ANY);
    let mut names: Vec<&str> = match all {
        true => manifest.hosts.keys().map(Name::as_str).collect(),
        false => on.split(',').map(str::trim).collect(),
    };
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    names.into_iter().map(|name| Ok(manifest.host(name)?)).collect()
}

/// What the datasets of these names rest on, as far as their pointers tell.
pub(super) fn roots<'a>(project: &Project, datasets: impl IntoIterator<Item = &'a Name>) -> Vec<Digest> {
    let root = |name: &Name| {
        let pointer = Pointer::read(&project.dataset(name.as_str()).ok()?.pointer()).ok()?;
        Some(pointer.root(&project.store).ok()?.id)
    };
    datasets.into_iter().filter_map(root).collect()
}

/// All runs, newest first; of those that are on hosts and have not ended, as the hosts say now. A host that cannot be reached is
/// named, and its runs are told as they were last seen.
pub(super) fn list(workspace: &Workspace<'_>, ui: &Ui) -> Result<Vec<Listed>, Failure> {
    let executor = workspace.executor();
    let mut silent: Vec<String> = Vec::new();
    for (_, folder) in executor.folders()? {
        let Ok(Some((host, _))) = folder.host() else { continue };
        if silent.contains(&host.name) || folder.status().is_ok_and(|status| status.end.is_some()) {
            continue;
        }
        if let Err(error) = executor.refresh(&folder, &Null) {
            ui.log(Level::Warn, &format!("{error}; what is told of its runs is as it was last seen"));
            silent.push(host.name);
        }
    }
    Ok(run::list(workspace)?)
}
