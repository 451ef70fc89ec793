//! A command that is stopped at each of its fault points in turn, from the same beginning each time; two people and a store
//! to do it to. The points are those of `src/infrastructure/durable/fault.rs`.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::files::{Files, noise, write};
use super::{mlp, ok};

/// A command with the folder that it finds each time.
pub(crate) struct Case {
    root: PathBuf,
    saved: TempDir,
    dir: PathBuf,
    args: Vec<String>,
}

/// A case and what must hold after it, told whether the command had said that all is well.
pub(crate) type Checked<'a> = (&'a Case, &'a dyn Fn(&str, bool));

/// One line of the journal of a command.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) point: String,
    pub(crate) path: PathBuf,
    /// The new name, of a rename or link.
    pub(crate) to: PathBuf,
    /// What the file held, of the sync of a file.
    pub(crate) bytes: Option<Vec<u8>>,
}

impl Case {
    /// The command `args` in `dir`; everything that it changes lies below `root`, which is kept as it is now.
    pub(crate) fn new(root: &Path, dir: &Path, args: &[&str]) -> Self {
        let case = Self {
            root: root.to_owned(),
            saved: scratch(),
            dir: dir.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        };
        copy(&case.root, &case.saved.path().join("root"));
        case
    }

    /// Makes everything as it was.
    pub(crate) fn restore(&self) {
        for entry in fs::read_dir(&self.root).expect("lists").flatten() {
            let path = entry.path();
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.expect("removes");
        }
        copy(&self.saved.path().join("root/."), &self.root);
    }

    /// The command, to be started.
    pub(crate) fn command(&self) -> Command {
        let mut command = mlp(&self.dir);
        command.args(&self.args);
        command
    }

    /// Runs the command with the faults `MLP_FAULT`.
    pub(crate) fn run(&self, faults: &str) -> Output {
        // One thread: the same points in the same order each time.
        self.command().env("MLP_FAULT", faults).env("RAYON_NUM_THREADS", "1").output().expect("starts")
    }

    /// Runs the command undisturbed, which must succeed.
    pub(crate) fn ok(&self) {
        ok(&self.dir, &self.args.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// The points of `point` (`any`: of all) that a whole run passes, as it begins from here.
    pub(crate) fn points(&self, point: &str) -> u64 {
        self.restore();
        let (output, steps) = self.journal("");
        assert!(output.status.success(), "{:?}: {}", self.args, String::from_utf8_lossy(&output.stderr));
        steps.iter().filter(|step| point == "any" || step.point == point).count() as u64
    }

    /// Runs the command, after the faults `before` (which end with a comma), and tells what it did.
    pub(crate) fn journal(&self, before: &str) -> (Output, Vec<Step>) {
        let folder = tempfile::tempdir().expect("makes a folder");
        let output = self.run(&format!("{before}journal:{}", folder.path().display()));
        let text = fs::read_to_string(folder.path().join("journal")).unwrap_or_default();
        let step = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [point, path, to, copy] = fields.as_slice() else { panic!("{line}") };
            let bytes =
                (!copy.is_empty()).then(|| fs::read(folder.path().join(copy)).expect("reads the copy"));
            Step { point: (*point).to_owned(), path: path.into(), to: to.into(), bytes }
        };
        (output, text.lines().map(step).collect())
    }

    /// Kills the command at every one of its points and calls `check` after each; returns how many there were.
    pub(crate) fn killed_everywhere(&self, check: impl Fn(&str)) -> u64 {
        let points = self.points("any");
        for number in 1..=points {
            self.restore();
            let output = self.run(&format!("any:{number}:kill"));
            // Folders are made where a random name needs one: a run may pass a point or two less than another.
            let came_to_its_end = output.status.success() && number + 2 >= points;
            let killed = output.status.signal() == Some(9);
            assert!(killed || came_to_its_end, "{:?} at {number} of {points}: {output:?}", self.args);
            check(&format!("{:?}, killed at point {number} of {points}", self.args));
        }
        points
    }

    /// Fails each pass of `point` with `error`; `check` gets a description, and whether the command said that all is well.
    pub(crate) fn failed_everywhere(&self, point: &str, error: &str, check: impl Fn(&str, bool)) -> u64 {
        let points = self.points(point);
        for number in 1..=points {
            self.restore();
            let output = self.run(&format!("{point}:{number}:{error}"));
            let said = String::from_utf8_lossy(&output.stderr);
            let what = format!("{:?}, {error} at {point} {number} of {points}", self.args);
            match output.status.code() {
                Some(0) => {}
                Some(3) => assert!(said.contains("help:") || said.contains("error["), "{what}: {said}"),
                code => panic!("{what}: exit {code:?}: {said}"),
            }
            check(&what, output.status.success());
        }
        points
    }
}

/// A folder in memory, where there is such a thing: hundreds of runs wait for no disk.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("makes a folder")
}

/// Copies a folder with times and modes.
pub(crate) fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp starts");
    assert!(status.success(), "cp {} {}", from.display(), to.display());
}

/// Two people and a store in a folder beside them.
pub(crate) struct Team {
    folder: TempDir,
    mounts: Vec<PathBuf>,
}

impl Drop for Team {
    fn drop(&mut self) {
        for mount in self.mounts.iter().rev() {
            let _ = Command::new("umount").arg("-l").arg(mount).status();
        }
    }
}

