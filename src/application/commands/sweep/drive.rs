//! The sweep at work: threads that train one trial after the other, and what they share.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use super::report::{in_words, live};
use super::source::Source;
use crate::application::elsewhere::Wishes;
use crate::application::following::shown;
use crate::base::{Digest, Event, Failure, Id, Level, Record, Run, Sink, What};
use crate::infrastructure::compute::{Cursor, Ended, Executor, Interrupts, Ticket};
use crate::platform::project::Project;
use crate::platform::run::sweep::{Answer, Next, Optimiser, Standing, Trial, Trials};
use crate::platform::run::{self, Listed, RunError, Workspace};

/// How often is looked whether there is something new.
const POLL: Duration = Duration::from_millis(100);
/// So many proposals in a row may be of settings that the model does not have.
const PATIENCE: usize = 20;

/// A sweep at work.
pub(super) struct Drive<'a> {
    source: Source<'a>,
    listed: &'a [Listed],
    wishes: Wishes,
    budget: Option<Duration>,
    interrupts: Interrupts,
    optimiser: Option<Mutex<Optimiser>>,
    /// Ends the optimiser.
    leash: Option<Box<dyn Fn() + Send + Sync>>,
    shared: Mutex<Shared>,
    changed: Condvar,
}

struct Shared {
    trials: Trials,
    /// When the trials that are at work began, with their numbers.
    at_work: Vec<(usize, Instant)>,
    /// Seconds of those that are not, in this sweep.
    spent: f64,
    /// Whether the optimiser has no more proposals, whether it is being asked for one, and how many of its last ones were none.
    exhausted: bool,
    asking: bool,
    refused: usize,
    /// Trials of which the optimiser hears, and those that it wants to be stopped.
    heard: Vec<usize>,
    unwanted: Vec<usize>,
    /// What ended the sweep before its time.
    failure: Option<Failure>,
}

impl<'a> Drive<'a> {
    pub(super) fn new(
        source: Source<'a>,
        listed: &'a [Listed],
        trials: Trials,
        wishes: Wishes,
        budget: Option<Duration>,
        optimiser: Option<Optimiser>,
    ) -> Self {
        let own = |trial: &&Trial| {
            let record =
                listed.iter().find(|run| Some(run.id) == trial.run).and_then(|run| run.record.as_ref());
            record.is_some_and(|(_, record)| record.body.sweep == Some(source.sweep))
        };
        let spent = trials.all.iter().filter(own).map(|trial| trial.seconds).sum();
        let shared = Shared {
            trials,
            at_work: Vec::new(),
            spent,
            exhausted: optimiser.is_none(),
            asking: false,
            refused: 0,
            heard: Vec::new(),
            unwanted: Vec::new(),
            failure: None,
        };
        Self {
            source,
            listed,
            wishes,
            budget,
            interrupts: Interrupts::watch(),
            leash: optimiser.as_ref().map(|optimiser| Box::new(optimiser.leash()) as _),
            optimiser: optimiser.map(Mutex::new),
            shared: Mutex::new(shared),
            changed: Condvar::new(),
        }
    }

