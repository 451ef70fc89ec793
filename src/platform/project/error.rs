//! What can go wrong with a project and its file.

use std::path::PathBuf;

use crate::base::{Diagnose, Exit, Explain, Label};

/// What can go wrong with a project.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// No `mlp.yaml` here or above.
    #[error("no `mlp.yaml` in `{0}` or above it")]
    NoProject(PathBuf),
    /// The folder to work in is not there.
    #[error("cannot work in `{path}`: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the project cannot be read or written.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A mistake in `mlp.yaml`.
    #[error(transparent)]
    Mistake(Box<Mistake>),
    /// Entries that only the author of `mlp.yaml` can add to it.
    #[error(
        "`{section}:` in `mlp.yaml` is not written as a block of lines, so that nothing can be added to it"
    )]
    Amend {
        /// The section.
        section: String,
        /// The lines to add.
        entries: String,
    },
    /// A name on the command line that `mlp.yaml` does not have.
    #[error("no {kind} `{name}` in `mlp.yaml`")]
    Unknown {
        /// `dataset`, `model`, …
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// What to do next.
        hint: String,
    },
    /// A host that neither the project nor the user knows.
    #[error("no host `{name}` in `mlp.yaml` or among your own")]
    UnknownHost {
        /// What was asked for.
        name: String,
        /// What to do next.
        hint: String,
    },
    /// A name that is none.
    #[error("{0}")]
    Name(crate::base::NameError),
    /// A template that there is not.
    #[error("no template `{name}`")]
    UnknownTemplate {
        /// What was asked for.
        name: String,
        /// What to do next.
        hint: String,
    },
    /// A profile that there is not, or that cannot be written into `mlp.yaml`.
    #[error("{why}")]
    Profile {
        /// Why.
        why: String,
    },
    /// The trust branch has no `mlp.yaml`.
    #[error("`{rev}` has no `{path}`, and gates are read from there")]
    NoTrust {
        /// The revision.
        rev: String,
        /// The file.
        path: String,
    },
}

/// A mistake in `mlp.yaml`, with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Mistake {
    /// The code, one of those in [`EXPLAIN`].
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Where.
    pub label: Option<Label>,
}

impl From<Mistake> for ProjectError {
    fn from(mistake: Mistake) -> Self {
        Self::Mistake(Box::new(mistake))
    }
}

impl Diagnose for ProjectError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoProject(_) => "project::none",
            Self::Folder { .. } => "project::folder",
            Self::Io { .. } => "project::io",
            Self::Mistake(mistake) => mistake.code,
            Self::Profile { .. } => "project::profile",
            Self::Unknown { .. } | Self::UnknownHost { .. } => "project::unknown-name",
            Self::Amend { .. } => "project::amend",
            Self::Name(_) => "project::name",
            Self::UnknownTemplate { .. } => "project::unknown-template",
            Self::NoTrust { .. } => "project::no-trust",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Io { .. } => Exit::World,
            _ => Exit::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoProject(_) => {
                Some("`mlp init .` makes a project here, `mlp init NAME` in a new folder".to_owned())
            }
            Self::Folder { .. } => Some("name an existing folder with `-C`".to_owned()),
            Self::Io { .. } => {
                Some("see to the file's permissions and the disk, then run the command again".to_owned())
            }
            Self::Mistake(mistake) => mistake.hint.clone(),
            Self::Profile { .. } => Some("`mlp lifecycle show PROFILE` prints one".to_owned()),
            Self::Unknown { hint, .. }
            | Self::UnknownHost { hint, .. }
            | Self::UnknownTemplate { hint, .. } => Some(hint.clone()),
            Self::Amend { section, entries } => {
                Some(format!("write these lines below `{section}:` and run the command again\n{entries}"))
            }
            Self::Name(_) => Some(
                "`mlp init digits` makes a project in the folder `digits`, `mlp init .` in this one"
                    .to_owned(),
            ),
            Self::NoTrust { rev, .. } => Some(format!(
                "commit `mlp.yaml` and bring it to `{}`, then run the command again",
                rev.strip_prefix("origin/").unwrap_or(rev)
            )),
        }
    }

    fn label(&self) -> Option<Label> {
        match self {
            Self::Mistake(mistake) => mistake.label.clone(),
            _ => None,
        }
    }
}

