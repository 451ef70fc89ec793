//! `mlp init`: templates become projects that check; what is there stays.

use std::path::Path;

use serde_json::Value;

use crate::support::{ok, refused};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("makes a folder")
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path.as_ref())
        .unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// Templates whose work is a step.
const OF_STEPS: [&str; 2] = ["candle-crate", "command"];

/// Those that make a whole project; `empty` makes the project file alone.
const TEMPLATES: [&str; 6] =
    ["mnist", "image-classifier", "tabular", "text-classifier", "candle-crate", "command"];

#[test]
fn every_template_becomes_a_git_repository_that_checks_in_every_profile() {
    for template in TEMPLATES {
        for profile in ["research", "product", "regulated", "student"] {
            let dir = folder();
            let said = ok(dir.path(), &["init", "first", "--template", template, "--profile", profile]);
            assert!(said.contains("next:\n  cd first\n"), "{said}");
            let project = dir.path().join("first");
            for file in [
                ".git/HEAD",
                ".gitignore",
                ".gitattributes",
                "mlp.yaml",
                "README.md",
                "docs/charter.md",
                ".mlp/allowed_signers",
                ".mlp/mlp.schema.json",
                ".github/workflows/mlp.yml",
                ".gitlab-ci.yml",
            ] {
                assert!(project.join(file).is_file(), "{template} lacks {file}");
            }
            let checked: Value = serde_json::from_str(&ok(&project, &["check", "--json"])).expect("is JSON");
            assert_eq!(
                (checked["schema"].as_str(), checked["errors"].as_u64()),
                (Some("mlp/check/1"), Some(0))
            );
            assert_eq!(checked["profile"].as_str(), Some(profile));
        }
    }
}

#[test]
fn a_repository_that_is_there_gets_the_project_file_and_little_else() {
    let dir = folder();
    std::fs::write(dir.path().join("README.md"), "mine").expect("writes");
    ok(dir.path(), &["init", ".", "-t", "empty"]);
    ok(dir.path(), &["check"]);
    assert_eq!(read(dir.path().join("README.md")), "mine");
    assert!(!dir.path().join(".github").exists() && !dir.path().join("docs").exists());
}

#[test]
fn the_ci_files_are_yaml_and_run_the_check() {
    for template in TEMPLATES {
        let dir = folder();
        ok(dir.path(), &["init", "first", "-t", template]);
        for file in [".github/workflows/mlp.yml", ".gitlab-ci.yml"] {
            let text = read(dir.path().join("first").join(file));
            let yaml: Value =
                serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{template} {file}: {error}"));
            assert!(yaml.is_object() && text.contains("mlp check"), "{template} {file}");
            assert_eq!(text.contains("mlp gate check"), !OF_STEPS.contains(&template), "{template} {file}");
        }
    }
}

#[test]
fn two_projects_never_share_an_identifier() {
    let dir = folder();
    let id = |name: &str| {
        ok(dir.path(), &["init", name]);
        let text = read(dir.path().join(name).join("mlp.yaml"));
        text.lines().find(|line| line.contains("id: ")).expect("has an id").to_owned()
    };
    assert_ne!(id("one"), id("two"));
}

#[test]
fn a_second_run_says_what_exists_and_changes_nothing() {
    let dir = folder();
    ok(dir.path(), &["init", "first"]);
    let project = dir.path().join("first");
    std::fs::write(project.join("README.md"), "mine\n").expect("writes");
    std::fs::remove_file(project.join("docs/charter.md")).expect("removes");
    let before = read(project.join("mlp.yaml"));
    let said = ok(dir.path(), &["init", "first", "--template", "command"]);
    assert!(said.contains("is a project already") && said.contains("  README.md\n"), "{said}");
    assert_eq!((read(project.join("mlp.yaml")), read(project.join("README.md"))), (before, "mine\n".into()));
    assert!(!project.join("docs/charter.md").exists() && !project.join("train.sh").exists());
}

