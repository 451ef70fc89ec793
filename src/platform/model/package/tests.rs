use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::base::{Time, hex};
use crate::infrastructure::store::Tree;

struct Shelf {
    folder: tempfile::TempDir,
    store: Local,
}

impl Shelf {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("makes a folder");
        let store = Local::open(&folder.path().join("store")).expect("opens");
        Self { folder, store }
    }

    fn tree(&self, files: &[(&str, NodeKind, &[u8])]) -> Digest {
        let mut writer = self.store.writer().expect("writes");
        let mut nodes = Vec::new();
        for (name, kind, bytes) in files {
            let id = writer.blob(bytes).expect("adds");
            nodes.push(Node { name: name.as_bytes().to_vec(), kind: *kind, size: bytes.len() as u64, id });
        }
        let id = writer.tree(&Tree { nodes }).expect("adds");
        writer.finish().expect("finishes");
        id
    }

    fn model(&self, weights: &[u8]) -> Digest {
        self.tree(&[("model.json", NodeKind::File, b"{}"), ("model.safetensors", NodeKind::File, weights)])
    }

    fn put(&self, tree: Digest, version: u64, folder: &Path, force: bool) -> Result<Placed, PackageError> {
        let wanted = files(&self.store, &tree)?.into_iter().map(|(path, node)| (path, node.id)).collect();
        place(folder, &stamp(tree, version), Some(&wanted), force, |new| write_files(&self.store, &tree, new))
    }
}

fn stamp(tree: Digest, version: u64) -> Stamp {
    Stamp {
        schema: Stamp::SCHEMA.to_owned(),
        format: "folder".to_owned(),
        project: "01jd3q0000000000000000000a".parse().expect("is an id"),
        model: "digits".parse().expect("is a name"),
        version,
        stage: None,
        tree,
        entry: Digest::of(b"entry"),
        run: None,
        commit: None,
        files: BTreeMap::new(),
    }
}

