//! `mlp host gc`.

use serde::Serialize;

use super::super::{Answer, Context};
use super::host;
use crate::application::elsewhere::connect;
use crate::application::ui::{Report, bytes, plural};
use crate::base::Exit;
use crate::infrastructure::compute::Tidied;

/// Removes from a host what nobody needs: jobs that ended over a week ago, builds of mlp that nothing runs, and objects that only they
/// used.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The host.
    host: String,
    /// Tells what would be removed.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Removed {
    host: String,
    dry_run: bool,
    #[serde(flatten)]
    tidied: Tidied,
}

impl Report for Removed {
    fn schema(&self) -> &'static str {
        "mlp/host-gc/1"
    }

    fn human(&self) -> String {
        let would = if self.dry_run { "would remove" } else { "removed" };
        let Tidied { jobs, agents, bytes: size } = self.tidied;
        let builds = plural(agents, "build");
        let jobs = plural(jobs, "job");
        format!("{}: {would} {jobs}, {builds} of mlp, {} of objects\n", self.host, bytes(size))
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let host = host(context, &args.host)?;
    let tidied = connect(&host, &context.ui)?.tidy(args.dry_run)?;
    context.ui.report(&Removed { host: host.name, dry_run: args.dry_run, tidied });
    Ok(Exit::Ok)
}
