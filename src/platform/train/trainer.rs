//! The training loop.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::{Tensor, Var};
use rayon::prelude::*;

use super::checkpoint::{Best, Checkpoints, Position, Sums, Tensors, publish, serialize};
use super::forward::Pass;
use super::measure::{averages, correct, loss};
use super::model::{Description, InputDescription, Task, WeightsDescription, schema};
use super::network::{Initial, Network};
use super::optimizer::Optimizer;
use super::preprocess::{self, Augmentation, Normalization, TargetScale};
use super::random::{Purpose, Stream};
use super::schedule::When;
use super::settings::WATCHED;
use super::{ModelSpec, TrainError, plan};
use crate::base::{Artifact, Digest, Event, Level, Progress, Sink, Unit, What};
use crate::hardware;
use crate::platform::data::{Examples, Parts, Targets};

/// Share of the batch's statistics in the running ones, as in PyTorch.
const MOMENTUM: f64 = 0.1;
/// Examples validated at a time.
const VALIDATION_BATCH: usize = 256;
/// Time between two reports of progress.
const REPORT: Duration = Duration::from_millis(100);

/// What the loop asks its surroundings between steps.
pub struct Control<'a> {
    /// True when the training should checkpoint and stop.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Called before a checkpoint becomes visible; false means that another attempt has taken over.
    pub fence: &'a (dyn Fn() -> bool + Sync),
}

/// Why training stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// All epochs are done, or early stop.
    Finished,
    /// `Control::stop` said so; a checkpoint is written.
    Interrupted,
    /// `Control::fence` said no; nothing was written.
    Fenced,
}

/// What a training came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Why it stopped.
    pub stopped: Stopped,
    /// Last (best, with early stop) value of each metric.
    pub metrics: BTreeMap<String, f64>,
    /// Folder of the finished model (`model.safetensors`, `model.json`), if finished.
    pub model: Option<PathBuf>,
}

/// Trains, resuming from `checkpoints` if a checkpoint of the same training is there; writes the model into `out/model`.
///
/// On the processor the weights are the same, bit for bit, whatever the number of threads and however often the training
/// was interrupted and resumed.
///
/// # Errors
/// What [`check`](super::check) finds; [`TrainError::Data`] if the examples do not go with the settings;
/// [`TrainError::Diverged`] if the loss is not finite, which leaves the last checkpoint; [`TrainError::Io`].
pub fn train(
    spec: &ModelSpec,
    data: &Parts,
    checkpoints: &Path,
    out: &Path,
    control: &Control<'_>,
    sink: &dyn Sink,
) -> Result<Outcome, TrainError> {
    let threads = hardware::threads();
    let plan = plan::Plan::of(spec, data)?;
    let (checkpoints, saved) = Checkpoints::open(checkpoints, plan.digest, sink)?;
    let mut trainer = Trainer::new(spec, data, plan, checkpoints, control, sink)?;
    sink.log(
        Level::Info,
        &format!(
            "{} parameters, {} examples, {}, {threads} threads",
            trainer.network.parameters(),
            data.train.len(),
            hardware::describe_cpu(),
        ),
    );
    if let Some((position, tensors)) = saved {
        let (step, epoch) = (position.step, position.epoch);
        trainer.restore(position, tensors)?;
        sink.log(Level::Info, &format!("resumed after step {step}, {epoch} epochs done"));
    }
    let stopped = trainer.run()?;
    let mut outcome = Outcome { stopped, metrics: trainer.position.metrics.clone(), model: None };
    if stopped == Stopped::Finished {
        if let Some(best) = trainer.choose_best()? {
            outcome.metrics = best.metrics;
        }
        match trainer.write_model(&out.join("model"))? {
            Some(folder) => outcome.model = Some(folder),
            None => outcome.stopped = Stopped::Fenced,
        }
    }
    Ok(outcome)
}

struct Trainer<'a> {
    spec: &'a ModelSpec,
    data: &'a Parts,
    control: &'a Control<'a>,
    sink: &'a dyn Sink,
    network: Network,
    normalization: Normalization,
    target: Option<TargetScale>,
    device: candle_core::Device,
    /// All tensors, in the order of the network.
    variables: Vec<Var>,
    optimizer: Optimizer,
    checkpoints: Checkpoints,
    position: Position,
}

