//! What goes over the pipe between a command here and `mlp agent serve` on a host: questions and answers, each a piece of JSON and bytes.
//!
//! ```text
//! length of the JSON u32 | length of the bytes u32 | JSON | bytes
//! ```
//! Numbers are little-endian. The other end may be anything: lengths are bounded before anything is allocated.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::SlurmSpec;
use super::job::JobSpec;
use crate::base::{Digest, Id, JobState, RunEnd, Time};
use crate::hardware::Facts;
use crate::infrastructure::store::{Lent, Stored};

/// The version of these questions and answers.
pub(super) const PROTOCOL: u32 = 1;
/// The first word of an agent; whatever a login shell says before it is passed over.
pub(super) const MAGIC: &str = "MLP-AGENT";
/// The first word where there is no agent yet.
pub(super) const ABSENT: &str = "MLP-ABSENT";
/// JSON is not longer.
const LONGEST_HEAD: u32 = 16 << 20;
/// Nor are bytes.
const LONGEST_BODY: u32 = 64 << 20;
/// What a sender of objects aims at: some of a parcel is under way while the next is packed.
pub(super) const PARCEL: u64 = 8 << 20;

/// A question to a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(super) enum Ask {
    /// Which of the objects named in the bytes are not there? Answered in bytes.
    Lacking,
    /// Keep the objects in the bytes; the last parcel makes all of them visible.
    Keep {
        /// Whether no further parcel follows.
        last: bool,
    },
    /// Read these objects, which are lent, from a store that is not here.
    Borrow {
        /// Links and ranges. They are kept in no file.
        lent: Vec<Lent>,
    },
    /// Start this job, once. The bytes are JSON: variables for its worker that are written nowhere.
    Start {
        /// The job.
        spec: Box<JobSpec>,
        /// Its attempt, from 1.
        attempt: u32,
        /// What it goes on from, in the store there: [`BEGUN`] by name.
        begun: BTreeMap<String, Stored>,
        /// By Slurm, with these options.
        slurm: Option<SlurmSpec>,
    },
    /// Bring these jobs into the queue of Slurm, which ask for the same resources.
    Queue {
        /// The jobs.
        specs: Vec<JobSpec>,
        /// So many are at work at a time.
        at_once: usize,
        /// With these options.
        slurm: SlurmSpec,
    },
    /// What is this job?
    Spec {
        /// The job.
        id: Id,
    },
    /// What is new about a job, from these places in its files? Waits for something for so long.
    News {
        /// The job.
        id: Id,
        /// Bytes of `events.jsonl` that are known.
        events: u64,
        /// Bytes of `log` that are known.
        log: u64,
        /// Milliseconds to wait if there is nothing.
        wait: u64,
    },
    /// Stop a job.
    Cancel {
        /// The job.
        id: Id,
        /// Without grace.
        kill: bool,
    },
    /// Start the next attempt of a job that has ended; the bytes as for [`Ask::Start`].
    Resume {
        /// The job.
        id: Id,
        /// By Slurm, with these options.
        slurm: Option<SlurmSpec>,
    },
    /// Store the job's checkpoints, and tell what they are; nothing if there is none.
    Checkpoints {
        /// The job.
        id: Id,
    },
    /// Store what the job left in `out/`, and tell what it is.
    Results {
        /// The job.
        id: Id,
    },
    /// Which objects do these rest on? Answered in bytes: id and size of each.
    RestedOn {
        /// Trees and files.
        roots: Vec<Digest>,
    },
    /// Send the objects named in the bytes. Answered in bytes, a parcel.
    Send,
    /// All jobs.
    Jobs,
    /// The GPUs, and who has them.
    Cards,
    /// Remove this job, which has ended.
    Remove {
        /// The job.
        id: Id,
    },
    /// Remove ended jobs, agents that nobody uses, and objects that no job rests on.
    Tidy {
        /// Tell only what would be removed.
        dry_run: bool,
    },
}

/// Files and folders of a job that go along when it goes on elsewhere.
pub(super) const BEGUN: [&str; 3] = ["ckpt", "events.jsonl", "log"];

/// What an agent says first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the agent.
    pub(super) protocol: u32,
    /// Version of mlp there.
    pub version: String,
    /// The folder of mlp there.
    pub root: std::path::PathBuf,
    /// Digest of the mlp executable there.
    pub binary: Digest,
    /// What the machine is.
    pub facts: Facts,
    /// What trainings run on there: `cpu x86-64 avx512`.
    pub device: String,
    /// Time there, to tell clocks that go wrong.
    pub time: Time,
    /// Bytes free below its folder.
    pub free: Option<u64>,
}

