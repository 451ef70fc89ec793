//! Predictions on their way to an output file: lines of JSON beside it, so that an interrupted call goes on where it stopped.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::base::Digest;
use crate::platform::serve::{OnError, Outcome, Predicted, ServeError, Unfit};

/// How often what was predicted is put on the disk.
const SYNC: Duration = Duration::from_secs(5);

/// What predictions are of: the first line. Only the same question is gone on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Question {
    /// `mlp/predict-partial/1`.
    pub(super) schema: String,
    /// The files of the version.
    pub(super) model: Digest,
    /// What is predicted for, in order.
    pub(super) inputs: Vec<Input>,
    /// The part of datasets, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<String>,
}

/// Something that is predicted for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Input {
    /// As the user named it.
    pub(super) name: String,
    /// The dataset, if it is a version of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dataset: Option<String>,
    /// Its content; absent for standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<Digest>,
    /// The settings of a whole dataset, which say what stands in which part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) settings: Option<Digest>,
}

/// A line after the first.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Ok(Predicted),
    Unfit(Unfit),
}

/// The file.
pub(super) struct Partial {
    path: PathBuf,
    out: BufWriter<File>,
    /// The first line, until it is written.
    first: Option<String>,
    /// Outcomes that an earlier call left.
    pub(super) done: u64,
    synced: Instant,
}

impl Partial {
    /// The file beside `output`, with what an earlier call about the same question left in it, unless `restart`. What was left about
    /// another question goes when the first answer comes. To stop at what does not fit is to stop at what did not fit then.
    pub(super) fn open(
        output: &Path,
        question: &Question,
        restart: bool,
        on_error: OnError,
    ) -> Result<Self, ServeError> {
        let path = super::beside(output, "partial");
        let io = |source| ServeError::Io { action: "write", path: path.clone(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        let first = serde_json::to_string(question).unwrap_or_default() + "\n";
        let resumable = !restart && question.inputs.iter().all(|input| input.digest.is_some());
        let Whole { bytes: whole, count: done, unfit } =
            if resumable { whole(&mut file, &first).map_err(io)? } else { Whole::default() };
        if let (OnError::Stop, Some(Unfit { source, error })) = (on_error, unfit) {
            return Err(ServeError::Input { path: source, detail: error });
        }
        if whole > 0 {
            file.set_len(whole).and_then(|()| file.seek(SeekFrom::Start(whole))).map_err(io)?;
        }
        let first = (whole == 0).then_some(first);
        Ok(Self { path, out: BufWriter::new(file), first, done, synced: Instant::now() })
    }

    /// Empties the file and writes its first line, if that was not done.
    fn begin(&mut self) -> std::io::Result<()> {
        let Some(first) = self.first.take() else { return Ok(()) };
        self.out.get_ref().set_len(0)?;
        self.out.rewind()?;
        self.out.write_all(first.as_bytes())
    }

    /// Adds outcomes.
    pub(super) fn add(&mut self, outcomes: Vec<Outcome>) -> Result<(), ServeError> {
        let add = || {
            self.begin()?;
            for outcome in outcomes {
                let line = match outcome {
                    Outcome::Predicted(predicted) => Line::Ok(predicted),
                    Outcome::Unfit(unfit) => Line::Unfit(unfit),
                };
                serde_json::to_writer(&mut self.out, &line)?;
                self.out.write_all(b"\n")?;
            }
            self.out.flush()?;
            if self.synced.elapsed() > SYNC {
                self.out.get_ref().sync_data()?;
                self.synced = Instant::now();
            }
            Ok(())
        };
        let added = add();
        added.map_err(|source| ServeError::Io { action: "write", path: self.path.clone(), source })
    }

    /// All outcomes from the first on.
    pub(super) fn outcomes(
        &mut self,
    ) -> std::io::Result<impl Iterator<Item = std::io::Result<Outcome>> + use<>> {
        self.begin()?;
        self.out.flush()?;
        let lines = BufReader::new(File::open(&self.path)?).lines().skip(1);
        Ok(lines.map(|line| {
            Ok(match serde_json::from_str::<Line>(&line?)? {
                Line::Ok(predicted) => Outcome::Predicted(predicted),
                Line::Unfit(unfit) => Outcome::Unfit(unfit),
            })
        }))
    }

    /// Removes the file: the output is written.
    pub(super) fn remove(self) -> Result<(), ServeError> {
        drop(self.out);
        let path = self.path;
        crate::infrastructure::durable::remove(&path).map(drop).map_err(|source| ServeError::Io {
            action: "remove",
            path,
            source,
        })
    }
}

/// The lines of a file that are whole.
#[derive(Default)]
struct Whole {
    bytes: u64,
    /// Without the first.
    count: u64,
    /// The first input that did not fit.
    unfit: Option<Unfit>,
}

/// The whole lines of a file that begins with `first`; none of it counts if it begins otherwise. What a crash left of a line, and all
/// behind it, is not whole.
fn whole(file: &mut File, first: &str) -> std::io::Result<Whole> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    if line != first.as_bytes() {
        return Ok(Whole::default());
    }
    let mut whole = Whole { bytes: line.len() as u64, ..Whole::default() };
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        let read = serde_json::from_slice::<Line>(&line).ok().filter(|_| line.last() == Some(&b'\n'));
        match read {
            None => return Ok(whole),
            Some(Line::Unfit(unfit)) => _ = whole.unfit.get_or_insert(unfit),
            Some(Line::Ok(_)) => {}
        }
        whole.bytes += line.len() as u64;
        whole.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::train::Prediction;

    fn question(model: &[u8]) -> Question {
        let input =
            Input { name: "a.csv".into(), dataset: None, digest: Some(Digest::of(b"a")), settings: None };
        Question {
            schema: "mlp/predict-partial/1".into(),
            model: Digest::of(model),
            inputs: vec![input],
            part: None,
        }
    }

    fn outcome(index: u64) -> Outcome {
        let prediction = Prediction { value: Some(0.1 * index as f32), ..Prediction::default() };
        match index % 3 {
            2 => Outcome::Unfit(Unfit { source: format!("a.csv:{index}"), error: "no".into() }),
            _ => Outcome::Predicted(Predicted { source: format!("a.csv:{index}"), prediction }),
        }
    }

    #[test]
    fn whatever_a_crash_left_of_the_file_the_end_is_the_same() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let output = folder.path().join("out.csv");
        let path = folder.path().join("out.csv.partial");
        let mut partial = Partial::open(&output, &question(b"m"), false, OnError::Skip).expect("opens");
        partial.add((0..6).map(outcome).collect()).expect("adds");
        drop(partial);
        let all = std::fs::read(&path).expect("reads");
        for cut in 0..=all.len() {
            for tail in [&b""[..], b"\0\0\0", b"{\"ok\":{}}\n"] {
                std::fs::write(&path, [&all[..cut], tail].concat()).expect("writes");
                let mut partial =
                    Partial::open(&output, &question(b"m"), false, OnError::Skip).expect("opens");
                let done = partial.done;
                partial.add((done..6).map(outcome).collect()).expect("adds");
                let found: Vec<Outcome> =
                    partial.outcomes().expect("reads").map(|one| one.expect("is one")).collect();
                assert_eq!(found, (0..6).map(outcome).collect::<Vec<_>>(), "cut at {cut}");
                drop(partial);
                assert_eq!(std::fs::read(&path).expect("reads"), all, "cut at {cut}");
            }
        }
    }

