//! The same suite on every kind of store, on real servers.

use std::collections::BTreeSet;
use std::path::Path;

use mlp::base::{Id, Null};
use mlp::infrastructure::store::{
    Appended, CollectOptions, Depth, Remote, StoreError, StoreSpec, collect, compact, fetch, fsck_remote,
    push,
};

use crate::races::sixteen;
use crate::s3::{contents, dataset, entry, home, ledger, local};
use crate::support::servers::Server;
use crate::support::{rounds, s3};

/// Opens a store with these credentials.
fn open(spec: &StoreSpec, credentials: &[(&str, &str)]) -> Result<Remote, StoreError> {
    let find = |key: &str| {
        let key = key.strip_prefix("MLP_STORE_LAB_")?;
        credentials.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
    };
    Remote::open_with(&"lab".parse().expect("a name"), spec, &find)
}

/// Everything that a store must do; `ledgers` says whether it can hold them.
fn conforms(open: &(dyn Fn() -> Remote + Sync), ledgers: bool) {
    let folder = tempfile::tempdir().expect("makes a folder");
    let project = Id::new();
    let (ada, ben) = (local(folder.path(), "ada"), local(folder.path(), "ben"));
    let remote = open();
    let send = || push(&ada, &remote, project, &ada.pins().expect("reads"), &Null).expect("pushes");
    let root = dataset(&ada, 1);
    send();
    assert!(
        send().requests <= 2,
        "a push with nothing new asks for pins alone (and a folder for its marker)"
    );
    let changed = dataset(&ada, 2);
    assert_eq!(send().objects, 4, "data, trees, index, pin");

    fetch(&ben, &open(), &[root, changed], &[], &Null).expect("fetches");
    assert_eq!(contents(&ben, &root), contents(&ada, &root));
    assert_eq!(contents(&ben, &changed), contents(&ada, &changed));
    let absent = fetch(&ben, &open(), &[mlp::base::Digest::of(b"nothing")], &[], &Null);
    assert!(matches!(absent, Err(StoreError::NotOnRemote { .. })), "{absent:?}");

    let checked = fsck_remote(&ben, &remote, Depth::Full, &Null).expect("looks");
    assert!(checked.findings.is_empty() && checked.packs == 4, "{checked:?}");
    assert_eq!(compact(&ben, &remote, false).expect("joins").after, 1);
    let collected = collect(&ben, &remote, project, &CollectOptions::default(), &Null).expect("collects");
    assert_eq!((collected.pins, collected.doomed), (2, 0), "{collected:?}");

    let tried = remote.check(ada.root(), &Null).expect("tries");
    assert!(tried.data && tried.ledgers == ledgers, "{tried:?}");
    chain(folder.path(), open, ledgers);
    fetch(&local(folder.path(), "cid"), &open(), &[root, changed], &[], &Null)
        .expect("fetches after all that");
}

