//! `mlp data add|rm|status|checkout|diff|ls|info`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{ok, refused, run};

/// A project with the dataset `pets` in `data/pets` and nothing in it yet.
fn project() -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    git(folder.path(), &["init", "-q", "-b", "main"]);
    write(
        folder.path(),
        "mlp.yaml",
        "mlp: 1\nproject: {name: zoo, id: 01jd3q0000000000000000zzzz}\ndata:\n  pets: {path: data/pets, format: images}\n",
    );
    write(folder.path(), ".gitignore", ".test-gitconfig\n.xdg-config\n");
    folder
}

fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
        .args(args)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "git {args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().expect("parent")).expect("folder");
    fs::write(path, text).expect("writes");
}

fn read(folder: &Path, path: &str) -> String {
    fs::read_to_string(folder.join(path)).expect(path)
}

fn json(folder: &Path, args: &[&str]) -> Value {
    let args = [&["--json"], args].concat();
    serde_json::from_str(&ok(folder, &args)).expect("one document")
}

/// Files of three classes, stored and committed.
fn added() -> TempDir {
    let folder = project();
    let root = folder.path();
    for class in ["ant", "bee", "cat"] {
        for index in 0..3 {
            write(root, &format!("data/pets/{class}/{index}.txt"), &format!("{class} {index}"));
        }
    }
    ok(root, &["data", "add", "pets"]);
    git(root, &["add", "-A"]);
    git(root, &["commit", "-qm", "first"]);
    folder
}

fn state(root: &Path) -> String {
    json(root, &["data", "status", "pets"])["datasets"][0]["state"].as_str().expect("state").to_owned()
}

#[test]
fn a_dataset_goes_from_absent_to_added_to_modified_and_back() {
    let folder = project();
    let root = folder.path();
    assert_eq!(state(root), "absent");
    write(root, "data/pets/cat/1.txt", "miau");
    assert_eq!(state(root), "not_added");
    let planned = json(root, &["data", "add", "--dry-run"]);
    assert!(!root.join("data/pets.mlp").exists());
    let made = json(root, &["data", "add"]);
    assert_eq!(made["datasets"][0]["id"], planned["datasets"][0]["id"]);
    assert_eq!(made["datasets"][0]["changed"], true);
    assert_eq!(
        (made["datasets"][0]["files"].as_u64(), made["datasets"][0]["bytes"].as_u64()),
        (Some(1), Some(4))
    );
    assert_eq!(json(root, &["data", "add"])["datasets"][0]["changed"], false);
    assert_eq!(state(root), "clean");
    assert_eq!(read(root, "data/.gitignore"), "/pets\n");
    assert_eq!(git(root, &["status", "--porcelain", "data"]), "?? data/\n");
    write(root, "data/pets/cat/1.txt", "purr");
    write(root, "data/pets/dog/2.txt", "wuff");
    let told = json(root, &["data", "status"]);
    assert_eq!(told["datasets"][0]["state"], "modified");
    assert_eq!(
        (told["datasets"][0]["added"].as_u64(), told["datasets"][0]["modified"].as_u64()),
        (Some(1), Some(1))
    );
    let human = ok(root, &["data", "status"]);
    assert!(human.contains("M cat/1.txt") && human.contains("A dog/2.txt"), "{human}");
}

#[test]
fn checkout_brings_back_what_was_added_and_keeps_edits_without_force() {
    let folder = added();
    let root = folder.path();
    fs::remove_dir_all(root.join("data/pets")).expect("removes");
    assert_eq!(state(root), "missing");
    ok(root, &["data", "checkout", "pets"]);
    assert_eq!((state(root).as_str(), read(root, "data/pets/cat/2.txt").as_str()), ("clean", "cat 2"));
    write(root, "data/pets/cat/2.txt", "edited by hand");
    let refusal = run(root, &["data", "checkout"], 1);
    assert!(String::from_utf8_lossy(&refusal.stdout).contains("cat/2.txt"));
    assert_eq!(read(root, "data/pets/cat/2.txt"), "edited by hand");
    ok(root, &["data", "checkout", "--force"]);
    assert_eq!(read(root, "data/pets/cat/2.txt"), "cat 2");
}