fn listed(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("lists")
        .map(|entry| entry.expect("is there").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_folder_becomes_a_version_and_then_another() {
    let shelf = Shelf::new();
    let (one, two) = (shelf.model(b"one"), shelf.model(b"two"));
    let place = shelf.folder.path().join("deep/model");
    assert_eq!(shelf.put(one, 1, &place, false).expect("places"), Placed::Written(None));
    assert_eq!(listed(&place), ["mlp-model.json", "model.json", "model.safetensors"]);
    assert_eq!(shelf.put(one, 1, &place, false).expect("is there"), Placed::Already);
    let Placed::Written(Some(before)) = shelf.put(two, 2, &place, false).expect("places") else {
        panic!("replaces");
    };
    assert_eq!(before.version, 1);
    assert_eq!(fs::read(place.join("model.safetensors")).expect("reads"), b"two");
    // Nothing is left beside it.
    assert_eq!(listed(place.parent().expect("has one")), ["model"]);
    let stamp: Stamp =
        serde_json::from_slice(&fs::read(place.join(STAMP)).expect("reads")).expect("is a stamp");
    assert_eq!(stamp.files["model.safetensors"].sha256, hex(&Sha256::digest(b"two")));
}

#[test]
fn an_empty_folder_is_taken_and_an_occupied_one_is_not() {
    let shelf = Shelf::new();
    let tree = shelf.model(b"one");
    let place = shelf.folder.path().join("model");
    fs::create_dir(&place).expect("makes");
    shelf.put(tree, 1, &place, false).expect("places");
    for (name, bytes) in [("notes.txt", &b"mine"[..]), (STAMP, b"{\"schema\": \"other/1\"}"), (STAMP, b"{")] {
        let place = shelf.folder.path().join("theirs");
        fs::create_dir_all(&place).expect("makes");
        fs::write(place.join(name), bytes).expect("writes");
        for force in [false, true] {
            let error = shelf.put(tree, 1, &place, force).expect_err("is occupied");
            assert!(matches!(error, PackageError::Occupied { .. }), "{error}");
        }
        assert_eq!(fs::read(place.join(name)).expect("reads"), bytes);
        fs::remove_dir_all(&place).expect("removes");
    }
    let file = shelf.folder.path().join("file");
    fs::write(&file, b"mine").expect("writes");
    assert!(matches!(shelf.put(tree, 1, &file, true), Err(PackageError::Occupied { .. })));
}

#[test]
fn what_was_changed_is_told_and_kept_unless_forced() {
    let shelf = Shelf::new();
    let (one, two) = (shelf.model(b"one"), shelf.model(b"two"));
    let place = shelf.folder.path().join("model");
    let changes: [(&str, &dyn Fn()); 4] = [
        ("has other bytes", &|| fs::write(place.join("model.safetensors"), b"eno").expect("writes")),
        ("is missing", &|| fs::remove_file(place.join("model.json")).expect("removes")),
        ("was added", &|| fs::write(place.join("run.py"), b"x").expect("writes")),
        ("is a link", &|| std::os::unix::fs::symlink("/etc/passwd", place.join("link")).expect("links")),
    ];
    for (words, change) in changes {
        shelf.put(one, 1, &place, true).ok();
        let _ = fs::remove_dir_all(&place);
        shelf.put(one, 1, &place, false).expect("places");
        change();
        for (tree, version) in [(one, 1), (two, 2)] {
            let before = listed(&place);
            let error = shelf.put(tree, version, &place, false).expect_err("is altered").to_string();
            assert!(error.contains(words), "{error}");
            assert_eq!(listed(&place), before);
        }
    }
    let _ = fs::remove_file(place.join("link"));
    fs::write(place.join("model.json"), b"[]").expect("writes");
    shelf.put(two, 2, &place, true).expect("is forced");
    assert_eq!(fs::read(place.join("model.json")).expect("reads"), b"{}");
}

#[test]
fn a_stamp_that_lies_does_not_save_other_bytes() {
    let shelf = Shelf::new();
    let (one, other) = (shelf.model(b"one"), shelf.model(b"other"));
    let place = shelf.folder.path().join("model");
    // Whoever can write the folder can write its stamp too.
    shelf.put(other, 1, &place, false).expect("places");
    let text =
        fs::read_to_string(place.join(STAMP)).expect("reads").replace(&other.to_string(), &one.to_string());
    fs::write(place.join(STAMP), text).expect("writes");
    assert!(matches!(shelf.put(one, 1, &place, false), Ok(Placed::Written(Some(_)))));
    assert_eq!(fs::read(place.join("model.safetensors")).expect("reads"), b"one");
}

#[test]
fn a_package_of_something_else_is_replaced_by_force_alone() {
    let shelf = Shelf::new();
    let tree = shelf.model(b"one");
    let place = shelf.folder.path().join("model");
    shelf.put(tree, 1, &place, false).expect("places");
    let own = stamp(tree, 2);
    for other in [
        Stamp { project: "01jd3q0000000000000000000b".parse().expect("is an id"), ..own.clone() },
        Stamp { model: "letters".parse().expect("is a name"), ..own.clone() },
        Stamp { format: "dossier".into(), ..own.clone() },
    ] {
        let put = |force| super::place(&place, &other, None, force, |_| Ok(()));
        let error = put(false).expect_err("is another");
        assert!(
            matches!(&error, PackageError::Another { holds, .. } if holds == "digits@1 as folder"),
            "{error}"
        );
        assert!(place.join("model.json").exists());
        assert!(matches!(put(true), Ok(Placed::Written(Some(_)))));
        shelf.put(tree, 1, &place, true).expect("places");
    }
}

#[test]
fn a_look_says_what_would_become_of_a_folder() {
    let shelf = Shelf::new();
    let tree = shelf.model(b"one");
    let place = shelf.folder.path().join("model");
    let wanted = files(&shelf.store, &tree).expect("has some");
    let wanted = wanted.into_iter().map(|(path, node)| (path, node.id)).collect();
    let look = |version| super::look(&place, &stamp(tree, version), Some(&wanted), false);
    assert_eq!(look(1).expect("is free"), Placed::Written(None));
    assert!(!place.exists());
    shelf.put(tree, 1, &place, false).expect("places");
    assert_eq!(look(1).expect("is there"), Placed::Already);
    assert!(matches!(look(2), Ok(Placed::Written(Some(before))) if before.version == 1));
    fs::write(place.join("model.json"), b"[]").expect("writes");
    assert!(matches!(look(1), Err(PackageError::Altered { .. })));
}

#[test]
fn links_and_names_that_lead_elsewhere_are_refused() {
    let shelf = Shelf::new();
    for (name, kind) in [
        ("model.safetensors", NodeKind::Link),
        ("a\\b", NodeKind::File),
        ("c:d", NodeKind::File),
        (STAMP, NodeKind::File),
        ("a\nb", NodeKind::File),
    ] {
        let tree = shelf.tree(&[(name, kind, b"x")]);
        let place = shelf.folder.path().join("model");
        assert!(matches!(files(&shelf.store, &tree), Err(PackageError::Content { .. })), "{name}");
        assert!(shelf.put(tree, 1, &place, false).is_err(), "{name}");
        assert!(!place.exists());
    }
}

#[test]
fn an_image_layout_says_what_it_holds() {
    let shelf = Shelf::new();
    let tree = shelf.model(b"weights");
    let make = |name: &str| {
        let place = shelf.folder.path().join(name);
        let stamp = Stamp { format: "oci".into(), ..stamp(tree, 7) };
        let image = Image { stamp: &stamp, time: Time::from_ms(0), licence: Some("MIT".into()) };
        super::place(&place, &stamp, None, false, |new| image.write(&shelf.store, &tree, new))
            .expect("places");
        place
    };
    let place = make("image");
    let json = |bytes: Vec<u8>| -> Value { serde_json::from_slice(&bytes).expect("is JSON") };
    // Every blob is called by its digest and has the size that names it.
    let blob = |descriptor: &Value| {
        let name =
            descriptor["digest"].as_str().expect("has one").strip_prefix("sha256:").expect("is SHA-256");
        let bytes = fs::read(place.join("blobs/sha256").join(name)).expect("is there");
        assert_eq!(hex(&Sha256::digest(&bytes)), name);
        assert_eq!(descriptor["size"], bytes.len());
        bytes
    };
    assert_eq!(json(fs::read(place.join("oci-layout")).expect("reads"))["imageLayoutVersion"], "1.0.0");
    let top = json(fs::read(place.join("index.json")).expect("reads"));
    assert_eq!(top["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "digits-7");
    let index = json(blob(&top["manifests"][0]));
    let architectures: Vec<&Value> = index["manifests"]
        .as_array()
        .expect("has some")
        .iter()
        .map(|m| &m["platform"]["architecture"])
        .collect();
    assert_eq!(architectures, ["amd64", "arm64"]);
    for manifest in index["manifests"].as_array().expect("has some") {
        let manifest = json(blob(manifest));
        assert_eq!(manifest["annotations"]["dev.mlp.tree"], tree.to_string());
        assert_eq!(manifest["annotations"]["org.opencontainers.image.licenses"], "MIT");
        let config = json(blob(&manifest["config"]));
        let layers = manifest["layers"].as_array().expect("has some");
        assert_eq!(layers.len(), 2);
        for (layer, id) in layers.iter().zip(config["rootfs"]["diff_ids"].as_array().expect("has some")) {
            let bytes = blob(layer);
            assert_eq!(layer["digest"], *id);
            assert_eq!(&bytes[257..262], b"ustar");
            assert_eq!(bytes.len() % 512, 0);
        }
    }
    // Packing again gives the same layout, to the byte.
    let again = make("again");
    assert_eq!(
        fs::read(place.join("index.json")).expect("reads"),
        fs::read(again.join("index.json")).expect("reads")
    );
    assert_eq!(fs::read(place.join(STAMP)).expect("reads"), fs::read(again.join(STAMP)).expect("reads"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_bytes_come_back(weights in proptest::collection::vec(any::<u8>(), 0..5000), json in proptest::collection::vec(any::<u8>(), 0..50)) {
        let shelf = Shelf::new();
        let tree = shelf.tree(&[("model.json", NodeKind::File, &json), ("model.safetensors", NodeKind::Executable, &weights)]);
        let place = shelf.folder.path().join("model");
        shelf.put(tree, 1, &place, false).expect("places");
        prop_assert_eq!(fs::read(place.join("model.safetensors")).expect("reads"), weights);
        prop_assert_eq!(fs::read(place.join("model.json")).expect("reads"), json);
        prop_assert_eq!(shelf.put(tree, 1, &place, false).expect("is there"), Placed::Already);
    }
}
