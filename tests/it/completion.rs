//! What shells offer: commands, options and the names in a project.

use std::path::Path;
use std::process::Command;

use crate::support::{mlp, ok};

/// What is offered for the last of the words, as bash asks for it.
fn offered(dir: &Path, words: &[&str]) -> Vec<String> {
    let output = mlp(dir)
        .env("COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "true")
        .env("_CLAP_IFS", "\n")
        .args(["--", "mlp"])
        .args(words)
        .output()
        .expect("mlp starts");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("is UTF-8");
    text.lines().map(|word| word.trim().to_owned()).collect()
}

#[test]
fn commands_templates_profiles_and_codes_are_offered_anywhere() {
    let dir = tempfile::tempdir().expect("makes a folder");
    assert_eq!(offered(dir.path(), &["chec"]), ["check"]);
    assert_eq!(offered(dir.path(), &["init", "x", "--template", "ta"]), ["tabular"]);
    assert_eq!(offered(dir.path(), &["init", "x", "--profile", "reg"]), ["regulated"]);
    assert_eq!(offered(dir.path(), &["explain", "project::non"]), ["project::none"]);
    assert_eq!(offered(dir.path(), &["schema", "ev"]), ["event"]);
}

#[test]
fn a_broken_project_offers_nothing_and_says_nothing() {
    let dir = tempfile::tempdir().expect("makes a folder");
    ok(dir.path(), &["init", "."]);
    std::fs::write(dir.path().join("mlp.yaml"), "[").expect("writes");
    for words in [&["train", ""][..], &["data", "add", ""], &["promote", "x", "--to", ""]] {
        let names = offered(dir.path(), words);
        assert!(!names.iter().any(|name| name == "digits" || name == "mnist"), "{names:?}");
    }
}

#[test]
fn names_of_models_datasets_stages_and_runs_are_offered() {
    let dir = tempfile::tempdir().expect("makes a folder");
    ok(dir.path(), &["init", "first"]);
    let project = dir.path().join("first");
    let run = "01jd3q7z8x9y0v1w2s3t4r5p6n";
    std::fs::create_dir_all(project.join(".git/mlp/jobs").join(run)).expect("makes a folder");
    let has = |words: &[&str], name: &str| {
        let names = offered(&project, words);
        assert!(names.iter().any(|offer| offer == name), "{words:?} offers {names:?}");
    };
    has(&["train", ""], "digits");
    has(&["data", "download", ""], "mnist");
    has(&["promote", "digits", "--to", "st"], "staging");
    has(&["serve", "digits@pro"], "digits@production");
    has(&["runs", "show", ""], run);
    // From another folder, by -C.
    assert!(offered(dir.path(), &["-C", "first", "train", ""]).iter().any(|name| name == "digits"));
}

#[test]
fn a_real_bash_completes_with_the_script() {
    let dir = tempfile::tempdir().expect("makes a folder");
    ok(dir.path(), &["init", "first"]);
    let script = format!(
        "PATH={}:$PATH; source {}/completions/mlp.bash; COMP_WORDS=(mlp init x --template im); COMP_CWORD=4; COMP_TYPE=9; \
         _clap_complete_mlp mlp im --template; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        Path::new(env!("CARGO_BIN_EXE_mlp")).parent().expect("has a folder").display(),
        env!("CARGO_MANIFEST_DIR"),
    );
    let output =
        Command::new("bash").args(["--norc", "-c", &script]).current_dir(dir.path().join("first")).output();
    let output = output.expect("bash starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "image-classifier", "{output:?}");
}
