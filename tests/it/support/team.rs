//! People who work on one project: a bare git repository, a store, and clones that are set up.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::{mlp, ok};

/// A project's identifier.
pub(crate) const ID: &str = "01jd3q0000000000000000000e";

/// The folder that holds all of it: `origin.git`, `far` (the store), and a clone per person.
pub(crate) struct Team {
    folder: TempDir,
}

/// `length` bytes that depend on `seed` and do not compress.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

impl Team {
    /// Ada's clone with `mlp.yaml` and the files of the dataset `set`, pushed to git and to the store; `attributes` says
    /// whether pointers are merged by mlp.
    pub(crate) fn new(attributes: bool, files: &[(&str, u64)]) -> Self {
        let team = Self::empty();
        let stores = format!("  origin: {{url: \"fs://{}\"}}\n", team.dir("far").display());
        team.begin(&stores, attributes, files);
        team
    }

    /// Nothing but the folder and the bare repository.
    pub(crate) fn empty() -> Self {
        let team = Self { folder: tempfile::tempdir().expect("makes a folder") };
        let made = Command::new("git")
            .args(["init", "-q", "--bare", "-b", "main"])
            .arg(team.dir("origin.git"))
            .status();
        assert!(made.expect("git starts").success());
        team
    }

    /// Ada's clone, as [`Team::new`] makes it, with these entries of `stores:`.
    pub(crate) fn begin(&self, stores: &str, attributes: bool, files: &[(&str, u64)]) {
        let ada = self.clone_as("ada");
        let manifest = format!(
            "mlp: 1\nproject: {{name: team, id: {ID}}}\nstores:\n{stores}data:\n  set: {{path: data/set, format: images}}\n"
        );
        fs::write(ada.join("mlp.yaml"), manifest).expect("writes");
        let merge = if attributes { " merge=mlp" } else { "" };
        fs::write(ada.join(".gitattributes"), format!("*.mlp text eol=lf{merge}\n")).expect("writes");
        write(&ada, files);
        ok(&ada, &["data", "add", "set"]);
        git(&ada, &["add", "mlp.yaml", ".gitattributes", "data"]);
        git(&ada, &["commit", "-qm", "Begin"]);
        git(&ada, &["push", "-q", "-u", "origin", "main"]);
    }

    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A clone of the bare repository.
    pub(crate) fn clone_as(&self, name: &str) -> PathBuf {
        let dir = self.dir(name);
        let made = Command::new("git").args(["clone", "-q"]).arg(self.dir("origin.git")).arg(&dir).output();
        assert!(made.expect("git starts").status.success());
        fs::write(dir.join(".git/info/exclude"), ".test-gitconfig\n.xdg-config\n").expect("writes");
        dir
    }

    /// A clone with the data, set up for merges.
    pub(crate) fn colleague(&self, name: &str) -> PathBuf {
        let dir = self.clone_as(name);
        ok(&dir, &["hook", "install"]);
        ok(&dir, &["data", "pull"]);
        dir
    }
}

/// Writes files below `data/set`, each with its content of 100 bytes.
pub(crate) fn write(clone: &Path, files: &[(&str, u64)]) {
    for (path, seed) in files {
        let path = clone.join("data/set").join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("makes the folder");
        fs::write(path, noise(*seed, 100)).expect("writes");
    }
}

/// Changes the dataset `set` and commits it; the data go to the store too.
pub(crate) fn change(clone: &Path, files: &[(&str, u64)], removed: &[&str]) {
    write(clone, files);
    for path in removed {
        fs::remove_file(clone.join("data/set").join(path)).expect("removes");
    }
    ok(clone, &["data", "add", "set"]);
    git(clone, &["commit", "-qam", "change"]);
    ok(clone, &["data", "push"]);
}

/// Git's answer in a clone, with the program under test in its PATH.
pub(crate) fn try_git(dir: &Path, args: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_mlp")).parent().expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let environment = mlp(dir);
    let mut command = Command::new("git");
    for (key, value) in environment.get_envs() {
        if let Some(value) = value {
            command.env(key, value);
        }
    }
    command
        .current_dir(dir)
        .env("PATH", format!("{}:{path}", program.display()))
        .args(args)
        .output()
        .expect("git starts")
}

/// As [`try_git`], which must succeed; what it wrote to its standard output.
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let output = try_git(dir, args);
    assert!(output.status.success(), "git {args:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
