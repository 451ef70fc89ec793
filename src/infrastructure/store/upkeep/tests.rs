use std::fs;
use std::path::PathBuf;

use super::*;
use crate::base::{Digest, Entry, EntryKind, Expectations, Id, Null, Record, Subject, Time};
use crate::infrastructure::store::{
    Appended, Ledger, LedgerHome, Local, Node, NodeKind, Pin, PinKind, Remote, StoreError, StoreSpec, Tree,
    fetch, fetch_pins, push,
};

/// A remote in a folder, and clones.
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

    fn remote(&self) -> Remote {
        let url = format!("fs://{}", self.folder.path().join("far").display());
        let spec = StoreSpec::new(url);
        Remote::open(&"origin".parse().expect("a name"), &spec).expect("opens")
    }

    fn push(&self, local: &Local) {
        push(local, &self.remote(), self.project, &local.pins().expect("reads"), &Null).expect("pushes");
    }

    fn objects(&self, below: &str) -> Vec<PathBuf> {
        let keys = self.remote().list_all(below).expect("lists");
        keys.iter().map(|key| self.folder.path().join("far").join(key)).collect()
    }

    fn collect(&self, local: &Local, options: CollectOptions) -> Collected {
        collect(local, &self.remote(), self.project, &options, &Null).expect("collects")
    }

    /// A clone that has nothing gets all of `root`.
    fn gets(&self, root: &Digest, wanted: &[Vec<u8>]) {
        let fresh = self.clone_of(&Id::new().to_string());
        fetch(&fresh, &self.remote(), &[*root], &[], &Null).expect("fetches");
        let nodes = fresh.tree(root).expect("reads").nodes;
        let found: Vec<_> = nodes.iter().map(|node| fresh.read(&node.id).expect("reads")).collect();
        assert_eq!(found, wanted);
    }
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Stores and pins a folder of files; returns its root and its pin.
fn dataset(local: &Local, contents: &[Vec<u8>]) -> (Digest, Id) {
    let mut writer = local.writer().expect("writes");
    let node = |(at, bytes): (usize, &Vec<u8>)| Node {
        name: format!("file{at:03}").into_bytes(),
        kind: NodeKind::File,
        size: bytes.len() as u64,
        id: writer.blob(bytes).expect("adds"),
    };
    let nodes = contents.iter().enumerate().map(node).collect();
    let root = writer.tree(&Tree { nodes }).expect("adds");
    writer.finish().expect("finishes");
    let pin = Pin { roots: vec![root], ..Pin::new(PinKind::Data, "set") };
    local.put_pin(&pin).expect("pins");
    (root, pin.id)
}

fn retire(pin: Id) -> CollectOptions {
    CollectOptions { retire: vec![pin], ..CollectOptions::default() }
}

fn now(options: CollectOptions) -> CollectOptions {
    CollectOptions { now: true, ..options }
}

#[test]
fn what_no_pin_needs_is_doomed_first_and_deleted_when_its_time_has_come() {
    let world = World::new();
    let ada = world.clone_of("ada");
    let (old, new) = (vec![noise(1, 300_000)], vec![noise(2, 300_000), noise(3, 10)]);
    let (_, retired) = dataset(&ada, &old);
    world.push(&ada);
    let (root, _) = dataset(&ada, &new);
    world.push(&ada);

    let planned = world.collect(&ada, CollectOptions { dry_run: true, ..retire(retired) });
    assert_eq!((planned.pins, planned.doomed, planned.packs), (2, 2, 4), "{planned:?}");
    assert!(world.objects("gc/").is_empty(), "a dry run writes nothing");

    let doomed = world.collect(&ada, retire(retired));
    assert_eq!((doomed.doomed, doomed.deleted, doomed.retired), (2, 0, 1), "{doomed:?}");
    assert_eq!((world.objects("packs/").len(), world.objects("pins/").len()), (4, 1));
    let waits = world.collect(&ada, CollectOptions::default());
    assert_eq!((waits.doomed, waits.deleted, waits.waiting), (0, 0, 2), "{waits:?}");

    let gone = world.collect(&ada, now(CollectOptions::default()));
    assert_eq!((gone.deleted, gone.waiting), (2, 0), "{gone:?}");
    assert_eq!(world.objects("packs/").len(), 2);
    world.gets(&root, &new);
    let again = world.collect(&ada, now(CollectOptions::default()));
    assert_eq!((again.deleted, again.doomed), (0, 0), "{again:?}");
}

