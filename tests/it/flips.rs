//! Any file of a store has one bit that is another, is cut off, or holds what another should (rows R13 to R15 of
//! `docs/design/reliability.md`): it is found and named, nothing wrong is read, and nothing wrong is pushed on. Mode and times of the
//! file stay, as when a disk lies.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use mlp::base::{Digest, Null};
use mlp::infrastructure::store::{
    Appended, Depth, Ledger, LedgerHome, Local, Pin, Remote, StoreSpec, fetch, fsck, fsck_remote, push,
    repair_remote,
};

use crate::s3::entry;
use crate::support::files::{Files, noise, read, same, write};
use crate::support::project::Project;
use crate::support::{ok, rounds};

/// A project whose local store and remote hold an object of every kind.
struct World {
    project: Project,
    far: PathBuf,
    files: Files,
}

const ID: &str = "01jd3q0000000000000000000a";

impl World {
    fn new(far: &Path) -> Self {
        let project = Project::new(&format!(
            "stores: {{origin: {{url: \"fs://{}\"}}}}\ndata: {{set: {{path: data/set, format: images}}}}\n\
             steps: {{greet: {{run: 'echo hello'}}}}\n",
            far.display()
        ));
        let mut files = Files::new();
        for n in 0..40 {
            files.insert(format!("{}/{n}.bin", n % 3).into(), noise(&n.to_string(), 100 + 97 * n));
        }
        files.insert("text".into(), b"a line of text that compresses well\n".repeat(500));
        files.insert("long".into(), noise("long", 1_500_000));
        let root = project.path();
        write(&root.join("data/set"), &files);
        ok(root, &["data", "add", "set"]);
        ok(root, &["run"]);
        ok(root, &["data", "push"]);
        let world = Self { project, far: far.to_owned(), files };
        let (home, project) = (world.home(), ID.parse().expect("an id"));
        let ledger = Ledger { home: &home, project, model: "digits".parse().expect("a name") };
        let mut last = None;
        for seq in 1..=3 {
            let next = entry(seq, last.as_ref(), "ada");
            assert_eq!(ledger.append(&next).expect("appends"), Appended::Yes);
            last = Some(next);
        }
        world
    }

    fn store(&self) -> PathBuf {
        self.project.path().join(".git/mlp/store")
    }

    fn local(&self) -> Local {
        Local::open(&self.store()).expect("opens")
    }

    fn remote(&self) -> Remote {
        open(&self.far)
    }

    fn home(&self) -> LedgerHome {
        LedgerHome::Remote { remote: self.remote(), cache: self.store() }
    }
}

fn open(far: &Path) -> Remote {
    let spec = StoreSpec::new(format!("fs://{}", far.display()));
    Remote::open(&"origin".parse().expect("a name"), &spec).expect("opens")
}

/// A file with other bytes than it should have, and how they came about.
struct Damage {
    path: PathBuf,
    bytes: Vec<u8>,
    what: String,
}

/// All that is done to the files `paths` of a folder: every one is cut off in several places and swapped, and `flips` bits are flipped.
fn damages(files: &Files, paths: &[PathBuf], flips: u32, seed: u64) -> Vec<Damage> {
    let mut damages = Vec::new();
    let mut damage = |path: &PathBuf, bytes: Vec<u8>, what: String| {
        damages.push(Damage { path: path.clone(), bytes, what: format!("{}: {what}", path.display()) });
    };
    for path in paths {
        let whole = &files[path];
        let ends = [0, 1, whole.len() - 1].into_iter().chain((4096..whole.len()).step_by(128 << 10));
        for end in ends.filter(|end| *end < whole.len()) {
            damage(path, whole[..end].to_vec(), format!("cut off after {end} bytes"));
        }
        let kind = path.components().next();
        if let Some(other) =
            paths.iter().find(|other| other.components().next() == kind && files[*other] != *whole)
        {
            damage(path, files[other].clone(), format!("holds {}", other.display()));
        }
    }
    for round in 0..flips {
        let path = &paths[round as usize % paths.len()];
        let mut bytes = files[path].clone();
        let bit = draw(seed + u64::from(round), bytes.len() as u64 * 8);
        bytes[bit as usize / 8] ^= 1 << (bit % 8);
        damage(path, bytes, format!("bit {bit} flipped"));
    }
    damages
}

