//! Parts of versions, and edits of single paths.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A version with these files.
fn version(world: &World, files: &[&str]) -> Node {
    let _ = fs::remove_dir_all(world.data());
    fs::create_dir(world.data()).expect("makes a folder");
    files.iter().for_each(|file| world.write(file, file));
    world.snapshot().root
}

fn sparse(patterns: &[&str]) -> Sparse {
    Sparse::new(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>()).expect("patterns")
}

/// The paths of all files of a version.
fn paths(world: &World, root: &Node) -> Vec<String> {
    let changes = diff(&world.store, None, Some(root)).expect("compares");
    changes.iter().map(|change| String::from_utf8_lossy(&change.path).into_owned()).collect()
}

const FILES: [&str; 6] =
    ["a.csv", "raw/a.csv", "raw/deep/b.txt", "train/1/x.png", "train/2/y.png", "train/list.csv"];

#[test]
fn patterns_choose_as_in_gitignore() {
    let world = World::new();
    let root = version(&world, &FILES);
    for (patterns, chosen) in [
        (&["/train/"][..], &["train/1/x.png", "train/2/y.png", "train/list.csv"][..]),
        (&["train/1"], &["train/1/x.png"]),
        (&["*.csv"], &["a.csv", "raw/a.csv", "train/list.csv"]),
        (&["*.csv", "!raw/"], &["a.csv", "train/list.csv"]),
        (&["!raw/"], &["a.csv", "train/1/x.png", "train/2/y.png", "train/list.csv"]),
        (&["train/", "!train/2/"], &["train/1/x.png", "train/list.csv"]),
        (&["train/*/y.png", "deep/"], &["raw/deep/b.txt", "train/2/y.png"]),
        (&["nothing"], &[]),
    ] {
        let part = sparse(patterns).narrow(&root, &world.store).expect("narrows");
        let size: usize = chosen.iter().map(|path| path.len()).sum();
        assert_eq!(
            paths(&world, &part).iter().filter(|path| !path.is_empty()).collect::<Vec<_>>(),
            chosen,
            "{patterns:?}"
        );
        assert_eq!(part.size, size as u64);
    }
}

#[test]
fn patterns_that_say_nothing_are_refused() {
    for pattern in ["", " ", "# a comment", "a\nb", "[z-a]"] {
        assert!(matches!(Sparse::new(&[pattern.to_owned()]), Err(StoreError::Pattern { .. })), "{pattern:?}");
    }
}

#[test]
fn only_folders_that_may_hold_something_are_looked_into() {
    let world = World::new();
    let root = version(&world, &FILES);
    // Another store has the root alone, and the folder that is chosen.
    let other = Local::open(&world.dir.path().join("other")).expect("opens");
    let mut writer = other.writer().expect("writes");
    writer.tree(&world.store.tree(&root.id).expect("reads")).expect("adds");
    writer.finish().expect("finishes");
    let part = sparse(&["/train/"]).narrow(&root, &other).expect("needs no more");
    assert_eq!(part.size, 40);
    assert!(matches!(sparse(&["x.png"]).narrow(&root, &other), Err(StoreError::Missing(_))));
}

#[test]
fn what_is_added_from_a_part_drops_nothing_outside_of_it() {
    let world = World::new();
    let root = version(&world, &FILES);
    let sparse = sparse(&["/train/", "!/train/2/"]);
    let part = sparse.narrow(&root, &world.store).expect("narrows");
    world.checkout(&part, false);
    assert!(!world.path("raw").exists() && !world.path("train/2").exists());
    assert!(world.status(&part).is_empty());
    fs::remove_dir_all(world.path("train/1")).expect("removes");
    world.write("train/list.csv", "edited");
    world.write("elsewhere/new", "new");
    let edited = world.snapshot().root;
    let whole = sparse.widen(&root, &edited, &world.store).expect("widens");
    let changes = diff(&world.store, Some(&root), Some(&whole)).expect("compares");
    let changes: Vec<_> = changes.iter().map(describe).collect();
    assert_eq!(changes, ["+ elsewhere/new", "- train/1/x.png", "~ train/list.csv"]);
}

