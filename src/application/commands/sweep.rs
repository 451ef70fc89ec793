//! `mlp sweep`.

mod drive;
mod report;
mod source;

use clap::builder::PossibleValuesParser;
use serde_json::json;

use self::drive::Drive;
use self::report::{Sweep, Tried};
use self::source::Source;
use super::{Answer, Context};
use crate::application::elsewhere::{Place, Wishes, list};
use crate::application::following::workspace;
use crate::base::{Digest, Exit, Failure, Name, Span, Time};
use crate::infrastructure::compute::Wants;
use crate::platform::project::Project;
use crate::platform::run::sweep::{Halving, Objective, Optimiser, Settings, Space, Trial, Trials};
use crate::platform::run::{self, RunError};
use crate::platform::train::{ModelSpec, Schedule, WATCHED};

/// Trains a model with many settings and tells which are the best.
///
/// Each trial is a run like any other. The same command again takes over what is done, goes on with what was stopped, and trains the
/// rest: a sweep that Ctrl-C, a spent budget or a power cut ended is resumed so.
#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("proposals").required(true).args(["grid", "random", "ask"]))]
pub(crate) struct Args {
    /// The model; the only one of mlp.yaml if left out.
    model: Option<String>,
    /// A setting and its values: 'train.batch_size=[32, 64]', 'train.optimizer.adamw.lr={log: [0.0001, 0.1]}' or {uniform: [LOW, HIGH]}.
    #[arg(long, value_name = "PATH=VALUES", conflicts_with = "ask", required_unless_present = "ask")]
    over: Vec<String>,
    /// Every combination of the values.
    #[arg(long)]
    grid: bool,
    /// So many combinations, drawn by chance.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    random: Option<u16>,
    /// Combinations that this program proposes, which is asked and told by lines of JSON (mlp explain run::optimiser).
    #[arg(long, value_name = "COMMAND")]
    ask: Option<String>,
    /// Trains all for a few epochs only, and of those the best third for three times as many, and so on (asynchronous successive halving).
    #[arg(long, conflicts_with = "ask")]
    asha: bool,
    /// With --asha: epochs before the first decision.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "asha", value_parser = clap::value_parser!(u64).range(1..))]
    first: u64,
    /// With --asha: one of so many goes on.
    #[arg(long, value_name = "N", default_value_t = 3, requires = "asha", value_parser = clap::value_parser!(u8).range(2..))]
    keep: u8,
    /// What makes a trial better; val.accuracy for classes and val.loss for numbers, if nothing is said.
    #[arg(long, value_name = "METRIC", value_parser = PossibleValuesParser::new(WATCHED.map(|(name, _)| name)))]
    metric: Option<String>,
    /// Changes a setting of all trials: train.epochs=3.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Draws other combinations with another number.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "random")]
    seed: u64,
    /// Trials at a time, on each host.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,
    /// Trains no longer than this, all trials together: 30m, 8h. What is under way then stops with a checkpoint.
    #[arg(long, value_name = "TIME")]
    budget: Option<Span>,
    /// Trains on these hosts (`mlp host ls`).
    #[arg(long, value_name = "HOST,…", value_delimiter = ',')]
    on: Vec<String>,
    /// On a Slurm cluster: leaves all trials in the queue.
    #[arg(short, long, requires = "on", conflicts_with_all = ["asha", "ask"])]
    detach: bool,
    /// GPUs of each trial.
    #[arg(long, value_name = "N")]
    gpus: Option<u32>,
    /// Threads of each trial; if left out, those of the machine are shared out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Lists the trials, and what is known of them, without training.
    #[arg(long, conflicts_with = "ask")]
    dry_run: bool,
}

/// What is searched: the model, where its settings vary, and what decides.
struct Search {
    name: Name,
    model: ModelSpec,
    /// Combinations that are known beforehand.
    points: Vec<Settings>,
    objective: Objective,
    halving: Option<Halving>,
    /// What makes it the same sweep.
    identity: Digest,
}

