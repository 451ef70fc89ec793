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
use crate::platform::monitor::{self, Labels, MonitorError, MonitorSpec, Sketches};
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
    let look = Look::new(&project, &served, &args, context)?;
    if args.watch {
        return watch(&look, &args, context);
    }
    let (watched, told) = look.once()?;
    context.ui.report(&watched);
    told?;
    Ok(if watched.drift.breaches.is_empty() { Exit::Ok } else { Exit::No })
}

/// Looks until the process is told to stop. A record is kept, and somebody told, when the broken limits change.
fn watch(look: &Look<'_>, args: &Args, context: &Context) -> Answer {
    context.ui.stream();
    let mut before: Option<Vec<String>> = None;
    loop {
        let begun = Instant::now();
        let drift = look.judge()?;
        // The values in the words of a breach change all the time; which limits are broken does not.
        let broken: Vec<String> = drift
            .0
            .breaches
            .iter()
            .map(|text| text.split(':').next().unwrap_or_default().to_owned())
            .collect();
        if before.as_ref() != Some(&broken) {
            let (watched, told) = look.settle(drift)?;
            context.ui.report(&watched);
            if let Err(failure) = told {
                context.ui.log(Level::Warn, &failure.to_string());
            }
            before = Some(broken);
        }
        std::thread::sleep(Duration::from_secs(args.every).saturating_sub(begun.elapsed()));
    }
}

/// One version, its limits and what it was trained on.
struct Look<'a> {
    project: &'a Project,
    served: &'a Served,
    args: &'a Args,
    context: &'a Context,
    spec: MonitorSpec,
    sketches: Option<Sketches>,
}

impl<'a> Look<'a> {
    fn new(
        project: &'a Project,
        served: &'a Served,
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

    fn once(&self) -> Result<(Watched, Result<(), Failure>), Failure> {
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
        let Served { name, version, tree, model, .. } = self.served;
        let most = self.spec.drift.window;
        let answers = predictions::answers(self.project, name, *tree, most, &self.context.ui)?;
        // A file that is still being written to is read anew every time.
        let labels = self.args.labels.as_deref().map(Labels::read).transpose()?;
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
        let drift = monitor::judge(
            about,
            &self.spec,
            self.sketches.as_ref(),
            &model.classes,
            &answers,
            labels.as_ref(),
        );
        Ok((drift, answers.to_bytes()))
    }

    /// Keeps what was found, and tells of a breach.
    fn settle(&self, found: (Drift, Vec<u8>)) -> Result<(Watched, Result<(), Failure>), Failure> {
        let (mut drift, lines) = found;
        let mut record = None;
        if !self.args.dry_run {
            let lines = self.project.store.put(&lines)?;
            drift.window.lines = Some(lines);
            record = Some(self.keep(&drift, lines)?);
        }
        let stage = self.served.stage.clone();
        let watched = Watched { stage, record, drift };
        let told = match watched.drift.breaches.is_empty() || self.args.dry_run {
            true => Ok(()),
            false => self.tell(&watched),
        };
        Ok((watched, told))
    }

    fn keep(&self, drift: &Drift, lines: Digest) -> Result<Digest, Failure> {
        let author = self.project.repo.author();
        let record = Record::new(author, vec![drift.tree, lines], drift.clone());
        Ok(publish(&self.project.store, &record, drift.model.as_str(), &[lines])?)
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
