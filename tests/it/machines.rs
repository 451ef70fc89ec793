//! `--on HOST` where the host is a machine of its own: cables are pulled, machines lose their power, commands come from two others.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::Value;

use super::support::machines::Machines;
use super::support::project::{Project, signal, wait_for};
use super::support::{mlp, ok, refused, run};

fn model(report: &Value) -> &str {
    report["outputs"]["model"].as_str().unwrap_or_else(|| panic!("no model in {report}"))
}

/// Starts `mlp ARGS`; what it says is in the file `.said` of the project.
fn start(project: &Project, args: &[&str]) -> Child {
    let file = std::fs::File::create(project.path().join(".said")).expect("makes a file");
    let mut command = mlp(project.path());
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().expect("mlp starts")
}

fn wait_to_hear(project: &Project, words: &str) {
    let path = project.path().join(".said");
    wait_for(words, || std::fs::read_to_string(&path).ok().filter(|said| said.contains(words)));
}

/// The learning curve: what each epoch measured, but for speeds. An epoch that was gone through twice gave the same numbers twice.
fn curve(events: &Path) -> BTreeMap<(String, u64), u64> {
    let mut curve = BTreeMap::new();
    for line in std::fs::read_to_string(events).expect("reads").lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let (Some(name), Some(epoch)) = (event["name"].as_str(), event["epoch"].as_u64()) else { continue };
        let value = event["value"].as_f64().expect("a number").to_bits();
        if !name.ends_with("_per_second") {
            let known = curve.insert((name.to_owned(), epoch), value);
            assert!(known.is_none_or(|known| known == value), "{name} of epoch {epoch} in two attempts");
        }
    }
    curve
}

#[test]
fn a_pulled_cable_is_told_the_run_goes_on_and_its_log_comes_out_whole() {
    let mut machines = Machines::new(1);
    let project = Project::new("steps: {talk: {run: 'exec sh talk.sh'}}\n");
    machines.of(&project);
    project.write(
        "talk.sh",
        "n=0\nuntil [ -e ~/go ]; do n=$((n+1)); echo line $n; printf 'raw \\377\\n'; sleep 0.05; done\necho over\n",
    );
    let mut client = start(&project, &["run", "--on", "h1"]);
    let job = machines.job("h1");
    let here = project.job();
    let length = |path: &Path| std::fs::metadata(path.join("log")).map_or(0, |log| log.len());
    wait_for("the first lines here", || (length(&here) > 500).then_some(()));
    machines.unplug("h1");
    let unplugged = std::time::Instant::now();
    wait_to_hear(&project, "the connection to `h1` is lost");
    let told = unplugged.elapsed().as_secs_f64();
    let (before, known) = (length(&job), length(&here));
    wait_for("more lines there", || (length(&job) > before + 200).then_some(()));
    assert_eq!(length(&here), known, "nothing came here meanwhile");
    assert_eq!(client.try_wait().expect("can be asked"), None, "the client goes on trying");
    machines.plug("h1");
    let plugged = std::time::Instant::now();
    wait_to_hear(&project, "connected to h1 again");
    println!("told after {told:.1} s, connected again after {:.1} s", plugged.elapsed().as_secs_f64());
    std::fs::write(machines.home("h1").join("go"), "").expect("writes");
    assert!(client.wait().expect("ends").success(), "{}", project.read(".said"));
    for file in ["log", "events.jsonl"] {
        let there = std::fs::read(job.join(file)).unwrap_or_default();
        assert_eq!(std::fs::read(here.join(file)).unwrap_or_default(), there, "{file}");
    }
    assert!(std::fs::read(here.join("log")).expect("reads").ends_with(b"over\n"));
}

#[test]
fn a_run_whose_machine_lost_its_power_is_lost_once_it_is_back() {
    let mut machines = Machines::new(1);
    let project = Project::new("steps: {sleep: {run: 'echo begun; exec sleep 600'}}\n");
    machines.of(&project);
    let mut client = start(&project, &["run", "--on", "h1"]);
    let job = machines.job("h1");
    wait_for("its first word", || std::fs::read(job.join("log")).ok().filter(|log| log == b"begun\n"));
    project.wait_for_state("running");
    machines.crash("h1");
    wait_to_hear(&project, "the connection to `h1` is lost");
    let listed = project.json(&["runs", "ls"], 0);
    assert_eq!(listed["runs"][0]["state"], "running", "what is not known is not called failed: {listed}");
    assert_eq!(client.try_wait().expect("can be asked"), None, "the client goes on trying");
    machines.boot("h1");
    assert_eq!(client.wait().expect("ends").code(), Some(3), "{}", project.read(".said"));
    assert_eq!(project.json(&["runs", "ls"], 0)["runs"][0]["state"], "lost");
    assert_eq!(project.json(&["runs", "show"], 0)["record"]["body"]["end"]["state"], "lost");
}

