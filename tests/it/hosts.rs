//! `--on HOST`: the same jobs on machines that a real sshd reaches.

use std::path::Path;

use serde_json::Value;

use super::support::hosts::Hosts;
use super::support::project::{Project, signal, wait_for};
use super::support::{mlp, ok, refused, rounds, run};

fn model(report: &Value) -> &str {
    report["outputs"]["model"].as_str().unwrap_or_else(|| panic!("no model in {report}"))
}

/// Whether any file below `folder` holds `text`.
fn found_below(folder: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let output = std::process::Command::new("grep").args(["-rlaF", "--", text]).arg(folder).output();
    let output = output.expect("grep starts");
    String::from_utf8_lossy(&output.stdout).lines().map(Into::into).collect()
}

#[test]
fn a_host_needs_nothing_but_a_login_and_gets_mlp_once() {
    let hosts = Hosts::new();
    let project = Project::of_points(2);
    hosts.config(project.path(), &[]);
    // A login shell that talks.
    let keys = hosts.server.folder.path().join("authorized_keys");
    let key = std::fs::read_to_string(&keys).expect("reads");
    let command = "command=\"echo Welcome; echo MLP-AGENT/9 no; sh -c \\\"$SSH_ORIGINAL_COMMAND\\\"\" ";
    std::fs::write(&keys, format!("{command}{key}")).expect("writes");
    let root = hosts.root("h1").display().to_string();
    let add = ["host", "add", "h1", "--ssh", "loopback", "--root", &root];
    let said = run(project.path(), &add, 0);
    assert!(String::from_utf8_lossy(&said.stderr).contains("bringing mlp to h1"));
    let said = run(project.path(), &add, 0);
    assert!(!String::from_utf8_lossy(&said.stderr).contains("bringing"), "it is there now");
    assert!(ok(project.path(), &["host", "ls"]).contains("loopback"));
    let check = project.json(&["host", "check"], 0);
    assert_eq!(check["hosts"][0]["problems"], serde_json::json!([]), "{check}");
    let trained = project.json(&["train", "--on", "h1"], 0);
    assert_eq!(trained["runs"][0]["state"], "succeeded", "{trained}");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(hosts.root("h1")).expect("is there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o700, "nobody else may look");
    ok(project.path(), &["host", "rm", "h1"]);
    assert!(refused(project.path(), &["train", "--on", "h1"], 2).contains("no host `h1`"));
}

#[test]
fn a_host_trains_the_very_weights_of_this_machine_and_a_second_run_sends_nothing() {
    let hosts = Hosts::new();
    let project = Project::of_points(3);
    hosts.of(&project, &["h1"]);
    let there = run(project.path(), &["train", "--on", "h1", "--force", "--json"], 0);
    let there = String::from_utf8_lossy(&there.stdout).into_owned();
    assert!(there.contains("sent ") && there.contains("train.loss"), "{there}");
    let there: Value = serde_json::from_str(there.lines().last().expect("a report")).expect("JSON");
    let here = project.json(&["train", "--force"], 0);
    assert_eq!(model(&there["runs"][0]), model(&here["runs"][0]));
    let again = run(project.path(), &["train", "--on", "h1", "--force", "--json"], 0);
    assert!(String::from_utf8_lossy(&again.stdout).contains("h1 has all that the run needs"));
    // The same plan on a machine of the same kind: it was done.
    let cached = project.json(&["train", "--on", "h1"], 0);
    assert_eq!(cached["runs"][0]["cached"], true);
    let evaluated = project.json(&["eval", "small"], 0);
    assert!(evaluated["metrics"]["accuracy"]["value"].as_f64() > Some(0.8), "{evaluated}");
    assert!(refused(project.path(), &["train", "--on", "h2"], 2).contains("it has `h1`"));
}

/// A folder for PATH whose `ssh` keeps what goes to the host, a file for each connection.
fn listening_ssh(project: &Project) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let script =
        "#!/bin/sh\nsent=$(mktemp \"$0.sent.XXXXXX\")\nPATH=${PATH#*:}\ntee \"$sent\" | ssh \"$@\"\n";
    project.write(".bin/ssh", script);
    let file = project.path().join(".bin/ssh");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&file, executable).expect("makes it executable");
    format!("{}:{path}", project.path().join(".bin").display())
}

