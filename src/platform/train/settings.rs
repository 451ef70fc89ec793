//! Checks the settings of a training that no type can hold.

use super::spec::{Augment, ClassWeights, CrossEntropy, Loss, Optimizer, Schedule, WarmUp};
use super::{METRICS, ModelSpec, TrainError, is_metric};
use crate::base::nearest;

/// Metrics that a validation gives, as early stopping names them; the flag says whether less is better.
pub const WATCHED: [(&str, bool); 4] =
    [("val.loss", true), ("val.accuracy", false), ("train.loss", true), ("val.rmse", true)];

/// Whether less of a watched metric is better.
pub(super) fn less_is_better(metric: &str) -> bool {
    WATCHED.iter().any(|(name, less)| *name == metric && *less)
}

/// Steps of one batch beyond which it is taken for a mistake.
const LARGEST_BATCH: usize = 1 << 20;

/// Refuses values that mean nothing, naming the key.
///
/// # Errors
/// [`TrainError::Setting`] for the first.
pub fn check(spec: &ModelSpec) -> Result<(), TrainError> {
    let train = &spec.train;
    require(train.epochs > 0, "train.epochs", "must be over 0")?;
    require(
        (1..=LARGEST_BATCH).contains(&train.batch_size),
        "train.batch_size",
        "must be from 1 to 1048576",
    )?;
    if let Some(normalize) = spec.input.normalize {
        require(normalize.mean.is_finite(), "input.normalize.mean", "must be a finite number")?;
        let positive = normalize.std.is_finite() && normalize.std > 0.0;
        require(positive, "input.normalize.std", "must be over 0")?;
    }
    check_optimizer(&train.optimizer)?;
    check_schedule(&train.schedule)?;
    check_loss(&train.loss)?;
    require(
        (1..=LARGEST_BATCH).contains(&train.accumulate),
        "train.accumulate",
        "must be from 1 to 1048576",
    )?;
    let norm = train.clip_norm.is_none_or(|norm| norm.is_finite() && norm > 0.0);
    require(norm, "train.clip_norm", "must be over 0")?;
    let decay = train.ema.is_none_or(|ema| (0.0..1.0).contains(&ema.decay));
    require(decay, "train.ema.decay", "must be at least 0 and below 1")?;
    let warm_up = match train.warm_up {
        Some(WarmUp::Epochs(epochs)) => epochs.is_finite() && epochs > 0.0,
        Some(WarmUp::Steps(steps)) => steps > 0,
        None => true,
    };
    require(warm_up, "train.warm_up", "must be over 0")?;
    if let Some(init) = &train.init {
        require(!init.from.is_empty(), "train.init.from", "must name a model or a file")?;
    }
    train.augment.iter().try_for_each(check_augment)?;
    if let Some(early) = &train.early_stop {
        require(early.patience > 0, "train.early_stop.patience", "must be over 0")?;
        let known = WATCHED.map(|(name, _)| name);
        check_name("train.early_stop.metric", &early.metric, &known)?;
    }
    let unknown = spec.evaluate.metrics.iter().filter(|name| !is_metric(name));
    unknown.into_iter().try_for_each(|name| check_name("evaluate.metrics", name, &METRICS))
}

fn check_loss(loss: &Loss) -> Result<(), TrainError> {
    match loss {
        Loss::CrossEntropy(CrossEntropy { label_smoothing, class_weights }) => {
            let key = "train.loss.cross_entropy.label_smoothing";
            require((0.0..1.0).contains(label_smoothing), key, "must be at least 0 and below 1")?;
            let good = |weights: &Vec<f32>| {
                weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0)
                    && weights.iter().any(|weight| *weight > 0.0)
            };
            let good = !matches!(class_weights, Some(ClassWeights::Given(weights)) if !good(weights));
            let key = "train.loss.cross_entropy.class_weights";
            require(good, key, "must be at least 0, and one over 0")
        }
        Loss::Huber(huber) => {
            let good = huber.delta.is_finite() && huber.delta > 0.0;
            require(good, "train.loss.huber.delta", "must be over 0")
        }
        Loss::Bce | Loss::Mse | Loss::Mae => Ok(()),
    }
}

