//! What the board says, computed from the rules, the ledgers and the evidence at hand. Nothing is made and nothing is changed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::application::judgement::{GateLine, Judging};
use crate::base::{Digest, Exit, Failure, Id, Name, Record, Run, Sink, Time, VerdictValue};
use crate::platform::data::{Dataset, Pointer};
use crate::platform::model::{
    Evidence, Filed, History, ModelError, Phase, Rules, Waiver, judge, registrable,
};
use crate::platform::project::{Profile, Project};

/// The board of a project.
#[derive(Serialize)]
pub(super) struct Board {
    pub(super) project: Name,
    pub(super) profile: Profile,
    pub(super) profile_version: u32,
    /// Where the gates were read from; absent if nothing is committed yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rules: Option<String>,
    pub(super) local_only: bool,
    /// Whether others work on the repository and mlp.yaml names no store: what they made is not here.
    pub(super) no_stores: bool,
    /// Why there are no rules yet, and the commands that make them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) no_rules: Option<NoRules>,
    pub(super) data: Vec<DataLine>,
    pub(super) models: Vec<ModelBoard>,
    pub(super) waivers: Vec<WaiverLine>,
    #[serde(skip)]
    pub(super) now: Time,
    /// How the command ends.
    #[serde(skip)]
    pub(super) exit: Exit,
}

