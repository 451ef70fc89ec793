//! One git repository with a work tree: where things lie, who the user is, what other revisions say.

use std::path::{Path, PathBuf};

use git2::{ConfigLevel, ErrorClass, ErrorCode, Repository};

use super::GitError;

/// A git repository with a work tree.
///
/// Holds paths only and opens libgit2's object per question, so that it may be shared between threads.
#[derive(Clone, Debug)]
pub struct Repo {
    pub(super) root: PathBuf,
    git_dir: PathBuf,
    pub(super) common_dir: PathBuf,
}

/// Where gates, roles and signers are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The commit that the branch is at, in hexadecimal: what was judged by stays one thing while branches move.
    pub rev: String,
    /// The branch, for people: `origin/main`, or `main` where there is no remote.
    pub name: String,
    /// Whether it is only the local branch, because there is no remote.
    pub local_only: bool,
}

/// Whether git lets a branch have this name.
pub fn is_branch(name: &str) -> bool {
    !name.starts_with('-') && git2::Reference::is_valid_name(&format!("refs/heads/{name}"))
}

impl Repo {
    /// The repository that `dir` lies in; a linked work tree counts as one.
    pub fn discover(dir: &Path) -> Result<Self, GitError> {
        let found = Repository::discover(dir).map_err(|error| match error.code() {
            ErrorCode::NotFound => GitError::NotARepository(dir.to_owned()),
            _ => error.into(),
        })?;
        Self::of(&found)
    }

