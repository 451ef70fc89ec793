use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::base::{Digest, Expectations, Id, Null, Record, RecordKind};
use crate::infrastructure::store::pack::PackEntry;
use crate::infrastructure::store::pack_index::PackIndex;
use crate::infrastructure::store::{Local, Node, NodeKind, Pin, PinKind, StoreError, StoreSpec, Tree};

/// A folder with a remote `far` and any number of clones.
struct World {
    folder: tempfile::TempDir,
    project: Id,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("makes a folder"), project: Id::new() }
    }

    fn clone_of(&self, name: &str) -> Local {
        Local::open(&self.folder.path().join(name)).expect("opens")
    }

    fn far(&self) -> PathBuf {
        self.folder.path().join("far")
    }

    fn remote(&self) -> Remote {
        open(&format!("fs://{}", self.far().display()))
    }

    fn push(&self, local: &Local) -> Result<Transfer, StoreError> {
        push(local, &self.remote(), self.project, &local.pins().expect("reads"), &Null)
    }

    fn fetch(&self, local: &Local, root: Digest) -> Result<Transfer, StoreError> {
        fetch(local, &self.remote(), &[root], &[], &Null)
    }

    /// Files below a folder of the remote.
    fn objects(&self, folder: &str) -> Vec<PathBuf> {
        files(&self.far().join(folder))
    }
}

