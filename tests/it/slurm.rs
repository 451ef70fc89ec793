//! `--on` a login node: the same jobs in the queue of a real Slurm.

use std::path::Path;

use serde_json::Value;

use super::support::hosts::Hosts;
use super::support::project::{Project, alive, signal, wait_for};
use super::support::slurm::Slurm;
use super::support::{mlp, ok, refused};

/// A table of two classes, added as a version, and a small network; and a step that asks for a card.
fn project(epochs: u32) -> Project {
    let project = Project::new(&format!(
        "data:\n  points: {{path: data/points.csv, format: csv, target: class, split: {{val: 0.2, test: 0.2}}}}\n\
         models:\n  small:\n    data: points\n    input: {{shape: [2]}}\n    \
         network: [{{linear: 32}}, relu, {{dropout: 0.2}}, {{linear: 2}}]\n    \
         train: {{epochs: {epochs}, batch_size: 2, seed: 3, optimizer: {{adamw: {{lr: 0.01}}}}}}\n\
         steps:\n  card: {{run: 'echo card $CUDA_VISIBLE_DEVICES on $SLURMD_NODENAME', resources: {{gpus: 1}}}}\n"
    ));
    let mut text = "x,y,class\n".to_owned();
    for n in 0..300_u32 {
        let noise = |seed: u32| f64::from(n.wrapping_mul(seed) % 97) / 97.0;
        text += &format!(
            "{:.4},{:.4},{}\n",
            f64::from(n % 2) + noise(7919),
            noise(104_729),
            ["red", "green"][n as usize % 2]
        );
    }
    project.write("data/points.csv", &text);
    ok(project.path(), &["data", "add", "points"]);
    project
}

fn cluster(project: &Project, slurm: &Slurm, settings: &str) -> Hosts {
    let hosts = Hosts::of_slurm(slurm);
    hosts.of(project, &["hpc"]);
    hosts.config_with(project.path(), &["hpc"], &format!(", slurm: {{{settings}}}"));
    hosts
}

fn model(report: &Value) -> &str {
    report["outputs"]["model"].as_str().unwrap_or_else(|| panic!("no model in {report}"))
}

#[test]
fn a_queue_trains_the_very_weights_of_this_machine_and_gives_cards() {
    let slurm = Slurm::new();
    let project = project(3);
    let _hosts = cluster(&project, &slurm, "partition: main");
    let there = project.json(&["train", "--on", "hpc", "--force"], 0);
    let here = project.json(&["train", "--force"], 0);
    assert_eq!(model(&there["runs"][0]), model(&here["runs"][0]));
    project.json(&["run", "card", "--on", "hpc"], 0);
    let log = ok(project.path(), &["runs", "logs", "card"]);
    assert!(log.starts_with("card 0 on n") || log.starts_with("card 1 on n"), "{log}");
    let said = mlp(project.path()).args(["train", "--on", "hpc", "--force", "--detach", "--json"]).output();
    assert!(said.expect("mlp starts").status.success());
    let followed = project.json(&["runs", "attach"], 0);
    assert_eq!(followed["run"]["state"], "succeeded", "{followed}");
}

#[test]
fn a_run_that_waits_says_why_and_can_be_cancelled_and_a_wrong_partition_is_told() {
    let slurm = Slurm::new();
    let project = project(3);
    let hosts = cluster(&project, &slurm, "options: [\"--nodes=2\", \"--exclusive\"]");
    // Somebody else has the nodes.
    slurm.ask("sbatch", &["--nodes=2", "--exclusive", "--output=/dev/null", "--wrap", "sleep 120"]);
    wait_for("the other job", || slurm.ask("squeue", &["-h", "-o", "%T"]).contains("RUNNING").then_some(()));
    let client = project.start(&["train", "--on", "hpc"]);
    let job = hosts.job("hpc");
    wait_for("a place in the queue", || job.join("slurm.json").exists().then_some(()));
    std::thread::sleep(std::time::Duration::from_secs(11));
    assert_eq!(project.json(&["runs", "ls", "-n", "1"], 0)["runs"][0]["state"], "queued");
    signal("INT", i64::from(client.id()));
    let output = client.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("waits until what it asks for is free"), "{said}");
    assert!(!slurm.ask("squeue", &["-h", "-o", "%j"]).contains("mlp-"), "it left the queue");
    hosts.config_with(project.path(), &["hpc"], ", slurm: {partition: nowhere}");
    let said = refused(project.path(), &["train", "--on", "hpc"], 3);
    assert!(said.contains("invalid partition") && said.contains("compute::on-host"), "{said}");
}

