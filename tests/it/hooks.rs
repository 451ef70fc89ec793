//! The pre-push hook, the set-up of clones, and `mlp data status --remote`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::s3;
use crate::support::team::{Team, change, git, text, try_git, write};
use crate::support::{mlp, ok, run};

const SMALL: &[(&str, u64)] = &[("a/1", 1), ("a/2", 2), ("b/1", 3)];

fn json(dir: &Path, args: &[&str], code: i32) -> Value {
    let output = run(dir, &[args, &["--json"]].concat(), code);
    serde_json::from_str(text(&output.stdout).lines().last().expect("a line")).expect("is JSON")
}

/// Puts a store out of reach.
#[expect(clippy::disallowed_methods, reason = "a folder is moved out of the way, nothing is made")]
fn take_away(store: &Path, to: &Path) {
    fs::rename(store, to).expect("takes the store away");
}

#[test]
fn a_push_whose_data_nobody_else_could_get_is_refused_by_commit_and_path() {
    let team = Team::new(true, SMALL);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    ok(&ada, &["hook", "install"]);
    // Two versions, none pushed: both are named.
    write(&ada, &[("a/1", 10)]);
    ok(&ada, &["data", "add", "set"]);
    git(&ada, &["commit", "-qam", "one"]);
    let one = git(&ada, &["rev-parse", "--short=7", "HEAD"]);
    write(&ada, &[("a/1", 11)]);
    ok(&ada, &["data", "add", "set"]);
    git(&ada, &["commit", "-qam", "two"]);
    let two = git(&ada, &["rev-parse", "--short=7", "HEAD"]);
    let refused = try_git(&ada, &["push", "-q"]);
    let words = text(&refused.stdout) + &text(&refused.stderr);
    assert!(!refused.status.success(), "{words}");
    for commit in [&one, &two] {
        assert!(words.contains(&format!("data/set.mlp@{}", commit.trim())), "{words}");
    }
    assert!(words.contains("mlp data push --unpushed") && words.contains("--no-verify"), "{words}");

    // The version of the work tree alone is not enough.
    ok(&ada, &["data", "push"]);
    let refused = try_git(&ada, &["push", "-q"]);
    let words = text(&refused.stdout) + &text(&refused.stderr);
    assert!(
        !refused.status.success() && words.contains(one.trim()) && !words.contains(two.trim()),
        "{words}"
    );
    ok(&ada, &["data", "push", "--unpushed"]);
    git(&ada, &["push", "-q"]);
    // A branch without new data, a tag and a removal ask nothing of the store.
    take_away(&team.dir("far"), &team.dir("away"));
    git(&ada, &["push", "-q", "origin", "HEAD:refs/heads/other"]);
    git(&ada, &["push", "-q", "origin", ":refs/heads/other"]);
}

#[test]
fn out_of_reach_of_the_store_the_hook_says_how_to_go_on() {
    let team = Team::new(true, SMALL);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    ok(&ada, &["hook", "install"]);
    change(&ada, &[("a/1", 10)], &[]);
    take_away(&team.dir("far"), &team.dir("away"));
    let refused = try_git(&ada, &["push", "-q"]);
    let words = text(&refused.stdout) + &text(&refused.stderr);
    assert!(!refused.status.success() && words.contains("--no-verify"), "{words}");
    git(&ada, &["push", "-q", "--no-verify"]);
}

#[test]
fn init_sets_up_the_clone_and_a_hook_of_the_user_is_never_touched() {
    let folder = tempfile::tempdir().expect("makes a folder");
    ok(folder.path(), &["init", "first", "-t", "command"]);
    let first = folder.path().join("first");
    let told = json(&first, &["hook", "status"], 0);
    assert_eq!((&told["hook"], &told["merge_driver"]), (&"installed".into(), &true.into()), "{told}");
    let attributes = fs::read_to_string(first.join(".gitattributes")).expect("reads");
    assert!(attributes.contains("*.mlp text eol=lf merge=mlp"), "{attributes}");

    ok(&first, &["hook", "remove", "--dry-run"]);
    assert_eq!(json(&first, &["hook", "status"], 0)["hook"], "installed");
    ok(&first, &["hook", "remove"]);
    assert_eq!(json(&first, &["hook", "status"], 1)["hook"], "absent");
    let hook = first.join(".git/hooks/pre-push");
    fs::create_dir_all(hook.parent().expect("a folder")).expect("makes");
    fs::write(&hook, "#!/bin/sh\necho mine\n").expect("writes");
    let told = json(&first, &["hook", "install"], 1);
    assert_eq!((&told["hook"], &told["merge_driver"]), (&"foreign".into(), &true.into()), "{told}");
    assert_eq!(fs::read_to_string(&hook).expect("reads"), "#!/bin/sh\necho mine\n");
    // The line that it names is enough.
    let line = told["add"].as_str().expect("a line");
    fs::write(&hook, format!("#!/bin/sh\n{line}\n")).expect("writes");
    assert_eq!(json(&first, &["hook", "status"], 0)["hook"], "chained");
    ok(&first, &["hook", "remove"]);
    assert!(hook.exists());
}

