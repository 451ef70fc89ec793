use super::*;

#[test]
fn a_snapshot_checks_out_as_it_was() {
    let world = World::new();
    varied(&world);
    let before = world.listing();
    let root = world.snapshot().root;
    fs::remove_dir_all(world.data()).expect("removes");
    let done = world.checkout(&root, false);
    assert_eq!((done.written, done.bytes, done.kept, done.dirty.len()), (8, root.size, 0, 0));
    assert_eq!(world.listing(), before);
    assert!(world.status(&root).is_empty());
    let again = world.checkout(&root, false);
    assert_eq!((again.written, again.removed, again.kept), (0, 0, 8));
}

#[test]
fn checkouts_go_back_and_forth_between_versions() {
    let world = World::new();
    varied(&world);
    let (old, old_listing) = (world.snapshot().root, world.listing());
    world.write("a.txt", "version two");
    world.write("added/file", "new");
    fs::remove_dir_all(world.path("deep")).expect("removes");
    world.write("deep", "a file where a folder was");
    fs::remove_file(world.path("empty")).expect("removes");
    world.write("empty/no more", "a folder where a file was");
    fs::remove_file(world.path("train/link")).expect("removes");
    fs::remove_dir(world.path("nothing here")).expect("removes");
    fs::set_permissions(world.path("run.sh"), fs::Permissions::from_mode(0o644)).expect("sets the mode");
    let (new, new_listing) = (world.snapshot().root, world.listing());
    for (root, listing) in [(&old, &old_listing), (&new, &new_listing), (&old, &old_listing)] {
        let done = world.checkout(root, false);
        assert!(done.dirty.is_empty(), "{:?}", done.dirty);
        assert_eq!(&world.listing(), listing);
        assert!(world.status(root).is_empty());
    }
}

#[test]
fn edits_are_kept_and_listed_without_force() {
    let world = World::new();
    varied(&world);
    let root = world.snapshot().root;
    world.write("a.txt", "precious edit");
    world.write("train/7/untracked", "precious too");
    fs::remove_file(world.path("empty")).expect("removes");
    let done = world.checkout(&root, false);
    assert_eq!(done.dirty, ["a.txt", "train/7/untracked"]);
    assert_eq!(done.written, 1, "what is missing is written");
    assert_eq!(world.read("a.txt"), b"precious edit");
    assert_eq!(world.read("train/7/untracked"), b"precious too");
    // Having looked at the edit does not make it ours.
    assert_eq!(world.status(&root), ["~ a.txt", "+ train/7/untracked"]);
    assert_eq!(world.checkout(&root, false).dirty, ["a.txt", "train/7/untracked"]);
}

#[test]
fn an_edit_to_content_that_the_store_has_is_kept_too() {
    let world = World::new();
    world.write("a", "one");
    world.write("b", "two");
    let root = world.snapshot().root;
    world.write("a", "two");
    assert_eq!(world.checkout(&root, false).dirty, ["a"]);
    world.status(&root);
    assert_eq!(world.checkout(&root, false).dirty, ["a"]);
}

#[test]
fn force_moves_edits_to_the_trash() {
    let world = World::new();
    varied(&world);
    let (root, before) = (world.snapshot().root, world.listing());
    world.write("train/7/x.png", "precious edit");
    world.write("new/untracked", "precious too");
    let done = world.checkout(&root, true);
    assert!(done.dirty.is_empty());
    assert_eq!(world.listing(), before);
    let trash = world.dir.path().join("state/trash");
    let mut kept = fs::read_dir(&trash).expect("lists").map(|entry| entry.expect("lists").path());
    let kept = kept.find(|path| path.is_dir()).expect("one");
    assert_eq!(fs::read(kept.join("train/7/x.png")).expect("reads"), b"precious edit");
    assert_eq!(fs::read(kept.join("new/untracked")).expect("reads"), b"precious too");
}

#[test]
fn a_folder_with_edits_is_not_replaced_by_a_file() {
    let world = World::new();
    world.write("x", "a file");
    let root = world.snapshot().root;
    fs::remove_file(world.path("x")).expect("removes");
    world.write("x/precious", "edit");
    assert_eq!(world.checkout(&root, false).dirty, ["x", "x/precious"]);
    assert_eq!(world.read("x/precious"), b"edit");
    assert!(world.checkout(&root, true).dirty.is_empty());
    assert_eq!(world.read("x"), b"a file");
}