/// The questions that went since the last call, connection by connection, and the bytes that came with each.
fn questions(project: &Project) -> Vec<Vec<(String, usize)>> {
    let files = std::fs::read_dir(project.path().join(".bin")).expect("lists").flatten();
    let files = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end != "ssh"));
    let asked = files.map(|path| {
        let bytes = std::fs::read(&path).expect("reads");
        std::fs::remove_file(&path).expect("removes");
        let (mut rest, mut asked) = (bytes.as_slice(), Vec::new());
        while let Some((lengths, after)) = rest.split_at_checked(8) {
            let length =
                |at: usize| u32::from_le_bytes(lengths[at..at + 4].try_into().expect("four")) as usize;
            let (head, body) = (length(0), length(4));
            let question: Value = serde_json::from_slice(&after[..head]).expect("JSON");
            asked.push((question["ask"].as_str().expect("a question").to_owned(), body));
            rest = &after[head + body..];
        }
        asked
    });
    asked.collect()
}

#[test]
fn a_second_run_of_an_unchanged_project_moves_no_byte_of_an_object_there() {
    let hosts = Hosts::new();
    let project = Project::of_points(2);
    project.write("src/code.txt", &"code\n".repeat(10_000));
    project.write(
        "mlp.yaml",
        &(project.read("mlp.yaml") + "steps: {read: {run: 'wc -l src/code.txt', in: [data/points.csv]}}\n"),
    );
    hosts.of(&project, &["h1"]);
    let path = listening_ssh(&project);
    for args in [&["train", "--on", "h1", "--force"][..], &["run", "read", "--on", "h1", "--force"][..]] {
        // The last words of a command may be on their way when it has ended.
        let asked = || {
            let output = mlp(project.path()).args(args).env("PATH", &path).output();
            let output = output.expect("mlp starts");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let mut connections = questions(&project);
            assert_eq!(connections.len(), 1, "one connection for one command: {connections:?}");
            connections.remove(0)
        };
        let of = |asked: &[(String, usize)], what: &str| -> (usize, usize) {
            let bytes: Vec<usize> =
                asked.iter().filter(|(ask, _)| ask == what).map(|(_, bytes)| *bytes).collect();
            (bytes.len(), bytes.iter().sum())
        };
        let first = asked();
        assert!(of(&first, "keep").1 > 0, "{first:?}");
        let second = asked();
        assert_eq!(of(&second, "keep"), (0, 0), "{second:?}");
        let before: Vec<&str> =
            second.iter().map(|(ask, _)| ask.as_str()).take_while(|ask| *ask != "news").collect();
        assert_eq!(before, ["lacking", "start"], "two questions, and it runs");
        println!(
            "{args:?}: {} bytes of objects at first; the second time {} questions of {} bytes besides news",
            of(&first, "keep").1,
            second.iter().filter(|(ask, _)| ask != "news").count(),
            second.iter().map(|(_, bytes)| bytes).sum::<usize>()
        );
    }
}

