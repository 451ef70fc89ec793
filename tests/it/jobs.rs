//! Jobs as processes: nothing is left behind, nothing is lost, every end is told rightly.

use super::support::project::{Project, alive, signal, wait_for};
use super::support::{mlp, ok, run};

fn pid(text: &str) -> i64 {
    text.trim().parse().expect("a process number")
}

/// A step that writes its process number and that of a child in a session of its own that ignores TERM, then sleeps.
fn stubborn(trap: &str) -> Project {
    let project = Project::new("steps: {sleep: {run: 'exec sh sleep.sh'}}\n");
    project.write("stray.sh", "trap '' TERM\necho $$ > stray.pid\nwhile :; do sleep 1; done\n");
    project.write(
        "sleep.sh",
        &format!("{trap}\nsetsid sh stray.sh &\nuntil [ -s stray.pid ]; do sleep 0.02; done\necho $$ > worker.pid\nwhile :; do sleep 1; done\n"),
    );
    project
}

#[cfg(target_os = "linux")]
fn processes_of(job: &str) -> usize {
    let wanted = format!("MLP_JOB={job}");
    std::fs::read_dir("/proc")
        .expect("lists")
        .flatten()
        .filter(|entry| {
            std::fs::read(entry.path().join("environ"))
                .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes()))
        })
        .count()
}