    #[test]
    fn to_stop_is_to_stop_at_what_did_not_fit_then() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let output = folder.path().join("out.csv");
        let open = |on_error| Partial::open(&output, &question(b"m"), false, on_error);
        open(OnError::Skip).expect("opens").add((0..4).map(outcome).collect()).expect("adds");
        let Err(ServeError::Input { path, detail }) = open(OnError::Stop) else { panic!("goes on") };
        assert_eq!((path.as_str(), detail.as_str()), ("a.csv:2", "no"));
        assert_eq!(open(OnError::Skip).expect("opens").done, 4);
        let restarted = Partial::open(&output, &question(b"m"), true, OnError::Stop).expect("opens");
        assert_eq!(restarted.done, 0);
    }

    #[test]
    fn what_is_left_of_another_question_goes_when_the_first_answer_comes() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let output = folder.path().join("out.csv");
        let open =
            |question: &Question| Partial::open(&output, question, false, OnError::Skip).expect("opens");
        open(&question(b"m")).add(vec![outcome(0)]).expect("adds");
        drop(open(&question(b"n")));
        assert_eq!(open(&question(b"m")).done, 1);
        assert_eq!(open(&question(b"n")).outcomes().expect("reads").count(), 0);
        assert_eq!(open(&question(b"m")).done, 0);
    }

    #[test]
    fn another_question_begins_anew() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let output = folder.path().join("out.csv");
        let begin = |question: &Question, restart| {
            let mut partial = Partial::open(&output, question, restart, OnError::Skip).expect("opens");
            let done = partial.done;
            partial.add(vec![outcome(0)]).expect("adds");
            done
        };
        assert_eq!(begin(&question(b"m"), false), 0);
        assert_eq!(begin(&question(b"m"), false), 1);
        assert_eq!(begin(&question(b"n"), false), 0);
        assert_eq!(begin(&question(b"n"), true), 0);
        let mut split = question(b"n");
        split.inputs[0].settings = Some(Digest::of(b"split"));
        assert_eq!((begin(&split, false), begin(&split, false)), (0, 1));
        let mut stdin = question(b"n");
        stdin.inputs[0].digest = None;
        assert_eq!(
            (begin(&stdin, false), begin(&stdin, false)),
            (0, 0),
            "nobody can say whether it is the same"
        );
    }
}
