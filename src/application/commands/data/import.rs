//! `mlp data import`.

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::super::{Answer, Context};
use super::subject::{Subject, relative, root, shown, subject};
use crate::application::promised;
use crate::application::ui::{Report, argument, bytes, plural};
use crate::base::{Digest, Event, Exit, Failure, Level, Sink, What};
use crate::infrastructure::git::Elsewhere;
use crate::infrastructure::store::worktree::snapshot;
use crate::infrastructure::store::{Node, Remote, StoreSpec, fetch};
use crate::platform::data::foreign::bucket;
use crate::platform::data::{
    DataError, DataSpec, Dataset, DownloadOptions, Format, Pointer, Source, download, ignore,
};
use crate::platform::project::{FILE, Project};

/// Makes a version of data that are elsewhere: a file on the web, a bucket or folder, a dataset of another project.
///
/// The pointer says where they came from, and pins it: the commit of another project, the SHA-256 of a file. Run again, it takes what
/// is there now as a new version. Data of another project are taken from its first store, object by object, those that
/// are here or on a store that both share not at all.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A URL: https://host/file, s3://bucket/prefix, gs://…, az://…, fs:///folder. With `--repo`: NAME[@REV], a dataset or path there.
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Where the data go, in this project; the last part of SOURCE in `data/` if left out.
    #[arg(value_name = "PATH")]
    path: Option<String>,
    /// The git repository of another project, as `git clone` takes it.
    #[arg(long, value_name = "URL")]
    repo: Option<String>,
    /// Endpoint of an S3-compatible or other service.
    #[arg(long, value_name = "URL", conflicts_with = "repo")]
    endpoint: Option<String>,
    /// Region of an S3 service.
    #[arg(long, value_name = "NAME", conflicts_with = "repo")]
    region: Option<String>,
    /// Replace edited files; they go to the trash first.
    #[arg(long)]
    force: bool,
    /// Only say what would be imported.
    #[arg(long)]
    dry_run: bool,
}

/// What was found elsewhere: the version, and what the pointer says of it.
struct Taken {
    root: Node,
    origin: Map<String, Value>,
    /// A folder of our own that is not needed any more.
    gathered: Option<std::path::PathBuf>,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let subject = destination(&args, &project, context)?;
    if subject.path.exists() && !subject.pointer().exists() {
        return Err(DataError::Exists(shown(&relative(&project.root, &subject.path))).into());
    }
    let mut told = Told { dry_run: args.dry_run, name: subject.name.clone(), ..Told::default() };
    if args.dry_run {
        context.ui.report(&told);
        return Ok(Exit::Ok);
    }
    let _alone = promised::alone(&project)?;
    let taken = match (&args.repo, args.source.split_once("://")) {
        (Some(repo), _) => project_of(repo, &args.source, &project, &context.ui)?,
        (None, Some(("http" | "https", _))) => file(&args.source, &project, &context.ui)?,
        (None, Some(_)) => objects(&args, &project, &context.ui)?,
        (None, None) => {
            let detail = "it is no URL; a dataset of another project needs `--repo URL`".to_owned();
            return Err(DataError::Origin { origin: shown(&args.source), detail }.into());
        }
    };
    let folder = subject.path.parent().unwrap_or(&project.root);
    fs::create_dir_all(folder).map_err(DataError::io("make", folder))?;
    let mut origin = taken.origin;
    origin.insert("id".to_owned(), Value::from(taken.root.id.to_string()));
    let old = Pointer::read(&subject.pointer()).ok();
    Pointer::of(&taken.root, &project.store)?.imported(origin).write(&subject.pointer())?;
    let place = relative(&root(&project), &subject.path);
    if !project.repo.ignores(place.as_ref())? && !project.repo.ignores(Path::new(&place).join("").as_ref())? {
        ignore(&subject.path)?;
    }
    if let Some(gathered) = &taken.gathered {
        fs::remove_dir_all(gathered).map_err(DataError::io("remove", gathered))?;
    }
    let wanted = subject.wanted(&taken.root, &project)?;
    // What was imported before and not changed since can be imported again.
    let besides = old.as_ref().filter(|old| old.is_as_imported()).map(|old| old.node().id);
    let done = subject.check_out(&wanted, besides, args.force, &project, context)?;
    told.id = Some(taken.root.id);
    told.bytes = taken.root.size;
    told.changed = old.is_none_or(|old| old.node().id != taken.root.id);
    told.pointer = relative(&project.root, &subject.pointer());
    told.written = done.written;
    told.dirty = done.dirty;
    context.ui.report(&told);
    Ok(if told.dirty.is_empty() { Exit::Ok } else { Exit::No })
}

