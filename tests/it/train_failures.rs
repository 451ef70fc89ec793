//! What goes wrong in a training: said by epoch, recorded, and gone on from.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::support::project::Project;
use super::support::{mlp, ok, run};

/// Points of two classes, and a network of some hundred kilobytes.
fn project(train: &str) -> Project {
    let project = Project::new(&format!(
        "data:\n  points: {{path: data/points.csv, format: csv, target: class}}\n\
         models:\n  small:\n    data: points\n    network: [{{linear: 64}}, relu, {{linear: 512}}, relu, output]\n    \
         train: {{batch_size: 32, {train}}}\n"
    ));
    let mut text = "x,y,class\n".to_owned();
    for n in 0..160_u32 {
        let (x, y) = (n.wrapping_mul(7919) % 97, n.wrapping_mul(104_729) % 89);
        text += &format!("{x},{y},{}\n", ["red", "green"][(x + y > 92) as usize]);
    }
    project.write("data/points.csv", &text);
    ok(project.path(), &["data", "add", "points"]);
    project
}

/// Steps of the checkpoints of the newest job.
fn checkpoints(project: &Project) -> Vec<u64> {
    let folder = project.job().join("ckpt");
    let names = std::fs::read_dir(folder).expect("lists").flatten();
    let step = |name: String| name.strip_suffix(".safetensors")?.split_once('-')?.0.parse().ok();
    let mut steps: Vec<u64> =
        names.filter_map(|entry| step(entry.file_name().to_string_lossy().into_owned())).collect();
    steps.sort_unstable();
    steps
}

fn end(project: &Project) -> Value {
    project.json(&["runs", "show"], 0)["record"]["body"]["end"].clone()
}

/// The weights after the same training undisturbed.
fn unbroken(project: &Project) -> Value {
    project.json(&["train", "--force"], 0)["runs"][0]["outputs"]["model"].clone()
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_with_epoch_and_step_and_the_last_checkpoint_stays() {
    let project =
        project("epochs: 5, schedule: {step: {every: 2, gamma: 1.0e+30}}, optimizer: {sgd: {lr: 0.01}}");
    let output = run(project.path(), &["train"], 1);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("of epoch 3") && said.contains("lower the learning rate"), "{said}");
    let end = end(&project);
    let reason = end["reason"].as_str().expect("a reason");
    assert_eq!(end["state"], "failed");
    assert!(
        reason.contains("the loss is ") && reason.contains(" at step ") && reason.contains("epoch 3"),
        "{reason}"
    );
    // Five batches an epoch.
    assert_eq!(checkpoints(&project), [5, 10]);
}

#[test]
fn a_checkpoint_that_cannot_be_written_ends_the_run_by_its_epoch_and_it_goes_on_when_there_is_room() {
    let project = project("epochs: 60");
    // The worker writes a file an epoch; neither the command nor the supervisor come to as many.
    let output =
        mlp(project.path()).arg("train").env("MLP_FAULT", "write:40:ENOSPC").output().expect("starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let kept = checkpoints(&project);
    assert_eq!(kept.len(), 2, "{kept:?}");
    let wanted = format!("cannot write the checkpoint of epoch {} to ", kept[1] / 5 + 1);
    assert!(said.contains(&wanted) && said.contains("mlp runs resume"), "{said}");
    let end = end(&project);
    let reason = end["reason"].as_str().expect("a reason");
    assert_eq!(end["state"], "failed");
    assert!(reason.contains(&wanted) && reason.contains("No space left on device"), "{reason}");

    let resumed = project.json(&["runs", "resume"], 0);
    let log = ok(project.path(), &["runs", "logs"]);
    assert!(log.contains(&format!("resumed after step {}", kept[1])), "{log}");
    assert_eq!(resumed["run"]["outputs"]["model"], unbroken(&project));
}

#[test]
fn damaged_checkpoints_and_those_of_another_plan_are_passed_over_and_said() {
    let project = project("epochs: 60");
    mlp(project.path()).arg("train").env("MLP_FAULT", "write:40:ENOSPC").output().expect("starts");
    let folder = project.job().join("ckpt");
    let newest = checkpoints(&project)[1];
    let path = path_of(&folder, newest);
    let mut bytes = std::fs::read(&path).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("writes");
    // A good one of another training: that of the same model with another seed.
    let other = self::project("epochs: 90, seed: 1");
    mlp(other.path()).arg("train").env("MLP_FAULT", "write:60:ENOSPC").output().expect("starts");
    let theirs = *checkpoints(&other).last().expect("a checkpoint");
    assert!(theirs > newest);
    let theirs = path_of(&other.job().join("ckpt"), theirs);
    std::fs::copy(&theirs, folder.join(theirs.file_name().expect("a name"))).expect("copies");

    let resumed = project.json(&["runs", "resume"], 0);
    let log = ok(project.path(), &["runs", "logs"]);
    assert!(log.contains("is damaged"), "{log}");
    assert!(log.contains("belongs to another training"), "{log}");
    assert!(log.contains(&format!("resumed after step {}", newest - 5)), "{log}");
    assert_eq!(resumed["run"]["outputs"]["model"], unbroken(&project));
}

fn path_of(folder: &Path, step: u64) -> PathBuf {
    let names = std::fs::read_dir(folder).expect("lists").flatten();
    let mut paths = names.map(|entry| entry.path());
    let named = |path: &PathBuf| path.display().to_string().contains(&format!("/{step:08}-"));
    paths.find(named).expect("a checkpoint")
}

/// The same on a disk that is really full.
#[test]
#[cfg(target_os = "linux")]
fn a_training_on_a_full_disk_ends_with_its_reason_and_goes_on_when_there_is_room() {
    let project = project("epochs: 20");
    let jobs = project.path().join(".git/mlp/jobs");
    std::fs::create_dir_all(&jobs).expect("makes");
    let mount = |options: &str| {
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&jobs).status();
        status.is_ok_and(|status| status.success())
    };
    // A checkpoint has some 410 KiB: there is room for two of them, not for three.
    if !mount("size=1100k") {
        assert!(!rustix::process::geteuid().is_root(), "the superuser cannot mount a tmpfs here");
        return;
    }
    let _mounted = Mounted(jobs.clone());
    let output = run(project.path(), &["train"], 1);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot write the checkpoint of epoch 3 to "), "{said}");
    let end = end(&project);
    let reason = end["reason"].as_str().expect("a reason");
    assert_eq!(end["state"], "failed");
    assert!(reason.contains("epoch 3") && reason.contains("No space left on device"), "{reason}");
    assert_eq!(checkpoints(&project), [5, 10]);

    assert!(mount("remount,size=8m"));
    let resumed = project.json(&["runs", "resume"], 0);
    assert_eq!(resumed["run"]["outputs"]["model"], unbroken(&project));
}

/// A file system that goes with the test.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
