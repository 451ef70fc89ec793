//! `mlp data get|export|sparse|trash`, and changes of single paths: work trees that hold a part of a dataset, or nothing of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{mlp, ok, refused, run};

/// Ada's project with a dataset of 3 x 40 files of 3 kB, a long file and a table, pushed to a folder; clones beside it.
struct Team {
    folder: TempDir,
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn git(dir: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    let output = Command::new("git").current_dir(dir).args(identity).args(args).output().expect("git starts");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn json(dir: &Path, args: &[&str]) -> Value {
    let text = ok(dir, &[args, &["--json"]].concat());
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// All files below `dir`, by their path from there.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        match path.is_dir() {
            true => found.extend(files(&path).into_iter().map(|below| format!("{name}/{below}"))),
            false => found.push(name),
        }
    }
    found.sort();
    found
}

impl Team {
    fn new() -> Self {
        let team = Self { folder: tempfile::tempdir().expect("makes a folder") };
        let ada = team.dir("ada");
        let manifest = format!(
            "mlp: 1\nproject: {{name: team, id: 01jd3q0000000000000000000c}}\n\
             stores:\n  origin: {{url: \"fs://{}\"}}\n\
             data:\n  set: {{path: data/set, format: images}}\n",
            team.dir("far").display()
        );
        for class in ["ant", "bee", "cat"] {
            fs::create_dir_all(ada.join("data/set").join(class)).expect("makes folders");
            for n in 0..40u64 {
                let path = ada.join(format!("data/set/{class}/{n:02}.bin"));
                fs::write(path, noise(n + 1000 * u64::from(class.as_bytes()[0]), 3000)).expect("writes");
            }
        }
        fs::write(ada.join("data/set/long.bin"), noise(7, 3 << 20)).expect("writes");
        fs::write(ada.join("data/set/table.csv"), "a,b\n").expect("writes");
        fs::write(ada.join("mlp.yaml"), manifest).expect("writes");
        git(&ada, &["init", "-q", "-b", "main"]);
        ok(&ada, &["data", "add", "set"]);
        commit(&ada);
        ok(&ada, &["data", "push"]);
        team
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A fresh clone of Ada's repository.
    fn clone_as(&self, name: &str) -> PathBuf {
        git(self.folder.path(), &["clone", "-q", "ada", name]);
        self.dir(name)
    }
}

fn commit(dir: &Path) {
    git(dir, &["add", "mlp.yaml", "data/set.mlp", "data/.gitignore"]);
    git(dir, &["commit", "-q", "-m", "version"]);
}

#[test]
fn get_fetches_one_file_and_the_folder_on_the_way() {
    let team = Team::new();
    let ben = team.clone_as("ben");
    let got = json(&ben, &["data", "get", "set/cat/07.bin"]);
    assert_eq!(fs::read(ben.join("07.bin")).expect("reads"), noise(7 + 1000 * 99, 3000));
    // mlpstore.json, a listing and the index; a range for the folder; a listing and a range for the file.
    assert!(got["moved"]["requests"].as_u64().is_some_and(|n| n <= 7), "{got}");
    assert!(got["moved"]["bytes"].as_u64().is_some_and(|n| n < 8000), "{got}");
    assert!(!ben.join("data/set").exists());
    // What is here is not asked for again.
    let again = json(&ben, &["data", "get", "data/set/cat/07.bin", "--output", "again.bin"]);
    assert_eq!((&again["moved"]["requests"], &again["id"]), (&0.into(), &got["id"]), "{again}");
    let listed = json(&ben, &["data", "ls", "set/cat"]);
    let absent = |name: &str| {
        let entries = listed["entries"].as_array().expect("a list");
        entries.iter().find(|entry| entry["name"] == name).expect("is listed")["absent"] == true
    };
    assert!(!absent("07.bin") && absent("08.bin"), "{listed}");
    assert!(ok(&ben, &["data", "ls", "set/cat"]).contains("08.bin  (not here)"));
}

#[test]
fn get_gives_files_and_folders_of_any_version_and_overwrites_only_when_told() {
    let team = Team::new();
    let ada = team.dir("ada");
    fs::write(ada.join("data/set/table.csv"), "second version\n").expect("writes");
    ok(&ada, &["data", "add", "set"]);
    commit(&ada);
    ok(&ada, &["data", "push"]);
    let ben = team.clone_as("ben");
    assert_eq!(ok(&ben, &["data", "get", "set/table.csv", "-o", "-"]), "second version\n");
    assert_eq!(ok(&ben, &["data", "get", "set/table.csv@HEAD~1", "-o", "-"]), "a,b\n");
    let long = run(&ben, &["data", "get", "set/long.bin", "-o", "-"], 0).stdout;
    assert_eq!(long, noise(7, 3 << 20));
    ok(&ben, &["data", "get", "set/bee", "-o", "out/bees"]);
    assert_eq!(files(&ben.join("out/bees")).len(), 40);
    fs::write(ben.join("table.csv"), "precious").expect("writes");
    assert!(refused(&ben, &["data", "get", "set/table.csv"], 2).contains("data::exists"));
    assert_eq!(fs::read(ben.join("table.csv")).expect("reads"), b"precious");
    let got = json(&ben, &["data", "get", "set/table.csv", "--force"]);
    assert_eq!(fs::read(ben.join("table.csv")).expect("reads"), b"second version\n");
    ok(&ben, &["data", "trash", "restore", got["trashed"].as_str().expect("is in the trash")]);
    assert_eq!(fs::read(ben.join("table.csv")).expect("reads"), b"precious");
    assert!(refused(&ben, &["data", "get", "set/dog/1.bin"], 2).contains("data::no-entry"));
    assert!(refused(&ben, &["data", "get", "set/bee", "-o", "-"], 2).contains("mlp data export"));
    assert!(refused(&ben, &["data", "get", "set", "-o", ".", "--force"], 2).contains("holds the project"));
}

#[test]
fn a_damaged_pack_is_found_before_anything_is_given_out() {
    let team = Team::new();
    let ben = team.clone_as("ben");
    for file in files(&team.dir("far/packs")) {
        let path = team.dir("far/packs").join(file);
        let mut bytes = fs::read(&path).expect("reads");
        let length = bytes.len();
        // All objects, not the header.
        bytes[5..length - length / 8].iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(&path, bytes).expect("writes");
    }
    let output = run(&ben, &["data", "get", "set/cat/07.bin", "-o", "-"], 1);
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("store::damaged"));
}

