//! `mlp data card`.

use std::path::Path;

use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use super::info;
use super::subject::{shown, subject};
use crate::application::completion;
use crate::application::ui::Report;
use crate::base::{Digest, Exit, Failure, Leakage, Name};
use crate::infrastructure::durable;
use crate::infrastructure::store::worktree::identify;
use crate::platform::data::{DataError, Measured, card, contact_sheet, leakage};
use crate::platform::run::picture;

/// Writes what can be measured of a dataset into its card: counts, duplicates, columns, pictures.
///
/// The card is the file that `card:` of the dataset names; what people wrote in it stays. Pictures lie beside it.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The dataset.
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(completion::datasets))]
    name: String,
    /// Only say what would be written.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let dataset = info::dataset(&subject(&args.name, &project, context)?.name, &project)?;
    let Some(path) = dataset.spec.card.clone() else {
        let detail = format!("add `card: docs/{}.datacard.md` to the dataset in mlp.yaml", dataset.name);
        return Err(DataError::Argument { argument: dataset.name.to_string(), detail }.into());
    };
    if !dataset.path.exists() {
        return Err(DataError::Missing(dataset.name.to_string()).into());
    }
    let tree = identify(&dataset.path, &project.cache(), &context.ui)?.root.id;
    let parts = dataset.load(None, &context.ui)?;
    let measured = Measured::of(&parts)?;
    let leakage = leakage(&dataset, &parts, tree)?;

    let folder = Path::new(&path).parent().unwrap_or(Path::new(""));
    let beside = |ending: &str| format!("{}.{ending}", dataset.name);
    let (sheet_name, columns_name) = (beside("samples.png"), beside("columns.svg"));
    let sheet = contact_sheet(&parts)?;
    let histograms: Vec<_> = measured
        .columns
        .iter()
        .filter_map(|column| Some((column.name.as_str(), column.histogram.as_ref()?)))
        .collect();
    let columns = picture::histograms(&format!("{}: distributions", dataset.name), &histograms);
    let section = card::section(
        dataset.name.as_str(),
        tree,
        &measured,
        &leakage,
        sheet.as_ref().map(|(_, rows)| (sheet_name.as_str(), *rows)),
        columns.as_ref().map(|_| columns_name.as_str()),
    );
    let file = project.root.join(&path);
    let before = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("# Data card: {}\n", dataset.name)
        }
        Err(error) => return Err(DataError::io("read", &file)(error).into()),
    };
    let text = card::with_section(&before, &section).map_err(|detail| DataError::Malformed {
        path: shown(&path),
        format: "data card",
        detail: detail.to_owned(),
    })?;

    let mut files = Vec::new();
    let mut write = |relative: String, bytes: &[u8]| -> Result<(), Failure> {
        let change = put(&project.root.join(&relative), bytes, args.dry_run)?;
        files.push(File { path: relative, change });
        Ok(())
    };
    let in_folder = |name: &str| folder.join(name).to_string_lossy().replace('\\', "/");
    if let Some((bytes, _)) = &sheet {
        write(in_folder(&sheet_name), bytes)?;
    }
    if let Some(svg) = &columns {
        write(in_folder(&columns_name), svg.as_bytes())?;
    }
    write(path, text.as_bytes())?;
    let (name, dry_run) = (dataset.name.clone(), args.dry_run);
    context.ui.report(&Card { name, id: tree, dry_run, files, measured, leakage });
    Ok(Exit::Ok)
}

/// Makes the file hold these bytes.
fn put(path: &Path, bytes: &[u8], dry_run: bool) -> Result<Change, Failure> {
    if std::fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(Change::Kept);
    }
    let change = if path.exists() { Change::Updated } else { Change::Made };
    if !dry_run {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(DataError::io("make", folder))?;
        }
        durable::replace(path, bytes).map_err(DataError::io("write", path))?;
    }
    Ok(change)
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Made,
    Updated,
    Kept,
}

#[derive(Serialize)]
struct File {
    path: String,
    change: Change,
}

#[derive(Serialize)]
struct Card {
    name: Name,
    id: Digest,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    files: Vec<File>,
    measured: Measured,
    leakage: Leakage,
}

impl Report for Card {
    fn schema(&self) -> &'static str {
        "mlp/data-card/1"
    }

    fn human(&self) -> String {
        let line = |file: &File| {
            let word = match (file.change, self.dry_run) {
                (Change::Made, false) => "made",
                (Change::Made, true) => "would make",
                (Change::Updated, false) => "updated",
                (Change::Updated, true) => "would update",
                (Change::Kept, _) => "kept",
            };
            format!("{word} {}\n", shown(&file.path))
        };
        self.files.iter().map(line).collect()
    }

    fn quiet(&self) -> String {
        String::new()
    }
}
