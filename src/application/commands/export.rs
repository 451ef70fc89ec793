//! `mlp export`: to other tools.

use serde::Serialize;

use super::data::subject::{relative, root, source, subjects};
use super::{Answer, Context};
use crate::application::promised;
use crate::application::ui::{Align, Report, Table, argument, bytes, clean, count};
use crate::base::Exit;
use crate::platform::data::foreign::dvc::{self, Config, Exported, Target, export};

/// Gives versions of data to another tool: DVC.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Dvc(DvcArgs),
}

/// Puts versions into the DVC cache of this repository and writes their `*.dvc` files; `dvc push` then sends them on.
///
/// The way back from `mlp import dvc`. What mlp has stays as it is. A folder without `.dvc` becomes a DVC repository.
#[derive(clap::Args, Debug)]
struct DvcArgs {
    /// Datasets or paths; all that have a pointer if none is named.
    #[arg(value_name = "NAME|PATH")]
    names: Vec<String>,
    /// The store to get data from that are not here; the first of `stores:` if left out.
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// Only say what would be written.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let Command::Dvc(args) = args.command;
    let project = context.project()?;
    let top = root(&project);
    let mut told = Told { dry_run: args.dry_run, datasets: Vec::new() };
    let mut source = source(&project, args.store.as_deref())?;
    for subject in subjects(&args.names, &project, context)? {
        if args.names.is_empty() && !subject.pointer().exists() {
            continue;
        }
        let file = format!("{}.dvc", relative(&top, &subject.path));
        let exported = match args.dry_run {
            true => None,
            false => {
                subject.settle(&project, None, &context.ui)?;
                let node = subject.read(&project, None)?.root(&project.store)?;
                source.complete(&[node.id], &context.ui)?;
                let _alone = promised::alone(&project)?;
                let dvc = dvc::find(&subject.path, &top).unwrap_or_else(|| top.clone());
                let cache = Config::read(&dvc)?.cache;
                let gathered = promised::folder(&project).join("export");
                let target = Target { dvc: &dvc, cache: &cache, gathered: &gathered };
                Some(export(&node, &subject.path, &target, &project.store, &context.ui)?)
            }
        };
        told.datasets.push(Line { name: subject.name, file, exported });
    }
    context.ui.report(&told);
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Told {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    datasets: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    /// The file of DVC, relative to the root of the repository.
    file: String,
    #[serde(flatten)]
    exported: Option<Exported>,
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/export-dvc/1"
    }

    fn human(&self) -> String {
        let mut table = Table::new(["DATASET", "FILE", "FILES", "SIZE", "NEW OBJECTS"]);
        for column in 2..5 {
            table = table.align(column, Align::Right);
        }
        for line in &self.datasets {
            let number =
                |of: fn(&Exported) -> String| line.exported.as_ref().map_or_else(|| "-".to_owned(), of);
            table.row([
                clean(&line.name).into_owned(),
                clean(&line.file).into_owned(),
                number(|exported| count(exported.files)),
                number(|exported| bytes(exported.bytes)),
                number(|exported| count(exported.objects)),
            ]);
        }
        let mut text = table.render();
        if !self.dry_run {
            let files: Vec<_> = self.datasets.iter().map(|line| argument(&line.file)).collect();
            text.push_str(&format!("\nnext: git add .dvc {} && dvc push\n", files.join(" ")));
        }
        text
    }

    fn quiet(&self) -> String {
        String::new()
    }
}
