use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A version as people see it: paths and contents. Folders follow from the paths.
type Files = BTreeMap<String, u8>;

/// Trees of some versions, as a store would hold them.
#[derive(Default)]
struct Memory(HashMap<Digest, Tree>);

impl Memory {
    fn put(&mut self, files: &Files) -> Node {
        let mut names: BTreeMap<&str, Vec<(&str, u8)>> = BTreeMap::new();
        let mut nodes = Vec::new();
        for (path, content) in files {
            match path.split_once('/') {
                Some((folder, below)) => names.entry(folder).or_default().push((below, *content)),
                None => nodes.push(file(path, *content)),
            }
        }
        for (folder, below) in names {
            let below = below.into_iter().map(|(path, content)| (path.to_owned(), content)).collect();
            nodes.push(Node { name: folder.into(), ..self.put(&below) });
        }
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let tree = Tree { nodes };
        let node = Node { name: Vec::new(), kind: NodeKind::Directory, size: tree.size(), id: tree.id() };
        self.0.insert(node.id, tree);
        node
    }

    fn files(&self, id: &Digest) -> BTreeMap<String, Digest> {
        let mut files = BTreeMap::new();
        for node in &self.0[id].nodes {
            let name = String::from_utf8_lossy(&node.name).into_owned();
            match node.kind {
                NodeKind::Directory => files.extend(
                    self.files(&node.id).into_iter().map(|(path, id)| (format!("{name}/{path}"), id)),
                ),
                _ => drop(files.insert(name, node.id)),
            }
        }
        files
    }
}

fn file(name: &str, content: u8) -> Node {
    Node { name: name.into(), kind: NodeKind::File, size: 1, id: Digest::of(&[content]) }
}

struct Done {
    files: BTreeMap<String, Digest>,
    conflicts: Vec<Conflict>,
    id: Option<Digest>,
    read: usize,
}

/// Merges three versions; as pointers that list their children, or that give an id alone.
fn run(sides: [&Files; 3], listed: bool, choice: Option<Choice>) -> Done {
    let mut memory = Memory::default();
    let pointers = sides.map(|side| {
        let node = memory.put(side);
        Some(Pointer::new(&node, listed.then(|| &memory.0[&node.id])))
    });
    let [base, ours, theirs] = pointers;
    let mut read = 0;
    let mut reader = |id: &Digest| {
        read += 1;
        memory.0.get(id).cloned().ok_or(StoreError::Missing(*id))
    };
    let merged = merge(&Sides { base, ours, theirs }, &mut reader, &|_| choice).expect("merges");
    memory.0.extend(merged.trees.into_iter().map(|tree| (tree.id(), tree)));
    let id = merged.pointer.map(|pointer| pointer.node().id);
    let files = id.map(|id| memory.files(&id)).unwrap_or_default();
    Done { files, conflicts: merged.conflicts, id, read }
}

fn files(list: &[(&str, u8)]) -> Files {
    list.iter().map(|(path, content)| ((*path).to_owned(), *content)).collect()
}

fn ids(list: &[(&str, u8)]) -> BTreeMap<String, Digest> {
    list.iter().map(|(path, content)| ((*path).to_owned(), Digest::of(&[*content]))).collect()
}

#[test]
fn changes_of_both_sides_meet_in_one_folder_and_only_differing_folders_are_read() {
    let base = files(&[("a/x", 1), ("a/y", 1), ("b/z", 1), ("c/deep/w", 1)]);
    let ours = files(&[("a/x", 2), ("a/y", 1), ("b/z", 1), ("c/deep/w", 1), ("a/new", 5)]);
    let theirs = files(&[("a/x", 1), ("a/y", 3), ("b/z", 4), ("c/deep/w", 1)]);
    let done = run([&base, &ours, &theirs], true, None);
    assert_eq!(done.files, ids(&[("a/new", 5), ("a/x", 2), ("a/y", 3), ("b/z", 4), ("c/deep/w", 1)]));
    assert!(done.conflicts.is_empty());
    // `a` on three sides; `b` changed on one, `c` on none.
    assert_eq!(done.read, 3);
}