#[test]
#[cfg(target_os = "linux")]
fn cancel_leaves_no_process_not_even_one_that_ignores_it() {
    for (trap, cancel) in [("", vec!["runs", "cancel"]), ("trap '' TERM", vec!["runs", "cancel", "--now"])] {
        let project = stubborn(trap);
        let mut follower = project.start(&["run"]);
        let (worker, stray) =
            (pid(&project.wait_for_file("worker.pid")), pid(&project.wait_for_file("stray.pid")));
        assert!(alive(worker) && alive(stray));
        let job = project.job().file_name().expect("a name").to_string_lossy().into_owned();
        assert!(processes_of(&job) >= 2);
        let text = ok(project.path(), &cancel);
        assert!(text.contains("cancelled"), "{text}");
        assert!(!alive(worker) && !alive(stray), "{cancel:?}");
        assert_eq!(processes_of(&job), 0);
        assert!(project.job_file("exit.json")["strays"].as_u64() >= Some(1));
        assert_eq!(follower.wait().expect("ends").code(), Some(130));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_second_interrupt_of_the_terminal_kills() {
    let project = stubborn("trap '' TERM");
    let mut follower = project.start(&["run"]);
    let worker = pid(&project.wait_for_file("worker.pid"));
    signal("INT", i64::from(follower.id()));
    let job = project.job();
    wait_for("the request", || job.join("cancel").exists().then_some(()));
    assert!(alive(worker));
    signal("INT", i64::from(follower.id()));
    assert_eq!(follower.wait().expect("ends").code(), Some(130));
    assert!(!alive(worker));
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_worker_is_a_failed_run_with_its_signal() {
    let project = stubborn("");
    let mut follower = project.start(&["run"]);
    signal("KILL", pid(&project.wait_for_file("worker.pid")));
    assert_eq!(follower.wait().expect("ends").code(), Some(1));
    let show = project.json(&["runs", "show"], 0);
    assert_eq!(show["record"]["body"]["end"]["state"], "failed");
    assert_eq!(show["record"]["body"]["end"]["signal"], 9);
    assert!(!alive(pid(&project.read("stray.pid"))), "what it left behind is ended");
}

#[test]
#[cfg(target_os = "linux")]
fn a_job_without_its_supervisor_is_orphaned_and_then_lost() {
    let project = Project::new("steps: {sleep: {run: 'echo $$ > worker.pid; while :; do sleep 1; done'}}\n");
    let mut follower = project.start(&["run"]);
    let worker = pid(&project.wait_for_file("worker.pid"));
    let supervisor = project.job_file("sup.json")["process"]["pid"].as_i64().expect("a number");
    signal("KILL", supervisor);
    project.wait_for_state("orphaned");
    assert!(alive(worker));
    signal("KILL", worker);
    project.wait_for_state("lost");
    assert_eq!(follower.wait().expect("ends").code(), Some(3));
    let show = project.json(&["runs", "show"], 0);
    assert_eq!(show["record"]["body"]["end"]["state"], "lost");
}

#[test]
#[cfg(target_os = "linux")]
fn an_orphaned_job_can_still_be_cancelled() {
    let project = stubborn("");
    let mut follower = project.start(&["run"]);
    let (worker, stray) =
        (pid(&project.wait_for_file("worker.pid")), pid(&project.wait_for_file("stray.pid")));
    signal("KILL", project.job_file("sup.json")["process"]["pid"].as_i64().expect("a number"));
    project.wait_for_state("orphaned");
    run(project.path(), &["runs", "cancel", "--now"], 0);
    assert!(!alive(worker) && !alive(stray));
    follower.wait().expect("ends");
}

#[test]
fn a_job_whose_follower_is_killed_ends_and_is_recorded() {
    let project = Project::new(
        "steps: {slow: {run: 'mkdir -p made; until [ -e go ]; do sleep 0.02; done; echo done > made/x', out: [made/x]}}\n",
    );
    let mut follower = project.start(&["run"]);
    project.job_file("sup.json");
    follower.kill().expect("kills");
    follower.wait().expect("ends");
    project.wait_for_state("running");
    project.write("go", "");
    let run = project.wait_for_state("succeeded");
    assert!(run["record"].as_str().is_some_and(|record| record.starts_with("b3:")), "{run}");
    std::fs::remove_dir_all(project.path().join("made")).expect("removes");
    std::fs::remove_file(project.path().join("go")).expect("removes");
    // What it made was stored by the job itself, though nobody was watching.
    assert_eq!(project.json(&["run"], 0)["steps"][0]["outcome"], "restored");
    assert_eq!(project.read("made/x"), "done\n");
}

#[test]
fn the_log_is_kept_byte_for_byte() {
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let project = Project::new("steps: {cat: {run: 'cat bytes.bin; cat bytes.bin >&2', in: [bytes.bin]}}\n");
    std::fs::write(project.path().join("bytes.bin"), &bytes).expect("writes");
    run(project.path(), &["run", "--quiet"], 0);
    let wanted = [bytes.clone(), bytes].concat();
    let logs = |args: &[&str]| mlp(project.path()).args(args).output().expect("mlp starts").stdout;
    assert!(logs(&["runs", "logs"]) == wanted);
    assert!(logs(&["runs", "logs", "--follow"]) == wanted);
    // From the store, once the job folder is gone.
    std::fs::remove_dir_all(project.job()).expect("removes");
    assert!(logs(&["runs", "logs"]) == wanted);
}

#[test]
fn a_job_over_its_time_limit_fails_and_says_so() {
    let project = Project::new("steps: {sleep: {run: 'sleep 600', resources: {time: 1s}}}\n");
    run(project.path(), &["run"], 1);
    let show = project.json(&["runs", "show"], 0);
    let reason = show["run"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("time limit of 1s"), "{reason}");
}

#[test]
fn a_time_limit_that_is_none_is_refused_before_the_start() {
    let project = Project::new("steps: {sleep: {run: 'true', resources: {time: soon}}}\n");
    let text = super::support::refused(project.path(), &["run"], 2);
    assert!(text.contains("`soon` is not a duration"), "{text}");
}

#[test]
fn a_failed_job_is_tried_again_as_often_as_asked() {
    let project = Project::new(
        "steps: {flaky: {run: 'echo x >> tries.txt; test $MLP_ATTEMPT -eq 3', retry: {max: 3}}}\n",
    );
    run(project.path(), &["run"], 0);
    assert_eq!(project.read("tries.txt").lines().count(), 3);
    assert_eq!(project.json(&["runs", "show"], 0)["record"]["body"]["end"]["attempts"], 3);
}