/// Explanations of the codes.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "project::none",
        text: "Commands look for `mlp.yaml` in the folder they are started in (or that `-C` names) and above it, up to \
               the root of the git repository. There is none. `mlp init .` makes a project in the folder you are in.",
    },
    Explain {
        code: "project::folder",
        text: "The folder that the command should work in does not exist or cannot be entered. `-C DIR` names it.",
    },
    Explain {
        code: "project::io",
        text: "A file of the project could not be read or written: the system's message says why. Nothing that existed \
               before was changed; once the cause is gone the command can be run again.",
    },
    Explain {
        code: "project::profile",
        text: "A profile is one of research, product, regulated and student, in one of its versions: `product@2`; `product` alone is the \
               first version in mlp.yaml. `mlp lifecycle update` replaces the value of `profile:` in mlp.yaml as text, which must \
               name one, and changes nothing else.",
    },
    Explain {
        code: "project::not-a-file",
        text: "There is something named `mlp.yaml` that is not an ordinary file, such as a directory or a pipe. Move it \
               away, or name another project with `-C DIR`.",
    },
    Explain {
        code: "project::too-large",
        text: "`mlp.yaml` is over 1 MiB, nests deeper than 64 levels, or unfolds to very much more than is written \
               (aliases of aliases). It is a file for people; whatever made it that large belongs elsewhere, such as in \
               a data file or a step's parameters.",
    },
    Explain {
        code: "project::encoding",
        text: "`mlp.yaml` must be plain UTF-8 without a byte order mark and without control characters. Save it as \
               `UTF-8`, not as `UTF-8 with BOM` or `UTF-16`.",
    },
    Explain {
        code: "project::empty",
        text: "`mlp.yaml` holds nothing but comments and blanks. `mlp init --list` shows templates to begin with; the \
               smallest file has `mlp: 1` and `project: {name: …, id: …}`.",
    },
    Explain {
        code: "project::tab",
        text: "YAML indents with spaces only; a tab at the beginning of a line is not allowed. Let the editor insert \
               spaces.",
    },
    Explain {
        code: "project::syntax",
        text: "The text is not valid YAML at the marked place. The cause often stands a little before it: a bracket or \
               quote that is not closed, a colon without a space behind it, a line indented too far or not far enough. \
               Aliases must name an anchor that stands before them, and the file holds exactly one document.",
    },
    Explain {
        code: "project::duplicate-key",
        text: "A key stands twice in the same mapping. YAML would keep only one of them, silently; mlp asks which.",
    },
    Explain {
        code: "project::unknown-key",
        text: "The key is not known at this place. Every key is checked, because a misspelt `gates:` would switch off \
               the gates. docs/reference/mlp-yaml.md lists the keys; an editor that knows `.mlp/mlp.schema.json` offers \
               them while you type.",
    },
    Explain {
        code: "project::unknown-value",
        text: "The value, or the name of a layer, gate or optimiser, is not one of those that are known at this place.",
    },
    Explain {
        code: "project::missing-key",
        text: "A mapping lacks a key that it must have. docs/reference/mlp-yaml.md says which keys are optional, and with \
               which default.",
    },
    Explain {
        code: "project::wrong-type",
        text: "The value has another type than its key wants: a text where a number belongs, a list where a mapping \
               belongs, a negative number where only positive ones make sense.",
    },
    Explain {
        code: "project::invalid-value",
        text: "The value has the right type but makes no sense at this place: a share over 1, a path that leaves the \
               project, a gate without a bound, a date that is none.",
    },
    Explain {
        code: "project::unknown-reference",
        text: "A name refers to something that `mlp.yaml` does not have: a model's dataset, a gate's dataset, stage, \
               metric or role, a waiver's gate. References are checked before any command runs.",
    },
    Explain {
        code: "project::version",
        text: "`mlp:` is the version of the file's format. This version of mlp knows version 1.",
    },
    Explain {
        code: "project::loosened",
        text: "A gate has the name of one of the profile's gates but asks for less: a lower bound, another metric or \
               dataset, fewer people, another kind of gate. Until a waiver (gate, stage, reason, signer, until) covers \
               that, the profile's gate stays in force.",
    },
    Explain {
        code: "project::waiver-expired",
        text: "A waiver held until the day it names. After that the gate it suspended counts again, and where the project's \
               asks for less than the profile's, the profile's does: remove the waiver or have it renewed.",
    },
    Explain {
        code: "project::missing-file",
        text: "`mlp.yaml` names a file that is not there, such as a data card or model card, or a gate asks for a card that \
               the model does not name.",
    },
    Explain {
        code: "project::old-schema",
        text: "`.mlp/mlp.schema.json` is what an editor completes and checks `mlp.yaml` with. It was written by another \
               version of mlp; `mlp schema > .mlp/mlp.schema.json` writes that of this one.",
    },
    Explain {
        code: "project::nobody-to-sign",
        text: "A gate asks for approvals by a role, and too few people have it and a key: `project.roles` names principals by \
               role, and the file that `trust.signers` names holds their keys. Until then the gate cannot be passed.",
    },
    Explain {
        code: "project::signers",
        text: "A line of the file that `trust.signers` names is not one that `ssh-keygen` reads (ALLOWED SIGNERS in ssh-keygen(1)): \
               principals, options if any, the type of the key, the key. Such a line is passed over, and its signer cannot sign.",
    },
    Explain {
        code: "project::no-slices",
        text: "A gate compares groups of examples, and the model's `evaluate:` does not make them, so that the gate stays unknown: \
               `evaluate: {slices: {by: label}}` makes one for each class, `corruptions:` one for each corruption and severity.",
    },
    Explain {
        code: "project::unknown-name",
        text: "The command line names a model, dataset, step or stage that `mlp.yaml` does not have.",
    },
    Explain {
        code: "project::amend",
        text: "A command has entries for a section of mlp.yaml, which is written in one line (`{…}`) or with an anchor. Only lines are ever \
               inserted into the file: write the section as a block, one entry below the other, or add the entries yourself.",
    },
    Explain {
        code: "project::name",
        text: "`mlp init NAME` makes a folder of that name and writes the name into `mlp.yaml`, so it has to be one: 1 to 63 \
               letters, digits, `_` or `-`, beginning with a letter or digit. `-C DIR` says where the folder is made.",
    },
    Explain {
        code: "project::unknown-template",
        text: "`--template` names a template that this version of mlp does not have. `mlp init --list` shows those it has.",
    },
    Explain {
        code: "project::no-trust",
        text: "Gates, stages, roles and waivers are read from the trust branch (`trust: {branch: main}`), as the remote \
               `origin` has it or, without a remote, as it is here, so that a change of the gates is reviewed before it \
               counts. That branch does not have the file yet: commit it and bring it there.",
    },
];
