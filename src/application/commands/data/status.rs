//! `mlp data status`.

use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use super::subject::{Counts, Difference, Subject, shown, subjects};
use crate::application::completion;
use crate::application::ui::{Report, Table};
use crate::base::{Digest, Exit, Failure};
use crate::infrastructure::store::StoreError;
use crate::infrastructure::store::worktree::{identify, status};
use crate::platform::data::Pointer;
use crate::platform::project::Project;

/// How many paths of a dataset are listed; `mlp data diff` lists all.
const LISTED: usize = 10;

/// Shows which datasets differ from their pointers.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Datasets or paths; all if none is named.
    #[arg(value_name = "NAME|PATH", add = ArgValueCandidates::new(completion::datasets))]
    names: Vec<String>,
    /// Ask a remote store instead whether it has what the pointers name; exits with 1 if it does not.
    #[arg(long)]
    remote: bool,
    /// With `--remote`: the store, by its name in `stores:`; the first of them if left out.
    #[arg(long, value_name = "NAME", requires = "remote")]
    store: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    if args.remote {
        return super::remote_status::run(&args.names, args.store.as_deref(), context);
    }
    let project = context.project()?;
    let mut told = Told { datasets: Vec::new() };
    for subject in subjects(&args.names, &project, context)? {
        told.datasets.push(look(subject, &project, context)?);
    }
    context.ui.report(&told);
    Ok(Exit::Ok)
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Clean,
    Modified,
    /// What a checkout that was cut off has left.
    Unfinished,
    NotAdded,
    Missing,
    Absent,
    Imported,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Modified => "modified",
            Self::Unfinished => "unfinished",
            Self::NotAdded => "not added",
            Self::Missing => "missing",
            Self::Absent => "absent",
            Self::Imported => "imported, not fetched",
        }
    }
}

fn look(subject: Subject, project: &Project, context: &Context) -> Result<Line, Failure> {
    let is_there = subject.path.exists();
    let mut line = Line {
        name: subject.name.clone(),
        state: State::Clean,
        id: None,
        patterns: None,
        holds: None,
        counts: None,
        changes: Vec::new(),
    };
    if !subject.pointer().exists() {
        line.state = if is_there { State::NotAdded } else { State::Absent };
        return Ok(line);
    }
    let pointer = match subject.read(project, None) {
        Err(failure) if failure.0.code() == "data::unfetched" => {
            line.state = State::Imported;
            return Ok(line);
        }
        pointer => pointer?,
    };
    let root = pointer.root(&project.store)?;
    line.id = Some(root.id);
    let sparse = subject.sparse(project)?;
    line.patterns = sparse.as_ref().map(|sparse| sparse.patterns().to_vec());
    if !is_there {
        line.state = State::Missing;
        return Ok(line);
    }
    let cache = project.cache();
    let wanted = sparse.map_or_else(|| Ok(root.clone()), |sparse| sparse.narrow(&root, &project.store));
    let compared =
        wanted.and_then(|wanted| status(&wanted, &subject.path, &project.store, &cache, &context.ui));
    match compared {
        Ok(changes) if changes.is_empty() => {}
        Ok(changes) => {
            let mut differences: Vec<Difference> = changes.into_iter().map(Difference::from).collect();
            line.state = State::Modified;
            line.counts = Some(Counts::of(&differences));
            differences.truncate(LISTED);
            line.changes = differences;
        }
        // Without the directories of the version there is no telling what changed, but that something did.
        Err(StoreError::Missing(_)) => {
            if identify(&subject.path, &cache, &context.ui)?.root.id != root.id {
                line.state = State::Modified;
            }
        }
        Err(error) => return Err(error.into()),
    }
    if line.state == State::Modified && project.unfinished().has(&subject.in_repository(project)) {
        line.state = State::Unfinished;
    } else if line.state == State::Modified && line.patterns.is_none() {
        line.holds = other_version(&subject, project, context)?;
    }
    Ok(line)
}

/// The version that the work tree holds to the byte, if a commit names it: after `git pull`, before `mlp data pull`.
fn other_version(subject: &Subject, project: &Project, context: &Context) -> Result<Option<Digest>, Failure> {
    let here = identify(&subject.path, &project.cache(), &context.ui)?.root.id;
    let pointer = subject.pointer();
    let name = pointer.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let versions = project.repo.versions(&name)?;
    let named =
        versions.iter().filter_map(|text| Pointer::parse(std::str::from_utf8(text).ok()?, &pointer).ok());
    Ok(named.map(|pointer| pointer.node().id).find(|id| *id == here))
}

#[derive(Serialize)]
struct Told {
    datasets: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    state: State,
    /// The version that the pointer names.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Digest>,
    /// The part of it that this work tree holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    patterns: Option<Vec<String>>,
    /// Another version that git's history names and that the work tree holds to the byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<Digest>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    counts: Option<Counts>,
    /// Some of the differences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Difference>,
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/data-status/1"
    }

    fn human(&self) -> String {
        if self.datasets.is_empty() {
            return "no datasets\n".to_owned();
        }
        let mut text = String::new();
        let mut table = Table::new(["DATASET", "VERSION", "STATE", ""]);
        for line in &self.datasets {
            let name = shown(&line.name);
            let note = match line.state {
                State::Clean => match &line.patterns {
                    Some(patterns) => format!("of the part {}", shown(&patterns.join(" "))),
                    None => String::new(),
                },
                State::Modified if let Some(id) = line.holds => format!(
                    "the files are those of version {}: `mlp data pull {name}` brings this one, `mlp data add {name}` goes back",
                    id.short()
                ),
                State::Modified => match &line.counts {
                    Some(counts) => format!(
                        "{}: `mlp data add {name}` keeps, `mlp data checkout {name} --force` undoes",
                        counts.human()
                    ),
                    None => {
                        format!("not all of the version is here: `mlp data fetch {name}` shows what differs")
                    }
                },
                State::Unfinished => {
                    format!("the last checkout was cut off: `mlp data checkout {name}` goes on")
                }
                State::NotAdded => format!("`mlp data add {name}`"),
                State::Missing => format!("`mlp data checkout {name}`"),
                State::Absent => format!("`mlp data download {name}`"),
                State::Imported => format!("`mlp data pull {name}`"),
            };
            let id = line.id.map_or_else(|| "-".to_owned(), |id| id.short());
            table.row([name, id, line.state.word().to_owned(), note]);
        }
        text.push_str(&table.render());
        for line in self.datasets.iter().filter(|line| !line.changes.is_empty()) {
            text.push_str(&format!("\n{}\n", shown(&line.name)));
            line.changes.iter().for_each(|change| text.push_str(&format!("  {}", change.line())));
            let total =
                line.counts.as_ref().map_or(0, |counts| counts.added + counts.modified + counts.removed);
            let more = total.saturating_sub(line.changes.len() as u64);
            if more > 0 {
                text.push_str(&format!("  … and {more} more: `mlp data diff {}`\n", shown(&line.name)));
            }
        }
        text
    }
}