#[test]
fn a_file_cannot_take_the_place_of_a_folder_that_is_not_here() {
    let world = World::new();
    let root = version(&world, &FILES);
    let sparse = sparse(&["/train/"]);
    let part = sparse.narrow(&root, &world.store).expect("narrows");
    world.checkout(&part, false);
    world.write("raw", "a file");
    let edited = world.snapshot().root;
    assert!(matches!(sparse.widen(&root, &edited, &world.store), Err(StoreError::Name { .. })));
}

#[test]
fn edits_change_single_paths_and_nothing_else() {
    let world = World::new();
    let root = version(&world, &FILES);
    let put = world.store.put(b"put").expect("stores");
    let node = Node { name: Vec::new(), kind: NodeKind::File, size: 3, id: put };
    let edits = Edits::from([
        ("raw/deep/b.txt".to_owned(), Edit::Remove),
        ("train/1".to_owned(), Edit::Remove),
        ("new/folder/file".to_owned(), Edit::Put(node.clone())),
        ("a.csv".to_owned(), Edit::Put(node)),
    ]);
    let new = edit(&world.store, &root, &edits).expect("edits");
    assert_eq!(
        paths(&world, &new),
        ["a.csv", "new/folder/file", "raw/a.csv", "train/2/y.png", "train/list.csv"]
    );
    assert_eq!(new.size, root.size + 6 - 5 - 14 - 13);
}

#[test]
fn edits_that_make_no_sense_are_refused() {
    let world = World::new();
    let root = version(&world, &FILES);
    let node = Node { name: Vec::new(), kind: NodeKind::File, size: 3, id: Digest::of(b"put") };
    for (path, what) in [
        ("absent", Edit::Remove),
        ("train/absent/x", Edit::Remove),
        ("a.csv/below", Edit::Put(node.clone())),
        ("../outside", Edit::Put(node.clone())),
        ("x/.git/config", Edit::Put(node.clone())),
        ("x//y", Edit::Put(node)),
    ] {
        let refused = edit(&world.store, &root, &Edits::from([(path.to_owned(), what)]));
        assert!(
            matches!(refused, Err(StoreError::Absent(_) | StoreError::Name { .. })),
            "{path}: {refused:?}"
        );
    }
}

/// A stored tree of files with these paths; none if a path would have to be file and folder.
fn tree(world: &World, files: &BTreeMap<Vec<u8>, u8>) -> Option<Node> {
    let empty = Tree::default();
    let mut writer = world.store.writer().ok()?;
    let id = writer.tree(&empty).ok()?;
    writer.finish().ok()?;
    let root = Node { name: Vec::new(), kind: NodeKind::Directory, size: 0, id };
    let mut edits = Edits::new();
    for (path, content) in files {
        let path: Vec<String> = path.iter().map(|part| format!("{}", char::from(b'a' + part % 3))).collect();
        let node =
            Node { name: Vec::new(), kind: NodeKind::File, size: 1, id: world.store.put(&[*content]).ok()? };
        edits.insert(path.join("/"), Edit::Put(node));
    }
    edit(&world.store, &root, &edits).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_part_laid_over_its_version_is_that_version(
        files in prop::collection::btree_map(prop::collection::vec(0u8..3, 1..4), 0u8..3, 0..12),
        patterns in prop::collection::vec("!?/?[ab*](/[abc*]){0,2}/?", 1..4),
    ) {
        let world = World::new();
        let sparse = Sparse::new(&patterns).expect("patterns");
        if let Some(root) = tree(&world, &files) {
            let part = sparse.narrow(&root, &world.store).expect("narrows");
            let whole = sparse.widen(&root, &part, &world.store).expect("widens");
            prop_assert_eq!(whole, root);
            // What was chosen is chosen again.
            prop_assert_eq!(sparse.narrow(&part, &world.store).expect("narrows"), part);
        }
    }
}
