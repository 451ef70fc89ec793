use proptest::prelude::*;

use super::*;
use crate::base::Diagnose;

fn node(name: &str, kind: NodeKind, size: u64) -> Node {
    Node { name: name.as_bytes().to_vec(), kind, size, id: Digest::of(name.as_bytes()) }
}

fn tree(names: &[&str]) -> Tree {
    Tree { nodes: names.iter().map(|name| node(name, NodeKind::Directory, 7)).collect() }
}

fn pointer(tree: &Tree) -> Pointer {
    let root = Node { name: Vec::new(), kind: NodeKind::Directory, size: tree.size(), id: tree.id() };
    Pointer::new(&root, Some(tree))
}

fn parse(text: &str) -> Result<Pointer, DataError> {
    Pointer::parse(text, Path::new("data/x.mlp"))
}

fn error(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn a_pointer_is_yaml_that_a_person_can_read() {
    let tree = Tree {
        nodes: vec![
            node("a b: #c", NodeKind::File, 1),
            node("latest", NodeKind::Link, 4),
            node("run.sh", NodeKind::Executable, 20),
            node("test", NodeKind::Directory, 300),
        ],
    };
    let text = pointer(&tree).text();
    let id = |name: &str| Digest::of(name.as_bytes());
    assert_eq!(
        text,
        format!(
            "mlp: 1\nkind: tree\nchildren:\n- file: \"a b: #c\"\n  id: {}\n  size: 1\n- link: latest\n  id: {}\n  size: 4\n\
             - executable: run.sh\n  id: {}\n  size: 20\n- dir: test/\n  id: {}\n  size: 300\n",
            id("a b: #c"),
            id("latest"),
            id("run.sh"),
            id("test")
        )
    );
    let read = parse(&text).expect("reads");
    assert_eq!(read, pointer(&tree));
    assert_eq!((read.node().id, read.node().size), (tree.id(), 325));
}

#[test]
fn files_and_large_directories_are_one_id() {
    for kind in [NodeKind::File, NodeKind::Executable] {
        let root = Node { name: Vec::new(), ..node("x", kind, 9) };
        let read = parse(&Pointer::new(&root, None).text()).expect("reads");
        assert_eq!(read.node(), root);
        assert_eq!(read.ids(), [root.id]);
    }
    let names: Vec<String> = (0..257).map(|i| format!("{i:03}")).collect();
    let large = tree(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let read = parse(&pointer(&large).text()).expect("reads");
    assert_eq!((read.node().id, read.ids().len()), (large.id(), 1));
    let small = Tree { nodes: large.nodes[..256].to_vec() };
    assert_eq!(pointer(&small).ids().len(), 256);
    assert_eq!(parse(&pointer(&Tree::default()).text()).expect("reads").node().id, Tree::default().id());
}

#[test]
fn names_that_yaml_cannot_show_make_the_directory_one_id() {
    for name in [&b"a\nb"[..], b"\xff", "\u{2028}".as_bytes(), "\u{feff}x".as_bytes()] {
        let tree = Tree { nodes: vec![Node { name: name.to_vec(), ..node("x", NodeKind::File, 1) }] };
        assert_eq!(pointer(&tree).ids(), [tree.id()]);
        assert_eq!(parse(&pointer(&tree).text()).expect("reads").node().id, tree.id());
    }
}

#[test]
fn keys_of_a_later_version_survive_a_rewrite() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("x.mlp");
    let text = pointer(&tree(&["a", "b"]))
        .text()
        .replace("  size: 7\n- dir: b/", "  size: 7\n  owner: Ada\n- dir: b/");
    fs::write(&path, format!("{text}licence: {{name: CC-BY, year: 2026}}\n")).expect("writes");
    pointer(&tree(&["a", "c"])).write(&path).expect("writes");
    let text = fs::read_to_string(&path).expect("reads");
    assert!(
        text.contains("  owner: \"Ada\"\n- dir: c/")
            && text.ends_with("licence: {\"name\":\"CC-BY\",\"year\":2026}\n")
    );
    assert_eq!(Pointer::read(&path).expect("reads").text(), text);
}

#[test]
fn hostile_pointers_are_refused() {
    let id = Digest::of(b"x");
    for name in ["..", ".", "a/b", ".git", ".GIT/", "", "a\\\\b", "a\\0b", "/", "../../etc", &"x".repeat(256)]
    {
        let text = format!("mlp: 1\nkind: tree\nchildren:\n- dir: \"{name}\"\n  id: {id}\n  size: 1\n");
        assert!(error(&text).contains("cannot be the name"), "{name}: {}", error(&text));
    }
    let child = format!("- file: a\n  id: {id}\n  size: 1\n");
    for (text, says) in [
        (String::new(), "`data/x.mlp`"),
        ("mlp: 2\nkind: tree\n".into(), "update mlp"),
        ("kind: tree\n".into(), "mlp: 1"),
        ("mlp: 1\nkind: ball\n".into(), "neither `tree` nor `file`"),
        ("mlp: 1\nkind: tree\nchildren: 3\n".into(), "not a list"),
        ("mlp: 1\nkind: tree\nchildren: [3]\n".into(), "not a map"),
        ("mlp: 1\nkind: file\nid: b3:00\nsize: 1\n".into(), "not a digest"),
        (format!("mlp: 1\nkind: file\nid: {id}\n"), "no `size`"),
        (format!("mlp: 1\nkind: file\nid: {id}\nsize: -1\n"), "no `size`"),
        (format!("mlp: 1\nkind: tree\nchildren:\n{child}{child}"), "twice"),
        (
            format!("mlp: 1\nkind: tree\nchildren:\n- file: a\n  dir: b\n  id: {id}\n  size: 1\n"),
            "just one name",
        ),
        ("[".repeat(100_000), "`data/x.mlp`"),
        ("mlp: &a [1]\nkind: *a\n".into(), "`data/x.mlp`"),
        ("mlp: 1\nmlp: 1\n".into(), "`data/x.mlp`"),
    ] {
        assert!(error(&text).contains(says), "{says}: {}", error(&text));
    }
}

#[test]
fn a_conflict_of_git_is_named_as_one() {
    let text = "mlp: 1\nkind: tree\nchildren:\n<<<<<<< HEAD\n- dir: a/\n=======\n- dir: b/\n>>>>>>> other\n";
    assert_eq!(parse(text).expect_err("conflict").code(), "data::conflict");
}

#[test]
fn broken_yaml_is_shown_with_its_place() {
    let label = parse("mlp: 1\nkind: [tree\n").expect_err("broken").label().expect("has a place");
    assert!(label.line >= 2, "{label:?}");
}

#[test]
fn the_root_of_a_merged_pointer_is_put_into_the_store() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Local::open(&folder.path().join("store")).expect("opens");
    let merged = pointer(&tree(&["a", "b"]));
    let root = merged.root(&store).expect("makes the root");
    assert_eq!(store.tree(&root.id).expect("is there"), tree(&["a", "b"]));
    assert_eq!(Pointer::of(&root, &store).expect("reads"), merged);
}

#[test]
fn the_pointer_lies_beside_the_data() {
    assert_eq!(Pointer::beside(Path::new("/p/data/mnist/")), Path::new("/p/data/mnist.mlp"));
    assert_eq!(Pointer::beside(Path::new("wine.csv")), Path::new("wine.csv.mlp"));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,80}") {
        let _ = parse(&text);
        let _ = parse(&format!("mlp: 1\nkind: tree\nchildren:\n{text}"));
    }

    #[test]
    fn every_name_survives_a_round_trip(names in proptest::collection::btree_set("[^/\0\\\\]{1,20}", 0..6)) {
        let names: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| ![".", "..", ".git", ".mlp", "git~1"].contains(&name.to_lowercase().as_str()))
            .collect();
        let tree = tree(&names);
        let read = parse(&pointer(&tree).text());
        prop_assert_eq!(read.map(|read| read.node().id).map_err(|error| error.to_string()), Ok(tree.id()));
    }
}
