//! `mlp store`: looking for damage, mending it, collecting, figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::project::{Project, signal, wait_for};
use crate::support::{ok, refused, run};

/// A project whose first store is a folder beside it.
struct World {
    far: tempfile::TempDir,
    project: Project,
}

impl World {
    fn new() -> Self {
        let far = tempfile::tempdir().expect("makes a folder");
        let url = far.path().join("store");
        let project = Project::new(&format!(
            "stores:\n  far: {{url: \"fs://{}\"}}\ndata:\n  pets: {{path: data/pets, format: images}}\n",
            url.display()
        ));
        Self { far, project }
    }

    /// A version of the data: `count` files that differ from those of other versions.
    fn version(&self, name: &str, count: usize) {
        let folder = self.project.path().join("data/pets/cat");
        let _ = fs::remove_dir_all(&folder);
        for at in 0..count {
            self.project.write(&format!("data/pets/cat/{at}.png"), &format!("{name} {at} ").repeat(500));
        }
        ok(self.project.path(), &["data", "add", "pets"]);
        self.project.git(&["add", "-A"]);
        self.project.git(&["commit", "-qm", name]);
    }

    fn push(&self) {
        ok(self.project.path(), &["data", "push"]);
    }

    fn json(&self, args: &[&str], code: i32) -> Value {
        self.project.json(args, code)
    }

    fn packs(&self) -> Vec<PathBuf> {
        files(&self.far.path().join("store/packs"))
    }