fn check_augment(augment: &Augment) -> Result<(), TrainError> {
    let (good, detail) = match *augment {
        Augment::Shift(pixels) => (pixels < 1 << 16, "`shift` is a number of pixels"),
        Augment::Rotate(degrees) => ((0.0..=180.0).contains(&degrees), "`rotate` is from 0 to 180"),
        Augment::Noise(deviation) => {
            (deviation.is_finite() && deviation >= 0.0, "`noise` is a deviation of at least 0")
        }
        Augment::Flip(_) => (true, ""),
        Augment::Crop(crop) => (
            crop.padding < 1 << 16 && crop.scale > 0.0 && crop.scale <= 1.0,
            "`crop` has a padding in pixels and a scale over 0 and up to 1",
        ),
        Augment::Erase(share) => ((0.0..=1.0).contains(&share), "`erase` is a probability"),
        Augment::Mixup(mixup) => {
            (mixup.alpha.is_finite() && mixup.alpha > 0.0, "`mixup` has an `alpha` over 0")
        }
    };
    require(good, "train.augment", detail)
}

fn check_optimizer(optimizer: &Optimizer) -> Result<(), TrainError> {
    let rate = |lr: f64| lr.is_finite() && lr > 0.0;
    let decay = |decay: f64| decay.is_finite() && decay >= 0.0;
    let fraction = |value: f64| (0.0..1.0).contains(&value);
    match *optimizer {
        Optimizer::Sgd(sgd) => {
            require(rate(sgd.lr), "train.optimizer.sgd.lr", "must be over 0")?;
            require(
                fraction(sgd.momentum),
                "train.optimizer.sgd.momentum",
                "must be at least 0 and below 1",
            )?;
            require(decay(sgd.weight_decay), "train.optimizer.sgd.weight_decay", "must be at least 0")
        }
        Optimizer::Adamw(adamw) => {
            require(rate(adamw.lr), "train.optimizer.adamw.lr", "must be over 0")?;
            require(fraction(adamw.beta1), "train.optimizer.adamw.beta1", "must be at least 0 and below 1")?;
            require(fraction(adamw.beta2), "train.optimizer.adamw.beta2", "must be at least 0 and below 1")?;
            require(rate(adamw.eps), "train.optimizer.adamw.eps", "must be over 0")?;
            require(decay(adamw.weight_decay), "train.optimizer.adamw.weight_decay", "must be at least 0")
        }
        Optimizer::Rmsprop(rule) => {
            require(rate(rule.lr), "train.optimizer.rmsprop.lr", "must be over 0")?;
            require(fraction(rule.alpha), "train.optimizer.rmsprop.alpha", "must be at least 0 and below 1")?;
            require(rate(rule.eps), "train.optimizer.rmsprop.eps", "must be over 0")?;
            let key = "train.optimizer.rmsprop.momentum";
            require(fraction(rule.momentum), key, "must be at least 0 and below 1")?;
            require(decay(rule.weight_decay), "train.optimizer.rmsprop.weight_decay", "must be at least 0")
        }
    }
}

fn check_schedule(schedule: &Schedule) -> Result<(), TrainError> {
    match schedule {
        Schedule::Constant | Schedule::Cosine => Ok(()),
        Schedule::OneCycle(cycle) => {
            let rate = cycle.max_lr.is_finite() && cycle.max_lr > 0.0;
            require(rate, "train.schedule.one_cycle.max_lr", "must be over 0")?;
            let share = (0.0..=1.0).contains(&cycle.warm_up);
            require(share, "train.schedule.one_cycle.warm_up", "must be from 0 to 1")
        }
        Schedule::Step(step) => {
            require(step.every > 0, "train.schedule.step.every", "must be over 0")?;
            let factor = step.gamma.is_finite() && step.gamma > 0.0;
            require(factor, "train.schedule.step.gamma", "must be over 0")
        }
        Schedule::Plateau(plateau) => {
            let factor = plateau.factor > 0.0 && plateau.factor < 1.0;
            require(factor, "train.schedule.plateau.factor", "must be over 0 and below 1")?;
            let known = WATCHED.map(|(name, _)| name);
            check_name("train.schedule.plateau.metric", &plateau.metric, &known)
        }
    }
}