/// The answer to [`Ask::News`]; the bytes are those of the events and then those of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct News {
    pub(super) state: JobState,
    pub(super) attempt: u32,
    pub(super) started: Option<Time>,
    /// Why it waits.
    pub(super) reason: Option<String>,
    /// Bytes that are events.
    pub(super) events: u64,
    /// The newest checkpoint.
    pub(super) checkpoint: Option<String>,
    /// Once it has ended and all bytes of both files are told.
    pub(super) end: Option<RunEnd>,
}

/// One job of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostedJob {
    /// The job.
    pub id: Id,
    /// The model or step.
    pub name: String,
    /// How it stands.
    pub state: JobState,
}

/// What an agent tidied away, or would.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tidied {
    /// Job folders.
    pub jobs: u64,
    /// Agents.
    pub agents: u64,
    /// Bytes of objects.
    pub bytes: u64,
}

/// An answer, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reply {
    /// What was asked for.
    Ok(serde_json::Value),
    /// An error of the host, as it would have been told there.
    Failed { code: String, message: String, hint: Option<String> },
}

pub(super) fn write(out: &mut dyn Write, head: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let head = serde_json::to_vec(head)?;
    let length = |bytes: &[u8], most: u32| match u32::try_from(bytes.len()) {
        Ok(length) if length <= most => Ok(length.to_le_bytes()),
        _ => Err(io::Error::other("a message is too long")),
    };
    // Both before the first byte goes: what is too long leaves the pipe as it was.
    let lengths = [length(&head, LONGEST_HEAD)?, length(body, LONGEST_BODY)?];
    out.write_all(lengths.as_flattened())?;
    out.write_all(&head)?;
    out.write_all(body)?;
    out.flush()
}

/// The next message; none where the pipe ends between two.
pub(super) fn read<T: DeserializeOwned>(input: &mut dyn Read) -> io::Result<Option<(T, Vec<u8>)>> {
    let mut lengths = [0; 8];
    let first = input.read(&mut lengths)?;
    if first == 0 {
        return Ok(None);
    }
    input.read_exact(&mut lengths[first..])?;
    let length =
        |at: usize| u32::from_le_bytes([lengths[at], lengths[at + 1], lengths[at + 2], lengths[at + 3]]);
    let (head, body) = (length(0), length(4));
    if head > LONGEST_HEAD || body > LONGEST_BODY {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is longer than any can be"));
    }
    let mut bytes = vec![0; head as usize];
    input.read_exact(&mut bytes)?;
    let head =
        serde_json::from_slice(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mut bytes = vec![0; body as usize];
    input.read_exact(&mut bytes)?;
    Ok(Some((head, bytes)))
}

/// Ids as bytes, one after another.
pub(super) fn put_ids(ids: &[Digest]) -> Vec<u8> {
    ids.iter().flat_map(|id| *id.as_bytes()).collect()
}

/// The reverse; none if the bytes are no ids.
pub(super) fn ids(bytes: &[u8]) -> Option<Vec<Digest>> {
    let (ids, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| ids.iter().map(|id| Digest::from_bytes(*id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_and_the_end_is_known() {
        let mut pipe = Vec::new();
        write(&mut pipe, &Ask::Lacking, &[1, 2, 3]).expect("writes");
        let first = pipe.len();
        write(&mut pipe, &Ask::Jobs, &[]).expect("writes");
        let mut input = pipe.as_slice();
        assert_eq!(read::<Ask>(&mut input).expect("reads"), Some((Ask::Lacking, vec![1, 2, 3])));
        assert_eq!(read::<Ask>(&mut input).expect("reads"), Some((Ask::Jobs, Vec::new())));
        assert_eq!(read::<Ask>(&mut input).expect("reads"), None);
        for end in 1..pipe.len() {
            let mut input = &pipe[..end];
            let read: io::Result<Vec<_>> =
                std::iter::from_fn(|| read::<Ask>(&mut input).transpose()).collect();
            assert_eq!(read.is_ok(), end == first, "cut at {end}");
        }
    }

    #[test]
    fn lengths_that_no_message_has_are_refused_before_anything_is_allocated() {
        let mut bytes = u32::MAX.to_le_bytes().to_vec();
        bytes.extend([0; 4]);
        assert!(read::<Ask>(&mut bytes.as_slice()).is_err());
        bytes.rotate_left(4);
        assert!(read::<Ask>(&mut bytes.as_slice()).is_err());
    }
}
