//! `mlp runs`: lists, shows, compares, resumes and removes.

use super::support::project::Project;
use super::support::{ok, refused, run};

fn two_runs() -> Project {
    let project = Project::new(
        "steps: {score: {run: 'echo \"{\\\"event\\\":\\\"metric\\\",\\\"name\\\":\\\"score\\\",\\\"value\\\":$(cat in.txt)}\" >> $MLP_EVENTS; echo said', in: [in.txt]}}\n",
    );
    for value in ["1", "2"] {
        project.write("in.txt", value);
        run(project.path(), &["run"], 0);
    }
    project
}

#[test]
fn runs_are_listed_newest_first_and_found_by_prefix_name_and_latest() {
    let project = two_runs();
    let list = project.json(&["runs", "ls"], 0);
    let runs = list["runs"].as_array().expect("a list");
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0]["metric"][1], 2.0);
    let id = runs[1]["run"].as_str().expect("an identifier");
    assert_eq!(project.json(&["runs", "show", &id[..14]], 0)["run"]["metrics"]["score"], 1.0);
    for text in ["latest", "score"] {
        assert_eq!(project.json(&["runs", "show", text], 0)["run"]["metrics"]["score"], 2.0);
    }
    let ambiguous = refused(project.path(), &["runs", "show", &id[..2]], 2);
    assert!(ambiguous.contains("may be"), "{ambiguous}");
    let unknown = refused(project.path(), &["runs", "show", "zzz"], 2);
    assert!(unknown.contains("no run is called `zzz`"), "{unknown}");
}

#[test]
fn a_diff_names_what_differs_and_nothing_else() {
    let project = two_runs();
    let list = project.json(&["runs", "ls"], 0);
    let id = list["runs"][1]["run"].as_str().expect("an identifier").to_owned();
    let diff = project.json(&["runs", "diff", &id, "latest"], 0);
    let what: Vec<String> = diff["differences"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|line| {
            format!("{} {}", line["what"].as_str().expect("text"), line["name"].as_str().expect("text"))
        })
        .collect();
    assert_eq!(what, ["input in.txt", "uncommitted ", "metric score"]);
    assert_eq!(ok(project.path(), &["runs", "diff", "latest", "latest"]), "no differences\n");
}

#[test]
fn logs_and_events_are_printed() {
    let project = two_runs();
    assert_eq!(ok(project.path(), &["runs", "logs"]), "said\n");
    assert_eq!(
        ok(project.path(), &["runs", "logs", "--events"]),
        "{\"event\":\"metric\",\"name\":\"score\",\"value\":2}\n"
    );
}

