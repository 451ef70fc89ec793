//! The template `candle-crate`: a program of its own that uses mlp as a library, built against this checkout.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::support::project::{signal, wait_for};
use super::support::{mlp, ok};

/// Dependencies as this checkout compiles them for its tests, so that they are not compiled again; mlp itself without
/// optimisation, because that takes minutes.
const PROFILE: &str = "\
[profile.dev]
opt-level = 0
debug = false
codegen-units = 64
[profile.dev.package.\"*\"]
opt-level = 3
codegen-units = 8
[profile.dev.package.mlp]
opt-level = 0
codegen-units = 64
[profile.dev.build-override]
opt-level = 0
";

fn replace(path: &Path, old: &str, new: &str) {
    let text = std::fs::read_to_string(path).expect("reads");
    assert!(text.contains(old), "{} has no `{old}`", path.display());
    std::fs::write(path, text.replace(old, new)).expect("writes");
}

/// Builds the crate in `project` into the target folder of this checkout; returns the program.
fn build(project: &Path) -> PathBuf {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    replace(&project.join("Cargo.toml"), "path = \"../mlp\"", &format!("path = {:?}", checkout));
    std::fs::copy(checkout.join("Cargo.lock"), project.join("Cargo.lock")).expect("copies");
    let profile = project.join("build.toml");
    std::fs::write(&profile, PROFILE).expect("writes");
    // `target/debug/deps/it-…` is this test.
    let test = std::env::current_exe().expect("a path");
    let target = test.ancestors().nth(3).expect("the target folder");
    let output = Command::new(option_env!("CARGO").unwrap_or("cargo"))
        .args(["build", "--offline", "--quiet", "--config"])
        .arg(&profile)
        .current_dir(project)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::remove_file(profile).expect("removes");
    target.join("debug/spirals-by-hand")
}

fn start(project: &Path, args: &[&str]) -> Child {
    let mut command = mlp(project);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("mlp starts")
}

fn events(project: &Path) -> Vec<Value> {
    let text = ok(project, &["runs", "logs", "network", "--events"]);
    text.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect()
}

/// Epochs told so far.
fn epochs(project: &Path) -> Vec<u64> {
    let of = |event: &Value| (event["name"] == "val.loss").then(|| event["epoch"].as_u64())?;
    events(project).iter().filter_map(of).collect()
}

#[test]
fn the_template_is_built_against_this_checkout_trains_stops_and_goes_on() {
    let dir = tempfile::tempdir().expect("makes a folder");
    ok(dir.path(), &["init", "spirals-by-hand", "-t", "candle-crate"]);
    let project = dir.path().join("spirals-by-hand");
    let program = build(&project);
    let manifest = project.join("mlp.yaml");
    replace(&manifest, "cargo run --release --quiet", &program.display().to_string());
    let status = Command::new("sh").arg("make-spirals.sh").current_dir(&project).status();
    assert!(status.expect("sh starts").success());

    let alone = Command::new(&program).current_dir(&project).output().expect("starts");
    let said = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert_eq!(alone.status.code(), Some(2), "{said}");
    assert!(said.contains("error[step::alone]") && said.contains("mlp run"), "{said}");

    ok(&project, &["run"]);
    let show: Value =
        serde_json::from_str(&ok(&project, &["runs", "show", "network", "--json"])).expect("is JSON");
    assert!(show["run"]["metrics"]["test.accuracy"].as_f64() > Some(0.8), "{show}");
    assert_eq!(epochs(&project), (1..=40).collect::<Vec<u64>>());
    let about = std::fs::read(project.join("build/network/model.json")).expect("reads");
    let about: Value = serde_json::from_slice(&about).expect("is JSON");
    assert_eq!(about["classes"], serde_json::json!(["left", "right"]));
    let weights = std::fs::read(project.join("build/network/model.safetensors")).expect("reads");
    assert!(
        safetensors::SafeTensors::deserialize(&weights).expect("is a model").tensor("first.weight").is_ok()
    );

    // What does not fit is the reason of the failed run.
    replace(&manifest, "width: 32, ", "");
    super::support::run(&project, &["run"], 1);
    assert!(ok(&project, &["runs", "show", "network"]).contains("missing field `width`"));

    // Asked to stop, it leaves its last epoch and goes on from there.
    replace(&manifest, "epochs: 40, ", "epochs: 1000000, width: 32, ");
    let mut child = start(&project, &["run"]);
    wait_for("some epochs", || (epochs(&project).len() >= 3).then_some(()));
    signal("INT", i64::from(child.id()));
    child.wait().expect("ends");
    let before = *epochs(&project).last().expect("some");
    let mut child = start(&project, &["runs", "resume", "network"]);
    wait_for("more epochs", || (epochs(&project).last() > Some(&before)).then_some(()));
    signal("INT", i64::from(child.id()));
    child.wait().expect("ends");
    let told = epochs(&project);
    assert_eq!(told, (1..=told.len() as u64).collect::<Vec<u64>>(), "no epoch is done twice");
}
