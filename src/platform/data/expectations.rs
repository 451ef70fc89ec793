//! `expect:`: what must be true of a dataset.

use serde_json::Value;

use super::{ColumnExpectation, ColumnStatistics, Dataset, Expectation, Parts, Range, Targets};
use crate::base::{Digest, ExpectationOutcome, Expectations, plural};

/// How many offending values are named.
const NAMED: usize = 5;

/// Judges the expectations of `dataset` on its loaded `parts`; `tree` is the id of its root.
pub fn expectations(dataset: &Dataset, parts: &Parts, tree: Digest) -> Expectations {
    let outcomes = dataset.spec.expect.iter().map(|expectation| {
        let (met, observed) = match expectation {
            Expectation::Rows(range) => {
                let rows = parts.train.len() + parts.val.len() + parts.test.len();
                (range.holds(rows as f64), plural(rows as u64, "row"))
            }
            Expectation::PerClass(range) => per_class(parts, range),
            Expectation::Column(wanted) => column(parts, wanted),
        };
        ExpectationOutcome { expectation: written(expectation), met, observed }
    });
    Expectations { data: dataset.name.clone(), tree, outcomes: outcomes.collect() }
}

/// The expectation as one line of YAML: `rows: {min: 60000}`.
fn written(expectation: &Expectation) -> String {
    match serde_json::to_value(expectation) {
        Ok(Value::Object(map)) => map.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect(),
        _ => format!("{expectation:?}"),
    }
}

/// A value in YAML's flow style, whole numbers without a fraction.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let entries: Vec<_> = map.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Number(number) => {
            number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string())
        }
        Value::String(text) => text.escape_debug().to_string(),
        other => other.to_string(),
    }
}

impl Range {
    fn holds(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }
}

fn per_class(parts: &Parts, range: &Range) -> (bool, String) {
    let mut counts = vec![0u64; parts.classes.len()];
    for part in [&parts.train, &parts.val, &parts.test] {
        if let Targets::Class(classes) = &part.targets {
            classes.iter().for_each(|class| counts[*class as usize] += 1);
        }
    }
    let named = || parts.classes.iter().zip(&counts);
    let (Some(fewest), Some(most)) = (named().min_by_key(|(_, n)| **n), named().max_by_key(|(_, n)| **n))
    else {
        return (false, "the dataset has no classes".to_owned());
    };
    let met = counts.iter().all(|count| range.holds(*count as f64));
    let of = |(name, count): (&String, &u64)| format!("{count} of `{}`", name.escape_debug());
    (met, format!("from {} to {}", of(fewest), of(most)))
}

fn column(parts: &Parts, wanted: &ColumnExpectation) -> (bool, String) {
    let Some(found) = parts.statistics.iter().find(|column| column.name == wanted.name) else {
        return (false, format!("there is no column `{}`", wanted.name.escape_debug()));
    };
    let mut faults = Vec::new();
    if let Some(allowed) = &wanted.one_of {
        let unexpected: Vec<_> = found
            .distinct
            .iter()
            .filter(|value| !allowed.iter().any(|allowed| is_value(allowed, value)))
            .collect();
        if !unexpected.is_empty() {
            let some: Vec<_> =
                unexpected.iter().take(NAMED).map(|value| format!("`{}`", value.escape_debug())).collect();
            faults.push(format!("{} unexpected values: {}", unexpected.len(), some.join(", ")));
        } else if found.more {
            faults.push(format!("over {} different values", ColumnStatistics::DISTINCT));
        }
    }
    let range = Range { min: wanted.min, max: wanted.max };
    let bounded = range.min.is_some() || range.max.is_some();
    if bounded && ![found.min, found.max].into_iter().all(|end| end.is_some_and(|end| range.holds(end))) {
        faults.push("out of bounds".to_owned());
    }
    let missing = if found.rows == 0 { 0.0 } else { found.missing as f64 / found.rows as f64 };
    if wanted.missing.is_some_and(|most| missing > most) {
        faults.push("too many missing".to_owned());
    }
    let mut observed = summary(found, missing);
    if !faults.is_empty() {
        observed = format!("{}; {observed}", faults.join("; "));
    }
    (faults.is_empty(), observed)
}