#[test]
fn one_file_is_added_and_one_removed_without_having_the_dataset() {
    let team = Team::new();
    let ben = team.clone_as("ben");
    fs::create_dir_all(ben.join("data/set/extra")).expect("makes folders");
    fs::write(ben.join("data/set/extra/x.png"), "a new picture").expect("writes");
    let planned = json(&ben, &["data", "add", "--dry-run", "data/set/extra/x.png"]);
    let added = json(&ben, &["data", "add", "data/set/extra/x.png"]);
    assert_eq!(
        (&planned["datasets"][0]["id"], &added["datasets"][0]["put"]),
        (&added["datasets"][0]["id"], &1.into())
    );
    fs::write(ben.join("picture.png"), "from elsewhere").expect("writes");
    ok(&ben, &["data", "add", "set", "--at", "bee/", "picture.png"]);
    ok(&ben, &["data", "add", "set", "--at", "bee/renamed.png", "picture.png"]);
    ok(&ben, &["data", "rm", "data/set/cat/07.bin"]);
    // Nothing of the data came along: two folders, no file.
    let store = ben.join(".git/mlp/store/packs");
    let stored: u64 =
        files(&store).iter().map(|file| fs::metadata(store.join(file)).expect("stats").len()).sum();
    assert!(stored < 16_000, "{stored}");
    assert_eq!(files(&ben.join("data/set")), ["extra/x.png"], "files beside are left alone");
    commit(&ben);
    let pushed = json(&ben, &["data", "push"]);
    assert_eq!(pushed["objects"], 4, "data, trees, index, pin: {pushed}");

    let ada = team.dir("ada");
    git(&ada, &["pull", "-q", "../ben", "main"]);
    ok(&ada, &["data", "pull"]);
    let there = files(&ada.join("data/set"));
    for name in ["extra/x.png", "bee/picture.png", "bee/renamed.png", "cat/08.bin", "long.bin"] {
        assert!(there.iter().any(|file| file == name), "{name}");
    }
    assert!(!there.iter().any(|file| file == "cat/07.bin"));
    assert_eq!(there.len(), 122 + 3 - 1);
    let eve = team.clone_as("eve");
    ok(&eve, &["data", "pull"]);
    assert_eq!(files(&eve.join("data/set")), there);
}