    /// Makes a repository in `dir` (branch `main`), or opens the one that is there.
    ///
    /// Only `dir` itself counts: a repository around it is not taken.
    pub fn init(dir: &Path) -> Result<Self, GitError> {
        match Repository::open(dir) {
            Ok(there) => Self::of(&there),
            Err(error) if error.code() == ErrorCode::NotFound => {
                let mut options = git2::RepositoryInitOptions::new();
                options.initial_head("main").external_template(false);
                Self::of(&Repository::init_opts(dir, &options)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn of(found: &Repository) -> Result<Self, GitError> {
        let workdir = found.workdir().ok_or_else(|| GitError::Bare(found.path().to_owned()))?;
        let absolute =
            |path: &Path| path.canonicalize().map_err(|source| GitError::Read { path: path.into(), source });
        Ok(Self {
            root: absolute(workdir)?,
            git_dir: absolute(found.path())?,
            common_dir: absolute(found.commondir())?,
        })
    }

    pub(super) fn open(&self) -> Result<Repository, GitError> {
        Ok(Repository::open(&self.root)?)
    }

    /// Root of the work tree, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `<git common dir>/mlp`: store, jobs, spool, tmp, trash; shared by all work trees, out of reach of `git clean`.
    pub fn state_dir(&self) -> PathBuf {
        self.common_dir.join("mlp")
    }

    /// `<work tree's git dir>/mlp/index`: the stat cache of this work tree.
    pub fn index_path(&self) -> PathBuf {
        self.git_dir.join("mlp").join("index")
    }

    /// `Name <email>`: from `GIT_AUTHOR_NAME` and `GIT_AUTHOR_EMAIL`, else git's configuration;
    /// `unknown <unknown@HOST>` if none is set.
    pub fn author(&self) -> String {
        let (name, email) = self.identity();
        format!("{name} <{email}>")
    }

    /// The email address of [`Repo::author`].
    pub fn email(&self) -> String {
        self.identity().1
    }

    pub(super) fn identity(&self) -> (String, String) {
        let ask = |variable: &str, key: &str| {
            std::env::var(variable).ok().or_else(|| self.config(key)).filter(|text| !text.trim().is_empty())
        };
        let host = || {
            let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
            if name.is_empty() { "localhost".to_owned() } else { name }
        };
        // Angle brackets and line ends would make another identity out of one.
        let clean = |text: String| text.replace(['<', '>', '\n', '\r', '\0'], "").trim().to_owned();
        (
            clean(ask("GIT_AUTHOR_NAME", "user.name").unwrap_or_else(|| "unknown".to_owned())),
            clean(ask("GIT_AUTHOR_EMAIL", "user.email").unwrap_or_else(|| format!("unknown@{}", host()))),
        )
    }

    /// The value of `key` in git's configuration, from the same files as git reads (`GIT_CONFIG_GLOBAL` included).
    pub fn config(&self, key: &str) -> Option<String> {
        let read = || -> Result<String, git2::Error> {
            let repository = Repository::open(&self.root)?;
            let Some(global) = std::env::var_os("GIT_CONFIG_GLOBAL") else {
                return repository.config()?.snapshot()?.get_string(key);
            };
            // libgit2 does not look at the variable unless it takes all of git's environment, `GIT_DIR` included.
            let mut config = git2::Config::new()?;
            config.add_file(&self.common_dir.join("config"), ConfigLevel::Local, false)?;
            if Path::new(&global).is_file() {
                config.add_file(Path::new(&global), ConfigLevel::Global, false)?;
            }
            if std::env::var_os("GIT_CONFIG_NOSYSTEM").is_none()
                && let Ok(system) = git2::Config::find_system()
            {
                config.add_file(&system, ConfigLevel::System, false)?;
            }
            config.snapshot()?.get_string(key)
        };
        read().ok()
    }

    /// Where trust is read from: `origin/<branch>`, or the local branch where there is no remote.
    pub fn trust(&self, branch: &str) -> Result<Trust, GitError> {
        let repository = self.open()?;
        let local_only = repository.remotes()?.is_empty();
        let (name, reference) = if local_only {
            (branch.to_owned(), format!("refs/heads/{branch}"))
        } else {
            (format!("origin/{branch}"), format!("refs/remotes/origin/{branch}"))
        };
        match repository.find_reference(&reference) {
            Ok(found) => {
                let rev = found.peel_to_commit()?.id().to_string();
                Ok(Trust { rev, name, local_only })
            }
            Err(error) if matches!(error.code(), ErrorCode::NotFound | ErrorCode::InvalidSpec) => {
                Err(self.no_trust_branch(&repository, branch, name, local_only))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn no_trust_branch(&self, repository: &Repository, branch: &str, name: String, local: bool) -> GitError {
        let current = repository.head().ok().and_then(|head| head.shorthand().ok().map(str::to_owned));
        let (why, fix) = match current {
            None => {
                let unborn = repository.find_reference("HEAD").ok();
                let target = unborn.as_ref().and_then(|head| head.symbolic_target().ok().flatten());
                let switch = match target.and_then(|target| target.strip_prefix("refs/heads/")) {
                    Some(other) if other != branch => format!("git switch -c {branch}; "),
                    _ => String::new(),
                };
                let push = if local { String::new() } else { format!(" && git push -u origin {branch}") };
                let fix = format!("{switch}git add -A && git commit -m \"Begin\"{push}");
                ("nothing is committed yet".to_owned(), fix)
            }
            Some(current) if local => (
                format!("this repository is on `{current}`"),
                format!(
                    "name the branch (`trust: {{branch: {current}}}` in mlp.yaml) or rename it (`git branch -m {branch}`)"
                ),
            ),
            Some(_) => (
                "the remote is configured but the branch was never pushed or fetched".to_owned(),
                format!("git push -u origin {branch}, or git fetch origin"),
            ),
        };
        GitError::NoTrustBranch { name, why, fix }
    }

    /// The bytes of `path` (relative to the root, `/`-separated) at `rev`, or none if the revision has no such file.
    pub fn file_at(&self, rev: &str, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        let repository = self.open()?;
        let found = repository.revparse_single(rev).and_then(|found| found.peel_to_tree());
        let tree = found.map_err(|error| match error.class() {
            ErrorClass::Os | ErrorClass::Odb | ErrorClass::Zlib => error.into(),
            _ => GitError::NoRevision(rev.escape_debug().to_string()),
        })?;
        let entry = match tree.get_path(Path::new(path)) {
            Ok(entry) => entry,
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(entry.to_object(&repository)?.as_blob().map(|blob| blob.content().to_owned()))
    }

    /// The author of a commit, as `Name <email>`; none if the commit is not here.
    pub fn commit_author(&self, commit: &str) -> Result<Option<String>, GitError> {
        let repository = self.open()?;
        let Ok(id) = git2::Oid::from_str(commit) else { return Ok(None) };
        match repository.find_commit(id) {
            Ok(found) => {
                let author = found.author();
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                Ok(Some(format!("{} <{}>", text(author.name_bytes()), text(author.email_bytes()))))
            }
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
