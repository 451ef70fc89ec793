//! Power that fails: what was not synced is lost or garbage. The journal of a command is replayed on a model of a disk, cut
//! off anywhere, and what is left is looked at.
//!
//! The model is as hostile as POSIX allows: a file that was not synced since it was written holds anything; a name (made,
//! changed or removed) whose folder was not synced since is there or not, each independent of all others.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::support::faulted::{Case, Step, Team, version};
use super::support::files::{read, read_data, same, write};
use super::support::{ok, rounds};

/// A number generator (xorshift): the seed is in every message.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What stands under a name.
#[derive(Clone)]
enum Thing {
    /// A file, by its number.
    File(usize),
    Folder,
    Nothing,
}

/// A disk: for each name what it was on the disk, and what it has been since, newest last.
#[derive(Default)]
struct Disk {
    names: BTreeMap<PathBuf, Vec<Thing>>,
    /// Bytes that are on the disk; none for a file that was never synced.
    files: Vec<Option<Vec<u8>>>,
}

impl Disk {
    /// A disk on which all of `root` is.
    fn of(root: &Path) -> Self {
        let mut disk = Self::default();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("lists").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    disk.names.insert(path.clone(), vec![Thing::Folder]);
                    folders.push(path);
                } else {
                    disk.files.push(Some(fs::read(&path).expect("reads")));
                    disk.names.insert(path, vec![Thing::File(disk.files.len() - 1)]);
                }
            }
        }
        disk
    }

    fn now(&self, path: &Path) -> Thing {
        self.names.get(path).and_then(|states| states.last()).cloned().unwrap_or(Thing::Nothing)
    }

    fn set(&mut self, path: &Path, thing: Thing) {
        self.names.entry(path.to_owned()).or_insert_with(|| vec![Thing::Nothing]).push(thing);
    }

    fn apply(&mut self, step: &Step) {
        match step.point.as_str() {
            // What they are about has a name of its own only when it is synced, linked or renamed.
            "open" | "write" => {}
            "mkdir" if matches!(self.now(&step.path), Thing::Nothing) => self.set(&step.path, Thing::Folder),
            "mkdir" => {}
            "unlink" => self.set(&step.path, Thing::Nothing),
            "fsync" => match &step.bytes {
                Some(bytes) => {
                    self.files.push(Some(bytes.clone()));
                    self.set(&step.path, Thing::File(self.files.len() - 1));
                }
                None => {
                    for (path, states) in &mut self.names {
                        if path.parent() == Some(&step.path) {
                            states.drain(..states.len() - 1);
                        }
                    }
                }
            },
            "rename" | "link" => {
                let taken = step.point == "link" && !matches!(self.now(&step.to), Thing::Nothing);
                if !taken {
                    let mut thing = self.now(&step.path);
                    if matches!(thing, Thing::Nothing) {
                        self.files.push(None);
                        thing = Thing::File(self.files.len() - 1);
                    }
                    self.set(&step.to, thing);
                    if step.point == "rename" {
                        self.set(&step.path, Thing::Nothing);
                    }
                }
            }
            other => panic!("{other}"),
        }
    }

    /// What a machine finds when power is back, written below `root`.
    fn crash(&self, root: &Path, random: &mut Random) {
        for entry in fs::read_dir(root).expect("lists").flatten() {
            let path = entry.path();
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.expect("removes");
        }
        for (path, states) in &self.names {
            let thing = &states[random.below(states.len() as u64) as usize];
            // Parents come first; what is below a lost folder is lost.
            if !path.parent().is_some_and(Path::is_dir) {
                continue;
            }
            match thing {
                Thing::Nothing => {}
                Thing::Folder => fs::create_dir(path).expect("makes the folder"),
                Thing::File(number) => {
                    let garbage = || vec![0; random.below(3000) as usize];
                    fs::write(path, self.files[*number].clone().unwrap_or_else(garbage)).expect("writes");
                }
            }
        }
    }
}