#[test]
fn changes_of_single_paths_that_make_no_sense_are_refused() {
    let team = Team::new();
    let ada = team.dir("ada");
    let pointer = fs::read(ada.join("data/set.mlp")).expect("reads");
    assert!(refused(&ada, &["data", "rm", "data/set/cat/absent.bin"], 2).contains("data::no-entry"));
    assert!(refused(&ada, &["data", "add", "data/set/cat/absent.bin"], 2).contains("data::absent"));
    assert!(refused(&ada, &["data", "add", "set", "--at", "../x", "mlp.yaml"], 2).contains("store::name"));
    assert!(
        refused(&ada, &["data", "add", "set", "--at", "x/.git/config", "mlp.yaml"], 2)
            .contains("store::name")
    );
    assert!(
        refused(&ada, &["data", "add", "set", "--at", "table.csv/x", "mlp.yaml"], 2).contains("store::name")
    );
    assert!(refused(&ada, &["data", "rm", "--files", "data/set/cat/07.bin"], 2).contains("data::argument"));
    ok(&ada, &["data", "rm", "--dry-run", "data/set/cat/07.bin"]);
    assert_eq!(fs::read(ada.join("data/set.mlp")).expect("reads"), pointer);
}

#[test]
fn a_work_tree_can_hold_a_part_of_a_dataset() {
    let team = Team::new();
    let ben = team.clone_as("ben");
    let set = json(&ben, &["data", "sparse", "set", "set", "/cat/", "*.csv"]);
    assert_eq!(set["written"], 41, "{set}");
    assert!(set["moved"]["bytes"].as_u64().is_some_and(|n| n < 140_000), "{set}");
    assert_eq!(files(&ben.join("data/set")).len(), 41);
    assert_eq!(ok(&ben, &["data", "sparse", "show", "set"]), "set: /cat/ *.csv\n");
    let state = |dir: &Path| json(dir, &["data", "status", "set"])["datasets"][0].clone();
    assert_eq!((&state(&ben)["state"], &state(&ben)["patterns"][1]), (&"clean".into(), &"*.csv".into()));
    // One pin came along, no data.
    let pulled = json(&ben, &["data", "pull"]);
    let counts = ["objects", "written", "removed"].map(|key| pulled[key].as_u64());
    assert_eq!(counts, [Some(1), Some(0), Some(0)], "{pulled}");
    ok(&ben, &["data", "checkout"]);
    assert_eq!(files(&ben.join("data/set")).len(), 41);

    fs::write(ben.join("data/set/cat/07.bin"), "edited").expect("writes");
    fs::remove_file(ben.join("data/set/cat/08.bin")).expect("removes");
    let told = state(&ben);
    assert_eq!(
        (&told["modified"], &told["removed"], &told["added"]),
        (&1.into(), &1.into(), &0.into()),
        "{told}"
    );
    ok(&ben, &["data", "add", "set"]);
    assert_eq!(state(&ben)["state"], "clean");
    commit(&ben);
    let changed = ok(&ben, &["data", "diff", "set", "HEAD~1", "HEAD"]);
    assert_eq!(changed, "set: 1 modified, 1 removed\nM cat/07.bin\nD cat/08.bin\n");
    let pushed = json(&ben, &["data", "push"]);
    assert_eq!(pushed["objects"], 4, "{pushed}");
    let eve = team.clone_as("eve");
    git(&eve, &["pull", "-q", "../ben", "main"]);
    ok(&eve, &["data", "pull"]);
    assert_eq!(files(&eve.join("data/set")).len(), 121, "nothing outside of the part was dropped");

    // Another part: what is edited stays.
    fs::write(ben.join("data/set/cat/09.bin"), "precious").expect("writes");
    let refused = run(&ben, &["data", "sparse", "set", "set", "/bee/"], 1);
    assert!(String::from_utf8_lossy(&refused.stdout).contains("cat/09.bin"));
    assert_eq!(files(&ben.join("data/set")).len(), 41);
    fs::remove_file(ben.join("data/set/cat/09.bin")).expect("removes");
    let cleared = json(&ben, &["data", "sparse", "clear", "set"]);
    assert!(cleared["patterns"].is_null());
    assert_eq!(files(&ben.join("data/set")), files(&eve.join("data/set")));
    assert_eq!(state(&ben)["state"], "clean");
}

