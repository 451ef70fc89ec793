//! Mistakes in `mlp.yaml` as the user sees them, and what `mlp check` finds.

use std::path::Path;

use serde_json::Value;

use crate::support::{mlp, ok, refused, run};

/// A project of the template, with `from` in its project file replaced by `to`.
fn project(template: &str, profile: &str, changes: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("makes a folder");
    ok(dir.path(), &["init", ".", "--template", template, "--profile", profile]);
    let path = dir.path().join("mlp.yaml");
    let mut text = std::fs::read_to_string(&path).expect("reads");
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    std::fs::write(path, text).expect("writes");
    dir
}

#[test]
fn a_misspelt_key_is_shown_with_its_line_a_caret_and_the_right_word() {
    let dir = project("mnist", "research", &[("    gates:", "    gatse:")]);
    let said = refused(dir.path(), &["check"], 2);
    insta::assert_snapshot!(said, @r"
    error[project::unknown-key]: unknown key `gatse` in `stages.staging`
       --> mlp.yaml:75:5
       |
    75 |     gatse:
       |     ^^^^^
    help: did you mean `gates`?
    ");
}

#[test]
fn the_file_is_named_as_the_user_would_name_it() {
    let dir = project("mnist", "research", &[("data: mnist", "data: mnits")]);
    std::fs::create_dir(dir.path().join("sub")).expect("makes a folder");
    assert!(refused(&dir.path().join("sub"), &["check"], 2).contains("--> ../mlp.yaml:"), "from below");
    let above = dir.path().parent().expect("has a parent");
    let folder = dir.path().file_name().expect("has a name").to_string_lossy().into_owned();
    let said = refused(above, &["-C", &folder, "check"], 2);
    assert!(
        said.contains(&format!("--> {folder}/mlp.yaml:")) && said.contains("did you mean `mnist`?"),
        "{said}"
    );
}

#[test]
fn errors_are_json_lines_when_json_is_asked_for() {
    let dir = project("mnist", "research", &[("data: mnist", "data: mnits")]);
    let output = run(dir.path(), &["check", "--json"], 2);
    let event: Value = serde_json::from_slice(&output.stdout).expect("stdout is one JSON document");
    assert_eq!(
        (event["event"].as_str(), event["code"].as_str()),
        (Some("error"), Some("project::unknown-reference"))
    );
    assert!(event["place"].as_str().is_some_and(|place| place.starts_with("mlp.yaml:")), "{event}");
}

#[test]
fn what_is_not_a_file_is_refused_quickly_and_without_hanging() {
    let dir = tempfile::tempdir().expect("makes a folder");
    assert!(refused(dir.path(), &["check"], 2).starts_with("error[project::none]"));
    std::fs::create_dir(dir.path().join("mlp.yaml")).expect("makes a folder");
    let said = refused(dir.path(), &["check"], 2);
    assert!(said.contains("error[project::not-a-file]: `mlp.yaml` is a directory"), "{said}");
    std::fs::remove_dir(dir.path().join("mlp.yaml")).expect("removes");
    #[cfg(unix)]
    {
        let pipe = std::process::Command::new("mkfifo").arg(dir.path().join("mlp.yaml")).status();
        assert!(pipe.expect("mkfifo starts").success());
        assert!(refused(dir.path(), &["check"], 2).contains("is not an ordinary file"));
        std::fs::remove_file(dir.path().join("mlp.yaml")).expect("removes");
        std::os::unix::fs::symlink("nowhere", dir.path().join("mlp.yaml")).expect("links");
        assert!(refused(dir.path(), &["check"], 3).starts_with("error[project::io]"));
        std::fs::remove_file(dir.path().join("mlp.yaml")).expect("removes");
    }
    std::fs::write(dir.path().join("mlp.yaml"), vec![b'['; 10 << 20]).expect("writes");
    assert!(refused(dir.path(), &["check"], 2).starts_with("error[project::too-large]"));
}

#[test]
fn a_project_outside_of_git_says_so() {
    let dir = project("command", "research", &[]);
    std::fs::remove_dir_all(dir.path().join(".git")).expect("removes");
    let said = refused(dir.path(), &["runs", "ls"], 2);
    assert!(said.starts_with("error[git::not-a-repository]"), "{said}");
}

#[test]
fn a_network_that_does_not_fit_is_shown_at_its_layer() {
    let dir = project("mnist", "research", &[("      - linear: 10", "      - linear: 11")]);
    let said = String::from_utf8(run(dir.path(), &["check"], 2).stdout).expect("is UTF-8");
    assert!(said.contains("error[train::") && said.contains("--> mlp.yaml:"), "{said}");
    assert!(said.contains("has 1 error"), "{said}");
    let dir = project(
        "mnist",
        "research",
        &[("conv2d: {out: 16, kernel: 3, padding: 1}", "conv2d: {out: 16, kernel: 99}")],
    );
    let said = String::from_utf8(run(dir.path(), &["check"], 2).stdout).expect("is UTF-8");
    assert!(said.contains("kernel: 99") && said.contains("^"), "{said}");
}

#[test]
fn loosening_a_gate_of_the_profile_is_an_error_until_it_is_waived() {
    let floor = "floor: {metric: {name: accuracy, on: test, min: 0.95, bound: lower-95}}";
    let loose = "floor: {metric: {name: accuracy, on: test, min: 0.3, bound: lower-95}}";
    let dir = project("mnist", "product", &[(floor, loose)]);
    let said = String::from_utf8(run(dir.path(), &["check"], 2).stdout).expect("is UTF-8");
    assert!(
        said.contains("error[project::loosened]") && said.contains("min 0.3 is weaker than 0.5"),
        "{said}"
    );

    let waived = |until: &str| {
        format!(
            "\nwaivers:\n  - {{gate: floor, stage: staging, reason: pilot, signer: ada, until: {until}}}\nstages:"
        )
    };
    let dir = project("mnist", "product", &[(floor, loose), ("\nstages:", &waived("2999-12-31"))]);
    ok(dir.path(), &["check"]);
    let dir = project("mnist", "product", &[(floor, loose), ("\nstages:", &waived("2020-01-01"))]);
    let said = String::from_utf8(run(dir.path(), &["check"], 2).stdout).expect("is UTF-8");
    assert!(said.contains("error[project::waiver-expired]"), "{said}");
}

#[test]
fn missing_cards_and_people_are_found() {
    let dir = project("mnist", "product", &[]);
    std::fs::remove_file(dir.path().join("docs/mnist.datacard.md")).expect("removes");
    let said = String::from_utf8(run(dir.path(), &["check"], 2).stdout).expect("is UTF-8");
    assert!(
        said.contains("error[project::missing-file]: the card `docs/mnist.datacard.md` is not there"),
        "{said}"
    );
    assert!(said.contains("warning[project::nobody-to-sign]"), "{said}");

    let dir = project("mnist", "product", &[]);
    ok(dir.path(), &["check"]);
    run(dir.path(), &["check", "--strict"], 2);
    std::fs::write(dir.path().join(".mlp/mlp.schema.json"), "{}").expect("writes");
    assert!(ok(dir.path(), &["check"]).contains("warning[project::old-schema]"));
}

#[test]
fn what_cannot_be_is_found_before_there_are_data() {
    let checked = |changes: &[(&str, &str)], code: i32| {
        let dir = project("mnist", "product", changes);
        let output = run(dir.path(), &["check"], code);
        String::from_utf8_lossy(if code == 0 { &output.stdout } else { &output.stderr }).into_owned()
            + &String::from_utf8_lossy(&output.stdout)
    };
    let floor = "floor: {metric: {name: accuracy, on: test, min: 0.95, bound: lower-95}}";
    let percent = floor.replace("0.95,", "99,");
    let said = checked(&[(floor, &percent)], 2);
    assert!(said.contains("`accuracy` is at most 1") && said.contains("0.97 for 97 of 100"), "{said}");
    let said = checked(&[("      - linear: 10", "      - linear: 0")], 2);
    assert!(said.contains("a layer without outputs"), "{said}");
    let said = checked(&[("\nstages:", "\ntrust: {branch: ../x}\nstages:")], 2);
    assert!(said.contains("cannot be the name of a branch"), "{said}");
    let by = "worst: {slices: {metric: accuracy, min: 0.9, by: corruption}}";
    let said = checked(&[(floor, &format!("{floor}\n      {by}"))], 0);
    assert!(said.contains("warning[project::no-slices]") && said.contains("corruptions:"), "{said}");
}

#[test]
fn a_setting_without_a_meaning_is_found_before_there_are_data_and_so_is_a_broken_signer() {
    let dir = project("tabular", "research", &[("lr: 0.01", "lr: -1")]);
    let said = String::from_utf8(run(dir.path(), &["check"], 2).stdout).expect("is UTF-8");
    assert!(said.contains("error[train::setting]") && said.contains("lr` must be over 0"), "{said}");
    let dir = project("mnist", "product", &[]);
    std::fs::write(dir.path().join(".mlp/allowed_signers"), "# people\nmax ssh-ed25519 AAAA\n")
        .expect("writes");
    let said = ok(dir.path(), &["check"]);
    assert!(said.contains("warning[project::signers]: line 2 of `.mlp/allowed_signers`"), "{said}");
}

#[test]
fn a_reader_that_goes_away_is_not_an_error_and_a_full_disk_is() {
    let dir = project("command", "research", &[]);
    let pipe = |command: &str| {
        std::process::Command::new("sh")
            .args(["-c", command])
            .env("MLP", env!("CARGO_BIN_EXE_mlp"))
            .current_dir(dir.path())
            .output()
            .expect("sh starts")
    };
    let output = pipe(r#""$MLP" schema | head -c 10; "$MLP" explain | true"#);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    if Path::new("/dev/full").exists() {
        let output = pipe(r#""$MLP" schema > /dev/full"#);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.starts_with("error[ui::output]"), "{said}");
    }
}

#[test]
fn colours_are_only_for_terminals() {
    let dir = project("mnist", "research", &[("data: mnist", "data: mnits")]);
    let output = mlp(dir.path()).arg("check").env_remove("NO_COLOR").output().expect("mlp starts");
    assert!(!output.stderr.contains(&0x1b));
    let forced = mlp(dir.path()).arg("check").env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1").output();
    assert!(forced.expect("mlp starts").stderr.contains(&0x1b));
}

#[test]
fn codes_are_explained_and_listed() {
    let dir = tempfile::tempdir().expect("makes a folder");
    assert!(ok(dir.path(), &["explain", "project::none"]).contains("`mlp init .`"));
    assert!(ok(dir.path(), &["explain"]).lines().any(|line| line == "project::none"));
    assert!(
        refused(dir.path(), &["explain", "git::not-a-repositry"], 2)
            .contains("did you mean `git::not-a-repository`?")
    );
}

#[test]
fn a_wrong_command_line_exits_with_2_and_help_with_0() {
    let dir = tempfile::tempdir().expect("makes a folder");
    assert!(refused(dir.path(), &["chekc"], 2).contains("check"));
    assert!(refused(dir.path(), &[], 2).contains("Usage"));
    assert!(ok(dir.path(), &["--help"]).contains("Commands:"));
    assert!(ok(dir.path(), &["--version"]).starts_with("mlp "));
}

#[test]
fn the_project_of_the_guide_is_right() {
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guides/training.md"));
    let guide = guide.expect("reads");
    let blocks = guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let dir = tempfile::tempdir().expect("makes a folder");
    let head = "mlp: 1\nproject: {name: guide, id: 01jd3q0000000000000000000c}\n";
    let text = blocks.fold(head.to_owned(), |text, block| match text.contains("\nmodels:\n") {
        // The models of a later block go on with the same list.
        true => text + block.trim_start_matches("models:\n"),
        false => text + block,
    });
    assert!(text.contains("tiny-transformer"), "{text}");
    std::fs::write(dir.path().join("mlp.yaml"), text).expect("writes");
    std::fs::create_dir(dir.path().join(".git")).expect("makes");
    std::fs::create_dir(dir.path().join("weights")).expect("makes");
    std::fs::write(dir.path().join("weights/resnet18.safetensors"), "").expect("writes");
    let said = ok(dir.path(), &["check"]);
    assert!(said.contains("`guide` is right: 4 datasets, 5 models"), "{said}");
}
