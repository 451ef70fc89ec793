//! The end of an epoch: validation, metrics, and what follows from them.

use candle_core::Tensor;

use super::{Trainer, VALIDATION_BATCH};
use crate::base::{Event, Level, Progress, Unit, What};
use crate::platform::data::Examples;
use crate::platform::train::checkpoint::{Best, Sums};
use crate::platform::train::forward::Pass;
use crate::platform::train::measure::{averages, count};
use crate::platform::train::schedule::When;
use crate::platform::train::settings::less_is_better;
use crate::platform::train::spec::Schedule;
use crate::platform::train::{TrainError, preprocess};

impl Trainer<'_> {
    pub(super) fn report(&self) {
        let Sums { loss, correct, examples, .. } = self.position.sums;
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
    pub(super) fn end_epoch(&mut self, rate: f64) -> Result<(), TrainError> {
        let position = &mut self.position;
        let mut metrics = averages("train", position.sums, self.target);
        (position.epoch, position.batch, position.sums) = (position.epoch + 1, 0, Sums::default());
        if !self.data.val.is_empty() {
            metrics.extend(averages("val", self.validate()?, self.target));
        }
        let last = When { step: self.position.step - 1, ..self.when() };
        metrics.push(("lr".to_owned(), self.spec.train.rate(last, self.position.plateau)));
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
        self.follow_plateau();
        self.judge_epoch();
        Ok(())
    }

    /// Tells the plateau schedule how the epoch went.
    fn follow_plateau(&mut self) {
        let Schedule::Plateau(plateau) = &self.spec.train.schedule else { return };
        let Some(&value) = self.position.metrics.get(&plateau.metric) else { return };
        let before = self.position.plateau;
        let after = plateau.follow(before, value, less_is_better(&plateau.metric));
        if before.is_some_and(|before| before.factor != after.factor) {
            let text =
                format!("`{}` does not get better: learning rate times {}", plateau.metric, after.factor);
            self.sink.log(Level::Info, &text);
        }
        self.position.plateau = Some(after);
    }

    /// Whether the epoch is the best so far, and whether it is time to stop.
    fn judge_epoch(&mut self) {
        let Some(early) = &self.spec.train.early_stop else { return };
        let Some(&value) = self.position.metrics.get(&early.metric) else { return };
        let less = less_is_better(&early.metric);
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

    /// The whole validation part, by the averaged weights if there are such.
    fn validate(&self) -> Result<Sums, TrainError> {
        let Examples { inputs, targets, .. } = &self.data.val;
        let weights: Vec<Tensor> =
            self.final_variables().into_iter().map(|variable| variable.as_detached_tensor()).collect();
        let order: Vec<u32> = (0..self.data.val.len() as u32).collect();
        let mut sums = Sums::default();
        for batch in order.chunks(VALIDATION_BATCH) {
            let source = inputs.batch(batch.iter().copied())?;
            let x =
                preprocess::inputs(&self.normalization, &self.network.input, &source, batch, &self.device)?;
            let y = Pass::inference(&weights).run(&self.network.layers, &x)?;
            let targets = preprocess::targets(targets, batch, &[], self.target);
            let loss = self.criterion.of(&y, &targets)?.to_scalar::<f32>()?;
            count(&mut sums, &y, &targets, loss)?;
        }
        Ok(sums)
    }
}
