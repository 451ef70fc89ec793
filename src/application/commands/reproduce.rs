//! `mlp reproduce`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Answer, Context};
use crate::application::answering::{Followed, Through};
use crate::application::chosen::choose;
use crate::application::elsewhere::{Place, Wishes, list};
use crate::application::following::{RunReport, shown};
use crate::application::ui::{Align, Report, Table, Ui, clean, duration};
use crate::base::{Digest, Exit, Failure, Level, Name, Record, Reproduction, Run, Sink, Span, ThenNow};
use crate::infrastructure::compute::Wants;
use crate::infrastructure::store::{fetch, fetch_pins};
use crate::platform::project::Project;
use crate::platform::run::{self, Recorded, RunError, Workspace};

/// Trains a model again from the record of its run, and says whether the weights are the same.
///
/// Model, data, seed and what it began with are those of the record, whatever `mlp.yaml` says now; data that are not checked out
/// come from the store. The answer is kept as evidence: `identical`, or `diverged` with what was not the same.
/// Exit status 1 if they diverged.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model version: `digits` (the newest), `digits@7`, `digits@production`.
    #[arg(value_name = "MODEL[@REF]", required_unless_present = "run")]
    reference: Option<String>,
    /// The model of this run instead: the beginning of its identifier, or `latest`.
    #[arg(long, value_name = "RUN", conflicts_with = "reference")]
    run: Option<String>,
    /// How far metrics may move where the weights are not the same: 0.002.
    #[arg(long, value_name = "DIFFERENCE", default_value_t = 0.0, value_parser = tolerance)]
    tolerance: f64,
    /// Threads that computations use; the result does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Trains on this host (`mlp host ls`). Of several (`a,b`), or `any`, on the one that is free first.
    #[arg(long, value_name = "HOST")]
    on: Option<String>,
    /// GPUs that the training wants; it waits until so many are free.
    #[arg(long, value_name = "N")]
    gpus: Option<u32>,
    /// How long it may wait for them: 30m, 2h.
    #[arg(long, value_name = "TIME", requires = "gpus")]
    max_wait: Option<Span>,
    /// Leaves it running in the background; the same command without it brings the answer.
    #[arg(short, long)]
    detach: bool,
    /// Says what would be trained again, and what is not the same here.
    #[arg(long)]
    dry_run: bool,
}

fn tolerance(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "a number of 0 or more is wanted: 0.002".to_owned())
}

/// What would be trained again.
#[derive(Serialize)]
struct DryRun {
    model: String,
    run: crate::base::Id,
    record: Digest,
    data: Name,
    version: Digest,
    seed: u64,
    changed: BTreeMap<String, ThenNow<String>>,
    /// What is neither checked out nor in the local store.
    missing: BTreeMap<String, Digest>,
}

impl Report for DryRun {
    fn schema(&self) -> &'static str {
        "mlp/reproduce-plan/1"
    }

    fn human(&self) -> String {
        let mut text = format!(
            "{}  run {}\n  data {} b3:{}  seed {}\n",
            self.model,
            run::short(self.run),
            self.data,
            self.version.short(),
            self.seed
        );
        for (name, id) in &self.missing {
            text += &format!("  {name} b3:{} is not here: it would be fetched\n", id.short());
        }
        match self.changed.is_empty() {
            true => {
                text += "  executable and device are those of then: the same weights are to be expected\n"
            }
            false => text += &table(&self.changed, |value| brief(value)),
        }
        text
    }
}

/// What came of training again.
#[derive(Serialize)]
struct Reproduced {
    model: String,
    run: RunReport,
    /// Absent if the training did not come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    /// Digest of the record of this answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Digest>,
    tolerance: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reproduction: Option<Reproduction>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Identical,
    WithinTolerance,
    Diverged,
}

impl Outcome {
    fn of(reproduction: &Reproduction, tolerance: f64) -> Self {
        match (reproduction.identical, reproduction.holds(tolerance)) {
            (true, _) => Self::Identical,
            (false, true) => Self::WithinTolerance,
            (false, false) => Self::Diverged,
        }
    }
}

impl Report for Reproduced {
    fn schema(&self) -> &'static str {
        "mlp/reproduce/1"
    }

    fn human(&self) -> String {
        let (Some(outcome), Some(found)) = (self.outcome, &self.reproduction) else {
            return self.run.human();
        };
        let time = self.run.seconds.map_or_else(String::new, |seconds| format!(" in {}", duration(seconds)));
        let head = format!("{} trained again as run {}{time}: ", self.model, run::short(self.run.run));
        let mut text = match outcome {
            Outcome::Identical => format!("{head}identical\n"),
            Outcome::WithinTolerance => {
                format!("{head}within tolerance, not identical\n")
            }
            Outcome::Diverged => format!("{head}diverged\n"),
        };
        if outcome == Outcome::Identical {
            text += &format!("  weights the same bit for bit: model b3:{}\n", found.model.short());
        }
        text += &table(&found.changed, |value| brief(value));
        if outcome != Outcome::Identical {
            if found.changed.is_empty() {
                text +=
                    "  nothing that the record names was other: the files are not what this training makes\n";
            }
            let moved = found.metrics.iter().filter(|(_, of)| of.then.to_bits() != of.now.to_bits());
            let moved: BTreeMap<String, ThenNow<f64>> = moved.map(|(name, of)| (name.clone(), *of)).collect();
            let digits = |value: &f64| format!("{value:.6}");
            text += &table(&moved, digits);
            if let Some((name, by)) = found.farthest() {
                let allowed = self.tolerance;
                text +=
                    &format!("  {} moved most, by {} ({allowed} allowed)\n", clean(name), shown(name, by));
            }
        }
        text
    }

    fn quiet(&self) -> String {
        String::new()
    }
}