impl Team {
    /// Ada's project with the first version of a dataset on disk; nothing is added yet.
    pub(crate) fn new() -> Self {
        Self { folder: scratch(), mounts: Vec::new() }.begin()
    }

    /// As [`Team::new`], on a disk.
    pub(crate) fn on_disk() -> Self {
        Self { folder: tempfile::tempdir().expect("makes a folder"), mounts: Vec::new() }.begin()
    }

    /// As [`Team::new`], all on a disk of so many MiB; none where this user may not mount one.
    pub(crate) fn on_small_disk(mib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().to_owned();
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then(|| Self { folder, mounts: vec![path] }.begin())
    }

    /// As [`Team::new`], all on a file system whose files can share blocks (XFS); none where this user may not mount one.
    pub(crate) fn on_sharing_disk() -> Option<Self> {
        let folder = tempfile::tempdir().expect("makes a folder");
        let image = tempfile::NamedTempFile::new().expect("makes an image");
        image.as_file().set_len(512 << 20).expect("a sparse file");
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        let done = |program: &str, args: &[&Path]| {
            let output = Command::new(program).env("PATH", &path).args(args).output();
            output.unwrap_or_else(|error| panic!("{program}: {error}")).status.success()
        };
        assert!(done("mkfs.xfs", &["-q".as_ref(), image.path()]), "mkfs.xfs");
        // The mount keeps the image when its name is gone.
        done("mount", &["-o".as_ref(), "loop".as_ref(), image.path(), folder.path()]).then(|| {
            let mounts = vec![folder.path().to_owned()];
            Self { folder, mounts }.begin()
        })
    }

    /// Makes a folder read-only until the team is gone, for the superuser as well.
    pub(crate) fn read_only(&mut self, path: &Path) {
        let mount = |args: &[&str]| {
            let output = Command::new("mount").args(args).arg(path).output().expect("mount starts");
            output.status.success()
        };
        let shown = path.display().to_string();
        if mount(&["--bind", &shown]) && mount(&["-o", "remount,ro,bind"]) {
            self.mounts.push(path.to_owned());
        } else {
            let status = Command::new("chmod").args(["-R", "a-w"]).arg(path).status();
            assert!(status.is_ok_and(|status| status.success()) && modes_bind(), "cannot make it read-only");
        }
    }

    fn begin(self) -> Self {
        let team = self;
        let ada = team.dir("ada");
        write(&ada.join("data/set"), &version(1));
        let manifest = format!(
            "mlp: 1\nproject: {{name: team, id: 01jd3q0000000000000000000c}}\n\
             stores:\n  origin: {{url: \"fs://{}\"}}\ndata:\n  set: {{path: data/set, format: images}}\n",
            team.dir("far").display()
        );
        fs::write(ada.join("mlp.yaml"), manifest).expect("writes");
        fs::write(ada.join(".gitignore"), "/.test-gitconfig\n/.xdg-config/\n/data/*\n!/data/*.mlp\n")
            .expect("writes");
        git(&ada, &["init", "-q", "--template=", "-b", "main"]);
        git(&ada, &["add", "-A"]);
        git(&ada, &["commit", "-qm", "Begin"]);
        team
    }

    /// As [`Team::new`], with these versions added and committed, one after the other.
    pub(crate) fn with_versions(last: u32) -> Self {
        let team = Self::new();
        (1..=last).for_each(|number| team.add(number));
        team
    }

    /// Adds and commits a version; `HEAD` is tagged `v<number>`.
    pub(crate) fn add(&self, number: u32) {
        let ada = self.dir("ada");
        put(&ada.join("data/set"), &version(number));
        ok(&ada, &["data", "add", "set"]);
        git(&ada, &["add", "data/set.mlp"]);
        git(&ada, &["commit", "-qm", "version"]);
        git(&ada, &["tag", &format!("v{number}")]);
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A clone of Ada's repository at a version, without data.
    pub(crate) fn clone_as(&self, name: &str, revision: &str) -> PathBuf {
        git(self.root(), &["clone", "-q", "--template=", "ada", name]);
        git(&self.dir(name), &["checkout", "-q", "--detach", revision]);
        self.dir(name)
    }

    /// Another work tree of Ada's repository, which shares her store.
    pub(crate) fn tree_as(&self, name: &str, revision: &str) -> PathBuf {
        let path = self.dir(name);
        git(&self.dir("ada"), &["worktree", "add", "-q", "--detach", &path.display().to_string(), revision]);
        path
    }
}

/// Whether modes bind this user.
fn modes_bind() -> bool {
    !rustix::process::geteuid().is_root()
}

/// Makes a folder hold these files and no others.
fn put(folder: &Path, files: &Files) {
    let _ = fs::remove_dir_all(folder);
    write(folder, files);
}

/// A version of the dataset: files that stay, files that change, a file that is long enough to be cut.
pub(crate) fn version(number: u32) -> Files {
    let mut files = Files::new();
    for at in 0..4 {
        files.insert(format!("same/{at}.bin").into(), noise(&format!("same {at}"), 500));
        files.insert(format!("new/{at}.bin").into(), noise(&format!("new {number} {at}"), 500));
    }
    let mut long = noise("long", 1 << 20);
    long.extend(noise(&format!("end of {number}"), 200_000));
    files.insert("long.bin".into(), long);
    files
}

pub(crate) fn git(dir: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    let output = Command::new("git")
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .args(identity)
        .args(args)
        .output()
        .expect("git starts");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