impl Search {
    fn of(args: &Args, project: &Project) -> Result<Self, Failure> {
        let name = model_name(project, args.model.as_deref())?;
        let mut model = project.model(name.as_str())?.clone();
        for setting in &args.set {
            model = run::set(&model, setting)?;
        }
        let space = Space::read(&args.over)?;
        let set =
            |path: &&str| args.set.iter().any(|set| set.split('=').next().map(str::trim) == Some(*path));
        if let Some(path) = space.paths().find(set) {
            let detail = "--set gives it one value for all trials".to_owned();
            return Err(RunError::Space { axis: path.to_owned(), detail }.into());
        }
        check_rate(&space, &model)?;
        let objective = objective(args.metric.as_deref(), &model)?;
        let halving = args.asha.then(|| halving(args, &space, &model)).transpose()?;
        let points = match args.random {
            _ if args.ask.is_some() => Vec::new(),
            Some(count) => space.random(args.seed, usize::from(count)),
            None => space.grid()?,
        };
        let identity = identity(args, &name, &model, &objective);
        Ok(Self { name, model, points, objective, halving, identity })
    }

    /// How the trials stand, for people and programs.
    fn report(&self, args: &Args, trials: &Trials, begun: Time, ended: Option<&'static str>) -> Sweep {
        let tried = |at: usize| Tried::of(at, &trials.all[at]);
        Sweep {
            sweep: self.identity,
            model: self.name.clone(),
            metric: self.objective.metric.clone(),
            set: args.set.clone(),
            paths: paths(trials),
            trials: trials.standings().into_iter().map(tried).collect(),
            best: trials.best().map(tried),
            seconds: Time::now().seconds_since(begun),
            ended,
        }
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let search = Search::of(&args, &project)?;
    let places = places(&args, &project, context)?;
    let source = Source {
        context,
        name: &search.name,
        model: &search.model,
        sweep: search.identity,
        objective: &search.objective,
        places: &places,
    };
    let listed = list(&workspace(&project), &context.ui)?;
    // A setting that is none is known before anything is trained.
    let trials = search.points.iter().map(|settings| source.find(&project, &listed, settings.clone()));
    let trials = trials.collect::<Result<Vec<Trial>, Failure>>()?;
    let mut trials = Trials::new(trials, search.objective.clone(), search.halving.clone());
    let begun = Time::now();
    if args.dry_run {
        context.ui.report(&search.report(&args, &trials, begun, Some("dry_run")));
        return Ok(Exit::Ok);
    }
    let queue = args.on.len() == 1 && places[0].is_queue();
    if args.detach && !queue {
        return Err(RunError::Detached.into());
    }
    let optimiser = args.ask.as_deref().map(Optimiser::start).transpose()?;
    context.ui.stream();
    let slots = usize::from(args.parallel);
    let wishes = wishes(&args, &places);
    if queue && !args.asha && optimiser.is_none() {
        source.queue(&project, &mut trials, &wishes, slots)?;
    }
    if args.detach {
        context.ui.report(&search.report(&args, &trials, begun, Some("detached")));
        return Ok(Exit::Ok);
    }
    let budget = args.budget.map(|budget| budget.0);
    let drive = Drive::new(source, &listed, trials, wishes, budget, optimiser);
    let (trials, ended, failure) = drive.run(slots);
    if ended.is_none() && failure.is_none() {
        run::forget_checkpoints(&workspace(&project).executor(), trials.left_behind());
    }
    let exit = match (ended, trials.best()) {
        (Some("interrupted"), _) => Exit::Interrupted,
        (_, None) => Exit::No,
        _ => Exit::Ok,
    };
    context.ui.report(&search.report(&args, &trials, begun, ended));
    failure.map_or(Ok(exit), Err)
}

/// What every trial is given; those on this machine share its threads.
fn wishes(args: &Args, places: &[Place]) -> Wishes {
    let slots = usize::from(args.parallel);
    let here = places.iter().any(|place| place.name().is_none());
    let shared = (here && slots > 1).then(|| (crate::hardware::threads() / slots).max(1));
    Wishes { threads: args.threads.map(usize::from).or(shared), gpus: args.gpus, max_wait: None }
}

fn model_name(project: &Project, named: Option<&str>) -> Result<Name, Failure> {
    let mut models = project.manifest.models.keys();
    match (named, models.next(), models.next()) {
        (None, Some(only), None) => Ok(only.clone()),
        (None, ..) => Err(RunError::NoStep { name: String::new(), nearest: None }.into()),
        (Some(text), ..) => {
            project.model(text)?;
            text.parse().map_err(|_| RunError::NoStep { name: text.to_owned(), nearest: None }.into())
        }
    }
}

/// A rate that the schedule replaces would give the same training every time.
fn check_rate(space: &Space, model: &ModelSpec) -> Result<(), RunError> {
    let of_schedule = space.paths().any(|path| path == "train" || path.starts_with("train.schedule"));
    let rate = space.paths().find(|path| path.starts_with("train.optimizer.") && path.ends_with(".lr"));
    match rate {
        Some(rate) if matches!(model.train.schedule, Schedule::OneCycle(_)) && !of_schedule => {
            let detail =
                "the schedule `one_cycle` decides the rate: try `train.schedule.one_cycle.max_lr`".to_owned();
            Err(RunError::Space { axis: rate.to_owned(), detail })
        }
        _ => Ok(()),
    }
}

fn objective(metric: Option<&str>, model: &ModelSpec) -> Result<Objective, RunError> {
    let (default, foreign) = match model.train.loss.of_classes() {
        true => ("val.accuracy", "val.rmse"),
        false => ("val.loss", "val.accuracy"),
    };
    match metric {
        Some(metric) if metric == foreign => Err(RunError::Set {
            setting: format!("--metric {foreign}"),
            detail: "trainings of this model do not tell it".to_owned(),
            nearest: Some(format!("--metric {default}")),
        }),
        metric => Ok(Objective::of(metric.unwrap_or(default))),
    }
}

fn halving(args: &Args, space: &Space, model: &ModelSpec) -> Result<Halving, RunError> {
    if let Some(axis) = space.paths().find(|path| *path == "train.epochs") {
        let detail =
            "--asha decides after epochs, so that all trials need the same number of them".to_owned();
        return Err(RunError::Space { axis: axis.to_owned(), detail });
    }
    Ok(Halving::new(args.first, usize::from(args.keep), u64::from(model.train.epochs)))
}

fn places(args: &Args, project: &Project, context: &Context) -> Result<Vec<Place>, Failure> {
    if args.on.is_empty() {
        return Ok(vec![Place::of(project, None, &Wants::default(), &context.ui)?]);
    }
    let mut hosts = args.on.clone();
    hosts.sort();
    hosts.dedup();
    hosts.iter().map(|host| Place::of(project, Some(host), &Wants::default(), &context.ui)).collect()
}

/// What makes a sweep the same sweep: all that decides which trials there are.
fn identity(args: &Args, name: &Name, model: &ModelSpec, objective: &Objective) -> Digest {
    let how =
        json!([args.over, args.grid, args.random, args.ask, args.seed, args.asha, args.first, args.keep]);
    let mut model = model.clone();
    model.train.take_limits();
    let mut value = json!({ "name": name, "model": model, "how": how, "metric": objective.metric });
    value.sort_all_objects();
    Digest::derive("mlp sweep 1", value.to_string().as_bytes())
}

/// All settings that some trial tries.
fn paths(trials: &Trials) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for (path, _) in trials.all.iter().flat_map(|trial| &trial.settings) {
        if !paths.contains(path) {
            paths.push(path.clone());
        }
    }
    paths
}