#[test]
fn a_training_whose_machine_lost_its_power_ends_on_another_as_if_nothing_had_been() {
    let mut machines = Machines::new(2);
    let project = Project::of_points(1500);
    machines.of(&project);
    let whole = project.json(&["train"], 0);
    let unbroken = curve(&project.job().join("events.jsonl"));
    let mut client = start(&project, &["train", "--on", "h1", "--force"]);
    let id = machines.job("h1").file_name().expect("a name").to_string_lossy().into_owned();
    let here = project.path().join(".git/mlp/jobs").join(&id);
    wait_for("a checkpoint here", || std::fs::read_dir(here.join("ckpt")).ok()?.next().map(drop));
    assert!(refused(project.path(), &["runs", "resume", &id, "--on", "h2"], 2).contains("running on `h1`"));
    machines.crash("h1");
    client.kill().expect("can be killed");
    client.wait().expect("ends");
    let resumed = run(project.path(), &["runs", "resume", &id, "--on", "h2", "--json"], 0);
    let said = String::from_utf8_lossy(&resumed.stdout).into_owned();
    assert!(said.contains("nobody will look at its end"), "{said}");
    let report: Value = serde_json::from_str(said.lines().last().expect("a report")).expect("JSON");
    assert_eq!(report["run"]["state"], "succeeded", "{report}");
    assert_eq!(model(&report["run"]), model(&whole["runs"][0]));
    let events = here.join("events.jsonl");
    assert_eq!(
        std::fs::read(&events).expect("reads"),
        std::fs::read(machines.job("h2").join("events.jsonl")).expect("reads")
    );
    assert_eq!(curve(&events), unbroken, "bit for bit");
    machines.boot("h1");
    let status = project.json(&["host", "status", "h1", "--all"], 0);
    assert_eq!(status["hosts"][0]["jobs"][0]["state"], "lost", "{status}");
}

#[test]
fn a_detached_run_is_followed_from_another_machine() {
    let machines = Machines::new(1);
    let (one, other) = (Project::of_points(400), Project::of_points(400));
    machines.of(&one);
    machines.of(&other);
    let started = one.json(&["train", "--on", "h1", "--detach"], 0);
    let id = started["runs"][0]["run"].as_str().expect("an id").to_owned();
    let status = other.json(&["host", "status", "h1"], 0);
    assert_eq!(status["hosts"][0]["jobs"][0]["id"], id.as_str(), "{status}");
    let followed = other.json(&["runs", "attach", &id, "--on", "h1"], 0);
    assert_eq!(followed["run"]["state"], "succeeded", "{followed}");
    let first = one.json(&["runs", "attach", &id], 0);
    assert_eq!(model(&first["run"]), model(&followed["run"]));
    assert!(refused(other.path(), &["runs", "attach", "01zzzz", "--on", "h1"], 2).contains("01zzzz"));
}

#[test]
#[cfg(target_os = "linux")]
fn cancelling_leaves_no_process_on_the_machine() {
    let machines = Machines::new(1);
    let project = Project::new("steps: {sleep: {run: 'exec sh sleep.sh'}}\n");
    machines.of(&project);
    // A child in a session of its own and a grandchild of one that has gone, both deaf to TERM.
    project.write("stray.sh", "trap '' TERM\necho $$ > $1.pid\nwhile :; do sleep 1; done\n");
    project.write(
        "sleep.sh",
        "setsid sh stray.sh one &\n(setsid sh -c 'sh stray.sh two & exit' &)\n\
         until [ -s one.pid ] && [ -s two.pid ]; do sleep 0.02; done\necho all there\nwhile :; do sleep 1; done\n",
    );
    let mut client = start(&project, &["run", "--on", "h1"]);
    let job = machines.job("h1");
    wait_for("all processes", || std::fs::read(job.join("log")).ok().filter(|log| log == b"all there\n"));
    let mark = format!("MLP_JOB={}", job.file_name().expect("a name").to_string_lossy());
    assert!(machines.showing("h1", "environ", &mark).len() >= 3);
    let cancelled = ok(project.path(), &["runs", "cancel"]);
    assert!(cancelled.contains("cancelled"), "{cancelled}");
    assert_eq!(client.wait().expect("ends").code(), Some(130));
    wait_for("the last connection's end", || {
        machines.showing("h1", "cmdline", " agent ").is_empty().then_some(())
    });
    assert_eq!(machines.showing("h1", "environ", &mark), <[String; 0]>::default());
    let exit: Value =
        serde_json::from_slice(&std::fs::read(job.join("exit.json")).expect("reads")).expect("JSON");
    assert!(exit["strays"].as_u64() >= Some(2), "{exit}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_variable_is_in_no_file_and_no_argument_while_the_run_goes_on() {
    let machines = Machines::new(1);
    let project = Project::new("steps: {use: {run: 'exec sh use.sh', env: [TOKEN]}}\n");
    machines.of(&project);
    project.write("use.sh", "echo ${#TOKEN} letters\nuntil [ -e ~/go ]; do sleep 0.02; done\n");
    let canary = "s3cr3t-4f9a1c77";
    let mut command = mlp(project.path());
    command.args(["run", "--on", "h1"]).env("TOKEN", canary).stdin(Stdio::null());
    let mut client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mlp starts");
    let job = machines.job("h1");
    wait_for("its first word", || std::fs::read(job.join("log")).ok().filter(|log| log == b"15 letters\n"));
    let holders = machines.showing("h1", "environ", canary);
    assert!(
        !holders.is_empty() && holders.iter().all(|line| line.contains("use.sh") || line.contains("sleep"))
    );
    assert_eq!(machines.showing("h1", "cmdline", canary), <[String; 0]>::default());
    let files = |folder: &Path| {
        let found = std::process::Command::new("grep").args(["-rlaF", "--", canary]).arg(folder).output();
        String::from_utf8_lossy(&found.expect("grep starts").stdout).into_owned()
    };
    assert_eq!(files(machines.home("h1")), "");
    assert_eq!(files(project.path()), "");
    signal("INT", i64::from(client.id()));
    assert_eq!(client.wait().expect("ends").code(), Some(130));
}
