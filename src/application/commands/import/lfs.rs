//! `mlp import lfs`.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::super::data::subject::{relative, root, subject};
use super::super::{Answer, Context};
use crate::application::promised;
use crate::application::ui::{Align, Report, Table, argument, bytes, clean, count};
use crate::base::{Digest, Exit, Failure, Sink, Unit};
use crate::infrastructure::store::worktree::snapshot;
use crate::platform::data::foreign::{Object, lfs};
use crate::platform::data::{DataError, Pointer, ignore};
use crate::platform::project::Project;

/// Takes over files that git-lfs versions: each PATH becomes one dataset, with all that git tracks below it.
///
/// The bytes come from git-lfs' objects in this clone and are compared with their SHA-256; `git lfs fetch` gets those that are not
/// here. Files of the dataset that git holds itself are taken from the work tree. git goes on tracking all of them until you end
/// that with `git rm -r --cached PATH`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Files and folders of the work tree.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<String>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let mut told = Told { dry_run: args.dry_run, datasets: Vec::new() };
    for path in &args.paths {
        told.datasets.push(take(path, &project, args.dry_run, context)?);
    }
    context.ui.report(&told);
    Ok(Exit::Ok)
}

fn take(path: &str, project: &Project, dry_run: bool, context: &Context) -> Result<Line, Failure> {
    let subject = subject(path, project, context)?;
    let top = root(project);
    let place = relative(&top, &subject.path);
    let below = format!("{place}/");
    let tracked = project.repo.tracked()?;
    let mut files = Vec::new();
    for (file, blob) in tracked.iter().filter(|(file, _)| *file == place || file.starts_with(&below)) {
        files.push((file.as_str(), lfs::pointer(&project.repo.blob(blob)?)));
    }
    let objects = files.iter().filter(|(_, id)| id.is_some()).count() as u64;
    let mut line = Line { path: place.clone(), files: files.len() as u64, objects, bytes: None, id: None };
    if objects == 0 {
        let detail = "git-lfs has nothing there".to_owned();
        return Err(DataError::Argument { argument: clean(path).into_owned(), detail }.into());
    }
    if dry_run {
        return Ok(line);
    }
    let _alone = promised::alone(project)?;
    // Beside the store, so that the objects of git-lfs can be linked.
    let gathered = promised::folder(project).join(format!("lfs-{}", Digest::of(place.as_bytes()).hex()));
    let data = gathered.join("data");
    let cache = project.repo.state_dir().with_file_name("lfs").join("objects");
    let sources = [promised::at("lfs-objects", &cache)?];
    for (n, (file, id)) in files.iter().enumerate() {
        let to = if *file == place { data.clone() } else { data.join(&file[below.len()..]) };
        let folder = to.parent().unwrap_or(&gathered);
        fs::create_dir_all(folder).map_err(DataError::io("make", folder))?;
        let from = top.join(file);
        match id {
            Some(id) => Object { id, executable: is_executable(&from) }.get(&to, &sources)?,
            None if to.symlink_metadata().is_ok() => {}
            None => copy(&from, &to)?,
        }
        context.ui.progress("reading objects", n as u64 + 1, Some(files.len() as u64), Unit::Files);
    }
    let found = snapshot(&data, &project.store, None, &context.ui)?;
    Pointer::of(&found.root, &project.store)?.write(&subject.pointer())?;
    if !project.repo.ignores(place.as_ref())? && !project.repo.ignores(below.as_ref())? {
        ignore(&subject.path)?;
    }
    fs::remove_dir_all(&gathered).map_err(DataError::io("remove", &gathered))?;
    (line.bytes, line.id) = (Some(found.bytes), Some(found.root.id));
    Ok(line)
}

/// A file that git holds itself, as the work tree has it; links stay links.
fn copy(from: &Path, to: &Path) -> Result<(), DataError> {
    #[cfg(unix)]
    if from.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
        let target = fs::read_link(from).map_err(DataError::io("read", from))?;
        return std::os::unix::fs::symlink(target, to).map_err(DataError::io("write", to));
    }
    fs::copy(from, to).map(drop).map_err(DataError::io("copy", from))
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(_: &Path) -> bool {
    false
}

#[derive(Serialize)]
struct Told {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    datasets: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    path: String,
    /// Files that git tracks there.
    files: u64,
    /// Those of them that git-lfs has.
    objects: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Digest>,
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/import-lfs/1"
    }

    fn human(&self) -> String {
        let mut table = Table::new(["DATASET", "VERSION", "FILES", "OF GIT-LFS", "SIZE"]);
        for column in 2..5 {
            table = table.align(column, Align::Right);
        }
        let mut next = String::new();
        for line in &self.datasets {
            let id = line.id.map_or_else(|| "-".to_owned(), |id| id.short());
            let size = line.bytes.map_or_else(String::new, bytes);
            table.row([clean(&line.path).into_owned(), id, count(line.files), count(line.objects), size]);
            let path = argument(&line.path);
            next.push_str(&format!("  git rm -r --cached --quiet {path} && git add {path}.mlp\n"));
        }
        let mut text = table.render();
        if !self.dry_run {
            text.push_str(&format!("\nnext: take the paths out of .gitattributes, then\n{next}"));
        }
        text
    }

    fn quiet(&self) -> String {
        String::new()
    }
}