#[test]
fn a_step_takes_its_code_inputs_and_variables_along_and_brings_its_outputs_back() {
    let hosts = Hosts::new();
    let project = Project::new(
        "steps:\n  count:\n    run: sh bin/count.sh\n    in: [words.txt]\n    out: [made/count.txt, made/more]\n    env: [TOKEN]\n",
    );
    hosts.of(&project, &["h1"]);
    project.write("words.txt", "one\ntwo\nthree\n");
    project.write(
        "bin/count.sh",
        "set -e\n. lib/words.sh\nmkdir -p made/more\nwc -l < words.txt > made/count.txt\n\
         echo $(printf %s \"$TOKEN\" | wc -c) letters > made/more/token.txt\nprintf 'done \\001\\377 binary\\n'\ngreet\n",
    );
    project.write("lib/words.sh", "greet() { echo greetings from $PWD; }\n");
    let canary = "s3cr3t-4f9a1c77";
    let output = mlp(project.path()).args(["run", "--on", "h1", "--json"]).env("TOKEN", canary).output();
    let output = output.expect("mlp starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(project.read("made/count.txt").trim(), "3");
    assert_eq!(project.read("made/more/token.txt").trim(), "15 letters");
    let job = hosts.job("h1");
    assert_eq!(
        std::fs::read(job.join("log")).expect("a log"),
        run(project.path(), &["runs", "logs"], 0).stdout
    );
    assert!(found_below(&job.join("log"), "greetings from").len() == 1);
    assert!(found_below(hosts.server.folder.path(), canary).is_empty(), "the variable is in no file there");
    assert!(found_below(project.path(), canary).is_empty(), "nor here");
    let steps: Value = serde_json::from_str(said.lines().last().expect("a report")).expect("JSON");
    assert_eq!(steps["steps"][0]["outcome"], "run", "{steps}");
    let again =
        mlp(project.path()).args(["run", "--json"]).env("TOKEN", canary).output().expect("mlp starts");
    let again = String::from_utf8_lossy(&again.stdout).into_owned();
    let again: Value = serde_json::from_str(again.lines().last().expect("a report")).expect("JSON");
    assert_eq!(again["steps"][0]["outcome"], "cached", "what a host made counts here: {again}");
}

#[test]
fn however_often_the_client_is_killed_the_log_is_that_of_the_host() {
    let hosts = Hosts::new();
    let project = Project::new("steps: {talk: {run: 'exec sh talk.sh'}}\n");
    hosts.of(&project, &["h1"]);
    let kills = rounds(4, 50);
    project.write(
        "talk.sh",
        &format!(
            "n=0\nwhile [ $n -lt {} ]; do n=$((n+1)); echo line $n; printf 'raw \\377\\n'; sleep 0.01; done\n",
            kills * 60
        ),
    );
    let mut client = project.start(&["run", "--on", "h1"]);
    let job = hosts.job("h1");
    wait_for("the first lines", || std::fs::metadata(job.join("log")).ok().filter(|log| log.len() > 100));
    let id = job.file_name().expect("a name").to_string_lossy().into_owned();
    for round in 0..kills {
        std::thread::sleep(std::time::Duration::from_millis(u64::from(200 + round * 37 % 300)));
        client.kill().expect("can be killed");
        client.wait().expect("ends");
        client = project.start(&["runs", "attach", &id]);
    }
    assert!(client.wait().expect("ends").success());
    let mirrored = project.path().join(".git/mlp/jobs").join(&id);
    for file in ["log", "events.jsonl"] {
        let there = std::fs::read(job.join(file)).unwrap_or_default();
        assert_eq!(std::fs::read(mirrored.join(file)).unwrap_or_default(), there, "{file}");
    }
    assert_eq!(project.json(&["runs", "show"], 0)["run"]["state"], "succeeded");
}

#[test]
fn a_run_survives_the_machine_that_started_it_and_a_broken_connection() {
    let mut hosts = Hosts::new();
    let project = Project::new("steps: {wait: {run: 'exec sh wait.sh', out: [made/x]}}\n");
    hosts.of(&project, &["h1"]);
    let go = hosts.server.folder.path().join("go");
    project.write(
        "wait.sh",
        &format!(
            "echo begun\nuntil [ -e {} ]; do sleep 0.05; done\nmkdir -p made\necho y > made/x\necho over\n",
            go.display()
        ),
    );
    let mut client = project.start(&["run", "--on", "h1"]);
    let job = hosts.job("h1");
    wait_for("its first word", || std::fs::read(job.join("log")).ok().filter(|log| log == b"begun\n"));
    hosts.cut_off("h1");
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(client.try_wait().expect("can be asked"), None, "the client goes on trying");
    std::fs::write(&go, "").expect("writes");
    wait_for("the end", || job.join("exit.json").exists().then_some(()));
    hosts.server.start_again();
    let output = client.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("the run goes on there") && said.contains("connected to h1 again"), "{said}");
    assert_eq!(project.read("made/x"), "y\n");
}

#[test]
fn an_interrupt_stops_the_run_there_and_a_resumed_one_ends_with_the_same_weights() {
    let hosts = Hosts::new();
    let project = Project::of_points(300);
    hosts.of(&project, &["h1"]);
    let whole = project.json(&["train"], 0);
    let client = project.start(&["train", "--on", "h1", "--force"]);
    let job = hosts.job("h1");
    wait_for("an epoch", || {
        std::fs::read_to_string(job.join("events.jsonl")).ok().filter(|text| text.contains("val.loss"))
    });
    signal("INT", i64::from(client.id()));
    let output = client.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let id = job.file_name().expect("a name").to_string_lossy().into_owned();
    let resumed = project.json(&["runs", "resume", &id], 0);
    assert_eq!(resumed["run"]["state"], "succeeded", "{resumed}");
    assert_eq!(model(&resumed["run"]), model(&whole["runs"][0]));
}

#[test]
fn a_changed_host_key_sends_nothing() {
    let hosts = Hosts::new();
    let project = Project::of_points(1);
    hosts.config(project.path(), &["h1"]);
    let known = hosts.server.folder.path().join("known_hosts");
    let other = std::fs::read_to_string(hosts.server.folder.path().join("key.pub")).expect("reads");
    std::fs::write(&known, format!("[127.0.0.1]:{} {other}", hosts.server.port)).expect("writes");
    let said = refused(project.path(), &["train", "--on", "h1"], 3);
    assert!(said.contains("compute::host-key") && said.contains("nothing was sent"), "{said}");
    std::fs::write(&known, "").expect("writes");
    let said = refused(project.path(), &["train", "--on", "h1"], 3);
    assert!(said.contains("not known") && said.contains("ssh loopback"), "{said}");
    assert!(!hosts.root("h1").exists(), "nothing was sent");
}

