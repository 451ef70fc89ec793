//! `mlp hook pre-push`: refuses to publish commits whose data nobody else could get.

use std::path::Path;

use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::stores;
use crate::application::ui::{Mode, Report, clean};
use crate::base::{Exit, Level, Sink};
use crate::infrastructure::git::{GitError, Outgoing, Repo};
use crate::infrastructure::store::Presence;
use crate::platform::data::{DataError, Pointer};

/// Git's own arguments.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The git remote: its name, or its URL if it has none.
    remote: String,
    /// Its URL.
    url: Option<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Answer {
    let input =
        std::io::read_to_string(std::io::stdin()).map_err(DataError::io("read", "the standard input"))?;
    let repo = Repo::discover(&context.dir)?;
    let mut pointers = Vec::new();
    for found in outgoing(&repo, &input, &args.remote)? {
        // Other programs have files of that name too.
        if found.bytes.starts_with(b"mlp:") {
            let place = format!("{}@{}", found.path, short(&found.commit));
            match Pointer::parse(&String::from_utf8_lossy(&found.bytes), Path::new(&place)) {
                // Whoever needs it gets it from where it was imported from.
                Err(DataError::Unfetched(_)) => {}
                pointer => pointers.push((pointer?, found)),
            }
        }
    }
    if pointers.is_empty() {
        return Ok(Exit::Ok);
    }
    let project = match context.project() {
        // A branch without a project.
        Err(failure) if failure.0.code() == "project::none" => return Ok(Exit::Ok),
        project => project?,
    };
    let named = project.repo.config("mlp.push");
    if named.is_none() && project.manifest.stores.is_empty() {
        let text = "mlp.yaml names no stores: the data of these commits are in this clone alone";
        context.ui.log(Level::Warn, text);
        return Ok(Exit::Ok);
    }
    let remote = stores::remote(&project, named.as_deref())?;
    let presence = Presence::read(&project.store, &remote, project.id(), &context.ui).inspect_err(|_| {
        let text = "nobody knows whether the data of these commits are on the store; `git push --no-verify` pushes \
                    without asking";
        context.ui.log(Level::Warn, text);
    })?;
    let mut told = Told { store: remote.name.to_string(), missing: Vec::new(), requests: 0 };
    for (pointer, found) in pointers {
        let mut there = presence.keeps(&pointer.node().id);
        for id in pointer.ids() {
            there = there && presence.has(&id)?;
        }
        if !there {
            let now = std::fs::read(repo.root().join(&found.path)).is_ok_and(|bytes| bytes == found.bytes);
            told.missing.push(Missing { path: found.path, commit: found.commit, current: now });
        }
    }
    told.requests = remote.requests().total();
    let exit = if told.missing.is_empty() { Exit::Ok } else { Exit::No };
    if exit == Exit::No || context.ui.mode == Mode::Json {
        context.ui.report(&told);
    }
    Ok(exit)
}

/// The pointers that the refs on git's lines (`<local ref> <local id> <remote ref> <remote id>`) bring.
fn outgoing(repo: &Repo, input: &str, remote: &str) -> Result<Vec<Outgoing>, GitError> {
    let mut found: Vec<Outgoing> = Vec::new();
    for line in input.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, name, known] = words[..] else { continue };
        // Nothing but zeros: the branch is removed. Our own refs hold no data.
        if local.bytes().all(|byte| byte == b'0') || name.starts_with("refs/mlp/") {
            continue;
        }
        for new in repo.outgoing(local, known, remote, ".mlp")? {
            if !found.iter().any(|there| there.path == new.path && there.bytes == new.bytes) {
                found.push(new);
            }
        }
    }
    Ok(found)
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// What the store lacks.
#[derive(Serialize)]
struct Told {
    store: String,
    missing: Vec<Missing>,
    /// Requests to the store.
    requests: u64,
}

#[derive(Serialize)]
struct Missing {
    path: String,
    commit: String,
    /// Whether the work tree has this version.
    current: bool,
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/pre-push/1"
    }

    fn human(&self) -> String {
        let mut text = format!("the store `{}` lacks the data of these commits:\n", self.store);
        for missing in &self.missing {
            text += &format!("  {}@{}\n", clean(&missing.path), short(&missing.commit));
        }
        let flag = if self.missing.iter().all(|missing| missing.current) { "" } else { " --unpushed" };
        text += &format!(
            "help: `mlp data push{flag}` sends them, then push again; `git push --no-verify` pushes without them\n"
        );
        text
    }
}
