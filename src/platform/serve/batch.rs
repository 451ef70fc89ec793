//! Predictions for many inputs, in order: read, predicted some at a time, and given away before the next are read.

mod files;
#[cfg(test)]
pub(super) mod tests;

pub use files::count;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::input::Values;
use super::{ServeError, Served, engine};
use crate::base::{Sink, Unit};
use crate::platform::data::{Examples, Inputs};
use crate::platform::train::Prediction;

/// Inputs that are predicted at once.
const CHUNK: usize = 256;

/// The prediction for one input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// Where the input stands: `7.png`, `rows.csv:2` (line), `t10k-images-idx3-ubyte:1` (from 1), `-:1`.
    pub source: String,
    /// The prediction.
    #[serde(flatten)]
    pub prediction: Prediction,
}

/// An input that has no prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfit {
    /// Where it stands.
    pub source: String,
    /// Why.
    pub error: String,
}

/// What became of one input.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was predicted.
    Predicted(Predicted),
    /// It does not fit the model.
    Unfit(Unfit),
}

/// What to do about an input that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// End with its error.
    #[default]
    Stop,
    /// Tell of it and go on.
    Skip,
}

/// Takes outcomes, some at a time and in order.
pub type Take<'a> = dyn FnMut(Vec<Outcome>) -> Result<(), ServeError> + 'a;

/// A prediction of many inputs.
pub struct Batch<'a> {
    served: &'a Served,
    on_error: OnError,
    /// Inputs at the beginning that are passed over: an earlier call predicted them.
    passed: u64,
    /// How many inputs there are, if it is known.
    total: Option<u64>,
    take: &'a mut Take<'a>,
    sink: &'a dyn Sink,
    seen: u64,
    /// Inputs to be predicted, in order, with those between them that do not fit.
    waiting: Vec<Waiting>,
    values: Values,
}

enum Waiting {
    Fits(String),
    Unfit(Unfit),
}

impl<'a> Batch<'a> {
    /// A prediction by `served` that gives outcomes to `take`, all but the first `passed`.
    pub fn new(
        served: &'a Served,
        on_error: OnError,
        passed: u64,
        total: Option<u64>,
        take: &'a mut Take<'a>,
        sink: &'a dyn Sink,
    ) -> Self {
        let values = Values::new(&served.signature);
        Self { served, on_error, passed, total, take, sink, seen: 0, waiting: Vec::new(), values }
    }

    /// Predicts all examples of a part of a dataset; `name` stands before where each comes from: `mnist/test`.
    pub fn examples(&mut self, name: &str, examples: &Examples) -> Result<(), ServeError> {
        let width = self.served.signature.size();
        for index in 0..examples.len() {
            let place = match examples.origins.name(index) {
                Some(origin) => format!("{name}/{origin}"),
                None => format!("{name}:{}", index + 1),
            };
            self.push(place, |_| {
                examples.inputs.range(index..index + 1, width).map_err(|error| error.to_string())
            })?;
        }
        Ok(())
    }