/// Where the data go.
fn destination(args: &Args, project: &Project, context: &Context) -> Result<Subject, Failure> {
    if let Some(path) = &args.path {
        // A plain word is a path here, unless a dataset has that name.
        let path = match project.dataset(path).is_ok() || path.contains('/') {
            true => path.clone(),
            false => format!("./{path}"),
        };
        return subject(&path, project, context);
    }
    let source = match &args.repo {
        Some(_) => args.source.split('@').next().unwrap_or_default(),
        None => args.source.split(['?', '#']).next().unwrap_or_default(),
    };
    let name = source.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let path = project.root.join("data").join(name);
    subject(&path.to_string_lossy(), project, context)
}

/// A dataset of another project, at a commit.
fn project_of(url: &str, source: &str, project: &Project, sink: &dyn Sink) -> Result<Taken, Failure> {
    let (name, rev) = source.split_once('@').map_or((source, None), |(name, rev)| (name, Some(rev)));
    let other = Elsewhere::copy(url, rev.is_some(), &promised::folder(project))?;
    let commit = other.commit(rev)?;
    let file = |path: &str| -> Result<Vec<u8>, Failure> {
        let none = || DataError::NoPointer { rev: format!("{url}@{commit}"), path: path.to_owned() };
        Ok(other.file_at(&commit, path)?.ok_or_else(none)?)
    };
    let manifest = Project::parse(file(FILE)?, Path::new(&format!("{url}:{FILE}")))?;
    let path = manifest.data.get(name).map_or(name, |data| data.path.as_str());
    let path = path.trim_start_matches("./").trim_end_matches('/');
    let pointer = format!("{path}.mlp");
    let text = String::from_utf8_lossy(&file(&pointer)?).into_owned();
    let pointer = Pointer::parse(&text, Path::new(&format!("{url}:{pointer}")))?;
    let ids = pointer.ids();
    if !project.store.is_complete(&ids)? {
        let remote = store_of(&manifest.stores, url, project)?;
        fetch(&project.store, &remote, &ids, &[], sink)?;
    }
    let origin = [("repo", url), ("rev", commit.as_str()), ("path", path)];
    let origin = origin.map(|(key, value)| (key.to_owned(), Value::from(value)));
    Ok(Taken { root: pointer.root(&project.store)?, origin: Map::from_iter(origin), gathered: None })
}

/// The first store of another project; as this project knows it, if it does.
fn store_of(
    stores: &indexmap::IndexMap<crate::base::Name, StoreSpec>,
    url: &str,
    project: &Project,
) -> Result<Remote, Failure> {
    let Some((_, spec)) = stores.first() else {
        let detail = "that project has no stores: its data are in no place that others can read".to_owned();
        return Err(DataError::Origin { origin: shown(url), detail }.into());
    };
    let same = |known: &&StoreSpec| (&known.url, &known.endpoint) == (&spec.url, &spec.endpoint);
    let known = project.manifest.stores.iter().chain(&project.manifest.imports);
    if let Some((name, known)) = known.into_iter().find(|(_, known)| same(known)) {
        return Ok(Remote::open(name, known)?);
    }
    // Its name must not choose which of this user's secrets are used, nor may its file.
    let spec = StoreSpec { credentials: None, key_file: None, known_hosts: None, ..spec.clone() };
    Ok(Remote::open(&import_name(), &spec)?)
}

/// The name under which credentials for a place that is read once are looked for: `MLP_STORE_IMPORT_…`.
fn import_name() -> crate::base::Name {
    "import".parse().expect("is a name")
}