/// Cuts the power `count` times at random steps of the command, the last time when it has said that all is well.
fn power_fails(case: &Case, root: &Path, count: u32, check: impl Fn(&str, bool)) {
    case.restore();
    let (output, steps) = case.journal("");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for seed in 1..=count {
        let mut random = Random(u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let whole = random.below(4) == 0;
        let length = if whole { steps.len() } else { random.below(steps.len() as u64) as usize };
        case.restore();
        let mut disk = Disk::of(root);
        steps[..length].iter().for_each(|step| disk.apply(step));
        disk.crash(root, &mut random);
        check(&format!("seed {seed}, power lost after step {length} of {}", steps.len()), whole);
    }
}

#[test]
fn an_add_that_was_acknowledged_survives_a_power_failure() {
    let team = Team::with_versions(1);
    let (ada, tree) = (team.dir("ada"), team.tree_as("tree", "v1"));
    ok(&tree, &["data", "status"]);
    write(&ada.join("data/set"), &version(2));
    let case = Case::new(team.root(), &ada, &["data", "add", "set"]);
    power_fails(&case, team.root(), rounds(40, 400), |when, done| {
        ok(&tree, &["data", "checkout", "set"]);
        same(&read(&tree.join("data/set")), &version(1), when);
        let pointer = fs::read(ada.join("data/set.mlp")).unwrap_or_default();
        let visible = pointer != fs::read(tree.join("data/set.mlp")).expect("reads");
        assert!(visible || !done, "{when}: acknowledged and lost");
        if visible {
            fs::write(tree.join("data/set.mlp"), pointer).expect("writes");
            ok(&tree, &["data", "checkout", "set"]);
            same(&read(&tree.join("data/set")), &version(2), when);
        }
        case.ok();
    });
}

#[test]
fn the_first_add_of_a_project_survives_a_power_failure() {
    let team = Team::new();
    let ada = team.dir("ada");
    ok(&ada, &["data", "status"]);
    let case = Case::new(team.root(), &ada, &["data", "add", "set"]);
    power_fails(&case, team.root(), rounds(20, 200), |when, done| {
        if done {
            fs::remove_dir_all(ada.join("data/set")).expect("removes");
            ok(&ada, &["data", "checkout", "set"]);
            same(&read(&ada.join("data/set")), &version(1), when);
        }
        case.ok();
    });
}

#[test]
fn an_add_that_is_done_again_after_a_kill_survives_a_power_failure() {
    let team = Team::with_versions(1);
    let ada = team.dir("ada");
    write(&ada.join("data/set"), &version(2));
    let case = Case::new(team.root(), &ada, &["data", "add", "set"]);
    let points = case.points("any");
    for number in 1..=points {
        case.restore();
        let mut disk = Disk::of(team.root());
        let (_, first) = case.journal(&format!("any:{number}:kill,"));
        // The kill takes place at the point itself, which the journal does not have.
        let (output, second) = case.journal("");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        first.iter().chain(&second).for_each(|step| disk.apply(step));
        disk.crash(team.root(), &mut Random(number));
        let when = format!("killed at {number} of {points}, done again, power lost");
        fs::remove_dir_all(ada.join("data/set")).expect("removes");
        ok(&ada, &["data", "checkout", "set"]);
        same(&read(&ada.join("data/set")), &version(2), &when);
    }
}

#[test]
fn a_push_that_was_acknowledged_survives_a_power_failure_of_the_store() {
    for first in [true, false] {
        let team = Team::with_versions(1);
        let ada = team.dir("ada");
        if !first {
            ok(&ada, &["data", "push"]);
        }
        team.add(2);
        let cleo = team.clone_as("cleo", "v2");
        ok(&cleo, &["data", "status"]);
        let case = Case::new(team.root(), &ada, &["data", "push"]);
        power_fails(&case, team.root(), rounds(20, 200), |when, done| {
            let pins = read(&team.dir("far/pins")).len();
            let all = 1 + usize::from(!first);
            assert!(!done || pins == all, "{when}: acknowledged, and {pins} pins");
            if pins == all {
                ok(&cleo, &["data", "pull"]);
                same(&read_data(&cleo.join("data/set")), &version(2), when);
            }
            case.ok();
            ok(&cleo, &["data", "pull"]);
            same(&read_data(&cleo.join("data/set")), &version(2), when);
        });
    }
}

#[test]
fn a_checkout_after_a_power_failure_finds_what_was_not_written() {
    let team = Team::with_versions(2);
    let ada = team.dir("ada");
    fs::remove_dir_all(ada.join("data/set")).expect("removes");
    let case = Case::new(team.root(), &ada, &["data", "checkout"]);
    power_fails(&case, team.root(), rounds(20, 200), |when, _| {
        // Files of a checkout are not synced: a garbled one is the user's for all that mlp knows, and is named.
        ok(&ada, &["data", "checkout", "--force"]);
        same(&read_data(&ada.join("data/set")), &version(2), when);
    });
}
