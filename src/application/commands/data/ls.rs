//! `mlp data ls`.

use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use super::subject::{place, shown, source, subjects};
use crate::application::completion;
use crate::application::ui::{Align, Report, Table, bytes};
use crate::base::{Digest, Exit, Failure};
use crate::infrastructure::store::{Node, NodeKind};

/// Lists datasets, or what a version of one holds.
///
/// Gets the folders that it lists from the first store if they are not here, and marks what is not in the local store.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A dataset, a folder in it, and the git revision whose version it is; all datasets if left out.
    #[arg(value_name = "NAME[/PATH][@REV]", add = ArgValueCandidates::new(completion::datasets))]
    place: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let entries = match &args.place {
        None => datasets(context)?,
        Some(place) => entries(place, context)?,
    };
    context.ui.report(&Listed { entries });
    Ok(Exit::Ok)
}

fn datasets(context: &Context) -> Result<Vec<Entry>, Failure> {
    let project = context.project()?;
    let mut entries = Vec::new();
    for subject in subjects(&[], &project, context)? {
        if !subject.pointer().exists() {
            entries.push(Entry {
                name: subject.name,
                kind: "not added",
                size: None,
                id: None,
                absent: false,
            });
            continue;
        }
        let node = match subject.read(&project, None) {
            Err(failure) if failure.0.code() == "data::unfetched" => {
                entries.push(Entry {
                    name: subject.name,
                    kind: "imported",
                    size: None,
                    id: None,
                    absent: true,
                });
                continue;
            }
            pointer => pointer?.node(),
        };
        entries.push(Entry { name: subject.name, ..Entry::of(&node) });
    }
    Ok(entries)
}

fn entries(text: &str, context: &Context) -> Result<Vec<Entry>, Failure> {
    let project = context.project()?;
    let mut source = source(&project, None)?;
    let place = place(text, &project, context)?;
    let node = place.node(&project, &mut source)?;
    let here = |id: &Digest| project.store.is_complete(&[*id]);
    if node.kind != NodeKind::Directory {
        let name = if place.inner.is_empty() { place.subject.name.clone() } else { place.inner.clone() };
        return Ok(vec![Entry { name, absent: !here(&node.id)?, ..Entry::of(&node) }]);
    }
    let mut entries = Vec::new();
    for node in source.with(|local| local.tree(&node.id))?.nodes {
        entries.push(Entry { absent: !here(&node.id)?, ..Entry::of(&node) });
    }
    Ok(entries)
}

#[derive(Serialize)]
struct Listed {
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Digest>,
    /// Not all of it is in the local store.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    absent: bool,
}

impl Entry {
    fn of(node: &Node) -> Self {
        let kind = match node.kind {
            NodeKind::File => "file",
            NodeKind::Executable => "executable",
            NodeKind::Link => "link",
            NodeKind::Directory => "folder",
        };
        let name = String::from_utf8_lossy(&node.name).into_owned();
        Self { name, kind, size: Some(node.size), id: Some(node.id), absent: false }
    }
}

impl Report for Listed {
    fn schema(&self) -> &'static str {
        "mlp/data-ls/1"
    }

    fn human(&self) -> String {
        let mut table = Table::plain().align(1, Align::Right);
        for entry in &self.entries {
            let end = if entry.kind == "folder" { "/" } else { "" };
            let id = entry.id.map_or_else(|| "-".to_owned(), |id| id.short());
            let size = entry.size.map_or_else(|| "-".to_owned(), bytes);
            let absent = if entry.absent { "  (not here)" } else { "" };
            table.row([entry.kind.to_owned(), size, id, format!("{}{end}{absent}", shown(&entry.name))]);
        }
        table.render()
    }
}