/// Gives a file other bytes in place.
fn put(path: &Path, bytes: &[u8]) {
    let found = fs::metadata(path).expect("is there");
    let mut file = File::options().write(true).truncate(true).open(path).expect("opens");
    file.write_all(bytes).expect("writes");
    file.set_modified(found.modified().expect("has a time")).expect("keeps the time");
}

/// A number below `below` that depends on `seed` alone.
fn draw(seed: u64, below: u64) -> u64 {
    let digest = Digest::of(&seed.to_le_bytes());
    u64::from_le_bytes(digest.as_bytes()[..8].try_into().expect("eight bytes")) % below
}

/// Files that hold what the store keeps; the rest are caches, locks and marks that are made anew.
fn kept(folder: &Path) -> Vec<PathBuf> {
    let kinds = ["packs", "index", "records", "pins", "ledger"];
    let mut paths: Vec<PathBuf> = read(folder).into_keys().collect();
    paths.retain(|path| {
        kinds.iter().any(|kind| path.starts_with(kind)) && !path.to_string_lossy().contains(".lock")
    });
    for kind in kinds {
        assert!(kind == "ledger" || paths.iter().any(|path| path.starts_with(kind)), "no {kind}: {paths:?}");
    }
    paths
}

/// The words by which a finding may name a file: the beginning of its name, or of a ledger's entry.
fn names(path: &Path) -> Vec<String> {
    let name = path.file_name().expect("a name").to_string_lossy();
    let id: String = name.trim_end_matches(".json").chars().take(26).collect();
    match path.starts_with("ledger") {
        true => vec![format!("entry {}", name.trim_start_matches('0')), "ledger".to_owned()],
        false => vec![id.chars().take(12).collect(), id],
    }
}

#[test]
fn damage_anywhere_in_the_local_store_is_found_named_and_not_pushed_on() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let world = World::new(&folder.path().join("far"));
    let store = world.store();
    let before = read(&store);
    let paths = kept(&store);
    let root = world.local().pins().expect("reads").iter().find_map(|pin| pin.roots.first().copied());
    let root = root.expect("a version");
    for (round, Damage { path, bytes, what }) in
        damages(&before, &paths, rounds(500, 5000), 0).iter().enumerate()
    {
        put(&store.join(path), bytes);
        // Not pushed on: refused, or what arrives is right.
        let (elsewhere, clone) = (folder.path().join(format!("far-{round}")), folder.path().join("clone"));
        let pins: Vec<Pin> = world.local().pins().unwrap_or_default();
        let pins: Vec<Pin> = pins.into_iter().filter(|pin| pin.roots.contains(&root)).collect();
        let id = ID.parse().expect("an id");
        if !pins.is_empty() && push(&world.local(), &open(&elsewhere), id, &pins, &Null).is_ok() {
            let clone = Local::open(&clone).expect("opens");
            fetch(&clone, &open(&elsewhere), &[root], &[], &Null)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            let checked = fsck_remote(&clone, &open(&elsewhere), Depth::Full, &Null).expect("looks");
            assert!(checked.findings.is_empty(), "{what} was pushed on: {:?}", checked.findings);
        }
        // Found: by what it is called, by who reads it. An index is made anew from the packs, which is as good.
        fs::remove_dir_all(&store).expect("removes");
        write(&store, &before);
        put(&store.join(path), bytes);
        match fsck(&world.local(), Depth::Full, &Null) {
            Ok(checked) => {
                let said = format!("{:?}", checked.findings);
                let index = path.starts_with("index");
                assert!(!checked.findings.is_empty() || index, "{what} was not found");
                assert!(index || names(path).iter().any(|name| said.contains(name)), "{what}: {said}");
            }
            Err(error) => {
                assert!(names(path).iter().any(|name| error.to_string().contains(name)), "{what}: {error}")
            }
        }
        for folder in [elsewhere, clone] {
            let _ = fs::remove_dir_all(folder);
        }
        fs::remove_dir_all(&store).expect("removes");
        write(&store, &before);
    }
    let data = world.project.path().join("data/set");
    fs::remove_dir_all(&data).expect("removes");
    ok(world.project.path(), &["data", "checkout"]);
    same(&read(&data), &world.files, "whole again");
}