#[test]
fn an_earlier_version_is_compared_listed_and_checked_out_by_revision() {
    let folder = added();
    let root = folder.path();
    write(root, "data/pets/cat/2.txt", "second version");
    fs::remove_file(root.join("data/pets/ant/0.txt")).expect("removes");
    ok(root, &["data", "add", "pets"]);
    git(root, &["commit", "-qam", "second"]);
    let expected = "pets: 1 modified, 1 removed\nD ant/0.txt\nM cat/2.txt\n";
    assert_eq!(ok(root, &["data", "diff", "pets", "HEAD~1"]), expected);
    assert_eq!(ok(root, &["data", "diff", "pets", "HEAD~1", "HEAD"]), expected);
    assert_eq!(ok(root, &["data", "diff", "pets"]), "pets: no differences\n");
    let names = |place: &str| -> Vec<String> {
        let listed = json(root, &["data", "ls", place]);
        listed["entries"]
            .as_array()
            .expect("list")
            .iter()
            .map(|e| e["name"].as_str().expect("name").into())
            .collect()
    };
    assert_eq!(names("pets"), ["ant", "bee", "cat"]);
    assert_eq!(names("pets/ant"), ["1.txt", "2.txt"]);
    assert_eq!(names("pets/ant@HEAD~1"), ["0.txt", "1.txt", "2.txt"]);
    assert_eq!(names("pets/ant/1.txt"), ["ant/1.txt"]);
    assert!(ok(root, &["data", "ls"]).contains("pets/"));
    assert!(refused(root, &["data", "ls", "pets/dog"], 2).contains("data::no-entry"));
    ok(root, &["data", "checkout", "pets", "--rev", "HEAD~1"]);
    assert_eq!(
        (read(root, "data/pets/cat/2.txt").as_str(), read(root, "data/pets/ant/0.txt").as_str()),
        ("cat 2", "ant 0")
    );
    assert_eq!(state(root), "modified");
}

#[test]
fn changes_of_two_people_in_different_folders_merge() {
    let folder = added();
    let root = folder.path();
    git(root, &["switch", "-qc", "ada"]);
    write(root, "data/pets/ant/0.txt", "by Ada");
    ok(root, &["data", "add", "pets"]);
    git(root, &["commit", "-qam", "Ada's"]);
    git(root, &["switch", "-q", "main"]);
    ok(root, &["data", "checkout"]);
    assert_eq!(read(root, "data/pets/ant/0.txt"), "ant 0");
    write(root, "data/pets/bee/0.txt", "by Bob");
    ok(root, &["data", "add", "pets"]);
    git(root, &["commit", "-qam", "Bob's"]);
    git(root, &["merge", "-q", "--no-edit", "ada"]);
    ok(root, &["data", "checkout"]);
    assert_eq!(
        (read(root, "data/pets/ant/0.txt").as_str(), read(root, "data/pets/bee/0.txt").as_str()),
        ("by Ada", "by Bob")
    );
    assert_eq!(state(root), "clean");
}

#[test]
fn changes_of_one_folder_by_two_people_are_a_conflict_that_is_named() {
    let folder = added();
    let root = folder.path();
    git(root, &["switch", "-qc", "ada"]);
    write(root, "data/pets/ant/0.txt", "by Ada");
    ok(root, &["data", "add", "pets"]);
    git(root, &["commit", "-qam", "Ada's"]);
    git(root, &["switch", "-q", "main"]);
    write(root, "data/pets/ant/0.txt", "by Bob");
    ok(root, &["data", "add", "pets"]);
    git(root, &["commit", "-qam", "Bob's"]);
    let merge =
        Command::new("git").args(["merge", "-q", "ada"]).current_dir(root).output().expect("git runs");
    assert!(!merge.status.success());
    assert!(refused(root, &["data", "status"], 2).contains("data::conflict"));
}

#[test]
fn removing_forgets_the_pointer_and_keeps_files_unless_told() {
    let folder = added();
    let root = folder.path();
    ok(root, &["data", "rm", "pets"]);
    assert!(!root.join("data/pets.mlp").exists() && root.join("data/pets/cat/0.txt").exists());
    ok(root, &["data", "add", "pets"]);
    write(root, "data/pets/cat/0.txt", "not stored");
    assert!(refused(root, &["data", "rm", "--files", "pets"], 2).contains("data::modified"));
    assert!(root.join("data/pets.mlp").exists() && root.join("data/pets/cat/0.txt").exists());
    ok(root, &["data", "rm", "--files", "--force", "pets"]);
    assert!(!root.join("data/pets").exists() && !root.join("data/.gitignore").exists());
    git(root, &["checkout", "-q", "data/pets.mlp"]);
    ok(root, &["data", "checkout"]);
    assert_eq!(read(root, "data/pets/cat/0.txt"), "cat 0");
}

