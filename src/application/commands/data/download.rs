//! `mlp data download`.

use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::ui::{Report, bytes, clean};
use crate::base::Exit;
use crate::platform::data::{DataError, Dataset, Download, DownloadOptions, Outcome, download};

/// Downloads or renders the sources of datasets.
///
/// A file appears under its name after its SHA-256 was checked. A download that broke off goes on where it stopped.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The datasets; all that have sources if none is named.
    #[arg(value_name = "DATASET")]
    names: Vec<String>,
    /// Get and render again what is there already.
    #[arg(long)]
    force: bool,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let names = match args.names.is_empty() {
        true => project.manifest.data.keys().map(ToString::to_string).collect(),
        false => args.names.clone(),
    };
    let datasets = names.iter().map(|name| project.dataset(name)).collect::<Result<Vec<Dataset>, _>>()?;
    let options = DownloadOptions { force: args.force, dry_run: args.dry_run };
    let mut files = Vec::new();
    for dataset in &datasets {
        if dataset.spec.source.is_empty() && !args.names.is_empty() {
            let detail = "it has no `source:` in mlp.yaml".to_owned();
            return Err(DataError::Source { name: dataset.name.to_string(), detail }.into());
        }
        files.extend(download(dataset, options, &context.ui)?);
    }
    context.ui.report(&Downloaded { dry_run: args.dry_run, root: project.root, files });
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Downloaded {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    #[serde(skip)]
    root: std::path::PathBuf,
    files: Vec<Download>,
}

impl Report for Downloaded {
    fn schema(&self) -> &'static str {
        "mlp/data-download/1"
    }

    fn human(&self) -> String {
        if self.files.is_empty() {
            return "no dataset has a `source:`\n".to_owned();
        }
        let line = |file: &Download| {
            let path = file.path.strip_prefix(&self.root).unwrap_or(&file.path).to_string_lossy();
            let word = match (file.outcome, self.dry_run) {
                (Outcome::Kept, _) => "kept",
                (Outcome::Downloaded, false) => "downloaded",
                (Outcome::Downloaded, true) => "would download",
                (Outcome::Rendered, false) => "rendered",
                (Outcome::Rendered, true) => "would render",
            };
            let size = file.bytes.map(|size| format!(" ({})", bytes(size))).unwrap_or_default();
            format!("{word} {}{size}\n", clean(&path))
        };
        self.files.iter().map(line).collect()
    }

    fn quiet(&self) -> String {
        String::new()
    }
}
