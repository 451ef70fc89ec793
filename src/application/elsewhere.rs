//! Hosts as commands see them: `--on HOST`.

use crate::base::{Digest, Failure, Id, Level, Sink};
use crate::hardware::facts;
use crate::infrastructure::compute::{Executor, Hello, Host, Link};
use crate::platform::project::Project;
use crate::platform::run::{Planned, RunError, Workspace};
use etcetera::BaseStrategy;

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

/// Where runs are started: here, or on a host.
pub(super) struct Place {
    /// The host, and what it said.
    host: Option<(Host, Hello)>,
}

impl Place {
    /// The host `on` of the project, connected to; here if there is none.
    pub(super) fn of(project: &Project, on: Option<&str>, ui: &Ui) -> Result<Self, Failure> {
        let Some(name) = on else { return Ok(Self { host: None }) };
        let host = project.manifest.host(name)?;
        let link = Link::open(&host, super::following::workspace(project).binary()?, ui)?;
        let hello = link.hello.clone();
        link.rest();
        Ok(Self { host: Some((host, hello)) })
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
        threads: Option<usize>,
        apart: &[String],
        ui: &Ui,
    ) -> Result<Id, Failure> {
        let executor = workspace.executor();
        let Some((host, _)) = &self.host else {
            let job = planned.job(threads);
            executor.submit(&job)?;
            return Ok(job.id);
        };
        let elsewhere = planned.elsewhere(workspace, threads, apart, ui)?;
        let mut link = Link::open(host, workspace.binary()?, ui)?;
        let folder = executor.folder(elsewhere.job.id);
        let variables = serde_json::to_vec(&elsewhere.variables).unwrap_or_default();
        let sent = link.submit(&folder, &elsewhere.job, workspace.store, &variables, ui)?;
        link.rest();
        let text = match sent {
            0 => format!("{} has all that the run needs", host.name),
            sent => format!("sent {} to {}", bytes(sent), host.name),
        };
        ui.log(Level::Info, &text);
        Ok(elsewhere.job.id)
    }
}
