//! `mlp data export`.

use std::path::{Path, PathBuf};

use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use super::subject::{place, shown, source};
use super::transfer::Moved;
use crate::application::completion;
use crate::application::ui::{Report, bytes, plural};
use crate::base::{Digest, Exit};
use crate::infrastructure::store::StoreError;
use crate::infrastructure::store::worktree::{CheckoutOptions, archive, archive_file, checkout};
use crate::platform::data::DataError;

/// Ends of names by which an archive is meant that cannot be written.
const OTHER_ARCHIVES: [&str; 7] = [".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".zip", ".7z", ".gz"];

/// Writes a version as plain files or as a tar file.
///
/// The same version gives the same tar file, byte for byte: sorted names, no owner, all times zero. What is not here comes from the remote
/// store.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A dataset or a path with a pointer, a path in it, and the git revision whose version it is.
    #[arg(value_name = "NAME[/PATH][@REV]", add = ArgValueCandidates::new(completion::datasets))]
    place: String,
    /// A new folder; a file that ends in `.tar` or `.tar.zst`; `-` for a tar file on standard output.
    #[arg(value_name = "DEST")]
    destination: PathBuf,
    /// Replace a tar file that is there.
    #[arg(long)]
    force: bool,
    /// The store to get it from, by its name in `stores:`; the first of them if left out.
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let place = place(&args.place, &project, context)?;
    place.subject.settle(&project, place.rev.as_deref(), &context.ui)?;
    let mut source = source(&project, args.store.as_deref())?;
    let node = place.node(&project, &mut source)?;
    let (name, store) = (place.file_name(), &project.store);
    if args.destination == Path::new("-") {
        source.complete(&[node.id], &context.ui)?;
        return match archive(&node, &name, store, &mut context.ui.out(), &context.ui) {
            // Whoever read it has read enough.
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => {
                Ok(Exit::Ok)
            }
            done => Ok(done.map(|_| Exit::Ok)?),
        };
    }
    let to = context.dir.join(&args.destination);
    let shown_to = shown(&args.destination.display().to_string());
    let is_archive = [".tar", ".tar.zst"].iter().any(|end| shown_to.ends_with(end));
    if let Some(end) = OTHER_ARCHIVES.iter().find(|end| shown_to.ends_with(*end)) {
        let detail =
            format!("`{end}` is not written: take `.tar` or `.tar.zst`, or `-` and a program that packs it");
        return Err(DataError::Argument { argument: shown_to, detail }.into());
    }
    let is_empty_folder = to.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    if to.symlink_metadata().is_ok()
        && !(is_archive && args.force && to.is_file())
        && (is_archive || !is_empty_folder)
    {
        return Err(DataError::Exists(shown_to).into());
    }
    source.complete(&[node.id], &context.ui)?;
    let files = match is_archive {
        true => archive_file(&node, &name, store, &to, &context.ui)?,
        false => checkout(&node, &to, store, None, CheckoutOptions::default(), &context.ui)?.written,
    };
    let moved = source.transfer().into();
    context.ui.report(&Exported { path: shown_to, id: node.id, files, bytes: node.size, moved });
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Exported {
    path: String,
    id: Digest,
    files: u64,
    bytes: u64,
    /// What came from the remote store.
    moved: Moved,
}

impl Report for Exported {
    fn schema(&self) -> &'static str {
        "mlp/data-export/1"
    }

    fn human(&self) -> String {
        format!(
            "{}: {}, {} of {}\n",
            self.path,
            plural(self.files, "file"),
            bytes(self.bytes),
            self.id.short()
        )
    }

    fn quiet(&self) -> String {
        format!("{}\n", self.path)
    }
}
