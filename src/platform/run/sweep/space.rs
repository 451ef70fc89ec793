//! What a sweep tries: settings and their values.

use serde_json::Value;

use super::super::RunError;
use crate::base::Digest;
use crate::platform::train::{Purpose, Stream};

/// The settings of one trial, as `--set` takes them: path and value.
pub type Settings = Vec<(String, Value)>;

/// More points than this are a mistake.
const MOST: usize = 10_000;

/// All that may be tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    axes: Vec<Axis>,
}

#[derive(Clone, Debug, PartialEq)]
struct Axis {
    path: String,
    values: Values,
}

#[derive(Clone, Debug, PartialEq)]
enum Values {
    /// These.
    List(Vec<Value>),
    /// All from `low` to `high`, drawn evenly, or evenly in their logarithms; integers if both ends are.
    Range { low: f64, high: f64, log: bool, whole: bool },
}

impl Space {
    /// Reads `PATH=VALUES`, where the values are a list (`[32, 64]`), `{uniform: [0, 0.5]}` or `{log: [1e-4, 0.1]}`.
    pub fn read(texts: &[String]) -> Result<Self, RunError> {
        let mut axes: Vec<Axis> = Vec::new();
        for text in texts {
            let wrong = |detail: &str| RunError::Space { axis: text.clone(), detail: detail.to_owned() };
            let (path, values) = text.split_once('=').ok_or_else(|| wrong("expected `PATH=VALUES`"))?;
            let path = path.trim().to_owned();
            if axes.iter().any(|axis| axis.path == path) {
                return Err(wrong("this setting was named before"));
            }
            let value: Value = serde_yaml::from_str(values).map_err(|_| wrong("its values are no YAML"))?;
            axes.push(Axis { path, values: Values::read(value).map_err(wrong)? });
        }
        Ok(Self { axes })
    }

    /// The settings that are tried.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.axes.iter().map(|axis| axis.path.as_str())
    }

    /// Every combination; the last setting changes first.
    pub fn grid(&self) -> Result<Vec<Settings>, RunError> {
        let mut points: Vec<Settings> = vec![Vec::new()];
        for axis in &self.axes {
            let wrong = |detail: String| RunError::Space { axis: axis.path.clone(), detail };
            let Values::List(values) = &axis.values else {
                return Err(wrong("a grid wants a list of values: [0.001, 0.01]".to_owned()));
            };
            if points.len() * values.len() > MOST {
                return Err(wrong(format!("the grid has over {MOST} points: try `--random N`")));
            }
            let longer = |point: &Settings, value: &Value| {
                let mut point = point.clone();
                point.push((axis.path.clone(), value.clone()));
                point
            };
            points =
                points.iter().flat_map(|point| values.iter().map(|value| longer(point, value))).collect();
        }
        Ok(points)
    }

    /// `count` points drawn by chance, each at most once; fewer if there are not so many. The first ones do not depend on how many follow.
    pub fn random(&self, seed: u64, count: usize) -> Vec<Settings> {
        let mut points: Vec<Settings> = Vec::new();
        let mut known = std::collections::HashSet::new();
        // A space of few points is exhausted before so many draws.
        for draw in 0..(count as u64).saturating_mul(100) {
            if points.len() == count {
                break;
            }
            let point = self.draw(seed, draw);
            if known.insert(serde_json::to_string(&point).unwrap_or_default()) {
                points.push(point);
            }
        }
        points
    }

    fn draw(&self, seed: u64, draw: u64) -> Settings {
        let value = |axis: &Axis| {
            // By its name: a setting that is added changes nothing about the others.
            let name = Digest::of(axis.path.as_bytes());
            let name = name.as_bytes().iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte));
            let mut stream = Stream::new(seed, Purpose::Sweep, &[name, draw]);
            (axis.path.clone(), axis.values.draw(&mut stream))
        };
        self.axes.iter().map(value).collect()
    }
}

