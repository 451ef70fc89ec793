use super::marker::STORE;
use super::*;

fn memory(name: &str) -> Remote {
    let spec = StoreSpec::new(format!("memory://{name}"));
    Remote::open(&"origin".parse().expect("a name"), &spec).expect("opens")
}

fn folder(path: &Path) -> Remote {
    let spec = StoreSpec::new(format!("fs://{}", path.display()));
    Remote::open(&"origin".parse().expect("a name"), &spec).expect("opens")
}

/// Both kinds that need no server, with a folder for the local store.
fn both(name: &str, test: impl Fn(&Remote, &Path)) {
    let scratch = tempfile::tempdir().expect("makes a folder");
    test(&memory(name), &scratch.path().join("local-1"));
    test(&folder(&scratch.path().join("far")), &scratch.path().join("local-2"));
}

#[test]
fn what_is_written_is_read_listed_and_counted() {
    both("basics", |remote, _| {
        assert_eq!(remote.get("packs/ab/cd", 10).expect("asks"), None);
        remote.put("packs/ab/cd", b"hello".to_vec()).expect("writes");
        remote.put("packs/ab/cd", b"hello".to_vec()).expect("writes again");
        assert_eq!(remote.get("packs/ab/cd", 10).expect("reads"), Some(b"hello".to_vec()));
        assert_eq!(remote.range("packs/ab/cd", 1..3).expect("reads"), b"el");
        assert_eq!(remote.list("packs/").expect("lists"), ["ab/"]);
        assert_eq!(remote.list("packs/ab/").expect("lists"), ["cd"]);
        assert!(remote.list("nothing/").expect("lists").is_empty());
        assert_eq!(remote.requests(), Requests { gets: 3, puts: 2, lists: 3 });
    });
}

#[test]
fn an_object_that_is_too_large_or_too_short_is_damaged() {
    both("sizes", |remote, _| {
        remote.put("packs/ab/cd", b"hello".to_vec()).expect("writes");
        for error in [
            remote.get("packs/ab/cd", 4).expect_err("too large"),
            remote.range("packs/ab/cd", 2..9).expect_err("too short"),
        ] {
            assert!(matches!(error, StoreError::Damaged { .. } | StoreError::Remote { .. }), "{error}");
        }
    });
}

#[test]
fn the_first_use_marks_the_place_once() {
    both("marker", |remote, local| {
        remote.ensure(local).expect("marks");
        let bytes = remote.get(STORE, 4096).expect("reads");
        remote.ensure(&local.join("another-clone")).expect("agrees");
        assert_eq!(remote.get(STORE, 4096).expect("reads"), bytes);
    });
}

#[test]
fn a_place_with_another_format_is_refused() {
    both("future", |remote, local| {
        remote
            .put(
                STORE,
                br#"{"format": 2, "id": "01jd3q0000000000000000000a", "created": "2026-01-01T00:00:00Z"}"#
                    .to_vec(),
            )
            .expect("writes");
        assert!(matches!(remote.ensure(local), Err(StoreError::Foreign { .. })));
    });
}

#[test]
fn a_folder_that_lost_its_marker_is_taken_for_unmounted() {
    let scratch = tempfile::tempdir().expect("makes a folder");
    let (far, local) = (scratch.path().join("far"), scratch.path().join("local"));
    let remote = folder(&far);
    remote.ensure(&local).expect("marks");
    std::fs::remove_file(far.join(STORE)).expect("removes");
    assert!(matches!(remote.ensure(&local), Err(StoreError::Foreign { .. })));
}

#[test]
fn the_probe_believes_a_place_with_one_winner_and_asks_once() {
    both("probe", |remote, local| {
        remote.prove(local).expect("exact");
        let asked = remote.requests().total();
        remote.prove(local).expect("known");
        assert_eq!(remote.requests().total(), asked);
    });
}

#[test]
#[cfg(unix)]
fn a_key_is_the_same_file_wherever_mlp_is_called() {
    let open = |key: &str| {
        let spec = StoreSpec { key_file: Some(key.to_owned()), ..StoreSpec::new("sftp://host/srv") };
        let home = |name: &str| (name == "HOME").then(|| "/home/ada".to_owned());
        Remote::open_with(&"origin".parse().expect("a name"), &spec, &home).map(drop)
    };
    open("~/.ssh/id").expect("opens");
    open("/etc/keys/id").expect("opens");
    let error = open("keys/id").expect_err("refused").to_string();
    assert!(error.contains("`key_file` must begin with `/` or `~/`"), "{error}");
}

#[test]
fn a_store_out_of_reach_is_an_error_of_the_world() {
    let spec = StoreSpec {
        // The discard port: nobody listens there.
        endpoint: Some("http://127.0.0.1:9".to_owned()),
        ..StoreSpec::new("s3://bucket")
    };
    let remote = Remote::open_with(&"origin".parse().expect("a name"), &spec, &|_| Some("key".to_owned()));
    let remote = remote.expect("opens without asking");
    let error = remote.create("ledger/a", b"x").expect_err("nobody there");
    assert_eq!(crate::base::Diagnose::exit(&error), crate::base::Exit::World, "{error}");
    assert!(error.to_string().contains("refused"), "it was tried: {error}");
}
