//! How jobs end that do not succeed: told apart by evidence, and begun again by rule.

#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::support::project::{Project, signal, wait_for};
use super::support::{mlp, ok, run};

/// A line of the shell that comes to hold so many MiB; with `more` before it lets them go.
fn hold(mebibytes: u32, more: &str) -> String {
    format!("(head -c {mebibytes}m /dev/zero{more}) | tail -c {mebibytes}m > /dev/null")
}

fn ended(project: &Project) -> Value {
    project.json(&["runs", "show"], 0)["record"]["body"]["end"].clone()
}

#[test]
fn a_job_that_holds_more_memory_than_its_limit_is_ended_as_out_of_memory() {
    let project = Project::new(&format!(
        "steps: {{greedy: {{run: '{}', resources: {{memory: 64MiB}}}}}}\n",
        hold(200, "; sleep 600")
    ));
    run(project.path(), &["run"], 1);
    let end = ended(&project);
    assert_eq!((end["state"].as_str(), end["cause"].as_str()), (Some("failed"), Some("oom")), "{end}");
    let reason = end["reason"].as_str().expect("a reason");
    assert!(reason.contains("MiB of memory, more than its limit of 64MiB"), "{reason}");
    let listed = ok(project.path(), &["runs", "ls"]);
    assert!(listed.contains("out of memory"), "{listed}");
    let shown = ok(project.path(), &["runs", "show"]);
    assert!(shown.contains("out of memory: it held"), "{shown}");
}

#[test]
fn what_lies_in_files_is_not_memory_that_a_job_holds() {
    let project = Project::new(
        "steps: {reads: {run: 'head -c 300m /dev/zero > made.bin; cat made.bin made.bin > /dev/null; sleep 3', resources: {memory: 64MiB}}}\n",
    );
    run(project.path(), &["run"], 0);
}

/// A control group with a limit of memory, which is removed with this value.
struct Group(PathBuf);

impl Group {
    /// None where this user cannot make one.
    fn new(mebibytes: u64) -> Option<Self> {
        let name = format!("mlp-test-{}", std::process::id());
        let both = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        both.into_iter().find_map(|(root, limit)| {
            let folder = Path::new(root).join(&name);
            std::fs::create_dir(&folder).ok()?;
            let group = Self(folder);
            let set = std::fs::write(group.0.join(limit), (mebibytes << 20).to_string());
            set.is_ok().then_some(group)
        })
    }

