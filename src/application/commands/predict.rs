//! `mlp predict`.

mod form;
mod inputs;
mod partial;

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::form::Form;
use self::inputs::{Found, apart, find, predict};
use self::partial::{Input, Partial, Question};
use super::{Answer, Context};
use crate::application::chosen;
use crate::application::ui::{Align, Report, Table, clean, percent, plural};
use crate::base::{Digest, Exit, Failure, Level, Name, Sink};
use crate::infrastructure::durable;
use crate::platform::project::Project;
use crate::platform::serve::{Batch, OnError, Outcome, Predicted, ServeError, Served, Unfit, count};

/// Unfit inputs that are named on the terminal.
const NAMED: usize = 10;

/// Predicts for files, folders and datasets: images, IDX and NPY arrays, tables, texts, JSON lines.
///
/// A dataset may be a version that is not checked out: `mnist@v1.2`. With --output a call that was interrupted goes on where it
/// stopped, to the same bytes; beside the file lies its lineage: the model, the versions of the inputs, and what did not fit.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model: MODEL@STAGE, MODEL@VERSION, or MODEL for its newest version.
    #[arg(value_name = "MODEL[@REF]")]
    reference: String,
    /// PNG, JPEG, WebP, IDX, NPY, Parquet, `.csv`, `.jsonl` or `.txt` files, folders of such, datasets (`mnist`, `mnist@REV`,
    /// `mnist/a.png`); `-` reads JSON lines.
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<String>,
    /// Only this part of datasets.
    #[arg(long, value_parser = ["train", "val", "test"])]
    part: Option<String>,
    /// Write the predictions to this file (`.csv`, `.jsonl` or `.parquet`) instead.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What to do about an input that does not fit.
    #[arg(long, value_enum, default_value_t)]
    on_error: What,
    /// Begin anew, whatever an earlier call left.
    #[arg(long, requires = "output")]
    restart: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, Default)]
enum What {
    /// End with its error; what came before is kept for the next call.
    #[default]
    Stop,
    /// Leave it out, and tell of it at the end and in the lineage.
    Skip,
}

impl From<What> for OnError {
    fn from(what: What) -> Self {
        match what {
            What::Stop => Self::Stop,
            What::Skip => Self::Skip,
        }
    }
}

#[derive(Serialize)]
struct Predictions {
    model: Name,
    version: u64,
    digest: Digest,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<String>,
    predictions: Vec<Predicted>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unfit: Vec<Unfit>,
}

impl Report for Predictions {
    fn schema(&self) -> &'static str {
        "mlp/predict/1"
    }

    fn human(&self) -> String {
        if self.classes.is_empty() {
            let mut table = Table::new(["INPUT", "VALUE"]).align(1, Align::Right);
            for Predicted { source, prediction } in &self.predictions {
                table.row([
                    source.clone(),
                    prediction.value.map(|value| value.to_string()).unwrap_or_default(),
                ]);
            }
            return table.render();
        }
        let mut table = Table::new(["INPUT", "LABEL", "PROBABILITY"]).align(2, Align::Right);
        for Predicted { source, prediction } in &self.predictions {
            let highest = prediction.probabilities.iter().copied().fold(0.0, f32::max);
            let label = prediction.label.clone().unwrap_or_default();
            table.row([source.clone(), label, percent(f64::from(highest))]);
        }
        table.render()
    }
}

/// What is said when the predictions went to a file.
#[derive(Serialize)]
struct Written {
    model: Name,
    version: u64,
    digest: Digest,
    output: PathBuf,
    lineage: PathBuf,
    predictions: u64,
    unfit: u64,
    /// Outcomes that an earlier call had left.
    resumed: u64,
}

impl Report for Written {
    fn schema(&self) -> &'static str {
        "mlp/predict-output/1"
    }

    fn human(&self) -> String {
        let count = plural(self.predictions, "prediction");
        let resumed = match self.resumed {
            0 => String::new(),
            resumed => format!(", {resumed} of an earlier call"),
        };
        format!("wrote {count} of {}@{} to {}{resumed}\n", self.model, self.version, self.output.display())
    }

    fn quiet(&self) -> String {
        String::new()
    }
}

