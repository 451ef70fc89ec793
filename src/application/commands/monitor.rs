//! `mlp monitor`.

mod push;
mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap_complete::engine::ArgValueCompleter;

use self::report::Watched;
use super::{Answer, Context};
use crate::application::ui::Report;
use crate::application::{chosen, completion, predictions};
use crate::base::{Digest, Drift, Exit, Failure, Level, Record, Sink};
use crate::platform::monitor::{self, Answers, Labels, MonitorError, MonitorSpec, Sketches};
use crate::platform::project::Project;
use crate::platform::run::publish;
use crate::platform::serve::Served;

/// Holds the newest answers of a model against what it was trained on: drift, quality, latency.
///
/// Reads the log that `mlp serve` writes where mlp.yaml has `serve: {log: {}}`, and the limits under `monitor:`. A broken limit ends it with
/// status 1, and tells whom `monitor.alert` names. What was found is kept as evidence. Nothing is ever promoted or rolled back.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// What to look at: MODEL@STAGE, MODEL@VERSION, or MODEL for its newest version.
    #[arg(value_name = "MODEL[@REF]", required = true, add = ArgValueCompleter::new(completion::references))]
    reference: Option<String>,
    /// Look again and again, and tell when something changes, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "watch", value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// How many of the newest answers, in place of `monitor.drift.window`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    window: Option<u32>,
    /// Labels that have come: a CSV file with the columns `id` and `label`.
    #[arg(long, value_name = "FILE.csv", value_hint = clap::ValueHint::FilePath)]
    labels: Option<PathBuf>,
    /// Keep no record and tell nobody.
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Push(push::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    if let Some(Command::Push(args)) = args.command {
        return push::run(args, context);
    }
    let project = context.project()?;
    let Some(reference) = &args.reference else { return Ok(Exit::Usage) };
    let served = chosen::open(&project, reference, &context.ui)?;
    let look = Look::new(&project, served, &args, context)?;
    if args.watch {
        return look.watch(reference);
    }
    let (watched, told) = look.once()?;
    context.ui.report(&watched);
    told?;
    Ok(if watched.drift.breaches.is_empty() { Exit::Ok } else { Exit::No })
}

/// One version, its limits and what it was trained on.
struct Look<'a> {
    project: &'a Project,
    served: Served,
    args: &'a Args,
    context: &'a Context,
    spec: MonitorSpec,
    sketches: Option<Sketches>,
}

/// What was found, and whether somebody could be told of it.
type Settled = (Watched, Result<(), Failure>);

impl<'a> Look<'a> {
    fn new(
        project: &'a Project,
        served: Served,
        args: &'a Args,
        context: &'a Context,
    ) -> Result<Self, Failure> {
        let mut spec = project.manifest.monitor.clone();
        if let Some(window) = args.window {
            spec.drift.window = window as usize;
        }
        let sketches = Sketches::of_version(&project.store, &served.tree)?;
        if sketches.is_none() {
            let model = served.reference();
            context.ui.log(Level::Warn, &MonitorError::NoSketches { model }.to_string());
        }
        Ok(Self { project, served, args, context, spec, sketches })
    }

    /// Looks until the process is told to stop, at whatever version `reference` means by then. A record is kept when the broken limits
    /// change, and somebody told of a breach, again and again until that succeeds. What goes wrong is said, and tried again at the
    /// next look.
    fn watch(mut self, reference: &str) -> Answer {
        let ui = &self.context.ui;
        ui.stream();
        let mut before: Option<Vec<String>> = None;
        let mut untold: Option<Watched> = None;
        loop {
            let begun = Instant::now();
            let told = match self.again(&mut before) {
                Ok(Some((watched, told))) => {
                    ui.report(&watched);
                    untold = Some(watched);
                    told
                }
                Ok(None) => untold.as_ref().map_or(Ok(()), |watched| self.tell(watched)),
                Err(failure) => Err(failure),
            };
            match told {
                Ok(()) => untold = None,
                Err(failure) => ui.log(Level::Warn, &failure.to_string()),
            }
            std::thread::sleep(Duration::from_secs(self.args.every).saturating_sub(begun.elapsed()));
            match self.newer(reference) {
                Ok(Some(newer)) => {
                    ui.log(Level::Info, &format!("looking at {} from now on", newer.served.reference()));
                    (self, before, untold) = (newer, None, None);
                }
                Ok(None) => {}
                Err(failure) => ui.log(Level::Warn, &failure.to_string()),
            }
        }
    }

