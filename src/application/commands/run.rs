//! `mlp run`.

use std::collections::BTreeMap;
use std::sync::mpsc;

use clap_complete::ArgValueCandidates;
use indexmap::IndexMap;
use serde::Serialize;

use super::{Answer, Context};
use crate::application::chosen::begin;
use crate::application::completion;
use crate::application::elsewhere::{Place, Wishes, roots};
use crate::application::following::{OnInterrupt, RunReport, exit_of, follow, workspace, worse};
use crate::application::ui::Report;
use crate::base::{Digest, Exit, Failure, Level, Name, Record, Run, Sink};
use crate::infrastructure::compute::{Interrupts, Wants};
use crate::platform::data::Dataset;
use crate::platform::project::Project;
use crate::platform::run::{self, Graph, Listed, Planned, Point, Workspace};

/// Runs steps and models in the order of what they need.
///
/// What was done before with the same command, inputs, parameters and code is not done again; outputs that are missing or
/// different are put back from the store.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Steps and models of mlp.yaml, with all that they need; everything if none is named.
    #[arg(add = ArgValueCandidates::new(completion::tasks))]
    steps: Vec<String>,
    /// How many may run at the same time.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Runs on this host (`mlp host ls`). Of several (`a,b`), or `any`, on the one that is free first: it says which, and why.
    #[arg(long, value_name = "HOST")]
    on: Option<String>,
    /// Says what would be run and why.
    #[arg(long)]
    dry_run: bool,
    /// Runs everything named although it was already done.
    #[arg(long)]
    force: bool,
}

/// What was done, in the order in which it was over.
#[derive(Serialize)]
struct Ran {
    dry_run: bool,
    steps: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: Name,
    /// `run`, `cached`, `restored`, `would_run`, `failed`, `left`, `skipped`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Digest>,
    /// Why it is not taken from the cache, or not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunReport>,
}

impl Report for Ran {
    fn schema(&self) -> &'static str {
        "mlp/run-steps/1"
    }

    fn human(&self) -> String {
        let mut text = String::new();
        for line in &self.steps {
            let reason = line.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
            let run =
                line.run.as_ref().map_or_else(String::new, |run| format!(", run {}", run::short(run.run)));
            let outcome = line.outcome.replace('_', " ");
            text += &format!("{} {outcome}{run}{reason}\n", line.name);
        }
        if text.is_empty() { "there are no steps and no models\n".to_owned() } else { text }
    }

    fn quiet(&self) -> String {
        String::new()
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let manifest = &project.manifest;
    let graph = Graph::new(&manifest.steps, &manifest.models, &manifest.data)?.select(&args.steps)?;
    let place = Place::of(&project, args.on.as_deref(), &wants(&graph, &project), &context.ui)?;
    let workspace = place.workspace(&project);
    let maker = Maker::new(&args, &project, &place, &workspace, context)?;
    if !args.dry_run {
        context.ui.stream();
    }
    let (steps, exit) = if args.dry_run { (maker.dry_run(&graph)?, Exit::Ok) } else { maker.make(&graph)? };
    context.ui.report(&Ran { dry_run: args.dry_run, steps });
    Ok(exit)
}

/// What all of it wants of a host.
fn wants(graph: &Graph, project: &Project) -> Wants {
    let manifest = &project.manifest;
    let (mut wants, mut paths) = (Wants::default(), Vec::new());
    for point in &graph.points {
        let resources = match (manifest.models.get(&point.name), manifest.steps.get(&point.name)) {
            (Some(model), _) if point.model => {
                paths.extend(manifest.data.get(&model.data).map(|data| data.path.as_str()));
                &model.train.resources
            }
            (_, Some(step)) => {
                paths.extend(step.inputs.iter().map(String::as_str));
                &step.resources
            }
            _ => continue,
        };
        let gpus = resources.gpus.unwrap_or(0);
        wants.gpus = wants.gpus.max(gpus);
        wants.trains |= point.model && gpus > 0;
        wants.share = [wants.share, resources.share].into_iter().flatten().min();
    }
    let read = manifest.data.iter().filter(|(_, data)| paths.contains(&data.path.as_str()));
    wants.roots = roots(project, read.map(|(name, _)| name));
    wants
}

struct Maker<'a> {
    args: &'a Args,
    project: &'a Project,
    place: &'a Place,
    workspace: &'a Workspace<'a>,
    context: &'a Context,
    datasets: Vec<Dataset>,
    apart: Vec<String>,
}

/// What is known of a point before anything is started.
enum Fate {
    Cached(Digest, Box<Record<Run>>),
    Run(Box<Planned>, String),
}

