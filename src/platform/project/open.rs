//! Opening a project: read, resolve once, pass resolved values on.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::source::Source;
use super::{Loosening, Manifest, ProjectError, personal, profile};
use crate::base::{Failure, Id, Name, Time, nearest};
use crate::infrastructure::git::{Repo, Trust};
use crate::infrastructure::keys::{Secrets, Signers};
use crate::infrastructure::store::worktree::{SparseFile, StatCache, Unfinished};
use crate::infrastructure::store::{LedgerHome, LedgerPlace, Local, Remote, StoreError};
use crate::platform::data::Dataset;
use crate::platform::model::StageSpec;
use crate::platform::run::StepSpec;
use crate::platform::train::ModelSpec;

/// The name of the project file.
pub const FILE: &str = "mlp.yaml";

/// An opened project.
pub struct Project {
    /// The git repository.
    pub repo: Repo,
    /// Folder of `mlp.yaml`; paths in it are relative to this.
    pub root: PathBuf,
    /// `mlp.yaml` of the work tree, checked: every reference in it exists. Its `stores` and `imports` also hold the user's
    /// own, last.
    pub manifest: Manifest,
    /// Names of the stores that only this user has: never the home of ledgers.
    pub own_stores: Vec<Name>,
    /// Where the secrets of this user come from.
    pub secrets: Secrets,
    /// The local store.
    pub store: Local,
}

/// Finds the project file in `dir` or above it, not above the root of the git repository.
/// Returns its folder (absolute) and the file as the user would name it.
pub(super) fn find(dir: &Path) -> Result<(PathBuf, PathBuf), ProjectError> {
    let start = dir.canonicalize().map_err(|source| ProjectError::Folder { path: dir.to_owned(), source })?;
    if !start.is_dir() {
        let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
        return Err(ProjectError::Folder { path: dir.to_owned(), source });
    }
    let mut shown = if dir == Path::new(".") { PathBuf::new() } else { dir.to_owned() };
    for folder in start.ancestors() {
        // A dangling link is an answer too: it is better reported than passed over.
        if folder.join(FILE).symlink_metadata().is_ok() {
            return Ok((folder.to_owned(), shown.join(FILE)));
        }
        if folder.join(".git").exists() {
            break;
        }
        shown.push("..");
    }
    Err(ProjectError::NoProject(start))
}