#[test]
fn another_clones_pin_and_another_projects_keep_their_data() {
    let world = World::new();
    let (ada, ben) = (world.clone_of("ada"), world.clone_of("ben"));
    let (mine, theirs) = (vec![noise(1, 100_000)], vec![noise(1, 100_000), noise(2, 100_000)]);
    let (_, pin) = dataset(&ada, &mine);
    world.push(&ada);
    let (root, _) = dataset(&ben, &theirs);
    let other = Id::new();
    push(&ben, &world.remote(), other, &ben.pins().expect("reads"), &Null).expect("pushes");
    let done = world.collect(&ada, now(retire(pin)));
    assert!(done.deleted <= 1, "only the tree of the first: {done:?}");
    world.gets(&root, &theirs);
}

#[test]
fn a_pack_of_which_little_is_needed_is_packed_anew() {
    let world = World::new();
    let ada = world.clone_of("ada");
    let all: Vec<_> = (0..20).map(|seed| noise(seed, 50_000)).collect();
    let (_, pin) = dataset(&ada, &all);
    world.push(&ada);
    let (root, _) = dataset(&ada, &all[..3]);
    world.push(&ada);
    let done = world.collect(&ada, now(retire(pin)));
    assert!(done.repacked_bytes >= 150_000 && done.repacked_bytes < 200_000, "{done:?}");
    assert!(done.deleted >= 1, "{done:?}");
    let stored: u64 =
        world.objects("packs/").iter().map(|path| fs::metadata(path).expect("is there").len()).sum();
    assert!(stored < 200_000, "{stored}");
    world.gets(&root, &all[..3]);
}

#[test]
fn what_was_collected_is_sent_again_under_another_name() {
    let world = World::new();
    let ada = world.clone_of("ada");
    let content = vec![noise(1, 100_000)];
    let (_, pin) = dataset(&ada, &content);
    world.push(&ada);
    let packs = world.objects("packs/");
    dataset(&ada, &[noise(9, 1000)]);
    world.push(&ada);
    world.collect(&ada, now(retire(pin)));
    ada.remove_pin(pin).expect("removes");
    assert!(packs.iter().all(|path| !path.exists()));
    // The same content again: its packs would have the names of those that are doomed.
    let (root, _) = dataset(&ada, &content);
    world.push(&ada);
    world.collect(&ada, now(CollectOptions::default()));
    assert!(packs.iter().all(|path| !path.exists()));
    world.gets(&root, &content);
}

#[test]
fn a_listing_that_leaves_a_pin_out_ends_a_collection_before_anything_is_touched() {
    let world = World::new();
    let ada = world.clone_of("ada");
    dataset(&ada, &[noise(1, 1000)]);
    dataset(&ada, &[noise(2, 1000)]);
    world.push(&ada);
    world.collect(&ada, CollectOptions::default());
    let before = world.objects("packs/");
    let collect = || collect(&ada, &world.remote(), world.project, &now(CollectOptions::default()), &Null);
    let pins = world.objects("pins/");
    let bytes = fs::read(&pins[0]).expect("reads");
    fs::remove_file(&pins[0]).expect("removes");
    let error = collect().expect_err("refused");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    fs::remove_file(&pins[1]).expect("removes");
    collect().expect_err("refused");
    assert_eq!(world.objects("packs/"), before);
    fs::write(&pins[0], bytes).expect("writes");
}

#[test]
fn something_needed_that_is_missing_ends_a_collection() {
    let world = World::new();
    let ada = world.clone_of("ada");
    dataset(&ada, &[noise(1, 1000)]);
    world.push(&ada);
    for index in world.objects("index/") {
        fs::remove_file(index).expect("removes");
    }
    let ben = world.clone_of("ben");
    let error = collect(&ben, &world.remote(), world.project, &now(CollectOptions::default()), &Null);
    assert!(matches!(error, Err(StoreError::NotOnRemote { .. })), "{error:?}");
    assert_eq!(world.objects("packs/").len(), 2);
}

#[test]
fn many_index_objects_become_one_and_everything_is_still_found() {
    let world = World::new();
    let ada = world.clone_of("ada");
    let mut last = None;
    for seed in 0..5 {
        last = Some((dataset(&ada, &[noise(seed, 1000)]).0, vec![noise(seed, 1000)]));
        world.push(&ada);
    }
    // Somebody who read the indexes before goes on, too.
    let ben = world.clone_of("ben");
    let (root, content) = last.expect("pushed");
    fetch(&ben, &world.remote(), &[root], &[], &Null).expect("fetches");
    let plan = compact(&ada, &world.remote(), true).expect("plans");
    assert_eq!(plan, Compacted { before: 5, after: 1 });
    assert_eq!(compact(&ada, &world.remote(), false).expect("compacts"), plan);
    assert_eq!(world.objects("index/").len(), 1);
    world.gets(&root, &content);
    dataset(&ben, &[noise(77, 1000)]);
    world.push(&ben);
    assert_eq!(compact(&ada, &world.remote(), false).expect("compacts"), Compacted { before: 2, after: 1 });
}