#[test]
fn a_run_whose_time_is_over_goes_on_in_its_next_turn_to_the_same_weights() {
    let slurm = Slurm::new();
    let project = project(2000);
    let hosts = cluster(&project, &slurm, "partition: main");
    let whole = project.json(&["train"], 0);
    let client = project.start(&["train", "--on", "hpc", "--force", "--json"]);
    let job = hosts.job("hpc");
    wait_for("an epoch", || {
        std::fs::read_to_string(job.join("events.jsonl")).ok().filter(|text| text.contains("val.loss"))
    });
    let submitted: Value =
        serde_json::from_slice(&std::fs::read(job.join("slurm.json")).expect("reads")).expect("JSON");
    let number = submitted["job"].as_str().expect("a number");
    // What Slurm sends to the batch step two minutes before the time is over.
    slurm.ask("scancel", &["--signal=USR2", "--batch", number]);
    wait_for("its return to the queue", || {
        slurm.ask("squeue", &["-h", "-o", "%T"]).contains("PENDING").then_some(())
    });
    assert!(!job.join("exit.json").exists());
    let output = client.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_str(said.lines().last().expect("a report")).expect("JSON");
    assert_eq!(model(&report["runs"][0]), model(&whole["runs"][0]));
    assert_eq!(std::fs::read_to_string(job.join("attempt")).expect("reads").trim(), "2");
}