/// The trust branch has no rules.
#[derive(Serialize)]
pub(super) struct NoRules {
    pub(super) why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// One dataset.
#[derive(Serialize)]
pub(super) struct DataLine {
    pub(super) data: Name,
    pub(super) versioned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// A waiver and whether it still holds.
#[derive(Serialize)]
pub(super) struct WaiverLine {
    /// The only version that it is for: `digits@3`; absent for one of `mlp.yaml`, which is for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    #[serde(flatten)]
    pub(super) waiver: Waiver,
    pub(super) expired: bool,
}

/// One model.
#[derive(Serialize)]
pub(super) struct ModelBoard {
    pub(super) model: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<Name>,
    pub(super) versions: u64,
    pub(super) stages: Vec<StageLine>,
    /// The version that is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u64>,
    /// Whether that version is only a finished run so far.
    pub(super) registered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<Id>,
    /// The stage it could go to next; absent if it is in all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<Name>,
    pub(super) phases: Vec<PhaseLine>,
    pub(super) gates: Vec<GateLine>,
    /// The command to type next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// A stage and what is live in it.
#[derive(Serialize)]
pub(super) struct StageLine {
    pub(super) stage: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) actor: Option<String>,
}

/// A phase and the worst verdict of its gates; absent without gates.
#[derive(Serialize)]
pub(super) struct PhaseLine {
    pub(super) phase: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<VerdictValue>,
    pub(super) gates: usize,
}

/// Computes the board, of all models or of `only`.
pub(super) fn board(
    project: &Project,
    only: Option<&str>,
    to: Option<&str>,
    sink: &dyn Sink,
) -> Result<Board, Failure> {
    let now = Time::now();
    let data: Vec<DataLine> = project
        .manifest
        .data
        .iter()
        .map(|(name, spec)| data_line(&Dataset::new(name, spec, &project.root), project))
        .collect();
    let mut board = Board {
        project: project.manifest.project.name.clone(),
        profile: project.manifest.project.profile.profile,
        profile_version: project.manifest.project.profile.version,
        rules: None,
        local_only: false,
        no_stores: false,
        no_rules: None,
        data,
        models: Vec::new(),
        waivers: Vec::new(),
        now,
        exit: Exit::Ok,
    };
    let judging = match Judging::looking(project, sink) {
        Ok(judging) => judging,
        // A project that is not committed yet is where everybody begins: the board says what to do.
        Err(failure) if ["git::no-trust-branch", "project::no-trust"].contains(&failure.0.code()) => {
            board.no_rules = Some(NoRules { why: failure.to_string(), next: failure.0.hint() });
            return Ok(board);
        }
        Err(failure) => return Err(failure),
    };
    board.rules = Some(judging.trust.name.clone());
    board.local_only = judging.trust.local_only;
    board.no_stores = !board.local_only && project.manifest.stores.is_empty();
    board.waivers = judging
        .manifest
        .waivers
        .iter()
        .map(|waiver| WaiverLine { version: None, expired: !waiver.holds(now), waiver: waiver.clone() })
        .collect();
    let names: Vec<Name> = match only {
        Some(text) => vec![judging.model(Some(text))?],
        None => judging.models()?,
    };
    let evidence = Evidence::collect(&project.store)?;
    for name in names {
        let (model, waivers) = model_board(&judging, &name, to, &board.data, &evidence, now)?;
        board.models.push(model);
        board.waivers.extend(waivers);
    }
    board.exit = judging.exit();
    Ok(board)
}

fn data_line(dataset: &Dataset, project: &Project) -> DataLine {
    let versioned = dataset.pointer().exists();
    let name = &dataset.name;
    let next = match (versioned, dataset.path.exists(), dataset.spec.source.is_empty()) {
        (true, true, _) => None,
        (true, false, _) if elsewhere(dataset, project) => {
            Some("mlp data push  # where the data were added, with `stores:` in mlp.yaml".to_owned())
        }
        (true, false, _) => Some(format!("mlp data checkout {name}")),
        (false, true, _) => Some(format!("mlp data add {name}")),
        (false, false, false) => Some(format!("mlp data download {name}")),
        (false, false, true) => {
            Some(format!("put the data into {}, then mlp data add {name}", dataset.spec.path))
        }
    };
    DataLine { data: name.clone(), versioned, next }
}

/// Whether the version of a dataset is on another machine and no store is named that could have it.
fn elsewhere(dataset: &Dataset, project: &Project) -> bool {
    let manifest = &project.manifest;
    let here = || {
        let pointer = Pointer::read(&dataset.pointer()).ok()?;
        project.store.has(&pointer.node().id).ok()
    };
    manifest.stores.is_empty() && manifest.imports.is_empty() && here() == Some(false)
}

fn model_board(
    judging: &Judging<'_>,
    name: &Name,
    to: Option<&str>,
    data: &[DataLine],
    evidence: &Evidence<'_>,
    now: Time,
) -> Result<(ModelBoard, Vec<WaiverLine>), Failure> {
    let rules = judging.rules(name)?;
    let asked = to.map(|stage| rules.stage(stage).cloned()).transpose()?;
    let history = judging.look(name)?;
    let mut board = ModelBoard {
        model: name.clone(),
        data: rules.dataset.clone(),
        versions: history.versions().len() as u64,
        stages: rules.stages.keys().map(|stage| stage_line(stage, &history)).collect(),
        version: None,
        registered: history.newest().is_some(),
        run: None,
        target: None,
        phases: Vec::new(),
        gates: Vec::new(),
        next: None,
    };
    // A finished run that nobody registered is judged as the version that it would be.
    let judged = match (history.newest(), registrable(&judging.project.store, name, None)) {
        (Some(_), _) => Some(history.clone()),
        (None, Ok(run)) => {
            board.run = Some(run.1.body.run);
            Some(imagined(name, &run)?)
        }
        (None, Err(failure)) if failure.0.code() == "model::no-run" => None,
        (None, Err(failure)) => return Err(failure),
    };
    let newest = judged.as_ref().and_then(History::newest);
    let holds = |stage: &Name| {
        newest.is_some_and(|newest| history.live(stage).is_some_and(|live| live.number == newest.number))
    };
    board.target = asked.or(rules.next_stage(holds).cloned());
    if let Some(target) = &board.target {
        board.gates = match (&judged, newest) {
            (Some(history), Some(version)) => {
                board.version = Some(version.number);
                let candidate = judging.candidate(history, version)?;
                judge(&rules, &candidate, evidence, target, now)?.iter().map(GateLine::from).collect()
            }
            _ => unjudged(&rules, target),
        };
    } else {
        board.version = newest.map(|newest| newest.number);
    }
    board.phases = phases(&board.gates);
    board.next = next(&board, data);
    let waivers = match newest {
        Some(version) => signed_waivers(&history, version.number, evidence, now)?,
        None => Vec::new(),
    };
    Ok((board, waivers))
}

/// The waivers that the ledger names for a version.
fn signed_waivers(
    history: &History,
    version: u64,
    evidence: &Evidence<'_>,
    now: Time,
) -> Result<Vec<WaiverLine>, ModelError> {
    let mut lines = Vec::new();
    for id in history.waivers(version).flat_map(|entry| &entry.evidence) {
        let Some(record) = evidence.waiver(id)? else { continue };
        let body = record.body;
        let waiver = Waiver {
            gate: body.gate,
            stage: body.stage,
            reason: body.reason,
            signer: body.principal,
            until: body.until,
        };
        let version = Some(format!("{}@{version}", history.model()));
        lines.push(WaiverLine { version, expired: !waiver.holds(now), waiver });
    }
    Ok(lines)
}

fn stage_line(stage: &Name, history: &History) -> StageLine {
    let entry = history.live_entry(stage);
    StageLine {
        stage: stage.clone(),
        version: history.live(stage).map(|live| live.number),
        since: entry.map(|entry| entry.time),
        actor: entry.map(|entry| entry.actor.clone()),
    }
}

/// The history in which `run` is version 1.
fn imagined(model: &Name, run: &Filed<Run>) -> Result<History, ModelError> {
    let (id, record): &(Digest, Record<Run>) = run;
    History::imagine(model, *id, &record.body)
}

/// The gates of a stage before there is anything to judge.
fn unjudged(rules: &Rules, target: &Name) -> Vec<GateLine> {
    rules
        .gates(target)
        .map(|(stage, name, gate)| GateLine {
            gate: name.clone(),
            stage: stage.clone(),
            phase: gate.phase(),
            verdict: None,
            wanted: gate.wanted(),
            observed: String::new(),
            reason: None,
            evidence: Vec::new(),
            next: None,
            by_hand: false,
        })
        .collect()
}

/// Every phase with the worst verdict of its gates.
fn phases(gates: &[GateLine]) -> Vec<PhaseLine> {
    let rank = |verdict: Option<VerdictValue>| match verdict {
        Some(VerdictValue::Fail) => 3,
        Some(VerdictValue::Unknown) => 2,
        Some(VerdictValue::Pass) => 1,
        None => 0,
    };
    let mut by_phase: BTreeMap<Phase, Vec<Option<VerdictValue>>> = BTreeMap::new();
    for gate in gates {
        by_phase.entry(gate.phase).or_default().push(gate.verdict);
    }
    let line = |phase: Phase| {
        let verdicts = by_phase.get(&phase).map_or(&[][..], Vec::as_slice);
        let verdict = verdicts.iter().copied().max_by_key(|verdict| rank(*verdict)).flatten();
        PhaseLine { phase, verdict, gates: verdicts.len() }
    };
    Phase::ALL.map(line).into()
}

/// The command to type next for this model.
fn next(board: &ModelBoard, data: &[DataLine]) -> Option<String> {
    let model = &board.model;
    let reference = board.version.map_or_else(|| model.to_string(), |version| format!("{model}@{version}"));
    if board.version.is_none() {
        let own = data.iter().find(|line| Some(&line.data) == board.data.as_ref());
        let missing = own.and_then(|line| line.next.clone());
        return Some(missing.unwrap_or_else(|| format!("mlp train {model}")));
    }
    let target = board.target.as_ref()?;
    // What failed must be mended first, then what mlp does not make by itself; the rest is made by promoting.
    let failed = board.gates.iter().find(|gate| gate.verdict == Some(VerdictValue::Fail));
    let failed = failed.or(board.gates.iter().find(|gate| gate.by_hand && board.registered));
    let promote = match board.registered {
        true => format!("mlp promote {reference} --to {target}"),
        false => format!("mlp promote {model} --to {target}"),
    };
    Some(failed.and_then(|gate| gate.next.clone()).unwrap_or(promote))
}