#[test]
fn a_store_that_has_never_been_used_is_collected_without_waiting_for_itself() {
    let world = World::new();
    let swept = sweep(&world.clone_of("empty"), &[], &[], false, &Null).expect("sweeps");
    assert_eq!(swept.packs, 0);
}

/// Appends an entry that rests on nothing.
fn append(world: &World, local: &Local, count: usize) -> Vec<Entry> {
    let home = LedgerHome::Remote { remote: world.remote(), cache: local.root().to_owned() };
    let model: crate::base::Name = "digits".parse().expect("a name");
    let ledger = Ledger { home: &home, project: world.project, model: model.clone() };
    for _ in 0..count {
        let entries = ledger.entries().expect("reads");
        let entry = Entry {
            schema: Entry::SCHEMA.to_owned(),
            seq: entries.len() as u64 + 1,
            prev: entries.last().map(Entry::digest),
            op: Id::new(),
            time: Time::now(),
            actor: "ada".to_owned(),
            kind: EntryKind::Register,
            subject: Subject {
                model: model.clone(),
                version: 1,
                tree: Digest::of(b"tree"),
                run: None,
                stage: None,
                commit: None,
                reason: None,
            },
            evidence: Vec::new(),
            signature: None,
        };
        assert_eq!(ledger.append(&entry).expect("appends"), Appended::Yes);
    }
    ledger.entries().expect("reads")
}

#[test]
fn ledgers_are_looked_over_and_get_back_what_a_clone_has() {
    let world = World::new();
    let ada = world.clone_of("ada");
    dataset(&ada, &[noise(1, 1000)]);
    world.push(&ada);
    append(&world, &ada, 4);
    let checked = fsck_remote(&ada, &world.remote(), Depth::Quick, &Null).expect("looks");
    assert_eq!((checked.ledgers, checked.findings.len()), (1, 0), "{:?}", checked.findings);
    let files = world.objects("ledger/");
    let good: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("reads")).collect();
    let ben = world.clone_of("ben");
    // Changed in the middle, gone in the middle, cut, gone.
    let damages: [&dyn Fn(); 5] = [
        &|| fs::write(&files[1], b"{}").expect("writes"),
        &|| fs::write(&files[1], &good[2]).expect("writes"),
        &|| fs::remove_file(&files[1]).expect("removes"),
        &|| files[2..].iter().for_each(|file| fs::remove_file(file).expect("removes")),
        &|| files.iter().for_each(|file| fs::remove_file(file).expect("removes")),
    ];
    for (at, damage) in damages.iter().enumerate() {
        damage();
        let checked = fsck_remote(&ada, &world.remote(), Depth::Quick, &Null).expect("looks");
        assert_eq!(checked.findings.len(), 1, "{at}: {:?}", checked.findings);
        // Who has no copy cannot mend it; that something was cut off, he cannot even know.
        let left = repair_remote(&ben, &world.remote(), Depth::Quick, false, &Null).expect("looks").left;
        assert_eq!(left.len(), usize::from(at < 3), "{at}: {left:?}");
        let planned = repair_remote(&ada, &world.remote(), Depth::Quick, true, &Null).expect("plans");
        assert_eq!((planned.entries, planned.left.len()), (0, 1), "{at}");
        let done = repair_remote(&ada, &world.remote(), Depth::Quick, false, &Null).expect("mends");
        assert_eq!(done.entries, [1, 1, 1, 2, 4][at], "{at}");
        assert!(done.left.is_empty(), "{at}: {:?}", done.left);
        for (file, good) in files.iter().zip(&good) {
            assert_eq!(fs::read(file).expect("reads"), *good, "{at}");
        }
    }
    // The other way round: the copy gets what the store has.
    let copies: Vec<PathBuf> = files
        .iter()
        .map(|file| {
            let key = file.strip_prefix(world.folder.path().join("far")).expect("is below");
            ada.root().join(key)
        })
        .collect();
    fs::write(&copies[2], b"{}").expect("writes");
    assert_eq!(fsck(&ada, Depth::Quick, &Null).expect("looks").findings.len(), 1);
    let done = repair(&ada, &[world.remote()], Depth::Quick, false, &Null).expect("mends");
    assert_eq!((done.entries, done.left.len()), (1, 0), "{:?}", done.left);
    assert_eq!(fs::read(&copies[2]).expect("reads"), good[2]);
}

