//! `secrets:` of steps: their values are in the worker's environment and nowhere else.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::support::hosts::Hosts;
use super::support::project::{Project, alive, signal, wait_for};
use super::support::{mlp, ok, refused};

const CANARY: &str = "hunter2-4f9a1c77-letter";

/// A step that says its secret in every way, and goes on when the file `go` is there.
fn project(go: &Path) -> Project {
    let project = Project::new(
        "steps: {use: {run: 'exec sh use.sh', secrets: [WANDB_KEY], in: [words.txt], out: [made/n]}}\n",
    );
    project.write("words.txt", "one two\n");
    project.write(
        "use.sh",
        &format!(
            "echo \"key $WANDB_KEY and again $WANDB_KEY\"\necho \"error $WANDB_KEY\" >&2\n\
             printf 'half %s' \"${{WANDB_KEY%-4f9a1c77-letter}}\"; sleep 0.2; printf -- '-4f9a1c77-letter raw \\377\\n'\n\
             echo '{{\"event\": \"metric\", \"name\": \"letters\", \"value\": '${{#WANDB_KEY}}'}}' >> $MLP_EVENTS\n\
             echo '{{\"event\": \"log\", \"text\": \"told '$WANDB_KEY'\"}}' >> $MLP_EVENTS\n\
             until [ -e {} ]; do sleep 0.02; done\n\
             exec > /dev/null 2>&1\nmkdir -p made\necho ${{#WANDB_KEY}} > made/n\n\
             echo '{{\"event\": \"log\", \"text\": \"over\"}}' >> $MLP_EVENTS\n",
            go.display()
        ),
    );
    project
}

const SAID: &[u8] = b"key *** and again ***\nerror ***\nhalf *** raw \xff\n";

/// Files below `folder` that hold `text`.
fn found_below(folder: &Path, text: &str) -> Vec<PathBuf> {
    // Not the pipe, which would be read for ever.
    let args = ["-rlaF", "--devices=skip", "--", text];
    let output = Command::new("grep").args(args).arg(folder).output().expect("grep starts");
    String::from_utf8_lossy(&output.stdout).lines().map(Into::into).collect()
}

/// Processes of which `/proc/PID/<what>` holds both texts.
fn processes_with(what: &str, text: &str, other: &str) -> Vec<i64> {
    let holds = |bytes: &[u8], text: &str| {
        text.is_empty() || bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    let pids = std::fs::read_dir("/proc").expect("lists").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i64>().ok());
    pids.filter(|pid| {
        std::fs::read(format!("/proc/{pid}/{what}"))
            .is_ok_and(|bytes| holds(&bytes, text) && holds(&bytes, other))
    })
    .collect()
}

fn start(project: &Project, args: &[&str]) -> Child {
    let mut command = mlp(project.path());
    command.args(args).env("WANDB_KEY", CANARY).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mlp starts")
}

