//! What the shell offers while a command line is typed. Quick, and silent about whatever goes wrong.
//!
//! [`attach`] says which argument names what, so that commands need not know of it; they may add these lists themselves.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};

use super::elsewhere::ANY;
use crate::base::{Id, Name, Time, plural};
use crate::infrastructure::compute::HostSpec;
use crate::infrastructure::git::Repo;
use crate::platform::model::StageSpec;
use crate::platform::project::{self, Manifest, Profile, Project, TEMPLATES};

/// How many runs are offered, the newest first.
const RUNS: usize = 50;

/// Tells the arguments of all commands what they name.
pub(crate) fn attach(command: Command) -> Command {
    command.mut_subcommands(|command| {
        let verb = command.get_name().to_owned();
        inner(command, &verb)
    })
}

/// As [`attach`], for a command below the verb.
fn inner(command: Command, verb: &str) -> Command {
    let command = command.mut_subcommands(|below| inner(below, verb));
    command.mut_args(|arg| {
        let candidates: fn() -> Vec<CompletionCandidate> = match (verb, arg.get_id().as_str()) {
            ("init", "template") => templates,
            ("init", "profile") => profiles,
            ("explain", "code") => codes,
            ("train" | "run" | "reproduce", "on") => return arg.add(ArgValueCompleter::new(places)),
            ("host", "host" | "hosts") | ("attach" | "fetch" | "sweep", "on") => hosts,
            (_, "store") => stores,
            (_, "to" | "stage") => stages,
            ("data", "name" | "names" | "place") => datasets,
            ("train", "models") | ("sweep", "model") => models,
            ("run", "steps") | ("runs", "name") => tasks,
            ("runs", "run" | "runs" | "first" | "second")
            | ("eval" | "model" | "promote" | "reproduce", "run") => runs,
            ("model" | "gate" | "approve" | "promote" | "rollback" | "status", "model")
            | (_, "reference")
            | ("serve", "shadow" | "canary") => {
                return arg.add(ArgValueCompleter::new(references));
            }
            _ => return arg,
        };
        arg.add(ArgValueCandidates::new(candidates))
    })
}

/// Names of templates, with what they are.
pub(crate) fn templates() -> Vec<CompletionCandidate> {
    TEMPLATES
        .iter()
        .map(|template| CompletionCandidate::new(template.name).help(Some(template.about.into())))
        .collect()
}

/// Names of profiles.
pub(crate) fn profiles() -> Vec<CompletionCandidate> {
    Profile::ALL.into_iter().map(|profile| CompletionCandidate::new(profile.as_str())).collect()
}

/// Names of models.
pub(crate) fn models() -> Vec<CompletionCandidate> {
    names(|manifest| {
        manifest
            .models
            .keys()
            .map(|name| (name.to_string(), format!("of {}", manifest.models[name].data)))
            .collect()
    })
}

/// Names of hosts, with what ssh is given.
pub(crate) fn hosts() -> Vec<CompletionCandidate> {
    let own = project::hosts::own().unwrap_or_default();
    let of_project = Project::read(Path::new(".")).map(|(_, manifest)| manifest.hosts).unwrap_or_default();
    let mut all = of_project;
    all.extend(own);
    let candidate = |(name, host): (Name, HostSpec)| {
        CompletionCandidate::new(name.as_str()).help(host.ssh.map(Into::into))
    };
    all.into_iter().map(candidate).collect()
}

/// One or more hosts, with commas between them, or `any`. For `ArgValueCompleter`.
pub(crate) fn places(current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let (before, last) = current.rsplit_once(',').map_or(("", &*current), |(before, last)| (before, last));
    let mut found: Vec<CompletionCandidate> =
        hosts().into_iter().filter(|candidate| starts(candidate, last)).collect();
    if before.is_empty() {
        let any = CompletionCandidate::new(ANY).help(Some("the one that is free first".into()));
        found.extend([any].into_iter().filter(|any| starts(any, last)));
        return found;
    }
    let named: Vec<&str> = before.split(',').collect();
    found.retain(|candidate| !named.iter().any(|name| candidate.get_value() == *name));
    found.into_iter().map(|candidate| candidate.add_prefix(format!("{before},"))).collect()
}