#[test]
fn a_ledger_that_went_on_in_git_is_left_alone() {
    let world = World::new();
    let ada = world.clone_of("ada");
    dataset(&ada, &[noise(1, 1000)]);
    world.push(&ada);
    append(&world, &ada, 3);
    // As the store's ledger stands once it has moved, while this clone's copy has gone on.
    let last = world.objects("ledger/").remove(2);
    fs::remove_file(&last).expect("removes");
    let marker = b"{\"schema\":\"mlp/ledger-moved/1\",\"to\":\"git\"}\n";
    fs::write(&last, marker).expect("writes");
    let done = repair_remote(&ada, &world.remote(), Depth::Quick, false, &Null).expect("looks");
    assert_eq!((done.entries, done.found.len()), (0, 0), "{:?}", done.found);
    assert_eq!(fs::read(&last).expect("reads"), marker);
    collect(&ada, &world.remote(), world.project, &CollectOptions::default(), &Null).expect("is whole");
}

#[test]
fn a_ledger_that_was_rewritten_is_not_mended_with_what_was_there_before() {
    let world = World::new();
    let (ada, eve) = (world.clone_of("ada"), world.clone_of("eve"));
    dataset(&ada, &[noise(1, 1000)]);
    world.push(&ada);
    append(&world, &ada, 3);
    for file in world.objects("ledger/").iter().skip(1) {
        fs::remove_file(file).expect("removes");
    }
    // As long as Ada's copy, shorter, and longer: each is whole, and another one.
    for _ in 0..3 {
        append(&world, &eve, 1);
        let files = world.objects("ledger/");
        let before: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("reads")).collect();
        let done = repair_remote(&ada, &world.remote(), Depth::Quick, false, &Null).expect("looks");
        assert_eq!((done.entries, done.found.len()), (0, 1), "{:?}", done.found);
        let after: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("reads")).collect();
        assert_eq!(before, after);
    }
    let files = world.objects("ledger/");
    let rewritten: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("reads")).collect();
    fs::write(&files[1], b"{}").expect("damages");
    let done = repair_remote(&ada, &world.remote(), Depth::Quick, false, &Null).expect("looks");
    assert_eq!((done.entries, done.left.len()), (0, 1), "what follows is not what Ada has");
    let done = repair_remote(&eve, &world.remote(), Depth::Quick, false, &Null).expect("mends");
    assert_eq!((done.entries, done.left.len()), (1, 0));
    assert_eq!(fs::read(&files[1]).expect("reads"), rewritten[1]);
}

#[test]
fn a_record_that_only_a_ledger_needs_is_missed() {
    let world = World::new();
    let ada = world.clone_of("ada");
    dataset(&ada, &[noise(1, 1000)]);
    world.push(&ada);
    let id = Digest::of(b"nowhere");
    let home = LedgerHome::Remote { remote: world.remote(), cache: ada.root().to_owned() };
    let model: crate::base::Name = "digits".parse().expect("a name");
    let ledger = Ledger { home: &home, project: world.project, model };
    let entry = Entry { evidence: vec![id], ..append(&world, &ada, 1).remove(0) };
    let next = Entry {
        seq: 2,
        prev: ledger.entries().expect("reads").last().map(Entry::digest),
        op: Id::new(),
        ..entry
    };
    assert_eq!(ledger.append(&next).expect("appends"), Appended::Yes);
    let checked = fsck_remote(&ada, &world.remote(), Depth::Quick, &Null).expect("looks to the end");
    assert!(checked.findings.len() == 1 && checked.findings[0].what.contains(&id.hex()), "{checked:?}");
    let error = collect(&ada, &world.remote(), world.project, &CollectOptions::default(), &Null);
    assert!(matches!(error, Err(StoreError::NotOnRemote { .. })), "{error:?}");
}