impl<'a> Maker<'a> {
    fn new(
        args: &'a Args,
        project: &'a Project,
        place: &'a Place,
        workspace: &'a Workspace<'a>,
        context: &'a Context,
    ) -> Result<Self, Failure> {
        let data = &project.manifest.data;
        let datasets = data.keys().map(|name| project.dataset(name.as_str())).collect::<Result<_, _>>()?;
        let begins = project.manifest.models.iter().filter_map(|(name, model)| {
            let init = model.train.init.as_ref().filter(|init| init.is_file())?;
            Some((name, init.from.as_str()))
        });
        let paths = data.iter().map(|(name, spec)| (name, spec.path.as_str())).chain(begins);
        let apart = run::named_paths(&project.manifest.steps, paths)?;
        Ok(Self { args, project, place, workspace, context, datasets, apart })
    }

    fn plan(&self, point: &Point) -> Result<Planned, Failure> {
        let name = &point.name;
        if point.model {
            let model = self.project.model(name.as_str())?;
            let dataset = self.project.dataset(model.data.as_str())?;
            let weights = begin(self.project, self.workspace, name, model, &self.context.ui)?;
            let ui = &self.context.ui;
            Ok(run::plan_training(self.workspace, name, model, dataset, weights.as_ref(), ui)?)
        } else {
            let step = self.project.step(name.as_str())?;
            Ok(run::plan_step(self.workspace, name, step, &self.apart, &self.context.ui)?)
        }
    }

    fn fate(&self, point: &Point, listed: &[Listed]) -> Result<Fate, Failure> {
        let planned = self.plan(point)?;
        let named =
            self.args.steps.is_empty() || self.args.steps.iter().any(|name| name == point.name.as_str());
        if self.args.force && named {
            return Ok(Fate::Run(Box::new(planned), "--force".into()));
        }
        if let Some((id, record)) = run::done(listed, &planned.digest) {
            return Ok(Fate::Cached(id, Box::new(record)));
        }
        let reason = self.reason(&planned, listed);
        Ok(Fate::Run(Box::new(planned), reason))
    }

    /// Why the newest run of this name is not the one that is wanted.
    fn reason(&self, planned: &Planned, listed: &[Listed]) -> String {
        let plan = &planned.plan;
        let same = listed.iter().filter(|run| run.name == plan.name && run.task == plan.task);
        let Some(record) = same.filter_map(|run| run.record.as_ref()).map(|(_, record)| record).next() else {
            return "not run before".to_owned();
        };
        if record.body.plan == planned.digest {
            return format!("the last run {}", record.body.end.state);
        }
        run::changes(&record.body, plan)
    }

    fn dry_run(&self, graph: &Graph) -> Result<Vec<Line>, Failure> {
        let listed = run::list(self.workspace)?;
        let mut lines: Vec<Line> = Vec::new();
        for point in &graph.points {
            let waits = point.needs.iter().find(|need| lines[**need].outcome != "cached");
            let line =
                |outcome, plan, reason| Line { name: point.name.clone(), outcome, plan, reason, run: None };
            if let Some(need) = waits {
                let reason = format!("{} comes first", graph.points[*need].name);
                lines.push(line("would_run", None, Some(reason)));
                continue;
            }
            lines.push(match self.fate(point, &listed)? {
                Fate::Cached(_, record) => line("cached", Some(record.body.plan), None),
                Fate::Run(planned, reason) => line("would_run", Some(planned.digest), Some(reason)),
            });
        }
        Ok(lines)
    }

