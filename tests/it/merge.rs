//! `mlp merge` and the merge driver, with real `git merge` between clones.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::team::{Team, change, git, noise, text, try_git, write};
use crate::support::{ok, run};

fn has(clone: &Path, path: &str, seed: u64) -> bool {
    fs::read(clone.join("data/set").join(path)).is_ok_and(|bytes| bytes == noise(seed, 100))
}

/// Ben merges what Ada pushed; git's exit status and all of its words.
fn merge(ben: &Path) -> (bool, String) {
    git(ben, &["fetch", "-q", "origin"]);
    let output = try_git(ben, &["merge", "-q", "-m", "merge", "origin/main"]);
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

fn json(dir: &Path, args: &[&str], code: i32) -> Value {
    let output = run(dir, &[args, &["--json"]].concat(), code);
    serde_json::from_str(text(&output.stdout).lines().last().expect("a line")).expect("is JSON")
}

const SMALL: &[(&str, u64)] = &[("a/1", 1), ("a/2", 2), ("b/1", 3), ("c/1", 4)];

#[test]
fn disjoint_edits_of_two_clones_merge_with_plain_git_and_no_driver() {
    let team = Team::new(false, SMALL);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    let ben = team.clone_as("ben");
    ok(&ben, &["data", "pull"]);
    change(&ada, &[("a/1", 10)], &[]);
    git(&ada, &["push", "-q", "--no-verify"]);
    change(&ben, &[("c/1", 11)], &[]);
    let (merged, words) = merge(&ben);
    assert!(merged, "{words}");
    ok(&ben, &["data", "pull"]);
    assert!(has(&ben, "a/1", 10) && has(&ben, "c/1", 11) && has(&ben, "b/1", 3));
}

#[test]
fn with_the_driver_new_last_children_and_nested_edits_of_one_folder_merge() {
    let team = Team::new(true, SMALL);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    let ben = team.colleague("ben");
    // Both append a last child, both change the folder `a`, deep below and beside.
    change(&ada, &[("y/1", 10), ("a/deep/er/1", 12), ("a/1", 13)], &[]);
    git(&ada, &["push", "-q", "--no-verify"]);
    change(&ben, &[("z/1", 11), ("a/deep/er/2", 14)], &["a/2"]);
    let (merged, words) = merge(&ben);
    assert!(merged, "{words}");
    assert!(git(&ben, &["status", "--porcelain"]).is_empty());
    ok(&ben, &["data", "pull"]);
    for (path, seed) in [("y/1", 10), ("z/1", 11), ("a/deep/er/1", 12), ("a/deep/er/2", 14), ("a/1", 13)] {
        assert!(has(&ben, path, seed), "{path}");
    }
    assert!(!ben.join("data/set/a/2").exists(), "a removal is a change too");
    // What was merged can be pushed, and Ada gets the same.
    ok(&ben, &["data", "push"]);
    git(&ben, &["push", "-q"]);
    git(&ada, &["pull", "-q"]);
    ok(&ada, &["data", "pull"]);
    assert!(has(&ada, "z/1", 11) && has(&ada, "a/deep/er/2", 14));
}

#[test]
fn a_folder_of_many_entries_that_both_sides_changed_merges_by_reading_trees_alone() {
    let names: Vec<String> = (0..2500).map(|n| format!("{n:05}")).collect();
    let files: Vec<(&str, u64)> = names.iter().zip(0..).map(|(name, n)| (name.as_str(), n % 7)).collect();
    let team = Team::new(true, &files);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    let ben = team.colleague("ben");
    change(&ada, &[("00003", 100), ("02400", 101)], &["00007"]);
    git(&ada, &["push", "-q", "--no-verify"]);
    change(&ben, &[("00004", 102), ("01200", 103), ("99999", 104)], &[]);
    let (merged, words) = merge(&ben);
    assert!(merged, "{words}");
    ok(&ben, &["data", "pull"]);
    for (path, seed) in [("00003", 100), ("02400", 101), ("00004", 102), ("01200", 103), ("99999", 104)] {
        assert!(has(&ben, path, seed), "{path}");
    }
    assert!(!ben.join("data/set/00007").exists());
    assert_eq!(fs::read_dir(ben.join("data/set")).expect("lists").count(), 2500);
}

#[test]
fn a_file_that_both_sides_changed_is_a_conflict_that_is_told_and_chosen() {
    let team = Team::new(true, &[("a/1.bin", 1), ("a/2.bin", 2), ("a/3.bin", 3), ("b/1", 4)]);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    let ben = team.colleague("ben");
    change(&ada, &[("a/1.bin", 10), ("a/2.bin", 11), ("b/1", 12)], &["a/3.bin"]);
    git(&ada, &["push", "-q", "--no-verify"]);
    change(&ben, &[("a/1.bin", 20), ("a/2.bin", 21), ("a/3.bin", 22)], &[]);
    let (merged, words) = merge(&ben);
    assert!(!merged && words.contains("both sides changed 3 files"), "{words}");

    let told = json(&ben, &["merge", "--dry-run"], 1);
    let dataset = &told["datasets"][0];
    assert_eq!((&dataset["pointer"], &dataset["state"]), (&"data/set.mlp".into(), &"conflict".into()));
    let paths: Vec<_> =
        dataset["conflicts"].as_array().expect("a list").iter().map(|c| c["path"].as_str()).collect();
    assert_eq!(paths, [Some("data/set/a/1.bin"), Some("data/set/a/2.bin"), Some("data/set/a/3.bin")]);
    assert_eq!(dataset["conflicts"][0]["theirs"]["size"], 100);
    assert!(dataset["conflicts"][2]["theirs"].is_null(), "removed there");
    // Nothing is decided yet: git's conflict stays, and ours is a valid pointer.
    run(&ben, &["merge", "data/set", "--theirs", "data/set/a/1.bin"], 1);
    assert!(git(&ben, &["status", "--porcelain"]).contains("UU data/set.mlp"));
    let report = text(&run(&ben, &["merge"], 1).stdout);
    assert!(report.contains("data/set/a/3.bin") && report.contains("removed"), "{report}");

    // From inside a folder paths are relative to it; a longer path says more than a shorter one.
    let told = json(
        &ben.join("data"),
        &["merge", "--theirs", "set/a", "--both", "set/a/2.bin", "--ours", "set/a/3.bin"],
        0,
    );
    assert_eq!(told["datasets"][0]["resolved"], 3);
    assert!(!git(&ben, &["status", "--porcelain"]).contains("UU"));
    git(&ben, &["commit", "-qm", "merged"]);
    ok(&ben, &["data", "pull"]);
    for (path, seed) in
        [("a/1.bin", 10), ("a/2.bin", 21), ("a/2.theirs.bin", 11), ("a/3.bin", 22), ("b/1", 12)]
    {
        assert!(has(&ben, path, seed), "{path}");
    }
    assert_eq!(ok(&ben, &["merge"]), "no dataset is in conflict\n");
}

#[test]
fn conflict_markers_alone_are_resolved_too() {
    let team = Team::new(false, SMALL);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    let ben = team.clone_as("ben");
    ok(&ben, &["data", "pull"]);
    change(&ada, &[("y/1", 10)], &[]);
    git(&ada, &["push", "-q", "--no-verify"]);
    change(&ben, &[("z/1", 11)], &[]);
    assert!(!merge(&ben).0, "without the driver git cannot");
    // Somebody committed the markers.
    git(&ben, &["commit", "-qam", "oh"]);
    assert!(fs::read_to_string(ben.join("data/set.mlp")).expect("reads").contains("<<<<<<<"));
    let said = text(&run(&ben, &["data", "status"], 2).stderr);
    assert!(said.contains("mlp merge"), "{said}");
    ok(&ben, &["merge", "data/set.mlp"]);
    ok(&ben, &["data", "pull"]);
    assert!(has(&ben, "y/1", 10) && has(&ben, "z/1", 11) && has(&ben, "a/1", 1));
}

#[test]
fn stages_in_the_index_are_resolved_without_the_driver_and_a_removed_dataset_is_asked_about() {
    let team = Team::new(false, SMALL);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    let ben = team.clone_as("ben");
    ok(&ben, &["data", "pull"]);
    change(&ada, &[("a/1", 10)], &[]);
    git(&ada, &["push", "-q", "--no-verify"]);
    change(&ben, &[("a/2", 11)], &[]);
    assert!(!merge(&ben).0, "one line of the pointer on both sides");
    ok(&ben, &["merge"]);
    git(&ben, &["commit", "-qm", "merged"]);
    ok(&ben, &["data", "pull"]);
    assert!(has(&ben, "a/1", 10) && has(&ben, "a/2", 11));
    ok(&ben, &["data", "push"]);
    git(&ben, &["push", "-q"]);

    git(&ada, &["pull", "-q"]);
    git(&ada, &["rm", "-q", "data/set.mlp"]);
    git(&ada, &["commit", "-qm", "gone"]);
    git(&ada, &["push", "-q"]);
    change(&ben, &[("a/1", 12)], &[]);
    assert!(!merge(&ben).0);
    run(&ben, &["merge"], 1);
    assert!(ben.join("data/set.mlp").exists(), "undecided");
    ok(&ben, &["merge", "--theirs"]);
    assert!(!ben.join("data/set.mlp").exists());
    assert!(git(&ben, &["status", "--porcelain"]).starts_with("D  data/set.mlp"));
}

#[test]
fn a_file_of_another_program_with_that_name_is_merged_as_text() {
    let team = Team::new(true, SMALL);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    let file = |clone: &Path, text: &str| {
        fs::write(clone.join("scene.mlp"), text).expect("writes");
        git(clone, &["add", "scene.mlp"]);
        git(clone, &["commit", "-qm", "scene"]);
    };
    file(&ada, "<mesh>\n1\n2\n3\n4\n5\n</mesh>\n");
    git(&ada, &["push", "-q", "--no-verify"]);
    let ben = team.clone_as("ben");
    ok(&ben, &["hook", "install"]);
    file(&ada, "<mesh>\nA\n2\n3\n4\n5\n</mesh>\n");
    git(&ada, &["push", "-q", "--no-verify"]);
    file(&ben, "<mesh>\n1\n2\n3\n4\nB\n</mesh>\n");
    let (merged, words) = merge(&ben);
    assert!(merged, "{words}");
    assert_eq!(fs::read_to_string(ben.join("scene.mlp")).expect("reads"), "<mesh>\nA\n2\n3\n4\nB\n</mesh>\n");
}

#[test]
fn a_merge_whose_trees_cannot_be_had_says_so_and_can_be_run_again() {
    let team = Team::new(true, SMALL);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    let ben = team.colleague("ben");
    write(&ada, &[("a/1", 10)]);
    ok(&ada, &["data", "add", "set"]);
    git(&ada, &["commit", "-qam", "not pushed to the store"]);
    git(&ada, &["push", "-q", "--no-verify"]);
    change(&ben, &[("a/2", 11)], &[]);
    let (merged, words) = merge(&ben);
    assert!(!merged && words.contains("store::not-on-remote"), "{words}");
    ok(&ada, &["data", "push"]);
    ok(&ben, &["merge"]);
    git(&ben, &["commit", "-qm", "merged"]);
    ok(&ben, &["data", "pull"]);
    assert!(has(&ben, "a/1", 10) && has(&ben, "a/2", 11));
}