#[test]
fn a_host_that_cannot_be_used_is_named_with_the_reason() {
    let hosts = Hosts::new();
    let project = Project::of_points(1);
    hosts.config(project.path(), &["h1"]);
    let keys = hosts.server.folder.path().join("authorized_keys");
    let key = std::fs::read_to_string(&keys).expect("reads");
    std::fs::write(&keys, "").expect("writes");
    let said = refused(project.path(), &["train", "--on", "h1"], 3);
    assert!(said.contains("compute::login") && said.contains("ssh loopback"), "{said}");
    std::fs::write(&keys, key).expect("writes");
    // A folder where there is a file already.
    std::fs::create_dir_all(hosts.root("h1").parent().expect("a parent")).expect("makes the folder");
    std::fs::write(hosts.root("h1"), "").expect("writes");
    let said = refused(project.path(), &["train", "--on", "h1"], 3);
    assert!(said.contains("compute::agent") && said.contains("cannot make"), "{said}");
    let check = project.json(&["host", "check"], 3);
    assert!(
        check["hosts"][0]["problems"][0].as_str().is_some_and(|problem| problem.contains("cannot make")),
        "{check}"
    );
    let said = refused(project.path(), &["host", "add", "x", "--ssh=-oProxyCommand=touch x"], 2);
    assert!(said.contains("compute::host-spec"), "{said}");
}

#[test]
fn what_a_host_no_longer_needs_is_removed() {
    let hosts = Hosts::new();
    let project = Project::of_points(1);
    hosts.of(&project, &["h1"]);
    project.json(&["train", "--on", "h1"], 0);
    let job = hosts.job("h1");
    let old =
        std::process::Command::new("touch").args(["-d", "9 days ago"]).arg(job.join("exit.json")).status();
    assert!(old.expect("touch starts").success());
    let agent = hosts.root("h1").join("bin/0123456789abcdef");
    std::fs::create_dir(&agent).expect("makes a folder");
    let told = project.json(&["host", "gc", "h1", "--dry-run"], 0);
    assert_eq!((told["jobs"].as_u64(), told["agents"].as_u64()), (Some(1), Some(1)), "{told}");
    assert!(job.exists() && agent.exists());
    project.json(&["host", "gc", "h1"], 0);
    assert!(!job.exists() && !agent.exists());
    // What is left works.
    assert_eq!(project.json(&["train", "--on", "h1", "--force"], 0)["runs"][0]["state"], "succeeded");
}

#[test]
fn words_without_an_end_before_the_agent_are_passed_over() {
    let hosts = Hosts::new();
    let project = Project::of_points(1);
    hosts.of(&project, &["h1"]);
    let keys = hosts.server.folder.path().join("authorized_keys");
    let key = std::fs::read_to_string(&keys).expect("reads");
    let command = "command=\"printf title; sh -c \\\"$SSH_ORIGINAL_COMMAND\\\"\" ";
    std::fs::write(&keys, format!("{command}{key}")).expect("writes");
    let check = project.json(&["host", "check"], 0);
    assert_eq!(check["hosts"][0]["problems"], serde_json::json!([]), "{check}");
}

#[test]
fn links_of_the_code_go_along_wherever_they_lead() {
    let hosts = Hosts::new();
    let project = Project::new(
        "steps: {read: {run: 'cat bin/../bin/link/words.txt bin/absolute > /dev/null && cat bin/link/words.txt'}}\n",
    );
    hosts.of(&project, &["h1"]);
    project.write("src/words.txt", "found\n");
    project.write("bin/x", "");
    for (target, link) in
        [("../src", "bin/link"), ("/etc/hostname", "bin/absolute"), ("nowhere", "bin/dangling")]
    {
        std::os::unix::fs::symlink(target, project.path().join(link)).expect("makes a link");
    }
    project.json(&["run", "--on", "h1"], 0);
    assert_eq!(ok(project.path(), &["runs", "logs"]), "found\n");
}

