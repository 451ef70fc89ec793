//! Progress: bars on a terminal, a plain line now and then in a pipe.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::panel::Panel;
use super::{bytes, clean, count, duration};
use crate::base::{Progress, Unit};

/// In a pipe a task says nothing before this time, and then not more often than this.
const EVERY: Duration = Duration::from_secs(5);

/// On a terminal a task that is over sooner than this shows no bar.
const PATIENCE: Duration = Duration::from_millis(150);

/// A terminal narrower than this gets shorter bars.
const ROOMY: u16 = 90;

/// One task under way.
struct Task {
    began: Instant,
    /// What was done when the task was first seen: a resumed task does not pretend to be fast.
    first: u64,
    said: Instant,
    bar: Option<ProgressBar>,
}

/// The tasks under way, by name.
pub(super) struct Bars {
    multi: Option<MultiProgress>,
    tasks: Mutex<HashMap<String, Task>>,
}

impl Bars {
    /// Bars if stderr is a terminal, else lines.
    pub(super) fn new() -> Self {
        let terminal = console::Term::stderr().is_term();
        let multi = terminal.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));
        Self { multi, tasks: Mutex::default() }
    }

    /// Prints a text with its line end to stderr, above the bars.
    pub(super) fn print(&self, text: &str) {
        match &self.multi {
            Some(multi) => multi.suspend(|| super::output::to_stderr(text)),
            None => super::output::to_stderr(text),
        }
    }

    /// Lines above the bars, if there is a terminal.
    pub(super) fn panel(&self) -> Option<Panel> {
        self.multi.clone().map(Panel::new)
    }

    /// Removes all bars.
    pub(super) fn clear(&self) {
        let Ok(mut tasks) = self.tasks.lock() else { return };
        for (_, task) in tasks.drain() {
            if let Some(bar) = task.bar {
                bar.finish_and_clear();
            }
        }
    }

    /// Shows that a task went on; one that reaches its total disappears.
    pub(super) fn progress(&self, progress: &Progress) {
        let Ok(mut tasks) = self.tasks.lock() else { return };
        if progress.total.is_some_and(|total| progress.done >= total) {
            if let Some(Task { bar: Some(bar), .. }) = tasks.remove(&progress.task) {
                bar.finish_and_clear();
                if let Some(multi) = &self.multi {
                    multi.remove(&bar);
                }
            }
            return;
        }
        let now = Instant::now();
        let task = tasks.entry(progress.task.clone()).or_insert_with(|| Task {
            began: now,
            first: progress.done,
            said: now,
            bar: None,
        });
        match &self.multi {
            Some(multi) => {
                if task.bar.is_none() && now - task.began >= PATIENCE {
                    task.bar = Some(multi.add(bar(progress)));
                }
                if let Some(bar) = &task.bar {
                    if let Some(total) = progress.total {
                        bar.set_length(total);
                    }
                    bar.set_position(progress.done);
                    bar.set_message(progress.note.as_deref().map(clean).unwrap_or_default().into_owned());
                }
            }
            None if now - task.said >= EVERY => {
                task.said = now;
                let rate = progress.done.saturating_sub(task.first) as f64 / (now - task.began).as_secs_f64();
                super::output::to_stderr(&plain(progress, rate));
            }
            None => {}
        }
    }
}

/// `n` of a unit, as people read it.
fn amount(n: u64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => bytes(n),
        _ => count(n),
    }
}

fn noun(unit: Unit) -> &'static str {
    match unit {
        Unit::Items | Unit::Bytes => "",
        Unit::Files => " files",
        Unit::Samples => " samples",
    }
}

/// `hashing: 1.20 GiB of 3.00 GiB (40 %), 250 MiB/s, 7.2 s left`
fn plain(progress: &Progress, rate: f64) -> String {
    let unit = progress.unit;
    let mut text = format!("{}: {}", clean(&progress.task), amount(progress.done, unit));
    if let Some(total) = progress.total {
        let share = 100 * u128::from(progress.done) / u128::from(total.max(1));
        text += &format!(" of {}{} ({share} %)", amount(total, unit), noun(unit));
    } else {
        text += noun(unit);
    }
    if rate >= 0.05 {
        text += &format!(", {}/s", per_second(rate, unit));
        if let Some(total) = progress.total {
            text += &format!(", {} left", duration(total.saturating_sub(progress.done) as f64 / rate));
        }
    }
    if let Some(note) = &progress.note {
        text += &format!(", {}", clean(note));
    }
    text + "\n"
}

fn per_second(rate: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => bytes(rate as u64),
        _ if rate < 10.0 => format!("{rate:.1}"),
        _ => count(rate as u64),
    }
}

fn bar(progress: &Progress) -> ProgressBar {
    let unit = progress.unit;
    let template = match progress.total {
        Some(_) if console::Term::stderr().size().1 < ROOMY => {
            "{prefix} {bar:10.cyan/dim} {percent} %  {rate}  {left} left  {wide_msg}"
        }
        Some(_) => "{prefix} {bar:24.cyan/dim} {done} of {all}  {rate}  {left} left  {wide_msg}",
        None => "{prefix} {spinner:.cyan} {done}  {rate}  {wide_msg}",
    };
    // indicatif draws what was written; there is nobody to tell of a failure.
    let write = |out: &mut dyn std::fmt::Write, text: String| out.write_str(&text).unwrap_or_default();
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━━─")
        .with_key("done", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            write(out, amount(state.pos(), unit));
        })
        .with_key("all", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            write(out, format!("{}{}", amount(state.len().unwrap_or(0), unit), noun(unit)));
        })
        .with_key("rate", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            write(out, format!("{}/s", per_second(state.per_sec(), unit)));
        })
        .with_key("left", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            write(out, duration(state.eta().as_secs_f64()));
        });
    let bar = match progress.total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::new_spinner(),
    };
    bar.with_style(style).with_position(progress.done).with_prefix(clean(&progress.task).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: u64, total: Option<u64>, unit: Unit) -> Progress {
        Progress { task: "hashing".into(), done, total, unit, note: None }
    }

    #[test]
    fn a_plain_line_tells_share_rate_and_time_left() {
        let line = plain(&progress(1 << 30, Some(4 << 30), Unit::Bytes), f64::from(1 << 28));
        assert_eq!(line, "hashing: 1.00 GiB of 4.00 GiB (25 %), 256 MiB/s, 12.0 s left\n");
        assert_eq!(plain(&progress(7, None, Unit::Files), 0.0), "hashing: 7 files\n");
    }

    #[test]
    fn every_bar_has_a_valid_template() {
        for total in [None, Some(0), Some(10)] {
            for unit in [Unit::Items, Unit::Bytes, Unit::Files, Unit::Samples] {
                let bar = bar(&progress(0, total, unit));
                bar.set_draw_target(ProgressDrawTarget::hidden());
                bar.inc(3);
                bar.tick();
                assert_eq!(bar.position(), 3);
            }
        }
    }
}