/// Repair lists anew what a damaged index object listed, with a copy of it at hand and without; `far` is as before then.
fn mended(far: &Path, known: &Local, root: Digest, what: &str) {
    let folder = tempfile::tempdir().expect("makes a folder");
    let damaged = read(far);
    for copies in [true, false] {
        let empty = Local::open(&folder.path().join("empty")).expect("opens");
        let clone = if copies { known } else { &empty };
        let checked = fsck_remote(clone, &open(far), Depth::Quick, &Null).expect("looks");
        assert!(!checked.findings.is_empty(), "{what}, copies {copies}: not found");
        let done = repair_remote(clone, &open(far), Depth::Quick, false, &Null).expect("repairs");
        assert!(done.left.is_empty() && done.reindexed > 0, "{what}, copies {copies}: {done:?}");
        let fresh = Local::open(&folder.path().join(format!("fresh-{copies}"))).expect("opens");
        fetch(&fresh, &open(far), &[root], &[], &Null).unwrap_or_else(|error| panic!("{what}: {error}"));
        fs::remove_dir_all(far).expect("removes");
        write(far, &damaged);
    }
}

#[test]
fn damage_anywhere_on_a_remote_is_found_named_and_not_fetched() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let far = folder.path().join("far");
    let world = World::new(&far);
    let paths = kept(&far);
    let root = world.local().pins().expect("reads").iter().find_map(|pin| pin.roots.first().copied());
    let root = root.expect("a version");
    let before = read(&far);
    // A clone that has copies of indexes and pins must not take them for what is there.
    let known = Local::open(&folder.path().join("known")).expect("opens");
    fetch(&known, &world.remote(), &[root], &[], &Null).expect("fetches");
    for Damage { path, bytes, what } in &damages(&before, &paths, rounds(500, 5000), 1_000_000) {
        put(&far.join(path), bytes);
        if path.starts_with("index") {
            let checked = fsck_remote(&known, &world.remote(), Depth::Quick, &Null).expect("looks");
            let said = format!("{:?}", checked.findings);
            assert!(names(path).iter().any(|name| said.contains(name)), "{what}: {said}");
            mended(&far, &known, root, what);
            put(&far.join(path), &before[path]);
            continue;
        }
        let clone = Local::open(&folder.path().join("clone")).expect("opens");
        if fetch(&clone, &world.remote(), &[root], &[], &Null).is_ok() {
            let checked = fsck(&clone, Depth::Full, &Null).expect("looks");
            assert!(checked.findings.is_empty(), "{what} was fetched: {:?}", checked.findings);
        }
        let looking = Local::open(&folder.path().join("looking")).expect("opens");
        match fsck_remote(&looking, &world.remote(), Depth::Full, &Null) {
            Ok(checked) => {
                let said = format!("{:?}", checked.findings);
                assert!(!checked.findings.is_empty(), "{what} was not found");
                assert!(names(path).iter().any(|name| said.contains(name)), "{what}: {said}");
            }
            Err(error) => {
                assert!(names(path).iter().any(|name| error.to_string().contains(name)), "{what}: {error}")
            }
        }
        for name in ["clone", "looking"] {
            fs::remove_dir_all(folder.path().join(name)).expect("removes");
        }
        put(&far.join(path), &before[path]);
    }
    let clone = Local::open(&folder.path().join("clone")).expect("opens");
    fetch(&clone, &world.remote(), &[root], &[], &Null).expect("whole again");
    let checked = fsck_remote(&clone, &world.remote(), Depth::Full, &Null).expect("looks");
    assert!(checked.findings.is_empty(), "{:?}", checked.findings);
}
