//! What can be counted in a dataset, for its card: classes, columns, duplicates, distributions.

use std::collections::HashSet;

use serde::Serialize;

use super::{ColumnKind, DataError, Examples, Inputs, Parts, Targets};

/// Bars of a histogram.
const BARS: usize = 24;

/// What was counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Shape of one input.
    pub shape: Vec<usize>,
    /// Examples of train, validation and test.
    pub examples: [u64; 3],
    /// Examples whose input came before in the same part.
    pub repeated: u64,
    /// Examples of each class by part; empty where numbers are predicted.
    pub classes: Vec<(String, [u64; 3])>,
    /// Columns of the stored data.
    pub columns: Vec<ColumnMeasured>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnMeasured {
    /// Its name.
    pub name: String,
    /// Rows without a value.
    pub missing: u64,
    /// Different values.
    pub distinct: usize,
    /// Whether there are more different values than are counted.
    pub more: bool,
    /// Smallest and largest number, if there is any.
    pub range: Option<(f64, f64)>,
    /// How its numbers are distributed, if it is one of numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Histogram>,
    /// Rows of each category that the training part has, if it is one of categories.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<(String, u64)>,
}

/// Counts of numbers in bars of the same width.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Histogram {
    /// Where the first bar begins.
    pub low: f64,
    /// Where the last bar ends.
    pub high: f64,
    /// Numbers in each bar.
    pub counts: Vec<u64>,
    /// The mean.
    pub mean: f64,
}

impl Histogram {
    /// Of these numbers; none if there are none, or not two different ones.
    fn of(numbers: &[f32]) -> Option<Self> {
        let (low, high) = numbers.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| {
            (low.min(*value), high.max(*value))
        });
        if low >= high {
            return None;
        }
        let mean = numbers.iter().map(|number| f64::from(*number)).sum::<f64>() / numbers.len() as f64;
        let mut histogram = Self { low: f64::from(low), high: f64::from(high), counts: vec![0; BARS], mean };
        for number in numbers {
            let bar = histogram.bar(*number);
            histogram.counts[bar] += 1;
        }
        Some(histogram)
    }

    fn bar(&self, number: f32) -> usize {
        let share = (f64::from(number) - self.low) / (self.high - self.low);
        ((share * BARS as f64) as usize).min(BARS - 1)
    }

    /// Takes out so many cells that have no value: `number` stood for them.
    fn without(mut self, missing: u64, number: f32) -> Self {
        let all: u64 = self.counts.iter().sum();
        let there = all.saturating_sub(missing);
        if there > 0 {
            self.mean = (self.mean * all as f64 - f64::from(number) * missing as f64) / there as f64;
        }
        let bar = self.bar(number);
        self.counts[bar] = self.counts[bar].saturating_sub(missing);
        self
    }
}

impl Measured {
    /// Counts what `parts` hold.
    ///
    /// # Errors
    /// [`DataError::Io`] if a scratch file cannot be read.
    pub fn of(parts: &Parts) -> Result<Self, DataError> {
        let all = [&parts.train, &parts.val, &parts.test];
        let mut classes: Vec<(String, [u64; 3])> =
            parts.classes.iter().map(|name| (name.clone(), [0; 3])).collect();
        let mut repeated = 0;
        for (number, part) in all.iter().enumerate() {
            if let Targets::Class(truths) = &part.targets {
                truths.iter().for_each(|truth| classes[*truth as usize].1[number] += 1);
            }
            let different: HashSet<u64> = part.keys.iter().copied().collect();
            repeated += (part.len() - different.len()) as u64;
        }
        Ok(Self {
            shape: parts.train.shape.clone(),
            examples: all.map(|part| part.len() as u64),
            repeated,
            classes,
            columns: columns(parts, all)?,
        })
    }
}

fn columns(parts: &Parts, all: [&Examples; 3]) -> Result<Vec<ColumnMeasured>, DataError> {
    let mut measured: Vec<ColumnMeasured> = parts
        .statistics
        .iter()
        .map(|column| ColumnMeasured {
            name: column.name.clone(),
            missing: column.missing,
            distinct: column.distinct.len(),
            more: column.more,
            range: column.min.zip(column.max),
            histogram: None,
            categories: Vec::new(),
        })
        .collect();
    let encoded = parts.encoding.iter().flat_map(|encoding| &encoding.columns);
    let mut first = 0;
    for column in encoded {
        let Some(found) = measured.iter_mut().find(|found| found.name == column.name) else { continue };
        match &column.kind {
            ColumnKind::Number { mean } => {
                let histogram = Histogram::of(&inputs(all, first)?);
                found.histogram = histogram.map(|histogram| histogram.without(found.missing, *mean));
                first += 1;
            }
            ColumnKind::Category { values } => {
                for value in values {
                    let ones = inputs(all, first)?.iter().filter(|value| **value == 1.0).count();
                    found.categories.push((value.clone(), ones as u64));
                    first += 1;
                }
            }
        }
    }
    // What is predicted, if it is a number.
    let mut targets = Vec::new();
    for part in all {
        if let Targets::Value(values) = &part.targets {
            targets.extend(values.iter().copied());
        }
    }
    let encoded = |name: &str| {
        parts.encoding.iter().flat_map(|encoding| &encoding.columns).any(|column| column.name == name)
    };
    if let Some(found) = measured.iter_mut().find(|found| !encoded(&found.name)) {
        found.histogram = Histogram::of(&targets);
    }
    Ok(measured)
}

/// Input number `index` of all examples of a table.
fn inputs(all: [&Examples; 3], index: usize) -> Result<Vec<f32>, DataError> {
    let mut column = Vec::new();
    for part in all {
        let width = part.shape.iter().product::<usize>().max(1);
        part.inputs.each(|inputs| {
            if let Inputs::F32(values) = inputs {
                column.extend(values.iter().skip(index).step_by(width));
            }
        })?;
    }
    Ok(column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Null;
    use crate::platform::data::{Format, tests::dataset};

    #[test]
    fn classes_columns_and_duplicates_are_counted_and_missing_cells_are_left_out() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(
            folder.path().join("train.csv"),
            "age,city,y\n10,Rome,a\n10,Rome,a\n34,Bonn,b\n,Rome,b\n34,,a\n",
        )
        .expect("writes");
        std::fs::write(folder.path().join("test.csv"), "age,city,y\n22,Bonn,b\n").expect("writes");
        let mut dataset = dataset(Format::Csv, folder.path());
        dataset.spec.target = Some("y".into());
        dataset.spec.split.val = 0.0;
        let found = Measured::of(&dataset.load(None, &Null).expect("loads")).expect("counts");
        assert_eq!((found.examples, found.repeated), ([5, 0, 1], 1));
        assert_eq!(found.classes, [("a".to_owned(), [3, 0, 0]), ("b".to_owned(), [2, 0, 1])]);
        let [age, city, y] = found.columns.as_slice() else { panic!("{found:?}") };
        let histogram = age.histogram.as_ref().expect("numbers");
        assert_eq!((histogram.low, histogram.high, histogram.mean), (10.0, 34.0, 22.0));
        assert_eq!((histogram.counts[0], histogram.counts[12], histogram.counts[23]), (2, 1, 2));
        assert_eq!((age.missing, histogram.counts.iter().sum::<u64>()), (1, 5));
        assert_eq!(city.categories, [("Bonn".to_owned(), 2), ("Rome".to_owned(), 3)]);
        assert_eq!((city.missing, y.distinct, y.histogram.is_none()), (1, 2, true));
    }
}
