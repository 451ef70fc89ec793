//! Watching a job from the terminal: what `train`, `run` and `runs` share.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::live::Live;
use super::ui::{Curve, Mode, Ui, duration, plot, spoken};
use crate::base::{
    Cause, Digest, Event, Exit, Failure, Id, JobState, Level, Log, Metric, Progress, Record, Run, Sink, Span,
    Time, What,
};
use crate::infrastructure::compute::{Cursor, Ended, Executor, Interrupts, JobFolder, Ticket, event};
use crate::infrastructure::store::worktree::available;
use crate::platform::project::Project;
use crate::platform::run::{self, Curves, Workspace};

/// Where the runs of a project happen.
pub(super) fn workspace(project: &Project) -> Workspace<'_> {
    Workspace { repo: &project.repo, store: &project.store, root: &project.root, on: None }
}

/// Metrics that one line tells.
const MOST: usize = 12;
/// A disk with less room than this is full.
const ROOM: u64 = 4096;
/// How often the room on the disk is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What Ctrl-C means for a job in the foreground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnInterrupt {
    /// It stops, with a checkpoint; a second Ctrl-C kills it.
    Cancel,
    /// It runs on; only the watching ends.
    Detach,
}

/// Follows a job to its end and publishes its record; none if the watching was ended before.
pub(super) fn follow(
    ui: &Ui,
    workspace: &Workspace<'_>,
    id: Id,
    prefix: Option<&str>,
    interrupts: &Interrupts,
    on_interrupt: OnInterrupt,
) -> Result<Option<(Digest, Record<Run>)>, Failure> {
    let executor = workspace.executor();
    let ticket = Ticket { id, host: "local".into() };
    let live = Live::new(ui, executor.folder(id), prefix);
    let show = Show { ui, prefix, epoch: Mutex::default(), live };
    let obeyed = Cell::new(0);
    let looked = Cell::new(Some(Instant::now()));
    let detach = || {
        show.tick();
        if looked.get().is_some_and(|looked| looked.elapsed() >= LOOK) {
            looked.set(Some(Instant::now()));
            if available(&executor.jobs).is_some_and(|bytes| bytes < ROOM) {
                looked.set(None);
                let disk = executor.jobs.display();
                show.note(&format!(
                    "the disk is full (`{disk}`): the run waits there for room to say how it went"
                ));
            }
        }
        let count = interrupts.count_so_far();
        if count == obeyed.get() {
            return false;
        }
        let first = obeyed.replace(count) == 0;
        // On a host that does not answer nothing can be ended at once: who insists gets the terminal back.
        let left = count > 2 && matches!(executor.folder(id).host(), Ok(Some(_)));
        if left {
            show.note(&format!(
                "leaving it; it is ended when its host can be asked: mlp runs cancel {}",
                run::short(id)
            ));
        }
        if on_interrupt == OnInterrupt::Detach || left {
            return true;
        }
        let asked = if first && count == 1 { executor.cancel(&ticket) } else { executor.kill(&ticket) };
        match asked {
            Ok(()) if first => show.note("stopping; Ctrl-C again ends it at once"),
            Ok(()) => show.note("ending it at once"),
            Err(error) => show.note(&format!("it cannot be stopped: {error}")),
        }
        false
    };
    let mut cursor = Cursor::default();
    let ended = loop {
        let ended = executor.follow(&ticket, cursor, &show, &detach);
        show.flush();
        let Ok(Ended::Job(end)) = &ended else { break ended };
        // Who would have begun its next attempt is gone with it.
        let Some(pause) = executor.folder(id).pause_after_loss(end)? else { break ended };
        show.note(&format!("{}; it is begun again in {}", end.words(), Span(pause)));
        if !rest(pause, interrupts) {
            break ended;
        }
        cursor = executor.folder(id).end_so_far();
        let variables = run::variables(&executor.folder(id))?;
        let variables = serde_json::to_vec(&variables).unwrap_or_default();
        executor.retry(id, &variables)?;
    };
    drop(show);
    match ended? {
        Ended::Detached(_) => Ok(None),
        Ended::Job(_) => Ok(run::finish(workspace.store, &executor.folder(id))?),
    }
}