#[test]
fn a_version_is_exported_as_files_and_as_the_same_tar_file_everywhere() {
    let team = Team::new();
    let ada = team.dir("ada");
    let deep = ada.join("data/set").join("d".repeat(90)).join("e".repeat(90));
    fs::create_dir_all(&deep).expect("makes folders");
    fs::write(deep.join("\u{e4}.txt"), "a long path").expect("writes");
    std::os::unix::fs::symlink("table.csv", ada.join("data/set/link")).expect("links");
    ok(&ada, &["data", "add", "set"]);
    commit(&ada);
    ok(&ada, &["data", "push"]);
    let ben = team.clone_as("ben");
    ok(&ben, &["data", "export", "set", "plain"]);
    assert_eq!(files(&ben.join("plain")), files(&ada.join("data/set")));
    for dir in [&ada, &ben] {
        ok(dir, &["data", "export", "set", "set.tar"]);
        ok(dir, &["data", "export", "set", "set.tar.zst"]);
    }
    let tar = fs::read(ada.join("set.tar")).expect("reads");
    assert_eq!(tar, fs::read(ben.join("set.tar")).expect("reads"));
    let packed = fs::read(ben.join("set.tar.zst")).expect("reads");
    assert_eq!(zstd::decode_all(&packed[..]).expect("unpacks"), tar);
    assert_eq!(run(&ben, &["data", "export", "set@HEAD", "-"], 0).stdout, tar);
    fs::create_dir(ben.join("unpacked")).expect("makes a folder");
    let unpack = Command::new("tar").args(["-xf", "set.tar", "-C", "unpacked"]).current_dir(&ben).output();
    let unpack = unpack.expect("tar starts");
    assert!(
        unpack.status.success() && unpack.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&unpack.stderr)
    );
    assert_eq!(files(&ben.join("unpacked")), files(&ada.join("data/set")));
    assert_eq!(fs::read(ben.join("unpacked/long.bin")).expect("reads"), noise(7, 3 << 20));
    assert_eq!(fs::read_link(ben.join("unpacked/link")).expect("reads").to_str(), Some("table.csv"));
    assert!(refused(&ben, &["data", "export", "set", "set.tar"], 2).contains("data::exists"));
    assert!(refused(&ben, &["data", "export", "set", "plain"], 2).contains("data::exists"));
    ok(&ben, &["data", "export", "set/table.csv", "set.tar", "--force"]);
    let listed = Command::new("tar").args(["-tf", "set.tar"]).current_dir(&ben).output().expect("tar starts");
    assert_eq!(listed.stdout, b"table.csv\n");
}

