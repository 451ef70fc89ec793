//! `mlp model ls`.

use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::judgement::Judging;
use crate::application::ui::{Align, Report, Table};
use crate::base::{Name, Time};

/// Lists the models, their newest version and what is live where.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

#[derive(Serialize)]
struct Models {
    models: Vec<Model>,
    #[serde(skip)]
    now: Time,
}

#[derive(Serialize)]
struct Model {
    model: Name,
    versions: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    registered: Option<Time>,
    live: Vec<Live>,
}

#[derive(Serialize)]
struct Live {
    stage: Name,
    version: u64,
}

impl Report for Models {
    fn schema(&self) -> &'static str {
        "mlp/model-ls/1"
    }

    fn human(&self) -> String {
        if self.models.is_empty() {
            return "no models; add one under `models:` in mlp.yaml\n".to_owned();
        }
        let mut table = Table::new(["MODEL", "VERSIONS", "NEWEST", "LIVE"]).align(1, Align::Right);
        for model in &self.models {
            let live: Vec<String> =
                model.live.iter().map(|live| format!("{}@{}", live.stage, live.version)).collect();
            table.row([
                model.model.to_string(),
                model.versions.to_string(),
                model.registered.map_or_else(|| "-".to_owned(), |time| time.ago(self.now)),
                if live.is_empty() { "-".to_owned() } else { live.join(" ") },
            ]);
        }
        table.render()
    }
}

pub(crate) fn run(_: &Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::looking(&project, &context.ui)?;
    let mut models = Vec::new();
    for name in judging.models()? {
        let history = judging.look(&name)?;
        let rules = judging.rules(&name)?;
        let live = rules.stages.keys().filter_map(|stage| {
            history.live(stage).map(|version| Live { stage: stage.clone(), version: version.number })
        });
        models.push(Model {
            model: name,
            versions: history.versions().len() as u64,
            registered: history.newest().map(|version| version.time),
            live: live.collect(),
        });
    }
    context.ui.report(&Models { models, now: Time::now() });
    Ok(judging.exit())
}
