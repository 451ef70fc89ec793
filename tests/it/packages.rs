//! `mlp model pull` and `mlp model export`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::lifecycle::{Lab, flip};
use crate::support::serving::Project;
use crate::support::{ok, refused, run};

const EYES: &str = "stages:
  staging: {gates: {floor: {metric: {name: accuracy, min: 0.9}}}}
  production: {gates: {eyes: {approvals: {role: model, count: 1}}}}
";

/// A version that Max approved for production and that is live there.
fn approved() -> Lab {
    let lab = Lab::new(EYES);
    lab.signers(&[("max", "")]);
    let key = lab.key("max");
    lab.version(95);
    ok(lab.path(), &["approve", "digits@1", "--to", "production", "--key", &key]);
    ok(lab.path(), &["promote", "digits@1", "--to", "production", "--key", &key]);
    lab
}

fn weights(folder: &Path) -> String {
    fs::read_to_string(folder.join("model.safetensors")).expect("reads")
}

#[test]
fn what_is_approved_is_pulled_once_and_followed() {
    let lab = approved();
    let pull = ["model", "pull", "digits@production", "--verify", "keys/served"];
    let first = lab.json(&pull, 0);
    assert_eq!((&first["schema"], &first["changed"]), (&"mlp/model-pull/1".into(), &true.into()));
    assert_eq!(first["verified"]["approvals"][0], "1 of 1: max");
    let served = lab.path().join("keys/served");
    assert_eq!(weights(&served), "weights 0");
    let before =
        fs::metadata(served.join("model.safetensors")).expect("is there").modified().expect("has a time");
    assert_eq!(lab.json(&pull, 0)["changed"], false);
    let after =
        fs::metadata(served.join("model.safetensors")).expect("is there").modified().expect("has a time");
    assert_eq!(before, after);

    let key = lab.key("max");
    lab.version(96);
    ok(lab.path(), &["approve", "digits@2", "--to", "production", "--key", &key]);
    ok(lab.path(), &["promote", "digits@2", "--to", "production", "--key", &key]);
    let second = lab.json(&pull, 0);
    assert_eq!((&second["version"], &second["before"]), (&2.into(), &"digits@1".into()));
    ok(lab.path(), &["rollback", "digits", "--stage", "production", "--key", &key]);
    // A rollback names no evidence; that of the promotion before counts.
    assert_eq!(lab.json(&pull, 0)["version"], 1);
    assert_eq!(weights(&served), "weights 0");
}

#[test]
fn what_is_there_and_not_approved_is_refused_with_a_reason() {
    let lab = approved();
    let pull = ["model", "pull", "digits@production", "--verify", "keys/served"];
    ok(lab.path(), &pull);
    // Somebody changed the folder.
    fs::write(lab.path().join("keys/served/model.safetensors"), "evil").expect("writes");
    let said = refused(lab.path(), &pull, 1);
    assert!(said.contains("package::altered") && said.contains("has other bytes"), "{said}");
    assert_eq!(weights(&lab.path().join("keys/served")), "evil");
    let mut forced = pull.to_vec();
    forced.push("--force");
    ok(lab.path(), &forced);
    assert_eq!(weights(&lab.path().join("keys/served")), "weights 0");
    // The stage asks for more than there is: what was fine then is not approved today.
    lab.rules(&EYES.replace("count: 1", "count: 2"));
    let said = refused(lab.path(), &pull, 1);
    assert!(said.contains("package::unapproved") && said.contains("eyes"), "{said}");
    assert!(
        refused(lab.path(), &["model", "pull", "digits@1", "--verify", "keys/served"], 2)
            .contains("package::no-stage")
    );
    ok(lab.path(), &["model", "pull", "digits@1", "other"]);
    // What somebody else keeps in a folder stays.
    fs::create_dir(lab.path().join("mine")).expect("makes");
    fs::write(lab.path().join("mine/notes.txt"), "mine").expect("writes");
    let said = refused(lab.path(), &["model", "pull", "digits@1", "mine", "--force"], 2);
    assert!(said.contains("package::occupied"), "{said}");
    // Nor does another paper or format take the place of what is served.
    for args in [
        ["dossier", "digits@1", "other"].as_slice(),
        &["model", "export", "digits@1", "other", "--format", "oci"],
    ] {
        let said = refused(lab.path(), &[args, &["--dry-run"]].concat(), 2);
        assert!(said.contains("package::another"), "{said}");
        assert!(refused(lab.path(), args, 2).contains("package::another"));
    }
    let dry = lab.json(&["model", "pull", "digits@1", "other", "--dry-run"], 0);
    assert_eq!((&dry["dry_run"], &dry["changed"]), (&true.into(), &false.into()));
    let said = refused(lab.path(), &["model", "pull", "digits@1", "mine", "--dry-run"], 2);
    assert!(said.contains("package::occupied"), "{said}");
    let dry = lab.json(&["model", "pull", "digits@1", "new", "--dry-run"], 0);
    assert_eq!((&dry["dry_run"], lab.path().join("new").exists()), (&true.into(), false));
}

