//! The live view of a run on a terminal: curves, speed, time left, memory, last checkpoint, in a few lines.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use super::following::shown;
use super::ui::{Panel, Ui, bytes, clean, count, duration, spark};
use crate::base::{Event, What};
use crate::infrastructure::compute::JobFolder;
use crate::platform::run::Curves;

/// Time between two drawings.
const EVERY: Duration = Duration::from_millis(500);
/// Metrics whose curves are shown.
const METRICS: usize = 2;

/// What is known of the run.
pub(super) struct Live {
    panel: Panel,
    folder: JobFolder,
    /// The job's name where several are followed; then one line says it all.
    prefix: Option<String>,
    device: String,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    curves: Curves,
    /// Samples per second.
    rate: Option<f64>,
    /// Share of all epochs that was done when the run was first seen at work, and when that was.
    first: Option<(f64, Instant)>,
    share: f64,
    drawn: Option<Instant>,
}

impl Live {
    /// None where stderr is no terminal or nobody wants to see.
    pub(super) fn new(ui: &Ui, folder: JobFolder, prefix: Option<&str>) -> Option<Self> {
        let panel = ui.panel()?;
        let spec = folder.spec().ok();
        let device = spec.and_then(|spec| Some(spec.work.get("device")?.as_str()?.to_owned()));
        Some(Self {
            panel,
            folder,
            prefix: prefix.map(str::to_owned),
            device: device.unwrap_or_default(),
            seen: Mutex::default(),
        })
    }

    /// Columns of the terminal.
    pub(super) fn width(&self) -> usize {
        self.panel.width()
    }

    /// Learns from an event.
    pub(super) fn take(&self, event: &Event) {
        let mut seen = self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match &event.what {
            What::Metric(metric) => {
                if metric.name == "samples_per_second" {
                    seen.rate = Some(metric.value);
                }
                seen.curves.take(metric);
            }
            What::Progress(progress) => {
                let Some((epoch, epochs)) = epoch_of(&progress.task) else { return };
                let within = progress.done as f64 / progress.total.unwrap_or(0).max(1) as f64;
                seen.share = (epoch as f64 - 1.0 + within.min(1.0)) / epochs as f64;
                let share = seen.share;
                seen.first.get_or_insert_with(|| (share, Instant::now()));
            }
            _ => {}
        }
    }

    /// Draws what is known, now and then.
    pub(super) fn tick(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if seen.drawn.is_some_and(|drawn| drawn.elapsed() < EVERY) {
            return;
        }
        seen.drawn = Some(Instant::now());
        let now = Now {
            left: seen.left(),
            memory: self.folder.memory(),
            checkpoint: self
                .folder
                .checkpointed()
                .and_then(|time| SystemTime::now().duration_since(time).ok()),
        };
        self.panel.show(&seen.lines(&now, &self.device, self.prefix.as_deref(), self.panel.width()));
    }
}

/// What changes without an event.
#[derive(Clone, Copy, Default)]
struct Now {
    left: Option<f64>,
    memory: Option<u64>,
    checkpoint: Option<Duration>,
}

impl Seen {
    /// Seconds to the end, if it goes on as since it was first seen.
    fn left(&self) -> Option<f64> {
        let (share, since) = self.first?;
        let (done, seconds) = (self.share - share, since.elapsed().as_secs_f64());
        (done > 0.0 && seconds >= 1.0).then(|| (1.0 - self.share) / done * seconds)
    }

    fn lines(&self, now: &Now, device: &str, prefix: Option<&str>, width: usize) -> Vec<String> {
        let mut metrics = self.curves.metrics();
        // Of several, the one that people ask for.
        metrics.sort_by_key(|name| (*name != "loss", *name != "accuracy"));
        let mut lines: Vec<String> =
            metrics.iter().take(METRICS).map(|metric| self.curve(metric, prefix, width)).collect();
        if prefix.is_some() {
            lines.truncate(1);
            return lines;
        }
        if lines.is_empty() && self.first.is_none() {
            return lines;
        }
        let work = [
            self.first.map(|_| format!("{:.0} % of all", 100.0 * self.share)),
            now.left.map(|seconds| format!("{} left", duration(seconds))),
            self.rate.map(|rate| format!("{} samples/s", count(rate.max(0.0) as u64))),
        ];
        let machine = [
            now.memory.map(|memory| format!("memory {}", bytes(memory))),
            now.checkpoint.map(|ago| format!("checkpoint {} ago", age(ago))),
            Some(clean(device).into_owned()),
        ];
        lines.extend(
            [joined(&work, width), joined(&machine, width)].into_iter().filter(|line| !line.is_empty()),
        );
        lines
    }