#[test]
fn removing_needs_no_more_than_one_word_and_can_be_tried_first() {
    let project = two_runs();
    assert!(ok(project.path(), &["runs", "rm", "latest", "--dry-run"]).starts_with("would remove"));
    assert_eq!(project.json(&["runs", "ls"], 0)["runs"].as_array().map(Vec::len), Some(2));
    run(project.path(), &["runs", "rm", "latest"], 0);
    let list = project.json(&["runs", "ls"], 0);
    assert_eq!(list["runs"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["runs"][0]["metric"][1], 1.0);
}

#[test]
fn a_run_that_succeeded_is_not_resumed() {
    let project = two_runs();
    let text = refused(project.path(), &["runs", "resume"], 2);
    assert!(text.contains("cannot be resumed: it succeeded"), "{text}");
}

#[test]
fn a_failed_step_is_resumed_as_another_attempt_of_the_same_run() {
    let project = Project::new("steps: {gate: {run: 'test -e open.txt'}}\n");
    run(project.path(), &["run"], 1);
    run(project.path(), &["runs", "resume"], 1);
    project.write("open.txt", "");
    run(project.path(), &["runs", "resume"], 0);
    let list = project.json(&["runs", "ls"], 0);
    assert_eq!(list["runs"].as_array().map(Vec::len), Some(1), "{list}");
    let show = project.json(&["runs", "show"], 0);
    assert_eq!(show["record"]["body"]["end"]["attempts"], 3);
    assert_eq!(show["record"]["body"]["end"]["state"], "succeeded");
}

#[test]
fn the_time_between_attempts_does_not_count() {
    let project = Project::new("steps:\n  work: {run: \"test -e go\"}\n");
    run(project.path(), &["run", "work"], 1);
    std::thread::sleep(std::time::Duration::from_secs(3));
    project.write("go", "");
    let resumed = project.json(&["runs", "resume"], 0)["run"].clone();
    let end = project.json(&["runs", "show"], 0)["record"]["body"]["end"].clone();
    let time = |key: &str| end[key].as_str().expect("a time").parse::<mlp::base::Time>().expect("a time");
    let whole = time("ended").seconds_since(time("started"));
    let counted = end["seconds"].as_f64().expect("a number");
    assert!(whole - counted > 2.9, "{end}");
    assert_eq!(resumed["seconds"], end["seconds"]);
    assert_eq!(project.json(&["runs", "ls"], 0)["runs"][0]["seconds"], end["seconds"]);
}

#[test]
fn nothing_is_said_about_runs_that_are_not_there() {
    let project = Project::new("steps: {a: {run: 'true'}}\n");
    assert!(ok(project.path(), &["runs", "ls"]).contains("no runs yet"));
    assert!(ok(project.path(), &["runs", "watch"]).contains("no run is under way"));
    refused(project.path(), &["runs", "attach"], 2);
}

/// What `mlp ARGS` shows on a terminal of its own.
#[cfg(target_os = "linux")]
fn on_a_terminal(project: &Project, args: &str) -> String {
    let line = format!("{} {args}", env!("CARGO_BIN_EXE_mlp"));
    // Its identity and configuration are those of the other tests.
    let own = super::support::mlp(project.path());
    let mut command = std::process::Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(project.path());
    command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm");
    let output = command.stdin(std::process::Stdio::null()).output().expect("script starts");
    assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[cfg(target_os = "linux")]
fn what_a_step_says_cannot_steer_the_terminal_and_is_exact_in_a_pipe() {
    let project = Project::new("steps: {odd: {run: 'exec sh odd.sh'}}\n");
    project.write(
        "odd.sh",
        "printf '\\033[31mred\\033]0;title\\007 \\001\\377 end\\n10 %%\\r20 %%\\n'\nprintf '%03000d\\n' 7\n",
    );
    let exact =
        ["\x1b[31mred\x1b]0;title\x07 \x01".as_bytes(), b"\xff end\n10 %\r20 %\n", &[b'0'; 2999], b"7\n"];
    let exact = exact.concat();
    let followed = on_a_terminal(&project, "run");
    assert!(!followed.contains("\x1b[31m") && !followed.contains('\x07'), "{followed:?}");
    assert!(followed.contains("\\u{1b}[31mred\\u{1b}]0;title\\u{7} \\u{1}\u{fffd} end"), "{followed:?}");
    assert!(followed.contains("20 %") && !followed.contains("10 %"), "{followed:?}");
    assert!(followed.contains("00… and 2,000 more letters"), "{followed:?}");
    assert_eq!(super::support::run(project.path(), &["runs", "logs"], 0).stdout, exact);
    let shown = on_a_terminal(&project, "runs logs");
    assert!(!shown.contains('\x1b') && !shown.contains('\x07') && !shown.contains('\x01'), "{shown:?}");
    assert!(shown.contains("\\u{1b}[31mred") && shown.contains("10 %\r\n20 %\r\n"), "{shown:?}");
    assert!(on_a_terminal(&project, "runs logs --raw").contains("\x1b[31mred\x1b]0;title\x07 \x01"));
    assert!(!on_a_terminal(&project, "runs logs --follow").contains('\x1b'));
}
