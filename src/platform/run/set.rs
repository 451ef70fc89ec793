//! `--set PATH=VALUE`: changes one setting of a model as written.

use serde_json::Value;

use super::RunError;
use crate::base::nearest;
use crate::platform::train::ModelSpec;

/// The model with one setting changed: `train.epochs=3`, `train.optimizer={sgd: {lr: 0.1}}`, `network.0.conv2d.out=16`.
/// Values are YAML; the result must be a model again.
pub fn set(model: &ModelSpec, setting: &str) -> Result<ModelSpec, RunError> {
    let wrong = |detail: String, nearest: Option<String>| RunError::Set {
        setting: setting.to_owned(),
        detail,
        nearest,
    };
    let (path, text) =
        setting.split_once('=').ok_or_else(|| wrong("expected `PATH=VALUE`".to_owned(), None))?;
    let value: Value = serde_yaml::from_str(text)
        .map_err(|_| wrong(format!("`{}` is not a YAML value", text.trim()), None))?;
    let mut whole = serde_json::to_value(model).unwrap_or_default();
    let mut place = &mut whole;
    let keys: Vec<&str> = path.trim().split('.').collect();
    for (depth, key) in keys.iter().enumerate() {
        let parent = keys[..depth].join(".");
        place = match place {
            Value::Object(map) => {
                // A key that is not there may be one that is optional: whether it exists is seen below.
                let last = depth + 1 == keys.len();
                if !last && !map.contains_key(*key) && !is_option(&parent, key) {
                    let near = nearest(key, map.keys().map(String::as_str)).map(|near| join(&parent, near));
                    return Err(wrong(format!("there is no `{}`", join(&parent, key)), near));
                }
                map.entry(*key).or_insert_with(|| Value::Object(serde_json::Map::new()))
            }
            Value::Array(list) => {
                let length = list.len();
                let index: Option<usize> = key.parse().ok().filter(|index| *index < length);
                match index {
                    Some(index) => &mut list[index],
                    None => {
                        return Err(wrong(
                            format!(
                                "`{parent}` has positions 0 to {}, not `{key}`",
                                length.saturating_sub(1)
                            ),
                            None,
                        ));
                    }
                }
            }
            _ => return Err(wrong(format!("`{parent}` has nothing inside"), None)),
        };
    }
    *place = value;
    // From text, not from the tree: an integer for a float and the like are read as in `mlp.yaml`.
    serde_json::from_str(&whole.to_string()).map_err(|error| {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        let near = unknown(&message).and_then(|(key, known)| {
            let near = nearest(key, known)?;
            // serde does not say where: a key stands beside the last one given, a variant is its value.
            Some(match message.starts_with("unknown variant") {
                true => format!("{}={near}", keys.join(".")),
                false => join(&keys[..keys.len() - 1].join("."), near),
            })
        });
        wrong(message, near)
    })
}

/// Settings that are absent unless given, but have settings inside.
fn is_option(parent: &str, key: &str) -> bool {
    matches!(
        (parent, key),
        ("train", "early_stop" | "ema" | "init" | "resources" | "retry" | "warm_up")
            | ("input", "normalize")
            | ("evaluate", "slices")
    )
}

fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

/// Key and known keys of serde's message: unknown field `epoch`, expected one of `loss`, `optimizer`.
fn unknown(message: &str) -> Option<(&str, impl Iterator<Item = &str>)> {
    let rest = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let key = quoted.next()?;
    Some((key, quoted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::train::{Layer, Optimizer};

    fn model() -> ModelSpec {
        serde_json::from_value(serde_json::json!({
            "data": "mnist",
            "network": [{"conv2d": {"out": 32, "kernel": 3}}, "relu", "flatten", {"linear": 10}],
        }))
        .expect("a model")
    }

    fn refused(setting: &str) -> (String, Option<String>) {
        match set(&model(), setting) {
            Err(RunError::Set { detail, nearest, .. }) => (detail, nearest),
            other => panic!("{setting}: {other:?}"),
        }
    }

    #[test]
    fn settings_of_every_depth_are_changed() {
        assert_eq!(set(&model(), "train.epochs=3").expect("sets").train.epochs, 3);
        assert_eq!(set(&model(), "train.seed = 7").expect("sets").train.seed, 7);
        let stop = set(&model(), "train.early_stop={metric: val.loss, patience: 2}").expect("sets");
        assert_eq!(stop.train.early_stop.expect("is there").patience, 2);
        let sgd = set(&model(), "train.optimizer={sgd: {lr: 1}}").expect("sets");
        assert!(matches!(sgd.train.optimizer, Optimizer::Sgd(sgd) if sgd.lr == 1.0));
        let lr = set(&model(), "train.optimizer.adamw.lr=0.1").expect("sets");
        assert!(matches!(lr.train.optimizer, Optimizer::Adamw(adamw) if adamw.lr == 0.1));
        let conv = set(&model(), "network.0.conv2d.out=16").expect("sets");
        assert!(matches!(&conv.network[0], Layer::Conv2d(conv) if conv.out == 16));
        assert_eq!(set(&model(), "input.shape=[1, 8, 8]").expect("sets").input.shape, Some(vec![1, 8, 8]));
    }

    #[test]
    fn a_misspelt_key_is_refused_and_the_right_one_is_named() {
        assert_eq!(refused("train.epoch=3").1.as_deref(), Some("train.epochs"));
        assert_eq!(refused("trian.epochs=3").1.as_deref(), Some("train"));
        assert_eq!(refused("train.loss=cross_entropi").1.as_deref(), Some("train.loss=cross_entropy"));
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        assert!(refused("train.epochs=many").0.contains("expected u32"));
        assert!(refused("train.epochs=-1").0.contains("u32"));
        assert!(refused("network.9.linear=3").0.contains("positions 0 to 3"));
        assert!(refused("train.epochs").0.contains("PATH=VALUE"));
        assert!(refused("train.epochs.x=1").0.contains("nothing inside"));
        assert!(refused("train=[unclosed").0.contains("YAML"));
    }
}