/// What must hold while the job in `job` runs.
fn nowhere_but_in_the_worker(job: &Path, places: &[&Path]) {
    let supervisor = wait_for("the supervisor", || {
        let file = std::fs::read(job.join("sup.json")).ok()?;
        serde_json::from_slice::<serde_json::Value>(&file).ok()?["process"]["pid"].as_i64()
    });
    wait_for("all that it says", || std::fs::read(job.join("log")).ok().filter(|log| log == SAID));
    let events = job.join("events.jsonl");
    wait_for("its events", || std::fs::read_to_string(&events).ok().filter(|text| text.contains("told ***")));
    for place in places {
        assert_eq!(found_below(place, CANARY), Vec::<PathBuf>::new());
    }
    assert!(processes_with("cmdline", CANARY, "").is_empty(), "in no argument");
    assert!(!processes_with("environ", CANARY, "").contains(&supervisor), "not in the supervisor");
    let id = job.file_name().expect("a name").to_string_lossy().into_owned();
    let state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(job.join("state.json")).expect("reads")).expect("JSON");
    let worker = state["worker"]["pid"].as_i64().expect("a number");
    let with = processes_with("environ", CANARY, &format!("MLP_JOB={id}"));
    assert!(with.contains(&worker), "the worker has it");
    for pid in with {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!command.contains("agent"), "{pid} is {command}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_secret_is_in_the_workers_environment_and_nowhere_else() {
    let project = project(Path::new(".go"));
    let client = start(&project, &["run", "--json"]);
    let job = project.job();
    nowhere_but_in_the_worker(&job, &[project.path()]);
    project.write(".go", "");
    let output = client.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains(CANARY) && said.contains("told ***") && said.contains("\"over\""), "{said}");
    assert_eq!(super::support::run(project.path(), &["runs", "logs"], 0).stdout, SAID);
    let shown = project.json(&["runs", "show"], 0);
    assert_eq!(shown["run"]["metrics"]["letters"], CANARY.len() as f64, "{shown}");
    assert_eq!(project.read("made/n").trim(), CANARY.len().to_string());
    assert_eq!(found_below(project.path(), CANARY), Vec::<PathBuf>::new(), "nor in the store");
    // Neither a new value nor none is a reason to run again.
    for value in ["another-secret-value", ""] {
        let output = mlp(project.path()).args(["run", "--json"]).env("WANDB_KEY", value).output();
        let said = String::from_utf8_lossy(&output.expect("mlp starts").stdout).into_owned();
        assert!(said.contains("\"cached\""), "{said}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_secret_on_a_host_is_in_the_workers_environment_and_nowhere_else() {
    let hosts = Hosts::new();
    let go = hosts.server.folder.path().join("go");
    let project = project(&go);
    hosts.of(&project, &["h1"]);
    let client = start(&project, &["run", "--on", "h1"]);
    let job = hosts.job("h1");
    nowhere_but_in_the_worker(&job, &[hosts.server.folder.path(), project.path()]);
    std::fs::write(&go, "").expect("writes");
    let output = client.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("told ***") && !said.contains(CANARY), "{said}");
    assert_eq!(super::support::run(project.path(), &["runs", "logs"], 0).stdout, SAID);
    for place in [hosts.server.folder.path(), project.path()] {
        assert_eq!(found_below(place, CANARY), Vec::<PathBuf>::new());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_hides_secrets_outlives_the_supervisor_and_loses_nothing() {
    let project = project(Path::new(".go"));
    let mut client = start(&project, &["run"]);
    let job = project.job();
    nowhere_but_in_the_worker(&job, &[]);
    signal("KILL", project.job_file("sup.json")["process"]["pid"].as_i64().expect("a number"));
    let worker = project.job_file("state.json")["worker"]["pid"].as_i64().expect("a number");
    project.wait_for_state("orphaned");
    project.write(".go", "");
    wait_for("the worker's end", || (!alive(worker)).then_some(()));
    client.wait().expect("ends");
    project.wait_for_state("lost");
    assert!(ok(project.path(), &["runs", "logs", "--events"]).contains("\"over\""));
    // Resumed, it needs the value again.
    let said = refused(project.path(), &["runs", "resume"], 2);
    assert!(said.contains("keys::secret") && said.contains("`WANDB_KEY` is not set"), "{said}");
    let resumed = start(&project, &["runs", "resume"]).wait_with_output().expect("ends");
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    assert_eq!(super::support::run(project.path(), &["runs", "logs"], 0).stdout, [SAID, SAID].concat());
    assert_eq!(found_below(project.path(), CANARY), Vec::<PathBuf>::new());
}

#[test]
#[cfg(target_os = "linux")]
fn a_cancelled_step_with_a_secret_keeps_its_last_words_and_nothing_is_left() {
    let project = Project::new("steps: {wait: {run: 'exec sh wait.sh', secrets: [WANDB_KEY]}}\n");
    let last = "trap 'echo last words $WANDB_KEY; exit 3' TERM\necho begun\nwhile :; do sleep 0.02; done\n";
    project.write("wait.sh", last);
    let mut client = start(&project, &["run"]);
    let job = project.job();
    wait_for("its first word", || std::fs::read(job.join("log")).ok().filter(|log| log == b"begun\n"));
    ok(project.path(), &["runs", "cancel"]);
    assert_eq!(client.wait().expect("ends").code(), Some(130));
    // Some shells say besides that a child of theirs was ended.
    let log = ok(project.path(), &["runs", "logs"]);
    assert!(log.starts_with("begun\n") && log.ends_with("last words ***\n"), "{log}");
    assert_eq!(project.job_file("exit.json")["strays"], 0, "what hides secrets is none");
    let id = job.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(processes_with("environ", &format!("MLP_JOB={id}"), "").is_empty());
}

#[test]
fn where_a_secret_comes_from_is_said_by_its_user_alone() {
    let project = project(Path::new("words.txt"));
    let outside = tempfile::tempdir().expect("makes a folder");
    let file = outside.path().join("key");
    std::fs::write(&file, format!("{CANARY}\n")).expect("writes");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("sets the mode");
    let sources = [
        format!("{{file: '{}'}}", file.display()),
        format!("{{command: 'cat {}'}}", file.display()),
        "{env: OTHER}".to_owned(),
    ];
    for source in sources {
        project.write(".xdg-config/mlp/config.yaml", &format!("secrets: {{WANDB_KEY: {source}}}\n"));
        let output = mlp(project.path()).args(["run", "--force"]).env("OTHER", CANARY).output();
        let output = output.expect("mlp starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(project.read("made/n").trim(), CANARY.len().to_string(), "{source}");
    }
    project
        .write("mlp.yaml", &format!("{}secrets: {{WANDB_KEY: {{env: HOME}}}}\n", project.read("mlp.yaml")));
    assert!(refused(project.path(), &["check"], 2).contains("`secrets`"));
}

#[test]
fn names_that_are_no_variables_and_values_too_short_to_hide_are_told() {
    let project = Project::new("steps: {use: {run: 'echo it is $PIN', secrets: [PIN]}}\n");
    let output = mlp(project.path()).arg("run").env("PIN", "1234567").output().expect("mlp starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("the secret PIN is too short"), "{said}");
    assert_eq!(ok(project.path(), &["runs", "logs"]), "it is 1234567\n");
    for (list, why) in
        [("['A B']", "cannot be the name"), ("[MLP_JOB]", "mlp's own"), ("[A], env: [A]", "under `env`")]
    {
        let project = Project::new(&format!("steps: {{use: {{run: 'true', secrets: {list}}}}}\n"));
        assert!(refused(project.path(), &["check"], 2).contains(why), "{list}");
    }
}
