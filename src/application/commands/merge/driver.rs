//! `mlp merge driver`: what git runs for a pointer that both sides changed.

use std::path::{Path, PathBuf};

use super::super::{Answer, Context};
use super::House;
use crate::application::ui::plural;
use crate::base::{Exit, Level, Sink};
use crate::infrastructure::durable;
use crate::platform::data::{DataError, Pointer, Sides};

/// Git's own arguments.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The version that both sides come from (%O).
    base: PathBuf,
    /// Our version (%A), which is replaced by the merged one.
    ours: PathBuf,
    /// Their version (%B).
    theirs: PathBuf,
    /// The pointer (%P).
    path: String,
}

/// Exit 0: merged. Anything else: git calls the pointer in conflict and keeps the three versions, so that `mlp merge` can go
/// on from there.
pub(super) fn run(args: &Args, context: &Context) -> Answer {
    let house = House::open(&context.dir)?;
    let files = [&args.base, &args.ours, &args.theirs].map(|path| context.dir.join(path));
    let mut texts = Vec::new();
    for file in &files {
        texts.push(std::fs::read(file).map_err(DataError::io("read", file))?);
    }
    // Other programs have files of that name too: those are text.
    let is_pointer = |bytes: &Vec<u8>| bytes.is_empty() || bytes.starts_with(b"mlp:");
    if !texts.iter().all(is_pointer) {
        let clean = house.repo.merge_file(&files[1], &files[0], &files[2])?;
        return Ok(if clean { Exit::Ok } else { Exit::No });
    }
    let side = |bytes: &[u8]| match bytes.is_empty() {
        true => Ok(None),
        false => Pointer::parse(&String::from_utf8_lossy(bytes), Path::new(&args.path)).map(Some),
    };
    let sides = Sides { base: side(&texts[0])?, ours: side(&texts[1])?, theirs: side(&texts[2])? };
    let merged = house.merge(&sides, &|_| None, false)?;
    if let Some(pointer) = &merged.pointer {
        durable::replace(&files[1], pointer.text().as_bytes()).map_err(DataError::io("write", &files[1]))?;
    }
    if merged.conflicts.is_empty() {
        return Ok(Exit::Ok);
    }
    let count = plural(merged.conflicts.len() as u64, "file");
    context
        .ui
        .log(Level::Warn, &format!("{}: both sides changed {count}; `mlp merge` shows them", args.path));
    Ok(Exit::No)
}
