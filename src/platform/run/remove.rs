//! Removing runs.

use super::{Listed, RunError, Workspace};
use crate::base::{Id, RecordKind};
use crate::infrastructure::compute::LocalExecutor;
use crate::infrastructure::store::PinKind;

/// Forgets a run that has ended: its job folder with all checkpoints, and the pin that keeps its record and outputs.
/// What other pins or a ledger name stays in the store.
pub fn remove(workspace: &Workspace<'_>, run: &Listed) -> Result<(), RunError> {
    let mirrored = run.folder.as_ref().is_some_and(|folder| matches!(folder.host(), Ok(Some(_))));
    if !run.state.ended() && !mirrored {
        return Err(RunError::Active { run: run.short(), state: run.state.to_string() });
    }
    if let Some((id, _)) = &run.record {
        for pin in workspace.store.pins()? {
            if pin.kind == PinKind::Record(RecordKind::Run) && pin.records.contains(id) {
                workspace.store.remove_pin(pin.id)?;
            }
        }
    }
    if let Some(folder) = &run.folder {
        // Renamed first: a half removed folder must not be taken for a job.
        let doomed = folder.0.with_file_name(format!(".removed-{}", run.id));
        #[expect(clippy::disallowed_methods, reason = "the folder is moved out of the way, not made")]
        std::fs::rename(&folder.0, &doomed).map_err(RunError::io("remove", &folder.0))?;
        std::fs::remove_dir_all(&doomed).map_err(RunError::io("remove", &doomed))?;
    }
    Ok(())
}

/// Removes the checkpoints of runs that nobody will go on with. Resumed all the same, one begins again at its first epoch.
pub fn forget_checkpoints(executor: &LocalExecutor, runs: impl Iterator<Item = Id>) {
    let folders = runs.map(|run| executor.folder(run).checkpoints());
    let entries = folders.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        // It is only room that is lost where this fails.
        let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
}