fn open(url: &str) -> Remote {
    let spec = StoreSpec::new(url);
    Remote::open(&"origin".parse().expect("a name"), &spec).expect("opens")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Stores a folder of `(name, content)` and pins it.
fn dataset(local: &Local, contents: &[(&str, Vec<u8>)]) -> Digest {
    let mut writer = local.writer().expect("writes");
    let mut nodes: Vec<Node> = contents
        .iter()
        .map(|(name, bytes)| Node {
            name: name.as_bytes().to_vec(),
            kind: NodeKind::File,
            size: bytes.len() as u64,
            id: writer.blob(bytes).expect("adds"),
        })
        .collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let size = nodes.iter().map(|node| node.size).sum();
    let inner = writer.tree(&Tree { nodes }).expect("adds");
    let inner = Node { name: b"inner".to_vec(), kind: NodeKind::Directory, size, id: inner };
    let root = writer.tree(&Tree { nodes: vec![inner] }).expect("adds");
    writer.finish().expect("finishes");
    pin(local, root);
    root
}

fn pin(local: &Local, root: Digest) {
    let pin = Pin { roots: vec![root], ..Pin::new(PinKind::Data, "set") };
    local.put_pin(&pin).expect("pins");
}

fn record(local: &Local, inputs: Vec<Digest>) -> Digest {
    let body =
        Expectations { data: "set".parse().expect("a name"), tree: Digest::of(b"tree"), outcomes: vec![] };
    let id = local.put_record(&Record::new("Ada <ada@example.org>", inputs, body)).expect("stores");
    let kind = PinKind::Record(RecordKind::Expectations);
    local.put_pin(&Pin { records: vec![id], ..Pin::new(kind, "set") }).expect("pins");
    id
}

/// Everything that `root` rests on reads back.
fn whole(local: &Local, root: &Digest) -> Vec<(Vec<u8>, Vec<u8>)> {
    let inner = local.tree(root).expect("reads").nodes.remove(0).id;
    let nodes = local.tree(&inner).expect("reads").nodes;
    nodes.into_iter().map(|node| (node.name, local.read(&node.id).expect("reads"))).collect()
}

fn small() -> Vec<(&'static str, Vec<u8>)> {
    vec![("a", noise(1, 1000)), ("b", noise(2, 2000)), ("long", noise(3, 3 << 20))]
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("reads");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("damages");
}

#[test]
fn an_empty_clone_gets_the_same_content_in_few_requests() {
    let world = World::new();
    let ada = world.clone_of("ada");
    let root = dataset(&ada, &small());
    let sent = world.push(&ada).expect("pushes");
    // Data pack, metadata pack, index, pin; besides the marker and listings of pins (twice, for there was no marker), indexes and, three
    // times, of what is doomed.
    assert_eq!(sent.objects, 4, "{sent:?}");
    assert!(sent.requests <= 12, "{sent:?}");
    assert!(world.objects("tmp").is_empty());

    let ben = world.clone_of("ben");
    let got = world.fetch(&ben, root).expect("fetches");
    assert_eq!(whole(&ben, &root), whole(&ada, &root));
    assert!(got.requests <= 8, "{got:?}");
    let again = world.fetch(&ben, root).expect("fetches");
    assert_eq!((again.objects, again.requests), (0, 0), "nothing is asked for");
}

#[test]
fn a_push_of_nothing_new_costs_two_listings_and_a_changed_file_four_objects() {
    let world = World::new();
    let remote = open("memory://transfer-budget");
    let local = world.clone_of("ada");
    let push = |local: &Local| {
        push(local, &remote, world.project, &local.pins().expect("reads"), &Null).expect("pushes")
    };
    dataset(&local, &small());
    push(&local);
    assert_eq!(push(&local).requests, 2, "pins, indexes");

    let mut changed = small();
    changed[0].1[5] ^= 1;
    dataset(&local, &changed);
    let before = remote.requests();
    let sent = push(&local);
    let after = remote.requests();
    assert_eq!(sent.objects, 4, "{sent:?}");
    assert_eq!((after.puts - before.puts, after.lists - before.lists, after.gets - before.gets), (4, 5, 0));
    assert!(sent.bytes < 8000, "{sent:?}");
}

#[test]
fn records_travel_with_the_records_they_rest_on_and_are_found_by_a_colleague() {
    let world = World::new();
    let ada = world.clone_of("ada");
    let root = dataset(&ada, &small());
    let first = record(&ada, vec![root, Digest::of(b"never stored")]);
    let second = record(&ada, vec![first]);
    world.push(&ada).expect("pushes");
    assert_eq!(world.objects("records").len(), 2);
    assert_eq!(world.push(&ada).expect("pushes").objects, 0);

    let ben = world.clone_of("ben");
    fetch_pins(&ben, &world.remote(), world.project, &Null).expect("fetches");
    assert_eq!(ben.pins().expect("reads"), ada.pins().expect("reads"));
    for id in [first, second] {
        assert_eq!(ben.any_record(&id).expect("reads"), ada.any_record(&id).expect("reads"));
    }
    assert!(!ben.has(&root).expect("looks"), "trees stay where they are");
    let again = fetch_pins(&ben, &world.remote(), world.project, &Null).expect("fetches");
    assert_eq!(again.0.objects, 0);

    // What Ben adds on top names Ada's record, which is there already.
    record(&ben, vec![second]);
    assert_eq!(world.push(&ben).expect("pushes").objects, 2);
}

#[test]
fn two_clones_that_push_at_once_both_succeed() {
    let world = World::new();
    let clones: Vec<(Local, Digest)> = (0..4u64)
        .map(|n| {
            let local = world.clone_of(&format!("clone-{n}"));
            let mut contents = small();
            contents.push(("own", noise(100 + n, 5000)));
            let root = dataset(&local, &contents);
            (local, root)
        })
        .collect();
    std::thread::scope(|scope| {
        for (local, _) in &clones {
            let world = &world;
            scope.spawn(move || world.push(local).expect("pushes"));
        }
    });
    let reader = world.clone_of("reader");
    for (local, root) in &clones {
        world.fetch(&reader, *root).expect("fetches");
        assert_eq!(whole(&reader, root), whole(local, root));
    }
}

#[test]
fn a_push_that_broke_off_sends_no_pack_twice() {
    let world = World::new();
    let local = world.clone_of("ada");
    let root = dataset(&local, &small());
    // What the packs will be called: they follow from the content.
    let rehearsal = open("memory://rehearsal");
    push(&local, &rehearsal, world.project, &local.pins().expect("reads"), &Null).expect("pushes");
    let packs = files(&rehearsal.cache(local.root()).join("index")).remove(0);
    let index = PackIndex::parse(fs::read(packs).expect("reads"), "test").expect("parses");
    let metadata = index.find(&root).expect("is listed").pack;
    // The data pack arrives, the one with the trees cannot be written.
    let obstacle = world.far().join("packs").join(&metadata.hex()[..2]);
    fs::create_dir_all(world.far().join("packs")).expect("makes a folder");
    fs::write(&obstacle, b"in the way").expect("writes");
    world.push(&local).expect_err("broken off");
    assert!(
        world.objects("pins").is_empty() && world.objects("index").is_empty(),
        "no pin before all it names"
    );
    fs::remove_file(&obstacle).expect("clears");
    assert_eq!(world.objects("packs").len(), 1);

    let sent = world.push(&local).expect("goes on");
    assert_eq!(sent.objects, 3, "trees, index and pin: {sent:?}");
    assert_eq!(world.objects("packs").len(), 2);
    assert!(files(&local.root().join("spool")).is_empty());
    let ben = world.clone_of("ben");
    world.fetch(&ben, root).expect("fetches");
    assert_eq!(whole(&ben, &root), whole(&local, &root));
}

#[test]
fn a_flipped_byte_anywhere_on_the_remote_is_refused_and_named() {
    let world = World::new();
    let ada = world.clone_of("ada");
    let root = dataset(&ada, &small());
    world.push(&ada).expect("pushes");
    for path in [world.objects("packs"), world.objects("index")].concat() {
        let length = fs::metadata(&path).expect("is there").len() as usize;
        for at in [6, length / 3, length / 2] {
            flip(&path, at);
            let ben =
                world.clone_of(&format!("ben-{}-{at}", path.file_name().expect("a name").to_string_lossy()));
            match world.fetch(&ben, root) {
                Err(error) => {
                    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
                    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
                }
                // The flipped byte belongs to a header, which fetches do not need.
                Ok(_) => assert_eq!(whole(&ben, &root), whole(&ada, &root)),
            }
            flip(&path, at);
        }
    }
    let ben = world.clone_of("ben");
    world.fetch(&ben, root).expect("whole again");
}

#[test]
fn a_damaged_local_object_is_not_pushed() {
    let world = World::new();
    let ada = world.clone_of("ada");
    dataset(&ada, &small());
    let packs = files(&ada.root().join("packs"));
    let data = packs.iter().max_by_key(|path| fs::metadata(path).expect("is there").len()).expect("a pack");
    flip(data, 2000);
    let error = world.push(&world.clone_of("ada")).expect_err("damaged");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(world.objects("pins").is_empty());
}

#[test]
fn an_index_that_lies_is_refused_without_harm() {
    type Lie = (&'static str, fn(&mut PackEntry));
    let world = World::new();
    let ada = world.clone_of("ada");
    let root = dataset(&ada, &[("a", noise(1, 1000)), ("b", noise(2, 2000))]);
    world.push(&ada).expect("pushes");
    let path = world.objects("index").remove(0);
    let index = PackIndex::parse(fs::read(&path).expect("reads"), "test").expect("parses");
    let honest: Vec<_> = (0..index.len()).map(|position| index.get(position)).collect();
    let lies: [Lie; 6] = [
        ("beyond the pack", |entry| entry.offset += 1_000_000),
        ("beyond any pack", |entry| entry.offset = u32::MAX - 10),
        ("gigantic", |entry| entry.stored = u32::MAX),
        ("long when decoded", |entry| entry.length = u32::MAX),
        ("other bytes", |entry| entry.offset -= 1),
        ("another codec", |entry| entry.codec = 7),
    ];
    for (what, lie) in lies {
        let packs: std::collections::BTreeSet<Digest> = honest.iter().map(|location| location.pack).collect();
        let packs: Vec<(Digest, Vec<PackEntry>)> = packs
            .into_iter()
            .map(|pack| {
                let mut entries: Vec<PackEntry> = honest
                    .iter()
                    .filter(|location| location.pack == pack)
                    .map(|location| location.entry)
                    .collect();
                entries.iter_mut().for_each(lie);
                (pack, entries)
            })
            .collect();
        let bytes = PackIndex::encode(&packs);
        fs::remove_file(world.objects("index").remove(0)).expect("removes");
        let name = format!("{}-{}", Id::new(), PackIndex::id_of(&bytes).hex());
        fs::write(world.far().join("index").join(name), bytes).expect("writes");
        let ben = world.clone_of(&format!("ben {what}"));
        let error = world.fetch(&ben, root).expect_err(what);
        assert!(matches!(error, StoreError::Damaged { .. } | StoreError::Remote { .. }), "{what}: {error}");
        assert!(!ben.has(&root).expect("looks"), "{what}");
    }
}

#[test]
fn a_pin_or_record_with_other_content_is_left_out() {
    let world = World::new();
    let ada = world.clone_of("ada");
    let id = record(&ada, vec![]);
    world.push(&ada).expect("pushes");
    let other = record(&ada, vec![Digest::of(b"another")]);
    world.push(&ada).expect("pushes");
    let path = world.far().join(super::records::key(&id));
    let bytes = fs::read(&path).expect("reads");
    let ben = world.clone_of("ben");
    let fetched = |is_lost: &dyn Fn(&StoreError) -> bool| {
        let (_, lost) = fetch_pins(&ben, &world.remote(), world.project, &Null).expect("goes on without it");
        assert!(lost.keys().eq([&id]) && lost.values().all(is_lost), "{lost:?}");
        let pins = ben.pins().expect("reads");
        assert!(pins.len() == 1 && pins[0].records == [other], "{pins:?}");
        assert!(ben.has_record(&other) && !ben.has_record(&id));
    };
    flip(&path, 30);
    fetched(&|error| error.to_string().contains(&id.hex()) && matches!(error, StoreError::Damaged { .. }));
    fs::remove_file(&path).expect("removes");
    fetched(&|error| matches!(error, StoreError::NotOnRemote { .. }));
    fs::write(&path, bytes).expect("restores");
    let (_, lost) = fetch_pins(&ben, &world.remote(), world.project, &Null).expect("fetches");
    assert!(lost.is_empty() && ben.has_record(&id), "it is asked for again");
    assert_eq!(ben.pins().expect("reads").len(), 2);

    for pin in world.objects("pins") {
        fs::write(pin, b"{}").expect("damages");
    }
    let eve = world.clone_of("eve");
    fetch_pins(&eve, &world.remote(), world.project, &Null).expect("goes on without them");
    assert!(eve.pins().expect("reads").is_empty());
}

#[test]
fn a_pin_whose_record_rests_on_a_damaged_one_is_asked_for_again() {
    let world = World::new();
    let ada = world.clone_of("ada");
    let below = record(&ada, vec![]);
    let above = record(&ada, vec![below]);
    let pins = ada.pins().expect("reads");
    let pin = pins.iter().find(|pin| pin.records == [above]).expect("is there");
    world.push(&ada).expect("pushes");
    let path = world.far().join(super::records::key(&below));
    flip(&path, 30);
    let ben = world.clone_of("ben");
    let (_, lost) = fetch_pins(&ben, &world.remote(), world.project, &Null).expect("goes on");
    assert!(lost.keys().eq([&below]), "{lost:?}");
    assert!(!ben.pins().expect("reads").contains(pin));
    flip(&path, 30);
    fetch_pins(&ben, &world.remote(), world.project, &Null).expect("fetches");
    assert!(ben.pins().expect("reads").contains(pin) && ben.has_record(&below));
}

#[test]
fn what_is_nowhere_is_named() {
    let world = World::new();
    let root = Digest::of(b"nowhere");
    let error = world.fetch(&world.clone_of("ben"), root).expect_err("nothing was ever pushed");
    assert!(matches!(error, StoreError::Empty { .. }), "{error}");
    let ada = world.clone_of("ada");
    dataset(&ada, &small());
    world.push(&ada).expect("pushes");
    let error = world.fetch(&world.clone_of("ben"), root).expect_err("nowhere");
    assert!(matches!(error, StoreError::NotOnRemote { id, .. } if id == root), "{error}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a file is moved out of the way and back")]
fn a_fetch_that_broke_off_goes_on() {
    let world = World::new();
    let ada = world.clone_of("ada");
    let root = dataset(&ada, &small());
    world.push(&ada).expect("pushes");
    let data = world.objects("packs");
    let data = data.iter().max_by_key(|path| fs::metadata(path).expect("is there").len()).expect("a pack");
    let away = world.folder.path().join("away");
    fs::rename(data, &away).expect("moves");
    let ben = world.clone_of("ben");
    world.fetch(&ben, root).expect_err("no data pack");
    assert!(!ben.has(&root).expect("looks"), "a tree is not visible before what it names");
    fs::rename(&away, data).expect("moves back");
    world.fetch(&ben, root).expect("goes on");
    assert_eq!(whole(&ben, &root), whole(&ada, &root));
}
