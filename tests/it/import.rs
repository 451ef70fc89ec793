//! `mlp import dvc|lfs`, `mlp export dvc`, `mlp data import`.
//!
//! What DVC wrote stands here as DVC 2.58.2 and 3.67.1 wrote it for the same five files and one program; git-lfs is the real one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::faulted::Case;
use crate::support::files::{self, Files};
use crate::support::http_server::{Reply, Server};
use crate::support::{ok, refused, run};

/// The data, whatever versions them.
const IMAGES: [(&str, &[u8]); 5] = [
    ("a/1.png", b"img 1\n"),
    ("a/2.png", b"img 2\n"),
    ("a/3.png", b"img 3\n"),
    ("b/crlf.txt", b"one\r\ntwo\r\n"),
    ("b/\u{fc} x.txt", "\u{fc}".as_bytes()),
];
const TOOL: &[u8] = b"#!/bin/sh\r\necho hi\r\n";

/// What a version of DVC made of them.
struct Dvc {
    /// Where its remote keeps objects.
    top: &'static str,
    listing: &'static str,
    /// MD5 of the images as DVC sees them, in order, of the program and of the model.
    md5: [&'static str; 7],
    /// `hash: md5`, if it writes that.
    mark: &'static str,
}

const DVC2: Dvc = Dvc {
    top: "",
    listing: "35d9ba9b85e63cab924670629994610f.dir",
    md5: [
        "2c20bb74c60c990558b529c73f1f7e4a",
        "c5e4af991804cbadeb8ed448aeea95b5",
        "3b81ca1490dcae5f98be0813e1bfab82",
        "2094b601daac3d68f5aed51d3c20f7cd",
        "c03410a5204b21cd8229ff754688d743",
        "46bbbe8aa98cc0714426e948474eaaf4",
        "693ab335daa7cea0a8ab291a40e29e3e",
    ],
    mark: "",
};

const DVC3: Dvc = Dvc {
    top: "files/md5/",
    listing: "8460792711c190139039a06f4b20a939.dir",
    md5: [
        "2c20bb74c60c990558b529c73f1f7e4a",
        "c5e4af991804cbadeb8ed448aeea95b5",
        "3b81ca1490dcae5f98be0813e1bfab82",
        "4e03dd5f05f68ca4f8941fd80c63e0b2",
        "c03410a5204b21cd8229ff754688d743",
        "d630b700b935323438a4804c51e8cc04",
        "693ab335daa7cea0a8ab291a40e29e3e",
    ],
    mark: "  hash: md5\n",
};

impl Dvc {
    fn key(&self, md5: &str) -> String {
        format!("{}{}/{}", self.top, &md5[..2], &md5[2..])
    }