impl Project {
    /// The project that `dir` lies in.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let (root, shown) = find(dir)?;
        let mut manifest = Source::open(&root.join(FILE), &shown)?.manifest()?;
        let repo = Repo::discover(&root)?;
        let own = personal::add(&mut manifest, &repo.state_dir())?;
        let store = Local::open(&repo.state_dir().join("store"))?;
        Ok(Self { repo, root, manifest, own_stores: own.stores, secrets: own.secrets, store })
    }

    /// The manifest of the project that `dir` lies in, without opening repository or store.
    pub fn read(dir: &Path) -> Result<(PathBuf, Manifest), Failure> {
        let (root, shown) = find(dir)?;
        let manifest = Source::open(&root.join(FILE), &shown)?.manifest()?;
        Ok((root, manifest))
    }

    /// The manifest in some bytes that messages call `shown`.
    pub fn parse(bytes: Vec<u8>, shown: &Path) -> Result<Manifest, ProjectError> {
        Source::new(bytes, shown)?.manifest()
    }

    /// The project's identifier.
    pub fn id(&self) -> Id {
        self.manifest.project.id
    }

    /// The dataset `name`.
    pub fn dataset(&self, name: &str) -> Result<Dataset, ProjectError> {
        let (name, spec) = entry("dataset", name, &self.manifest.data)?;
        Ok(Dataset::new(name, spec, &self.root))
    }

    /// The model `name`.
    pub fn model(&self, name: &str) -> Result<&ModelSpec, ProjectError> {
        entry("model", name, &self.manifest.models).map(|(_, spec)| spec)
    }

    /// The step `name`.
    pub fn step(&self, name: &str) -> Result<&StepSpec, ProjectError> {
        entry("step", name, &self.manifest.steps).map(|(_, spec)| spec)
    }

    /// The stat cache of this work tree.
    pub fn cache(&self) -> StatCache {
        StatCache { path: self.repo.index_path() }
    }

    /// Which parts of datasets this work tree holds.
    pub fn sparse(&self) -> SparseFile {
        SparseFile::at(self.repo.index_path().with_file_name("sparse.json"))
    }

    /// Which checkouts of this work tree were cut off.
    pub fn unfinished(&self) -> Unfinished {
        Unfinished::at(self.repo.index_path().with_file_name("unfinished"))
    }

    /// Folder of the job folders: `<state>/jobs`.
    pub fn jobs(&self) -> PathBuf {
        self.repo.state_dir().join("jobs")
    }

    /// Stages in order with all their gates for `model`, or for all models, at `at`: those of the profile and those of the manifest.
    /// Judgements use [`Project::trusted`]'s, never the work tree's.
    pub fn stages(manifest: &Manifest, model: Option<&Name>, at: Time) -> IndexMap<Name, StageSpec> {
        profile::merged(manifest, model, at)
    }

    /// Gates of the manifest that ask for less than the profile's of the same name, without a waiver that
    /// holds at `at`. They do not count.
    pub fn loosened(manifest: &Manifest, at: Time) -> Vec<Loosening> {
        profile::loosened(manifest, at)
    }

    /// `mlp.yaml` and the signers as they stand on the trust branch.
    ///
    /// The branch's name is the work tree's; what is read there says for itself which signers it trusts.
    /// A branch without an `allowed_signers` file trusts nobody.
    pub fn trusted(&self) -> Result<(Manifest, Signers), Failure> {
        self.trusted_at(&self.repo.trust(&self.manifest.trust.branch)?)
    }

    /// The same, as they stood at the commit that `trust` names.
    pub fn trusted_at(&self, trust: &Trust) -> Result<(Manifest, Signers), Failure> {
        let path = self.in_repo(FILE);
        let Some(bytes) = self.repo.file_at(&trust.rev, &path)? else {
            return Err(ProjectError::NoTrust { rev: trust.name.clone(), path }.into());
        };
        let shown = PathBuf::from(format!("{}:{path}", trust.name));
        let manifest = Self::parse(bytes, &shown)?;
        let signers = self.repo.file_at(&trust.rev, &self.in_repo(&manifest.trust.signers))?;
        let signers = String::from_utf8_lossy(&signers.unwrap_or_default()).into_owned();
        Ok((manifest, Signers(signers)))
    }

    /// A path of the project, relative to the root of the repository, with `/` between its parts.
    pub fn in_repo(&self, path: &str) -> String {
        let root = self.repo.root().canonicalize().unwrap_or_else(|_| self.repo.root().to_owned());
        let folder = self.root.strip_prefix(&root).unwrap_or(Path::new(""));
        let mut parts: Vec<String> =
            folder.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        parts.push(path.to_owned());
        parts.join("/")
    }

    /// Where this project's ledgers live: its first store, or git refs if that store says so, or the local store.
    pub fn ledger_home(&self) -> Result<LedgerHome, Failure> {
        let cache = self.store.root().to_owned();
        if let Some((name, _)) =
            self.manifest.stores.iter().skip(1).find(|(_, spec)| spec.ledger == LedgerPlace::Git)
        {
            let detail = "`ledger: git` counts for the first store alone".to_owned();
            return Err(StoreError::Spec { store: name.to_string(), detail }.into());
        }
        match self.manifest.stores.first().filter(|(name, _)| !self.own_stores.contains(name)) {
            None => Ok(LedgerHome::Local(cache)),
            Some((name, spec)) if spec.ledger == LedgerPlace::Git => Ok(LedgerHome::Git {
                repo: self.repo.clone(),
                origin: self.repo.remote()?,
                store: Remote::open(name, spec)?,
                cache,
            }),
            Some((name, spec)) => Ok(LedgerHome::Remote { remote: Remote::open(name, spec)?, cache }),
        }
    }
}

/// An entry of the manifest by a name from the command line, or an error that names what is near.
pub(super) fn entry<'a, T>(
    kind: &'static str,
    name: &str,
    entries: &'a IndexMap<Name, T>,
) -> Result<(&'a Name, &'a T), ProjectError> {
    entries.get_key_value(name).ok_or_else(|| {
        let known = || entries.keys().map(Name::as_str);
        let hint = match nearest(name, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if entries.is_empty() => format!("`mlp.yaml` has no {kind} yet"),
            None => {
                format!("it has {}", known().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
            }
        };
        let name = name.chars().take(80).collect::<String>().escape_debug().to_string();
        ProjectError::Unknown { kind, name, hint }
    })
}
