//! The training loop.

mod judge;
mod keep;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::{Tensor, Var};
use rayon::prelude::*;

use super::checkpoint::{Checkpoints, Position};
use super::criterion::Criterion;
use super::forward::Pass;
use super::gradients::Gradients;
use super::init::{self, Origin};
use super::measure::count;
use super::network::{Initial, Network, TensorSpec};
use super::optimizer::Optimizer;
use super::preprocess::{self, Augmentation, Normalization, TargetScale};
use super::random::{Purpose, Stream};
use super::sampling::{self, Draw};
use super::schedule::When;
use super::{ModelSpec, TrainError, plan};
use crate::base::{Level, Sink, plural};
use crate::hardware;
use crate::platform::data::{Parts, Targets};

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

/// Trains, beginning with the tensors of `origin` where `train.init` says so, or resuming from `checkpoints` if a checkpoint of the same training is there; writes the model into `out/model`.
///
/// On the processor the weights are the same, bit for bit, whatever the number of threads and however often the training
/// was interrupted and resumed.
///
/// # Errors
/// What [`check`](super::check) finds; [`TrainError::Data`] if the examples do not go with the settings;
/// [`TrainError::Init`] if the tensors of `origin` do not go with the network; [`TrainError::Diverged`] if the loss is not finite, which leaves the last checkpoint; [`TrainError::Io`].
pub fn train(
    spec: &ModelSpec,
    data: &Parts,
    origin: Option<&Origin<'_>>,
    checkpoints: &Path,
    out: &Path,
    control: &Control<'_>,
    sink: &dyn Sink,
) -> Result<Outcome, TrainError> {
    // On a thread of the pool: from any other, each kernel would wake one of its threads and sleep until that has done.
    rayon::scope(|_| {
        let threads = hardware::threads();
        let plan = plan::Plan::of(spec, data, origin)?;
        let (checkpoints, saved) = Checkpoints::open(checkpoints, plan.digest, sink)?;
        let first = match (&spec.train.init, origin) {
            (Some(init), Some(origin)) if saved.is_none() => {
                let first = init::tensors(init, &plan.network, origin)?;
                let (taken, all) = (first.len(), plan.network.tensors.len());
                let text = format!("beginning with {taken} of {all} tensors from `{}`", origin.name);
                sink.log(Level::Info, &text);
                first
            }
            _ => BTreeMap::new(),
        };
        let mut trainer = Trainer::new(spec, data, plan, first, checkpoints, control, sink)?;
        sink.log(
            Level::Info,
            &format!(
                "{}, {}, {}, {}",
                plural(trainer.network.parameters() as u64, "parameter"),
                plural(data.train.len() as u64, "example"),
                hardware::describe_cpu(),
                plural(threads as u64, "thread"),
            ),
        );
        if let Some((position, tensors)) = saved {
            let (step, epoch) = (position.step, position.epoch);
            trainer.restore(position, tensors)?;
            sink.log(Level::Info, &format!("resumed after step {step}, {} done", plural(epoch, "epoch")));
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
    })
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
    /// With `ema`: the moving average of each trained tensor.
    average: Option<Vec<Var>>,
    criterion: Criterion,
    checkpoints: Checkpoints,
    position: Position,
}

impl<'a> Trainer<'a> {
    /// At the beginning: with the values of `first`, random ones where it has none.
    fn new(
        spec: &'a ModelSpec,
        data: &'a Parts,
        plan: plan::Plan,
        first: BTreeMap<String, Vec<f32>>,
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
                let values: Vec<f32> = match (first.get(&tensor.name), tensor.initial) {
                    (Some(values), _) => values.clone(),
                    (None, Initial::Constant(value)) => vec![value; count],
                    (None, Initial::Uniform(bound)) => {
                        (0..count).map(|_| bound * random.symmetric()).collect()
                    }
                    (None, Initial::Normal(deviation)) => {
                        (0..count).map(|_| deviation * random.normal_pair().0).collect()
                    }
                };
                Var::from_vec(values, tensor.shape.clone(), &device)
            })
            .collect::<Result<_, _>>()?;
        let optimizer = Optimizer::new(spec.train.optimizer, &trained(&network, &variables))?;
        let average = match spec.train.ema {
            Some(_) => {
                let copy = |variable: &Var| Var::from_tensor(&variable.as_detached_tensor().copy()?);
                Some(trained(&network, &variables).into_iter().map(copy).collect::<Result<_, _>>()?)
            }
            None => None,
        };
        let target = match &data.train.targets {
            Targets::Class(_) => None,
            Targets::Value(values) => Some(TargetScale::fit(values)?),
        };
        Ok(Self {
            normalization: match network.tokens() {
                Some(_) => Normalization::of_tokens(),
                None => Normalization::fit(&spec.input, &data.train)?,
            },
            position: Position::start(plan.digest),
            criterion: Criterion::new(&spec.train.loss, &data.train.targets, data.classes.len()),
            spec,
            data,
            control,
            sink,
            network,
            target,
            device,
            variables,
            optimizer,
            average,
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

    /// The steps of the epoch that are still to do; false if asked to stop before its end.
    fn epoch(&mut self) -> Result<bool, TrainError> {
        let train = &self.spec.train;
        let examples = &self.data.train;
        let draws = sampling::epoch(train, &examples.targets, examples.len(), self.position.epoch);
        let mut reported = Instant::now();
        for draws in draws.chunks(train.batch_size * train.accumulate).skip(self.position.batch as usize) {
            if (self.control.stop)() {
                return Ok(false);
            }
            self.step(draws)?;
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                self.report();
            }
        }
        self.report();
        Ok(true)
    }

    /// One optimiser step, on one batch or with `accumulate` on several.
    fn step(&mut self, draws: &[Draw]) -> Result<(), TrainError> {
        let train = &self.spec.train;
        let mut gradients = Gradients::none(self.optimizer.tensors());
        for (number, batch) in draws.chunks(train.batch_size).enumerate() {
            let mut random = Stream::new(train.seed, Purpose::Dropout, &[self.position.step]);
            if number > 0 {
                // Apart from the streams of layers, which are numbered from 1 in the same place.
                random = random.nested(0).nested(number as u64);
            }
            self.batch(batch, batch.len() as f64 / draws.len() as f64, random, &mut gradients)?;
        }
        if let Some(norm) = train.clip_norm {
            gradients.clip(norm)?;
        }
        let rate = train.rate(self.when(), self.position.plateau);
        self.optimizer.step(&trained(&self.network, &self.variables), &gradients.0, rate)?;
        self.follow_weights()?;
        self.position.step += 1;
        self.position.batch += 1;
        Ok(())
    }

    /// Adds the gradients of one batch, which is this share of a step.
    fn batch(
        &mut self,
        draws: &[Draw],
        share: f64,
        random: Stream,
        gradients: &mut Gradients,
    ) -> Result<(), TrainError> {
        let train = &self.spec.train;
        let examples = &self.data.train;
        let mixes = sampling::mixes(train, draws, examples.len(), self.position.epoch);
        let augmentation = Augmentation {
            changes: &train.augment,
            seed: train.seed,
            epoch: self.position.epoch,
            draws,
            mixes: &mixes,
        };
        let mixed = mixes.iter().map(|mix| mix.with);
        let source = examples.inputs.batch(draws.iter().map(|draw| draw.example).chain(mixed))?;
        let x = preprocess::augmented(
            &self.normalization,
            &self.network.input,
            &source,
            augmentation,
            &self.device,
        )?;
        let order: Vec<u32> = draws.iter().map(|draw| draw.example).collect();
        let targets = preprocess::targets(&examples.targets, &order, &mixes, self.target);
        let weights: Vec<Tensor> = self.network.tensors.iter().zip(&self.variables).map(in_graph).collect();
        let mut pass = Pass::training(&weights, random);
        let y = pass.run(&self.network.layers, &x)?;
        let statistics = std::mem::take(&mut pass.statistics);
        let (loss, dy) = self.criterion.gradient(&y, &targets, share)?;
        if !loss.is_finite() {
            let (epoch, step) = (self.position.epoch + 1, self.position.batch + 1);
            let checkpoint = self.checkpoints.any();
            return Err(TrainError::Diverged { epoch, step, loss, checkpoint });
        }
        let found = self.network.tensors.iter().zip(pass.backward(dy)?);
        gradients.add(found.filter(|(tensor, _)| tensor.trained).map(|(_, gradient)| gradient))?;
        drop(weights);
        for (weight, found) in statistics {
            let Ok(found) = found.lock() else { continue };
            let count = (draws.len() * positions(&self.network, weight)) as f64;
            let unbiased = count / (count - 1.0).max(1.0);
            self.follow(weight + 2, &found.mean, 1.0)?;
            self.follow(weight + 3, &found.variance, unbiased)?;
        }
        count(&mut self.position.sums, &y, &targets, loss)
    }

    /// Moves the average of the weights towards them.
    fn follow_weights(&self) -> Result<(), TrainError> {
        let (Some(ema), Some(average)) = (self.spec.train.ema, &self.average) else { return Ok(()) };
        // Less in the first steps, so that it does not stay with the initial weights, as TensorFlow has it.
        let step = self.position.step as f64;
        let decay = ema.decay.min((1.0 + step) / (10.0 + step));
        for (average, variable) in average.iter().zip(trained(&self.network, &self.variables)) {
            let kept = (average.as_detached_tensor() * decay)?;
            average.set(&(kept + (variable.as_detached_tensor() * (1.0 - decay))?)?)?;
        }
        Ok(())
    }

    /// What is validated and saved: all tensors, the averages of the trained ones if there are such.
    fn final_variables(&self) -> Vec<&Var> {
        let Some(average) = &self.average else { return self.variables.iter().collect() };
        let mut average = average.iter();
        let both = self.network.tensors.iter().zip(&self.variables);
        both.map(|(tensor, own)| match tensor.trained {
            true => average.next().unwrap_or(own),
            false => own,
        })
        .collect()
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
        let train = &self.spec.train;
        let per_epoch = self.data.train.len().div_ceil(train.batch_size * train.accumulate) as u64;
        When { step: self.position.step, steps: per_epoch * u64::from(train.epochs), per_epoch }
    }
}

/// The trained variables, in the order of the network.
fn trained<'v>(network: &Network, variables: &'v [Var]) -> Vec<&'v Var> {
    let both = network.tensors.iter().zip(variables);
    both.filter(|(tensor, _)| tensor.trained).map(|(_, variable)| variable).collect()
}

/// A tensor as the forward pass takes it: what is frozen needs no gradient.
fn in_graph((tensor, variable): (&TensorSpec, &Var)) -> Tensor {
    if tensor.frozen { variable.as_detached_tensor() } else { variable.as_tensor().clone() }
}

/// Values per example that a batch normalisation averages over.
fn positions(network: &Network, weight: usize) -> usize {
    network.positions(weight).unwrap_or(1)
}

#[cfg(test)]
mod tests;