#[test]
fn a_conflict_is_of_one_file_and_keeps_ours_until_somebody_chooses() {
    let base = files(&[("a/x.bin", 1), ("a/gone", 1), ("k", 1)]);
    let ours = files(&[("a/x.bin", 2), ("k", 2)]);
    let theirs = files(&[("a/x.bin", 3), ("a/gone", 3), ("k", 1)]);
    let done = run([&base, &ours, &theirs], true, None);
    let told: Vec<_> = done.conflicts.iter().map(|c| String::from_utf8_lossy(&c.path).into_owned()).collect();
    assert_eq!(told, ["a/gone", "a/x.bin"]);
    assert!(done.conflicts[0].ours.is_none() && done.conflicts[0].theirs.is_some());
    assert_eq!(done.files, ids(&[("a/x.bin", 2), ("k", 2)]));
    let theirs_taken = run([&base, &ours, &theirs], true, Some(Choice::Theirs));
    assert_eq!(theirs_taken.files, ids(&[("a/x.bin", 3), ("a/gone", 3), ("k", 2)]));
    let both = run([&base, &ours, &theirs], true, Some(Choice::Both));
    assert_eq!(both.files, ids(&[("a/x.bin", 2), ("a/x.theirs.bin", 3), ("a/gone", 3), ("k", 2)]));
}

#[test]
fn a_folder_removed_here_and_changed_there_is_a_conflict_of_the_changed_files_alone() {
    let base = files(&[("d/a", 1), ("d/b", 1), ("k", 1)]);
    let ours = files(&[("k", 1)]);
    let theirs = files(&[("d/a", 1), ("d/b", 2), ("d/c", 3), ("k", 1)]);
    let done = run([&base, &ours, &theirs], true, None);
    assert_eq!(done.conflicts.len(), 1);
    assert_eq!(done.conflicts[0].path, b"d/b");
    assert_eq!(done.files, ids(&[("d/c", 3), ("k", 1)]));
}

#[test]
fn names_beside_others_are_free_and_not_too_long() {
    let free = |_: &[u8]| false;
    assert_eq!(beside(b"a.tar.gz", free), b"a.tar.theirs.gz");
    assert_eq!(beside(b"README", free), b"README.theirs");
    assert_eq!(beside(b".hidden", free), b".hidden.theirs");
    assert_eq!(beside(b"a.b", |name| name == b"a.theirs.b"), b"a.theirs2.b");
    let wide = beside(format!("x{}", "é".repeat(127)).as_bytes(), free);
    assert!(wide.len() == 254 && std::str::from_utf8(&wide).is_ok());
    assert!(beside(&[b'x'; 255], free).len() <= 255);
}

#[test]
fn a_dataset_removed_here_and_changed_there_is_one_conflict() {
    let mut memory = Memory::default();
    let mut pointer = |list: &[(&str, u8)]| {
        let node = memory.put(&files(list));
        Some(Pointer::new(&node, Some(&memory.0[&node.id])))
    };
    let sides = Sides { base: pointer(&[("a", 1)]), ours: None, theirs: pointer(&[("a", 2)]) };
    let mut read = |id: &Digest| Err(StoreError::Missing(*id));
    let kept = merge(&sides, &mut read, &|_| None).expect("merges");
    assert!(kept.pointer.is_none() && kept.conflicts.len() == 1 && kept.conflicts[0].path.is_empty());
    let taken = merge(&sides, &mut read, &|_| Some(Choice::Theirs)).expect("merges");
    assert_eq!((taken.pointer, taken.resolved), (sides.theirs, 1));
}

