//! Where files can share blocks, a version that was here comes back without its bytes being written again.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::faulted::{Team, git};
use crate::support::files::noise;
use crate::support::ok;

/// Two of them are less than a tenth of the file system, three are more.
const LONG: usize = 16 << 20;

/// Bytes in use on the file system of `path`, all written.
fn used(path: &Path) -> u64 {
    assert!(Command::new("sync").arg("-f").arg(path).status().is_ok_and(|status| status.success()));
    let system = rustix::fs::statvfs(path).expect("asks");
    (system.f_blocks - system.f_bfree) * system.f_frsize
}

fn stats(dir: &Path) -> (u64, u64) {
    let stats: serde_json::Value =
        serde_json::from_str(&ok(dir, &["store", "stats", "--json"])).expect("is JSON");
    let number = |key: &str| stats[key].as_u64().expect("a number");
    (number("clones"), number("clone_bytes"))
}

#[test]
fn long_files_share_their_blocks_where_the_file_system_can() {
    let Some(team) = Team::on_sharing_disk() else {
        let could = rustix::process::geteuid().is_root() && Path::new("/dev/loop-control").exists();
        assert!(!could, "the superuser cannot mount an image here");
        eprintln!("not tested: this user may not mount a file system that shares blocks");
        return;
    };
    let (ada, long) = (team.dir("ada"), team.dir("ada").join("data/set/long"));
    fs::remove_dir_all(ada.join("data/set")).expect("removes");
    fs::create_dir(ada.join("data/set")).expect("makes");
    let first = noise("first", LONG);
    fs::write(&long, &first).expect("writes");
    let before = used(&ada);
    ok(&ada, &["data", "add", "set"]);
    git(&ada, &["add", "data/set.mlp"]);
    git(&ada, &["commit", "-qm", "first"]);
    assert_eq!(stats(&ada), (1, LONG as u64));
    assert!(used(&ada) - before < 3 * LONG as u64 / 2, "the packs, and no third copy");

    // It comes back without one: less is written than a tenth of it.
    let come_back = |what: &str| {
        let here = used(&ada);
        ok(&ada, &["data", "checkout"]);
        assert!(fs::read(&long).expect("reads") == first, "{what}");
        used(&ada).saturating_sub(here)
    };
    fs::remove_file(&long).expect("removes");
    assert!(come_back("removed") < LONG as u64 / 10);

    // An edit reaches neither the clone nor the version.
    let second = noise("second", LONG);
    fs::write(&long, &second).expect("writes");
    ok(&ada, &["data", "add", "set"]);
    assert_eq!(stats(&ada).0, 2);
    git(&ada, &["stash", "-q"]);
    assert!(come_back("an older version") < LONG as u64 / 10);

    // A clone that somebody changed is not used, and goes.
    let objects = ada.join(".git/mlp/store/objects");
    for folder in fs::read_dir(&objects).expect("lists").flatten() {
        for clone in fs::read_dir(folder.path()).expect("lists").flatten() {
            let mut bytes = fs::read(clone.path()).expect("reads");
            bytes[LONG / 2] ^= 1;
            fs::write(clone.path(), bytes).expect("writes");
        }
    }
    fs::remove_file(&long).expect("removes");
    come_back("from the packs");
    assert!(stats(&ada).0 >= 1, "the wrong one went, the right one came");
    fs::remove_file(&long).expect("removes");
    assert!(come_back("from the new clone") < LONG as u64 / 10);
    // What was not used for the longest time makes room.
    fs::write(&long, noise("third", LONG)).expect("writes");
    ok(&ada, &["data", "add", "set"]);
    assert_eq!(stats(&ada).0, 2);
    // The third is named by nothing: it is not removed unasked.
    git(&ada, &["checkout", "-q", "--", "data/set.mlp"]);
    fs::remove_file(&long).expect("removes");
    come_back("the first once more");
    // Nothing rests on them.
    fs::remove_dir_all(&objects).expect("removes");
    fs::remove_file(&long).expect("removes");
    come_back("without clones");
    ok(&ada, &["store", "fsck", "--full"]);
}