/// A file on the web.
fn file(url: &str, project: &Project, sink: &dyn Sink) -> Result<Taken, Failure> {
    let gathered = promised::folder(project).join(format!("url-{}", &Digest::of(url.as_bytes()).hex()[..16]));
    fs::create_dir_all(&gathered).map_err(DataError::io("make", &gathered))?;
    let source =
        Source { url: Some(url.to_owned()), sha256: None, file: Some("data".to_owned()), digits: None };
    let spec = DataSpec {
        path: gathered.to_string_lossy().into_owned(),
        format: Format::Idx,
        target: None,
        text: None,
        tokenizer: None,
        length: None,
        source: vec![source],
        expect: Vec::new(),
        split: Default::default(),
        guard: Default::default(),
        memory: None,
        card: None,
        licence: None,
    };
    let dataset = Dataset::new(&import_name(), &spec, Path::new("/"));
    // What an earlier attempt downloaded whole may be old by now.
    let options = DownloadOptions { force: true, dry_run: false };
    let sha256 = download(&dataset, options, &Silent(sink))?.into_iter().find_map(|file| file.sha256);
    let found = snapshot(&gathered.join("data"), &project.store, None, sink)?;
    let mut origin = Map::from_iter([("url".to_owned(), Value::from(url))]);
    origin.extend(sha256.map(|sha256| ("sha256".to_owned(), Value::from(sha256))));
    Ok(Taken { root: found.root, origin, gathered: Some(gathered) })
}

/// Passes on all but warnings: that `mlp.yaml` does not pin the file matters to its own sources alone.
struct Silent<'a>(&'a dyn Sink);

impl Sink for Silent<'_> {
    fn emit(&self, event: &Event) {
        if !matches!(&event.what, What::Log(log) if log.level == Level::Warn) {
            self.0.emit(event);
        }
    }
}

/// All objects below a URL.
fn objects(args: &Args, project: &Project, sink: &dyn Sink) -> Result<Taken, Failure> {
    let spec = StoreSpec {
        endpoint: args.endpoint.clone(),
        region: args.region.clone(),
        ..StoreSpec::new(args.source.as_str())
    };
    // An entry of the project for the same place brings its credentials.
    let same = |known: &&StoreSpec| {
        known.url.trim_end_matches('/') == spec.url.trim_end_matches('/')
            && (spec.endpoint.is_none() || known.endpoint == spec.endpoint)
    };
    let remote = match project.manifest.imports.iter().find(|(_, known)| same(known)) {
        Some((name, known)) => Remote::open(name, known)?,
        None => Remote::open(&import_name(), &spec)?,
    };
    let gathered = format!("bucket-{}", &Digest::of(args.source.as_bytes()).hex()[..16]);
    let gathered = promised::folder(project).join(gathered);
    let (data, count) = bucket(&remote, &gathered, sink)?;
    if count == 0 {
        let detail = "there is nothing below that URL".to_owned();
        return Err(DataError::Origin { origin: shown(&args.source), detail }.into());
    }
    let found = snapshot(&data, &project.store, None, sink)?;
    let mut origin = Map::from_iter([("url".to_owned(), Value::from(args.source.as_str()))]);
    origin.extend(
        args.endpoint.as_ref().map(|endpoint| ("endpoint".to_owned(), Value::from(endpoint.as_str()))),
    );
    sink.log(Level::Info, &format!("read {}", plural(found.files, "object")));
    Ok(Taken { root: found.root, origin, gathered: Some(gathered) })
}

#[derive(Default, Serialize)]
struct Told {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Digest>,
    bytes: u64,
    /// Whether the pointer names another version now.
    changed: bool,
    pointer: String,
    /// Files written to the work tree.
    written: u64,
    /// Edited files that were left alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dirty: Vec<String>,
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/data-import/1"
    }

    fn human(&self) -> String {
        let name = shown(&self.name);
        let Some(id) = self.id else { return format!("would import into {name}\n") };
        let mut text = match self.changed {
            true => format!(
                "{name} {}: {}, {} written\n",
                id.short(),
                bytes(self.bytes),
                plural(self.written, "file")
            ),
            false => format!("{name} {}: nothing new\n", id.short()),
        };
        for path in &self.dirty {
            text.push_str(&format!("left alone, changed here: {}\n", shown(path)));
        }
        if self.changed {
            text.push_str(&format!("\nnext: git add {}\n", argument(&self.pointer)));
        }
        text
    }

    fn quiet(&self) -> String {
        String::new()
    }
}