#[test]
fn damaged_bytes_never_reach_the_folder() {
    let lab = approved();
    let packs = lab.path().join(".git/mlp/store/packs");
    let mut folders = vec![packs];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("lists").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                // One bit makes it writable; then no byte is what it was.
                flip(&path);
                let bytes = fs::read(&path).expect("reads");
                fs::write(&path, bytes.iter().map(|byte| !byte).collect::<Vec<u8>>()).expect("writes");
            }
        }
    }
    let output = run(lab.path(), &["model", "pull", "digits@production", "keys/served"], 1);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("store::damaged"), "{said}");
    assert!(!lab.path().join("keys/served").exists());
}

#[test]
fn a_version_is_exported_for_other_programs() {
    let project = Project::new(true);
    let json = |args: &[&str]| -> Value {
        serde_json::from_str(&ok(project.path(), &[args, &["--json"]].concat())).expect("is JSON")
    };
    let told = json(&["model", "export", "stripes@production", "folder"]);
    assert_eq!((&told["schema"], &told["format"]), (&"mlp/model-export/1".into(), &"folder".into()));
    assert!(project.path().join("folder/model.json").exists());
    assert_eq!(json(&["model", "export", "stripes@production", "folder"])["changed"], false);

    let told = json(&["model", "export", "stripes@1", "image", "--format", "oci"]);
    assert_eq!(told["tag"], "stripes-1");
    let layout = fs::read_to_string(project.path().join("image/oci-layout")).expect("reads");
    assert!(layout.contains("1.0.0"), "{layout}");
    // A tool that reads images reads this one, where one is installed.
    let image = format!("oci:{}:stripes-1", project.path().join("image").display());
    match Command::new("skopeo").args(["inspect", "--raw", &image]).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            for architecture in ["amd64", "arm64"] {
                let output = Command::new("skopeo")
                    .args(["--override-os", "linux", "--override-arch", architecture, "inspect", &image])
                    .output()
                    .expect("starts");
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                let told: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
                assert_eq!(told["Labels"]["dev.mlp.reference"], "stripes@1");
                assert_eq!(told["Layers"].as_array().map(Vec::len), Some(3));
            }
        }
        Err(_) => println!("skopeo is not installed: only the library tests looked at the layout"),
    }

    let told = json(&["model", "export", "stripes", "onnx", "--format", "onnx"]);
    assert_eq!(told["changed"], true);
    let bytes = fs::read(project.path().join("onnx/model.onnx")).expect("reads");
    assert!(bytes.windows(4).any(|window| window == b"Gemm"));
    assert_eq!(json(&["model", "export", "stripes", "onnx", "--format", "onnx"])["changed"], false);
    let said = refused(project.path(), &["model", "export", "stripes", "onnx", "--format", "zip"], 2);
    assert!(said.contains("oci"), "{said}");
}
