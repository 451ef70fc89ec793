//! What is watched of an input: the columns of a table, brightness, contrast and sharpness of an image, the length of a text.

use crate::platform::data::{ColumnKind, Inputs};
use crate::platform::train::{Model, Prediction};

use super::Value;

/// Values of inputs that are neither table, image nor text, up to which each is watched on its own.
const MOST_VALUES: usize = 64;
/// The category of what no category of the training part is, or of none.
const OTHER: &str = "(other)";

/// The features of one model's inputs.
#[derive(Clone, Debug)]
pub struct Features {
    kind: Kind,
    /// Values of one input.
    size: usize,
}

#[derive(Clone, Debug)]
enum Kind {
    Table(Vec<(String, ColumnKind)>),
    /// Planes of so many values in rows of so many, and what white is.
    Image {
        planes: usize,
        width: usize,
        white: f32,
    },
    Text {
        padding: f32,
    },
    Plain,
}

impl Features {
    /// Of the inputs of this model.
    pub fn of(model: &Model) -> Self {
        let shape = &model.shape;
        let size = shape.iter().product();
        let kind = match (&model.encoding, &model.text) {
            (Some(encoding), _) => {
                Kind::Table(encoding.columns.iter().map(|c| (c.name.clone(), c.kind.clone())).collect())
            }
            (None, Some(text)) => Kind::Text { padding: text.padding as f32 },
            (None, None) if shape.len() == 1 && size <= MOST_VALUES && !model.pixels => Kind::Plain,
            (None, None) => Kind::Image {
                planes: if shape.len() == 3 { shape[0] } else { 1 },
                width: shape.last().copied().unwrap_or(1).max(1),
                white: if model.pixels { 255.0 } else { 1.0 },
            },
        };
        Self { kind, size }
    }

    /// Their names, in order.
    pub fn names(&self) -> Vec<String> {
        match &self.kind {
            Kind::Table(columns) => columns.iter().map(|(name, _)| name.clone()).collect(),
            Kind::Image { planes: 1, .. } => IMAGE.map(str::to_owned).to_vec(),
            Kind::Image { planes, .. } => (0..*planes)
                .flat_map(|plane| IMAGE.map(|name| format!("{name} of channel {plane}")))
                .collect(),
            Kind::Text { .. } => vec!["tokens".to_owned()],
            Kind::Plain => (0..self.size).map(|index| format!("value {index}")).collect(),
        }
    }

    /// The features of each input, in the order of the names.
    pub fn read(&self, inputs: &Inputs) -> Vec<Vec<Value>> {
        match inputs {
            Inputs::U8(values) => self.rows(values, |value| f32::from(*value)),
            Inputs::F32(values) => self.rows(values, |value| *value),
        }
    }

    fn rows<T>(&self, values: &[T], number: impl Fn(&T) -> f32 + Copy) -> Vec<Vec<Value>> {
        values.chunks_exact(self.size.max(1)).map(|row| self.row(row, number)).collect()
    }

    fn row<T>(&self, row: &[T], number: impl Fn(&T) -> f32 + Copy) -> Vec<Value> {
        match &self.kind {
            Kind::Table(columns) => {
                let mut rest = row;
                let cell = |(_, kind): &(String, ColumnKind)| {
                    let width = match kind {
                        ColumnKind::Number { .. } => 1,
                        ColumnKind::Category { values } => values.len(),
                    };
                    let (own, after) = rest.split_at(width);
                    rest = after;
                    match kind {
                        // A missing number reaches the network as the mean of the training part.
                        ColumnKind::Number { mean } => {
                            let value = number(&own[0]);
                            if value == *mean { Value::Missing } else { Value::Number(value) }
                        }
                        ColumnKind::Category { values } => {
                            let place = own.iter().position(|value| number(value) == 1.0);
                            Value::Text(place.map_or(OTHER.to_owned(), |place| values[place].clone()))
                        }
                    }
                };
                columns.iter().map(cell).collect()
            }
            Kind::Image { planes, width, white } => row
                .chunks_exact(row.len() / planes)
                .flat_map(|plane| statistics(plane, *width, number).map(|value| Value::Number(value / white)))
                .collect(),
            Kind::Text { padding } => {
                let tokens = row.iter().filter(|value| number(value) != *padding).count();
                vec![Value::Number(tokens as f32)]
            }
            Kind::Plain => row.iter().map(|value| Value::Number(number(value))).collect(),
        }
    }
}

const IMAGE: [&str; 3] = ["brightness", "contrast", "sharpness"];

/// Mean and deviation of the values, and the mean difference of neighbours in a row.
fn statistics<T>(plane: &[T], width: usize, number: impl Fn(&T) -> f32) -> [f32; 3] {
    let count = plane.len().max(1) as f64;
    let (mut sum, mut squares, mut steps) = (0.0_f64, 0.0_f64, 0.0_f64);
    for row in plane.chunks(width) {
        let mut before: Option<f64> = None;
        for value in row {
            let value = f64::from(number(value));
            sum += value;
            squares += value * value;
            if let Some(before) = before {
                steps += (value - before).abs();
            }
            before = Some(value);
        }
    }
    let mean = sum / count;
    let pairs = count - (plane.len() / width).max(1) as f64;
    [mean as f32, (squares / count - mean * mean).max(0.0).sqrt() as f32, (steps / pairs.max(1.0)) as f32]
}

/// What is watched of an answer: the class and how sure the model is of it, or the number.
pub(super) fn of_answer(prediction: &Prediction) -> Vec<(&'static str, Value)> {
    match (&prediction.label, prediction.value) {
        (Some(label), _) => {
            let confidence = prediction.probabilities.iter().copied().fold(0.0, f32::max);
            vec![("class", Value::Text(label.clone())), ("confidence", Value::Number(confidence))]
        }
        (None, Some(value)) => vec![("value", Value::Number(value))],
        (None, None) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn an_image_has_brightness_contrast_and_sharpness() {
        let features = Features { kind: Kind::Image { planes: 1, width: 2, white: 255.0 }, size: 4 };
        assert_eq!(features.names(), ["brightness", "contrast", "sharpness"]);
        let [row] = &features.read(&Inputs::U8(Arc::new(vec![0, 255, 255, 255])))[..] else {
            panic!("one image")
        };
        let wanted = [0.75, 0.75_f32 * (1.0_f32 / 3.0).sqrt(), 0.5];
        for (found, wanted) in row.iter().zip(wanted) {
            assert!(matches!(found, Value::Number(found) if (found - wanted).abs() < 1e-6), "{row:?}");
        }
        let colour = Features { kind: Kind::Image { planes: 3, width: 1, white: 1.0 }, size: 3 };
        assert_eq!(colour.names()[3], "brightness of channel 1");
        assert_eq!(colour.read(&Inputs::F32(Arc::new(vec![0.25; 6]))).len(), 2);
    }

    #[test]
    fn a_row_is_read_back_from_what_the_network_is_given() {
        let columns = vec![
            ("age".to_owned(), ColumnKind::Number { mean: 40.5 }),
            ("city".to_owned(), ColumnKind::Category { values: vec!["Bonn".into(), "Rome".into()] }),
        ];
        let features = Features { kind: Kind::Table(columns), size: 3 };
        let inputs = Inputs::F32(Arc::new(vec![31.0, 0.0, 1.0, 40.5, 0.0, 0.0]));
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(
            features.read(&inputs),
            [vec![Value::Number(31.0), text("Rome")], vec![Value::Missing, text("(other)")]]
        );
    }
}
