use super::*;

/// Stores a tree as an attacker would: whatever the nodes say.
fn stored(world: &World, nodes: Vec<Node>) -> Node {
    let mut writer = world.store.writer().expect("writes");
    for content in [&b"payload"[..], b"/etc/passwd", b"../../outside", b"inside"] {
        writer.blob(content).expect("adds");
    }
    let tree = Tree { nodes };
    let id = writer.tree(&tree).expect("adds");
    writer.finish().expect("finishes");
    Node { name: Vec::new(), kind: NodeKind::Directory, size: tree.size(), id }
}

fn file(name: &str, content: &[u8]) -> Node {
    Node { name: name.into(), kind: NodeKind::File, size: content.len() as u64, id: Digest::of(content) }
}

fn directory(name: &str, node: &Node) -> Node {
    Node { name: name.into(), ..node.clone() }
}

fn refusal(world: &World, root: &Node) -> StoreError {
    let options = CheckoutOptions { force: true, kept: None };
    checkout(root, &world.data(), &world.store, Some(&world.cache), options, &Null).expect_err("an error")
}

#[test]
fn hostile_names_are_refused_and_nothing_appears_outside() {
    let long = "x".repeat(256);
    for name in [
        "..",
        ".",
        "",
        "/",
        "/abs",
        "//abs",
        "a/b",
        "../x",
        "../../x",
        "a/../../x",
        "./x",
        "x/",
        "x/.",
        "x/..",
        "../data",
        "../state/index",
        ".git",
        ".GIT",
        ".Git",
        "git~1",
        "GIT~1",
        ".git/hooks/x",
        ".mlp",
        ".MLP",
        ".mlp/mlp.schema.json",
        "nul\0",
        "\0",
        "x\0/../y",
        ".mlptmp.x",
        ".mlptmp.01jd3q0000000000000000000c",
        "/etc/passwd",
        "/proc/self/fd/1",
        long.as_str(),
    ] {
        let world = World::new();
        let inner = stored(&world, vec![file(name, b"payload")]);
        let root = stored(&world, vec![directory("sub", &inner)]);
        let error = refusal(&world, &root);
        assert!(matches!(error, StoreError::Name { .. } | StoreError::Damaged { .. }), "{name:?}: {error}");
        let outside = fs::read_dir(world.dir.path()).expect("lists").count();
        assert_eq!(outside, 2, "only data and state");
    }
}

#[test]
fn hostile_links_are_refused() {
    for target in [&b"/etc/passwd"[..], b"../../outside", b"..", b"x/../../y", b".git/config", b"", b"/"] {
        let world = World::new();
        world.store.put(target).expect("stores");
        let link = Node { kind: NodeKind::Link, ..file("link", target) };
        let error = refusal(&world, &stored(&world, vec![link]));
        assert!(matches!(error, StoreError::Link { .. }), "{error}");
        assert!(!world.path("link").is_symlink());
    }
}

#[test]
fn a_link_planted_in_the_destination_is_not_followed() {
    for force in [false, true] {
        let world = World::new();
        let outside = world.dir.path().join("outside");
        fs::create_dir(&outside).expect("makes a folder");
        fs::write(outside.join("file"), "untouched").expect("writes");
        let inner = stored(&world, vec![file("file", b"payload")]);
        let root = stored(&world, vec![file("plain", b"payload"), directory("sub", &inner)]);
        symlink(&outside, world.path("sub")).expect("links");
        symlink(outside.join("file"), world.path("plain")).expect("links");
        let done = world.checkout(&root, force);
        assert_eq!(fs::read(outside.join("file")).expect("reads"), b"untouched");
        if force {
            assert_eq!(
                (world.read("plain"), world.read("sub/file")),
                (b"payload".to_vec(), b"payload".to_vec())
            );
            assert!(!world.path("sub").is_symlink());
        } else {
            assert_eq!(done.dirty, ["plain", "sub"]);
            assert!(world.path("sub").is_symlink());
        }
    }
}

#[test]
fn a_tree_that_explodes_is_refused_before_anything_is_written() {
    let world = World::new();
    let mut root = stored(&world, vec![file("x", b"inside")]);
    for _ in 0..40 {
        root = stored(&world, vec![directory("a", &root), directory("b", &root)]);
    }
    assert!(matches!(refusal(&world, &root), StoreError::Name { .. }));
    assert_eq!(fs::read_dir(world.data()).expect("lists").count(), 0);
}

#[test]
fn a_tree_that_nests_too_deep_is_refused() {
    let world = World::new();
    let mut root = stored(&world, vec![file("x", b"inside")]);
    for _ in 0..200 {
        root = stored(&world, vec![directory("a", &root)]);
    }
    assert!(matches!(refusal(&world, &root), StoreError::Name { .. }));
    let mut path = world.data();
    (0..200).for_each(|_| path.push("d"));
    fs::create_dir_all(path).expect("makes folders");
    assert!(matches!(snapshot(&world.data(), &world.store, None, &Null), Err(StoreError::Name { .. })));
}

#[test]
fn a_tree_that_lies_about_sizes_or_kinds_is_refused() {
    let world = World::new();
    let lying = Node { size: 3, ..file("x", b"payload") };
    assert!(matches!(refusal(&world, &stored(&world, vec![lying])), StoreError::Damaged { .. }));
    let not_a_tree = Node { kind: NodeKind::Directory, ..file("x", b"payload") };
    assert!(matches!(refusal(&world, &stored(&world, vec![not_a_tree])), StoreError::Damaged { .. }));
    let missing = file("x", b"not in the store");
    assert!(matches!(refusal(&world, &stored(&world, vec![missing])), StoreError::Missing(_)));
}

#[test]
fn an_entry_twice_or_out_of_order_is_refused() {
    for names in [["x", "x"], ["y", "x"]] {
        let world = World::new();
        let root = stored(&world, names.iter().map(|name| file(name, b"payload")).collect());
        assert!(matches!(refusal(&world, &root), StoreError::Damaged { .. }), "{names:?}");
    }
    // A file and a folder of one name, whatever the order.
    let world = World::new();
    let inner = stored(&world, vec![file("x", b"payload")]);
    let root = stored(&world, vec![file("sub", b"payload"), directory("sub", &inner)]);
    assert!(matches!(refusal(&world, &root), StoreError::Damaged { .. }));
    assert_eq!(fs::read_dir(world.data()).expect("lists").count(), 0);
}

#[test]
fn a_link_and_a_folder_through_it_cannot_both_be_written() {
    let world = World::new();
    fs::create_dir(world.dir.path().join("outside")).expect("makes a folder");
    world.store.put(b"inside").expect("stores");
    let link = Node { kind: NodeKind::Link, ..file("sub", b"inside") };
    let inner = stored(&world, vec![file("x", b"payload")]);
    let root = stored(&world, vec![link, directory("sub0", &inner)]);
    world.checkout(&root, true);
    assert!(world.path("sub").is_symlink() && world.path("sub0/x").is_file());
    assert_eq!(fs::read_dir(world.dir.path().join("outside")).expect("lists").count(), 0);
}

#[test]
fn a_version_that_does_not_fit_is_refused_before_anything_is_written() {
    let world = World::new();
    let lying = Node { size: 1 << 60, ..file("x", b"payload") };
    let error = refusal(&world, &stored(&world, vec![lying]));
    assert!(matches!(error, StoreError::Space { needed, .. } if needed == 1 << 60), "{error}");
    assert_eq!(fs::read_dir(world.data()).expect("lists").count(), 0);
}
