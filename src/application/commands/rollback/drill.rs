//! `mlp rollback --drill`.

use std::time::Instant;

use console::style;
use serde::Serialize;

use crate::application::commands::{Answer, Context};
use crate::application::judgement::{Judging, only_model};
use crate::application::rehearsal::Rehearsal;
use crate::application::ui::Report;
use crate::base::{Digest, Drill, Exit, Failure, Level, Name, Record, Sink};
use crate::hardware::facts;
use crate::platform::model::{ModelError, Selector};
use crate::platform::run::publish;

#[derive(Serialize)]
struct Rehearsed {
    model: Name,
    stage: Name,
    /// The version that would be rolled back.
    from: u64,
    /// The version that is put back.
    to: u64,
    seconds: f64,
    /// The record of the drill.
    record: Digest,
}

impl Report for Rehearsed {
    fn schema(&self) -> &'static str {
        "mlp/rollback-drill/1"
    }

    fn human(&self) -> String {
        let Self { model, stage, from, to, seconds, .. } = self;
        let head =
            format!("{model}@{to} answers {seconds:.2} s after {model}@{from} was rolled back in {stage}");
        format!("{}\n  a rehearsal: no stage was changed\n", style(head).green().bold())
    }
}

/// Rehearses the rollback of a version: of the one that is named, or of what is live in the stage. What is put back is what is live
/// there now, or before it was.
pub(super) fn run(
    judging: &Judging<'_>,
    model: Option<&str>,
    stage: Option<&str>,
    context: &Context,
) -> Answer {
    let (model, selector) = match model {
        Some(text) => judging.reference(text)?,
        None => (only_model(&judging.project.manifest)?, Selector::Newest),
    };
    let rules = judging.rules(&model)?;
    let history = judging.registry().history(&model)?;
    let stage = match stage {
        Some(stage) => rules.stage(stage)?,
        // A project always has stages: those of its profile.
        None => rules
            .stages
            .keys()
            .rev()
            .find(|stage| history.live(stage).is_some())
            .or(rules.stages.keys().last())
            .ok_or_else(|| ModelError::NothingRegistered { model: model.clone() })?,
    };
    let live = history.select(&Selector::Stage(stage.clone()))?;
    let version = match &selector {
        // The newest version may be live nowhere.
        Selector::Newest => live,
        named => history.select(named)?,
    };
    let back = if live.number == version.number { history.previous(stage) } else { Some(live) };
    let Some(back) = back else {
        let (model, stage) = (model.clone(), stage.clone());
        return Err(ModelError::NothingBefore { model, stage, number: version.number }.into());
    };
    let root = &judging.project.root;
    let say = |text: String| context.ui.log(Level::Info, &text);
    say(format!("serving {model}@{}", version.number));
    let server = Rehearsal::start(root, &model, version.number)?;
    expect(&server.probe()?, version.tree, &model, version.number)?;
    say(format!("rolling back to {model}@{}", back.number));
    let decided = Instant::now();
    drop(server);
    let server = Rehearsal::start(root, &model, back.number)?;
    expect(&server.probe()?, back.tree, &model, back.number)?;
    let seconds = decided.elapsed().as_secs_f64();
    drop(server);
    let body = Drill {
        model: model.clone(),
        stage: stage.clone(),
        from: version.tree,
        to: back.tree,
        seconds,
        host: facts::host(),
    };
    let record = Record::new(judging.project.repo.author(), vec![version.tree, back.tree], body);
    let record = publish(&judging.project.store, &record, model.as_str(), &[])?;
    context.ui.report(&Rehearsed {
        from: version.number,
        to: back.number,
        stage: stage.clone(),
        seconds,
        record,
        model,
    });
    Ok(Exit::Ok)
}

/// Fails unless these files answered.
fn expect(found: &str, wanted: Digest, model: &Name, version: u64) -> Result<(), Failure> {
    if found == wanted.to_string() {
        return Ok(());
    }
    let what = format!("the server of {model}@{version} answers with the files {found}, not {wanted}");
    Err(ModelError::Rehearsal { what, said: String::new() }.into())
}
