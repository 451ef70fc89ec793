//! `docs/guides/monitoring.md` and the files for CI, run as they are written.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{accepted, mlp, ok, theirs};

const GUIDE: &str = include_str!("../../docs/guides/monitoring.md");

/// The blocks of a kind, in order.
fn blocks(kind: &str) -> Vec<&'static str> {
    let fence = format!("```{kind}\n");
    GUIDE.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

/// A shell script in `dir`, with `mlp` on its path.
fn sh(dir: &Path, script: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_mlp")).parent().expect("lies in a folder").to_owned();
    let mut paths = vec![dir.join("bin"), program];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let prepared = mlp(dir);
    let mut command = Command::new("bash");
    // Everything that a command of the program under test gets.
    for (name, value) in prepared.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .current_dir(dir)
        .args(["-c", script])
        .env("PATH", std::env::join_paths(paths).expect("are paths"))
        .output()
        .expect("bash starts")
}

#[test]
fn the_guide_runs_as_it_is_written() {
    let folder = TempDir::new().expect("makes a folder");
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("has one").port();
    let ask = blocks("sh")[0].replace(":8080/", &format!(":{port}/"));
    let mut script = "set -e -o pipefail -m\ntrap 'kill %1 2> /dev/null || true' EXIT\n".to_owned();
    for line in blocks("console").iter().flat_map(|block| block.lines()) {
        let line = line.strip_prefix("$ ").unwrap_or_else(|| panic!("not a command: {line}"));
        let line = line.replace("--port 8080", &format!("--port {port}"));
        script += &match line.split_once("    # ends with ") {
            Some((command, code)) => {
                format!("code=0; {command} > alarm.txt || code=$?; cat alarm.txt; test $code -eq {code}\n")
            }
            None => format!("{line}\n"),
        };
        if line == "cd penguins" {
            script += &format!("cat > ask.sh <<'END'\n{ask}END\n");
        }
    }
    let output = sh(folder.path(), &script);
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n--- stdout\n{said}\n--- stderr\n{told}");
    assert!(said.contains("no limit is broken") && said.contains("accuracy  0."), "{said}");
    let alarm = std::fs::read_to_string(folder.path().join("penguins/alarm.txt")).expect("is there");
    assert!(alarm.contains("breach: `bill_mm` of the inputs: psi "), "{alarm}");
    let model = std::fs::read_dir(folder.path().join("penguins/.git/mlp/predictions")).expect("is there");
    assert_eq!(model.count(), 1);
}

#[test]
fn a_breach_in_ci_pushes_a_branch_to_train_again_on_once() {
    let folder = TempDir::new().expect("makes a folder");
    ok(folder.path(), &["init", "first", "-t", "tabular"]);
    let set_up =
        "git init -q --bare ../far && git remote add origin ../far && git add -A && git commit -qm begin &&
        git push -q --no-verify origin HEAD && git clone -q ../far ../clone";
    let output = sh(&folder.path().join("first"), set_up);
    assert!(output.status.success(), "{output:?}");
    // A job begins with a fresh clone.
    let project = folder.path().join("clone");
    std::fs::create_dir_all(project.join("bin")).expect("makes");
    // What `mlp monitor` answers is tested elsewhere; here it is what the script makes of it.
    let answer = |code: u8, text: &str| {
        let push = "if [ \"$2\" = push ]; then echo pushed; exit 0; fi";
        let script = format!("#!/bin/sh\n{push}\necho '{text}'\nexit {code}\n");
        let path = project.join("bin/mlp");
        std::fs::write(&path, script).expect("writes");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, executable).expect("sets");
    };
    let monitor =
        || sh(&project, "sh .mlp/monitor.sh predictor@production; code=$?; git switch -q -; exit $code");
    let branches = || {
        let output = sh(&project, "git ls-remote --heads origin retrain/predictor | wc -l");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    answer(0, "{}");
    // Another branch to come back to.
    sh(&project, "git switch -q -c other");
    let calm = monitor();
    assert_eq!((calm.status.code(), branches().as_str()), (Some(0), "0"));
    assert!(!String::from_utf8_lossy(&calm.stderr).contains("pushed"), "there is no store: {calm:?}");
    sh(&project, "printf 'stores: {}\n' >> mlp.yaml; git commit -qam stores");
    let calm = monitor();
    assert!(String::from_utf8_lossy(&calm.stderr).contains("pushed"), "{calm:?}");
    answer(3, "{}");
    assert_eq!((monitor().status.code(), branches().as_str()), (Some(3), "0"));
    answer(1, r#"{"breaches":["it"]}"#);
    let first = monitor();
    assert_eq!((first.status.code(), branches().as_str()), (Some(1), "1"), "{first:?}");
    let kept = sh(&project, "git show retrain/predictor:docs/monitor/predictor.json");
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "{\"breaches\":[\"it\"]}\n");
    let again = monitor();
    assert_eq!((again.status.code(), branches().as_str()), (Some(1), "1"));
    assert!(String::from_utf8_lossy(&again.stderr).contains("open already"), "{again:?}");
}