/// Some of a few paths with a few contents, so that sides often meet. Lower case names files, upper case folders.
fn versions() -> impl Strategy<Value = [Files; 3]> {
    let paths = ["a", "b", "c", "D/a", "D/b", "D/E/a", "D/E/b", "F/a", "F/b"];
    let version = proptest::collection::vec(0..4_u8, paths.len()).prop_map(move |contents| {
        let there = paths.iter().zip(contents).filter(|(_, content)| *content > 0);
        there.map(|(path, content)| ((*path).to_owned(), content)).collect::<Files>()
    });
    [version.clone(), version.clone(), version]
}

/// Versions in which a name can be a file on one side and a folder on the other.
fn clashing() -> impl Strategy<Value = [Files; 3]> {
    versions().prop_map(|sides| {
        sides
            .map(|side| {
                side.into_iter()
                    .filter_map(|(path, content)| match path.as_str() {
                        "c" => Some(("F".to_owned(), content)),
                        "F/a" | "F/b" if content == 1 => None,
                        _ => Some((path, content)),
                    })
                    .collect::<Files>()
            })
            .map(|mut side| {
                if side.contains_key("F") {
                    side.retain(|path, _| !path.starts_with("F/"));
                }
                side
            })
    })
}

proptest! {
    #[test]
    fn what_one_side_left_alone_the_other_decides([x, y, _] in clashing(), listed: bool) {
        for sides in [[&x, &x, &y], [&x, &y, &x], [&x, &y, &y]] {
            let done = run(sides, listed, None);
            prop_assert!(done.conflicts.is_empty());
            prop_assert_eq!(done.id, Some(Memory::default().put(&y).id));
        }
    }

    #[test]
    fn a_merge_is_the_merge_of_each_file([base, ours, theirs] in versions(), listed: bool) {
        let done = run([&base, &ours, &theirs], listed, None);
        let mut expected = BTreeMap::new();
        let mut conflicts = Vec::new();
        let paths: BTreeSet<&String> = base.keys().chain(ours.keys()).chain(theirs.keys()).collect();
        for path in paths {
            let (b, o, t) = (base.get(path), ours.get(path), theirs.get(path));
            if o != t && b != o && b != t {
                conflicts.push(path.clone());
            }
            if let Some(content) = if b == o { t } else { o } {
                expected.insert(path.clone(), Digest::of(&[*content]));
            }
        }
        let told: Vec<_> =
            done.conflicts.iter().map(|c| String::from_utf8_lossy(&c.path).into_owned()).collect();
        conflicts.sort();
        prop_assert_eq!(told, conflicts);
        prop_assert_eq!(done.files, expected);
    }

    #[test]
    fn sides_change_places_and_no_file_is_lost([base, ours, theirs] in clashing(), listed: bool) {
        let one = run([&base, &ours, &theirs], listed, None);
        let other = run([&base, &theirs, &ours], listed, None);
        let paths = |done: &Done| done.conflicts.iter().map(|c| c.path.clone()).collect::<Vec<_>>();
        prop_assert_eq!(paths(&one), paths(&other));
        for (a, b) in one.conflicts.iter().zip(&other.conflicts) {
            prop_assert_eq!((&a.base, &a.ours, &a.theirs), (&b.base, &b.theirs, &b.ours));
        }
        // Choosing ours here is choosing theirs there.
        let ours_here = run([&base, &ours, &theirs], listed, Some(Choice::Ours));
        let theirs_there = run([&base, &theirs, &ours], listed, Some(Choice::Theirs));
        prop_assert_eq!(ours_here.files, theirs_there.files);
        // Keeping both keeps every content that a side made.
        let both = run([&base, &ours, &theirs], listed, Some(Choice::Both));
        let contents: BTreeSet<Digest> = both.files.values().copied().collect();
        for side in [&ours, &theirs] {
            for (path, content) in side.iter().filter(|(path, content)| base.get(*path) != Some(*content)) {
                prop_assert!(contents.contains(&Digest::of(&[*content])), "{} is lost", path);
            }
        }
    }
}
