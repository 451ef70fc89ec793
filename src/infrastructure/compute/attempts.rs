//! Attempts of a job that follow each other by themselves.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::time::Duration;

use super::folder::{ExitFile, json};
use super::{Cursor, JobError, JobFolder};
use crate::base::{Cause, JobState, RunEnd};

/// Bytes of a log that are searched at a time.
const PIECE: usize = 1 << 20;

impl JobFolder {
    /// What to wait before another attempt after the last one, which ended for `cause` and wrote its log from `log` on; none if there
    /// is to be no other.
    pub(super) fn pause_after(&self, cause: Cause, log: u64) -> Result<Option<Duration>, JobError> {
        let retry = self.spec()?.retry;
        let pause = retry.after(cause, self.retried(cause)?);
        Ok(pause.filter(|_| !self.said(&retry.not_on_log, log)))
    }

    /// What to wait before another attempt of a job that left no supervisor to begin it; none if there is to be no other.
    pub fn pause_after_loss(&self, end: &RunEnd) -> Result<Option<Duration>, JobError> {
        match end.cause {
            // Its secrets are with whoever started it.
            Some(cause) if end.state == JobState::Lost && self.spec()?.secrets.is_empty() => {
                self.pause_after(cause, 0)
            }
            _ => Ok(None),
        }
    }

    /// How many attempts ended for `cause` and were followed by another by themselves, since the job was last started by hand.
    fn retried(&self, cause: Cause) -> Result<u32, JobError> {
        let mut count = 0;
        for attempt in (1..self.attempt()?).rev() {
            // A turn that a queue ended has no end of its own.
            let Some(exit) = self.read::<ExitFile>(&format!("exit.{attempt}.json"))? else { continue };
            if !exit.retried {
                break;
            }
            count += u32::from(exit.end.cause == Some(cause));
        }
        Ok(count)
    }

    /// How the attempt before `attempt` ended, if it was started again by hand.
    pub(super) fn earlier(&self, attempt: u32) -> Result<Option<RunEnd>, JobError> {
        let exit: Option<ExitFile> = self.read(&format!("exit.{}.json", attempt.saturating_sub(1)))?;
        Ok(exit.map(|exit| exit.end))
    }

    /// Begins the attempt after the one that ended so; its number.
    pub(super) fn begin_after(&self, end: &RunEnd, strays: u32) -> Result<u32, JobError> {
        // The new number first: whatever of the old attempt still lives must not write a checkpoint any more.
        self.set_attempt(end.attempts + 1)?;
        let exit = ExitFile { schema: "mlp/exit/1".into(), end: end.clone(), strays, retried: true };
        self.write(&format!("exit.{}.json", end.attempts), &json(&exit))?;
        Ok(end.attempts + 1)
    }

    /// Notes of an end that the next attempt is begun by the job's own rule.
    pub(super) fn set_retried(&self) -> Result<(), JobError> {
        match self.exit()? {
            Some(exit) => self.write("exit.json", &json(&ExitFile { retried: true, ..exit })),
            None => Ok(()),
        }
    }

    /// Where its events and its log end now.
    pub fn end_so_far(&self) -> Cursor {
        let events = std::fs::metadata(self.events()).map_or(0, |meta| meta.len());
        Cursor { events, log: self.log_length() }
    }

    /// Bytes of the log so far.
    pub(super) fn log_length(&self) -> u64 {
        std::fs::metadata(self.log()).map_or(0, |meta| meta.len())
    }

    /// Whether one of `texts` stands in the log from `from` on. A log that cannot be read says nothing.
    fn said(&self, texts: &[String], from: u64) -> bool {
        let longest = texts.iter().map(String::len).max().unwrap_or(0);
        let Ok(mut log) = File::open(self.log()) else { return false };
        if longest == 0 || log.seek(SeekFrom::Start(from)).is_err() {
            return false;
        }
        let (mut piece, mut kept) = (vec![0; PIECE], Vec::new());
        loop {
            match log.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return false,
                Ok(read) => kept.extend_from_slice(&piece[..read]),
            }
            let has = |text: &String| {
                !text.is_empty() && kept.windows(text.len()).any(|window| window == text.as_bytes())
            };
            if texts.iter().any(has) {
                return true;
            }
            // A text may reach over the end of a piece.
            kept.drain(..kept.len().saturating_sub(longest - 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_in_a_log_wherever_it_lies_but_not_before_the_attempt() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = JobFolder::at(dir.path());
        let texts = ["OUT_OF_MEMORY".to_owned()];
        assert!(!folder.said(&texts, 0), "there is no log");
        for before in [0, PIECE - 5, PIECE, 3 * PIECE] {
            let mut log = vec![b'x'; before];
            log.extend_from_slice(b"CUDA_ERROR_OUT_OF_MEMORY: 2");
            std::fs::write(folder.log(), &log).expect("writes");
            assert!(folder.said(&texts, 0), "{before}");
            assert!(!folder.said(&texts, before as u64 + 12), "{before}");
        }
        assert!(!folder.said(&[String::new(), "nothing".to_owned()], 0));
    }
}