#[test]
fn without_a_cache_only_what_the_store_has_is_replaced() {
    let world = World::new();
    world.write("known", "one");
    let old = world.snapshot().root;
    world.write("known", "two");
    let new = world.snapshot().root;
    world.write("unknown", "edit");
    let done = checkout(&old, &world.data(), &world.store, None, CheckoutOptions::default(), &Null);
    assert_eq!(done.expect("checks out").dirty, ["unknown"]);
    assert_eq!(world.read("known"), b"one");
    assert_ne!(old, new);
}

#[test]
fn a_single_file_is_checked_out() {
    let world = World::new();
    world.write("sub/table.csv", "a,b\n");
    world.write("sub/beside", "untouched");
    let path = world.path("sub/table.csv");
    let root = snapshot(&path, &world.store, Some(&world.cache), &Null).expect("takes a snapshot").root;
    let out = |force| {
        checkout(&root, &path, &world.store, Some(&world.cache), CheckoutOptions { force, kept: None }, &Null)
            .expect("checks out")
    };
    fs::write(&path, "edit").expect("writes");
    assert_eq!(out(false).dirty, ["table.csv"]);
    assert_eq!(out(true).written, 1);
    assert_eq!(world.read("sub/table.csv"), b"a,b\n");
    fs::remove_dir_all(world.path("sub")).expect("removes");
    assert_eq!(out(false).written, 1);
    assert_eq!(out(false).kept, 1);
}

#[test]
fn damaged_bytes_are_named_with_pack_and_file_and_nothing_is_written() {
    let world = World::new();
    world.write("train/x", "0123456789".repeat(7));
    let root = world.snapshot().root;
    let location =
        world.store.locate(&Digest::of("0123456789".repeat(7).as_bytes())).expect("looks").expect("is there");
    let pack = world.store.root().join("packs").join(&location.pack.hex()[..2]).join(location.pack.hex());
    let mut bytes = fs::read(&pack).expect("reads");
    bytes[location.entry.offset as usize + 3] ^= 1;
    fs::write(&pack, bytes).expect("writes");
    fs::remove_dir_all(world.data()).expect("removes");
    let out = || checkout(&root, &world.data(), &world.store, None, CheckoutOptions::default(), &Null);
    let error = out().expect_err("an error").to_string();
    assert!(error.contains("train/x") && error.contains(&pack.display().to_string()), "{error}");
    assert!(!world.path("train/x").exists());
    assert!(matches!(out(), Err(StoreError::Damaged { .. })));
    world.write("train/x", "0123456789".repeat(7));
    world.snapshot();
    assert_eq!(out().expect("checks out").kept, 1);
}

#[test]
fn a_damaged_chunk_is_healed_by_adding_the_file_again() {
    let world = World::new();
    varied(&world);
    let root = world.snapshot().root;
    let node = world.store.find(&root.id, "long.bin").expect("looks").expect("is there");
    let chunk = world.store.recipe(&node.id).expect("reads").expect("a recipe").chunks[3].0;
    let location = world.store.locate(&chunk).expect("looks").expect("is there");
    let pack = world.store.root().join("packs").join(&location.pack.hex()[..2]).join(location.pack.hex());
    let mut bytes = fs::read(&pack).expect("reads");
    bytes[location.entry.offset as usize] ^= 1;
    fs::write(&pack, bytes).expect("writes");
    assert!(matches!(world.store.read(&node.id), Err(StoreError::Damaged { .. })));
    world.snapshot();
    assert_eq!(world.store.read(&node.id).expect("reads"), world.read("long.bin"));
}

#[test]
fn temporary_files_of_a_killed_checkout_are_removed_by_the_next() {
    let world = World::new();
    world.write("train/x", "content");
    let root = world.snapshot().root;
    let make = |name: &str, age: u64| {
        world.write(name, "half");
        let file = fs::File::options().write(true).open(world.path(name)).expect("opens");
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        file.set_modified(time).expect("sets the time");
        file
    };
    make("train/.mlptmp.01jd3q0000000000000000000a", 120);
    make(".mlptmp.01jd3q0000000000000000000b", 3 * 86400);
    make(".mlptmp.01jd3q0000000000000000000c", 1);
    make(".mlptmp.train-images.gz.part", 3 * 86400);
    // Its writer lives.
    let held = make(".mlptmp.01jd3q0000000000000000000d", 120);
    super::super::left_over::claim(&held);
    world.checkout(&root, false);
    let left: Vec<_> = world.listing().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        left,
        [
            ".mlptmp.01jd3q0000000000000000000c",
            ".mlptmp.01jd3q0000000000000000000d",
            ".mlptmp.train-images.gz.part",
            "train",
            "train/x"
        ]
    );
}
