//! Full packs are written by a thread of their own: the next one is filled while the disk takes the last.

use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::{StoreError, files, spare};

/// Writes files in the order in which they are given; none waits besides the one being written, so that memory stays bounded.
pub(super) struct Saver {
    files: SyncSender<(PathBuf, Vec<u8>)>,
    thread: JoinHandle<Result<(), StoreError>>,
}

impl Saver {
    pub(super) fn start() -> Result<Self, StoreError> {
        let (files, given) = sync_channel::<(PathBuf, Vec<u8>)>(0);
        let work = move || {
            given.into_iter().try_for_each(|(path, bytes)| {
                files::replace(&path, &bytes)?;
                spare::give(bytes);
                Ok(())
            })
        };
        let thread = std::thread::Builder::new().name("mlp-packs".to_owned()).spawn(work);
        let thread = thread.map_err(StoreError::io("start threads for", "packs"))?;
        Ok(Self { files, thread })
    }

    /// Gives it the next file. Whether the thread still takes files: if not, [`Saver::end`] says why.
    #[must_use]
    pub(super) fn give(&self, path: PathBuf, bytes: Vec<u8>) -> bool {
        self.files.send((path, bytes)).is_ok()
    }

    /// Waits until all files are written, each with its bytes on the disk; the first error.
    pub(super) fn end(self) -> Result<(), StoreError> {
        drop(self.files);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_there_when_it_has_ended_and_an_error_is_told() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let saver = Saver::start().expect("starts");
        for n in 0..3u8 {
            assert!(saver.give(folder.path().join(n.to_string()), vec![n; 10]));
        }
        saver.end().expect("writes");
        assert_eq!(std::fs::read(folder.path().join("2")).expect("reads"), [2; 10]);
        let saver = Saver::start().expect("starts");
        let below_a_file = folder.path().join("0/x");
        let mut taken = true;
        for _ in 0..100 {
            taken = taken && saver.give(below_a_file.clone(), Vec::new());
        }
        assert!(!taken);
        assert!(saver.end().is_err());
    }
}
