//! How the trials of a sweep stand, for people and programs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::application::following::shown;
use crate::application::ui::{Align, Report, Table, argument, clean, duration, plural, spark};
use crate::base::{Digest, Id, Name};
use crate::platform::run;
use crate::platform::run::sweep::{Settings, Standing, Trial, Trials};

/// People are shown so many trials.
const SHOWN: usize = 20;
/// Letters of the reason of a failure.
const REASON: usize = 60;
/// And while it goes on, so many of the best.
const BEST: usize = 5;

/// A sweep as it stands.
#[derive(Serialize)]
pub(super) struct Sweep {
    pub(super) sweep: Digest,
    pub(super) model: Name,
    pub(super) metric: String,
    /// What was set for all trials.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) set: Vec<String>,
    #[serde(skip)]
    pub(super) paths: Vec<String>,
    /// Best first.
    pub(super) trials: Vec<Tried>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) best: Option<Tried>,
    /// Seconds since the command began.
    pub(super) seconds: f64,
    /// Why it is not over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<&'static str>,
}

/// One trial.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Tried {
    /// Its number, from 1.
    trial: usize,
    settings: BTreeMap<String, Value>,
    state: Standing,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    epochs: u64,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Tried {
    pub(super) fn of(at: usize, trial: &Trial) -> Self {
        Self {
            trial: at + 1,
            settings: trial.settings.iter().cloned().collect(),
            state: trial.standing,
            value: trial.value(),
            epochs: trial.values.keys().next_back().copied().unwrap_or(0),
            seconds: trial.seconds,
            run: trial.run,
            reason: trial.reason.clone(),
        }
    }
}

impl Report for Sweep {
    fn schema(&self) -> &'static str {
        "mlp/sweep/1"
    }

    fn human(&self) -> String {
        let short = short_paths(&self.paths);
        let heads = short.iter().cloned().chain(["EPOCHS", "TIME", "RUN", "STATE"].map(str::to_owned));
        let heads = ["TRIAL".to_owned(), self.metric.clone()].into_iter().chain(heads);
        let mut table = Table::new(heads).align(0, Align::Right).align(1, Align::Right);
        for column in [short.len() + 2, short.len() + 3] {
            table = table.align(column, Align::Right);
        }
        for tried in self.trials.iter().take(SHOWN) {
            let value = tried.value.map(|value| shown(&self.metric, value)).unwrap_or_default();
            let mut cells = vec![tried.trial.to_string(), value];
            cells
                .extend(self.paths.iter().map(|path| tried.settings.get(path).map(text).unwrap_or_default()));
            let state = match &tried.reason {
                Some(reason) => format!("{}: {}", word(tried.state), brief(reason)),
                None => word(tried.state).to_owned(),
            };
            cells.extend([
                if tried.epochs > 0 { tried.epochs.to_string() } else { String::new() },
                if tried.seconds > 0.0 { duration(tried.seconds) } else { String::new() },
                tried.run.map(run::short).unwrap_or_default(),
                state,
            ]);
            table.row(cells);
        }
        let mut text = table.render();
        if self.trials.len() > SHOWN {
            text += &format!("… and {} more: --json lists all\n", self.trials.len() - SHOWN);
        }
        text + &self.verdict()
    }
}

impl Sweep {
    fn verdict(&self) -> String {
        let open = self
            .trials
            .iter()
            .filter(|tried| matches!(tried.state, Standing::Waiting | Standing::Running))
            .count();
        let mut text = match self.ended {
            Some("dry_run") => {
                return format!("{} to train; nothing was begun\n", plural(open as u64, "trial"));
            }
            Some("detached") => {
                return "all are in the queue; the same command without --detach follows them\n".to_owned();
            }
            Some("budget") => "the budget is spent; the same command with a larger one goes on\n".to_owned(),
            Some("interrupted") => "stopped; the same command goes on\n".to_owned(),
            _ => String::new(),
        };
        let Some(Tried { trial, value: Some(value), run: Some(run), settings, .. }) = &self.best else {
            return text + "no trial came to its end\n";
        };
        let own = settings.iter().map(|(path, value)| format!("{path}={value}"));
        let set = self.set.iter().cloned().chain(own).map(|set| format!(" --set {}", argument(&set)));
        text += &format!(
            "best: trial {trial}, {} {}\n  mlp train {}{}   the same again\n  mlp promote {} --run {} --to STAGE   into a stage\n",
            self.metric,
            shown(&self.metric, *value),
            self.model,
            set.collect::<String>(),
            self.model,
            run::short(*run),
        );
        text
    }
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Waiting => "to train",
        Standing::Running => "running",
        Standing::Paused => "paused",
        Standing::Stopped => "stopped",
        Standing::Done => "done",
        Standing::Failed => "failed",
    }
}

/// The beginning of a reason: `--json` and `mlp runs show` tell all of it.
fn brief(reason: &str) -> String {
    let reason = clean(reason);
    match reason.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason.into_owned(),
    }
}