#[test]
fn the_files_for_ci_are_yaml_with_a_scheduled_look_at_every_model() {
    let folder = TempDir::new().expect("makes a folder");
    ok(folder.path(), &["init", "first", "-t", "mnist"]);
    let project = folder.path().join("first");
    let read = |path: &str| std::fs::read_to_string(project.join(path)).expect("is there");
    let github: Value = serde_yaml::from_str(&read(".github/workflows/monitor.yml")).expect("is YAML");
    assert_eq!(github["on"]["schedule"][0]["cron"], "17 5 * * *");
    assert_eq!(github["jobs"]["monitor"]["strategy"]["matrix"]["model"][0], "digits@production");
    let steps = github["jobs"]["monitor"]["steps"].as_array().expect("has steps");
    assert!(steps.iter().any(|step| step["run"] == "sh .mlp/monitor.sh \"$MODEL\""), "{github}");
    let gitlab: Value = serde_yaml::from_str(&read(".gitlab-ci.yml")).expect("is YAML");
    assert_eq!(gitlab["monitor"]["parallel"]["matrix"][0]["MODEL"][0], "digits@production");
    assert!(gitlab["check"]["script"].is_array());
    for (schema, file) in [
        ("vendor.github-workflows", ".github/workflows/mlp.yml"),
        ("vendor.github-workflows", ".github/workflows/monitor.yml"),
        ("vendor.gitlab-ci", ".gitlab-ci.yml"),
    ] {
        let mut checker = theirs("formats/bin/check-jsonschema");
        accepted(checker.args(["--builtin-schema", schema]), &project.join(file));
    }
    // A project that has none gets the same.
    let shown: Value = serde_json::from_str(&ok(&project, &["ci", "github", "--json"])).expect("is JSON");
    assert_eq!(shown["files"][0]["text"].as_str(), Some(read(".github/workflows/mlp.yml").as_str()));
    std::fs::remove_file(project.join(".gitlab-ci.yml")).expect("removes");
    let written = ok(&project, &["ci", "gitlab", "--write"]);
    assert!(
        written.contains("made           .gitlab-ci.yml")
            && written.contains("left as it is  .mlp/monitor.sh"),
        "{written}"
    );
    assert_eq!(serde_yaml::from_str::<Value>(&read(".gitlab-ci.yml")).expect("is YAML"), gitlab);
}

#[test]
fn the_files_for_ci_name_the_stages_and_secrets_of_the_project() {
    let folder = TempDir::new().expect("makes a folder");
    ok(folder.path(), &["init", "first", "-t", "mnist"]);
    let project = folder.path().join("first");
    let path = project.join("mlp.yaml");
    let text = "mlp: 1
project: {name: first, id: 01jd3q0000000000000000000a, profile: research}
data: {mnist: {path: data/mnist, format: idx}}
models:
  digits: {data: mnist, network: [flatten, {linear: 10}], train: {epochs: 1, batch_size: 8}}";
    let of = |more: &str, platform: &str, file: &str| -> Value {
        std::fs::write(&path, format!("{text}\n{more}")).expect("writes");
        let shown: Value = serde_json::from_str(&ok(&project, &["ci", platform, "--json"])).expect("is JSON");
        let files = shown["files"].as_array().expect("has files");
        let found = files.iter().find(|one| one["path"] == file).expect("is one of them");
        let text = found["text"].as_str().expect("is text");
        assert!(!["@ENV@", "@SECRETS@", "@MODELS@"].iter().any(|place| text.contains(place)), "{text}");
        serde_yaml::from_str(text).expect("is YAML")
    };
    let plain = of("", "github", ".github/workflows/mlp.yml");
    assert!(plain["jobs"]["check"].get("env").is_none(), "{plain}");
    let more = "stages: {canary: {}, live: {}}
stores: {far: {url: 's3://bucket/x'}, near: {url: 'gs://bucket'}, disk: {url: 'fs:///x'}}
monitor: {alert: {webhook: CHAT_URL}}
";
    let check = of(more, "github", ".github/workflows/mlp.yml");
    let look = of(more, "github", ".github/workflows/monitor.yml");
    let env = &look["jobs"]["monitor"]["env"];
    for name in [
        "MLP_STORE_FAR_ACCESS_KEY_ID",
        "MLP_STORE_FAR_SECRET_ACCESS_KEY",
        "MLP_STORE_NEAR_CREDENTIAL",
        "CHAT_URL",
    ] {
        assert_eq!(env[name], format!("${{{{ secrets.{name} }}}}"), "{look}");
    }
    // A change, whosever it is, gets what it needs alone.
    let mut own = env.clone();
    own.as_object_mut().expect("has variables").remove("CHAT_URL");
    assert_eq!(check["jobs"]["check"]["env"], own);
    assert!(check.to_string().contains("mlp gate check digits --to canary"), "{check}");
    let job = &look["jobs"]["monitor"];
    assert_eq!(job["strategy"]["matrix"]["model"][0], "digits@live");
    // Without a store it is said, and nothing is looked at.
    let steps = job["steps"].as_array().expect("has steps");
    let at = |word: &str| {
        steps
            .iter()
            .position(|step| step.to_string().contains(word))
            .unwrap_or_else(|| panic!("no {word}: {job}"))
    };
    assert!(at("^stores:") < at("monitor.sh"));
    assert_eq!(steps[at("monitor.sh")]["if"], "steps.store.outputs.there == 'yes'");
    let gitlab = of(more, "gitlab", ".gitlab-ci.yml");
    assert_eq!(gitlab["monitor"]["parallel"]["matrix"][0]["MODEL"][0], "digits@live");
    let script = gitlab["monitor"]["script"].as_array().expect("is a script");
    assert!(
        script[0].as_str().is_some_and(|line| line.contains("^stores:") && line.contains("exit 0")),
        "{gitlab}"
    );
}
