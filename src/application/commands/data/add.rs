//! `mlp data add`.

use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use super::changes::Changes;
use super::subject::{Subject, all, relative, root, shown, subjects, within};
use crate::application::completion;
use crate::application::ui::{Align, Report, Table, argument, bytes, count, plural};
use crate::base::{Digest, Exit, Failure, Level, Sink};
use crate::infrastructure::store::worktree::{dropped, identify, snapshot};
use crate::infrastructure::store::{Node, StoreError};
use crate::platform::data::{DataError, Pointer, ignore};
use crate::platform::project::{FILE, Project};

/// Makes the data on disk a version: stores them and writes the pointer that git keeps.
///
/// Takes datasets of mlp.yaml by name and any file or folder by path; without any, every dataset that is on disk. What is
/// stored already is not stored again.
///
/// A path inside a dataset that has a version changes only that path: `mlp data add data/mnist/extra/x.png`. The rest of the dataset
/// need not be on disk, nor in the local store. So does `mlp data add mnist --at extra/ FILE...`, with files from anywhere.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Datasets or paths; with `--at`, the dataset and then what is put into it.
    #[arg(value_name = "NAME|PATH", add = ArgValueCandidates::new(completion::datasets))]
    names: Vec<String>,
    /// Where in the dataset the files are put: a folder if it ends with `/` or there are several, else the file's new path.
    #[arg(long, value_name = "PATH", requires = "names")]
    at: Option<String>,
    /// Take the folder as the whole dataset, even where the version before has files that were never here.
    #[arg(long, conflicts_with = "at")]
    replace: bool,
    /// Only say what would be stored.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    if let Some(at) = &args.at {
        let (name, files) =
            args.names.split_first().map_or(("", &[][..]), |(name, files)| (name.as_str(), files));
        let mut changes = Changes::default();
        changes.put(name, at, files, &project, context)?;
        return changes.make(&project, args.dry_run, context);
    }
    let mut changes = Changes::default();
    let mut whole = Vec::new();
    for name in &args.names {
        match within(name, None, &project, context)? {
            (subject, inner) if !inner.is_empty() && subject.pointer().exists() => {
                changes.put_itself(subject, inner);
            }
            _ => whole.push(name.clone()),
        }
    }
    if !changes.is_empty() {
        if let Some(name) = whole.first() {
            let detail = "paths inside datasets and whole datasets are added by two commands".to_owned();
            return Err(DataError::Argument { argument: shown(name), detail }.into());
        }
        return changes.make(&project, args.dry_run, context);
    }
    let mut chosen = subjects(&args.names, &project, context)?;
    if args.names.is_empty() {
        chosen.retain(|subject| subject.path.exists());
        if chosen.is_empty() {
            let name = project.manifest.data.keys().next().map_or("NAME".to_owned(), |name| name.to_string());
            let path = shown(&relative(&root(&project), &project.root.join("data")));
            return Err(DataError::Absent { name, path }.into());
        }
    }
    let mut added = Added { dry_run: args.dry_run, datasets: Vec::new() };
    for subject in &chosen {
        added.datasets.push(add(subject, &project, &args, context)?);
    }
    context.ui.report(&added);
    Ok(Exit::Ok)
}

fn add(subject: &Subject, project: &Project, args: &Args, context: &Context) -> Result<Line, Failure> {
    let dry_run = args.dry_run;
    apart(subject, project)?;
    let cache = project.cache();
    let found = match dry_run {
        true => identify(&subject.path, &cache, &context.ui),
        false => snapshot(&subject.path, &project.store, Some(&cache), &context.ui),
    };
    let found = found.map_err(|error| match error {
        StoreError::Absent(_) => DataError::Absent {
            name: subject.name.clone(),
            path: shown(&relative(&project.root, &subject.path)),
        },
        error => error.into(),
    })?;
    let pointer = subject.pointer();
    let old = Pointer::read(&pointer).ok();
    let before = old.as_ref().map(|pointer| pointer.node().id);
    let mut root = found.root;
    if let (Some(old), Some(sparse)) = (&old, subject.sparse(project)?) {
        // What the work tree does not hold stays as it was.
        root = sparse.widen(&old.root(&project.store)?, &root, &project.store)?;
    } else if let (Some(old), false) = (&old, args.replace) {
        whole(subject, old, &root, project, args, context)?;
    }
    let unfinished = project.unfinished().has(&subject.in_repository(project));
    if unfinished && !args.replace && before.is_some_and(|before| before != root.id) {
        return Err(DataError::Unfinished(subject.name.clone()).into());
    }
    if !dry_run {
        project.unfinished().end(&subject.in_repository(project))?;
        Pointer::of(&root, &project.store)?.write(&pointer)?;
        keep_out_of_git(subject, project, context)?;
    }
    Ok(Line {
        name: subject.name.clone(),
        pointer: relative(&project.root, &pointer),
        id: root.id,
        files: found.files,
        bytes: found.bytes,
        stored: found.stored,
        changed: before != Some(root.id),
    })
}

