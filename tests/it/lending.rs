//! Hosts read from the project's store themselves what they lack, without its credentials.

use std::path::Path;

use super::support::hosts::Hosts;
use super::support::mlp;
use super::support::project::Project;
use super::support::s3;

const SIZE: usize = 20 << 20;

/// A project with a file of 20 MiB that is in the store, and a step that counts its bytes.
fn project(store: &str) -> Project {
    let project = Project::new(&format!(
        "stores: {{s3: {store}}}\ndata: {{blob: {{path: data/blob, format: csv, target: x}}}}\n\
         steps: {{count: {{run: 'wc -c < data/blob', in: [data/blob]}}}}\n"
    ));
    let mut bytes = vec![0; SIZE];
    blake3::Hasher::new().update(store.as_bytes()).finalize_xof().fill(&mut bytes);
    std::fs::create_dir_all(project.path().join("data")).expect("makes a folder");
    std::fs::write(project.path().join("data/blob"), &bytes).expect("writes");
    run(&project, &["data", "add", "blob"]);
    run(&project, &["data", "push"]);
    project
}

/// `mlp ARGS` with the credentials of the store; what it said.
fn run(project: &Project, args: &[&str]) -> String {
    let output = mlp(project.path()).args(args).envs(s3::CREDENTIALS).output().expect("mlp starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {said}");
    said
}

/// Bytes that went over ssh, as the command says them.
fn sent(said: &str) -> u64 {
    if said.contains("has all that the run needs") {
        return 0;
    }
    let line = said
        .lines()
        .find(|line| line.contains("sent "))
        .unwrap_or_else(|| panic!("nothing was sent: {said}"));
    let mut words = line.split("sent ").nth(1).unwrap_or_default().split(' ');
    let (number, unit) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let factor = match unit {
        "MiB" => 1_048_576.0,
        "KiB" => 1024.0,
        _ => 1.0,
    };
    (number.parse::<f64>().unwrap_or_else(|_| panic!("{line}")) * factor) as u64
}

/// All files below a folder in which `needle` stands, but for the program, which knows the words of the protocol.
fn found(folder: &Path, needle: &str) -> Vec<String> {
    let output = std::process::Command::new("grep")
        .args(["-rlaF", "--exclude-dir=bin", needle])
        .arg(folder)
        .output()
        .expect("grep starts");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn a_host_reads_from_the_store_and_keeps_neither_credentials_nor_links() {
    let hosts = Hosts::new();
    let project = project(&format!(
        "{{url: \"{}\", endpoint: \"http://{}\", region: us-east-1}}",
        s3::url(),
        s3::address()
    ));
    hosts.of(&project, &["h1", "h2"]);
    let said = run(&project, &["run", "count", "--on", "h1"]);
    assert!(said.contains("h1 read 20MiB from the store `s3` itself"), "{said}");
    assert!(sent(&said) < 1 << 20, "{said}");
    assert_eq!(run_log(&project), format!("{SIZE}\n"));
    for needle in ["mlpsecret", "X-Amz-Signature", "AWSAccessKeyId"] {
        assert_eq!(found(&hosts.root("h1"), needle), [""; 0], "{needle}");
    }
    // The host has it now.
    assert!(!run(&project, &["run", "count", "--on", "h1", "--force"]).contains("itself"));
    // Who may not gets it from here.
    hosts.config_with(project.path(), &["h1", "h2"], ", lend: false");
    let said = run(&project, &["run", "count", "--on", "h2", "--force"]);
    assert!(!said.contains("itself") && sent(&said) > SIZE as u64 / 2, "{said}");
}

fn run_log(project: &Project) -> String {
    let output = mlp(project.path()).args(["runs", "logs"]).output().expect("mlp starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_store_in_a_folder_that_the_host_sees_is_read_there_and_one_that_it_does_not_see_is_no_obstacle() {
    let hosts = Hosts::new();
    let shared = tempfile::tempdir().expect("a folder");
    let project = project(&format!("{{url: \"{}\"}}", shared.path().join("store").display()));
    hosts.of(&project, &["h1", "h2"]);
    let said = run(&project, &["run", "count", "--on", "h1"]);
    assert!(said.contains("h1 read 20MiB from the store `s3` itself"), "{said}");
    assert_eq!(run_log(&project), format!("{SIZE}\n"));
    // The packs are gone, which the indexes do not know.
    std::fs::remove_dir_all(shared.path().join("store/packs")).expect("removes");
    let said = run(&project, &["run", "count", "--on", "h2", "--force"]);
    assert!(said.contains("cannot read the store `s3` itself") && sent(&said) > SIZE as u64 / 2, "{said}");
    assert_eq!(run_log(&project), format!("{SIZE}\n"));
}

#[test]
fn what_a_run_left_is_brought_into_a_folder_and_into_the_project() {
    let hosts = Hosts::new();
    let project = Project::new("steps: {make: {run: 'mkdir -p made && echo 7 > made/seven', out: [made]}}\n");
    hosts.of(&project, &["h1"]);
    run(&project, &["run", "make", "--on", "h1", "--force"]);
    let id = project.json(&["runs", "ls"], 0)["runs"][0]["run"].as_str().expect("a run").to_owned();
    std::fs::write(project.path().join("made/seven"), "8\n").expect("writes");
    // Another clone, which knows nothing of it.
    let other = Project::new("steps: {make: {run: 'mkdir -p made && echo 7 > made/seven', out: [made]}}\n");
    hosts.of(&other, &["h1"]);
    let fetched = other.json(&["runs", "fetch", &id[..12], "--on", "h1", "--to", "left"], 0);
    assert_eq!(fetched["run"]["state"], "succeeded", "{fetched}");
    assert_eq!(other.read("left/outs/made/seven"), "7\n");
    assert!(!other.path().join("made").exists());
    let restored = other.json(&["runs", "fetch", "--restore"], 0);
    assert_eq!(
        (&restored["restored"][0], other.read("made/seven").as_str()),
        (&"made".into(), "7\n"),
        "{restored}"
    );
    // What somebody wrote there since is not lost.
    std::fs::write(other.path().join("made/seven"), "eight\n").expect("writes");
    let said = run(&other, &["runs", "fetch", "--restore"]);
    let trash = said.split("mlp data trash restore ").nth(1).unwrap_or_else(|| panic!("{said}"));
    run(&other, &["data", "trash", "restore", trash.trim()]);
    assert_eq!(other.read("made/seven"), "eight\n");
    super::support::refused(other.path(), &["runs", "fetch", "--to", "left"], 2);
}
