//! `mlp host add`.

use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::elsewhere::connect;
use crate::application::ui::Report;
use crate::base::{Exit, Failure, Name};
use crate::infrastructure::compute::{Host, HostSpec};
use crate::platform::project::{ProjectError, hosts};

/// Adds a host to your own configuration, or changes it, after having connected to it once.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// What it shall be called: gpu1.
    name: String,
    /// What ssh is given: user@machine, or a host of ~/.ssh/config. The name, if nothing is said.
    #[arg(long, value_name = "DESTINATION")]
    ssh: Option<String>,
    /// The folder of mlp there, in place of ~/.mlp.
    #[arg(long, value_name = "DIR")]
    root: Option<String>,
    /// A build of mlp for the host, where this one does not run there.
    #[arg(long, value_name = "FILE")]
    agent: Option<String>,
    /// Does not connect.
    #[arg(long)]
    no_check: bool,
}

#[derive(Serialize)]
struct Added {
    host: Name,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// The build of mlp that works there.
    #[serde(skip_serializing_if = "Option::is_none")]
    build: Option<String>,
}

impl Report for Added {
    fn schema(&self) -> &'static str {
        "mlp/host-add/1"
    }

    fn human(&self) -> String {
        let seen = self.device.as_ref().map_or_else(String::new, |device| format!(": {device}"));
        let seen = seen + &self.build.as_ref().map_or_else(String::new, |build| format!(", by {build}"));
        format!("host {}{seen}\n  mlp train --on {}   train there\n", self.host, self.host)
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let name: Name = args.name.parse().map_err(ProjectError::Name)?;
    let absolute = |path: String| std::path::absolute(&path).map_or(path, |path| path.display().to_string());
    let spec =
        HostSpec { ssh: args.ssh, root: args.root, agent: args.agent.map(absolute), ..HostSpec::default() };
    let host = Host { name: name.to_string(), spec: spec.clone() };
    host.destination()?;
    let link = if args.no_check { None } else { Some(connect(&host, &context.ui)?) };
    let mut own = hosts::own().map_err(Failure::from)?;
    own.insert(name.clone(), spec);
    let file = hosts::set_own(&own)?.display().to_string();
    let said = link.as_ref().map(|link| (link.hello.version.clone(), link.hello.device.clone()));
    let ((version, device), build) = (said.unzip(), link.map(|link| link.build.clone()));
    context.ui.report(&Added { host: name, file, version, device, build });
    Ok(Exit::Ok)
}
