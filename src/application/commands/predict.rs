//! `mlp predict`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Answer, Context};
use crate::application::chosen;
use crate::application::ui::{Align, Report, Table, percent, plural};
use crate::base::{Digest, Exit, Name};
use crate::infrastructure::durable;
use crate::platform::serve::{Predicted, ServeError, predict_files};

/// Predicts for files: images, IDX files, tables, JSON lines.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model: MODEL@STAGE, MODEL@VERSION, or MODEL for its newest version.
    #[arg(value_name = "MODEL[@REF]")]
    reference: String,
    /// PNG, JPEG, WebP, IDX, `.csv`, `.jsonl` or `.txt` files; `-` reads JSON lines.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Write the predictions to this file (`.csv` or `.jsonl`) instead.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Predictions {
    model: Name,
    version: u64,
    digest: Digest,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<String>,
    predictions: Vec<Predicted>,
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
    predictions: u64,
}

impl Report for Written {
    fn schema(&self) -> &'static str {
        "mlp/predict-output/1"
    }

    fn human(&self) -> String {
        let count = plural(self.predictions, "prediction");
        format!("wrote {count} of {}@{} to {}\n", self.model, self.version, self.output.display())
    }

    fn quiet(&self) -> String {
        String::new()
    }
}

/// The forms of an output file.
#[derive(Clone, Copy)]
enum Form {
    Csv,
    JsonLines,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    // A wrong name of the output must not cost the work.
    let form = args.output.as_deref().map(form).transpose()?;
    let project = context.project()?;
    let served = chosen::open(&project, &args.reference, &context.ui)?;
    let files: Vec<String> = args.files.iter().map(|file| below(&context.dir, file)).collect();
    let predictions = predict_files(&served, &files, &context.ui)?;
    let (model, version, digest) = (served.name, served.version, served.tree);
    let classes = served.model.classes.clone();
    let (Some(output), Some(form)) = (args.output, form) else {
        context.ui.report(&Predictions { model, version, digest, classes, predictions });
        return Ok(Exit::Ok);
    };
    let path = context.dir.join(&output);
    let bytes = match form {
        Form::Csv => csv(&classes, &predictions),
        Form::JsonLines => json_lines(&predictions),
    };
    durable::replace(&path, &bytes).map_err(|source| ServeError::Io {
        action: "write",
        path: path.clone(),
        source,
    })?;
    let predictions = predictions.len() as u64;
    context.ui.report(&Written { model, version, digest, output, predictions });
    Ok(Exit::Ok)
}

/// A path as given, below the folder of `-C`; a path is shown as short as it can be.
fn below(dir: &Path, file: &str) -> String {
    if file == "-" || dir == Path::new(".") {
        return file.to_owned();
    }
    dir.join(file).to_string_lossy().into_owned()
}

fn form(path: &Path) -> Result<Form, ServeError> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => Ok(Form::Csv),
        Some("jsonl") => Ok(Form::JsonLines),
        _ => Err(ServeError::Input {
            path: path.display().to_string(),
            detail: "an output ends in `.csv` or `.jsonl`".to_owned(),
        }),
    }
}

/// One line per prediction: the input, the label and the probability of each class, or the value.
fn csv(classes: &[String], predictions: &[Predicted]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut header = vec!["input".to_owned()];
    if classes.is_empty() {
        header.push("value".to_owned());
    } else {
        header.push("label".to_owned());
        header.extend(classes.iter().map(|class| format!("probability_{class}")));
    }
    // Records of one length into memory: writing cannot fail.
    let _ = writer.write_record(&header);
    for Predicted { source, prediction } in predictions {
        let mut record = vec![source.clone()];
        record.extend(prediction.label.clone());
        record.extend(prediction.value.map(|value| value.to_string()));
        record.extend(prediction.probabilities.iter().map(f32::to_string));
        let _ = writer.write_record(&record);
    }
    writer.into_inner().unwrap_or_default()
}

fn json_lines(predictions: &[Predicted]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for predicted in predictions {
        // Plain strings and numbers into memory: writing cannot fail.
        let _ = serde_json::to_writer(&mut bytes, predicted);
        bytes.push(b'\n');
    }
    bytes
}
