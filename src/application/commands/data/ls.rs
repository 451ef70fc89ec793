//! `mlp data ls`.

use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use super::subject::{shown, subject, subjects};
use crate::application::completion;
use crate::application::ui::{Align, Report, Table, bytes};
use crate::base::{Digest, Exit, Failure};
use crate::infrastructure::store::{Node, NodeKind};
use crate::platform::data::DataError;

/// Lists datasets, or what a version of one holds.
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
            entries.push(Entry { name: subject.name, kind: "not added", size: None, id: None });
            continue;
        }
        let node = subject.read(&project, None)?.node();
        entries.push(Entry { name: subject.name, ..Entry::of(&node) });
    }
    Ok(entries)
}

fn entries(place: &str, context: &Context) -> Result<Vec<Entry>, Failure> {
    let project = context.project()?;
    let (path, rev) = match place.rsplit_once('@') {
        Some((path, rev)) if !rev.is_empty() => (path, Some(rev)),
        _ => (place, None),
    };
    // A dataset goes before a path of the same beginning.
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let (found, inner) = match project.dataset(first).is_ok() {
        true => (subject(first, &project, context)?, rest.trim_matches('/')),
        false => (subject(path.trim_end_matches('/'), &project, context)?, ""),
    };
    let root = found.read(&project, rev)?.root(&project.store)?;
    let missing = || DataError::NoEntry { name: found.name.clone(), path: inner.escape_debug().to_string() };
    let node = match inner {
        "" => root,
        _ if root.kind != NodeKind::Directory => return Err(missing().into()),
        inner => project.store.find(&root.id, inner)?.ok_or_else(missing)?,
    };
    match node.kind {
        NodeKind::Directory => Ok(project.store.tree(&node.id)?.nodes.iter().map(Entry::of).collect()),
        _ => {
            let name = if inner.is_empty() { found.name.clone() } else { inner.to_owned() };
            Ok(vec![Entry { name, ..Entry::of(&node) }])
        }
    }
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
        Self { name, kind, size: Some(node.size), id: Some(node.id) }
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
            table.row([entry.kind.to_owned(), size, id, format!("{}{end}", shown(&entry.name))]);
        }
        table.render()
    }
}
