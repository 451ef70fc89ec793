use std::fs;

use super::super::WHOLE_FILE_LIMIT;
use super::*;
use crate::base::{Expectations, Record, RecordKind};

fn store() -> (tempfile::TempDir, Local) {
    let dir = tempfile::tempdir().expect("makes a folder");
    let store = Local::open(&dir.path().join("store")).expect("opens");
    (dir, store)
}

fn again(store: &Local) -> Local {
    Local::open(store.root()).expect("opens")
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// All files below a folder of the store.
fn files_in(dir: PathBuf) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in super::super::catalog::names(&dir).expect("lists") {
        let path = dir.join(name);
        if path.is_dir() { found.extend(files_in(path)) } else { found.push(path) }
    }
    found
}

fn flip(path: &Path, position: usize) {
    let mut bytes = fs::read(path).expect("reads");
    bytes[position] ^= 1;
    fs::write(path, bytes).expect("writes");
}

#[test]
fn blobs_of_all_sizes_survive_a_round_trip_into_another_process() {
    let (_dir, store) = store();
    let limit = WHOLE_FILE_LIMIT as usize;
    for length in [0, 1, 63, 5000, limit, limit + 1, 3 * limit + 17] {
        let bytes = noise(length as u64, length);
        let id = store.put(&bytes).expect("stores");
        assert_eq!(id, Digest::of(&bytes));
        let other = again(&store);
        assert_eq!(other.read(&id).expect("reads"), bytes);
        let mut out = Vec::new();
        assert_eq!(other.copy(&id, &mut out).expect("copies"), length as u64);
        assert_eq!(out, bytes);
    }
}

#[test]
fn what_is_stored_twice_takes_no_more_space() {
    let (_dir, store) = store();
    let bytes = noise(1, 3 << 20);
    store.put(&bytes).expect("stores");
    let before = files_in(store.root().to_owned());
    store.put(&bytes).expect("stores");
    assert_eq!(files_in(store.root().to_owned()), before);
    let mut edited = bytes.clone();
    edited[1_500_000] ^= 1;
    let mut writer = store.writer().expect("writes");
    writer.blob(&edited).expect("adds");
    assert!(writer.stored_bytes() < 600_000, "{}", writer.stored_bytes());
}

#[test]
fn nothing_is_visible_before_the_writer_has_finished() {
    let (_dir, store) = store();
    let mut writer = store.writer().expect("writes");
    let id = writer.blob(b"not yet").expect("adds");
    assert!(!store.has(&id).expect("looks"));
    drop(writer);
    assert!(matches!(again(&store).read(&id), Err(StoreError::Missing(missing)) if missing == id));
}

#[test]
fn an_object_added_by_another_process_is_seen() {
    let (_dir, store) = store();
    assert!(!store.has(&Digest::of(b"late")).expect("looks"));
    again(&store).put(b"late").expect("stores");
    assert_eq!(store.read(&Digest::of(b"late")).expect("reads"), b"late");
}

#[test]
fn many_small_writes_leave_few_indexes() {
    let (_dir, store) = store();
    let ids = (0..60u8).map(|i| store.put(&[i; 10]).expect("stores")).collect::<Vec<_>>();
    let indexes = files_in(store.root().join("index")).len();
    assert!(indexes <= 17, "{indexes}");
    let other = again(&store);
    assert!(ids.iter().all(|id| other.has(id).expect("looks")));
}

#[test]
fn two_writers_at_once_both_succeed() {
    let (_dir, store) = store();
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let store = again(&store);
            scope.spawn(move || (0..12u8).for_each(|i| assert!(store.put(&[thread, i]).is_ok())));
        }
    });
    let store = again(&store);
    for (thread, i) in (0..4u8).flat_map(|thread| (0..12u8).map(move |i| (thread, i))) {
        assert_eq!(store.read(&Digest::of(&[thread, i])).expect("reads"), [thread, i]);
    }
}