#[test]
fn any_path_can_be_added_and_is_then_watched() {
    let folder = project();
    let root = folder.path();
    write(root, "tables/wine.csv", "a,b\n1,2\n");
    ok(root, &["data", "add", "tables/wine.csv"]);
    assert!(read(root, "tables/wine.csv.mlp").starts_with("mlp: 1\nkind: file\nid: b3:"));
    let told = json(root, &["data", "status"]);
    assert_eq!(told["datasets"][1]["name"], "tables/wine.csv");
    assert_eq!(told["datasets"][1]["state"], "clean");
    fs::remove_file(root.join("tables/wine.csv")).expect("removes");
    ok(root, &["data", "checkout"]);
    assert_eq!(read(root, "tables/wine.csv"), "a,b\n1,2\n");
}

#[test]
fn places_that_cannot_be_data_are_refused_with_what_to_do() {
    let folder = project();
    let root = folder.path();
    assert!(refused(root, &["data", "add", "pest"], 2).contains("did you mean `pets`"));
    assert!(refused(root, &["data", "add", "pets"], 2).contains("mlp data download pets"));
    assert!(refused(root, &["data", "add", "."], 2).contains("data::place"));
    assert!(refused(root, &["data", "add", "/etc/hostname"], 2).contains("outside of the repository"));
    assert!(refused(root, &["data", "add", ".git"], 2).contains("belongs to git or mlp"));
    assert!(refused(root, &["data", "checkout", "pets"], 2).contains("mlp data add pets"));
    write(root, "data/pets.mlp", "mlp: 1\nkind: tree\nchildren:\n- dir: ../../etc\n  id: b3:00\n  size: 1\n");
    assert!(refused(root, &["data", "status"], 2).contains("data::pointer"));
}

#[cfg(unix)]
#[test]
fn hostile_file_names_cannot_steer_the_terminal() {
    let folder = project();
    let root = folder.path();
    write(root, "data/pets/cat/a.txt", "1");
    ok(root, &["data", "add", "pets"]);
    write(root, "data/pets/cat/\x1b[2J\n.txt", "2");
    for text in [ok(root, &["data", "status"]), ok(root, &["data", "diff"])] {
        assert!(!text.contains('\x1b') && text.contains("\\u{1b}[2J\\n.txt"), "{text}");
    }
    ok(root, &["data", "add", "pets"]);
    assert_eq!(state(root), "clean");
    assert!(!ok(root, &["data", "ls", "pets/cat"]).contains('\x1b'));
}

#[test]
fn info_tells_parts_classes_and_expectations() {
    let folder = project();
    let root = folder.path();
    write(
        root,
        "mlp.yaml",
        "mlp: 1\nproject: {name: zoo, id: 01jd3q0000000000000000zzzz}\ndata:\n  wine:\n    path: wine.csv\n    format: csv\n    target: kind\n    \
         expect: [{rows: {min: 100}}, {column: {name: kind, one_of: [red]}}]\n",
    );
    let rows: String =
        (0..120).map(|i| format!("{i},{}\n", if i % 3 == 0 { "white" } else { "red" })).collect();
    write(root, "wine.csv", &format!("acid,kind\n{rows}"));
    let info = json(root, &["data", "info", "wine"]);
    let parts = &info["parts"];
    let total: u64 = ["train", "val", "test"].iter().map(|part| parts[part].as_u64().expect("count")).sum();
    assert_eq!((total, info["state"].as_str(), info["overlap"].as_u64()), (120, Some("not_added"), Some(0)));
    assert_eq!(info["classes"][0]["examples"], 80);
    assert_eq!(
        (&info["expectations"][0]["met"], &info["expectations"][1]["met"]),
        (&Value::Bool(true), &Value::Bool(false))
    );
    let human = ok(root, &["data", "info", "wine"]);
    assert!(human.contains("NOT MET") && human.contains("`white`"), "{human}");
}

#[test]
fn near_images_are_asked_for_where_there_are_images_and_within_reason() {
    let folder = project();
    let root = folder.path();
    for (data, says) in [
        (
            "{path: wine.csv, format: csv, target: kind, guard: {near: {}}}",
            "`data.pets.guard.near`: images are compared",
        ),
        (
            "{path: data/pets, format: images, guard: {near: {distance: 25}}}",
            "`data.pets.guard.near.distance`: 25 is out of range",
        ),
        ("{path: data/pets, format: images, memory: 3 parsecs}", "no number of bytes"),
    ] {
        write(
            root,
            "mlp.yaml",
            &format!(
                "mlp: 1\nproject: {{name: zoo, id: 01jd3q0000000000000000zzzz}}\ndata:\n  pets: {data}\n"
            ),
        );
        let error = refused(root, &["check"], 2);
        assert!(error.contains(says), "{data}: {error}");
    }
}