    /// `loss      train 0.2131 ▇▅▃▂▁▁  val 0.2310 ▇▅▃▂▂▂`
    fn curve(&self, metric: &str, prefix: Option<&str>, width: usize) -> String {
        let prefix = prefix.map_or_else(String::new, |prefix| format!("[{prefix}] "));
        let mut line = clean(&format!("{prefix}{metric:<10}")).into_owned();
        let parts = ["train", "val"].map(|part| (part, self.curves.of(part, metric).map(|(_, value)| value)));
        let parts = parts.map(|(part, values)| (part, values.collect::<Vec<f64>>()));
        let parts: Vec<&(&str, Vec<f64>)> = parts.iter().filter(|(_, values)| !values.is_empty()).collect();
        let words: Vec<String> = parts
            .iter()
            .map(|(part, values)| {
                let last = values.last().copied().unwrap_or(f64::NAN);
                format!("{part} {} ", shown(metric, last))
            })
            .collect();
        let taken = console::measure_text_width(&line)
            + words.iter().map(|word| word.len()).sum::<usize>()
            + 2 * parts.len();
        let room = width.saturating_sub(taken + 1) / parts.len().max(1);
        for ((_, values), words) in parts.iter().zip(words) {
            line += &format!("{words}{}  ", spark(values, room.min(30)));
        }
        line.trim_end().to_owned()
    }
}

/// As many of the parts as a line holds.
fn joined(parts: &[Option<String>], width: usize) -> String {
    let mut line = String::new();
    for part in parts.iter().flatten().filter(|part| !part.is_empty()) {
        let gap = if line.is_empty() { "" } else { "  " };
        if console::measure_text_width(&line) + gap.len() + console::measure_text_width(part) >= width {
            break;
        }
        line += &format!("{gap}{part}");
    }
    line
}

/// A time that passed, without the digits that only flicker.
fn age(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => duration(seconds as f64),
    }
}

/// `epoch 3/10`
fn epoch_of(task: &str) -> Option<(u64, u64)> {
    let (epoch, epochs) = task.strip_prefix("epoch ")?.split_once('/')?;
    let (epoch, epochs) = (epoch.parse().ok()?, epochs.parse().ok()?);
    (1..=epochs).contains(&epoch).then_some((epoch, epochs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Metric;

    fn seen() -> Seen {
        let mut seen = Seen { rate: Some(2345.6), share: 0.37, ..Seen::default() };
        seen.first = Some((0.0, Instant::now()));
        for epoch in 1..=40 {
            for (name, scale) in
                [("train.loss", 2.0), ("val.loss", 2.2), ("train.accuracy", 0.5), ("val.f1", 0.4)]
            {
                let value = scale / epoch as f64;
                seen.curves.take(&Metric { name: name.into(), value, step: None, epoch: Some(epoch) });
            }
        }
        seen
    }

    const NOW: Now =
        Now { left: Some(62.0), memory: Some(128 << 20), checkpoint: Some(Duration::from_secs(4)) };

    #[test]
    fn every_line_fits_the_terminal() {
        let mut seen = seen();
        for width in [20, 40, 60, 61, 80, 132, 400] {
            for line in seen.lines(&NOW, "cpu x86-64 avx512", None, width) {
                assert!(width < 40 || console::measure_text_width(&line) < width, "{width}: {line}");
            }
        }
        assert_eq!(seen.lines(&NOW, "cpu x86-64 avx512", Some("digits"), 80).len(), 1);
        seen = Seen::default();
        assert!(seen.lines(&NOW, "cpu", None, 80).is_empty(), "nothing is said before there is anything");
    }

    #[test]
    fn the_view_at_sixty_columns() {
        let lines = seen().lines(&NOW, "cpu x86-64 avx512", None, 60).join("\n");
        insta::assert_snapshot!(lines, @r"
        loss      train 0.0500 ▂▁▁▁▁▁▁▁▁▁  val 0.0550 ▂▁▁▁▁▁▁▁▁▁
        accuracy  train 0.0125 █▄▂▂▂▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁
        37 % of all  1 min 02 s left  2,345 samples/s
        memory 128 MiB  checkpoint 4 s ago  cpu x86-64 avx512
        ");
    }

    #[test]
    fn only_epochs_are_taken_for_epochs() {
        assert_eq!(epoch_of("epoch 3/10"), Some((3, 10)));
        for task in ["epoch 0/3", "epoch 4/3", "epoch 1", "training", "epoch a/b"] {
            assert_eq!(epoch_of(task), None, "{task}");
        }
    }
}