/// The same things then and now, one a line.
fn table<T>(of: &BTreeMap<String, ThenNow<T>>, cell: impl Fn(&T) -> String) -> String {
    if of.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["", "THEN", "NOW"]).align(1, Align::Right).align(2, Align::Right).indent(2);
    for (name, ThenNow { then, now }) in of {
        table.row([clean(name).into_owned(), cell(then), cell(now)]);
    }
    table.render()
}

/// A digest by its first letters, another value as it is.
fn brief(value: &str) -> String {
    value
        .parse::<Digest>()
        .map_or_else(|_| clean(value).into_owned(), |digest| format!("b3:{}", digest.short()))
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let ui = &context.ui;
    let wants = Wants { gpus: args.gpus.unwrap_or(0), trains: true, ..Wants::default() };
    let place = Place::of(&project, args.on.as_deref(), &wants, ui)?;
    let workspace = place.workspace(&project);
    let (label, record, body) = subject(&args, &project, &workspace, ui)?;
    let recorded = Recorded::of(&workspace, record, body, |name| project.manifest.data.get(name).cloned())?;
    let missing = recorded.missing(&workspace, ui)?;
    if args.dry_run {
        let (data, version) = recorded.data();
        ui.report(&DryRun {
            model: label,
            run: recorded.run.run,
            record,
            data: data.clone(),
            version,
            seed: recorded.seed(),
            changed: recorded.changed(&workspace)?,
            missing: missing.into_iter().collect(),
        });
        return Ok(Exit::Ok);
    }
    bring(&project, &recorded, &missing, ui)?;
    let planned = recorded.plan(&workspace, ui)?;
    let listed = list(&workspace, ui)?;
    let tolerance = args.tolerance;
    let again = match recorded.unjudged(&project.store, &listed, &planned.digest)? {
        Some(again) => {
            ui.stream();
            let text = format!("run {} trained it again before", run::short(again.1.body.run));
            ui.log(Level::Info, &text);
            again
        }
        None => {
            let wishes =
                Wishes { threads: args.threads.map(usize::from), gpus: args.gpus, max_wait: args.max_wait };
            let through = Through { place: &place, workspace: &workspace, wishes, detach: args.detach };
            match through.follow(&planned, &listed, &format!("training {label} again"), ui)? {
                Followed::Succeeded(again) => *again,
                Followed::Unanswered(run, exit) => {
                    let (outcome, record, reproduction) = (None, None, None);
                    let run = *run;
                    ui.report(&Reproduced { model: label, run, outcome, record, tolerance, reproduction });
                    return Ok(exit);
                }
            }
        }
    };
    let report = RunReport::of(again.0, &again.1, false);
    let (filed, found) = recorded.judge(&project.store, &project.repo.author(), &again)?;
    let outcome = Outcome::of(&found.body, tolerance);
    ui.report(&Reproduced {
        model: label,
        run: report,
        outcome: Some(outcome),
        record: Some(filed),
        tolerance,
        reproduction: Some(found.body),
    });
    Ok(if outcome == Outcome::Diverged { Exit::No } else { Exit::Ok })
}

/// The run that is to be done again: what people call it, and its record.
fn subject(
    args: &Args,
    project: &Project,
    workspace: &Workspace<'_>,
    ui: &Ui,
) -> Result<(String, Digest, Run), Failure> {
    if let Some(text) = &args.run {
        // What trained again is not what one wants to train again.
        let mut listed = list(workspace, ui)?;
        let answers = |task: &str| task == run::REPRODUCTION || task == run::EVALUATION;
        listed.retain(|run| !answers(&run.task) || text != "latest");
        let found = run::find(&listed, text)?;
        let label = format!("{} (run {})", found.name, found.short());
        return match found.record {
            Some((id, record)) => Ok((label, id, record.body)),
            None => Err(RunError::Active { run: found.short(), state: found.state.to_string() }.into()),
        };
    }
    let chosen = choose(project, args.reference.as_deref().unwrap_or_default())?;
    let label = format!("{}@{}", chosen.name, chosen.version.number);
    let no_record = || RunError::NotReproducible {
        run: format!("of {label}"),
        reason: "its record is not here".into(),
        hint: "`mlp data fetch` brings what the project's store has".into(),
    };
    let id = chosen.version.run.ok_or_else(no_record)?;
    if !project.store.has_record(&id)
        && let Some(remote) = project.ledger_home()?.store()
    {
        fetch_pins(&project.store, remote, project.id(), ui)?;
    }
    if !project.store.has_record(&id) {
        return Err(no_record().into());
    }
    let record: Record<Run> = project.store.record(&id)?;
    Ok((label, id, record.body))
}

/// Makes what the training used present in the local store.
fn bring(
    project: &Project,
    recorded: &Recorded,
    missing: &[(String, Digest)],
    ui: &Ui,
) -> Result<(), Failure> {
    let Some((name, id)) = missing.first() else { return Ok(()) };
    let home = project.ledger_home()?;
    let Some(remote) = home.store() else { return Err(recorded.gone(name, *id).into()) };
    for (name, id) in missing {
        ui.log(Level::Info, &format!("fetching {name} b3:{} from the store `{}`", id.short(), remote.name));
        fetch(&project.store, remote, &[*id], &[], ui)?;
    }
    Ok(())
}
