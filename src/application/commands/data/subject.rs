//! What the data commands work on: datasets of `mlp.yaml`, and any other path with a pointer.

use std::path::{Component, Path, PathBuf};

use super::super::Context;
use crate::application::named::named;
use crate::application::{promised, stores};
use crate::base::{Digest, Failure, Level, Sink};
use crate::infrastructure::store::worktree::{Change, Checkout, CheckoutOptions, Sparse, checkout};
use crate::infrastructure::store::{Node, NodeKind, OnDemand};
use crate::platform::data::foreign::Promise;
use crate::platform::data::{DataError, Pointer};
use crate::platform::project::Project;

/// One dataset or path.
pub(in crate::application::commands) struct Subject {
    /// As the user names it: a dataset's name, or a path relative to the project.
    pub(in crate::application::commands) name: String,
    /// Where the data are, absolute.
    pub(in crate::application::commands) path: PathBuf,
}

impl Subject {
    /// The pointer beside the data.
    pub(in crate::application::commands) fn pointer(&self) -> PathBuf {
        Pointer::beside(&self.path)
    }

    /// The version that the work tree should hold: the pointer's, or the part of it that was chosen.
    pub(in crate::application::commands) fn wanted(
        &self,
        root: &Node,
        project: &Project,
    ) -> Result<Node, Failure> {
        Ok(match self.sparse(project)? {
            Some(sparse) => sparse.narrow(root, &project.store)?,
            None => root.clone(),
        })
    }

    /// Makes the data on disk equal to `root`. Files of versions that nobody can name, `besides` those given, are left alone as edited
    /// ones are.
    pub(in crate::application::commands) fn check_out(
        &self,
        root: &Node,
        besides: Option<Digest>,
        force: bool,
        project: &Project,
        context: &Context,
    ) -> Result<Checkout, Failure> {
        let kept = || {
            let named = named(project).unwrap_or_else(|failure| {
                let text = format!("{failure}; so nothing is removed that may be needed");
                context.ui.log(Level::Warn, &text);
                Vec::new()
            });
            named.into_iter().chain(besides).collect()
        };
        let options = CheckoutOptions { force, kept: Some(&kept) };
        let (unfinished, path) = (project.unfinished(), self.in_repository(project));
        unfinished.begin(&path)?;
        let done = checkout(root, &self.path, &project.store, Some(&project.cache()), options, &context.ui)?;
        unfinished.end(&path)?;
        Ok(done)
    }

    /// Which part of the data this work tree holds; none if all.
    pub(in crate::application::commands) fn sparse(
        &self,
        project: &Project,
    ) -> Result<Option<Sparse>, Failure> {
        Ok(project.sparse().get(&self.in_repository(project))?)
    }

    /// The path of the data, relative to the root of the repository.
    pub(in crate::application::commands) fn in_repository(&self, project: &Project) -> String {
        relative(&root(project), &self.path)
    }

    /// The pointer in the work tree, or in a revision of git.
    pub(in crate::application::commands) fn read(
        &self,
        project: &Project,
        rev: Option<&str>,
    ) -> Result<Pointer, Failure> {
        let (text, shown) = self.text(project, rev)?;
        if let Some(promise) = Promise::parse(&text, &shown)?
            && let Some(pointer) = promised::known(project, &promise)?
        {
            return Ok(pointer);
        }
        Ok(Pointer::parse(&text, &shown)?)
    }

    /// Fetches what was only imported by name, if this is so: then [`Subject::read`] gives its version. The pointer of the work tree
    /// becomes an ordinary one. Returns whether there was anything to do.
    pub(in crate::application::commands) fn settle(
        &self,
        project: &Project,
        rev: Option<&str>,
        sink: &dyn Sink,
    ) -> Result<bool, Failure> {
        let (text, shown) = self.text(project, rev)?;
        let Some(promise) = Promise::parse(&text, &shown)? else { return Ok(false) };
        let pointer = promised::fulfil(project, &promise, &self.path, sink)?;
        if rev.is_none() {
            pointer.write(&self.pointer())?;
        }
        Ok(true)
    }

    /// The text of the pointer, and what it is called in messages.
    fn text(&self, project: &Project, rev: Option<&str>) -> Result<(String, PathBuf), Failure> {
        let Some(rev) = rev else {
            let path = self.pointer();
            if !path.exists() {
                return Err(DataError::NotAdded(self.name.clone()).into());
            }
            return Ok((Pointer::text_at(&path)?, relative(&project.root, &path).into()));
        };
        let path = relative(&root(project), &Pointer::beside(&self.path));
        let shown = PathBuf::from(format!("{rev}:{path}"));
        let Some(bytes) = project.repo.file_at(rev, &path)? else {
            return Err(DataError::NoPointer { rev: rev.to_owned(), path }.into());
        };
        let text = String::from_utf8(bytes).map_err(|_| DataError::Pointer {
            path: shown.display().to_string(),
            detail: "it is not UTF-8".into(),
            label: None,
        })?;
        Ok((text, shown))
    }
}