fn summary(found: &ColumnStatistics, missing: f64) -> String {
    let more = if found.more { "over " } else { "" };
    let mut text = format!("{more}{} different values", found.distinct.len());
    if let (Some(min), Some(max)) = (found.min, found.max) {
        text.push_str(&format!(", numbers from {min} to {max}"));
    }
    text.push_str(&format!(", {:.2} % missing", 100.0 * missing));
    text
}

/// Whether the text of a cell is the value that the expectation allows: numbers by value, the rest by text.
fn is_value(allowed: &Value, cell: &str) -> bool {
    match allowed {
        Value::Number(number) => cell.trim().parse::<f64>().ok() == number.as_f64(),
        Value::String(text) => text == cell,
        Value::Bool(truth) => cell.eq_ignore_ascii_case(if *truth { "true" } else { "false" }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::platform::data::{Format, tests::dataset};

    /// Outcomes of expectations, given as a YAML list, on a small table.
    fn judge(yaml: &str) -> Vec<(bool, String, String)> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("t.csv");
        std::fs::write(&path, "age,city,y\n30,Rome,a\n,Bonn,b\n50,Rome,a\n").expect("writes");
        let mut dataset = dataset(Format::Csv, &path);
        dataset.spec.target = Some("y".into());
        dataset.spec.expect = serde_yaml::from_str(yaml).expect("reads");
        let parts = dataset.load(None, &crate::base::Null).expect("loads");
        let found = expectations(&dataset, &parts, Digest::of(b""));
        found.outcomes.into_iter().map(|o| (o.met, o.expectation, o.observed)).collect()
    }

    #[test]
    fn expectations_that_hold_are_met_and_quoted() {
        let outcomes = judge(
            "[{rows: {min: 3, max: 3}}, {per_class: {min: 1}}, {column: {name: city, one_of: [Rome, Bonn], missing: 0}}, \
             {column: {name: age, min: 30, max: 50, missing: 0.5}}]",
        );
        assert!(outcomes.iter().all(|(met, _, _)| *met), "{outcomes:#?}");
        assert_eq!(outcomes[0].1, "rows: {min: 3, max: 3}");
        assert_eq!(outcomes[1].2, "from 1 of `b` to 2 of `a`");
        assert_eq!(outcomes[3].2, "2 different values, numbers from 30 to 50, 33.33 % missing");
    }

    #[test]
    fn expectations_that_do_not_hold_say_what_was_found() {
        let outcomes = judge(
            "[{rows: {min: 4}}, {per_class: {min: 2}}, {column: {name: city, one_of: [Rome]}}, {column: {name: age, max: 40}}, \
             {column: {name: age, missing: 0.1}}, {column: {name: height, min: 1}}, {column: {name: city, min: 1}}]",
        );
        assert!(outcomes.iter().all(|(met, _, _)| !*met), "{outcomes:#?}");
        assert!(outcomes[2].2.starts_with("1 unexpected values: `Bonn`"), "{}", outcomes[2].2);
        assert_eq!(outcomes[5].2, "there is no column `height`");
    }

    #[test]
    fn labels_of_images_are_a_column() {
        let folder = tempfile::tempdir().expect("folder");
        let digits = crate::platform::data::Digits { train: 300, test: 50, seed: 1 };
        crate::platform::data::digits::write(&digits, folder.path(), &crate::base::Null).expect("writes");
        let mut dataset = dataset(Format::Idx, Path::new(folder.path()));
        dataset.spec.expect = serde_yaml::from_str(
            "[{column: {name: label, one_of: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}}, {rows: {min: 350}}]",
        )
        .expect("reads");
        let parts = dataset.load(None, &crate::base::Null).expect("loads");
        let found = expectations(&dataset, &parts, Digest::of(b""));
        assert!(found.outcomes.iter().all(|outcome| outcome.met), "{found:#?}");
    }
}