/// Where predictions in a file come from: the file beside it, and in a Parquet file its key `mlp.lineage`. The same question gives the
/// same bytes.
#[derive(Serialize)]
struct Lineage<'a> {
    schema: &'static str,
    model: &'a Name,
    version: u64,
    /// The files of the version.
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'a Name>,
    inputs: &'a [Input],
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<&'a str>,
    predictions: u64,
    unfit: &'a [Unfit],
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    // A wrong name of the output must not cost the work.
    let form = args.output.as_deref().map(Form::of).transpose()?;
    let project = context.project()?;
    if let Some(output) = &args.output {
        let output = context.dir.join(output);
        apart(
            &args.inputs,
            &[beside(&output, "lineage.json"), beside(&output, "partial"), output],
            &project,
            context,
        )?;
    }
    let served = chosen::open(&project, &args.reference, &context.ui)?;
    let found = args.inputs.iter().map(|input| find(input, &project, context));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let (Some(output), Some(form)) = (&args.output, form) else {
        return show(&args, &served, found, &project, context);
    };
    let question = Question {
        schema: "mlp/predict-partial/1".to_owned(),
        model: served.tree,
        inputs: found.iter().map(|found| found.input.clone()).collect(),
        part: args.part.clone(),
    };
    let path = context.dir.join(output);
    let mut partial = Partial::open(&path, &question, args.restart, args.on_error.into())?;
    let resumed = partial.done;
    if resumed > 0 {
        context
            .ui
            .log(Level::Info, &format!("going on after {} of an earlier call", plural(resumed, "input")));
    }
    every(&args, &served, found, resumed, &mut |outcomes| partial.add(outcomes), &project, context)?;
    let io = |source| ServeError::Io { action: "write", path: path.clone(), source };
    let (mut predictions, mut unfit) = (0, Vec::new());
    for outcome in partial.outcomes().map_err(io)? {
        match outcome.map_err(io)? {
            Outcome::Predicted(_) => predictions += 1,
            Outcome::Unfit(one) => unfit.push(one),
        }
    }
    let lineage = Lineage {
        schema: "mlp/predict-lineage/1",
        model: &served.name,
        version: served.version,
        digest: served.tree,
        stage: served.stage.as_ref(),
        inputs: &question.inputs,
        part: args.part.as_deref(),
        predictions,
        unfit: &unfit,
    };
    // Plain strings and numbers: writing cannot fail.
    let lineage = serde_json::to_string_pretty(&lineage).unwrap_or_default() + "\n";
    let rows = partial.outcomes().map_err(io)?.filter_map(|outcome| match outcome {
        Ok(Outcome::Predicted(predicted)) => Some(Ok(predicted)),
        Ok(Outcome::Unfit(_)) => None,
        Err(error) => Some(Err(error)),
    });
    let classes = &served.model.classes;
    durable::replace_with(&path, |out| form.write(out, classes, &lineage, rows)).map_err(io)?;
    let lineage_path = beside(&path, "lineage.json");
    durable::replace_with(&lineage_path, |out| out.write_all(lineage.as_bytes())).map_err(io)?;
    partial.remove()?;
    name(&unfit, context);
    context.ui.report(&Written {
        model: served.name,
        version: served.version,
        digest: served.tree,
        lineage: beside(output, "lineage.json"),
        output: output.clone(),
        predictions,
        unfit: unfit.len() as u64,
        resumed,
    });
    Ok(Exit::Ok)
}

/// `out.csv.lineage.json`, `out.csv.partial`
fn beside(output: &Path, what: &str) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(what);
    output.with_file_name(name)
}

/// Predicts and shows the answers.
fn show(args: &Args, served: &Served, found: Vec<Found>, project: &Project, context: &Context) -> Answer {
    let (mut predictions, mut unfit) = (Vec::new(), Vec::new());
    let mut take = |outcomes: Vec<Outcome>| {
        for outcome in outcomes {
            match outcome {
                Outcome::Predicted(predicted) => predictions.push(predicted),
                Outcome::Unfit(one) => unfit.push(one),
            }
        }
        Ok(())
    };
    every(args, served, found, 0, &mut take, project, context)?;
    name(&unfit, context);
    context.ui.report(&Predictions {
        model: served.name.clone(),
        version: served.version,
        digest: served.tree,
        classes: served.model.classes.clone(),
        predictions,
        unfit,
    });
    Ok(Exit::Ok)
}

/// Predicts for everything, giving outcomes to `take`.
fn every(
    args: &Args,
    served: &Served,
    found: Vec<Found>,
    passed: u64,
    take: &mut dyn FnMut(Vec<Outcome>) -> Result<(), ServeError>,
    project: &Project,
    context: &Context,
) -> Result<(), Failure> {
    let of_file = |found: &Found| match found.input.dataset {
        Some(_) => None,
        None => count(&context.dir.join(&found.input.name).to_string_lossy()),
    };
    let total = found.iter().map(of_file).sum();
    let mut batch = Batch::new(served, args.on_error.into(), passed, total, take, &context.ui);
    for found in found {
        predict(found, args.part.as_deref(), served, &mut batch, project, context)?;
    }
    batch.flush()?;
    Ok(())
}

/// Names what did not fit.
fn name(unfit: &[Unfit], context: &Context) {
    for Unfit { source, error } in unfit.iter().take(NAMED) {
        context.ui.log(Level::Warn, &format!("`{}` does not fit: {}", clean(source), clean(error)));
    }
    if unfit.len() > NAMED {
        let all = plural(unfit.len() as u64, "input");
        context.ui.log(Level::Warn, &format!("{all} did not fit in all"));
    }
}
