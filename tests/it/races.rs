//! Processes, clones and clocks that get in each other's way (rows R27, R29, R31 and R40 of `docs/design/reliability.md`).

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mlp::base::{Digest, EntryKind, Id, Null};
use mlp::infrastructure::store::{
    Appended, CollectOptions, Depth, Ledger, LedgerHome, Local, Remote, StoreSpec, collect, fetch,
    fsck_remote, push,
};

use crate::s3::{contents, dataset, entry, home, ledger, local};
use crate::support::faulted::Team;
use crate::support::files::{noise, read};
use crate::support::lifecycle::{FLOOR, ID as LAB, Lab};
use crate::support::{mlp, ok, rounds, s3};

fn folder_store(path: &Path) -> Remote {
    opened(&folder_spec(path))
}

fn folder_spec(path: &Path) -> StoreSpec {
    StoreSpec::new(format!("fs://{}", path.display()))
}

/// The store `origin`, with credentials from the environment.
fn opened(spec: &StoreSpec) -> Remote {
    Remote::open(&"origin".parse().expect("a name"), spec).expect("opens")
}

/// The environment of a process that appends: the store of its ledger, where its copy is, its name, and how many entries.
const APPEND: [&str; 4] = ["APPEND_TO", "APPEND_COPY", "APPEND_AS", "APPEND_COUNT"];

/// Not a test by itself: what each process of [`sixteen`] runs.
#[test]
fn appends_as_the_environment_says() {
    let [Ok(spec), Ok(copy), Ok(name), Ok(count)] = APPEND.map(std::env::var) else { return };
    let copy = Path::new(&copy);
    local(copy.parent().expect("has one"), &copy.file_name().expect("has one").to_string_lossy());
    let remote = opened(&serde_json::from_str(&spec).expect("a store"));
    let home = LedgerHome::Remote { remote, cache: copy.to_owned() };
    for _ in 0..count.parse::<u32>().expect("a number") {
        loop {
            let entries = ledger(&home).entries().expect("reads");
            let next = entry(entries.len() as u64 + 1, entries.last(), &name);
            if ledger(&home).append(&next).expect("appends") == Appended::Yes {
                break;
            }
        }
    }
}

/// Sixteen processes append to one ledger: all of it is there, once, in one chain. `credentials` are variables of the store `origin`.
pub(crate) fn sixteen(spec: &StoreSpec, credentials: &[(&str, &str)], count: u32) {
    let folder = tempfile::tempdir().expect("makes a folder");
    let text = serde_json::to_string(spec).expect("is written");
    let appends = |n: usize| -> Child {
        let copy = folder.path().join(format!("clone-{n}"));
        let values = [text.clone(), copy.display().to_string(), n.to_string(), count.to_string()];
        Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "races::appends_as_the_environment_says"])
            .envs(APPEND.iter().zip(values))
            .envs(credentials.iter().map(|(key, value)| (format!("MLP_STORE_ORIGIN_{key}"), *value)))
            .stdout(Stdio::null())
            .spawn()
            .expect("starts")
    };
    let processes: Vec<Child> = (0..16).map(appends).collect();
    for mut process in processes {
        assert!(process.wait().expect("ends").success(), "one of them failed; its words are above");
    }
    let find = |key: &str| {
        let key = key.strip_prefix("MLP_STORE_ORIGIN_")?;
        credentials.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
    };
    let reader = Remote::open_with(&"origin".parse().expect("a name"), spec, &find).expect("opens");
    let home = home(reader, folder.path(), "reader");
    let entries = ledger(&home).entries().expect("one chain without gaps");
    for n in 0..16 {
        let own = entries.iter().filter(|entry| entry.actor == n.to_string()).count();
        assert_eq!(own, count as usize, "of {n}");
    }
    assert_eq!(entries.len(), 16 * count as usize);
}

#[test]
fn sixteen_processes_append_to_one_ledger_in_a_folder() {
    let folder = tempfile::tempdir().expect("makes a folder");
    sixteen(&folder_spec(&folder.path().join("far")), &[], rounds(5, 50));
}