#[test]
fn a_run_that_makes_room_for_others_goes_on_after_them() {
    let slurm = Slurm::new();
    let project = Project::new(
        "steps: {patient: {run: 'echo turn $MLP_ATTEMPT; [ $MLP_ATTEMPT = 2 ] || exec sleep 600'}}\n",
    );
    let hosts = cluster(&project, &slurm, "partition: low, options: [--exclusive]");
    let client = project.start(&["run", "--on", "hpc"]);
    let job = hosts.job("hpc");
    wait_for("its first turn", || std::fs::read(job.join("log")).ok().filter(|log| log == b"turn 1\n"));
    slurm.ask(
        "sbatch",
        &["-p", "main", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap", "sleep 3"],
    );
    let output = client.wait_with_output().expect("ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(ok(project.path(), &["runs", "logs"]), "turn 1\nturn 2\n");
}

#[test]
fn a_queue_gets_no_secrets() {
    let slurm = Slurm::new();
    let project = Project::new("steps: {use: {run: 'echo $WANDB_KEY', secrets: [WANDB_KEY]}}\n");
    let hosts = cluster(&project, &slurm, "partition: main");
    let canary = "hunter2-4f9a1c77-letter";
    let output = mlp(project.path()).args(["run", "--on", "hpc"]).env("WANDB_KEY", canary).output();
    let output = output.expect("mlp starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("`secrets:` cannot go through a queue"), "{said}");
    let found = std::process::Command::new("grep").args(["-rlaF", canary]).arg(hosts.root("hpc")).output();
    assert!(found.expect("grep starts").stdout.is_empty());
}

#[test]
fn a_step_of_several_nodes_is_started_by_srun_with_what_ranks_need_to_find_each_other() {
    let slurm = Slurm::new();
    let project = Project::new(
        "steps:\n  all: {run: 'exec sh rank.sh', out: [made], resources: {nodes: 2, ranks_per_node: 2, cpus: 1}}\n",
    );
    // The first rank waits at the address that all are told until the others were there.
    project.write(
        "rank.sh",
        "mkdir -p made\necho $RANK $WORLD_SIZE $LOCAL_RANK $SLURMD_NODENAME > made/$RANK\nexec python3 meet.py\n",
    );
    project.write(
        "meet.py",
        "import os, socket, time\n\
         rank, size = int(os.environ['RANK']), int(os.environ['WORLD_SIZE'])\n\
         place = (os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT']))\n\
         if rank == 0:\n    \
             door = socket.create_server(place)\n    \
             seen = sorted(int(door.accept()[0].makefile().readline()) for _ in range(size - 1))\n    \
             print('met', seen, flush=True)\n\
         else:\n    \
             for _ in range(600):\n        \
                 try:\n            \
                     socket.create_connection(place).sendall(b'%d\\n' % rank)\n            \
                     break\n        \
                 except ConnectionRefusedError:\n            \
                     time.sleep(0.05)\n",
    );
    let _hosts = cluster(&project, &slurm, "partition: main");
    project.json(&["run", "--on", "hpc"], 0);
    assert_eq!(ok(project.path(), &["runs", "logs"]), "met [1, 2, 3]\n");
    let ranks: Vec<String> =
        (0..4).map(|rank| project.read(&format!("made/{rank}")).trim().to_owned()).collect();
    assert_eq!(ranks, ["0 4 0 n1", "1 4 1 n1", "2 4 0 n2", "3 4 1 n2"]);
    let shown = project.json(&["runs", "show"], 0);
    let end = &shown["record"]["body"]["end"];
    let (hours, started) = (end["usage"]["hours"].as_f64().expect("a number"), &end["started"]);
    assert!(hours > 0.0 && !started.is_null(), "{end}");
    // A rank that fails ends the others.
    project.write("rank.sh", "[ $RANK = 3 ] && exit 7\nsleep 600\n");
    project.json(&["run", "--on", "hpc"], 1);
    let log = ok(project.path(), &["runs", "logs"]);
    assert!(log.contains("task 3: Exited with exit code 7"), "{log}");
    let said = refused(project.path(), &["run"], 2);
    assert!(said.contains("run::no-slurm"), "{said}");
}

/// A process number in a file of a job folder.
fn pid(job: &Path, file: &str, at: &str) -> i64 {
    let text = std::fs::read(job.join(file)).expect("reads");
    let file: Value = serde_json::from_slice(&text).expect("JSON");
    file.pointer(at).and_then(Value::as_i64).unwrap_or_else(|| panic!("no {at} in {file}"))
}

/// What `/proc` says of a process.
fn of_process(pid: i64, file: &str) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/{file}")).expect("reads");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_node_that_is_given_up_and_comes_back_spoils_nothing() {
    let slurm = Slurm::giving_up_after(5);
    let project = project(2000);
    let hosts = cluster(&project, &slurm, "partition: main");
    let whole = project.json(&["train"], 0);
    let client = project.start(&["train", "--on", "hpc", "--force", "--json"]);
    let job = hosts.job("hpc");
    wait_for("a checkpoint", || std::fs::read_dir(job.join("ckpt")).ok()?.next().map(drop));
    let (supervisor, worker) =
        (pid(&job, "sup.json", "/process/pid"), pid(&job, "state.json", "/worker/pid"));
    let environment = of_process(supervisor, "environ");
    let node =
        environment.split('\0').find_map(|entry| entry.strip_prefix("SLURMD_NODENAME=")).expect("a node");
    let status = of_process(supervisor, "status");
    let step = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("a parent");
    // The node is cut off: nothing of it moves, and nothing of it ends.
    let frozen = [slurm.daemon(node), step.trim().parse().expect("a number"), supervisor, worker];
    for process in frozen {
        signal("STOP", process);
    }
    let attempt = || std::fs::read_to_string(job.join("attempt")).expect("reads").trim().to_owned();
    wait_for("the second attempt on the other node", || (attempt() == "2").then_some(()));
    wait_for("its worker", || (pid(&job, "sup.json", "/process/pid") != supervisor).then_some(()));
    wait_for("its work", || {
        let state: Value = serde_json::from_slice(&std::fs::read(job.join("state.json")).ok()?).ok()?;
        let new = state.pointer("/worker/pid").and_then(Value::as_i64)?;
        (new != worker).then_some(())
    });
    assert!(alive(worker) && alive(supervisor), "the node was cut off, not switched off");
    let stopped = || {
        let events = std::fs::read_to_string(job.join("events.jsonl")).expect("reads");
        events.matches("a later attempt has taken over: stopped without a checkpoint").count()
    };
    assert_eq!(stopped(), 0);
    // Its worker comes back first, and finds by itself that it is too late.
    signal("CONT", worker);
    wait_for("the end of the old worker", || (!alive(worker)).then_some(()));
    assert_eq!(stopped(), 1);
    assert!(!job.join("exit.json").exists(), "the second attempt goes on");
    for process in frozen {
        // Whichever is awake may end the others before their turn.
        let _ = std::process::Command::new("kill").args(["-CONT", &process.to_string()]).output();
    }
    wait_for("the end of the old supervisor", || (!alive(supervisor)).then_some(()));
    let output = client.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_str(said.lines().last().expect("a report")).expect("JSON");
    assert_eq!(model(&report["runs"][0]), model(&whole["runs"][0]));
    assert_eq!(attempt(), "2");
}
