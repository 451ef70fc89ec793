//! What push, fetch and pull share: which store, which datasets, what a transfer came to.

use serde::Serialize;

use super::super::Context;
use super::subject::{Subject, relative, subjects};
use crate::application::stores;
use crate::application::ui::{argument, bytes, plural};
use crate::base::{Digest, Failure, Level, RecordKind, Sink};
use crate::infrastructure::store::{Ledger, OnDemand, PinKind, Remote, Transfer, fetch, fetch_pins};
use crate::platform::data::Pointer;
use crate::platform::project::Project;

/// Which store and which datasets.
#[derive(clap::Args, Debug)]
pub(crate) struct Selection {
    /// The datasets; all of the project if none is named.
    #[arg(value_name = "DATASET")]
    pub(super) names: Vec<String>,
    /// The store, by its name in `stores:`; the first of them if left out.
    #[arg(long, value_name = "NAME")]
    pub(super) store: Option<String>,
    /// Only say what would be done.
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl Selection {
    /// The remote store.
    pub(super) fn remote(&self, project: &Project) -> Result<Remote, Failure> {
        stores::remote(project, self.store.as_deref())
    }

    /// The datasets and other paths that have a pointer. One that is named and has none is an error. What was only imported by name
    /// is fetched if `settle` says so, else left out with a word.
    pub(super) fn subjects(
        &self,
        project: &Project,
        settle: bool,
        context: &Context,
    ) -> Result<Vec<(Subject, Pointer)>, Failure> {
        let mut chosen = subjects(&self.names, project, context)?;
        if self.names.is_empty() {
            chosen.retain(|subject| subject.pointer().exists());
        }
        let mut read = Vec::new();
        for subject in chosen {
            if settle && subject.settle(project, None, &context.ui)? {
                let pointer = argument(&relative(&project.root, &subject.pointer()));
                let text =
                    format!("`{}` is a version of mlp's own now; next: git add {pointer}", subject.name);
                context.ui.log(Level::Info, &text);
            }
            match subject.read(project, None) {
                Err(failure) if failure.0.code() == "data::unfetched" => {
                    let text = format!("`{}` is imported and not fetched yet: left out", subject.name);
                    context.ui.log(Level::Warn, &text);
                }
                pointer => read.push((subject, pointer?)),
            }
        }
        Ok(read)
    }

    /// The remote store to fetch from; none where the project has no stores and all data are here, imported ones being so by now.
    pub(super) fn source(
        &self,
        project: &Project,
        subjects: &[(Subject, Pointer)],
    ) -> Result<Option<Remote>, Failure> {
        match self.remote(project) {
            Err(failure) if failure.0.code() == "store::none" && !subjects.is_empty() => {
                let ids: Vec<Digest> = subjects.iter().flat_map(|(_, pointer)| pointer.ids()).collect();
                if project.store.is_complete(&ids)? { Ok(None) } else { Err(failure) }
            }
            remote => remote.map(Some),
        }
    }

    /// Gets what is chosen: evidence, data and, where no dataset is named, what gates and servers need of models.
    pub(super) fn fetch(
        &self,
        project: &Project,
        remote: Option<&Remote>,
        subjects: &[(Subject, Pointer)],
        sink: &dyn Sink,
    ) -> Result<Transfer, Failure> {
        let Some(remote) = remote else { return Ok(Transfer::default()) };
        let local = &project.store;
        let (mut total, _) = fetch_pins(local, remote, project.id(), sink)?;
        let mut roots: Vec<Digest> = Vec::new();
        for (subject, pointer) in subjects {
            match subject.sparse(project)? {
                None => roots.extend(pointer.ids()),
                Some(sparse) => {
                    let mut source =
                        OnDemand::new(local, Some(stores::remote(project, self.store.as_deref())?));
                    sparse.fetch(&pointer.root(local)?, &mut source, sink)?;
                    add(&mut total, &source.transfer());
                }
            }
        }
        if self.names.is_empty() {
            roots.extend(models(project)?);
        }
        add(&mut total, &fetch(local, remote, &roots, &[], sink)?);
        Ok(total)
    }
}

/// Trees of the registered versions, and what evaluations rest on.
fn models(project: &Project) -> Result<Vec<Digest>, Failure> {
    let home = project.ledger_home()?;
    let mut roots = Vec::new();
    for model in home.models(project.id())? {
        let ledger = Ledger { home: &home, project: project.id(), model };
        roots.extend(ledger.entries()?.into_iter().map(|entry| entry.subject.tree));
    }
    for pin in project.store.pins()? {
        if pin.kind == PinKind::Record(RecordKind::Evaluation) {
            roots.extend(pin.roots);
        }
    }
    Ok(roots)
}

fn add(total: &mut Transfer, more: &Transfer) {
    total.objects += more.objects;
    total.bytes += more.bytes;
    total.requests += more.requests;
}

/// A transfer in a report.
#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct Moved {
    objects: u64,
    bytes: u64,
    requests: u64,
}

impl From<Transfer> for Moved {
    fn from(transfer: Transfer) -> Self {
        Self { objects: transfer.objects, bytes: transfer.bytes, requests: transfer.requests }
    }
}

impl Moved {
    /// For people: `12 objects, 3.4 MiB, 20 requests`.
    pub(super) fn human(self) -> String {
        let Self { objects, bytes: size, requests } = self;
        format!("{}, {}, {}", plural(objects, "object"), bytes(size), plural(requests, "request"))
    }

    /// Whether nothing had to be moved.
    pub(super) fn nothing(self) -> bool {
        self.objects == 0
    }
}