#[test]
fn a_chained_hook_of_the_user_checks_too_and_a_project_in_a_subfolder_is_found() {
    let team = Team::empty();
    let ada = team.clone_as("ada");
    let inner = ada.join("ml");
    fs::create_dir(&inner).expect("makes");
    ok(&inner, &["init", ".", "-t", "command"]);
    fs::write(inner.join("words.txt"), "words").expect("writes");
    let manifest = fs::read_to_string(inner.join("mlp.yaml")).expect("reads");
    let stores = format!("stores: {{origin: {{url: \"fs://{}\"}}}}\n", team.dir("far").display());
    fs::write(inner.join("mlp.yaml"), manifest + &stores).expect("writes");
    ok(&inner, &["data", "add", "words.txt"]);
    git(&ada, &["add", "ml/mlp.yaml", "ml/words.txt.mlp"]);
    git(&ada, &["commit", "-qm", "one"]);
    let refused = try_git(&ada, &["push", "-q", "-u", "origin", "main"]);
    let words = text(&refused.stdout) + &text(&refused.stderr);
    assert!(!refused.status.success() && words.contains("ml/words.txt.mlp@"), "{words}");
    // As a line in a hook of the user's own.
    ok(&inner, &["hook", "remove"]);
    let hook = ada.join(".git/hooks/pre-push");
    fs::write(&hook, "#!/bin/sh\n").expect("writes");
    let told = json(&inner, &["hook", "install"], 1);
    fs::write(&hook, format!("#!/bin/sh\n{}\n", told["add"].as_str().expect("a line"))).expect("writes");
    std::process::Command::new("chmod").arg("+x").arg(&hook).status().expect("chmod starts");
    assert!(!try_git(&ada, &["push", "-q", "-u", "origin", "main"]).status.success());
    ok(&inner, &["data", "push"]);
    git(&ada, &["push", "-q", "-u", "origin", "main"]);
}

#[test]
fn a_clone_that_is_not_set_up_is_told_once() {
    let team = Team::new(true, SMALL);
    ok(&team.dir("ada"), &["data", "push"]);
    let ben = team.clone_as("ben");
    let hint = |dir: &Path| text(&run(dir, &["data", "pull"], 0).stderr).contains("mlp hook install");
    assert!(hint(&ben) && !hint(&ben));
}

#[test]
fn status_of_the_remote_needs_no_data_and_two_listings() {
    let team = Team::new(true, SMALL);
    let ada = team.dir("ada");
    let told = json(&ada, &["data", "status", "--remote"], 1);
    let line = &told["datasets"][0];
    assert_eq!((&line["here"], &line["remote"], &line["kept"]), (&true.into(), &false.into(), &false.into()));
    ok(&ada, &["data", "push"]);
    let told = json(&ada, &["data", "status", "--remote"], 0);
    assert_eq!(told["requests"], 2, "{told}");

    let ci = team.clone_as("ci");
    json(&ci, &["data", "status", "--remote"], 0);
    let told = json(&ci, &["data", "status", "--remote", "--store", "origin"], 0);
    let line = &told["datasets"][0];
    assert_eq!((&line["here"], &line["remote"], &line["kept"]), (&false.into(), &true.into(), &true.into()));
    assert_eq!(told["requests"], 2, "{told}");
    assert!(!ci.join("data/set").exists());

    write(&ada, &[("a/1", 10)]);
    ok(&ada, &["data", "add", "set"]);
    assert_eq!(json(&ada, &["data", "status", "--remote"], 1)["datasets"][0]["remote"], false);
    assert!(text(&run(&ada, &["data", "status", "--remote"], 1).stdout).contains("mlp data push set"));
}

#[test]
fn on_s3_status_of_the_remote_is_two_requests_and_two_people_push_at_once() {
    let team = Team::empty();
    let proxy = crate::support::proxy::Proxy::start(|_, _| crate::support::proxy::Fate::Pass);
    let stores = format!(
        "  s3: {{url: \"{}\", endpoint: \"http://{}\", region: us-east-1}}\n",
        s3::url(),
        proxy.address
    );
    team.begin(&stores, true, SMALL);
    let with = |dir: &Path, args: &[&str]| {
        let mut command = mlp(dir);
        command.args(args).envs(s3::CREDENTIALS);
        command
    };
    let fine = |dir: &Path, args: &[&str]| {
        let output = with(dir, args).output().expect("mlp starts");
        assert!(output.status.success(), "mlp {args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let ada = team.dir("ada");
    fine(&ada, &["data", "push"]);
    proxy.take();
    fine(&ada, &["data", "status", "--remote"]);
    let seen = proxy.take();
    assert!(
        seen.len() == 2 && seen.iter().all(|line| line.starts_with("GET") && line.contains("list-type")),
        "{seen:#?}"
    );

    let people = ["ben", "cy"].map(|name| team.clone_as(name));
    for (clone, seed) in people.iter().zip(20..) {
        fine(clone, &["data", "pull"]);
        // Half of what they add is the same.
        write(clone, &[("a/1", 10), ("own", seed), ("d/1", 30)]);
        fine(clone, &["data", "add", "set"]);
    }
    let pushes = people.each_ref().map(|clone| with(clone, &["data", "push"]).spawn().expect("mlp starts"));
    for mut push in pushes {
        assert!(push.wait().expect("ends").success());
    }
    for clone in &people {
        // Each version by itself, in a clone that has neither.
        let third = team.clone_as(&format!("third-{}", clone.file_name().expect("a name").display()));
        fs::copy(clone.join("data/set.mlp"), third.join("data/set.mlp")).expect("takes the version");
        fine(&third, &["data", "status", "--remote"]);
        fine(&third, &["data", "pull"]);
        for path in ["a/1", "a/2", "b/1", "own", "d/1"] {
            let read = |clone: &Path| fs::read(clone.join("data/set").join(path)).expect("is there");
            assert_eq!(read(&third), read(clone), "{path}");
        }
    }
}