#[test]
fn sixteen_processes_append_to_one_ledger_on_s3() {
    let endpoint = Some(format!("http://{}", s3::address()));
    let spec = StoreSpec { endpoint, region: Some("us-east-1".to_owned()), ..StoreSpec::new(s3::url()) };
    sixteen(&spec, &[("ACCESS_KEY_ID", "mlpkey"), ("SECRET_ACCESS_KEY", "mlpsecret")], rounds(2, 50));
}

/// R29: clones push what overlaps while others collect; every version that was pushed can be fetched.
fn pushes_and_collections(open: &(dyn Fn() -> Remote + Sync), times: u32) {
    let folder = tempfile::tempdir().expect("makes a folder");
    let project = Id::new();
    for round in 0..times {
        let over = AtomicBool::new(false);
        let at = |name: &str| local(folder.path(), &format!("{round}-{name}"));
        let roots: Vec<Digest> = std::thread::scope(|scope| {
            let collector = scope.spawn(|| {
                let mut done = 0;
                while !over.load(Ordering::Relaxed) || done == 0 {
                    let clone = at(&format!("collector-{done}"));
                    // Nothing is there yet, or a pin came after its indexes were listed: it says so, and changes nothing.
                    let _ = collect(&clone, &open(), project, &CollectOptions::default(), &Null);
                    done += 1;
                }
            });
            let pushers: Vec<_> = (0..8_u64)
                .map(|n| {
                    let clone = at(&n.to_string());
                    scope.spawn(move || {
                        // Half of it is the same in all of them.
                        let root = dataset(&clone, n % 4);
                        push(&clone, &open(), project, &clone.pins().expect("reads"), &Null).expect("pushes");
                        root
                    })
                })
                .collect();
            let roots = pushers.into_iter().map(|pusher| pusher.join().expect("no panic")).collect();
            over.store(true, Ordering::Relaxed);
            collector.join().expect("no panic");
            roots
        });
        let reader = at("reader");
        fetch(&reader, &open(), &roots, &[], &Null).unwrap_or_else(|error| panic!("round {round}: {error}"));
        for root in &roots {
            assert_eq!(contents(&reader, root).len(), 3);
        }
        let checked = fsck_remote(&reader, &open(), Depth::Quick, &Null).expect("looks");
        assert!(checked.findings.is_empty(), "round {round}: {:?}", checked.findings);
    }
}

#[test]
fn pushes_and_collections_at_once_lose_nothing_in_a_folder() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let far = folder.path().join("far");
    pushes_and_collections(&|| folder_store(&far), rounds(2, 100));
}

#[test]
fn pushes_and_collections_at_once_lose_nothing_on_s3() {
    let url = s3::url();
    pushes_and_collections(&|| s3::open(&url, s3::address()), rounds(1, 20));
}

/// R31: what a collection waits for is the store's clock, whatever the one here says.
#[test]
fn a_wrong_clock_here_makes_no_collection_early() {
    let team = Team::new();
    let (ada, far) = (team.dir("ada"), team.dir("far"));
    let set = ada.join("data/set");
    for version in ["one", "two"] {
        let _ = fs::remove_dir_all(&set);
        fs::create_dir_all(&set).expect("makes");
        fs::write(set.join("file"), noise(version, 100_000)).expect("writes");
        ok(&ada, &["data", "add", "set"]);
        ok(&ada, &["data", "push"]);
    }
    // Nothing needs the first version any more: it is doomed, and deleted a week later.
    let store = Local::open(&ada.join(".git/mlp/store")).expect("opens");
    let first = store.pins().expect("reads")[0].id;
    let options = CollectOptions { retire: vec![first], ..CollectOptions::default() };
    let project = "01jd3q0000000000000000000c".parse().expect("an id");
    let done = collect(&store, &folder_store(&far), project, &options, &Null).expect("collects");
    assert!(done.doomed >= 1, "{done:?}");
    let before = read(&far).into_keys().filter(|path| path.starts_with("packs")).count();
    for skew in ["-1d", "-1h", "+20m", "+1d", "+30d"] {
        let output = Command::new("faketime")
            .args(["-f", skew, env!("CARGO_BIN_EXE_mlp"), "store", "gc", "--store", "origin", "--yes"])
            .current_dir(&ada)
            .env("GIT_CONFIG_GLOBAL", ada.join(".test-gitconfig"))
            .output()
            .expect("faketime starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{skew}: {said}");
        let now = read(&far).into_keys().filter(|path| path.starts_with("packs")).count();
        assert!(now >= before, "{skew}: {now} packs of {before} are left");
    }
    ok(&ada, &["store", "fsck", "--store", "origin", "--full"]);
}