    fn local_packs(&self) -> Vec<PathBuf> {
        files(&self.project.path().join(".git/mlp/store/packs"))
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Flips a bit in the middle of what a file's pack stores; mode and time stay.
fn flip(path: &Path) {
    let before = path.metadata().expect("is there");
    let mut bytes = fs::read(path).expect("reads");
    let at = bytes.len() / 3;
    bytes[at] ^= 4;
    fs::write(path, bytes).expect("damages");
    let file = fs::File::options().write(true).open(path).expect("opens");
    file.set_modified(before.modified().expect("has a time")).expect("sets the time");
}

/// Makes a file look as if it had been written long ago.
fn age(path: &Path, days: u64) {
    let file = fs::File::options().write(true).open(path).expect("opens");
    file.set_modified(SystemTime::now() - Duration::from_secs(days * 24 * 3600)).expect("sets the time");
}

#[test]
fn a_sound_store_is_said_to_be_sound_here_and_there() {
    let world = World::new();
    world.version("one", 30);
    world.push();
    for args in [&["store", "fsck", "--full"][..], &["store", "fsck", "--store", "far", "--full"]] {
        let told = world.json(args, 0);
        assert_eq!(told["findings"].as_array().map(Vec::len), Some(0), "{told}");
        assert_eq!(told["packs_read"], told["packs"], "{told}");
        assert!(
            told["packs"].as_u64().expect("a number") >= 2 && told["objects"].as_u64() >= Some(31),
            "{told}"
        );
    }
    assert!(ok(world.project.path(), &["fsck", "--quick"]).contains("all is well"), "the alias works");
}

#[test]
fn damage_here_is_named_with_who_needs_it_and_mended_from_the_remote() {
    let world = World::new();
    world.version("one", 30);
    world.push();
    for pack in world.local_packs() {
        flip(&pack);
    }
    let told = world.json(&["store", "fsck", "--full"], 1);
    let text = told.to_string();
    assert!(text.contains("pets") && text.contains("damaged"), "{text}");
    assert_eq!(told["next"], "mlp store repair --full");
    // Nothing damaged is used, whoever reads second is told the same, and nothing of it is pushed on.
    fs::remove_dir_all(world.project.path().join("data/pets")).expect("removes");
    for _ in 0..2 {
        let error = refused(world.project.path(), &["data", "checkout", "pets"], 1);
        assert!(error.contains("store::damaged") && error.contains("set aside"), "{error}");
    }
    let mended = world.json(&["store", "repair", "--full"], 0);
    assert!(mended["objects"].as_u64() > Some(0), "{mended}");
    ok(world.project.path(), &["data", "checkout", "pets"]);
    assert_eq!(world.project.read("data/pets/cat/7.png"), "one 7 ".repeat(500));
    assert_eq!(world.json(&["store", "fsck", "--full"], 0)["findings"].as_array().map(Vec::len), Some(0));
}

#[test]
fn what_a_remote_lost_is_brought_back_by_any_clone_that_has_it() {
    let world = World::new();
    world.version("one", 30);
    world.push();
    let packs = world.packs();
    fs::remove_file(&packs[0]).expect("removes");
    flip(&packs[1]);
    let told = world.json(&["store", "fsck", "--store", "far", "--full"], 1);
    assert!(told.to_string().contains("pets"), "{told}");
    let mended = world.json(&["store", "repair", "--store", "far", "--full"], 0);
    assert!(mended["left"].as_array().is_some_and(Vec::is_empty), "{mended}");
    world.json(&["store", "fsck", "--store", "far", "--full"], 0);
    // A colleague gets everything.
    let clone = tempfile::tempdir().expect("makes a folder");
    let at = clone.path().join("clone");
    world.project.git(&["clone", "-q", ".", &at.display().to_string()]);
    ok(&at, &["data", "pull"]);
    assert_eq!(fs::read_to_string(at.join("data/pets/cat/29.png")).expect("reads"), "one 29 ".repeat(500));
}

#[test]
fn a_lost_index_of_a_remote_is_made_anew_from_its_packs() {
    let world = World::new();
    world.version("one", 10);
    world.push();
    for index in files(&world.far.path().join("store/index")) {
        fs::remove_file(index).expect("removes");
    }
    world.json(&["store", "fsck", "--store", "far"], 1);
    let mended = world.json(&["store", "repair", "--store", "far"], 0);
    assert_eq!(mended["reindexed"], 2, "{mended}");
    world.json(&["store", "fsck", "--store", "far", "--full"], 0);
}

#[test]
fn gc_keeps_what_any_commit_names_and_frees_what_none_does() {
    let world = World::new();
    world.version("one", 40);
    world.version("two", 40);
    // Nothing is old enough, and everything is in git's history.
    let planned = world.json(&["store", "gc"], 0);
    assert_eq!(
        (&planned["dry_run"], &planned["removed"]),
        (&Value::Bool(true), &Value::from(0)),
        "{planned}"
    );
    world.project.git(&["reset", "-q", "--hard", "HEAD~1"]);
    world.project.git(&["reflog", "expire", "--expire=now", "--all"]);
    for pack in world.local_packs() {
        age(&pack, 1);
    }
    let before = world.local_packs().len();
    let planned = world.json(&["store", "gc"], 0);
    assert!(planned["removed"].as_u64() > Some(0), "{planned}");
    assert_eq!(world.local_packs().len(), before, "without --yes nothing is removed");
    let swept = world.json(&["gc", "--yes"], 0);
    assert_eq!(swept["removed"], planned["removed"], "{swept}");
    assert!(world.local_packs().len() < before);
    ok(world.project.path(), &["data", "checkout", "pets", "--force"]);
    assert_eq!(world.project.read("data/pets/cat/7.png"), "one 7 ".repeat(500));
    world.json(&["store", "fsck", "--full"], 0);
    // What was freed can be stored again.
    world.version("two", 40);
    world.json(&["store", "fsck", "--full"], 0);
}

#[test]
fn gc_of_one_clone_never_takes_what_another_clone_needs() {
    let world = World::new();
    world.version("one", 10);
    world.push();
    let bare = world.far.path().join("git");
    world.project.git(&["clone", "-q", "--bare", ".", &bare.display().to_string()]);
    world.project.git(&["remote", "add", "origin", &bare.display().to_string()]);
    world.project.git(&["fetch", "-q"]);
    let clone = world.far.path().join("clone");
    world.project.git(&["clone", "-q", &bare.display().to_string(), &clone.display().to_string()]);
    // The colleague pushes a version on a branch that this clone does not know.
    ok(&clone, &["data", "pull"]);
    fs::write(clone.join("data/pets/cat/0.png"), "theirs").expect("writes");
    ok(&clone, &["data", "add", "pets"]);
    ok(&clone, &["data", "push"]);
    let git = |args: &[&str]| {
        world.project.git(
            &[
                &["-C", &clone.display().to_string(), "-c", "user.name=B", "-c", "user.email=b@example.org"],
                args,
            ]
            .concat(),
        );
    };
    git(&["checkout", "-qb", "theirs"]);
    git(&["commit", "-qam", "theirs"]);
    git(&["push", "-q", "origin", "theirs"]);
    let error = refused(world.project.path(), &["store", "gc", "--store", "far", "--retire-after", "0"], 3);
    assert!(error.contains("git::partial-history") && error.contains("refs/heads/theirs"), "{error}");
    // Without taking pins away nothing of theirs is touched.
    let id = world.json(&["store", "gc", "--store", "far"], 0)["id"].as_str().expect("an id").to_owned();
    let refused_now = refused(world.project.path(), &["store", "gc", "--store", "far", "--now", "--yes"], 2);
    assert!(refused_now.contains(&id), "{refused_now}");
    run(world.project.path(), &["store", "gc", "--store", "far", "--now", "--yes", "--confirm", &id], 0);
    fs::remove_dir_all(clone.join(".git/mlp")).expect("forgets the local store");
    fs::remove_dir_all(clone.join("data/pets")).expect("removes");
    ok(&clone, &["data", "pull"]);
    assert_eq!(fs::read_to_string(clone.join("data/pets/cat/0.png")).expect("reads"), "theirs");
}

#[test]
fn a_push_that_slept_through_a_collection_comes_out_right() {
    let world = World::new();
    world.version("one", 10);
    world.push();
    for round in 0..3 {
        // Enough that it can be stopped between its packs.
        for at in 0..6 {
            let mut bytes = vec![0; 9 << 20];
            let seed = format!("{round} {at}");
            blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
            let path = world.project.path().join(format!("data/pets/cat/{at}.bin"));
            fs::write(path, bytes).expect("writes");
        }
        ok(world.project.path(), &["data", "add", "pets"]);
        let before = world.packs().len();
        let mut push = world.project.start(&["data", "push"]);
        wait_for("a pack", || (world.packs().len() > before).then_some(()));
        let pid = i64::from(push.id());
        signal("STOP", pid);
        // Everything that no index lists is old, and is deleted at once.
        for pack in world.packs() {
            age(&pack, 30);
        }
        let clone = world.far.path().join(format!("clone{round}"));
        world.project.git(&["clone", "-q", ".", &clone.display().to_string()]);
        let gc = |args: &[&str]| {
            let all = [&["store", "gc", "--store", "far"], args].concat();
            let output = run(&clone, &[&all[..], &["--json"]].concat(), 0);
            let text = String::from_utf8(output.stdout).expect("is text");
            serde_json::from_str::<Value>(text.lines().last().expect("a report")).expect("is JSON")
        };
        let id = gc(&[])["id"].as_str().expect("an id").to_owned();
        let done = gc(&["--now", "--yes", "--confirm", &id]);
        signal("CONT", pid);
        let status = push.wait().expect("ends");
        assert!(status.success(), "{done}");
        world.json(&["store", "fsck", "--store", "far", "--full"], 0);
    }
}

#[test]
fn stats_tell_what_deduplication_and_compression_save() {
    let world = World::new();
    world.version("one", 20);
    world.push();
    world.version("one", 21);
    world.push();
    let told = world.json(&["store", "stats"], 0);
    assert_eq!((told["versions"].as_u64(), told["files"].as_u64()), (Some(2), Some(41)), "{told}");
    assert!(told["unique"].as_u64() < told["bytes"].as_u64(), "{told}");
    assert!(told["stored"].as_u64() < told["unique"].as_u64(), "{told}");
    assert!(told["ratio"].as_f64() > Some(3.0), "{told}");
    // The same of the remote, from a clone that has nothing but the pointers.
    fs::remove_dir_all(world.project.path().join(".git/mlp/store")).expect("removes");
    let there = world.json(&["store", "stats", "--store", "far"], 0);
    for key in ["versions", "files", "bytes", "unique"] {
        assert_eq!(there[key], told[key], "{key}: {there}");
    }
    assert_eq!(there["waste"].as_u64(), Some(0), "{there}");
    ok(world.project.path(), &["data", "pull"]);
    assert!(ok(world.project.path(), &["store", "stats"]).contains("what occurs twice is kept once"));
    assert!(ok(world.project.path(), &["store", "ls"]).contains("home of the ledgers"));
}

#[test]
fn index_objects_of_many_pushes_are_joined() {
    let world = World::new();
    for name in ["one", "two", "three"] {
        world.version(name, 3);
        world.push();
    }
    let indexes = || files(&world.far.path().join("store/index")).len();
    assert_eq!(indexes(), 3);
    assert!(ok(world.project.path(), &["store", "compact", "--dry-run"]).contains("would become 1"));
    ok(world.project.path(), &["store", "compact"]);
    assert_eq!(indexes(), 1);
    world.json(&["store", "fsck", "--store", "far", "--full"], 0);
}