#[test]
fn pins_that_are_damaged_or_gone_come_back_from_a_clone_that_has_them() {
    let world = World::new();
    let ada = world.clone_of("ada");
    dataset(&ada, &[noise(1, 1000)]);
    world.push(&ada);
    let look =
        |local: &Local| fsck_remote(local, &world.remote(), Depth::Quick, &Null).expect("looks").findings;
    assert!(look(&ada).is_empty());
    let pin = world.objects("pins/").remove(0);
    let good = fs::read(&pin).expect("reads");
    let damages: [&dyn Fn(); 3] =
        [&|| fs::write(&pin, b"{}").expect("writes"), &|| fs::write(&pin, b"").expect("writes"), &|| {
            fs::remove_file(&pin).expect("removes")
        }];
    for (at, damage) in damages.iter().enumerate() {
        damage();
        assert_eq!(look(&ada).len(), 1, "{at}");
        let done = repair_remote(&ada, &world.remote(), Depth::Quick, false, &Null).expect("mends");
        assert_eq!((done.pins, done.left.len()), (1, 0), "{at}: {:?}", done.left);
        assert_eq!(fs::read(&pin).expect("reads"), good, "{at}");
    }
    fs::write(&pin, b"{}").expect("writes");
    let ben = world.clone_of("ben");
    let done = repair_remote(&ben, &world.remote(), Depth::Quick, false, &Null).expect("looks");
    assert_eq!((done.pins, done.left.len()), (0, 1), "who has no copy cannot mend it");
}

#[test]
fn a_sample_has_a_hundredth_of_many_packs_and_several_of_few() {
    let packs: Vec<Digest> = (0..2000_u32).map(|n| Digest::of(&n.to_le_bytes())).collect();
    let chosen = |count: usize| Depth::Sample.chosen(&packs[..count]).len();
    assert_eq!([0, 1, 7, 15, 80, 800, 2000].map(chosen), [0, 1, 7, 15, 8, 8, 20]);
    assert_eq!((Depth::Quick.chosen(&packs).len(), Depth::Full.chosen(&packs).len()), (0, 2000));
}

#[test]
fn a_record_is_missed_on_the_store_though_this_clone_has_it_and_no_pin_is_left() {
    let world = World::new();
    let ada = world.clone_of("ada");
    dataset(&ada, &[noise(1, 1000)]);
    world.push(&ada);
    let body =
        Expectations { data: "set".parse().expect("a name"), tree: Digest::of(b"tree"), outcomes: vec![] };
    let id = ada.put_record(&Record::new("ada", vec![], body)).expect("stores");
    let home = LedgerHome::Remote { remote: world.remote(), cache: ada.root().to_owned() };
    let ledger = Ledger { home: &home, project: world.project, model: "digits".parse().expect("a name") };
    let first = append(&world, &ada, 1).remove(0);
    let entry = Entry { seq: 2, prev: Some(first.digest()), op: Id::new(), evidence: vec![id], ..first };
    assert_eq!(ledger.append(&entry).expect("appends"), Appended::Yes);
    let done = repair_remote(&ada, &world.remote(), Depth::Quick, false, &Null).expect("mends");
    assert_eq!((done.records, done.left.len()), (1, 0), "{:?}", done.found);
    let ben = world.clone_of("ben");
    assert!(fsck_remote(&ben, &world.remote(), Depth::Quick, &Null).expect("looks").findings.is_empty());
}

#[test]
fn the_marker_of_a_store_comes_back_and_its_loss_is_no_empty_store() {
    let world = World::new();
    let ada = world.clone_of("ada");
    dataset(&ada, &[noise(1, 1000)]);
    world.push(&ada);
    let marker = world.folder.path().join("far/mlpstore.json");
    let good = fs::read(&marker).expect("reads");
    let damages: [&dyn Fn(); 2] =
        [&|| fs::remove_file(&marker).expect("removes"), &|| fs::write(&marker, b"{}").expect("writes")];
    for damage in damages {
        damage();
        let ben = world.clone_of(&Id::new().to_string());
        let error = fetch_pins(&ben, &world.remote(), world.project, &Null).expect_err("no empty store");
        assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
        assert_eq!(fsck_remote(&ada, &world.remote(), Depth::Quick, &Null).expect("looks").findings.len(), 1);
        let done = repair_remote(&ada, &world.remote(), Depth::Quick, false, &Null).expect("mends");
        assert_eq!((done.found.len(), done.left.len()), (1, 0), "{:?}", done.left);
        assert_eq!(fs::read(&marker).expect("reads"), good);
        fetch_pins(&ben, &world.remote(), world.project, &Null).expect("fetches");
    }
    // Another store in its place is not made this one.
    let other = String::from_utf8(good).expect("is text");
    let id = world.remote().id(&ada).expect("has one").to_string();
    let other = other.replace(&id, &Id::new().to_string());
    fs::write(&marker, &other).expect("writes");
    let error = repair_remote(&ada, &world.remote(), Depth::Quick, false, &Null).expect_err("another store");
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert_eq!(fs::read_to_string(&marker).expect("reads"), other);
}
