//! Changes of single paths of datasets, as `mlp data add` and `mlp data rm` make them: without having the rest of the data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::{Answer, Context};
use super::subject::{Subject, relative, shown, source, within};
use crate::application::ui::{Report, argument, bytes, plural};
use crate::base::{Digest, Exit, Failure};
use crate::infrastructure::store::StoreError;
use crate::infrastructure::store::worktree::{Edit, Edits, edit, identify, snapshot};
use crate::platform::data::{DataError, Pointer};
use crate::platform::project::Project;

/// What is to be changed, by dataset.
#[derive(Default)]
pub(super) struct Changes {
    datasets: BTreeMap<PathBuf, (Subject, BTreeMap<String, Wanted>)>,
}

/// What is to become of one path in a dataset.
enum Wanted {
    /// This file or folder on disk.
    File(PathBuf),
    Gone,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.datasets.is_empty()
    }

    /// Files from anywhere, put into the dataset `name` at `at`.
    pub(super) fn put(
        &mut self,
        name: &str,
        at: &str,
        files: &[String],
        project: &Project,
        context: &Context,
    ) -> Result<(), Failure> {
        let (subject, inner) = within(name, None, project, context)?;
        let refused = |detail: &str| DataError::Argument { argument: shown(at), detail: detail.to_owned() };
        if !inner.is_empty() {
            return Err(refused("`--at` wants a dataset first, then the files").into());
        }
        if files.is_empty() {
            return Err(refused("nothing is named that could be put there").into());
        }
        let target = at.trim_matches('/');
        let into_folder = at.ends_with('/') || target.is_empty() || files.len() > 1;
        let wanted = &mut self.datasets.entry(subject.path.clone()).or_insert((subject, BTreeMap::new())).1;
        for file in files {
            let path = context.dir.join(file);
            let name = match into_folder {
                false => target.to_owned(),
                true => {
                    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                        return Err(refused("a file has no name that could be kept").into());
                    };
                    if target.is_empty() { name.to_owned() } else { format!("{target}/{name}") }
                }
            };
            if wanted.insert(name.clone(), Wanted::File(path)).is_some() {
                return Err(refused(&format!("two files would be `{}`", shown(&name))).into());
            }
        }
        Ok(())
    }

    /// What stands at the path itself.
    pub(super) fn put_itself(&mut self, subject: Subject, inner: String) {
        let path = subject.path.join(&inner);
        self.want(subject, inner, Wanted::File(path));
    }

    /// Nothing shall stand at the path.
    pub(super) fn remove(&mut self, subject: Subject, inner: String) {
        self.want(subject, inner, Wanted::Gone);
    }

    /// Writes the new versions, the pointers last, and tells.
    pub(super) fn make(self, project: &Project, dry_run: bool, context: &Context) -> Answer {
        let mut made = Vec::new();
        for (subject, wanted) in self.datasets.into_values() {
            made.push(make(&subject, &wanted, project, dry_run, context)?);
        }
        if !dry_run {
            for (line, pointer, path) in &made {
                if line.changed {
                    pointer.write(path)?;
                }
            }
        }
        let datasets = made.into_iter().map(|(line, _, _)| line).collect();
        context.ui.report(&Made { dry_run, datasets });
        Ok(Exit::Ok)
    }

    fn want(&mut self, subject: Subject, inner: String, wanted: Wanted) {
        let entry = self.datasets.entry(subject.path.clone()).or_insert((subject, BTreeMap::new()));
        entry.1.insert(inner, wanted);
    }
}

/// The new version of one dataset; the trees on the way to the changed paths are got if they are not here.
fn make(
    subject: &Subject,
    wanted: &BTreeMap<String, Wanted>,
    project: &Project,
    dry_run: bool,
    context: &Context,
) -> Result<(Line, Pointer, PathBuf), Failure> {
    let store = &project.store;
    let root = subject.read(project, None)?.root(store)?;
    let pointer = relative(&project.root, &subject.pointer());
    let mut line = Line {
        name: subject.name.clone(),
        pointer,
        id: root.id,
        changed: false,
        put: 0,
        removed: 0,
        bytes: 0,
    };
    let mut edits = Edits::new();
    for (path, wanted) in wanted {
        let edit = match wanted {
            Wanted::Gone => {
                line.removed += 1;
                Edit::Remove
            }
            Wanted::File(file) => {
                let found = read(file, project, dry_run, context)?;
                line.put += 1;
                line.bytes += found.size;
                Edit::Put(found)
            }
        };
        edits.insert(path.clone(), edit);
    }
    let mut source = source(project, None)?;
    let new = source.with(|local| edit(local, &root, &edits)).map_err(|error| match error {
        StoreError::Absent(path) => {
            DataError::NoEntry { name: subject.name.clone(), path: shown(&path.display().to_string()) }
        }
        error => error.into(),
    })?;
    line.changed = new.id != root.id;
    line.id = new.id;
    Ok((line, Pointer::of(&new, store)?, subject.pointer()))
}

/// A file or folder on disk as a stored node; only looked at in a dry run.
fn read(
    file: &Path,
    project: &Project,
    dry_run: bool,
    context: &Context,
) -> Result<crate::infrastructure::store::Node, Failure> {
    // Files inside the repository are known to the stat cache, others are nothing to it.
    let cache = project.cache();
    let inside = file.canonicalize().is_ok_and(|path| path.starts_with(&project.root));
    let found = match dry_run {
        true => identify(file, &cache, &context.ui),
        false => snapshot(file, &project.store, inside.then_some(&cache), &context.ui),
    };
    let found = found.map_err(|error| match error {
        StoreError::Absent(path) => {
            let path = shown(&path.display().to_string());
            DataError::Absent { name: path.clone(), path }
        }
        error => error.into(),
    })?;
    Ok(found.root)
}

#[derive(Serialize)]
struct Made {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    datasets: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    pointer: String,
    /// The version now.
    id: Digest,
    changed: bool,
    /// Paths put into it.
    put: u64,
    /// Paths taken out of it.
    removed: u64,
    /// Bytes of what was put into it.
    bytes: u64,
}

impl Report for Made {
    fn schema(&self) -> &'static str {
        "mlp/data-edit/1"
    }

    fn human(&self) -> String {
        let mut text = String::new();
        for line in &self.datasets {
            let would = if self.dry_run { "would be " } else { "" };
            text.push_str(&format!(
                "{} {would}{}: {} put ({}), {} taken out\n",
                shown(&line.name),
                line.id.short(),
                plural(line.put, "path"),
                bytes(line.bytes),
                line.removed
            ));
        }
        let changed = self.datasets.iter().filter(|line| line.changed && !self.dry_run);
        let pointers: Vec<_> = changed.map(|line| argument(&line.pointer)).collect();
        if !pointers.is_empty() {
            text.push_str(&format!("\nnext: git add {}\n", pointers.join(" ")));
        }
        text
    }

    fn quiet(&self) -> String {
        self.datasets.iter().map(|line| format!("{}\n", line.id)).collect()
    }
}