/// Names of datasets.
pub(crate) fn datasets() -> Vec<CompletionCandidate> {
    names(|manifest| manifest.data.iter().map(|(name, data)| (name.to_string(), data.path.clone())).collect())
}

/// Names of steps.
pub(crate) fn steps() -> Vec<CompletionCandidate> {
    names(|manifest| manifest.steps.iter().map(|(name, step)| (name.to_string(), step.run.clone())).collect())
}

/// Names of models and steps.
pub(crate) fn tasks() -> Vec<CompletionCandidate> {
    models().into_iter().chain(steps()).collect()
}

/// Names of stages.
pub(crate) fn stages() -> Vec<CompletionCandidate> {
    names(|manifest| {
        Project::stages(manifest, None, Time::now())
            .iter()
            .map(|(name, stage)| (name.to_string(), plural(stage.gates.len() as u64, "gate")))
            .collect()
    })
}

/// Names of gates.
pub(crate) fn gates() -> Vec<CompletionCandidate> {
    names(|manifest| {
        let stages = Project::stages(manifest, None, Time::now());
        let of = |(name, stage): (&Name, &StageSpec)| -> Vec<(String, String)> {
            stage.gates.keys().map(|gate| (gate.to_string(), format!("of {name}"))).collect()
        };
        stages.iter().flat_map(of).collect()
    })
}

/// Names of stores.
pub(crate) fn stores() -> Vec<CompletionCandidate> {
    names(|manifest| {
        manifest.stores.iter().map(|(name, store)| (name.to_string(), store.url.clone())).collect()
    })
}

/// References to model versions: a model, and behind its `@` the stages. For `ArgValueCompleter`.
pub(crate) fn references(current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let Some((model, stage)) = current.split_once('@') else {
        return models().into_iter().filter(|candidate| starts(candidate, &current)).collect();
    };
    stages()
        .into_iter()
        .filter(|candidate| starts(candidate, stage))
        .map(|candidate| {
            CompletionCandidate::new(format!("{model}@{}", candidate.get_value().to_string_lossy()))
        })
        .collect()
}

/// Identifiers of runs, the newest first.
pub(crate) fn runs() -> Vec<CompletionCandidate> {
    let jobs = Repo::discover(&directory()).map(|repo| repo.state_dir().join("jobs"));
    let Some(entries) = jobs.ok().and_then(|jobs| std::fs::read_dir(jobs).ok()) else { return Vec::new() };
    let mut ids: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    ids.retain(|id| id.parse::<Id>().is_ok());
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.truncate(RUNS);
    ids.into_iter().enumerate().map(|(i, id)| CompletionCandidate::new(id).display_order(Some(i))).collect()
}

/// Error codes.
pub(crate) fn codes() -> Vec<CompletionCandidate> {
    super::explanations().map(|explain| CompletionCandidate::new(explain.code)).collect()
}

fn starts(candidate: &CompletionCandidate, prefix: &str) -> bool {
    candidate.get_value().to_string_lossy().starts_with(prefix)
}

fn names(list: impl Fn(&Manifest) -> Vec<(String, String)>) -> Vec<CompletionCandidate> {
    let Ok((_, manifest)) = Project::read(&directory()) else { return Vec::new() };
    let mut candidates = Vec::new();
    for (i, (name, help)) in list(&manifest).into_iter().enumerate() {
        // One line, however the project file says it.
        let help: String = help.chars().filter(|c| !c.is_control()).take(60).collect();
        candidates.push(CompletionCandidate::new(name).help(Some(help.into())).display_order(Some(i)));
    }
    candidates
}

/// The folder that the command line under completion works in: its `-C DIR`, or this one.
fn directory() -> PathBuf {
    let mut words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    while let Some(word) = words.next() {
        if word == "-C" || word == "--directory" {
            return words.next().map(PathBuf::from).unwrap_or_default();
        }
        if let Some(folder) = word.to_str().and_then(|word| word.strip_prefix("--directory=")) {
            return PathBuf::from(folder);
        }
    }
    PathBuf::from(".")
}