#[test]
fn a_flipped_byte_in_a_pack_is_found_named_and_healed_by_adding_again() {
    let (_dir, store) = store();
    let mut writer = store.writer().expect("writes");
    let (first, second) =
        (writer.blob(b"first object").expect("adds"), writer.blob(b"second object").expect("adds"));
    writer.finish().expect("finishes");
    let pack = files_in(store.root().join("packs")).remove(0);
    flip(&pack, 8);
    let error = store.read(&first).expect_err("an error");
    assert!(
        matches!(&error, StoreError::Damaged { what, .. } if what.contains(&pack.display().to_string())),
        "{error}"
    );
    assert_eq!(files_in(store.root().join("bad")).len(), 1);
    assert_eq!(store.read(&second).expect("reads"), b"second object");
    assert!(!again(&store).has(&first).expect("looks"), "what is damaged is absent");
    store.put(b"first object").expect("stores");
    assert_eq!(again(&store).read(&first).expect("reads"), b"first object");
}

#[test]
fn a_truncated_or_lost_pack_is_found_and_named() {
    for lost in [false, true] {
        let (_dir, store) = store();
        let id = store.put(b"some bytes").expect("stores");
        let pack = files_in(store.root().join("packs")).remove(0);
        if lost { fs::remove_file(&pack) } else { fs::write(&pack, b"MLPK1") }.expect("damages");
        let error = store.read(&id).expect_err("an error").to_string();
        assert!(error.contains(&pack.display().to_string()), "{error}");
        assert!(!store.has(&id).expect("looks"));
    }
}

#[test]
fn a_flipped_byte_in_an_index_is_found_named_and_the_index_made_anew() {
    let (_dir, store) = store();
    let id = store.put(b"some bytes").expect("stores");
    let index = files_in(store.root().join("index")).remove(0);
    flip(&index, 20);
    let store = again(&store);
    let error = store.read(&id).expect_err("an error").to_string();
    assert!(error.contains(&index.display().to_string()), "{error}");
    assert_eq!(again(&store).read(&id).expect("reads"), b"some bytes");
}

#[test]
fn lost_indexes_are_rebuilt_from_the_packs() {
    let (_dir, store) = store();
    let ids = [&b"one"[..], b"two", b"three"].map(|bytes| store.put(bytes).expect("stores"));
    fs::remove_dir_all(store.root().join("index")).expect("removes");
    let store = again(&store);
    assert!(!store.has(&ids[0]).expect("looks"));
    assert_eq!(store.rebuild_index().expect("rebuilds"), 3);
    assert!(ids.iter().all(|id| store.has(id).expect("looks")));
}

#[test]
fn a_directory_of_any_size_is_found_again() {
    let (_dir, store) = store();
    for count in [0, 3, 5000] {
        let nodes = (0..count)
            .map(|i| Node {
                name: format!("{i:05}").into_bytes(),
                kind: NodeKind::File,
                size: 1,
                id: Digest::of(b"x"),
            })
            .collect();
        let tree = Tree { nodes };
        let mut writer = store.writer().expect("writes");
        let id = writer.tree(&tree).expect("adds");
        let above = Node { name: b"sub".to_vec(), kind: NodeKind::Directory, size: tree.size(), id };
        let root = writer.tree(&Tree { nodes: vec![above] }).expect("adds");
        writer.finish().expect("finishes");
        assert_eq!(id, tree.id());
        assert_eq!(store.tree(&id).expect("reads"), tree);
        for wanted in ["00000", "00002", "04321", "nope", ""] {
            let found = store.find(&root, &format!("sub/{wanted}")).expect("looks");
            let expected = if wanted.is_empty() {
                Some(b"sub".to_vec())
            } else {
                tree.get(wanted.as_bytes()).map(|node| node.name.clone())
            };
            assert_eq!(found.map(|node| node.name), expected, "{wanted} in {count}");
        }
    }
}