#[test]
fn a_step_is_not_resumed_with_another_value_of_its_variable() {
    let hosts = Hosts::new();
    for on in [&[][..], &["--on", "h1"]] {
        let project = Project::new(
            "steps: {wait: {run: 'until [ -e go ]; do sleep 0.02; done; echo ${#TOKEN} letters', env: [TOKEN]}}\n",
        );
        hosts.of(&project, &["h1"]);
        let mut client = mlp(project.path());
        let client = client
            .args([&["run"][..], on].concat())
            .env("TOKEN", "secret")
            .stderr(std::process::Stdio::piped());
        let mut client = client.stdout(std::process::Stdio::piped()).spawn().expect("mlp starts");
        let job = project.job();
        wait_for("its worker", || {
            let folder = if on.is_empty() { job.clone() } else { hosts.job("h1") };
            std::fs::read_to_string(folder.join("state.json"))
                .ok()
                .filter(|state| state.contains("\"running\""))
        });
        ok(project.path(), &["runs", "cancel"]);
        client.wait().expect("ends");
        let said = refused(project.path(), &["runs", "resume"], 2);
        assert!(said.contains("run::variable") && said.contains("TOKEN"), "{said}");
        let place = if on.is_empty() { project.path().to_owned() } else { hosts.job("h1").join("src") };
        std::fs::write(place.join("go"), "").expect("writes");
        let resumed =
            mlp(project.path()).args(["runs", "resume"]).env("TOKEN", "secret").output().expect("mlp starts");
        assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
        assert!(ok(project.path(), &["runs", "logs"]).ends_with("6 letters\n"));
    }
}

#[test]
fn a_detached_run_is_told_as_its_host_says_and_can_be_forgotten_when_the_host_is_gone() {
    let hosts = Hosts::new();
    let project = Project::of_points(2);
    hosts.of(&project, &["h1"]);
    project.json(&["train", "--on", "h1", "--detach"], 0);
    let job = hosts.job("h1");
    wait_for("the end there", || job.join("exit.json").exists().then_some(()));
    assert_eq!(project.json(&["runs", "ls"], 0)["runs"][0]["state"], "succeeded");
    // Removed here, it is removed there.
    ok(project.path(), &["runs", "rm", "latest"]);
    assert!(!job.exists());
    let slow = Project::new("steps: {sleep: {run: sleep 60}}\n");
    hosts.of(&slow, &["h1"]);
    let client = slow.start(&["run", "--on", "h1"]);
    slow.wait_for_state("running");
    let mut client = client;
    client.kill().expect("can be killed");
    client.wait().expect("ends");
    let id = slow.job().file_name().expect("a name").to_string_lossy().into_owned();
    std::process::Command::new("pkill").args(["-KILL", "-f", &id]).status().expect("pkill starts");
    std::fs::remove_dir_all(hosts.root("h1")).expect("removes");
    std::fs::write(hosts.root("h1"), "").expect("nothing can be made there");
    let said = run(slow.path(), &["runs", "ls"], 0);
    assert!(String::from_utf8_lossy(&said.stderr).contains("as it was last seen"));
    assert!(refused(slow.path(), &["runs", "rm", "latest"], 2).contains("run::active"));
    ok(slow.path(), &["runs", "rm", "latest", "--force"]);
    assert_eq!(slow.json(&["runs", "ls"], 0)["runs"], serde_json::json!([]));
}

#[test]
fn who_insists_gets_the_terminal_back_from_a_host_that_does_not_answer() {
    let mut hosts = Hosts::new();
    let project = Project::new("steps: {wait: {run: 'echo begun; exec sleep 600'}}\n");
    hosts.of(&project, &["h1"]);
    let client = project.start(&["run", "--on", "h1"]);
    let job = hosts.job("h1");
    wait_for("its first word", || std::fs::read(job.join("log")).ok().filter(|log| log == b"begun\n"));
    hosts.cut_off("h1");
    let id = job.file_name().expect("a name").to_string_lossy().into_owned();
    let here = project.path().join(".git/mlp/jobs").join(&id);
    let asked = |how: &str| {
        signal("INT", i64::from(client.id()));
        wait_for(how, || std::fs::read_to_string(here.join("cancel")).ok().filter(|text| text.trim() == how));
    };
    asked("term");
    asked("kill");
    signal("INT", i64::from(client.id()));
    let output = client.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("leaving it; it is ended when its host can be asked"), "{said}");
    assert!(!job.join("exit.json").exists(), "it runs on");
    // The request stands until somebody can pass it on.
    hosts.server.start_again();
    let cancelled = ok(project.path(), &["runs", "cancel", &id]);
    assert!(cancelled.contains("cancelled"), "{cancelled}");
    wait_for("its end", || job.join("exit.json").exists().then_some(()));
}