/// Waits; false if Ctrl-C came before or meanwhile.
fn rest(pause: Duration, interrupts: &Interrupts) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < pause && !interrupts.any() {
        std::thread::sleep(Duration::from_millis(50));
    }
    !interrupts.any()
}

/// The exit status that the end of a watched job means.
pub(super) fn exit_of(state: JobState) -> Exit {
    match state {
        JobState::Succeeded => Exit::Ok,
        JobState::Cancelled => Exit::Interrupted,
        JobState::Lost | JobState::Unknown | JobState::Orphaned => Exit::World,
        _ => Exit::No,
    }
}

/// The worse of two exit statuses, for several jobs.
pub(super) fn worse(one: Exit, other: Exit) -> Exit {
    if one as u8 >= other as u8 { one } else { other }
}

/// Passes events on to the terminal, with one line per epoch, and the job's name before each line where several run.
struct Show<'a> {
    ui: &'a Ui,
    prefix: Option<&'a str>,
    epoch: Mutex<Epoch>,
    live: Option<Live>,
}

impl Show<'_> {
    fn note(&self, text: &str) {
        self.ui.log(Level::Info, &self.named(text));
    }

    fn tick(&self) {
        if let Some(live) = &self.live {
            live.tick();
        }
    }

    fn named(&self, text: &str) -> String {
        self.prefix.map_or_else(|| text.to_owned(), |prefix| format!("[{prefix}] {text}"))
    }

    /// Says the epoch that is complete.
    fn flush(&self) {
        let width = self.live.as_ref().map(Live::width);
        let line = self.epoch.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).line(width);
        if let Some(line) = line
            && self.ui.mode == Mode::Human
        {
            self.ui.log(Level::Info, &self.named(&line));
        }
    }
}

impl Sink for Show<'_> {
    fn emit(&self, event: &Event) {
        if let Some(live) = &self.live {
            live.take(event);
        }
        let what = match &event.what {
            What::Metric(metric) => {
                let next = self.epoch.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).begins(metric);
                if next {
                    self.flush();
                }
                self.epoch.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take(metric);
                event.what.clone()
            }
            What::Progress(progress) => {
                self.flush();
                What::Progress(Progress { task: self.named(&progress.task), ..progress.clone() })
            }
            What::Log(log) => {
                self.flush();
                let text = if self.ui.watched() { spoken(&log.text) } else { log.text.clone() };
                What::Log(Log { text: self.named(&text), ..log.clone() })
            }
            other => other.clone(),
        };
        self.ui.emit(&Event { what, ..event.clone() });
    }
}

/// The metrics of one epoch as they come in.
#[derive(Default)]
pub(super) struct Epoch {
    number: Option<u64>,
    values: Vec<(String, f64)>,
}

impl Epoch {
    /// Whether this metric is the first of another epoch.
    fn begins(&self, metric: &Metric) -> bool {
        metric.epoch.is_some() && self.number.is_some() && metric.epoch != self.number
    }

    /// Of a metric that is told several times in an epoch the last value counts.
    fn take(&mut self, metric: &Metric) {
        if metric.epoch.is_none() {
            return;
        }
        self.number = metric.epoch;
        match self.values.iter_mut().find(|(name, _)| *name == metric.name) {
            Some((_, value)) => *value = metric.value,
            None => self.values.push((metric.name.clone(), metric.value)),
        }
    }