/// Eight clones append to one ledger: each number has one winner and nothing is lost, or all are refused by name.
fn chain(folder: &Path, open: &(dyn Fn() -> Remote + Sync), ledgers: bool) {
    const EACH: usize = 3;
    std::thread::scope(|scope| {
        for clone in 0..8 {
            scope.spawn(move || {
                let home = home(open(), folder, &format!("clone-{clone}"));
                local(folder, &format!("clone-{clone}"));
                for _ in 0..EACH {
                    loop {
                        let before = ledger(&home).entries().expect("reads");
                        let next = entry(before.len() as u64 + 1, before.last(), &format!("writer {clone}"));
                        match ledger(&home).append(&next) {
                            Ok(Appended::Yes) => break,
                            Ok(Appended::Lost) => {}
                            Err(StoreError::NoCreateIfAbsent { .. }) if !ledgers => return,
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    });
    let home = home(open(), folder, "last");
    let entries = ledger(&home).entries().expect("one chain");
    assert_eq!(entries.len(), if ledgers { 8 * EACH } else { 0 });
    let ops: BTreeSet<String> = entries.iter().map(|entry| entry.op.to_string()).collect();
    assert_eq!(ops.len(), entries.len());
}

#[test]
fn a_folder_conforms() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let spec = StoreSpec::new(format!("fs://{}", folder.path().join("a/store").display()));
    conforms(&|| open(&spec, &[]).expect("opens"), true);
}

#[test]
fn s3_conforms() {
    let url = s3::url();
    conforms(&|| s3::open(&url, s3::address()), true);
}

#[test]
fn azure_blob_storage_conforms() {
    let server = Server::azurite();
    // Azurite's account and key are the same everywhere, and published.
    let key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    let endpoint = format!("http://127.0.0.1:{}/devstoreaccount1", server.port);
    let mut spec = StoreSpec::new("az://test/a/prefix");
    spec.endpoint = Some(endpoint.clone());
    create_container(&endpoint, key);
    let credentials = [("ACCOUNT_NAME", "devstoreaccount1"), ("ACCOUNT_KEY", key)];
    conforms(&|| open(&spec, &credentials).expect("opens"), true);
    spec.url = "az://test/sixteen".to_owned();
    sixteen(&spec, &credentials, rounds(1, 50));
}

#[test]
fn webdav_carries_data_and_refuses_ledgers() {
    let server = Server::nginx();
    let spec = StoreSpec::new(format!("webdav://127.0.0.1:{}/dav/lab", server.port));
    conforms(&|| open(&spec, &[]).expect("opens"), false);
}

#[test]
fn what_a_web_server_shows_can_be_fetched_and_not_pushed_to() {
    let server = Server::nginx();
    let folder = tempfile::tempdir().expect("makes a folder");
    let ada = local(folder.path(), "ada");
    let root = dataset(&ada, 1);
    let pins = ada.pins().expect("reads");
    let dav = StoreSpec::new(format!("webdav://127.0.0.1:{}/dav", server.port));
    push(&ada, &open(&dav, &[]).expect("opens"), Id::new(), &pins, &Null).expect("pushes");
    let web = open(&StoreSpec::new(format!("http://127.0.0.1:{}/web", server.port)), &[]).expect("opens");
    let ben = local(folder.path(), "ben");
    fetch(&ben, &web, &[root], &[], &Null).expect("fetches");
    assert_eq!(contents(&ben, &root), contents(&ada, &root));
    let error = push(&ada, &web, Id::new(), &pins, &Null).expect_err("refused");
    assert!(matches!(error, StoreError::ReadOnly(_)), "{error}");
    let tried = web.check(ben.root(), &Null).expect("tries");
    assert!(tried.data && tried.read_only && !tried.ledgers, "{tried:?}");
}

#[test]
fn sftp_conforms_and_leaves_no_ssh_behind() {
    let server = Server::sshd();
    let path = |name: &str| Some(server.folder.path().join(name).display().to_string());
    let root = server.folder.path().join("root");
    let mut spec = StoreSpec::new(format!("sftp://127.0.0.1:{}{}/lab", server.port, root.display()));
    let unknown = open(&spec, &[]).expect("opens");
    let folder = tempfile::tempdir().expect("makes a folder");
    let error = fetch(&local(folder.path(), "x"), &unknown, &[mlp::base::Digest::of(b"x")], &[], &Null);
    let error = error.expect_err("a host that nobody knows").to_string();
    assert!(error.contains("Host key verification failed"), "{error}");
    spec.key_file = path("key");
    let known = std::fs::read_to_string(server.folder.path().join("known_hosts")).expect("reads");
    let other = std::fs::read_to_string(server.folder.path().join("key.pub")).expect("reads");
    let host = known.split(' ').next().expect("a host");
    std::fs::write(server.folder.path().join("other hosts"), format!("{host} {other}")).expect("writes");
    spec.known_hosts = path("other hosts");
    let changed = open(&spec, &[]).expect("opens");
    let error = fetch(&local(folder.path(), "y"), &changed, &[mlp::base::Digest::of(b"x")], &[], &Null);
    let error = error.expect_err("another key").to_string();
    assert!(error.contains("Host key verification failed") && error.contains("SHA256:"), "{error}");
    spec.known_hosts = path("known_hosts");
    conforms(&|| open(&spec, &[]).expect("opens"), true);
    let left = std::fs::read_dir(root.join("lab/tmp")).expect("lists").count();
    assert_eq!(left, 0, "temporary files on the host");
    spec.url = format!("sftp://127.0.0.1:{}{}/sixteen", server.port, root.display());
    sixteen(&spec, &[], rounds(1, 50));
}

#[test]
fn an_s3_server_that_lies_is_caught_and_still_carries_data() {
    let server = Server::s3rver();
    let mut spec = StoreSpec::new("s3://test/lab");
    spec.endpoint = Some(format!("http://127.0.0.1:{}", server.port));
    let credentials = [("ACCESS_KEY_ID", "S3RVER"), ("SECRET_ACCESS_KEY", "S3RVER")];
    conforms(&|| open(&spec, &credentials).expect("opens"), false);
}

/// `PUT ?restype=container`, signed with the shared key (Azure Storage REST reference, "Authorize with Shared Key").
fn create_container(endpoint: &str, key: &str) {
    let script = r#"
import base64, email.utils, hashlib, hmac, http.client, sys, urllib.parse
place = urllib.parse.urlparse(sys.argv[1]); date = email.utils.formatdate(usegmt=True); version = "2021-08-06"
text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n/devstoreaccount1/devstoreaccount1/test\nrestype:container"
sign = base64.b64encode(hmac.new(base64.b64decode(sys.argv[2]), text.encode(), hashlib.sha256).digest()).decode()
client = http.client.HTTPConnection(place.hostname, place.port)
client.request("PUT", place.path + "/test?restype=container", headers={"x-ms-date": date, "x-ms-version": version,
    "Authorization": "SharedKey devstoreaccount1:" + sign, "Content-Length": "0"})
sys.exit(client.getresponse().status != 201)
"#;
    let made = std::process::Command::new("python3").args(["-c", script, endpoint, key]).status();
    assert!(made.expect("python3 starts").success(), "Azurite makes a container");
}