#[test]
fn what_a_forced_checkout_replaces_is_listed_and_comes_back() {
    let team = Team::new();
    let ada = team.dir("ada");
    fs::write(ada.join("data/set/table.csv"), "precious").expect("writes");
    fs::write(ada.join("data/set/cat/new.bin"), "precious too").expect("writes");
    let done = json(&ada, &["data", "checkout", "--force"]);
    let id = done["datasets"][0]["trashed"].as_str().expect("says where").to_owned();
    assert_eq!(fs::read(ada.join("data/set/table.csv")).expect("reads"), b"a,b\n");
    let listed = json(&ada, &["data", "trash"]);
    assert_eq!(
        (&listed["commands"][0]["id"], &listed["commands"][0]["from"]),
        (&id.clone().into(), &"data/set".into())
    );
    assert_eq!(listed["commands"][0]["files"].as_array().map(Vec::len), Some(2));
    ok(&ada, &["data", "trash", "restore", &id, "cat"]);
    assert_eq!(fs::read(ada.join("data/set/cat/new.bin")).expect("reads"), b"precious too");
    assert_eq!(fs::read(ada.join("data/set/table.csv")).expect("reads"), b"a,b\n");
    let back = json(&ada, &["data", "trash", "restore", &id]);
    assert_eq!(fs::read(ada.join("data/set/table.csv")).expect("reads"), b"precious");
    // What stood there is not lost either.
    ok(&ada, &["data", "trash", "restore", back["aside"].as_str().expect("is kept")]);
    assert_eq!(fs::read(ada.join("data/set/table.csv")).expect("reads"), b"a,b\n");
    assert!(refused(&ada, &["data", "trash", "restore", "nothing"], 2).contains("data::not-in-trash"));
    // A file stands where a folder was.
    fs::write(ada.join("data/set/cat/new.bin"), "precious again").expect("writes");
    let done = json(&ada, &["data", "checkout", "--force"]);
    let id = done["datasets"][0]["trashed"].as_str().expect("says where").to_owned();
    fs::remove_dir_all(ada.join("data/set/cat")).expect("removes");
    fs::write(ada.join("data/set/cat"), "in the way").expect("writes");
    let back = json(&ada, &["data", "trash", "restore", &id]);
    assert_eq!(fs::read(ada.join("data/set/cat/new.bin")).expect("reads"), b"precious again");
    fs::remove_dir_all(ada.join("data/set/cat")).expect("removes");
    ok(&ada, &["data", "trash", "restore", back["aside"].as_str().expect("is kept")]);
    assert_eq!(fs::read(ada.join("data/set/cat")).expect("reads"), b"in the way");
}

#[test]
fn files_of_a_version_that_nothing_names_are_left_alone() {
    let team = Team::new();
    let ada = team.dir("ada");
    fs::write(ada.join("data/set/new"), "added").expect("writes");
    fs::write(ada.join("data/set/table.csv"), "changed").expect("writes");
    ok(&ada, &["data", "add", "set"]);
    git(&ada, &["checkout", "-q", "--", "data/set.mlp"]);
    // Only the store has them, and only until somebody collects what nothing needs.
    for args in [&["data", "checkout"][..], &["data", "pull"]] {
        let said = String::from_utf8(run(&ada, args, 1).stdout).expect("text");
        assert!(said.contains("left alone") && said.contains("new") && said.contains("table.csv"), "{said}");
        assert_eq!(fs::read(ada.join("data/set/new")).expect("is there"), b"added");
        assert_eq!(fs::read(ada.join("data/set/table.csv")).expect("is there"), b"changed");
    }
    let said =
        String::from_utf8(run(&ada, &["data", "sparse", "set", "set", "/cat/"], 1).stdout).expect("text");
    assert!(said.contains("left alone") && ada.join("data/set/new").exists(), "{said}");
    run(&ada, &["data", "sparse", "clear", "set"], 1);
    ok(&ada, &["data", "checkout", "--force"]);
    assert!(!ada.join("data/set/new").exists());
    let id = ok(&ada, &["data", "trash", "ls", "--quiet"]).trim().to_owned();
    ok(&ada, &["data", "trash", "restore", &id]);
    // A commit that was left behind names its version for as long as git remembers it.
    ok(&ada, &["data", "add", "set"]);
    commit(&ada);
    git(&ada, &["reset", "-q", "--hard", "HEAD~1"]);
    ok(&ada, &["data", "checkout"]);
    assert!(!ada.join("data/set/new").exists());
    ok(&ada, &["store", "gc", "--yes"]);
    git(&ada, &["reset", "-q", "--hard", "HEAD@{1}"]);
    ok(&ada, &["data", "checkout"]);
    assert_eq!(fs::read(ada.join("data/set/new")).expect("is there"), b"added");
}

