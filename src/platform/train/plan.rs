//! What decides the result of a training, checked before anything begins, and its digest.

use super::init::Origin;
use super::network::Network;
use super::preprocess::are_tokens;
use super::spec::{Augment, Sampler, Schedule};
use super::{ModelSpec, TrainError, criterion, settings};
use crate::base::{Digest, Hasher};
use crate::platform::data::{Examples, Parts, Targets};

/// A training that can begin.
pub(super) struct Plan {
    /// The network for these examples.
    pub(super) network: Network,
    /// Of settings and examples: a checkpoint is of the same training if it has the same.
    pub(super) digest: Digest,
}

impl Plan {
    /// Checks settings and examples against each other.
    pub(super) fn of(
        spec: &ModelSpec,
        data: &Parts,
        origin: Option<&Origin<'_>>,
    ) -> Result<Self, TrainError> {
        settings::check(spec)?;
        if spec.train.init.is_some() != origin.is_some() {
            return Err(TrainError::setting(
                "train.init",
                "and the tensors that are given do not go together",
            ));
        }
        check_examples(data)?;
        check_classes(data)?;
        criterion::check(&spec.train.loss, &data.train.targets, data.classes.len())?;
        if spec.train.sampler == Sampler::Balanced && !spec.train.loss.of_classes() {
            let detail = "is `balanced`, but what is predicted is a number: there are no classes to balance";
            return Err(TrainError::setting("train.sampler", detail));
        }
        let moved = |augment: &Augment| !matches!(augment, Augment::Noise(_) | Augment::Mixup(_));
        if data.train.shape.len() != 3 && spec.train.augment.iter().any(moved) {
            return Err(TrainError::setting(
                "train.augment",
                "can only add noise to, or mix, what are no images",
            ));
        }
        if let Some(early) = &spec.train.early_stop {
            check_watched(data, "train.early_stop.metric", &early.metric)?;
        }
        if let Schedule::Plateau(plateau) = &spec.train.schedule {
            check_watched(data, "train.schedule.plateau.metric", &plateau.metric)?;
        }
        let outputs = spec.train.loss.outputs(data.classes.len());
        let mut network = Network::resolve(&spec.network, &data.train.shape, outputs)?;
        network.freeze(&spec.train.freeze)?;
        check_text(data, network.tokens(), network.padding())?;
        if let Some(tokens) = network.tokens() {
            check_tokens(spec, data, tokens)?;
        }
        Ok(Self { network, digest: digest(spec, data, origin)? })
    }
}

/// A metric that is watched must be one that the training has.
fn check_watched(data: &Parts, key: &'static str, metric: &str) -> Result<(), TrainError> {
    let classes = !data.classes.is_empty();
    if metric.starts_with("val.") && data.val.is_empty() {
        let detail = format!("is `{metric}`, but there are no validation examples");
        return Err(TrainError::setting(key, detail));
    }
    if (metric == "val.accuracy" && !classes) || (metric == "val.rmse" && classes) {
        let detail = format!("is `{metric}`, which this model does not have; use `val.loss`");
        return Err(TrainError::setting(key, detail));
    }
    Ok(())
}

/// Texts are numbers of tokens: only an embedding that has all of them makes something of these.
fn check_text(data: &Parts, tokens: Option<usize>, padding: Option<usize>) -> Result<(), TrainError> {
    let Some(text) = &data.text else { return Ok(()) };
    if let Some(padding) = padding.filter(|padding| *padding != text.padding as usize) {
        let detail = format!(
            "has an `embedding` whose padding is the token {padding}, but these texts are filled with {}",
            text.padding
        );
        return Err(TrainError::setting("network", detail));
    }
    let vocabulary = text.vocabulary;
    match tokens {
        Some(tokens) if tokens >= vocabulary => Ok(()),
        Some(tokens) => {
            let detail = format!("has an `embedding` of {tokens} tokens, but the tokenizer has {vocabulary}");
            Err(TrainError::setting("network", detail))
        }
        None => {
            let detail = format!(
                "gets the numbers of tokens: begin it with `embedding: {{tokens: {vocabulary}, size: 64}}`"
            );
            Err(TrainError::setting("network", detail))
        }
    }
}

/// Inputs that are tokens must be numbers that the embedding has, and are not to be changed.
fn check_tokens(spec: &ModelSpec, data: &Parts, tokens: usize) -> Result<(), TrainError> {
    if spec.input.normalize.is_some() {
        return Err(TrainError::setting("input.normalize", "means nothing for tokens"));
    }
    if !spec.train.augment.is_empty() {
        return Err(TrainError::setting("train.augment", "cannot change tokens"));
    }
    for (name, part) in [("train", &data.train), ("val", &data.val)] {
        let mut good = true;
        part.inputs.each(|inputs| good &= are_tokens(inputs, tokens))?;
        if !good {
            let detail = format!("an input in `{name}` is no token, a whole number from 0 to {}", tokens - 1);
            return Err(TrainError::Data(detail));
        }
    }
    Ok(())
}