#[test]
fn an_existing_repository_becomes_a_project_and_keeps_its_files() {
    let dir = folder();
    let project = dir.path().join("My work");
    std::fs::create_dir(&project).expect("makes a folder");
    let git = std::process::Command::new("git").args(["init", "-q"]).current_dir(&project).status();
    assert!(git.expect("git starts").success());
    std::fs::write(project.join("README.md"), "mine\n").expect("writes");
    let said = ok(&project, &["init", "."]);
    assert!(said.contains("1 file there already") && said.contains("project `My-work`"), "{said}");
    assert_eq!(read(project.join("README.md")), "mine\n");
    ok(&project, &["check"]);
    // A folder below it finds the project too.
    std::fs::create_dir(project.join("sub")).expect("makes a folder");
    ok(&project.join("sub"), &["check"]);
}

#[test]
fn a_dry_run_makes_nothing() {
    let dir = folder();
    let said = ok(dir.path(), &["init", "first", "--dry-run"]);
    assert!(said.contains("would make") && said.contains("mlp.yaml"), "{said}");
    assert!(!dir.path().join("first").exists());
}

#[test]
fn hostile_names_are_refused() {
    let dir = folder();
    for name in ["..", "../out", "a/b", "a b", "", ".git", "\u{1b}[2J", &"x".repeat(64), "é"] {
        let said = refused(dir.path(), &["init", name], 2);
        assert!(said.starts_with("error[project::name]"), "{name:?}: {said}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
    assert!(refused(dir.path(), &["init", "-rf"], 2).contains("unexpected argument"));
    std::fs::write(dir.path().join("taken"), "").expect("writes");
    assert!(refused(dir.path(), &["init", "taken"], 2).starts_with("error[project::folder]"));
    assert!(refused(dir.path(), &["-C", "nowhere", "init", "x"], 2).starts_with("error[project::folder]"));
    let said = refused(dir.path(), &["init", "x", "--template", "minst"], 2);
    assert!(said.contains("did you mean `mnist`?"), "{said}");
    assert!(refused(dir.path(), &["init"], 2).contains("NAME"));
}

#[test]
fn the_templates_are_listed() {
    let dir = folder();
    let listed = ok(dir.path(), &["init", "--list"]);
    assert_eq!(
        listed.lines().filter_map(|line| line.split_whitespace().next()).collect::<Vec<_>>(),
        [&TEMPLATES[..], &["empty"]].concat()
    );
    let json: Value = serde_json::from_str(&ok(dir.path(), &["init", "--list", "--json"])).expect("is JSON");
    assert_eq!(json["templates"][0]["name"], "mnist");
}

#[test]
fn the_scripts_of_the_templates_run_with_the_systems_shell_alone() {
    let dir = folder();
    ok(dir.path(), &["init", "first", "-t", "command"]);
    let project = dir.path().join("first");
    let sh = |script: &str, params: &str| {
        std::fs::write(dir.path().join("params.json"), params).expect("writes");
        let status = std::process::Command::new("sh")
            .arg(script)
            .current_dir(&project)
            .env("MLP_PARAMS", dir.path().join("params.json"))
            .env("MLP_EVENTS", dir.path().join("events.jsonl"))
            .status();
        assert!(status.expect("sh starts").success(), "{script}");
    };
    sh("prepare.sh", r#"{"points":200,"noise":0.1}"#);
    sh("train.sh", "{\n  \"epochs\": 5,\n  \"rate\": 0.1\n}\n");
    let line: Value = serde_json::from_str(&read(project.join("build/model/line.json"))).expect("is JSON");
    let slope = line["slope"].as_f64().expect("is a number");
    assert!((slope - 2.0).abs() < 0.2, "{line}");
    let events: Vec<mlp::base::Event> = read(dir.path().join("events.jsonl"))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    assert_eq!(events.len(), 10);

    ok(dir.path(), &["init", "second", "-t", "tabular"]);
    let status =
        std::process::Command::new("sh").arg("make-table.sh").current_dir(dir.path().join("second")).status();
    assert!(status.expect("sh starts").success());
    let table = read(dir.path().join("second/data/table.csv"));
    assert_eq!(table.lines().count(), 601);
    assert!(table.starts_with("bill_mm,flipper_mm,mass_g,island,species\n"), "{table}");
}

/// Commits all of a project.
fn git(project: &Path) {
    for args in [&["add", "-A"][..], &["commit", "-qm", "begin"]] {
        let command = std::process::Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(args)
            .current_dir(project)
            .status();
        assert!(command.expect("git starts").success());
    }
}

#[test]
fn every_template_is_planned_once_its_data_are_there() {
    for template in TEMPLATES {
        let dir = folder();
        ok(dir.path(), &["init", "first", "-t", template]);
        let project = dir.path().join("first");
        match template {
            "mnist" => {
                // As the template, with fewer digits: the plan is the same but for the data.
                let text = read(project.join("mlp.yaml"));
                assert!(text.contains("{train: 12000, test: 2000, seed: 1}"));
                let fewer =
                    text.replace("{train: 12000, test: 2000, seed: 1}", "{train: 100, test: 20, seed: 1}");
                std::fs::write(project.join("mlp.yaml"), fewer).expect("writes");
                ok(&project, &["data", "download", "mnist"]);
                ok(&project, &["data", "add", "mnist"]);
            }
            "image-classifier" => {
                for (class, shade) in [("dark", 20_u8), ("light", 200)] {
                    let class = project.join("data/images").join(class);
                    std::fs::create_dir_all(&class).expect("makes a folder");
                    for i in 0..12 {
                        let image = image::RgbImage::from_pixel(8, 8, image::Rgb([shade + i, shade, i]));
                        image.save(class.join(format!("{i}.png"))).expect("writes an image");
                    }
                }
                ok(&project, &["data", "add", "images"]);
            }
            "tabular" => {
                let status =
                    std::process::Command::new("sh").arg("make-table.sh").current_dir(&project).status();
                assert!(status.expect("sh starts").success());
                ok(&project, &["data", "add", "table"]);
            }
            "text-classifier" => {
                let status =
                    std::process::Command::new("sh").arg("make-sentences.sh").current_dir(&project).status();
                assert!(status.expect("sh starts").success());
                ok(&project, &["data", "add", "sentences"]);
            }
            "candle-crate" => {
                let status =
                    std::process::Command::new("sh").arg("make-spirals.sh").current_dir(&project).status();
                assert!(status.expect("sh starts").success());
                ok(&project, &["data", "add", "spirals"]);
            }
            _ => {}
        }
        git(&project);
        // Data stay out of git, their pointers do not.
        let tracked =
            std::process::Command::new("git").args(["ls-files", "data"]).current_dir(&project).output();
        let tracked = String::from_utf8(tracked.expect("git starts").stdout).expect("is UTF-8");
        assert!(tracked.lines().all(|path| path.ends_with(".mlp")), "{template}: {tracked}");
        let pointers = match template {
            "command" => 0,
            _ => 1,
        };
        assert_eq!(tracked.lines().count(), pointers, "{template}");
        let of_steps = OF_STEPS.contains(&template);
        let plan = ok(&project, &[if of_steps { "run" } else { "train" }, "--dry-run"]);
        let wanted = if of_steps { "would run" } else { "plan b3:" };
        assert!(plan.contains(wanted), "{template}: {plan}");
        assert!(ok(&project, &["check"]).contains("is right"), "{template}");
    }
}

#[test]
fn the_text_classifier_learns_its_topics() {
    let dir = folder();
    ok(dir.path(), &["init", "topics", "-t", "text-classifier"]);
    let project = dir.path().join("topics");
    let status = std::process::Command::new("sh").arg("make-sentences.sh").current_dir(&project).status();
    assert!(status.expect("sh starts").success());
    ok(&project, &["data", "add", "sentences"]);
    git(&project);
    ok(&project, &["train"]);
    let evaluated: Value = serde_json::from_str(&ok(&project, &["eval", "--json"])).expect("is JSON");
    assert!(evaluated["metrics"]["accuracy"]["lower"].as_f64() > Some(0.8), "{evaluated}");
    ok(&project, &["model", "register", "classifier"]);
    std::fs::write(project.join("new.txt"), "storm and rain with wind again\n").expect("writes");
    let said = ok(&project, &["predict", "classifier", "new.txt"]);
    assert!(said.contains("weather"), "{said}");
}
