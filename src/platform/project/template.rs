//! Templates: projects to begin with, embedded in the program.

use super::{CiPlatform, CiSubject, Following, Profile, ProjectError, ci_files, schema};
use crate::base::{Id, Name, nearest};

/// A project to begin with.
#[derive(Debug)]
pub struct Template {
    /// What `--template` calls it.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Dataset and model it begins with, if it has them.
    subject: Option<(&'static str, &'static str)>,
    /// Whether the files for CI and the charter belong to it.
    whole: bool,
    gitignore: &'static str,
    /// Paths and texts of what it has besides the common files.
    files: &'static [(&'static str, &'static str)],
    /// The commands to type next.
    pub next: &'static [&'static str],
}

macro_rules! text {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/", $path))
    };
}

pub(super) use text;

/// All templates, the default one first.
pub const TEMPLATES: &[Template] = &[
    Template {
        name: "mnist",
        about: "handwritten digits with a small convolutional network; needs no data of your own",
        subject: Some(("mnist", "digits")),
        whole: true,
        gitignore: text!("common/gitignore"),
        files: &[("README.md", text!("mnist/README.md")), ("mlp.yaml", text!("mnist/mlp.yaml"))],
        next: &[
            "mlp data download mnist",
            "mlp data add mnist",
            "git add -A && git commit -m \"begin\"",
            "mlp train digits",
            "mlp promote digits --to staging",
            "mlp status",
        ],
    },
    Template {
        name: "image-classifier",
        about: "your own images, one folder of PNG or JPEG files per class",
        subject: Some(("images", "classifier")),
        whole: true,
        gitignore: text!("common/gitignore"),
        files: &[
            ("README.md", text!("image-classifier/README.md")),
            ("mlp.yaml", text!("image-classifier/mlp.yaml")),
        ],
        next: &[
            "put your images into data/images/CLASS/ and the number of classes into mlp.yaml",
            "mlp data add images",
            "git add -A && git commit -m \"begin\"",
            "mlp train classifier",
            "mlp status",
        ],
    },
    Template {
        name: "tabular",
        about: "a CSV file: predict one column from the others",
        subject: Some(("table", "predictor")),
        whole: true,
        gitignore: text!("common/gitignore"),
        files: &[
            ("README.md", text!("tabular/README.md")),
            ("make-table.sh", text!("tabular/make-table.sh")),
            ("mlp.yaml", text!("tabular/mlp.yaml")),
        ],
        next: &[
            "sh make-table.sh",
            "mlp data add table",
            "git add -A && git commit -m \"begin\"",
            "mlp train predictor",
            "mlp status",
        ],
    },
    Template {
        name: "text-classifier",
        about: "sentences by topic, from their letters; needs no data of your own",
        subject: Some(("sentences", "classifier")),
        whole: true,
        gitignore: text!("text-classifier/gitignore"),
        files: &[
            ("README.md", text!("text-classifier/README.md")),
            ("make-sentences.sh", text!("text-classifier/make-sentences.sh")),
            ("mlp.yaml", text!("text-classifier/mlp.yaml")),
        ],
        next: &[
            "sh make-sentences.sh",
            "mlp data add sentences",
            "git add -A && git commit -m \"begin\"",
            "mlp train",
            "mlp status",
        ],
    },
    Template {
        name: "candle-crate",
        about: "a model written by hand in Rust with candle; mlp is the library around it",
        subject: None,
        whole: true,
        gitignore: text!("candle-crate/gitignore"),
        files: &[
            ("README.md", text!("candle-crate/README.md")),
            ("Cargo.toml", text!("candle-crate/crate.toml")),
            ("src/main.rs", text!("candle-crate/src/main.rs")),
            ("make-spirals.sh", text!("candle-crate/make-spirals.sh")),
            ("mlp.yaml", text!("candle-crate/mlp.yaml")),
        ],
        next: &[
            "say in Cargo.toml where the source of mlp is",
            "sh make-spirals.sh",
            "mlp data add spirals",
            "git add -A && git commit -m \"begin\"",
            "mlp run",
            "mlp runs show network",
        ],
    },
    Template {
        name: "command",
        about: "steps in any language, joined by lines of JSON; the example is shell and awk",
        subject: None,
        whole: true,
        gitignore: text!("command/gitignore"),
        files: &[
            ("README.md", text!("command/README.md")),
            ("prepare.sh", text!("command/prepare.sh")),
            ("train.sh", text!("command/train.sh")),
            ("mlp.yaml", text!("command/mlp.yaml")),
        ],
        next: &["git add -A && git commit -m \"begin\"", "mlp run", "mlp runs ls"],
    },
    Template {
        name: "empty",
        about: "the project file alone, for a repository that is there already",
        subject: None,
        whole: false,
        gitignore: text!("empty/gitignore"),
        files: &[("mlp.yaml", text!("empty/mlp.yaml"))],
        next: &["mlp data add PATH", "git add -A && git commit -m \"begin\""],
    },
];

