//! `mlp host ls`.

use serde::Serialize;

use super::super::{Answer, Context};
use super::known;
use crate::application::ui::{Report, Table, clean};
use crate::base::Exit;
use crate::platform::project::hosts;

/// Lists the hosts of the project and your own. Nothing is sent to them.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

#[derive(Serialize)]
struct Listed {
    hosts: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    ssh: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<String>,
    /// `yours` or `mlp.yaml`.
    from: &'static str,
}

impl Report for Listed {
    fn schema(&self) -> &'static str {
        "mlp/host-ls/1"
    }

    fn human(&self) -> String {
        if self.hosts.is_empty() {
            return "no hosts: `mlp host add gpu1 --ssh user@machine`\n".to_owned();
        }
        let mut table = Table::new(["HOST", "SSH", "FOLDER", "FROM"]);
        for line in &self.hosts {
            let root = line.root.as_deref().unwrap_or("~/.mlp");
            table.row([
                line.name.clone(),
                clean(&line.ssh).into_owned(),
                clean(root).into_owned(),
                line.from.to_owned(),
            ]);
        }
        table.render()
    }
}

pub(crate) fn run(_: Args, context: &Context) -> Answer {
    let own = hosts::own()?;
    let line = |(name, spec): (crate::base::Name, crate::infrastructure::compute::HostSpec)| Line {
        ssh: spec.ssh.unwrap_or_else(|| name.to_string()),
        root: spec.root,
        from: if own.contains_key(&name) { "yours" } else { "mlp.yaml" },
        name: name.to_string(),
    };
    context.ui.report(&Listed { hosts: known(context)?.into_iter().map(line).collect() });
    Ok(Exit::Ok)
}
