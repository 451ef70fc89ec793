use proptest::prelude::*;

use super::super::cache::{Cached, Group};
use super::super::stat::Stat;
use super::*;

#[test]
fn files_that_did_not_change_are_not_read_again() {
    let world = World::new();
    varied(&world);
    world.age();
    // The status-change time cannot be set back: wait until the files are old enough.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert_eq!(world.snapshot().hashed, 7);
    assert_eq!(world.snapshot().hashed, 0);
    world.write("a.txt", "text! ".repeat(100));
    assert_eq!(identify(&world.data(), &world.cache, &Null).expect("identifies").hashed, 1);
}

#[test]
fn an_edit_of_the_same_size_within_the_same_second_is_noticed() {
    let world = World::new();
    world.write("x", "one");
    for (i, content) in ["two", "six", "ten", "one"].iter().enumerate() {
        let before = world.snapshot().root;
        fs::write(world.path("x"), content).expect("writes");
        assert_eq!(world.status(&before), ["~ x"], "edit {i}");
    }
}

#[test]
fn an_edit_that_keeps_size_and_modification_time_is_noticed() {
    let world = World::new();
    world.write("x", "one");
    world.age();
    let root = world.snapshot().root;
    let time = fs::metadata(world.path("x")).expect("stats").modified().expect("has a time");
    fs::write(world.path("x"), "two").expect("writes");
    fs::File::options()
        .write(true)
        .open(world.path("x"))
        .expect("opens")
        .set_modified(time)
        .expect("sets the time");
    assert_eq!(world.status(&root), ["~ x"]);
}

#[test]
fn a_damaged_or_truncated_cache_is_only_a_slow_one() {
    let world = World::new();
    varied(&world);
    let root = world.snapshot().root;
    let bytes = fs::read(&world.cache.path).expect("reads");
    for length in [0, 5, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&world.cache.path, &bytes[..length]).expect("writes");
        assert!(world.status(&root).is_empty());
    }
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    fs::write(&world.cache.path, flipped).expect("writes");
    assert_eq!(world.snapshot().root, root);
}

#[test]
fn what_was_only_looked_at_is_stored_when_it_is_added() {
    let world = World::new();
    world.write("x", "looked at");
    let seen = identify(&world.data(), &world.cache, &Null).expect("identifies");
    assert!(!world.store.has(&Digest::of(b"looked at")).expect("looks"));
    assert_eq!(world.snapshot().root, seen.root);
    assert_eq!(world.store.read(&Digest::of(b"looked at")).expect("reads"), b"looked at");
}

#[test]
fn two_snapshots_at_once_both_succeed_and_keep_each_others_cache() {
    let world = World::new();
    for (folder, i) in (0..4).flat_map(|folder| (0..30).map(move |i| (folder, i))) {
        world.write(&format!("{folder}/{i}"), format!("{folder} {i}"));
    }
    world.age();
    std::thread::sleep(std::time::Duration::from_millis(2100));
    std::thread::scope(|scope| {
        for folder in 0..4 {
            let path = world.path(&folder.to_string());
            let store = Local::open(world.store.root()).expect("opens");
            let cache = StatCache::at(world.cache.path.clone());
            scope.spawn(move || assert!(snapshot(&path, &store, Some(&cache), &Null).is_ok()));
        }
    });
    for folder in 0..4 {
        let path = world.path(&folder.to_string());
        let seen = identify(&path, &world.cache, &Null).expect("identifies");
        assert_eq!(seen.hashed, 0, "folder {folder} is in the cache");
        assert!(world.store.tree(&seen.root.id).is_ok());
    }
}

#[test]
fn an_append_across_a_size_class_stores_only_what_is_new() {
    let world = World::new();
    let noise = |length: usize| {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(b"append").finalize_xof().fill(&mut bytes);
        bytes
    };
    world.write("log", noise(6_000_000));
    world.snapshot();
    world.write("log", noise(6_300_000));
    let grown = world.snapshot();
    assert!(grown.stored < 700_000, "{}", grown.stored);
    assert_eq!(world.store.read(&Digest::of(&noise(6_300_000))).expect("reads"), noise(6_300_000));
}

fn cached(seed: u64) -> Cached {
    let stat = Stat {
        dev: seed % 7,
        ino: seed,
        size: seed.wrapping_mul(31),
        mtime: seed as i64,
        ctime: -(seed as i64 / 2),
        mode: seed as u32,
    };
    Cached {
        stat,
        id: Digest::of(&seed.to_le_bytes()),
        tracked: seed.is_multiple_of(2),
        racy: seed.is_multiple_of(3),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_cache_survives_a_round_trip(
        folders in prop::collection::btree_map("/[ab/]{0,5}", prop::collection::btree_map("[a-c\u{e4}]{1,5}", any::<u64>(), 1..20), 0..8)
    ) {
        let dir = tempfile::tempdir().expect("makes a folder");
        let cache = StatCache::at(dir.path().join("index"));
        let groups = folders.iter().map(|(path, files)| {
            let mut group = Group::default();
            files.iter().for_each(|(name, seed)| group.push(name.as_bytes(), cached(*seed)));
            (path.clone().into_bytes(), group)
        });
        let groups = groups.collect::<Vec<_>>();
        cache.update(b"/nowhere/else", groups.clone(), true).expect("writes");
        let read = cache.load().expect("reads");
        for (path, group) in &groups {
            prop_assert_eq!(&read.group(path), group);
        }
        drop(read);
        cache.update(b"/", Vec::new(), true).expect("writes");
        prop_assert_eq!(cache.load().expect("reads").files_below(b"/"), 0);
    }

    #[test]
    fn any_bytes_are_a_cache_that_knows_nothing(bytes: Vec<u8>) {
        let dir = tempfile::tempdir().expect("makes a folder");
        let cache = StatCache::at(dir.path().join("index"));
        fs::write(&cache.path, bytes).expect("writes");
        prop_assert_eq!(cache.load().expect("reads").files_below(b"/"), 0);
    }
}

#[test]
fn the_bytes_of_format_1_stay_readable() {
    let dir = tempfile::tempdir().expect("makes a folder");
    let cache = StatCache::at(dir.path().join("index"));
    fs::write(&cache.path, include_bytes!("../../fixtures/format-1.stat-cache")).expect("writes");
    let read = cache.load().expect("reads");
    let mut group = Group::default();
    for (name, seed) in [(&b"image-1.png"[..], 3), (b"image-2.png", 1 << 40), (b"other", 5)] {
        group.push(name, cached(seed));
    }
    assert_eq!(read.group(b"/project/data/train"), group);
    let written = StatCache::at(dir.path().join("written"));
    written.update(b"/project/data", vec![(b"/project/data/train".to_vec(), group)], true).expect("writes");
    assert_eq!(fs::read(written.path).expect("reads"), include_bytes!("../../fixtures/format-1.stat-cache"));
}
