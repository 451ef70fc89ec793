//! `mlp host`: machines that runs can be sent to.

mod add;
mod check;
mod gc;
mod ls;
mod rm;
mod status;

use super::{Answer, Context};
use crate::base::Failure;
use crate::infrastructure::compute::Host;
use crate::platform::project::{Manifest, ProjectError, hosts};

/// Machines that runs can be sent to, over `ssh`: `mlp train --on HOST`.
///
/// A host needs nothing but a login: no root, no daemon, no Python, no open port. mlp brings itself there on the first use, into
/// ~/.mlp. Hosts for all who work on a project stand in mlp.yaml under `hosts:`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Add(add::Args),
    Ls(ls::Args),
    Check(check::Args),
    Status(status::Args),
    Gc(gc::Args),
    Rm(rm::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    match args.command {
        Command::Add(args) => add::run(args, context),
        Command::Ls(args) => ls::run(args, context),
        Command::Check(args) => check::run(args, context),
        Command::Status(args) => status::run(args, context),
        Command::Gc(args) => gc::run(args, context),
        Command::Rm(args) => rm::run(args, context),
    }
}

/// The project's hosts and the user's own; only the latter outside of a project.
fn known(context: &Context) -> Result<hosts::Hosts, Failure> {
    match context.project() {
        Ok(project) => Ok(project.manifest.hosts),
        Err(failure) if failure.0.code() == "project::none" => Ok(hosts::own()?),
        Err(failure) => Err(failure),
    }
}

fn host(context: &Context, name: &str) -> Result<Host, Failure> {
    Ok(Manifest::host_of(&known(context)?, name)?)
}

/// The hosts of these names; all of them if none is named.
fn chosen(context: &Context, names: &[String]) -> Result<Vec<Host>, Failure> {
    let known = known(context)?;
    if names.is_empty() {
        let all = known.into_iter();
        return Ok(all.map(|(name, spec)| Host { name: name.to_string(), spec }).collect());
    }
    let hosts: Result<_, ProjectError> = names.iter().map(|name| Manifest::host_of(&known, name)).collect();
    Ok(hosts?)
}