    /// Adds the next input; `read` gives its values, or says why it does not fit. It is not called for what is passed over.
    fn push(
        &mut self,
        source: String,
        read: impl FnOnce(&Served) -> Result<Inputs, String>,
    ) -> Result<(), ServeError> {
        self.seen += 1;
        if self.seen <= self.passed {
            return Ok(());
        }
        let before = self.values.len();
        let size = self.served.signature.size();
        let read = read(self.served).and_then(|inputs| self.values.append(&inputs));
        match read {
            Ok(()) if self.values.len() == before + size => self.waiting.push(Waiting::Fits(source)),
            read => {
                let found = self.values.len() - before;
                self.values.truncate(before);
                let error = match read {
                    Err(error) => error,
                    Ok(()) => format!("has {found} values, the model takes {size}"),
                };
                if self.on_error == OnError::Stop {
                    // What came before it is not lost.
                    self.flush()?;
                    return Err(wrong(&source, error));
                }
                self.waiting.push(Waiting::Unfit(Unfit { source, error }));
            }
        }
        if self.waiting.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Predicts what waits; to be called at the end.
    pub fn flush(&mut self) -> Result<(), ServeError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let values = std::mem::replace(&mut self.values, Values::new(&self.served.signature));
        let count = values.len() / self.served.signature.size();
        let mut answers = self.answers(count, &values.into_inputs()).into_iter();
        let (mut outcomes, mut ended) = (Vec::with_capacity(self.waiting.len()), None);
        for waiting in std::mem::take(&mut self.waiting) {
            let unfit = match waiting {
                Waiting::Unfit(unfit) => unfit,
                Waiting::Fits(source) => match answers.next() {
                    Some(Ok(prediction)) => {
                        outcomes.push(Outcome::Predicted(Predicted { source, prediction }));
                        continue;
                    }
                    Some(Err(error)) => Unfit { source, error },
                    None => Unfit { source, error: "the model did not answer".to_owned() },
                },
            };
            if self.on_error == OnError::Stop {
                ended = Some(wrong(&unfit.source, unfit.error));
                break;
            }
            outcomes.push(Outcome::Unfit(unfit));
        }
        // What came before the end is not lost.
        (self.take)(outcomes)?;
        self.sink.progress("predicting", self.seen, self.total, Unit::Samples);
        ended.map_or(Ok(()), Err)
    }

    /// What the model says of each input, or why it says nothing. One that fails is no reason to lose those beside it.
    fn answers(&self, count: usize, inputs: &Inputs) -> Vec<Result<Prediction, String>> {
        let size = self.served.signature.size();
        let run = |count, inputs: &Inputs| match count {
            0 => Ok(Vec::new()),
            _ => engine::run(self.served, count, inputs).map_err(|refusal| refusal.message),
        };
        let finite = |prediction| match engine::is_finite(&prediction) {
            true => Ok(prediction),
            false => Err(engine::NOT_FINITE.to_owned()),
        };
        if let Ok(predictions) = run(count, inputs) {
            return predictions.into_iter().map(finite).collect();
        }
        let alone = |index| {
            let input = slice(inputs, index, size);
            run(1, &input).map(|predictions| (input, predictions))
        };
        let alone: Vec<_> = (0..count).map(alone).collect();
        // Together again without those that fail: sums are rounded as in any other call.
        let mut fitting = Values::new(&self.served.signature);
        let fits = alone.iter().flatten().filter(|(input, _)| fitting.append(input).is_ok()).count();
        let mut together = run(fits, &fitting.into_inputs()).unwrap_or_default().into_iter();
        let answer = |alone: Result<(Inputs, Vec<Prediction>), String>| {
            let (_, one) = alone?;
            together.next().or(one.into_iter().next()).ok_or_else(|| "the model did not answer".to_owned())
        };
        alone.into_iter().map(answer).map(|answer| answer.and_then(finite)).collect()
    }
}

/// Predicts for every input in `files`, in order, as [`Batch::file`] reads them. The first input that does not fit ends it with an
/// error that names its place.
pub fn predict_files(
    served: &Served,
    files: &[String],
    sink: &dyn Sink,
) -> Result<Vec<Predicted>, ServeError> {
    let mut done = Vec::new();
    let mut take = |outcomes: Vec<Outcome>| {
        done.extend(outcomes.into_iter().filter_map(|outcome| match outcome {
            Outcome::Predicted(predicted) => Some(predicted),
            Outcome::Unfit(_) => None,
        }));
        Ok(())
    };
    let mut batch = Batch::new(served, OnError::Stop, 0, None, &mut take, sink);
    for file in files {
        batch.file(file)?;
    }
    batch.flush()?;
    drop(batch);
    Ok(done)
}

fn wrong(path: &str, detail: impl Into<String>) -> ServeError {
    ServeError::Input { path: path.to_owned(), detail: detail.into() }
}

/// One input of several that lie one after the other.
fn slice(inputs: &Inputs, index: usize, size: usize) -> Inputs {
    let range = index * size..(index + 1) * size;
    match inputs {
        Inputs::U8(values) => Inputs::U8(Arc::new(values[range].to_vec())),
        Inputs::F32(values) => Inputs::F32(Arc::new(values[range].to_vec())),
    }
}