    /// Trains until nothing is left, `slots` trials at a time on each place. Answers with the trials, with what ended it before its
    /// time, and with what went wrong.
    pub(super) fn run(self, slots: usize) -> (Trials, Option<&'static str>, Option<Failure>) {
        std::thread::scope(|scope| {
            let places = 0..self.source.places.len();
            let slots = places.flat_map(|place| std::iter::repeat_n(place, slots));
            let drive = &self;
            let slots: Vec<_> = slots.map(|place| scope.spawn(move || drive.slot(place))).collect();
            let panel = self.source.context.ui.panel();
            while !slots.iter().all(|slot| slot.is_finished()) {
                if let Some(panel) = &panel {
                    let shared = self.lock();
                    let lines = live(&shared.trials, &self.source.objective.metric, panel.width());
                    drop(shared);
                    panel.show(&lines);
                }
                // A slot that waits for an answer would wait for ever.
                if self.interrupts.any()
                    && let Some(end) = self.leash.as_ref().filter(|_| self.lock().asking)
                {
                    end();
                }
                std::thread::sleep(POLL);
            }
        });
        let ended = match () {
            () if self.interrupts.any() => Some("interrupted"),
            () if self.is_spent(&self.lock()) => Some("budget"),
            () => None,
        };
        let shared = self.shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Whoever interrupts may well have ended the optimiser, too.
        let failure = shared.failure.filter(|_| ended != Some("interrupted"));
        (shared.trials, ended, failure)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_spent(&self, shared: &Shared) -> bool {
        let at_work: f64 = shared.at_work.iter().map(|(_, since)| since.elapsed().as_secs_f64()).sum();
        self.budget.is_some_and(|budget| shared.spent + at_work >= budget.as_secs_f64())
    }

    /// Whether all that is under way is to stop.
    fn is_ending(&self, shared: &Shared) -> bool {
        self.interrupts.any() || shared.failure.is_some() || self.is_spent(shared)
    }

    /// Trains one trial after the other at `place`. A repository is not shared between threads: each has its own project.
    fn slot(&self, place: usize) {
        let work = || -> Result<(), Failure> {
            let project = self.source.context.project()?;
            let workspace = self.source.places[place].workspace(&project);
            while let Some((trial, until)) = self.take(&project, place)? {
                let ended = self.train(&project, &workspace, trial, until);
                self.settle(trial, ended)?;
            }
            Ok(())
        };
        if let Err(failure) = work() {
            self.lock().failure.get_or_insert(failure);
        }
        self.changed.notify_all();
    }

    /// The next trial, and after which epoch it is to stop; none if the place has nothing more to do.
    fn take(&self, project: &Project, place: usize) -> Result<Option<(usize, Option<u64>)>, Failure> {
        let mut shared = self.lock();
        loop {
            if self.is_ending(&shared) {
                return Ok(None);
            }
            match shared.trials.next(place) {
                Next::Train { trial, until } => {
                    let one = &mut shared.trials.all[trial];
                    (one.standing, one.place, one.reason) = (Standing::Running, Some(place), None);
                    shared.at_work.push((trial, Instant::now()));
                    return Ok(Some((trial, until)));
                }
                _ if !shared.exhausted => {
                    drop(shared);
                    self.ask(project)?;
                    shared = self.lock();
                }
                Next::Over => return Ok(None),
                Next::Wait => {
                    let waited = self.changed.wait_timeout(shared, POLL);
                    shared = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Asks the optimiser for one more trial.
    fn ask(&self, project: &Project) -> Result<(), Failure> {
        let Some(optimiser) = &self.optimiser else { return Ok(()) };
        let mut optimiser = optimiser.lock().unwrap_or_else(PoisonError::into_inner);
        if self.lock().exhausted {
            return Ok(());
        }
        // While the optimiser is held nobody else adds one.
        let at = self.lock().trials.all.len();
        self.lock().asking = true;
        let answer = optimiser.ask(at + 1);
        self.lock().asking = false;
        let (settings, reports) = match answer? {
            Answer::Done => {
                self.lock().exhausted = true;
                return Ok(());
            }
            Answer::Try(settings, reports) => (settings, reports),
        };
        let found = self.source.find(project, self.listed, settings.clone());
        let trial = found.unwrap_or_else(|failure| Trial {
            standing: Standing::Failed,
            reason: Some(failure.0.to_string()),
            ..Trial::new(settings)
        });
        let known = matches!(trial.standing, Standing::Done | Standing::Failed);
        let refused = trial.run.is_none() && trial.standing == Standing::Failed;
        let mut shared = self.lock();
        shared.refused = if refused { shared.refused + 1 } else { 0 };
        if shared.refused == PATIENCE {
            let detail = format!(
                "{PATIENCE} of its proposals in a row are none; the last: {}",
                trial.reason.unwrap_or_default()
            );
            return Err(optimiser.wrong(detail).into());
        }
        let end = known.then(|| end(at, &trial));
        let said = refused.then(|| trial.clone());
        shared.trials.all.push(trial);
        if reports {
            shared.heard.push(at);
        }
        drop(shared);
        if let Some(trial) = said {
            self.say(at, &trial, false);
        }
        end.map_or(Ok(()), |end| Ok(optimiser.tell(&end)?))
    }

    /// Trains a trial until its run ends or, with `until`, has come to that epoch. None if it was left alone on a host.
    fn train(
        &self,
        project: &Project,
        workspace: &Workspace<'_>,
        trial: usize,
        until: Option<u64>,
    ) -> Result<Option<(Digest, Record<Run>)>, Failure> {
        let id = self.begin(project, workspace, trial)?;
        let executor = workspace.executor();
        let ticket = Ticket { id, host: "local".into() };
        let asked = Cell::new(0);
        let stop = || {
            let count = self.interrupts.count_so_far();
            let here = matches!(executor.folder(id).host(), Ok(None));
            let wanted = match count {
                2.. => 2,
                _ if self.is_to_stop(trial, until) => 1,
                _ => 0,
            };
            if wanted > asked.get() {
                asked.set(wanted);
                let done = if wanted == 2 { executor.kill(&ticket) } else { executor.cancel(&ticket) };
                if let Err(error) = done {
                    self.source.context.ui.log(Level::Warn, &format!("trial {} goes on: {error}", trial + 1));
                }
            }
            // A host that does not answer is left to itself by who insists.
            count > 2 && !here
        };
        let watch = Watch { drive: self, trial };
        match executor.follow(&ticket, Cursor::default(), &watch, &stop)? {
            Ended::Detached(_) => Ok(None),
            Ended::Job(_) => Ok(run::finish(workspace.store, &executor.folder(id))?),
        }
    }

    /// The run of a trial: begun, gone on with, or already under way.
    fn begin(&self, project: &Project, workspace: &Workspace<'_>, trial: usize) -> Result<Id, Failure> {
        let (settings, run) = {
            let shared = self.lock();
            let trial = &shared.trials.all[trial];
            (trial.settings.clone(), trial.run)
        };
        let executor = workspace.executor();
        if let Some(id) = run {
            let status = executor.folder(id).status().map_err(RunError::from)?;
            if status.state.ended() {
                executor.resume(id, &[]).map_err(RunError::from)?;
            }
            return Ok(id);
        }
        let planned = self.source.plan(project, workspace, &settings)?;
        // Somebody may have begun it since: the same sweep may be at work in another terminal.
        if let Some(there) = run::active(&run::list(workspace)?, &planned.digest) {
            self.lock().trials.all[trial].run = Some(there.id);
            return Ok(there.id);
        }
        let place = self.lock().trials.all[trial].place.unwrap_or(0);
        let ui = &self.source.context.ui;
        let id = self.source.places[place].start(&planned, workspace, &self.wishes, &[], ui)?;
        self.lock().trials.all[trial].run = Some(id);
        let on = self.source.places[place].name().map_or_else(String::new, |host| format!(" on {host}"));
        let text = format!("trial {}: {} as run {}{on}", trial + 1, in_words(&settings), run::short(id));
        ui.log(Level::Info, &text);
        Ok(id)
    }

    fn is_to_stop(&self, trial: usize, until: Option<u64>) -> bool {
        let shared = self.lock();
        let arrived =
            until.is_some_and(|until| shared.trials.all[trial].values.keys().any(|at| *at >= until));
        arrived || shared.unwanted.contains(&trial) || self.is_ending(&shared)
    }

    /// Takes in how the run of a trial ended, and says it.
    fn settle(
        &self,
        trial: usize,
        ended: Result<Option<(Digest, Record<Run>)>, Failure>,
    ) -> Result<(), Failure> {
        let mut shared = self.lock();
        let at_work = shared.at_work.iter().position(|(at, _)| *at == trial);
        let seconds = at_work.map_or(0.0, |at| shared.at_work.swap_remove(at).1.elapsed().as_secs_f64());
        shared.spent += seconds;
        let before = shared.trials.best();
        let unwanted = shared.unwanted.contains(&trial);
        let one = &mut shared.trials.all[trial];
        match ended? {
            Some((_, record)) => self.source.judge(one, &record.body),
            None => one.standing = Standing::Paused,
        }
        match one.standing {
            // Whether it failed or was lost: it is not tried again by this command.
            Standing::Paused if one.reason.is_some() => one.standing = Standing::Failed,
            Standing::Paused if unwanted => one.standing = Standing::Stopped,
            _ => {}
        }
        let one = one.clone();
        let best = shared.trials.best();
        drop(shared);
        self.changed.notify_all();
        self.say(trial, &one, best == Some(trial) && best != before);
        match &self.optimiser {
            Some(optimiser) if one.standing != Standing::Paused => {
                let mut optimiser = optimiser.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(optimiser.tell(&end(trial, &one))?)
            }
            _ => Ok(()),
        }
    }

    fn say(&self, at: usize, trial: &Trial, best: bool) {
        let metric = &self.source.objective.metric;
        let value =
            trial.value().map_or_else(String::new, |value| format!("{metric} {}", shown(metric, value)));
        let epochs = trial.values.keys().next_back().copied().unwrap_or(0);
        let text = match trial.standing {
            Standing::Done if best => format!("{value}, the best so far"),
            Standing::Done => value,
            Standing::Failed => format!("failed: {}", trial.reason.clone().unwrap_or_default()),
            Standing::Stopped => format!("stopped after epoch {epochs}, {value}"),
            _ if epochs > 0 => format!("paused after epoch {epochs}, {value}"),
            _ => "paused".to_owned(),
        };
        self.source.context.ui.log(Level::Info, &format!("trial {}: {text}", at + 1));
    }

    /// Tells the optimiser of an epoch, if it wants to know.
    fn report(&self, trial: usize, epoch: u64, value: f64) {
        let heard = self.lock().heard.contains(&trial);
        let Some(optimiser) = self.optimiser.as_ref().filter(|_| heard) else { return };
        let stop = optimiser.lock().unwrap_or_else(PoisonError::into_inner).report(trial + 1, epoch, value);
        let mut shared = self.lock();
        match stop {
            Ok(true) => shared.unwanted.push(trial),
            Ok(false) => {}
            Err(error) => drop(shared.failure.get_or_insert(error.into())),
        }
    }
}

/// What the optimiser is told of the end of a trial.
fn end(at: usize, trial: &Trial) -> serde_json::Value {
    let mut end = json!({ "trial": at + 1, "state": trial.standing });
    let rest = [
        ("value", trial.value().map(|value| json!(value))),
        ("run", trial.run.map(|run| json!(run))),
        ("reason", trial.reason.as_ref().map(|reason| json!(reason))),
    ];
    for (key, value) in rest.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        end[key] = value;
    }
    end
}

/// Learns the objective of each epoch from what a trial tells; what is a warning is passed on.
struct Watch<'a> {
    drive: &'a Drive<'a>,
    trial: usize,
}

impl Sink for Watch<'_> {
    fn emit(&self, event: &Event) {
        match &event.what {
            What::Metric(metric) if metric.name == self.drive.source.objective.metric => {
                let Some(epoch) = metric.epoch.filter(|_| metric.value.is_finite()) else { return };
                self.drive.lock().trials.all[self.trial].values.insert(epoch, metric.value);
                self.drive.report(self.trial, epoch, metric.value);
            }
            What::Log(log) if log.level >= Level::Warn => {
                let text = format!("trial {}: {}", self.trial + 1, log.text);
                self.drive.source.context.ui.log(log.level, &text);
            }
            _ => {}
        }
    }
}
