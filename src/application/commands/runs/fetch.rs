//! `mlp runs fetch`.

use std::path::PathBuf;

use serde::Serialize;

use super::super::{Answer, Context};
use super::attach::take_over;
use crate::application::elsewhere::list;
use crate::application::following::{RunReport, workspace};
use crate::application::ui::{Report, argument};
use crate::base::{Digest, Exit, Failure, Record, Run};
use crate::infrastructure::store::worktree::{CheckoutOptions, checkout};
use crate::infrastructure::store::{Node, NodeKind, fetch};
use crate::platform::project::Project;
use crate::platform::run::{self, RunError};

/// Brings what a run left here: from the host that it is on, or from the store that it was pushed to.
///
/// Of a run that has not ended it brings what it told so far, and its newest checkpoint.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The run.
    #[arg(default_value = "latest")]
    run: String,
    /// A run that another machine started on this host.
    #[arg(long, value_name = "HOST")]
    on: Option<String>,
    /// Puts all that it left (log, events, out/, outs/) into this folder, which must not be there yet.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Puts what a step made under `out:` into the project.
    #[arg(long)]
    restore: bool,
}

#[derive(Serialize)]
struct Fetched {
    run: RunReport,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    restored: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<PathBuf>,
}

impl Report for Fetched {
    fn schema(&self) -> &'static str {
        "mlp/runs-fetch/1"
    }

    fn human(&self) -> String {
        let mut text = self.run.human();
        for path in &self.restored {
            text += &format!("  put {path} into the project\n");
        }
        if let Some(to) = &self.to {
            text += &format!("  all that it left is in {}\n", argument(&to.display().to_string()));
        }
        text
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let workspace = workspace(&project);
    if let Some(to) = args.to.as_ref().filter(|to| to.symlink_metadata().is_ok()) {
        return Err(RunError::Exists { path: to.clone() }.into());
    }
    if let Some(host) = &args.on {
        take_over(&args.run, &project.manifest.host(host)?, &workspace, context)?;
    }
    // Listing takes over what hosts have that is new.
    let found = run::find(&list(&workspace, &context.ui)?, &args.run)?;
    let Some((id, record)) = &found.record else {
        if args.to.is_some() || args.restore {
            return Err(RunError::Active { run: found.short(), state: found.state.to_string() }.into());
        }
        let run = RunReport {
            state: found.state,
            ..RunReport::active(found.id, found.name.as_str(), &found.task, found.plan)
        };
        context.ui.report(&Fetched { run, restored: Vec::new(), to: None });
        return Ok(Exit::Ok);
    };
    present(&project, record, context)?;
    let mut restored = Vec::new();
    if args.restore {
        restored = run::restore(&workspace, record, &context.ui)?;
        let datasets = project.manifest.data.keys().map(|name| project.dataset(name.as_str()));
        run::point(&workspace, record, &datasets.collect::<Result<Vec<_>, _>>()?)?;
    }
    if let (Some(to), Some(output)) = (&args.to, record.body.output) {
        let size = project.store.tree(&output)?.nodes.iter().map(|node| node.size).sum();
        let root = Node { name: Vec::new(), kind: NodeKind::Directory, size, id: output };
        checkout(&root, to, &project.store, None, CheckoutOptions { force: false, kept: None }, &context.ui)?;
    }
    let run = RunReport::of(*id, record, false);
    context.ui.report(&Fetched { run, restored, to: args.to });
    Ok(Exit::Ok)
}

/// Makes the objects of a run present: those of a colleague's are in the store.
fn present(project: &Project, record: &Record<Run>, context: &Context) -> Result<(), Failure> {
    let roots: Vec<Digest> = record.body.output.iter().chain(record.body.outputs.values()).copied().collect();
    if project.store.is_complete(&roots)? {
        return Ok(());
    }
    if let Some(remote) = project.ledger_home()?.store() {
        fetch(&project.store, remote, &roots, &[], &context.ui)?;
    }
    Ok(())
}
