//! Push, fetch and pull between clones, as a user types them, over a store in a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{mlp, ok, refused, run};

/// Two people and a store, in folders beside each other.
struct Team {
    folder: TempDir,
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn git(dir: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    let output = Command::new("git").current_dir(dir).args(identity).args(args).output().expect("git starts");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// All files below `dir`, by their path from there, with their content.
fn content(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("lists") {
        let path = entry.expect("an entry").path();
        let name = PathBuf::from(path.file_name().expect("a name"));
        if path.is_dir() {
            found.extend(content(&path).into_iter().map(|(below, bytes)| (name.join(below), bytes)));
        } else {
            found.push((name, fs::read(&path).expect("reads")));
        }
    }
    found.sort();
    found
}

impl Team {
    /// Ada's project with a dataset of one large and some small files, added and committed.
    fn new(large: usize) -> Self {
        let team = Self { folder: tempfile::tempdir().expect("makes a folder") };
        let ada = team.dir("ada");
        fs::create_dir_all(ada.join("data/set/inner")).expect("makes folders");
        let manifest = format!(
            "mlp: 1\nproject: {{name: team, id: 01jd3q0000000000000000000c}}\n\
             stores:\n  origin: {{url: \"fs://{}\"}}\n\
             data:\n  set: {{path: data/set, format: images}}\n",
            team.dir("far").display()
        );
        fs::write(ada.join("mlp.yaml"), manifest).expect("writes");
        for n in 0..20 {
            fs::write(ada.join(format!("data/set/inner/{n:02}.bin")), noise(n, 3000)).expect("writes");
        }
        fs::write(ada.join("data/set/large.bin"), noise(100, large)).expect("writes");
        git(&ada, &["init", "-q", "-b", "main"]);
        ok(&ada, &["data", "add", "set"]);
        team.commit();
        team
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn commit(&self) {
        let ada = self.dir("ada");
        git(&ada, &["add", "mlp.yaml", "data/set.mlp"]);
        git(&ada, &["commit", "-q", "-m", "version"]);
    }

    /// A fresh clone of Ada's repository.
    fn clone_as(&self, name: &str) -> PathBuf {
        git(self.folder.path(), &["clone", "-q", "ada", name]);
        self.dir(name)
    }
}

fn json(dir: &Path, args: &[&str]) -> serde_json::Value {
    let text = ok(dir, &[args, &["--json"]].concat());
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_colleague_pulls_what_was_pushed() {
    let team = Team::new(3 << 20);
    let ada = team.dir("ada");
    let plan = json(&ada, &["data", "push", "--dry-run"]);
    assert_eq!(plan["dry_run"], true);
    assert!(plan["bytes"].as_u64().is_some_and(|bytes| bytes > 3 << 20), "{plan}");
    assert!(!team.dir("far").join("packs").exists(), "a dry run sends nothing");
    let pushed = json(&ada, &["data", "push"]);
    assert_eq!(pushed["objects"], 4, "{pushed}");
    let again = json(&ada, &["data", "push"]);
    assert_eq!(again["objects"], 0, "{again}");
    assert!(again["requests"].as_u64().is_some_and(|requests| requests <= 2), "{again}");

    let ben = team.clone_as("ben");
    assert!(!ben.join("data/set").exists());
    ok(&ben, &["data", "fetch"]);
    assert!(!ben.join("data/set").exists(), "fetch does not check out");
    let pulled = json(&ben, &["data", "pull"]);
    assert_eq!((&pulled["objects"], &pulled["written"]), (&0.into(), &21.into()), "{pulled}");
    assert_eq!(content(&ben.join("data/set")), content(&ada.join("data/set")));
}

#[test]
fn who_only_asks_makes_no_store_and_what_is_lost_there_is_pushed_again() {
    let team = Team::new(1 << 10);
    let (ada, far) = (team.dir("ada"), team.dir("far"));
    for args in [&["data", "status", "--remote"][..], &["data", "push", "--dry-run"], &["data", "fetch"]] {
        mlp(&ada).args(args).output().expect("starts");
        assert!(!far.exists(), "{args:?}");
    }
    for args in [&["store", "fsck", "--store", "origin"][..], &["store", "stats", "--store", "origin"]] {
        assert!(refused(&ada, args, 3).contains("store::empty"), "{args:?}");
        assert!(!far.exists(), "{args:?}");
    }
    let output = mlp(&ada).args(["data", "push"]).output().expect("starts");
    assert!(String::from_utf8_lossy(&output.stderr).contains("`origin` is a new store"), "{output:?}");
    let said = ok(&ada, &["data", "push"]);
    assert!(said.contains("`origin` has everything"), "{said}");
    // Somebody removes what says where everything is: pins alone keep nothing.
    fs::remove_dir_all(far.join("index")).expect("removes");
    let status = String::from_utf8(run(&ada, &["data", "status", "--remote"], 1).stdout).expect("text");
    assert!(status.contains("`mlp data push set`"), "{status}");
    ok(&ada, &["data", "push"]);
    ok(&ada, &["data", "status", "--remote"]);
    let ben = team.clone_as("ben");
    ok(&ben, &["data", "pull"]);
    assert_eq!(content(&ben.join("data/set")), content(&ada.join("data/set")));
}

#[test]
fn data_that_mlp_yaml_does_not_name_are_pushed_and_pulled_too() {
    let team = Team::new(1 << 10);
    let ada = team.dir("ada");
    fs::create_dir(ada.join("notes")).expect("makes a folder");
    fs::write(ada.join("notes/a.txt"), "a").expect("writes");
    ok(&ada, &["data", "add", "notes"]);
    git(&ada, &["add", "notes.mlp"]);
    team.commit();
    ok(&ada, &["data", "push"]);
    let ben = team.clone_as("ben");
    let pulled = json(&ben, &["data", "pull"]);
    assert_eq!(pulled["datasets"], serde_json::json!(["set", "notes"]), "{pulled}");
    assert_eq!(fs::read_to_string(ben.join("notes/a.txt")).expect("is there"), "a");
}

#[test]
fn one_changed_file_is_four_objects() {
    let team = Team::new(3 << 20);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    fs::write(ada.join("data/set/inner/03.bin"), noise(200, 3000)).expect("writes");
    ok(&ada, &["data", "add", "set"]);
    let pushed = json(&ada, &["data", "push", "set"]);
    assert!(pushed["objects"].as_u64().is_some_and(|objects| objects <= 4), "{pushed}");
    assert!(pushed["bytes"].as_u64().is_some_and(|bytes| bytes < 20_000), "{pushed}");
}

#[test]
fn a_push_that_is_killed_at_any_point_can_be_run_again() {
    let team = Team::new(80 << 20);
    let ada = team.dir("ada");
    for delay in [1, 20, 60, 120, 200, 300, 450] {
        let mut child = mlp(&ada)
            .args(["data", "push"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mlp starts");
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().expect("kills");
        child.wait().expect("ends");
    }
    ok(&ada, &["data", "push"]);
    assert_eq!(json(&ada, &["data", "push"])["objects"], 0);
    let ben = team.clone_as("ben");
    ok(&ben, &["data", "pull"]);
    assert_eq!(content(&ben.join("data/set")), content(&ada.join("data/set")));
}

#[test]
fn two_clones_push_at_once_and_both_are_found() {
    let team = Team::new(2 << 20);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    let clones = ["ben", "cy", "dee"].map(|name| team.clone_as(name));
    for (n, clone) in clones.iter().enumerate() {
        ok(clone, &["data", "pull"]);
        fs::write(clone.join("data/set/own.bin"), noise(300 + n as u64, 9000)).expect("writes");
        ok(clone, &["data", "add", "set"]);
    }
    let children =
        clones.each_ref().map(|clone| mlp(clone).args(["data", "push"]).spawn().expect("mlp starts"));
    for mut child in children {
        assert!(child.wait().expect("ends").success());
    }
    for clone in &clones {
        fs::copy(clone.join("data/set.mlp"), ada.join("data/set.mlp")).expect("takes the version");
        ok(&ada, &["data", "pull", "--force"]);
        assert_eq!(content(&ada.join("data/set")), content(&clone.join("data/set")));
    }
}

#[test]
fn damage_on_the_remote_is_named_and_nothing_of_it_is_checked_out() {
    let team = Team::new(2 << 20);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    let packs = content(&team.dir("far").join("packs"));
    let (name, bytes) = packs.iter().max_by_key(|(_, bytes)| bytes.len()).expect("a pack");
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    fs::write(team.dir("far").join("packs").join(name), damaged).expect("damages");
    let ben = team.clone_as("ben");
    let text = refused(&ben, &["data", "pull"], 1);
    assert!(text.contains("store::damaged") || text.contains("is damaged"), "{text}");
    assert!(text.contains(&*name.to_string_lossy()), "{text}");
    assert!(!ben.join("data/set/large.bin").exists());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a folder is moved out of the way")]
fn a_store_that_is_not_named_or_not_there_is_said() {
    let team = Team::new(1000);
    let ada = team.dir("ada");
    let text = refused(&ada, &["data", "push", "--store", "orgin"], 2);
    assert!(text.contains("did you mean `origin`?"), "{text}");
    ok(&ada, &["data", "push"]);
    fs::rename(team.dir("far"), team.dir("elsewhere")).expect("unmounts");
    let text = refused(&ada, &["data", "push"], 2);
    assert!(text.contains("is it mounted"), "{text}");
    let manifest = fs::read_to_string(ada.join("mlp.yaml")).expect("reads");
    let start = manifest.find("stores:").expect("has stores");
    let end = manifest.find("data:\n").expect("has data");
    fs::write(ada.join("mlp.yaml"), format!("{}{}", &manifest[..start], &manifest[end..])).expect("writes");
    let output = run(&ada, &["data", "push"], 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("names no stores"));
}

#[test]
fn what_goes_to_a_store_is_told_and_kept_to_a_rate() {
    let team = Team::new(1 << 20);
    let ada = team.dir("ada");
    let began = std::time::Instant::now();
    let output = run(&ada, &["data", "push", "--limit-rate", "1MiB", "-v"], 0);
    // The large pack goes at once, and what comes after it waits for about a second: a lower bound, not a limit.
    assert!(began.elapsed() > Duration::from_millis(500), "{:?}", began.elapsed());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for line in ["origin: create mlpstore.json", "origin: write packs/", "origin: write pins/", " B up, "] {
        assert!(said.contains(line), "no `{line}` in {said}");
    }
    let output = run(&ada, &["data", "push", "--json", "-v"], 0);
    let events = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(events.contains(r#""level":"debug""#) && events.contains("origin: list pins/"), "{events}");
    assert!(!String::from_utf8_lossy(&run(&ada, &["data", "push"], 0).stderr).contains("origin: "));
    let said = refused(&ada, &["data", "push", "--limit-rate", "fast"], 2);
    assert!(said.contains("500k or 20MiB"), "{said}");
    assert!(refused(&ada, &["data", "push", "-v", "-q"], 2).contains("cannot be used with"));
    // In mlp.yaml, too; what makes no sense is refused with its place.
    let manifest = fs::read_to_string(ada.join("mlp.yaml")).expect("reads");
    for (more, code) in [("limit_rate: 10MB, timeout: 60", 0), ("limit_rate: soon", 2), ("timeout: 0", 2)] {
        let text = manifest.replacen("\"}", &format!("\", {more}}}"), 1);
        fs::write(ada.join("mlp.yaml"), text).expect("writes");
        run(&ada, &["check"], code);
    }
}

#[test]
fn what_a_colleague_changed_is_not_taken_for_an_edit_made_here() {
    let team = Team::new(100_000);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    let ben = team.clone_as("ben");
    ok(&ben, &["data", "pull"]);
    fs::write(ada.join("data/set/inner/more.bin"), "more").expect("writes");
    ok(&ada, &["data", "add", "set"]);
    ok(&ada, &["data", "push"]);
    team.commit();
    let before = json(&ben, &["data", "status"])["datasets"][0]["id"].clone();
    git(&ben, &["pull", "-q"]);
    // Before the new directories are here, and after.
    for fetched in [false, true] {
        if fetched {
            ok(&ben, &["data", "fetch"]);
        }
        assert_eq!(json(&ben, &["data", "status"])["datasets"][0]["holds"], before, "fetched: {fetched}");
        let said = ok(&ben, &["data", "status"]);
        assert!(
            said.contains("the files are those of version") && said.contains("`mlp data pull set`"),
            "{said}"
        );
    }
    ok(&ben, &["data", "pull"]);
    assert!(ok(&ben, &["data", "status"]).contains("clean"));
    // An edit is one.
    fs::write(ben.join("data/set/inner/more.bin"), "mine").expect("writes");
    let said = ok(&ben, &["data", "status"]);
    assert!(said.contains("1 modified: `mlp data add set` keeps"), "{said}");
}