    /// Starts whatever has all it needs, at most `--jobs` at a time, until nothing more can be started.
    fn make(&self, graph: &Graph) -> Result<(Vec<Line>, Exit), Failure> {
        let interrupts = Interrupts::watch();
        let several = self.args.jobs > 1;
        let mut lines: IndexMap<usize, Line> = IndexMap::new();
        let mut running: BTreeMap<usize, (Digest, String)> = BTreeMap::new();
        let mut exit = Exit::Ok;
        std::thread::scope(|scope| -> Result<(), Failure> {
            let (over, done) = mpsc::channel();
            loop {
                while running.len() < usize::from(self.args.jobs) && !interrupts.any() && exit == Exit::Ok {
                    let ready = |at: &usize| {
                        let made = |need: &usize| lines.get(need).is_some_and(Line::good);
                        !lines.contains_key(at)
                            && !running.contains_key(at)
                            && graph.points[*at].needs.iter().all(made)
                    };
                    let Some(at) = (0..graph.points.len()).find(ready) else { break };
                    let point = &graph.points[at];
                    let planned = match self.fate(point, &run::list(self.workspace)?)? {
                        Fate::Cached(id, record) => {
                            let line = self.cached(point, id, &record)?;
                            self.say(&line);
                            lines.insert(at, line);
                            continue;
                        }
                        Fate::Run(planned, reason) => {
                            running.insert(at, (planned.digest, reason));
                            planned
                        }
                    };
                    if !point.model {
                        run::clear_outputs(self.workspace, &planned, &self.context.ui)?;
                    }
                    let ui = &self.context.ui;
                    let id =
                        self.place.start(&planned, self.workspace, &Wishes::default(), &self.apart, ui)?;
                    let on = self.place.name().map_or_else(String::new, |host| format!(" on {host}"));
                    let text = format!("{} runs{on} as {}", point.name, run::short(id));
                    self.context.ui.log(Level::Info, &text);
                    let (over, interrupts, context) = (over.clone(), &interrupts, self.context);
                    let prefix = several.then(|| point.name.to_string());
                    scope.spawn(move || {
                        let _ = over.send((at, watch(context, id, prefix.as_deref(), interrupts)));
                    });
                }
                if running.is_empty() {
                    return Ok(());
                }
                let Ok((at, ended)) = done.recv() else { return Ok(()) };
                let (plan, reason) = running.remove(&at).unwrap_or((Digest::of(b""), String::new()));
                let line = self.ended(&graph.points[at], plan, reason, ended?)?;
                exit = worse(exit, line.run.as_ref().map_or(Exit::Interrupted, |run| exit_of(run.state)));
                self.say(&line);
                lines.insert(at, line);
            }
        })?;
        let skipped = |at: &usize| Line {
            name: graph.points[*at].name.clone(),
            outcome: "skipped",
            plan: None,
            reason: None,
            run: None,
        };
        let left: Vec<Line> =
            (0..graph.points.len()).filter(|at| !lines.contains_key(at)).map(|at| skipped(&at)).collect();
        if exit == Exit::Ok && interrupts.any() {
            exit = Exit::Interrupted;
        }
        Ok((lines.into_values().chain(left).collect(), exit))
    }

    fn cached(&self, point: &Point, id: Digest, record: &Record<Run>) -> Result<Line, Failure> {
        let mut restored = Vec::new();
        if !point.model {
            restored = run::restore(self.workspace, record, &self.context.ui)?;
            run::point(self.workspace, record, &self.datasets)?;
        }
        let (outcome, reason) = match restored.is_empty() {
            true => ("cached", None),
            false => ("restored", Some(restored.join(", "))),
        };
        let run = Some(RunReport::of(id, record, true));
        Ok(Line { name: point.name.clone(), outcome, plan: Some(record.body.plan), reason, run })
    }

    fn ended(
        &self,
        point: &Point,
        plan: Digest,
        reason: String,
        ended: Option<(Digest, Record<Run>)>,
    ) -> Result<Line, Failure> {
        let line =
            |outcome, reason, run| Line { name: point.name.clone(), outcome, plan: Some(plan), reason, run };
        let Some((id, record)) = ended else {
            return Ok(line("left", Some("its host could not be asked to end it".into()), None));
        };
        let run = RunReport::of(id, &record, false);
        if exit_of(run.state) != Exit::Ok {
            let reason = run.reason.clone().or(Some(run.state.to_string()));
            return Ok(line("failed", reason, Some(run)));
        }
        if !point.model {
            // What was made on a host is not here yet.
            if self.place.name().is_some() {
                run::restore(self.workspace, &record, &self.context.ui)?;
            }
            for name in run::point(self.workspace, &record, &self.datasets)? {
                self.context.ui.log(Level::Info, &format!("dataset {name} has a new version"));
            }
        }
        Ok(line("run", Some(reason), Some(run)))
    }

    fn say(&self, line: &Line) {
        let reason = match (line.outcome, &line.reason) {
            ("failed" | "left" | "restored", Some(reason)) => format!(": {reason}"),
            _ => String::new(),
        };
        self.context.ui.log(Level::Info, &format!("{} {}{reason}", line.name, line.outcome));
    }
}

impl Line {
    fn good(&self) -> bool {
        matches!(self.outcome, "run" | "cached" | "restored")
    }
}

/// Follows one job in a thread, with a project of its own: a repository is not shared between threads.
fn watch(
    context: &Context,
    id: crate::base::Id,
    prefix: Option<&str>,
    interrupts: &Interrupts,
) -> Result<Option<(Digest, Record<Run>)>, Failure> {
    let project = context.project()?;
    follow(&context.ui, &workspace(&project), id, prefix, interrupts, OnInterrupt::Cancel)
}