    /// `epoch 3  train.loss 0.2131  val.accuracy 0.9410`, once. In a terminal of some width it is broken between metrics,
    /// and the live view tells the speed.
    fn line(&mut self, width: Option<usize>) -> Option<String> {
        let number = self.number.take()?;
        let mut line = format!("epoch {number:>2}");
        let indent = line.len();
        let mut column = line.len();
        let more = self.values.len().saturating_sub(MOST);
        for (name, value) in self.values.drain(..).take(MOST) {
            if width.is_some() && name.ends_with("_per_second") {
                continue;
            }
            let word = format!("  {name} {}", shown(&name, value));
            let length = console::measure_text_width(&word);
            if width.is_some_and(|width| column > indent && column + length > width) {
                line += &format!("\n{}", " ".repeat(indent));
                column = indent;
            }
            line += &word;
            column += length;
        }
        if more > 0 {
            line += &format!("  and {more} more");
        }
        Some(line)
    }
}

/// A metric's value as people read it.
pub(super) fn shown(name: &str, value: f64) -> String {
    match value.abs() {
        _ if name.ends_with("_per_second") => format!("{value:.0}"),
        0.0 => "0".to_owned(),
        size if !(0.001..1e6).contains(&size) => format!("{value:.3e}"),
        _ => format!("{value:.4}"),
    }
}

/// The lines of a training that is over, one per epoch, and the other things it said.
pub(super) fn replay(events: &[u8]) -> String {
    let mut epoch = Epoch::default();
    let mut text = String::new();
    let mut say = |line: Option<String>| {
        if let Some(line) = line {
            text.push_str(&super::ui::clean(&line));
            text.push('\n');
        }
    };
    for line in events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match event(line).what {
            What::Metric(metric) => {
                if epoch.begins(&metric) {
                    say(epoch.line(None));
                }
                epoch.take(&metric);
            }
            What::Log(log) => {
                say(epoch.line(None));
                say(Some(log.text));
            }
            What::Error(error) => {
                say(epoch.line(None));
                say(Some(format!("error[{}]: {}", error.code, error.message)));
            }
            _ => {}
        }
    }
    say(epoch.line(None));
    text
}

/// What is said about one run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RunReport {
    /// Identifier of the run.
    pub(super) run: Id,
    /// The model or step.
    pub(super) name: String,
    /// `model`, `fold`, `reproduction`, `evaluation` or `step`.
    pub(super) task: String,
    /// How it stands.
    pub(super) state: JobState,
    /// Why it did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<Cause>,
    /// Whether an earlier run was found instead of starting one.
    pub(super) cached: bool,
    /// Digest of the plan.
    pub(super) plan: Digest,
    /// Digest of the record, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Digest>,
    /// Why it did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// Seconds that it took, without the time between attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<f64>,
    /// Metrics by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metrics: BTreeMap<String, f64>,
    /// Tree of everything it left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<Digest>,
    /// Trees of what it was to make.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) outputs: BTreeMap<String, Digest>,
    /// When an earlier run that was found had ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<Time>,
    /// The learning curve, for people.
    #[serde(skip)]
    pub(super) curve: String,
}

impl RunReport {
    /// Of a run that has ended.
    pub(super) fn of(digest: Digest, record: &Record<Run>, cached: bool) -> Self {
        let run = &record.body;
        Self {
            run: run.run,
            name: run.name.to_string(),
            task: run.task.clone(),
            state: run.end.state,
            cause: run.end.cause,
            cached,
            plan: run.plan,
            record: Some(digest),
            reason: run.end.reason.clone(),
            seconds: Some(run.end.took()),
            metrics: run.metrics.clone(),
            output: run.output,
            outputs: run.outputs.clone(),
            ended: Some(run.end.ended),
            curve: String::new(),
        }
    }

    /// Of a run under way.
    pub(super) fn active(run: Id, name: &str, task: &str, plan: Digest) -> Self {
        Self {
            run,
            name: name.to_owned(),
            task: task.to_owned(),
            state: JobState::Running,
            cause: None,
            cached: false,
            plan,
            record: None,
            reason: None,
            seconds: None,
            metrics: BTreeMap::new(),
            output: None,
            outputs: BTreeMap::new(),
            ended: None,
            curve: String::new(),
        }
    }