impl Template {
    /// The template `name`, or an error that says what is near.
    pub fn find(name: &str) -> Result<&'static Self, ProjectError> {
        TEMPLATES.iter().find(|template| template.name == name).ok_or_else(|| {
            let hint = match nearest(name, TEMPLATES.iter().map(|template| template.name)) {
                Some(near) => format!("did you mean `{near}`? `mlp init --list` shows all"),
                None => "`mlp init --list` shows all".to_owned(),
            };
            ProjectError::UnknownTemplate { name: name.escape_debug().to_string(), hint }
        })
    }

    /// Paths and texts of all files, `mlp.yaml` last: where it is, the rest is there too.
    pub(super) fn files(&self, name: &Name, profile: Profile) -> Vec<(String, String)> {
        let id = Id::new().to_string();
        let (data, model) = self.subject.unwrap_or_default();
        let fill = |text: &str| {
            text.replace("@NAME@", name.as_str())
                .replace("@ID@", &id)
                .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
                .replace("@PROFILE@", &Following::newest(profile).to_string())
                .replace("@DATA@", data)
                .replace("@MODEL@", model)
        };
        let mut files = vec![
            (".gitignore".to_owned(), fill(self.gitignore)),
            (".gitattributes".to_owned(), fill(text!("common/gitattributes"))),
            (".mlp/allowed_signers".to_owned(), fill(text!("common/allowed_signers"))),
            (".mlp/mlp.schema.json".to_owned(), schema::text(schema::Kind::Manifest)),
        ];
        if self.whole {
            let models = self.subject.iter().filter_map(|(_, model)| model.parse().ok()).collect();
            let subject = CiSubject::template(models);
            for (path, text) in
                [CiPlatform::Github, CiPlatform::Gitlab].into_iter().flat_map(|on| ci_files(on, &subject))
            {
                if !files.iter().any(|(other, _)| *other == path) {
                    files.push((path, text));
                }
            }
            files.push(("docs/charter.md".to_owned(), fill(text!("common/charter.md"))));
        }
        if self.subject.is_some() {
            files.push((format!("docs/{data}.datacard.md"), fill(text!("common/datacard.md"))));
            files.push((format!("docs/{model}.modelcard.md"), fill(text!("common/modelcard.md"))));
        }
        files.extend(self.files.iter().map(|(path, text)| ((*path).to_owned(), fill(text))));
        files
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Project;
    use super::*;

    fn name() -> Name {
        "a-project".parse().expect("a name")
    }

    #[test]
    fn every_template_is_a_right_project_in_every_profile() {
        for template in TEMPLATES {
            for profile in Profile::ALL {
                let files = template.files(&name(), profile);
                let (path, text) = files.last().expect("has files");
                assert_eq!(path, "mlp.yaml");
                let manifest = Project::parse(text.clone().into_bytes(), Path::new(path))
                    .unwrap_or_else(|error| panic!("{}: {error:?}", template.name));
                let followed = Following::newest(profile);
                assert_eq!((manifest.project.name, manifest.project.profile), (name(), followed));
                assert_eq!(
                    Project::loosened(
                        &Project::parse(text.clone().into_bytes(), Path::new(path)).expect("reads"),
                        crate::base::Time::now()
                    ),
                    []
                );
                assert!(text.starts_with("# yaml-language-server: $schema=.mlp/mlp.schema.json\n"), "{path}");
            }
        }
    }

    #[test]
    fn no_placeholder_stays_and_no_file_is_there_twice() {
        for template in TEMPLATES {
            let files = template.files(&name(), Profile::Product);
            let mut paths: Vec<&String> = files.iter().map(|(path, _)| path).collect();
            paths.sort();
            let all = paths.len();
            paths.dedup();
            assert_eq!(paths.len(), all);
            for (path, text) in &files {
                let placeholder = |word: &str| {
                    word.len() > 2
                        && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
                        && text.contains(&format!("@{word}@"))
                };
                assert!(!text.split('@').any(placeholder), "{}: {path}", template.name);
                assert!(text.ends_with('\n'), "{}: {path}", template.name);
            }
        }
    }

    #[test]
    fn cutting_a_template_at_any_byte_gives_an_answer_and_no_panic() {
        for template in TEMPLATES {
            let (_, text) = template.files(&name(), Profile::Research).pop().expect("has files");
            for end in 0..text.len() {
                if let Err(error) = Project::parse(text.as_bytes()[..end].to_vec(), Path::new("mlp.yaml")) {
                    let ProjectError::Mistake(mistake) = error else { panic!("{error}") };
                    assert!(mistake.label.is_some(), "{}: cut at {end}: {mistake}", template.name);
                }
            }
        }
    }

    #[test]
    fn an_unknown_template_names_the_near_one() {
        let error = Template::find("minst").expect_err("is unknown");
        assert!(crate::base::Diagnose::hint(&error).is_some_and(|hint| hint.contains("`mnist`")));
    }
}
