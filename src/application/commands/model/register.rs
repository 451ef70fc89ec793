//! `mlp model register`.

use clap_complete::engine::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::Judging;
use crate::application::ui::Report;
use crate::base::{Digest, Exit, Id, Name};
use crate::platform::model::{Registered, registrable};

/// Makes the next version of a model from a finished run.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model; the only one of the project if left out.
    #[arg(add = ArgValueCandidates::new(completion::models))]
    model: Option<String>,
    /// The run, by its identifier or the beginning of it; the newest one that made a model if left out.
    #[arg(long, value_name = "RUN", add = ArgValueCandidates::new(completion::runs))]
    run: Option<String>,
}

#[derive(Serialize)]
struct Registration {
    model: Name,
    version: u64,
    run: Id,
    record: Digest,
    new: bool,
}

impl Report for Registration {
    fn schema(&self) -> &'static str {
        "mlp/model-register/1"
    }

    fn human(&self) -> String {
        let Self { model, version, run, .. } = self;
        match self.new {
            true => format!("run {run} is {model}@{version}\n"),
            false => format!("run {run} was registered before: it is {model}@{version}\n"),
        }
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::open(&project, &context.ui)?;
    let model = judging.model(args.model.as_deref())?;
    let found = registrable(&project.store, &model, args.run.as_deref())?;
    let rules = judging.rules(&model)?;
    let actor = judging.author();
    let registered = judging.change(&model, &rules, &actor, |workshop| workshop.register(&found))?;
    context.ui.report(&Registration {
        model,
        version: registered.number(),
        run: found.1.body.run,
        record: found.0,
        new: matches!(registered, Registered::New(_)),
    });
    Ok(Exit::Ok)
}