#[test]
fn a_part_that_would_hold_nothing_is_refused() {
    let team = Team::new();
    let ada = team.dir("ada");
    let said = refused(&ada, &["data", "sparse", "set", "set", "/dog/"], 2);
    assert!(said.contains("data::argument") && said.contains("nothing in `set` matches"), "{said}");
    assert_eq!(files(&ada.join("data/set")).len(), 122);
    assert_eq!(ok(&ada, &["data", "sparse", "show", "set"]).lines().next(), Some("set: all of it"));
}

#[test]
fn datasets_keep_out_of_one_another_and_out_of_what_git_keeps() {
    let team = Team::new();
    let ada = team.dir("ada");
    assert!(refused(&ada, &["data", "add", "data"], 2).contains("`set` in it is one already"));
    assert!(refused(&ada, &["data", "add", "mlp.yaml"], 2).contains("git keeps this file"));
    // A name with an `@`, one that begins with a dash, one that a shell takes apart.
    for name in ["x@y", "-x", "a b#c"] {
        fs::write(ada.join(name), name).expect("writes");
        let said = ok(&ada, &["data", "add", "--", name]);
        let proposed = said.lines().last().and_then(|line| line.strip_prefix("next: ")).expect("a command");
        let output =
            Command::new("sh").arg("-c").arg(proposed).current_dir(&ada).output().expect("sh starts");
        assert!(output.status.success(), "{proposed}: {output:?}");
    }
    commit(&ada);
    assert_eq!(ok(&ada, &["data", "get", "x@y", "--output", "-"]), "x@y");
    assert_eq!(ok(&ada, &["data", "get", "x@y@HEAD", "--output", "-"]), "x@y");
    assert!(refused(&ada, &["data", "get", "x@y@nope", "--output", "-"], 2).contains("git::no-revision"));
    assert!(ok(&ada, &["data", "diff", "set@HEAD"]).contains("no differences"));
    assert!(refused(&ada, &["data", "export", "set", "set.tar.gz"], 2).contains("`.tar.gz` is not written"));
}

#[test]
fn a_checkout_needs_few_open_files() {
    let team = Team::new();
    let ben = team.clone_as("ben");
    let program = mlp(&ben);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 64; exec \"$0\" data pull"]).arg(program.get_program()).current_dir(&ben);
    limited.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let output = limited.output().expect("starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(files(&ben.join("data/set")).len(), 122);
}

#[test]
fn a_folder_that_lacks_files_which_were_never_here_is_not_taken_for_the_dataset() {
    let team = Team::new();
    let partial = |name: &str| {
        let clone = team.clone_as(name);
        ok(&clone, &["data", "get", "set/cat/07.bin"]);
        fs::create_dir_all(clone.join("data/set")).expect("makes");
        fs::write(clone.join("data/set/new"), "new").expect("writes");
        clone
    };
    let ben = partial("ben");
    let pointer = fs::read(ben.join("data/set.mlp")).expect("reads");
    for args in [&["data", "add", "set"][..], &["data", "add", "set", "--dry-run"], &["data", "add"]] {
        let said = refused(&ben, args, 2);
        assert!(
            said.contains("data::partial") && said.contains(" of `set` were never here"),
            "{args:?}: {said}"
        );
        assert_eq!(fs::read(ben.join("data/set.mlp")).expect("reads"), pointer);
    }
    // What the message says: by its path; after the rest was got, where removing is meant; on purpose.
    ok(&ben, &["data", "add", "data/set/new"]);
    ok(&ben, &["data", "pull"]);
    fs::remove_file(ben.join("data/set/table.csv")).expect("removes");
    ok(&ben, &["data", "add", "set"]);
    let names = |dir: &Path| {
        let listed = json(dir, &["data", "ls", "set"]);
        let entries = listed["entries"].as_array().expect("a list").clone();
        entries.iter().map(|entry| entry["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&ben), ["ant", "bee", "cat", "long.bin", "new"]);
    let cid = partial("cid");
    ok(&cid, &["data", "add", "set", "--replace"]);
    assert_eq!(names(&cid), ["new"]);
}
