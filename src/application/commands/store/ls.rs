//! `mlp store ls`.

use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::ui::{Report, Table, clean};
use crate::base::Exit;

/// Lists the stores of the project. The first is the default, and the home of the ledgers.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let line = |(name, spec): (&crate::base::Name, &crate::infrastructure::store::StoreSpec)| Line {
        name: name.to_string(),
        url: spec.url.clone(),
        endpoint: spec.endpoint.clone(),
        problem: spec.check(name).err().map(|error| error.to_string()),
    };
    let stores = project.manifest.stores.iter().map(line).collect();
    context.ui.report(&Listed { local: project.store.root().display().to_string(), stores });
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Listed {
    /// The folder of the local store.
    local: String,
    stores: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Report for Listed {
    fn schema(&self) -> &'static str {
        "mlp/store-ls/1"
    }

    fn human(&self) -> String {
        let mut table = Table::new(["STORE", "URL", ""]);
        table.row(["(local)", &self.local, ""]);
        for (at, line) in self.stores.iter().enumerate() {
            let note = match &line.problem {
                Some(problem) => clean(problem),
                None if at == 0 => "default, home of the ledgers".into(),
                None => "".into(),
            };
            let endpoint =
                line.endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
            table.row([
                line.name.clone(),
                clean(&format!("{}{endpoint}", line.url)).into_owned(),
                note.into_owned(),
            ]);
        }
        let mut text = table.render();
        if self.stores.is_empty() {
            text.push_str("\nno remote stores: name one in mlp.yaml, `stores: {origin: {url: \"s3://bucket/prefix\"}}`\n");
        }
        text
    }
}