impl<'a> Trainer<'a> {
    fn new(
        spec: &'a ModelSpec,
        data: &'a Parts,
        plan: plan::Plan,
        checkpoints: Checkpoints,
        control: &'a Control<'a>,
        sink: &'a dyn Sink,
    ) -> Result<Self, TrainError> {
        let network = plan.network;
        let device = super::device::choose(sink)?;
        let variables: Vec<Var> = network
            .tensors
            .par_iter()
            .enumerate()
            .map(|(index, tensor)| {
                let mut random = Stream::new(spec.train.seed, Purpose::Weights, &[index as u64]);
                let count = tensor.shape.iter().product();
                let values: Vec<f32> = match tensor.initial {
                    Initial::Constant(value) => vec![value; count],
                    Initial::Uniform(bound) => (0..count).map(|_| bound * random.symmetric()).collect(),
                    Initial::Normal(deviation) => {
                        (0..count).map(|_| deviation * random.normal_pair().0).collect()
                    }
                };
                Var::from_vec(values, tensor.shape.clone(), &device)
            })
            .collect::<Result<_, _>>()?;
        let optimizer = Optimizer::new(spec.train.optimizer, &trained(&network, &variables))?;
        let target = match &data.train.targets {
            Targets::Class(_) => None,
            Targets::Value(values) => Some(TargetScale::fit(values)),
        };
        Ok(Self {
            normalization: match network.tokens() {
                Some(_) => Normalization::of_tokens(),
                None => Normalization::fit(&spec.input, &data.train)?,
            },
            position: Position::start(plan.digest),
            spec,
            data,
            control,
            sink,
            network,
            target,
            device,
            variables,
            optimizer,
            checkpoints,
        })
    }

    /// Epoch after epoch until all are done or something says stop.
    fn run(&mut self) -> Result<Stopped, TrainError> {
        while self.position.epoch < u64::from(self.spec.train.epochs) && !self.position.stopped {
            let begun = Instant::now();
            let already = self.position.sums.examples;
            if !self.epoch()? {
                return Ok(if self.save()? { Stopped::Interrupted } else { Stopped::Fenced });
            }
            let seconds = begun.elapsed().as_secs_f64();
            let rate = (self.position.sums.examples - already) as f64 / seconds.max(1e-9);
            self.end_epoch(rate)?;
            if !self.save()? {
                return Ok(Stopped::Fenced);
            }
        }
        Ok(Stopped::Finished)
    }