/// Files that say what git and mlp are to do.
const OWN: [&str; 4] = [".gitignore", ".gitattributes", ".mlpignore", FILE];

/// Refuses what git has to keep, and datasets within one another: each change of the inner one would be one of the outer one, too.
fn apart(subject: &Subject, project: &Project) -> Result<(), Failure> {
    let is_own = subject.path.file_name().is_some_and(|name| OWN.iter().any(|own| name == *own));
    if is_own && subject.path.is_file() {
        let detail = "git keeps this file, and mlp reads it".to_owned();
        return Err(DataError::Place { path: shown(&subject.name), detail }.into());
    }
    let others = all(project)?;
    let inner =
        others.iter().find(|other| other.path != subject.path && other.path.starts_with(&subject.path));
    // Data may have a file that is merely called like a pointer.
    let Some(inner) = inner.filter(|inner| Pointer::read(&inner.pointer()).is_ok()) else { return Ok(()) };
    let detail = format!("`{}` in it is one already; `mlp data rm` makes it none", shown(&inner.name));
    Err(DataError::Place { path: shown(&subject.name), detail }.into())
}

/// Refuses to drop files of the version before that were never here.
fn whole(
    subject: &Subject,
    old: &Pointer,
    new: &Node,
    project: &Project,
    args: &Args,
    context: &Context,
) -> Result<(), Failure> {
    let stored = (!args.dry_run).then_some(new);
    let dropped = old.root(&project.store).and_then(|old| {
        Ok(dropped(&old, &subject.path, stored, &project.store, &project.cache(), &context.ui)?)
    });
    // Of a version whose first tree is not here, or of damaged ones, nobody can tell what it has.
    let Ok(dropped) = dropped else { return Ok(()) };
    let Some(first) = dropped.first() else { return Ok(()) };
    let first = shown(&String::from_utf8_lossy(first));
    let count = plural(dropped.len() as u64, "path");
    Err(DataError::Partial { name: subject.name.clone(), count, first }.into())
}

/// Makes git ignore the data, unless it does already, and says so where it holds some of them.
fn keep_out_of_git(subject: &Subject, project: &Project, context: &Context) -> Result<(), Failure> {
    let root = root(project);
    let mut path = relative(&root, &subject.path);
    if subject.path.is_dir() {
        path.push('/');
    }
    if !project.repo.ignores(path.as_ref())? {
        ignore(&subject.path)?;
    }
    let inside = |file: &&String| match path.ends_with('/') {
        true => file.starts_with(&path),
        false => **file == path,
    };
    let tracked = project.repo.files()?.iter().filter(inside).count();
    if tracked > 0 {
        let path = shown(path.trim_end_matches('/'));
        let text = format!(
            "git itself tracks {} of `{path}`; `git rm -r --cached {path}` ends that",
            plural(tracked as u64, "file")
        );
        context.ui.log(Level::Warn, &text);
    }
    Ok(())
}

#[derive(Serialize)]
struct Added {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    datasets: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    pointer: String,
    id: Digest,
    files: u64,
    bytes: u64,
    /// Bytes newly written to the store.
    stored: u64,
    /// Whether the pointer names another version now.
    changed: bool,
}

impl Report for Added {
    fn schema(&self) -> &'static str {
        "mlp/data-add/1"
    }

    fn human(&self) -> String {
        let mut table = Table::new(["DATASET", "VERSION", "FILES", "SIZE", "STORED", ""]);
        for column in 2..5 {
            table = table.align(column, Align::Right);
        }
        for line in &self.datasets {
            let note = match (line.changed, self.dry_run) {
                (true, true) => "would be a new version",
                (true, false) => "new version",
                (false, _) => "unchanged",
            };
            let stored = if self.dry_run { "-".to_owned() } else { bytes(line.stored) };
            let cells = [
                shown(&line.name),
                line.id.short(),
                count(line.files),
                bytes(line.bytes),
                stored,
                note.into(),
            ];
            table.row(cells);
        }
        let changed: Vec<_> =
            self.datasets.iter().filter(|line| line.changed).map(|line| argument(&line.pointer)).collect();
        let mut text = table.render();
        if !changed.is_empty() && !self.dry_run {
            text.push_str(&format!("\nnext: git add {}\n", changed.join(" ")));
        }
        text
    }

    fn quiet(&self) -> String {
        String::new()
    }
}
