use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn node(name: &[u8], size: u64) -> Node {
    let kind = match size % 4 {
        0 => NodeKind::File,
        1 => NodeKind::Executable,
        2 => NodeKind::Link,
        _ => NodeKind::Directory,
    };
    Node { name: name.to_vec(), kind, size, id: Digest::of(name) }
}

fn numbered(count: usize) -> Vec<Node> {
    (0..count).map(|i| node(format!("image-{i:06}.png").as_bytes(), i as u64)).collect()
}

/// All stored nodes of a directory, by id.
fn stored(nodes: &[Node]) -> (Digest, BTreeMap<Digest, Vec<u8>>) {
    let mut all = BTreeMap::new();
    let root = encode(nodes, &mut |id, bytes| {
        all.insert(id, bytes);
        Ok::<_, StoreError>(())
    });
    (root.expect("encodes"), all)
}

proptest! {
    #[test]
    fn a_tree_survives_a_round_trip(names in prop::collection::btree_set("[a-c\u{e4}]{1,6}", 0..60), size: u64) {
        let nodes = names.iter().map(|name| node(name.as_bytes(), size)).collect::<Vec<_>>();
        let (root, all) = stored(&nodes);
        prop_assert_eq!(root, Tree { nodes: nodes.clone() }.id());
        prop_assert_eq!(decode(&all[&root]).expect("reads"), Stored { level: 0, nodes });
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
        let _ = decode(&bytes);
    }

    #[test]
    fn changed_bytes_are_never_the_same_tree(position: prop::sample::Index, bit in 0u8..8) {
        let nodes = numbered(20);
        let (root, all) = stored(&nodes);
        let mut bytes = all[&root].clone();
        *position.get_mut(&mut bytes) ^= 1 << bit;
        if let Ok(changed) = decode(&bytes) {
            prop_assert_ne!(changed.nodes, nodes);
        }
    }
}

#[test]
fn hostile_names_are_refused() {
    for name in [&b""[..], b".", b"..", b"a/b", b"/etc", b"a\0b", &[b'x'; 256]] {
        assert!(decode(&encode_node(0, &[node(name, 1)])).is_err(), "{name:?}");
    }
    for names in [[&b"b"[..], b"a"], [b"a", b"a"]] {
        assert!(decode(&encode_node(0, &names.map(|name| node(name, 1)))).is_err(), "{names:?}");
    }
}

#[test]
fn a_large_directory_is_split_and_one_change_rewrites_two_nodes() {
    let mut nodes = numbered(20_000);
    let (_, before) = stored(&nodes);
    assert!(before.len() > 20, "{}", before.len());
    for bytes in before.values() {
        let part = decode(bytes).expect("reads");
        assert!(part.nodes.len() <= MOST);
    }
    nodes[7_777].id = Digest::of(b"edited");
    let (_, after) = stored(&nodes);
    assert_eq!(after.keys().filter(|id| !before.contains_key(id)).count(), 2);
    nodes.remove(12_345);
    nodes.insert(100, node(b"image-000099a.png", 1));
    let (_, moved) = stored(&nodes);
    assert!(moved.keys().filter(|id| !after.contains_key(id)).count() <= 6);
}

#[test]
fn ranges_are_cut_again_at_every_level() {
    // 2048 ranges of at least 128 entries need a second level of ranges.
    let nodes = (0..MOST).flat_map(|_| numbered(1)).collect::<Vec<_>>();
    assert_eq!(ranges_of(0, &nodes).len(), 1);
    let firsts = numbered(400_000).into_iter().filter(|node| begins_range(0, &node.name)).collect::<Vec<_>>();
    let cuts = firsts.iter().filter(|node| begins_range(1, &node.name)).count();
    assert!(cuts < firsts.len() / 50, "{cuts} of {}", firsts.len());
}

#[test]
fn the_bytes_of_format_1_stay_readable_and_the_ids_stay_the_same() {
    let bytes = include_bytes!("../fixtures/format-1.tree");
    let nodes = numbered(9);
    assert_eq!(decode(bytes).expect("an old tree is read").nodes, nodes);
    assert_eq!(encode_node(0, &nodes), bytes);
    assert_eq!(
        (Tree { nodes }.id().short(), Tree { nodes: numbered(5000) }.id().short()),
        ("cdde19f4ad9a".to_owned(), "55c00adac0fb".to_owned())
    );
}
