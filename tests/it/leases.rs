//! GPUs of one machine, shared by jobs that know nothing of each other. The cards are those that a script called `nvidia-smi` tells of;
//! the leases, processes and signals are real.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::support::mlp;
use super::support::project::{Project, alive, signal, wait_for};

/// A project whose step `use` notes when it begins and ends, and with which card, on a machine of so many cards.
fn project(cards: usize, gpus: u32) -> Project {
    let project = Project::new(&format!(
        "steps:\n  use:\n    run: exec sh use.sh\n    resources: {{gpus: {gpus}, max_wait: 50s}}\n"
    ));
    project.write("use.sh", "echo begin $CUDA_VISIBLE_DEVICES >> .notes\nuntil [ -e .go ]; do sleep 0.02; done\nsleep 0.1\necho end $CUDA_VISIBLE_DEVICES >> .notes\n");
    let lines: String =
        (0..cards).map(|card| format!("echo GPU-{card}, Test Card, 40960, 0, 550.54.15\n")).collect();
    project.write(".bin/nvidia-smi", &format!("#!/bin/sh\n{lines}"));
    let script = project.path().join(".bin/nvidia-smi");
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).expect("makes it executable");
    project
}

fn command(project: &Project, args: &[&str]) -> Command {
    let mut command = mlp(project.path());
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .args(args)
        .env("PATH", format!("{}:{path}", project.path().join(".bin").display()))
        .env("MLP_LEASES", project.path().join(".leases"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn start(project: &Project) -> Child {
    command(project, &["run", "--force"]).spawn().expect("mlp starts")
}

fn notes(project: &Project) -> Vec<String> {
    let text = std::fs::read_to_string(project.path().join(".notes")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn two_jobs_take_turns_on_one_card() {
    let project = project(1, 1);
    let first = start(&project);
    wait_for("the first job", || (notes(&project).len() == 1).then_some(()));
    let second = start(&project);
    wait_for("the second job's ticket", || {
        let mut entries = std::fs::read_dir(project.path().join(".leases")).ok()?;
        entries
            .any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("ticket-")))
            .then_some(())
    });
    let newest = project.json(&["runs", "ls", "-n", "1"], 0)["runs"][0].clone();
    assert_eq!(newest["state"], "queued", "{newest}");
    project.write(".go", "");
    for child in [first, second] {
        let output = child.wait_with_output().expect("ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(notes(&project), ["begin GPU-0", "end GPU-0", "begin GPU-0", "end GPU-0"]);
}

#[test]
fn a_card_is_held_until_the_last_process_that_could_use_it_has_ended() {
    let project = project(1, 1);
    let mut first = start(&project);
    wait_for("the first job", || (notes(&project).len() == 1).then_some(()));
    let supervisor = project.job_file("sup.json")["process"]["pid"].as_i64().expect("a number");
    signal("KILL", supervisor);
    project.wait_for_state("orphaned");
    let second = start(&project);
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(notes(&project), ["begin GPU-0"], "the worker without a supervisor still has the card");
    project.write(".go", "");
    assert!(second.wait_with_output().expect("ends").status.success());
    assert_eq!(notes(&project), ["begin GPU-0", "end GPU-0", "begin GPU-0", "end GPU-0"]);
    first.wait().expect("ends");
}

#[test]
fn a_job_that_cannot_have_its_cards_says_why() {
    let project = project(1, 2);
    let output = command(&project, &["run", "--json"]).output().expect("mlp starts");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let report: Value = serde_json::from_str(text.lines().last().expect("a report")).expect("JSON");
    let reason = report["steps"][0]["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("wants 2 GPUs") && reason.ends_with("has 1 GPU"), "{reason}");
}

#[test]
fn who_waits_for_a_card_can_be_cancelled() {
    let project = project(1, 1);
    let mut first = start(&project);
    wait_for("the first job", || (notes(&project).len() == 1).then_some(()));
    let mut second = start(&project);
    project.wait_for_state("queued");
    let cancelled = command(&project, &["runs", "cancel", "latest"]).output().expect("mlp starts");
    assert!(cancelled.status.success());
    assert_eq!(second.wait().expect("ends").code(), Some(130));
    project.write(".go", "");
    assert!(first.wait().expect("ends").success());
    assert_eq!(notes(&project), ["begin GPU-0", "end GPU-0"]);
}

#[test]
fn many_jobs_take_turns_in_the_order_of_asking_and_all_come_to_their_end() {
    let jobs = 100;
    let project = project(2, 1);
    let step = |gpus: u32| {
        format!("    run: exec sh use.sh {gpus}\n    resources: {{gpus: {gpus}, max_wait: 1h}}\n")
    };
    let yaml = project.read("mlp.yaml");
    let head = yaml.split("steps:").next().expect("a head");
    project.write("mlp.yaml", &format!("{head}steps:\n  one:\n{}  two:\n{}", step(1), step(2)));
    project.write(
        "use.sh",
        "echo begin $MLP_JOB $CUDA_VISIBLE_DEVICES >> .notes\nsleep 0.1\necho end $MLP_JOB $CUDA_VISIBLE_DEVICES >> .notes\n",
    );
    let mut asked = Vec::new();
    for number in 0..jobs {
        // Every fourth wants both cards.
        let step = if number % 4 == 3 { "two" } else { "one" };
        let mut client = command(&project, &["run", step, "--force"]).spawn().expect("mlp starts");
        let job = wait_for("its supervisor", || {
            let job = project.job();
            (!asked.contains(&job) && job.join("sup.json").exists()).then_some(job)
        });
        asked.push(job);
        // Nobody has to stay for a job to come to its turn.
        client.kill().expect("can be killed");
        client.wait().expect("ends");
    }
    for job in &asked {
        wait_for("an end", || job.join("exit.json").exists().then_some(()));
        let exit = std::fs::read_to_string(job.join("exit.json")).expect("reads");
        assert!(exit.contains("\"succeeded\""), "{exit}");
    }
    let (mut held, mut begun) = (Vec::<String>::new(), Vec::new());
    for note in notes(&project) {
        let words: Vec<&str> = note.split([' ', ',']).collect();
        for card in &words[2..] {
            match words[0] {
                "begin" => {
                    assert!(
                        !held.iter().any(|held| held == card),
                        "two jobs have {card}: {:?}",
                        notes(&project)
                    );
                    held.push((*card).to_owned());
                }
                _ => held.retain(|held| held != card),
            }
        }
        if words[0] == "begin" {
            begun.push(words[1].to_owned());
        }
    }
    assert_eq!(begun.len(), jobs, "each has had its turn once");
    for (place, job) in asked.iter().enumerate() {
        let id = job.file_name().expect("a name").to_string_lossy();
        let turn = begun.iter().position(|begun| *begun == id).expect("had its turn");
        // Two that got a card each may write their notes in either order.
        assert!(turn.abs_diff(place) <= 1, "asked as number {place}, came as number {turn}");
    }
}

#[test]
fn a_driver_that_hangs_is_not_waited_for() {
    let project = project(1, 1);
    let asked = project.path().join(".asked");
    let script = format!("#!/bin/sh\necho $$ >> {}\nexec sleep 1000\n", asked.display());
    project.write(".bin/nvidia-smi", &script);
    let output = command(&project, &["run", "--json"]).output().expect("mlp starts");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("no GPU that `nvidia-smi` knows"), "{text}");
    for asked in project.read(".asked").lines() {
        assert!(!alive(asked.parse().expect("a number")), "nothing of it is left");
    }
}

#[test]
fn jobs_that_say_so_share_a_card() {
    let project = project(1, 1);
    let text = project.read("mlp.yaml").replace("gpus: 1,", "gpus: 1, share: 2,");
    project.write("mlp.yaml", &text);
    let first = start(&project);
    wait_for("the first job", || (notes(&project).len() == 1).then_some(()));
    let second = start(&project);
    wait_for("the second job", || (notes(&project).len() == 2).then_some(()));
    let third = start(&project);
    project.wait_for_state("queued");
    assert_eq!(notes(&project), ["begin GPU-0", "begin GPU-0"], "the third waits");
    project.write(".go", "");
    for child in [first, second, third] {
        assert!(child.wait_with_output().expect("ends").status.success());
    }
    assert_eq!(notes(&project).len(), 6);
}

#[test]
fn a_job_whose_card_works_is_not_idle() {
    for (percent, code) in [(80, 0), (0, 1)] {
        let project = Project::new("steps:\n  use: {run: 'exec sleep 5', resources: {gpus: 1, idle: 2s}}\n");
        project.write(
            ".bin/nvidia-smi",
            &format!(
                "#!/bin/sh\ncase $1 in *utilization*) echo 0, GPU-0, {percent}; echo 1, GPU-1, 99;; *) echo GPU-0, Test Card, 40960, 0, 550.54.15;; esac\n"
            ),
        );
        let script = project.path().join(".bin/nvidia-smi");
        std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755))
            .expect("makes it executable");
        let output = command(&project, &["run"]).output().expect("mlp starts");
        assert_eq!(
            output.status.code(),
            Some(code),
            "{percent}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        if code == 1 {
            let show = project.json(&["runs", "show"], 0);
            assert_eq!(show["run"]["cause"], "idle", "{show}");
        }
    }
}