    /// With the learning curve of the job in `folder`.
    pub(super) fn with_curve(self, folder: &JobFolder) -> Self {
        let events = std::fs::read(folder.events()).unwrap_or_default();
        Self { curve: learning_curve(&events), ..self }
    }

    pub(super) fn human(&self) -> String {
        let short = run::short(self.run);
        let mut text = match (self.cached, self.state) {
            (true, _) => {
                let ago =
                    self.ended.map_or_else(String::new, |ended| format!(", {}", ended.ago(Time::now())));
                let metrics = self.line_of_metrics();
                let metrics = if metrics.is_empty() { metrics } else { format!(", {metrics}") };
                format!("{} already done as run {short}{ago}{metrics}; --force runs it again\n", self.name)
            }
            (_, state) => {
                let words = self.cause.map_or_else(|| state.to_string(), |cause| cause.to_string());
                let time = self.seconds.map_or_else(String::new, |seconds| match state.ended() {
                    true => format!(" in {}", duration(seconds)),
                    false => String::new(),
                });
                format!("{} run {short} {words}{time}\n", self.name)
            }
        };
        if self.cached {
            return text;
        }
        if let Some(reason) = &self.reason {
            text += &format!("  {}\n", super::ui::clean(reason));
        }
        let metrics = self.line_of_metrics();
        if !metrics.is_empty() {
            text += &format!("  {metrics}\n");
        }
        for (name, id) in &self.outputs {
            text += &format!("  {name}  b3:{}\n", id.short());
        }
        text += &self.curve;
        text += &match self.state {
            JobState::Running | JobState::Queued | JobState::Preparing => {
                format!("  mlp runs attach {short}   follow it\n  mlp runs cancel {short}   stop it\n")
            }
            JobState::Cancelled | JobState::Lost => format!("  mlp runs resume {short}   go on with it\n"),
            JobState::Failed => self.after_failure(&short),
            _ => String::new(),
        };
        text
    }

    /// What to do next.
    fn after_failure(&self, short: &str) -> String {
        let resume = format!("  mlp runs resume {short}   go on with it");
        match self.cause {
            Some(Cause::Oom) => format!(
                "  a smaller `batch_size`, or more by `resources: {{memory: …}}`\n  mlp runs logs {short}     what it said\n"
            ),
            Some(Cause::Time) => format!("{resume}\n  `resources: {{time: …}}` gives it longer\n"),
            Some(Cause::Idle) => format!(
                "  mlp runs logs {short}     what it said last\n  `resources: {{idle: …}}` gives it longer\n"
            ),
            _ => format!("  mlp runs logs {short}     what it said\n"),
        }
    }

    fn line_of_metrics(&self) -> String {
        // How it was trained is told by `mlp runs show`; here stands what came of it.
        let told = |name: &&String| !matches!(name.as_str(), "lr" | "samples_per_second");
        let metrics: Vec<&String> = self.metrics.keys().filter(told).collect();
        let mut words: Vec<String> = metrics
            .iter()
            .take(MOST)
            .map(|name| format!("{} {}", super::ui::clean(name), shown(name, self.metrics[*name])))
            .collect();
        if let Some(more @ 1..) = metrics.len().checked_sub(MOST) {
            words.push(format!("and {more} more"));
        }
        words.join("  ")
    }
}

/// Loss and one more metric of a training over its epochs; empty with fewer than two epochs.
pub(super) fn learning_curve(events: &[u8]) -> String {
    let curves = Curves::read(events);
    let curve = |part: &str, metric: &str| Curve {
        name: part.to_owned(),
        points: curves.of(part, metric).map(|(epoch, value)| (epoch as f64, value)).collect(),
    };
    ["loss", "accuracy"]
        .iter()
        .map(|metric| plot(metric, "epoch", &[curve("train", metric), curve("val", metric)]))
        .collect()
}