    /// The objects of its remote.
    fn objects(&self) -> Files {
        let contents = IMAGES.iter().map(|(_, bytes)| *bytes).chain([TOOL, b"20 data/tool.sh\n"]);
        let mut objects: Files = self
            .md5
            .iter()
            .zip(contents)
            .map(|(md5, bytes)| (self.key(md5).into(), bytes.to_vec()))
            .collect();
        let entry = |(path, md5): (&str, &&str)| format!(r#"{{"md5": "{md5}", "relpath": "{path}"}}"#);
        let paths = IMAGES.iter().map(|(path, _)| path.replace('\u{fc}', "\\u00fc")).collect::<Vec<_>>();
        let entries: Vec<String> = paths.iter().map(String::as_str).zip(&self.md5).map(entry).collect();
        objects.insert(self.key(self.listing).into(), format!("[{}]", entries.join(", ")).into_bytes());
        objects
    }

    fn images_file(&self) -> String {
        let Self { listing, mark, .. } = self;
        format!("outs:\n- md5: {listing}\n  size: 30\n  nfiles: 5\n{mark}  path: img\n")
    }

    fn tool_file(&self) -> String {
        format!("outs:\n- md5: {}\n  size: 20\n  isexec: true\n{}  path: tool.sh\n", self.md5[5], self.mark)
    }
}

struct World {
    folder: TempDir,
}

impl World {
    /// A DVC repository `repo` whose remote is at `url`, committed; the remote is the folder `remote`.
    fn new(dvc: &Dvc, url: &str) -> Self {
        let world = Self { folder: tempfile::tempdir().expect("makes a folder") };
        files::write(&world.dir("remote"), &dvc.objects());
        let repo = world.dir("repo");
        let lock = format!(
            "schema: '2.0'\nstages:\n  count:\n    cmd: wc -c data/tool.sh > n.txt\n    outs:\n    - path: n.txt\n      md5: {}\n      size: 16\n{}",
            dvc.md5[6],
            dvc.mark.replace("  ", "      ")
        );
        let stages = "stages:\n  count:\n    cmd: wc -c data/tool.sh > n.txt\n    deps: [data/tool.sh]\n    outs: [n.txt]\n\
                      \x20 fit:\n    foreach: ${sizes}\n    do:\n      cmd: echo ${lr} ${item} > m${item}.txt\n      params: [lr]\n      outs: [\"m${item}.txt\"]\n\
                      \x20 odd:\n    cmd: echo ${nothing}\n";
        for (path, text) in [
            (".dvc/config", format!("[core]\n    remote = origin\n['remote \"origin\"']\n    url = {url}\n")),
            (".dvc/.gitignore", "/config.local\n/tmp\n/cache\n".to_owned()),
            ("data/img.dvc", dvc.images_file()),
            ("data/tool.sh.dvc", dvc.tool_file()),
            ("data/.gitignore", "/img\n/tool.sh\n".to_owned()),
            (".gitignore", "/n.txt\n.test-gitconfig\n.xdg-config\n".to_owned()),
            ("params.yaml", "lr: 0.1\nsizes: [1, 2]\n".to_owned()),
            ("dvc.yaml", stages.to_owned()),
            ("dvc.lock", lock),
        ] {
            let path = repo.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
            fs::write(path, text).expect("writes");
        }
        git(&repo, &["init", "-q", "-b", "main"]);
        git(&repo, &["add", "-A"]);
        git(&repo, &["commit", "-qm", "Begin with DVC"]);
        world
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn clone_as(&self, name: &str) -> PathBuf {
        let dir = self.dir(name);
        let made = Command::new("git").args(["clone", "-q"]).arg(self.dir("repo")).arg(&dir).status();
        assert!(made.expect("git starts").success());
        dir
    }
}

fn git(dir: &Path, args: &[&str]) -> String {
    let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    let output = Command::new("git").current_dir(dir).args(identity).args(args).output().expect("git starts");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(dir: &Path, args: &[&str], code: i32) -> Value {
    let output = run(dir, &[args, &["--json"]].concat(), code);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(text.lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn images() -> Files {
    IMAGES.iter().map(|(path, bytes)| (PathBuf::from(path), bytes.to_vec())).collect()
}

/// The images and the program are what they were.
fn whole(dir: &Path) {
    files::same(&files::read(&dir.join("data/img")), &images(), "the images");
    assert_eq!(fs::read(dir.join("data/tool.sh")).expect("reads"), TOOL);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(dir.join("data/tool.sh")).expect("is there").permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{mode:o}");
    }
}

fn states(told: &Value) -> Vec<String> {
    let lines = told["outputs"].as_array().expect("a list");
    lines.iter().map(|line| format!("{} {}", line["path"], line["state"]).replace('"', "")).collect()
}

#[test]
fn a_dvc_repository_is_taken_over_by_name_and_fetched_when_needed() {
    for dvc in [DVC2, DVC3] {
        let world = World::new(&dvc, "../../remote");
        let repo = world.dir("repo");
        let before = git(&repo, &["status", "--porcelain"]);
        // One stage cannot be a step: that is said, and the rest is done.
        let told = json(&repo, &["import", "dvc", "--dry-run"], 1);
        assert_eq!(git(&repo, &["status", "--porcelain"]), before, "a dry run writes nothing");
        assert_eq!(states(&told), ["data/img new", "data/tool.sh new", "n.txt new"]);
        let told = json(&repo, &["import", "dvc"], 1);
        assert_eq!(told["failed"][0]["stage"], "odd");
        let steps: Vec<_> = told["steps"].as_object().expect("a map").keys().collect();
        assert_eq!(steps, ["count", "fit-1", "fit-2"]);
        ok(&repo, &["check"]);
        let status = ok(&repo, &["data", "status"]);
        assert!(status.contains("imported, not fetched"), "{status}");
        assert!(ok(&repo, &["data", "ls"]).contains("imported"));
        // Nothing has been read: the remote need not even be there.
        git(&repo, &["add", "-A"]);
        git(&repo, &["commit", "-qm", "Take over"]);
        let clone = world.clone_as("clone");
        let hint = refused(&clone, &["data", "diff", "data/img"], 1);
        assert!(hint.contains("data::unfetched") && hint.contains("mlp data pull data/img"), "{hint}");
        // One file of an older commit, without touching the work tree.
        ok(&clone, &["data", "get", "data/img/b/crlf.txt@HEAD", "-o", "one.txt"]);
        assert_eq!(fs::read(clone.join("one.txt")).expect("reads"), b"one\r\ntwo\r\n");
        ok(&clone, &["data", "pull"]);
        whole(&clone);
        let pointer = fs::read_to_string(clone.join("data/img.mlp")).expect("reads");
        assert!(pointer.contains("kind: tree") && pointer.contains("b3:"), "{pointer}");
        assert_eq!(states(&json(&clone, &["import", "dvc"], 1))[0], "data/img stored");
        // A version of mlp's own now, also where the pointer of an older commit is asked.
        fs::remove_dir_all(world.dir("remote")).expect("goes");
        ok(&clone, &["data", "export", "data/img@HEAD", "out"]);
        files::same(&files::read(&clone.join("out")), &images(), "the older version");
        ok(&clone, &["store", "gc", "--yes"]);
        ok(&clone, &["store", "fsck", "--full"]);
        // What is still with DVC keeps nobody from collecting or pushing.
        ok(&repo, &["store", "gc", "--yes"]);
        fs::write(repo.join("mlp.yaml"), {
            let text = fs::read_to_string(repo.join("mlp.yaml")).expect("reads");
            format!("{text}stores:\n  far: {{url: \"fs://{}\"}}\n", world.dir("far").display())
        })
        .expect("writes");
        let output = run(&repo, &["data", "push"], 0);
        assert!(String::from_utf8_lossy(&output.stderr).contains("left out"));
    }
}

#[test]
fn all_at_once_from_the_cache_and_nothing_of_dvc_is_left() {
    let world = World::new(&DVC3, "../../nowhere");
    let repo = world.dir("repo");
    files::write(&repo.join(".dvc/cache"), &DVC3.objects());
    let yaml = fs::read_to_string(repo.join("dvc.yaml")).expect("reads");
    fs::write(repo.join("dvc.yaml"), yaml.replace("${nothing}", "something")).expect("writes");
    let told = json(&repo, &["import", "dvc", "--full", "--finish"], 0);
    assert_eq!(states(&told), ["data/img stored", "data/tool.sh stored", "n.txt stored"]);
    for file in ["data/img.dvc", "data/tool.sh.dvc", "dvc.lock", "dvc.yaml"] {
        assert!(!repo.join(file).exists(), "{file}");
    }
    ok(&repo, &["data", "checkout"]);
    whole(&repo);
    let text = fs::read_to_string(repo.join("mlp.yaml")).expect("reads");
    assert!(text.contains("steps:\n  count:\n    run: \"wc -c data/tool.sh > n.txt\""), "{text}");
    // The stage is a step, which runs.
    ok(&repo, &["run", "count"]);
    assert_eq!(fs::read(repo.join("n.txt")).expect("reads"), b"20 data/tool.sh\n");
}

#[test]
fn what_a_dvc_remote_has_damaged_or_lost_is_named_and_not_taken() {
    let world = World::new(&DVC3, "../../remote");
    let repo = world.dir("repo");
    run(&repo, &["import", "dvc"], 1);
    let object = world.dir("remote").join(DVC3.key(DVC3.md5[1]));
    fs::write(&object, "img X\n").expect("damages");
    let error = refused(&repo, &["data", "pull", "data/img"], 2);
    assert!(error.contains(DVC3.md5[1]) && error.contains("other bytes"), "{error}");
    fs::remove_file(&object).expect("loses");
    let error = refused(&repo, &["data", "pull", "data/img"], 1);
    assert!(
        error.contains("data::not-there") && error.contains(DVC3.md5[1]) && error.contains("origin"),
        "{error}"
    );
    assert!(!repo.join("data/img").exists());
    assert!(fs::read_to_string(repo.join("data/img.mlp")).expect("reads").contains("kind: foreign"));
    fs::write(&object, "img 2\n").expect("mends");
    ok(&repo, &["data", "pull"]);
    whole(&repo);
}

#[test]
fn a_listing_that_leads_out_is_refused() {
    for path in ["../out", "/tmp/out", ".git/hooks/x", "a/../../out"] {
        let world = World::new(&DVC3, "../../remote");
        let repo = world.dir("repo");
        let listing = format!(r#"[{{"md5": "{}", "relpath": "{path}"}}]"#, DVC3.md5[0]);
        let md5 = sum("md5sum", listing.as_bytes());
        let object = world.dir("remote").join(DVC3.key(&format!("{md5}.dir")));
        fs::create_dir_all(object.parent().expect("a folder")).expect("makes");
        fs::write(object, listing).expect("writes");
        let file = format!("outs:\n- md5: {md5}.dir\n  hash: md5\n  path: img\n");
        fs::write(repo.join("data/img.dvc"), file).expect("writes");
        run(&repo, &["import", "dvc"], 1);
        let error = refused(&repo, &["data", "pull", "data/img"], 2);
        assert!(error.contains("lead out"), "{path}: {error}");
        assert!(!world.dir("out").exists() && !repo.join("out").exists());
    }
}

#[test]
fn a_dvc_remote_on_the_web_is_read_through() {
    let objects = DVC3.objects();
    let server = Server::start(move |request| {
        let path = request.path.trim_start_matches("/store/");
        match objects.get(Path::new(path)) {
            Some(bytes) => Reply::ranged(request, bytes),
            None => Reply::new(404, ""),
        }
    });
    let world = World::new(&DVC3, &server.url("store"));
    let repo = world.dir("repo");
    run(&repo, &["import", "dvc"], 1);
    ok(&repo, &["data", "pull"]);
    whole(&repo);
}

#[test]
fn what_is_exported_is_what_dvc_itself_wrote() {
    let world = World::new(&DVC3, "../../remote");
    let repo = world.dir("repo");
    run(&repo, &["import", "dvc", "--full"], 1);
    let own = world.dir("own");
    ok(world.folder.path(), &["init", "own", "--template", "empty"]);
    ok(&own, &["data", "import", "--repo", &fs_repo(&world), "data/img"]);
    ok(&own, &["data", "import", "--repo", &fs_repo(&world), "data/tool.sh"]);
    ok(&own, &["export", "dvc"]);
    assert_eq!(fs::read_to_string(own.join("data/img.dvc")).expect("reads"), DVC3.images_file());
    assert_eq!(fs::read_to_string(own.join("data/tool.sh.dvc")).expect("reads"), DVC3.tool_file());
    let mut wanted = DVC3.objects();
    wanted.remove(Path::new(&DVC3.key(DVC3.md5[6])));
    files::same(&files::read(&own.join(".dvc/cache")), &wanted, "the objects");
    let again = json(&own, &["export", "dvc"], 0);
    assert_eq!(again["datasets"][0]["objects"], 0);
    // And back again.
    fs::remove_file(own.join("data/img.mlp")).expect("removes");
    git(&own, &["add", "-A"]);
    // A pointer that names no DVC version is left alone, which is said.
    let told = json(&own, &["import", "dvc", "--full"], 1);
    assert!(states(&told).contains(&"data/img stored".to_owned()), "{told}");
}

/// The DVC repository as a project whose data are on a store that others can read; committed.
fn fs_repo(world: &World) -> String {
    let repo = world.dir("repo");
    let text = fs::read_to_string(repo.join("mlp.yaml")).expect("reads");
    if !text.contains("\nstores:") {
        let stores = format!("{text}stores:\n  far: {{url: \"fs://{}\"}}\n", world.dir("far").display());
        fs::write(repo.join("mlp.yaml"), stores).expect("writes");
        ok(&repo, &["data", "push"]);
        git(&repo, &["add", "-A"]);
        git(&repo, &["commit", "-qm", "Share"]);
    }
    repo.to_string_lossy().into_owned()
}

/// What a program of the system prints first for these bytes.
fn sum(program: &str, bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().expect("makes a file");
    fs::write(file.path(), bytes).expect("writes");
    let output = Command::new(program).arg(file.path()).output().expect("starts");
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn files_of_git_lfs_become_a_dataset() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let repo = folder.path().join("repo");
    fs::create_dir_all(repo.join("d/s")).expect("makes");
    git(&repo, &["init", "-q", "-b", "main"]);
    git(&repo, &["lfs", "install", "--local"]);
    git(&repo, &["lfs", "track", "*.bin"]);
    let long = files::noise("long", 300_000);
    for (path, bytes) in [("d/a.bin", &long[..]), ("d/s/b.bin", b"x"), ("d/readme.txt", b"words\n")] {
        fs::write(repo.join(path), bytes).expect("writes");
    }
    git(&repo, &["add", "-A"]);
    git(&repo, &["commit", "-qm", "Begin"]);
    let wanted = files::read(&repo.join("d"));
    // A clone that did not get the files has pointers in their place.
    let clone = folder.path().join("clone");
    let mut command = Command::new("git");
    let made = command.args(["clone", "-q"]).arg(&repo).arg(&clone).env("GIT_LFS_SKIP_SMUDGE", "1").status();
    assert!(made.expect("git starts").success());
    ok(&clone, &["init", ".", "--template", "empty"]);
    let error = refused(&clone, &["import", "lfs", "d"], 1);
    assert!(error.contains("data::not-there") && error.contains("git lfs fetch"), "{error}");
    git(&clone, &["lfs", "fetch"]);
    ok(&clone, &["import", "lfs", "d", "--dry-run"]);
    assert!(!clone.join("d.mlp").exists());
    let told = json(&clone, &["import", "lfs", "d"], 0);
    assert_eq!((&told["datasets"][0]["files"], &told["datasets"][0]["objects"]), (&3.into(), &2.into()));
    ok(&clone, &["data", "export", "d", "out"]);
    files::same(&files::read(&clone.join("out")), &wanted, "the dataset");
    let error = refused(&clone, &["import", "lfs", ".gitattributes"], 2);
    assert!(error.contains("git-lfs has nothing there"), "{error}");
    // A damaged object is not taken.
    let oid = sum("sha256sum", b"x");
    let object = clone.join(".git/lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(&oid);
    fs::remove_file(&object).expect("removes");
    fs::write(&object, "y").expect("damages");
    let error = refused(&clone, &["import", "lfs", "d"], 2);
    assert!(error.contains(&oid) && error.contains("other bytes"), "{error}");
}

#[test]
fn data_of_another_project_are_pinned_and_taken_from_its_store() {
    let world = World::new(&DVC3, "../../remote");
    run(&world.dir("repo"), &["import", "dvc", "--full"], 1);
    let url = fs_repo(&world);
    let first = git(&world.dir("repo"), &["rev-parse", "HEAD"]).trim().to_owned();
    let own = world.dir("own");
    ok(world.folder.path(), &["init", "own", "--template", "empty"]);
    ok(&own, &["data", "import", "--repo", &url, "data/img", "theirs/img", "--dry-run"]);
    assert!(!own.join("theirs").exists());
    let told = json(&own, &["data", "import", "--repo", &url, "data/img", "theirs/img"], 0);
    assert_eq!(told["changed"], true);
    files::same(&files::read(&own.join("theirs/img")), &images(), "the images");
    let pointer = fs::read_to_string(own.join("theirs/img.mlp")).expect("reads");
    assert!(pointer.contains(&format!("\"rev\":\"{first}\"")), "{pointer}");
    assert_eq!(git(&own, &["status", "--porcelain", "theirs/img"]), "", "the data stay out of git");
    // A newer version there; the older one by its commit.
    let repo = world.dir("repo");
    ok(&repo, &["data", "checkout"]);
    fs::write(repo.join("data/img/new.png"), "new").expect("writes");
    ok(&repo, &["data", "add", "data/img"]);
    ok(&repo, &["data", "push"]);
    git(&repo, &["commit", "-qam", "More"]);
    ok(&own, &["data", "import", "--repo", &url, "data/img", "theirs/img"]);
    assert_eq!(fs::read(own.join("theirs/img/new.png")).expect("reads"), b"new");
    fs::write(own.join("theirs/img/new.png"), "edited").expect("edits");
    let old = format!("data/img@{first}");
    let told = json(&own, &["data", "import", "--repo", &url, &old, "theirs/img"], 1);
    assert_eq!(told["dirty"][0], "new.png");
    assert_eq!(fs::read(own.join("theirs/img/new.png")).expect("reads"), b"edited");
    // A store that both share is not copied to again.
    let text = fs::read_to_string(own.join("mlp.yaml")).expect("reads");
    let stores = format!("{text}stores:\n  ours: {{url: \"fs://{}\"}}\n", world.dir("far").display());
    fs::write(own.join("mlp.yaml"), stores).expect("writes");
    let packs = || files::read(&world.dir("far/packs")).len();
    let before = packs();
    ok(&own, &["data", "push", "theirs/img"]);
    assert_eq!(packs(), before, "the pin alone is new");
    let error = refused(&own, &["data", "import", "--repo", &url, "nothing"], 2);
    assert!(error.contains("data::no-pointer"), "{error}");
}

#[test]
fn a_file_on_the_web_and_a_folder_become_datasets() {
    let bytes = files::noise("web", 200_000);
    let served = bytes.clone();
    let server = Server::start(move |request| match request.path.as_str() {
        "/x/table.csv?v=1" => Reply::ranged(request, &served),
        _ => Reply::new(404, ""),
    });
    let folder = tempfile::tempdir().expect("makes a folder");
    let own = folder.path().join("own");
    ok(folder.path(), &["init", "own", "--template", "empty"]);
    ok(&own, &["data", "import", &server.url("x/table.csv?v=1")]);
    assert_eq!(fs::read(own.join("data/table.csv")).expect("reads"), bytes);
    let pointer = fs::read_to_string(own.join("data/table.csv.mlp")).expect("reads");
    assert!(pointer.contains("\"sha256\":\""), "{pointer}");
    run(&own, &["data", "import", &server.url("nothing")], 3);

    let wanted: Files =
        [("a/b/One File.txt", "1"), ("zero", "")].map(|(path, text)| (path.into(), text.into())).into();
    files::write(&folder.path().join("far"), &wanted);
    let url = format!("fs://{}", folder.path().join("far").display());
    let told = json(&own, &["data", "import", &url, "data/set"], 0);
    assert_eq!((&told["changed"], &told["written"]), (&true.into(), &2.into()));
    files::same(&files::read(&own.join("data/set")), &wanted, "the folder");
    assert_eq!(json(&own, &["data", "import", &url, "data/set"], 0)["changed"], false);
    // What has gone there since is gone here, also where an attempt broke off in between.
    fs::create_dir_all(folder.path().join("far/\u{1}")).expect("makes");
    fs::write(folder.path().join("far/\u{1}/.git"), "no").expect("writes");
    refused(&own, &["data", "import", &url, "data/set"], 2);
    fs::remove_dir_all(folder.path().join("far/\u{1}")).expect("removes");
    fs::remove_file(folder.path().join("far/zero")).expect("removes");
    fs::write(folder.path().join("far/a/b/One File.txt"), "2").expect("changes");
    ok(&own, &["data", "import", &url, "data/set"]);
    let wanted: Files = [("a/b/One File.txt".into(), "2".into())].into();
    files::same(&files::read(&own.join("data/set")), &wanted, "the changed folder");
    // What was there before is not touched.
    fs::write(own.join("data/mine"), "mine").expect("writes");
    let error = refused(&own, &["data", "import", &url, "data/mine"], 2);
    assert!(error.contains("data::exists"), "{error}");
    std::os::unix::fs::symlink("nothing", folder.path().join("far/link")).expect("links");
    let error = refused(&own, &["data", "import", &url, "data/set"], 3);
    assert!(error.contains("`link` is a link"), "{error}");
    let error = refused(&own, &["data", "import", "nothing"], 2);
    assert!(error.contains("data::origin"), "{error}");
}

#[test]
fn an_import_killed_at_any_point_is_done_again() {
    for args in [&["import", "dvc"][..], &["import", "dvc", "--full"]] {
        let world = World::new(&DVC3, "../../remote");
        let repo = world.dir("repo");
        // A file of git settings is made by the first command.
        refused(&repo, &["data", "status"], 2);
        let mut given = files::read(&repo);
        given.retain(|path, _| !path.starts_with(".git") && !path.to_string_lossy().starts_with("mlp."));
        let case = Case::new(world.folder.path(), &repo, args);
        // One stage cannot be a step: the command exits with 1, as it does when it was not killed.
        let (output, steps) = case.journal("");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(steps.len() > 5, "{steps:?}");
        for number in 1..=steps.len() {
            case.restore();
            let output = case.run(&format!("any:{number}:kill"));
            let when = format!("{args:?}, killed at point {number} of {}", steps.len());
            assert_eq!(output.status.code(), None, "{when}: {output:?}");
            for (path, bytes) in &given {
                let kept = fs::read(repo.join(path)).expect("reads");
                // git's own list of what it ignores may have grown.
                assert!(
                    kept == *bytes || path.ends_with(".gitignore"),
                    "{when}: {} is another",
                    path.display()
                );
            }
            run(&repo, args, 1);
            ok(&repo, &["check"]);
            ok(&repo, &["data", "pull"]);
            whole(&repo);
            ok(&repo, &["store", "fsck", "--full"]);
        }
    }
}