#[test]
fn the_closure_of_a_root_holds_every_object_once() {
    let (_dir, store) = store();
    let mut writer = store.writer().expect("writes");
    let large = noise(5, 2 << 20);
    let mut nodes = Vec::new();
    for (name, bytes) in [("a", b"same".to_vec()), ("b", b"same".to_vec()), ("large", large)] {
        let id = writer.blob(&bytes).expect("adds");
        nodes.push(Node { name: name.into(), kind: NodeKind::File, size: bytes.len() as u64, id });
    }
    let root = writer.tree(&Tree { nodes: nodes.clone() }).expect("adds");
    writer.finish().expect("finishes");
    let mut kinds = HashMap::new();
    store
        .closure(&[root, nodes[2].id], &mut |location| {
            *kinds.entry(location.entry.kind).or_insert(0) += 1;
            Ok(())
        })
        .expect("walks");
    let chunks = store.recipe(&nodes[2].id).expect("reads").expect("a recipe").chunks.len();
    let count = |kind| kinds.get(&kind).copied().unwrap_or_default();
    assert_eq!(
        (
            count(ObjectKind::Tree),
            count(ObjectKind::Blob),
            count(ObjectKind::Recipe),
            count(ObjectKind::Chunk)
        ),
        (1, 1, 1, chunks)
    );
}

#[test]
fn an_object_from_elsewhere_is_verified_before_it_is_taken() {
    let (_dir, source) = store();
    let id = source.put(b"travels").expect("stores");
    let location = source.locate(&id).expect("looks").expect("is there");
    let stored = source.stored(&location).expect("reads");
    let (_other, target) = store();
    let mut writer = target.writer().expect("writes");
    let mut forged = stored.clone();
    forged[2] ^= 1;
    assert!(matches!(writer.object(&location.entry, &forged), Err(StoreError::Damaged { .. })));
    assert!(writer.object(&location.entry, &stored[1..]).is_err());
    writer.object(&location.entry, &stored).expect("takes it");
    writer.finish().expect("finishes");
    assert_eq!(target.read(&id).expect("reads"), b"travels");
}

#[test]
fn a_flipped_byte_in_a_record_is_found_named_and_set_aside() {
    let (_dir, store) = store();
    let body: Expectations = serde_json::from_value(serde_json::json!({
        "data": "digits", "tree": Digest::of(b"tree"), "outcomes": []
    }))
    .expect("a body");
    let record = Record::new("Ada <ada@example.org>", vec![], body);
    let id = store.put_record(&record).expect("stores");
    assert_eq!(id, record.digest());
    assert_eq!(store.record::<Expectations>(&id).expect("reads"), record);
    assert_eq!(store.any_record(&id).expect("reads").kind, RecordKind::Expectations);
    assert!(store.record::<crate::base::Leakage>(&id).is_err(), "another kind");
    let path = files_in(store.root().join("records")).remove(0);
    flip(&path, 30);
    let error = store.any_record(&id).expect_err("an error").to_string();
    assert!(error.contains(&path.display().to_string()), "{error}");
    assert!(matches!(store.any_record(&id), Err(StoreError::Damaged { .. })));
    store.put_record(&record).expect("stores again");
    assert_eq!(store.record::<Expectations>(&id).expect("reads"), record);
}

#[test]
fn a_root_is_known_for_a_directory_or_a_file() {
    let (_dir, store) = store();
    for length in [0, 100, 3 << 20] {
        let id = store.put(&vec![7; length]).expect("stores");
        let root = store.root_node(&id).expect("is there");
        assert_eq!((root.kind, root.size, root.id), (NodeKind::File, length as u64, id));
    }
    let mut writer = store.writer().expect("opens");
    let id = writer.blob(b"word").expect("adds");
    let node = Node { name: b"a".to_vec(), kind: NodeKind::File, size: 4, id };
    let tree = writer.tree(&Tree { nodes: vec![node] }).expect("adds");
    writer.finish().expect("finishes");
    let root = store.root_node(&tree).expect("is there");
    assert_eq!((root.kind, root.size), (NodeKind::Directory, 4));
    assert!(matches!(store.root_node(&Digest::of(b"nothing")), Err(StoreError::Missing(_))));
}