/// R40: a folder that becomes a link while a checkout writes into it leads nowhere.
#[test]
fn a_folder_that_becomes_a_link_during_a_checkout_lets_nothing_out() {
    let team = Team::new();
    let (ada, outside) = (team.dir("ada"), team.dir("outside"));
    let set = ada.join("data/set");
    fs::remove_dir_all(&set).expect("removes");
    for n in 0..300 {
        let path = set.join(format!("inner/{n}.bin"));
        fs::create_dir_all(path.parent().expect("has one")).expect("makes");
        fs::write(path, noise(&n.to_string(), 300)).expect("writes");
    }
    ok(&ada, &["data", "add", "set"]);
    fs::create_dir(&outside).expect("makes");
    for round in 0..rounds(10, 500) {
        let _ = fs::remove_dir_all(&set);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (inner, aside) = (set.join("inner"), set.join("aside"));
                while !over.load(Ordering::Relaxed) {
                    if rustix::fs::rename(&inner, &aside).is_ok() {
                        let _ = std::os::unix::fs::symlink(&outside, &inner);
                        std::thread::sleep(Duration::from_micros(200));
                        let _ = fs::remove_file(&inner);
                        let _ = rustix::fs::rename(&aside, &inner);
                    }
                }
            });
            // It may fail, for somebody moves its folder about; it may not follow the link.
            let output = mlp(&ada).args(["data", "checkout", "--force"]).output().expect("starts");
            over.store(true, Ordering::Relaxed);
            assert!(matches!(output.status.code(), Some(0..=3)), "{output:?}");
        });
        assert!(read(&outside).is_empty(), "round {round}: something got out");
    }
}

/// R28: of versions that are promoted to one stage at once each gets its entry or is told of the conflict, and the last entry stands.
#[test]
fn promotions_at_once_are_one_line_of_entries() {
    const WRITERS: u32 = 8;
    for round in 0..rounds(1, 50) {
        let lab = Lab::new(FLOOR);
        // Version n, each better than the floor.
        for n in 0..WRITERS as usize {
            lab.version(91 + n);
        }
        let started: Vec<Child> = (1..=WRITERS)
            .map(|n| {
                let version = format!("digits@{n}");
                let mut command = mlp(lab.path());
                command.args(["promote", &version, "--to", "staging"]);
                command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts")
            })
            .collect();
        let codes: Vec<_> = started.into_iter().map(|mut child| child.wait().expect("ends").code()).collect();
        let done = codes.iter().filter(|code| **code == Some(0)).count();
        assert!(done >= 1 && codes.iter().all(|code| matches!(code, Some(0 | 1 | 3))), "{codes:?}");
        let home = LedgerHome::Local(lab.path().join(".git/mlp/store"));
        let model = "digits".parse().expect("a name");
        let entries =
            Ledger { home: &home, project: LAB.parse().expect("an id"), model }.entries().expect("one chain");
        let promotions: Vec<_> = entries.iter().filter(|entry| entry.kind == EntryKind::Promote).collect();
        assert_eq!(promotions.len(), done, "round {round}: {codes:?}");
        let last = promotions.last().expect("one of them").subject.version;
        let listed = lab.json(&["model", "ls"], 0);
        assert_eq!(listed["models"][0]["live"][0]["version"], last, "{listed}");
    }
}