    /// The batches of the epoch that are still to do; false if asked to stop before its end.
    fn epoch(&mut self) -> Result<bool, TrainError> {
        let train = &self.spec.train;
        let order = Stream::new(train.seed, Purpose::Order, &[self.position.epoch])
            .permutation(self.data.train.len());
        let mut reported = Instant::now();
        for batch in order.chunks(train.batch_size).skip(self.position.batch as usize) {
            if (self.control.stop)() {
                return Ok(false);
            }
            self.step(batch)?;
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                self.report();
            }
        }
        self.report();
        Ok(true)
    }

    /// One optimiser step.
    fn step(&mut self, batch: &[u32]) -> Result<(), TrainError> {
        let train = &self.spec.train;
        let examples = &self.data.train;
        let augmentation =
            Augmentation { changes: &train.augment, seed: train.seed, epoch: self.position.epoch };
        let x = preprocess::inputs(
            &self.normalization,
            &self.network.input,
            &examples.inputs,
            batch,
            Some(augmentation),
            &self.device,
        )?;
        let targets = preprocess::targets(&examples.targets, batch, self.target);
        let weights: Vec<Tensor> =
            self.variables.iter().map(|variable| variable.as_tensor().clone()).collect();
        let random = Stream::new(train.seed, Purpose::Dropout, &[self.position.step]);
        let mut pass = Pass::training(&weights, random);
        let y = pass.run(&self.network.layers, &x)?;
        let statistics = std::mem::take(&mut pass.statistics);
        let correct = correct(&y, &targets)?;
        let loss = loss(&y, targets)?;
        let value = loss.to_scalar::<f32>()?;
        if !value.is_finite() {
            let (epoch, step) = (self.position.epoch + 1, self.position.batch + 1);
            return Err(TrainError::Diverged { epoch, step, loss: value });
        }
        let gradients = loss.backward()?;
        drop((weights, y, loss));
        let rate = train.schedule.rate(&train.optimizer, self.when());
        self.optimizer.step(&trained(&self.network, &self.variables), &gradients, rate)?;
        for (weight, found) in statistics {
            let Ok(found) = found.lock() else { continue };
            let count = (batch.len() * positions(&self.network, weight)) as f64;
            let unbiased = count / (count - 1.0).max(1.0);
            self.follow(weight + 2, &found.mean, 1.0)?;
            self.follow(weight + 3, &found.variance, unbiased)?;
        }
        self.position.step += 1;
        self.position.batch += 1;
        self.position.sums.loss += f64::from(value) * batch.len() as f64;
        self.position.sums.correct += correct;
        self.position.sums.examples += batch.len() as u64;
        Ok(())
    }

    /// Moves a running statistic towards `found * factor`.
    fn follow(&self, index: usize, found: &[f32], factor: f64) -> Result<(), TrainError> {
        let variable = &self.variables[index];
        let found = Tensor::new(found, &self.device)?;
        let kept = (variable.as_detached_tensor() * (1.0 - MOMENTUM))?;
        variable.set(&(kept + (found * (MOMENTUM * factor))?)?)?;
        Ok(())
    }

    fn when(&self) -> When {
        let per_epoch = self.data.train.len().div_ceil(self.spec.train.batch_size) as u64;
        When { step: self.position.step, steps: per_epoch * u64::from(self.spec.train.epochs), per_epoch }
    }

    fn report(&self) {
        let Sums { loss, correct, examples } = self.position.sums;
        let mut note = format!("loss {:.4}", loss / examples.max(1) as f64);
        if self.target.is_none() {
            note += &format!("  accuracy {:.1} %", 100.0 * correct as f64 / examples.max(1) as f64);
        }
        self.sink.emit(&Event::now(What::Progress(Progress {
            task: format!("epoch {}/{}", self.position.epoch + 1, self.spec.train.epochs),
            done: examples,
            total: Some(self.data.train.len() as u64),
            unit: Unit::Samples,
            note: Some(note),
        })));
    }

    /// Validates, tells the metrics, and decides about the best epoch and early stopping.
    fn end_epoch(&mut self, rate: f64) -> Result<(), TrainError> {
        let position = &mut self.position;
        let mut metrics = averages("train", position.sums, self.target);
        (position.epoch, position.batch, position.sums) = (position.epoch + 1, 0, Sums::default());
        if !self.data.val.is_empty() {
            metrics.extend(averages("val", self.validate()?, self.target));
        }
        let last = When { step: self.position.step - 1, ..self.when() };
        metrics.push(("lr".to_owned(), self.spec.train.schedule.rate(&self.spec.train.optimizer, last)));
        let (step, epoch) = (Some(self.position.step), Some(self.position.epoch));
        for (name, value) in &metrics {
            self.sink.metric(name, *value, step, epoch);
        }
        // Not kept in the checkpoint: two runs of one training have the same checkpoints.
        self.sink.metric("samples_per_second", rate, step, epoch);
        let shown: Vec<String> = metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        let text = format!("epoch {}: {}, {rate:.0} samples/s", self.position.epoch, shown.join(", "));
        self.sink.log(Level::Debug, &text);
        self.position.metrics = metrics.into_iter().collect();
        self.judge_epoch();
        Ok(())
    }

    /// Whether the epoch is the best so far, and whether it is time to stop.
    fn judge_epoch(&mut self) {
        let Some(early) = &self.spec.train.early_stop else { return };
        let Some(&value) = self.position.metrics.get(&early.metric) else { return };
        let less = WATCHED.iter().any(|(name, less)| *name == early.metric && *less);
        let better = |best: &Best| if less { value < best.value } else { value > best.value };
        if self.position.best.as_ref().is_none_or(better) {
            let (epoch, step) = (self.position.epoch, self.position.step);
            self.position.best = Some(Best { epoch, step, value, metrics: self.position.metrics.clone() });
            self.position.waited = 0;
            return;
        }
        self.position.waited += 1;
        if self.position.waited >= early.patience {
            self.position.stopped = true;
            let best = self.position.best.as_ref().map_or(0, |best| best.epoch);
            let text = format!("`{}` has not become better since epoch {best}: stopped", early.metric);
            self.sink.log(Level::Info, &text);
        }
    }

    fn validate(&self) -> Result<Sums, TrainError> {
        let Examples { inputs, targets, .. } = &self.data.val;
        let weights: Vec<Tensor> =
            self.variables.iter().map(|variable| variable.as_detached_tensor()).collect();
        let order: Vec<u32> = (0..self.data.val.len() as u32).collect();
        let mut sums = Sums::default();
        for batch in order.chunks(VALIDATION_BATCH) {
            let x = preprocess::inputs(
                &self.normalization,
                &self.network.input,
                inputs,
                batch,
                None,
                &self.device,
            )?;
            let y = Pass::inference(&weights).run(&self.network.layers, &x)?;
            let targets = preprocess::targets(targets, batch, self.target);
            sums.correct += correct(&y, &targets)?;
            sums.loss += f64::from(loss(&y, targets)?.to_scalar::<f32>()?) * batch.len() as f64;
            sums.examples += batch.len() as u64;
        }
        Ok(sums)
    }

    /// Writes a checkpoint; false if another attempt has taken over.
    fn save(&mut self) -> Result<bool, TrainError> {
        let mut tensors = self.tensors()?;
        let names = self.network.tensors.iter().filter(|tensor| tensor.trained);
        for (tensor, [first, second]) in names.zip(self.optimizer.moments()?) {
            tensors.insert(format!("optimizer.first.{}", tensor.name), (tensor.shape.clone(), first));
            tensors.insert(format!("optimizer.second.{}", tensor.name), (tensor.shape.clone(), second));
        }
        self.checkpoints.write(&self.position, &tensors, &self.control.fence)
    }

    /// The tensors of the model by name.
    fn tensors(&self) -> Result<Tensors, TrainError> {
        let tensors = self.network.tensors.iter().zip(&self.variables).map(|(tensor, variable)| {
            let values = variable.flatten_all()?.to_vec1::<f32>()?;
            Ok((tensor.name.clone(), (tensor.shape.clone(), values)))
        });
        tensors.collect()
    }

    /// Goes on from a checkpoint of the same plan, whose names and shapes are therefore those of this network.
    fn restore(&mut self, position: Position, mut tensors: Tensors) -> Result<(), TrainError> {
        let mut take = |name: &str| {
            let (_, values) = tensors
                .remove(name)
                .ok_or_else(|| TrainError::Model(format!("the checkpoint has no tensor `{name}`")))?;
            Ok::<_, TrainError>(values)
        };
        let mut moments = Vec::new();
        for tensor in self.network.tensors.iter().filter(|tensor| tensor.trained) {
            let first = take(&format!("optimizer.first.{}", tensor.name))?;
            moments.push([first, take(&format!("optimizer.second.{}", tensor.name))?]);
        }
        self.optimizer.restore(position.step, moments)?;
        self.set_weights(&tensors)?;
        self.position = position;
        self.position.attempt += 1;
        Ok(())
    }

    fn set_weights(&self, tensors: &Tensors) -> Result<(), TrainError> {
        for (tensor, variable) in self.network.tensors.iter().zip(&self.variables) {
            let Some((shape, values)) = tensors.get(&tensor.name) else {
                return Err(TrainError::Model(format!("the checkpoint has no tensor `{}`", tensor.name)));
            };
            variable.set(&Tensor::from_vec(values.clone(), shape.clone(), &self.device)?)?;
        }
        Ok(())
    }

    /// With early stopping, goes back to the best epoch.
    fn choose_best(&mut self) -> Result<Option<Best>, TrainError> {
        let Some(best) = self.position.best.clone() else { return Ok(None) };
        if best.step == self.position.step {
            return Ok(Some(best));
        }
        let Some(tensors) = self.checkpoints.at(best.step) else {
            let text = format!("the checkpoint of epoch {} is damaged or gone: keeping the last", best.epoch);
            self.sink.log(Level::Warn, &text);
            return Ok(None);
        };
        self.set_weights(&tensors)?;
        self.sink.log(Level::Info, &format!("kept the weights of epoch {}", best.epoch));
        Ok(Some(best))
    }

    /// Writes `model.safetensors` and then `model.json`, which names its digest: until both are there the folder is no
    /// model. None if another attempt has taken over.
    fn write_model(&self, folder: &Path) -> Result<Option<PathBuf>, TrainError> {
        std::fs::create_dir_all(folder).map_err(TrainError::io("make the folder", folder))?;
        let weights = serialize(&self.tensors()?, None)
            .map_err(|error| TrainError::io("write", folder)(std::io::Error::other(error)))?;
        let digest = Digest::of(&weights);
        let description = Description {
            schema: schema(),
            task: if self.target.is_none() { Task::Classification } else { Task::Regression },
            input: InputDescription {
                shape: self.network.input.clone(),
                normalization: self.normalization.clone(),
                columns: self.data.columns.clone(),
                encoding: self.data.encoding.clone(),
            },
            classes: self.data.classes.clone(),
            target: self.target,
            network: self.spec.network.clone(),
            weights: WeightsDescription { digest, parameters: self.network.parameters() },
            framework: format!("mlp {}", env!("CARGO_PKG_VERSION")),
        };
        let files = [("model.safetensors", weights), ("model.json", description.to_bytes())];
        for (name, bytes) in files {
            if !publish(&folder.join(name), &bytes, &self.control.fence)? {
                return Ok(None);
            }
        }
        self.sink.emit(&Event::now(What::Artifact(Artifact {
            path: "model".to_owned(),
            kind: Some("model".to_owned()),
            digest: Some(digest),
        })));
        Ok(Some(folder.to_owned()))
    }
}

/// The trained variables, in the order of the network.
fn trained<'v>(network: &Network, variables: &'v [Var]) -> Vec<&'v Var> {
    let both = network.tensors.iter().zip(variables);
    both.filter(|(tensor, _)| tensor.trained).map(|(_, variable)| variable).collect()
}

/// Values per example that a batch normalisation averages over.
fn positions(network: &Network, weight: usize) -> usize {
    network.positions(weight).unwrap_or(1)
}

#[cfg(test)]
mod tests;