/// What a user means by `NAME[/PATH][@REV]`: something in a version of a dataset.
pub(in crate::application::commands) struct Place {
    pub(in crate::application::commands) subject: Subject,
    /// The path in it; empty for the whole.
    pub(in crate::application::commands) inner: String,
    /// The git revision; none for the pointer of the work tree.
    pub(in crate::application::commands) rev: Option<String>,
}

impl Place {
    /// What stands there; gets the trees on the way and nothing else.
    pub(in crate::application::commands) fn node(
        &self,
        project: &Project,
        source: &mut OnDemand<'_>,
    ) -> Result<Node, Failure> {
        let root = self.subject.read(project, self.rev.as_deref())?.root(&project.store)?;
        if self.inner.is_empty() {
            return Ok(root);
        }
        let found = match root.kind {
            NodeKind::Directory => source.find(&root.id, &self.inner)?,
            _ => None,
        };
        Ok(found.ok_or_else(|| self.no_entry())?)
    }

    /// There is nothing.
    pub(in crate::application::commands) fn no_entry(&self) -> DataError {
        DataError::NoEntry { name: self.subject.name.clone(), path: self.inner.escape_debug().to_string() }
    }

    /// The last part of the path.
    pub(in crate::application::commands) fn file_name(&self) -> String {
        let path = self.subject.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.inner.rsplit('/').next().filter(|name| !name.is_empty()).map_or(path, str::to_owned)
    }
}

/// Reads `NAME[/PATH][@REV]`, where `NAME` is a dataset or a path with a pointer. The last `@` begins the revision.
pub(in crate::application::commands) fn place(
    text: &str,
    project: &Project,
    context: &Context,
) -> Result<Place, Failure> {
    // A dataset may have an `@` in its own name.
    let is_dataset = || {
        let (subject, inner) = within(text, None, project, context).ok()?;
        (inner.is_empty() && subject.pointer().exists()).then_some(())
    };
    let (path, rev) = match text.rsplit_once('@') {
        Some((path, rev)) if !rev.is_empty() && is_dataset().is_none() => (path, Some(rev)),
        _ => (text, None),
    };
    let (subject, inner) = within(path, rev, project, context)?;
    Ok(Place { subject, inner, rev: rev.map(str::to_owned) })
}

/// The dataset that a path lies in, and the path in it. A dataset's name goes before a path of the same beginning.
pub(in crate::application::commands) fn within(
    path: &str,
    rev: Option<&str>,
    project: &Project,
    context: &Context,
) -> Result<(Subject, String), Failure> {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    if project.dataset(first).is_ok() {
        let inner = relative(Path::new("/"), &tidy(&Path::new("/").join(rest.trim_matches('/'))));
        return Ok((subject(first, project, context)?, inner));
    }
    let folder = context.dir.canonicalize().unwrap_or_else(|_| context.dir.clone());
    let whole = tidy(&folder.join(path));
    let top = root(project);
    for above in whole.ancestors().skip(1).take_while(|above| above.starts_with(&project.root)) {
        let pointer = Pointer::beside(above);
        let in_rev = || {
            rev.is_some_and(|rev| matches!(project.repo.file_at(rev, &relative(&top, &pointer)), Ok(Some(_))))
        };
        if pointer.exists() || in_rev() {
            let found = subject(&above.to_string_lossy(), project, context)?;
            return Ok((found, relative(above, &whole)));
        }
    }
    Ok((subject(path.trim_end_matches('/'), project, context)?, String::new()))
}

/// The local store, with the store called `name` (or the first one, if it can be used) for what is not here.
pub(in crate::application::commands) fn source<'a>(
    project: &'a Project,
    name: Option<&str>,
) -> Result<OnDemand<'a>, Failure> {
    let remote = match name {
        Some(name) => Some(stores::remote(project, Some(name))?),
        // Whatever is wrong with it is said by whoever needs it: most of the time everything is here.
        None => stores::remote(project, None).ok(),
    };
    Ok(OnDemand::new(&project.store, remote))
}

/// The subjects that the arguments name; all datasets and pointers of the project if there are none.
pub(in crate::application::commands) fn subjects(
    names: &[String],
    project: &Project,
    context: &Context,
) -> Result<Vec<Subject>, Failure> {
    if names.is_empty() {
        return all(project);
    }
    names.iter().map(|name| subject(name, project, context)).collect()
}