fn require(good: bool, key: &'static str, detail: &str) -> Result<(), TrainError> {
    if good { Ok(()) } else { Err(TrainError::setting(key, detail)) }
}

fn check_name(key: &'static str, name: &str, known: &[&str]) -> Result<(), TrainError> {
    if known.contains(&name) {
        return Ok(());
    }
    let detail = match nearest(name, known.iter().copied()) {
        Some(near) => format!("does not know `{name}`; did you mean `{near}`?"),
        None => format!("does not know `{name}`; it knows {}", known.join(", ")),
    };
    Err(TrainError::setting(key, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(train: &str) -> String {
        let yaml = format!("{{data: d, network: [relu], {train}}}");
        let spec: ModelSpec = serde_yaml::from_str(&yaml).expect("a model");
        check(&spec).expect_err("means nothing").to_string()
    }

    #[test]
    fn settings_that_mean_nothing_are_named() {
        for (train, wanted) in [
            ("train: {epochs: 0}", "`train.epochs` must be over 0"),
            ("train: {batch_size: 0}", "`train.batch_size`"),
            ("train: {optimizer: {sgd: {lr: -1}}}", "`train.optimizer.sgd.lr`"),
            ("train: {optimizer: {adamw: {beta1: 1.5}}}", "`train.optimizer.adamw.beta1`"),
            ("train: {schedule: {one_cycle: {max_lr: .nan}}}", "`train.schedule.one_cycle.max_lr`"),
            ("train: {schedule: {step: {every: 0, gamma: 0.5}}}", "`train.schedule.step.every`"),
            ("train: {augment: [{rotate: -3}]}", "`train.augment` `rotate` is from 0 to 180"),
            ("train: {augment: [{crop: {scale: 0}}]}", "`train.augment` `crop`"),
            ("train: {augment: [{erase: 2}]}", "`train.augment` `erase`"),
            ("train: {augment: [{mixup: {alpha: 0}}]}", "`train.augment` `mixup`"),
            (
                "train: {loss: {cross_entropy: {label_smoothing: 1}}}",
                "`train.loss.cross_entropy.label_smoothing`",
            ),
            (
                "train: {loss: {cross_entropy: {class_weights: [0, 0]}}}",
                "`train.loss.cross_entropy.class_weights`",
            ),
            ("train: {loss: {huber: {delta: 0}}}", "`train.loss.huber.delta`"),
            ("train: {accumulate: 0}", "`train.accumulate`"),
            ("train: {clip_norm: 0}", "`train.clip_norm`"),
            ("train: {ema: {decay: 1}}", "`train.ema.decay`"),
            ("train: {warm_up: {epochs: 0}}", "`train.warm_up`"),
            ("train: {optimizer: {rmsprop: {alpha: 1}}}", "`train.optimizer.rmsprop.alpha`"),
            ("train: {schedule: {plateau: {factor: 2}}}", "`train.schedule.plateau.factor`"),
            ("train: {schedule: {plateau: {metric: val.los}}}", "did you mean `val.loss`?"),
            ("input: {normalize: {mean: 0, std: 0}}", "`input.normalize.std`"),
            ("evaluate: {metrics: [acuracy]}", "did you mean `accuracy`?"),
            ("train: {early_stop: {metric: val.los, patience: 2}}", "did you mean `val.loss`?"),
        ] {
            let text = refusal(train);
            assert!(text.contains(wanted), "{train}: {text}");
        }
    }
}
