use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::*;

#[test]
fn the_same_content_has_the_same_id_wherever_and_whenever_it_is() {
    let (one, two) = (World::new(), World::new());
    varied(&one);
    varied(&two);
    two.age();
    assert_eq!(one.snapshot().root, two.snapshot().root);
    let identified = identify(&one.data(), &one.cache, &Null).expect("identifies");
    assert_eq!(identified.root, two.snapshot().root);
}

#[test]
fn a_snapshot_counts_what_it_saw() {
    let world = World::new();
    varied(&world);
    let first = world.snapshot();
    assert_eq!((first.files, first.root.kind), (8, NodeKind::Directory));
    assert_eq!(first.bytes, first.root.size);
    assert_eq!(first.bytes, 500 + 9 + 10 + 10 + 4 + 3_000_000 + 8);
    assert!(first.stored > 0);
    let node = world.store.find(&first.root.id, "train/link").expect("looks").expect("is there");
    assert_eq!((node.kind, node.size), (NodeKind::Link, 8));
    assert_eq!(world.store.read(&node.id).expect("reads"), b"../a.txt");
    let node = world.store.find(&first.root.id, "long.bin").expect("looks").expect("is there");
    assert_eq!(node.id, Digest::of(&world.read("long.bin")), "the id is what b3sum prints");
}

#[test]
fn a_single_file_can_be_a_root() {
    let world = World::new();
    world.write("table.csv", "a,b\n");
    let path = world.path("table.csv");
    let taken = snapshot(&path, &world.store, Some(&world.cache), &Null).expect("takes a snapshot");
    let expected = Node { name: Vec::new(), kind: NodeKind::File, size: 4, id: Digest::of(b"a,b\n") };
    assert_eq!(taken.root, expected);
    fs::write(&path, "a,c\n").expect("writes");
    let changes = status(&taken.root, &path, &world.store, &world.cache, &Null).expect("compares");
    assert_eq!(changes.iter().map(describe).collect::<Vec<_>>(), ["~ "]);
}

#[test]
fn many_files_and_names_that_are_not_unicode_survive() {
    let world = World::new();
    for i in 0..3000 {
        world.write(&format!("many/{i}"), "");
    }
    for name in [&b"caf\xe9"[..], b"\xff\xfe", b"new\nline", b" ", b"-rf"] {
        fs::write(world.data().join(OsStr::from_bytes(name)), name).expect("writes");
    }
    let before = world.listing();
    let taken = world.snapshot();
    assert_eq!(taken.files, 3005);
    fs::remove_dir_all(world.data()).expect("removes");
    world.checkout(&taken.root, false);
    assert_eq!(world.listing(), before);
}

#[test]
fn mlpignore_is_honoured_and_gitignore_is_not() {
    let world = World::new();
    world.write(".mlpignore", "*.tmp\n/cache/\n");
    world.write(".gitignore", "*\n");
    world.write("x.tmp", "x");
    world.write("cache/big", "x");
    world.write("kept/cache/file", "x");
    world.write("kept/.mlpignore", "!y.tmp\n");
    world.write("kept/y.tmp", "y");
    let root = world.snapshot().root;
    let has = |path: &str| world.store.find(&root.id, path).expect("looks").is_some();
    let seen = ["x.tmp", "cache", "kept/cache/file", "kept/y.tmp", ".gitignore", ".mlpignore"].map(has);
    assert_eq!(seen, [false, false, true, true, true, true]);
    world.write("z.tmp", "z");
    assert!(world.status(&root).is_empty());
    world.checkout(&root, true);
    assert!(world.path("z.tmp").exists(), "what is ignored is not touched");
}

#[test]
fn status_tells_what_was_added_changed_and_removed() {
    let world = World::new();
    varied(&world);
    let root = world.snapshot().root;
    assert!(world.status(&root).is_empty());
    world.write("a.txt", "changed");
    world.write("train/7/new.png", "new");
    world.write("fresh/one/two", "new");
    fs::remove_file(world.path("train/8/y.png")).expect("removes");
    fs::remove_dir(world.path("nothing here")).expect("removes");
    fs::set_permissions(world.path("run.sh"), fs::Permissions::from_mode(0o644)).expect("sets the mode");
    fs::remove_dir_all(world.path("deep")).expect("removes");
    world.write("deep", "a file now");
    assert_eq!(
        world.status(&root),
        [
            "~ a.txt",
            "+ deep",
            "- deep/er/and/deeper/file",
            "+ fresh/one/two",
            "- nothing here",
            "~ run.sh",
            "+ train/7/new.png",
            "- train/8/y.png"
        ]
    );
    let new = world.snapshot().root;
    let stored = diff(&world.store, Some(&root), Some(&new)).expect("compares");
    assert_eq!(stored.len(), 8);
    assert_eq!(diff(&world.store, None, Some(&new)).expect("compares").len(), 10);
    assert!(diff(&world.store, Some(&new), Some(&new)).expect("compares").is_empty());
}

#[test]
fn a_difference_in_a_large_directory_is_found() {
    let world = World::new();
    for i in 0..5000 {
        world.write(&format!("{i:05}"), "");
    }
    let before = world.snapshot().root;
    world.write("03333", "edited");
    fs::remove_file(world.path("01111")).expect("removes");
    world.write("09999", "");
    let after = world.snapshot().root;
    let changes = diff(&world.store, Some(&before), Some(&after)).expect("compares");
    assert_eq!(changes.iter().map(describe).collect::<Vec<_>>(), ["- 01111", "~ 03333", "+ 09999"]);
}

#[test]
fn a_folder_that_is_not_there_is_all_removed_and_cannot_be_added() {
    let world = World::new();
    world.write("x", "x");
    let root = world.snapshot().root;
    fs::remove_dir_all(world.data()).expect("removes");
    assert_eq!(world.status(&root), ["- x"]);
    let error = snapshot(&world.data(), &world.store, None, &Null).expect_err("an error");
    assert!(matches!(error, StoreError::Absent(_)));
}

#[test]
fn what_is_neither_file_nor_folder_is_left_out_and_does_not_block() {
    let world = World::new();
    world.write("x", "x");
    world.write(".git/config", "[core]");
    let made = std::process::Command::new("mkfifo").arg(world.path("pipe")).status().expect("runs mkfifo");
    assert!(made.success());
    assert_eq!(world.snapshot().files, 1);
}

#[test]
fn links_that_lead_out_of_the_folder_are_refused_by_name() {
    for target in ["/etc/passwd", "../outside", "x/../../outside"] {
        let world = World::new();
        symlink(target, world.path("bad link")).expect("links");
        let error = snapshot(&world.data(), &world.store, None, &Null).expect_err("an error");
        assert!(
            matches!(error, StoreError::Link { .. }) && error.to_string().contains("bad link"),
            "{error}"
        );
    }
}
