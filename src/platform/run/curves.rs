//! Learning curves: what the events of a run say about its epochs.

use std::collections::BTreeMap;

use crate::base::{Metric, What};
use crate::infrastructure::compute::event;

/// Values of metrics by name and epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curves(BTreeMap<String, BTreeMap<u64, f64>>);

impl Curves {
    /// Those that `events` (JSON lines) tell.
    pub fn read(events: &[u8]) -> Self {
        let mut curves = Self::default();
        for line in events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if let What::Metric(metric) = event(line).what {
                curves.take(&metric);
            }
        }
        curves
    }

    /// Adds a metric, if it belongs to an epoch. An epoch that was begun twice, after a resume, counts as it was the second
    /// time.
    pub fn take(&mut self, metric: &Metric) {
        if let Some(epoch) = metric.epoch {
            self.0.entry(metric.name.clone()).or_default().insert(epoch, metric.value);
        }
    }

    /// What `part` (`train` or `val`) has of `metric`, by epoch.
    pub fn of(&self, part: &str, metric: &str) -> impl Iterator<Item = (u64, f64)> {
        let values = self.0.get(&format!("{part}.{metric}"));
        values.into_iter().flatten().map(|(epoch, value)| (*epoch, *value))
    }

    /// What was measured of the training or validation part: `loss` first, then by name.
    pub fn metrics(&self) -> Vec<&str> {
        let part = |name: &'_ str| matches!(name, "train" | "val");
        let names = self.0.keys().filter_map(|name| name.split_once('.').filter(|(before, _)| part(before)));
        let mut names: Vec<&str> = names.map(|(_, metric)| metric).collect();
        names.sort_by_key(|name| (*name != "loss", *name));
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_word_about_an_epoch_counts() {
        let line = |name: &str, value: f64, epoch: u64| {
            format!("{{\"event\":\"metric\",\"name\":\"{name}\",\"value\":{value},\"epoch\":{epoch}}}\n")
        };
        let text = [
            line("val.accuracy", 0.5, 1),
            line("train.loss", 2.0, 1),
            line("train.loss", 3.0, 2),
            line("train.loss", 1.0, 2),
            line("lr", 0.1, 2),
            "{\"event\":\"metric\",\"name\":\"train.loss\",\"value\":9}\nwords\n".to_owned(),
        ];
        let curves = Curves::read(text.concat().as_bytes());
        assert_eq!(curves.metrics(), ["loss", "accuracy"]);
        assert_eq!(curves.of("train", "loss").collect::<Vec<_>>(), [(1, 2.0), (2, 1.0)]);
        assert_eq!(curves.of("val", "loss").count(), 0);
    }
}