/// The dataset called `name`, or the path if there is no such dataset.
pub(in crate::application::commands) fn subject(
    name: &str,
    project: &Project,
    context: &Context,
) -> Result<Subject, Failure> {
    let known = project.dataset(name);
    let error = match known {
        Ok(dataset) => return Ok(Subject { name: dataset.name.to_string(), path: tidy(&dataset.path) }),
        Err(error) => error,
    };
    let folder = context.dir.canonicalize().unwrap_or_else(|_| context.dir.clone());
    let given = name.strip_suffix(".mlp").unwrap_or(name);
    let path = tidy(&folder.join(given));
    // A plain word that is no file either is a dataset's name with a mistake in it.
    let is_path = path.symlink_metadata().is_ok() || Pointer::beside(&path).exists();
    if !is_path && !name.contains(['/', '.']) {
        return Err(error.into());
    }
    let of_dataset =
        |dataset: &&str| project.dataset(dataset).is_ok_and(|dataset| tidy(&dataset.path) == path);
    if let Some(dataset) = project.manifest.data.keys().map(|name| name.as_str()).find(of_dataset) {
        return Ok(Subject { name: dataset.to_owned(), path });
    }
    let place = |detail: &str| {
        Err(DataError::Place { path: name.escape_debug().to_string(), detail: detail.into() }.into())
    };
    if !path.starts_with(root(project)) {
        return place("it lies outside of the repository");
    }
    let own = |part: Component<'_>| part.as_os_str() == ".git" || part.as_os_str() == ".mlp";
    if path.components().any(own) {
        return place("it belongs to git or mlp");
    }
    if project.root.starts_with(&path) {
        return place("it holds the project");
    }
    Ok(Subject { name: relative(&project.root, &path), path })
}

/// Datasets in the order of `mlp.yaml`, then other pointers that git sees.
pub(in crate::application::commands) fn all(project: &Project) -> Result<Vec<Subject>, Failure> {
    let mut subjects = Vec::new();
    for name in project.manifest.data.keys() {
        let dataset = project.dataset(name.as_str())?;
        subjects.push(Subject { name: dataset.name.to_string(), path: tidy(&dataset.path) });
    }
    let root = root(project);
    for file in project.repo.files()? {
        let Some(path) = file.strip_suffix(".mlp").filter(|path| !path.is_empty() && !path.ends_with('/'))
        else {
            continue;
        };
        let path = root.join(path);
        if path.starts_with(&project.root) && subjects.iter().all(|subject| subject.path != path) {
            subjects.push(Subject { name: relative(&project.root, &path), path });
        }
    }
    Ok(subjects)
}

/// Root of the repository, as the project's root is written.
pub(in crate::application::commands) fn root(project: &Project) -> PathBuf {
    project.repo.root().canonicalize().unwrap_or_else(|_| project.repo.root().to_owned())
}

/// `path` relative to `folder`, with `/` between its parts.
pub(in crate::application::commands) fn relative(folder: &Path, path: &Path) -> String {
    let path = path.strip_prefix(folder).unwrap_or(path);
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

/// `path` without `.` and `..`.
fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(tidied.pop()),
            part => tidied.push(part),
        }
    }
    tidied
}

/// A name from outside on one line, without control characters.
pub(in crate::application::commands) fn shown(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// One difference, as reports tell it.
#[derive(serde::Serialize)]
pub(in crate::application::commands) struct Difference {
    path: String,
    pub(in crate::application::commands) change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<Version>,
}

#[derive(serde::Serialize)]
struct Version {
    id: Digest,
    size: u64,
}

impl From<Change> for Difference {
    fn from(change: Change) -> Self {
        let version = |node: Node| Version { id: node.id, size: node.size };
        Self {
            path: String::from_utf8_lossy(&change.path).into_owned(),
            change: match (&change.old, &change.new) {
                (None, _) => "added",
                (_, None) => "removed",
                _ => "modified",
            },
            old: change.old.map(version),
            new: change.new.map(version),
        }
    }
}

impl Difference {
    /// `M train/7.png`
    pub(in crate::application::commands) fn line(&self) -> String {
        let letter = match self.change {
            "added" => 'A',
            "removed" => 'D',
            _ => 'M',
        };
        let path = if self.path.is_empty() { "(the file itself)".to_owned() } else { shown(&self.path) };
        format!("{letter} {path}\n")
    }
}

/// How many differences of each kind there are.
#[derive(Default, serde::Serialize)]
pub(in crate::application::commands) struct Counts {
    pub(in crate::application::commands) added: u64,
    pub(in crate::application::commands) modified: u64,
    pub(in crate::application::commands) removed: u64,
}

impl Counts {
    pub(in crate::application::commands) fn of(differences: &[Difference]) -> Self {
        let count = |kind| differences.iter().filter(|difference| difference.change == kind).count() as u64;
        Self { added: count("added"), modified: count("modified"), removed: count("removed") }
    }

    /// `3 added, 1 removed`
    pub(in crate::application::commands) fn human(&self) -> String {
        let parts = [(self.added, "added"), (self.modified, "modified"), (self.removed, "removed")];
        let parts: Vec<_> = parts
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, word)| format!("{} {word}", crate::application::ui::count(*n)))
            .collect();
        if parts.is_empty() { "no differences".to_owned() } else { parts.join(", ") }
    }
}