    /// The version that `reference` means now, if it is another one.
    fn newer(&self, reference: &str) -> Result<Option<Self>, Failure> {
        let chosen = chosen::choose(self.project, reference)?;
        if chosen.version.tree == self.served.tree {
            return Ok(None);
        }
        let served = chosen::load(self.project, chosen, &self.context.ui)?;
        Self::new(self.project, served, self.args, self.context).map(Some)
    }

    /// One look of many: what is found if other limits are broken than `before`, and whether somebody could be told of it.
    fn again(&self, before: &mut Option<Vec<String>>) -> Result<Option<Settled>, Failure> {
        let found = self.judge()?;
        // The values in the words of a breach change all the time; which limits are broken does not.
        let limit =
            |text: &String| text.rsplit_once(": ").map_or(text.clone(), |(limit, _)| limit.to_owned());
        let broken: Vec<String> = found.0.breaches.iter().map(limit).collect();
        if before.as_ref() == Some(&broken) {
            return Ok(None);
        }
        let settled = self.settle(found)?;
        *before = Some(broken);
        Ok(Some(settled))
    }

    fn once(&self) -> Result<Settled, Failure> {
        let found = self.judge()?;
        if found.0.window.answers == 0 {
            let model = self.served.reference();
            let folder = predictions::folder(self.project, &self.served.name);
            return Err(MonitorError::NoLog { model, folder }.into());
        }
        self.settle(found)
    }

    /// What there is to say now, and the lines that say it.
    fn judge(&self) -> Result<(Drift, Vec<u8>), Failure> {
        let Served { name, version, tree, model, .. } = &self.served;
        let most = self.spec.drift.window;
        // A file that is still being written to is read anew every time.
        let labels = self.args.labels.as_deref().map(Labels::read).transpose()?;
        let answers = Answers::of(*tree, most, labels.as_ref());
        let answers = predictions::read(answers, self.project, name, &self.context.ui)?;
        let about = Drift {
            model: name.clone(),
            version: *version,
            tree: *tree,
            window: answers.window(),
            limits: serde_json::to_value(&self.spec).unwrap_or_default(),
            features: Vec::new(),
            embedding: None,
            quality: None,
            latency: None,
            breaches: Vec::new(),
            unknown: Vec::new(),
        };
        let sketches = self.sketches.as_ref();
        let drift = monitor::judge(about, &self.spec, sketches, &model.classes, &answers);
        Ok((drift, answers.to_bytes()))
    }

    /// Keeps what was found, and tells of a breach.
    fn settle(&self, found: (Drift, Vec<u8>)) -> Result<Settled, Failure> {
        let (mut drift, lines) = found;
        let mut record = None;
        if !self.args.dry_run {
            // The answers may be of persons: they are kept beside the log only where somebody has to look at them.
            let kept = (!drift.breaches.is_empty()).then(|| self.project.store.put(&lines)).transpose()?;
            drift.window.lines = kept;
            record = Some(self.keep(&drift)?);
        }
        let stage = self.served.stage.clone();
        let watched = Watched { stage, record, drift };
        let told = match watched.drift.breaches.is_empty() || self.args.dry_run {
            true => Ok(()),
            false => self.tell(&watched),
        };
        Ok((watched, told))
    }

    fn keep(&self, drift: &Drift) -> Result<Digest, Failure> {
        let author = self.project.repo.author();
        let lines: Vec<Digest> = drift.window.lines.into_iter().collect();
        let inputs = std::iter::once(drift.tree).chain(lines.iter().copied()).collect();
        let record = Record::new(author, inputs, drift.clone());
        Ok(publish(&self.project.store, &record, drift.model.as_str(), &lines)?)
    }

    /// Both ways, even if one fails.
    fn tell(&self, watched: &Watched) -> Result<(), Failure> {
        let Some(alert) = &self.spec.alert else { return Ok(()) };
        let mut body = serde_json::to_value(watched).unwrap_or_default();
        if let Some(body) = body.as_object_mut() {
            body.insert("schema".to_owned(), watched.schema().into());
            // What chat services show.
            body.insert("text".to_owned(), watched.headline().into());
        }
        let body = body.to_string();
        let ran = alert.command.as_ref().map_or(Ok(()), |command| monitor::run_command(command, &body));
        if let Some(name) = &alert.webhook {
            let names = std::slice::from_ref(name);
            let url = self.project.secrets.values(names)?.remove(name).unwrap_or_default();
            monitor::post(&url, &body)?;
        }
        Ok(ran?)
    }
}
