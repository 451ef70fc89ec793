//! `mlp host rm`.

use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::ui::Report;
use crate::base::{Exit, Name};
use crate::platform::project::{Manifest, hosts};

/// Takes a host out of your own configuration. Nothing on the host changes.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The host.
    host: String,
}

#[derive(Serialize)]
struct Removed {
    host: String,
}

impl Report for Removed {
    fn schema(&self) -> &'static str {
        "mlp/host-rm/1"
    }

    fn human(&self) -> String {
        format!("host {} is no longer in your configuration\n", self.host)
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let mut own = hosts::own()?;
    let host = Manifest::host_of(&own, &args.host)?;
    own.retain(|name: &Name, _| name.as_str() != host.name);
    hosts::set_own(&own)?;
    context.ui.report(&Removed { host: host.name });
    Ok(Exit::Ok)
}