fn check_examples(data: &Parts) -> Result<(), TrainError> {
    let fail = |detail: String| Err(TrainError::Data(detail));
    if data.train.is_empty() {
        return fail("the training part is empty".to_owned());
    }
    for (name, part) in [("train", &data.train), ("val", &data.val)] {
        if part.is_empty() {
            continue;
        }
        if part.shape != data.train.shape {
            return fail(format!("`{name}` has the shape {:?}, `train` {:?}", part.shape, data.train.shape));
        }
        let length = part.shape.iter().product::<usize>();
        let values = part.inputs.values();
        let mut finite = true;
        if !part.inputs.is_bytes() {
            part.inputs.each(|inputs| finite &= inputs.are_finite())?;
        }
        if !finite {
            return fail(format!("an input in `{name}` is not a finite number"));
        }
        let (targets, good) = match &part.targets {
            Targets::Class(classes) => {
                (classes.len(), classes.iter().all(|&class| (class as usize) < data.classes.len()))
            }
            Targets::Value(numbers) => {
                let classless = data.classes.is_empty();
                (numbers.len(), classless && numbers.iter().all(|number| number.is_finite()))
            }
        };
        if !good {
            return fail(format!("a target in `{name}` is no known class or no finite number"));
        }
        if values != part.len() * length || targets != part.len() || part.len() > u32::MAX as usize {
            return fail(format!("`{name}` does not hold as many inputs and targets as it says"));
        }
        let kinds = |part: &Examples| (part.inputs.is_bytes(), matches!(part.targets, Targets::Class(_)));
        if kinds(part) != kinds(&data.train) {
            return fail(format!("`{name}` holds another kind of values than `train`"));
        }
    }
    Ok(())
}

/// A class that the training part lacks cannot be learnt, and every example of it is judged wrong.
fn check_classes(data: &Parts) -> Result<(), TrainError> {
    let Targets::Class(truths) = &data.train.targets else { return Ok(()) };
    if let [class] = data.classes.as_slice() {
        let class = class.escape_debug();
        let detail = format!("every example is of the class `{class}`: there is nothing to tell apart");
        return Err(TrainError::Data(detail));
    }
    let mut seen = vec![false; data.classes.len()];
    truths.iter().for_each(|truth| seen[*truth as usize] = true);
    for (name, part) in [("val", &data.val), ("test", &data.test)] {
        let Targets::Class(truths) = &part.targets else { continue };
        let unseen = |truth: &u32| seen.get(*truth as usize) == Some(&false);
        if let Some(index) = truths.iter().position(unseen) {
            let class = &data.classes[truths[index] as usize];
            let place = part.origins.name(index).map(|place| format!(" ({})", place.escape_debug()));
            // As whoever forgot `loss:` sees a target of numbers.
            let measured = class.parse::<f64>().is_ok_and(|number| number.fract() != 0.0);
            let advice = match measured {
                true => "if the target is a number to be predicted, say `loss: mse`",
                false => "add some, take it out, or change `split:`",
            };
            return Err(TrainError::Data(format!(
                "the class `{}` has no example in `train`, only in `{name}`{}: {advice}",
                class.escape_debug(),
                place.unwrap_or_default()
            )));
        }
    }
    Ok(())
}

/// What decides the weights: the settings of input, network and training, the tensors that it begins with, and the examples
/// in their order.
fn digest(spec: &ModelSpec, data: &Parts, origin: Option<&Origin<'_>>) -> Result<Digest, TrainError> {
    let settings = (&spec.input, &spec.network, &spec.train, &data.classes, &data.train.shape);
    let settings = serde_json::to_vec(&settings).map_err(|error| TrainError::Data(error.to_string()))?;
    let mut hasher = Hasher::new();
    hasher.update(b"mlp training 1\0").update(&(settings.len() as u64).to_le_bytes()).update(&settings);
    if let Some(origin) = origin {
        hasher.update(origin.digest.as_bytes());
    }
    for part in [&data.train, &data.val] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        // Keys are digests of the inputs.
        part.keys.iter().for_each(|key| {
            hasher.update(&key.to_le_bytes());
        });
        match &part.targets {
            Targets::Class(classes) => classes.iter().for_each(|class| {
                hasher.update(&class.to_le_bytes());
            }),
            Targets::Value(numbers) => numbers.iter().for_each(|number| {
                hasher.update(&number.to_le_bytes());
            }),
        }
    }
    Ok(hasher.finish())
}