    /// `mlp ARGS` within it.
    fn mlp(&self, project: &Project, args: &[&str]) -> i32 {
        let inner = mlp(project.path());
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\"/cgroup.procs && exec \"$@\""]).arg(&self.0);
        command.arg(inner.get_program()).args(args).current_dir(project.path());
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = command.stdin(Stdio::null()).output().expect("sh starts");
        output.status.code().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..100 {
            // Not before the last process has left it.
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

#[test]
fn what_the_kernel_kills_for_lack_of_memory_is_told_from_what_somebody_kills() {
    let project = Project::new(&format!(
        "steps:\n  greedy: {{run: '{}'}}\n  killed: {{run: 'kill -KILL $$'}}\n",
        hold(900, "")
    ));
    let Some(group) = Group::new(400) else {
        assert!(!rustix::process::geteuid().is_root(), "the superuser cannot make a control group here");
        run(project.path(), &["run", "killed"], 1);
        assert_eq!(ended(&project)["cause"], "failed");
        return;
    };
    assert_eq!(group.mlp(&project, &["run", "greedy"]), 1);
    let end = ended(&project);
    assert_eq!(end["cause"], "oom", "{end}");
    assert_eq!(end["reason"], "the kernel killed it for lack of memory");
    assert_eq!(group.mlp(&project, &["run", "killed"]), 1);
    let end = ended(&project);
    assert_eq!((end["cause"].as_str(), end["signal"].as_i64()), (Some("failed"), Some(9)), "{end}");
}

#[test]
fn a_job_over_its_time_is_told_from_one_that_failed() {
    let project = Project::new("steps: {slow: {run: 'exec sleep 600', resources: {time: 1s}}}\n");
    run(project.path(), &["run"], 1);
    assert_eq!(ended(&project)["cause"], "time");
    assert!(ok(project.path(), &["runs", "ls"]).contains("over its time"));
}

#[test]
fn a_job_that_does_nothing_is_ended_as_idle_and_one_that_works_or_talks_is_not() {
    let project = Project::new(
        "steps:\n  idle: {run: 'echo begun; exec sleep 600', resources: {idle: 2s}}\n  \
         works: {run: 'end=$(( $(date +%s) + 5 )); while [ $(date +%s) -lt $end ]; do :; done', resources: {idle: 2s}}\n  \
         talks: {run: 'for n in 1 2 3 4 5 6 7 8 9; do sleep 0.6; echo $n; done', resources: {idle: 2s}}\n",
    );
    run(project.path(), &["run", "works", "talks"], 0);
    run(project.path(), &["run", "idle"], 1);
    let end = ended(&project);
    assert_eq!(
        (end["cause"].as_str(), end["reason"].as_str()),
        (Some("idle"), Some("it did nothing for 2s"))
    );
    assert!(ok(project.path(), &["runs", "ls"]).contains("idle  "));
}

#[test]
fn each_cause_is_tried_again_as_often_as_asked_and_counted_apart() {
    // Fails, takes too long, fails, takes too long, succeeds.
    let project = Project::new(
        "steps:\n  mixed:\n    run: 'echo $MLP_ATTEMPT >> tries.txt; case $MLP_ATTEMPT in 1|3) exit 4;; 2|4) exec sleep 600;; esac'\n    \
         resources: {time: 1s}\n    retry: {max: 2, on: [failed, time], pause: 0s}\n",
    );
    run(project.path(), &["run"], 0);
    assert_eq!(project.read("tries.txt"), "1\n2\n3\n4\n5\n");
    assert_eq!(ended(&project)["attempts"], 5);
    let causes: Vec<String> = (1..5)
        .map(|attempt| project.job_file(&format!("exit.{attempt}.json"))["end"]["cause"].to_string())
        .collect();
    assert_eq!(causes, ["\"failed\"", "\"time\"", "\"failed\"", "\"time\""]);
    let said = std::fs::read_to_string(project.job().join("events.jsonl")).expect("reads");
    assert!(said.contains("it ended with exit code 4; attempt 2 begins in 0s"), "{said}");
}

#[test]
fn a_cause_that_is_not_named_or_a_text_in_the_log_ends_it() {
    let project = Project::new(
        "steps:\n  other: {run: 'echo x >> other.txt; exit 1', retry: {max: 3, on: [oom], pause: 0s}}\n  \
         said: {run: 'echo x >> said.txt; echo CUDA_ERROR_OUT_OF_MEMORY; exit 1', retry: {max: 3, pause: 0s, not_on_log: [OUT_OF_MEMORY]}}\n",
    );
    for step in ["other", "said"] {
        run(project.path(), &["run", step], 1);
        assert_eq!(project.read(&format!("{step}.txt")), "x\n");
    }
}

#[test]
fn a_pause_before_the_next_attempt_can_be_cancelled() {
    let project = Project::new("steps: {flaky: {run: 'exit 1', retry: {max: 3, pause: 1h}}}\n");
    let mut follower = project.start(&["run"]);
    project.wait_for_state("queued");
    let job = project.job();
    wait_for("the second attempt", || job.join("exit.1.json").exists().then_some(()));
    run(project.path(), &["runs", "cancel"], 0);
    assert_eq!(follower.wait().expect("ends").code(), Some(130));
    let end = ended(&project);
    assert_eq!((end["state"].as_str(), end["attempts"].as_i64()), (Some("cancelled"), Some(2)), "{end}");
}

#[test]
fn a_lost_job_is_begun_again_by_whoever_follows_it() {
    let project = Project::new(
        "steps: {lost: {run: 'echo $$ > worker.pid; test $MLP_ATTEMPT = 2 || exec sleep 600', retry: {max: 1, pause: 0s}}}\n",
    );
    let mut follower = project.start(&["run"]);
    let worker = project.wait_for_file("worker.pid").trim().parse().expect("a number");
    signal("KILL", project.job_file("sup.json")["process"]["pid"].as_i64().expect("a number"));
    signal("KILL", worker);
    assert_eq!(follower.wait().expect("ends").code(), Some(0));
    let end = ended(&project);
    assert_eq!((end["state"].as_str(), end["attempts"].as_i64()), (Some("succeeded"), Some(2)), "{end}");
    assert_eq!(project.job_file("exit.1.json")["end"]["cause"], "lost");
}

#[test]
fn the_resources_of_a_model_limit_its_training_and_do_not_change_its_plan() {
    let model = |more: &str| {
        format!(
            "data:\n  points: {{path: data/points.csv, format: csv, target: class}}\n\
             models:\n  small: {{data: points, network: [{{linear: 2}}], train: {{epochs: 100000, batch_size: 2{more}}}}}\n"
        )
    };
    let project = Project::new(&model(", resources: {time: 1s}, retry: {max: 1, on: [time], pause: 0s}"));
    let rows: String = (0..40).map(|n| format!("{n},{},{}\n", n % 7, ["a", "b"][n % 2])).collect();
    project.write("data/points.csv", &format!("x,y,class\n{rows}"));
    ok(project.path(), &["data", "add", "points"]);
    let report = project.json(&["train"], 1);
    let ran = &report["runs"][0];
    assert_eq!((ran["state"].as_str(), ran["cause"].as_str()), (Some("failed"), Some("time")), "{ran}");
    assert_eq!(ended(&project)["attempts"], 2);
    let plan = project.json(&["train", "--dry-run"], 0)["plans"][0]["plan"].clone();
    assert_eq!(plan, ran["plan"]);
    let limited = project.json(&["train", "--dry-run", "--set", "train.resources.memory=9GiB"], 0);
    assert_eq!(limited["plans"][0]["plan"], plan, "what a training may take changes no plan");
}