/// The ends of the paths, as long as they must be to differ.
pub(super) fn short_paths(paths: &[String]) -> Vec<String> {
    let end = |path: &str, parts: usize| {
        let all: Vec<&str> = path.split('.').collect();
        all[all.len().saturating_sub(parts)..].join(".")
    };
    let alone = |path: &String, parts: usize| {
        paths.iter().filter(|other| end(other, parts) == end(path, parts)).count() == 1
    };
    paths
        .iter()
        .map(|path| {
            let most = path.split('.').count();
            end(path, (1..=most).find(|parts| alone(path, *parts)).unwrap_or(most))
        })
        .collect()
}

/// A value as it stands in YAML.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `lr=0.01 batch_size=64`.
pub(super) fn in_words(settings: &Settings) -> String {
    let paths: Vec<String> = settings.iter().map(|(path, _)| path.clone()).collect();
    let words = short_paths(&paths).into_iter().zip(settings);
    clean(&words.map(|(path, (_, value))| format!("{path}={}", text(value))).collect::<Vec<_>>().join(" "))
        .into_owned()
}

/// The sweep in a few lines, for the terminal: how far it is, what is under way, what is best.
pub(super) fn live(trials: &Trials, metric: &str, width: usize) -> Vec<String> {
    let count = |standing| trials.all.iter().filter(|trial| trial.standing == standing).count();
    let mut head = format!("{} of {} trials done", count(Standing::Done), trials.all.len());
    for (standing, word) in [
        (Standing::Running, "running"),
        (Standing::Paused, "paused"),
        (Standing::Stopped, "stopped"),
        (Standing::Failed, "failed"),
    ] {
        if count(standing) > 0 {
            head += &format!("  {} {word}", count(standing));
        }
    }
    if let Some(left) = left(trials) {
        head += &format!("  about {} left", duration(left));
    }
    let mut lines = vec![head];
    let known = trials.standings().into_iter().filter(|at| trials.all[*at].value().is_some());
    let best = known.filter(|at| trials.all[*at].standing != Standing::Running).take(BEST);
    let running = (0..trials.all.len()).filter(|at| trials.all[*at].standing == Standing::Running);
    for at in best.chain(running) {
        let trial = &trials.all[at];
        let value = trial.value().map_or_else(|| "-".to_owned(), |value| shown(metric, value));
        let epochs =
            trial.values.keys().next_back().map_or_else(String::new, |epoch| format!(" epoch {epoch}"));
        let words = in_words(&trial.settings);
        let mut line =
            format!("{:>4}  {metric} {value:<8} {:<7}{epochs}  {words}", at + 1, word(trial.standing));
        if trial.standing == Standing::Running {
            let values: Vec<f64> = trial.values.values().copied().collect();
            let room = width.saturating_sub(console::measure_text_width(&line) + 3);
            line += &format!("  {}", spark(&values, room.min(20)));
        }
        lines.push(line);
    }
    lines
}

/// Seconds that are left, if trials go on to take as long as those that are done; who decides after epochs cannot know.
fn left(trials: &Trials) -> Option<f64> {
    let of = |standing| trials.all.iter().filter(move |trial| trial.standing == standing);
    let count = |standing| of(standing).count() as f64;
    let (done, running) = (count(Standing::Done), count(Standing::Running));
    if done == 0.0 || running == 0.0 || count(Standing::Paused) > 0.0 {
        return None;
    }
    let each = of(Standing::Done).map(|trial| trial.seconds).sum::<f64>() / done;
    Some(each * (count(Standing::Waiting) + running / 2.0) / running)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::run::sweep::Objective;

    #[test]
    fn the_live_view_tells_what_is_done_under_way_and_left() {
        let mut all: Vec<Trial> = [0.1, 0.3, 0.2]
            .iter()
            .map(|lr| Trial::new(vec![("train.optimizer.sgd.lr".to_owned(), serde_json::json!(lr))]))
            .collect();
        (all[0].standing, all[0].result, all[0].seconds) = (Standing::Done, Some(0.875), 4.0);
        (all[1].standing, all[1].values) = (Standing::Running, [(1, 0.25), (2, 0.5)].into());
        let trials = Trials::new(all, Objective::of("val.accuracy"), None);
        insta::assert_snapshot!(live(&trials, "val.accuracy", 80).join("\n"), @r"
        1 of 3 trials done  1 running  about 6.0 s left
           1  val.accuracy 0.8750   done     lr=0.1
           2  val.accuracy 0.5000   running epoch 2  lr=0.3  ▁█
        ");
    }

    #[test]
    fn paths_are_as_short_as_they_can_be_told_apart() {
        let short =
            |paths: &[&str]| short_paths(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
        assert_eq!(short(&["train.optimizer.adamw.lr", "train.batch_size"]), ["lr", "batch_size"]);
        assert_eq!(short(&["a.x.lr", "a.y.lr", "seed"]), ["x.lr", "y.lr", "seed"]);
        assert_eq!(short(&["lr"]), ["lr"]);
    }
}