impl Values {
    fn read(value: Value) -> Result<Self, &'static str> {
        let map = match value {
            Value::Array(values) if values.is_empty() => return Err("it has no values"),
            Value::Array(values) => {
                let again = (1..values.len()).any(|at| values[..at].contains(&values[at]));
                return if again { Err("a value stands twice") } else { Ok(Self::List(values)) };
            }
            Value::Object(map) => map,
            _ => return Err("expected a list, `{uniform: [LOW, HIGH]}` or `{log: [LOW, HIGH]}`"),
        };
        let mut entries = map.into_iter();
        let (Some((kind, ends)), None) = (entries.next(), entries.next()) else {
            return Err("expected one of `uniform` and `log`");
        };
        let log = match kind.as_str() {
            "uniform" => false,
            "log" => true,
            _ => return Err("expected `uniform` or `log`"),
        };
        let ends = ends.as_array().map(Vec::as_slice).unwrap_or_default();
        let [low, high] = ends else { return Err("a range has two ends: [LOW, HIGH]") };
        let whole = low.is_i64() && high.is_i64();
        let (Some(low), Some(high)) = (low.as_f64(), high.as_f64()) else {
            return Err("the ends of a range are numbers");
        };
        if low >= high || !low.is_finite() || !high.is_finite() {
            return Err("the first end of a range is the lower one");
        }
        if log && low <= 0.0 {
            return Err("logarithms begin above 0");
        }
        Ok(Self::Range { low, high, log, whole })
    }

    fn draw(&self, stream: &mut Stream) -> Value {
        match *self {
            Self::List(ref values) => values[stream.below(values.len())].clone(),
            Self::Range { low, high, log, whole } => {
                // Each integer has as much room as the others.
                let top = if whole { high + 1.0 } else { high };
                let at = (stream.bits() >> 11) as f64 / (1_u64 << 53) as f64;
                let drawn = match log {
                    true => (low.ln() + at * (top.ln() - low.ln())).exp(),
                    false => low + at * (top - low),
                };
                match whole {
                    true => Value::from((drawn.floor() as i64).clamp(low as i64, high as i64)),
                    false => Value::from(readable(drawn).clamp(low, high)),
                }
            }
        }
    }
}

/// The number with four digits: who types it again has the same trial.
fn readable(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn space(texts: &[&str]) -> Space {
        Space::read(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).expect("a space")
    }

    #[test]
    fn a_grid_has_every_combination_once() {
        let grid = space(&["train.lr=[0.1, 0.2]", "train.batch_size=[8, 16, 32]"]).grid().expect("a grid");
        assert_eq!(grid.len(), 6);
        assert_eq!(
            grid[1],
            [("train.lr".to_owned(), json!(0.1)), ("train.batch_size".to_owned(), json!(16))]
        );
        let mut texts: Vec<String> = grid.iter().map(|point| format!("{point:?}")).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 6);
    }

    #[test]
    fn points_by_chance_lie_in_the_space_and_stay_the_same() {
        let space = space(&[
            "lr={log: [1.0e-4, 0.1]}",
            "drop={uniform: [0, 0.5]}",
            "width={uniform: [1, 8]}",
            "act=[a, b]",
        ]);
        let points = space.random(7, 400);
        assert_eq!(points.len(), 400);
        assert_eq!(points[..50], space.random(7, 50));
        assert_ne!(points[..50], space.random(8, 50));
        let of = |at: usize| points.iter().map(move |point| &point[at].1);
        let (mut low, mut widths) = (0, std::collections::BTreeSet::new());
        for value in of(0) {
            let value = value.as_f64().expect("a number");
            assert!((1e-4..=0.1).contains(&value), "{value}");
            low += usize::from(value < 0.00316);
        }
        assert!((150..250).contains(&low), "half of them lie below the middle of the logarithms: {low}");
        assert!(of(1).all(|value| (0.0..=0.5).contains(&value.as_f64().expect("a number"))));
        widths.extend(of(2).map(|value| value.as_i64().expect("an integer")));
        assert_eq!(widths.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn a_small_space_is_tried_once() {
        assert_eq!(space(&["a=[1, 2]", "b=[x, y]"]).random(1, 50).len(), 4);
        assert_eq!(space(&[]).random(1, 50).len(), 1);
    }

    #[test]
    fn what_is_no_space_is_refused_with_the_reason() {
        let refused = |text: &str| match Space::read(&[text.to_owned()]) {
            Err(RunError::Space { detail, .. }) => detail,
            other => panic!("{text}: {other:?}"),
        };
        for (text, part) in [
            ("lr", "PATH=VALUES"),
            ("lr=[]", "no values"),
            ("lr=[1, 1]", "twice"),
            ("lr=0.1", "expected a list"),
            ("lr={uniform: [2, 1]}", "lower"),
            ("lr={log: [0, 1]}", "above 0"),
            ("lr={log: [1]}", "two ends"),
            ("lr={normal: [0, 1]}", "`uniform` or `log`"),
            ("lr={uniform: [a, b]}", "numbers"),
            ("lr=[1", "YAML"),
        ] {
            assert!(refused(text).contains(part), "{text}: {}", refused(text));
        }
        let error = space(&["lr={log: [0.1, 1]}"]).grid().expect_err("is no grid");
        assert!(error.to_string().contains("list of values"), "{error}");
        let wide = format!("a={:?}", (0..200).collect::<Vec<_>>());
        assert!(space(&[&wide, &wide.replace('a', "b")]).grid().is_err());
    }
}
