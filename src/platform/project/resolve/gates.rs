//! Gates and waivers: what they name must be there, and what they ask must make sense.

use super::{Checked, Wrong, at, between, metric, part, relative};
use crate::base::{Name, Time};
use crate::platform::model::{Approvals, Budget, GateSpec, SeedGate, Test, Waiver};
use crate::platform::project::{Manifest, profile};

pub(super) fn stages(manifest: &Manifest) -> Checked {
    // Only the names count here, and they are the same at any time.
    let known = profile::merged(manifest, None, Time::now());
    let known: Vec<&str> = known.keys().map(Name::as_str).collect();
    for (stage, spec) in &manifest.stages {
        for (name, gate) in &spec.gates {
            gate_of(manifest, &known, &["stages", stage.as_str(), "gates", name.as_str()], gate)?;
        }
    }
    Ok(())
}

fn gate_of(manifest: &Manifest, stages: &[&str], path: &[&str], gate: &GateSpec) -> Checked {
    let reference = |keys: &[&str], name: &Name| {
        let known: Vec<&str> = manifest.data.keys().map(Name::as_str).collect();
        if known.contains(&name.as_str()) {
            return Ok(());
        }
        Err(Wrong::reference(&at(path, keys), "dataset", name.as_str(), &known))
    };
    let data = |key: &str, name: &Name| reference(&[key], name);
    match gate {
        GateSpec::Metric(bound) => {
            let path = at(path, &["metric"]);
            metric(&at(&path, &["name"]), &bound.name)?;
            part(&at(&path, &["on"]), &bound.on)?;
            match (bound.min, bound.max) {
                (None, None) => {
                    Err(Wrong::value(&path, "a gate without a bound passes everything", "add `min` or `max`"))
                }
                (Some(min), Some(max)) if min > max || min.is_nan() || max.is_nan() => {
                    Err(Wrong::value(&path, "`min` is over `max`, so that nothing can pass", "exchange them"))
                }
                (min, max) if [min, max].iter().flatten().any(|limit| !limit.is_finite()) => {
                    Err(Wrong::value(&path, "a bound is not a finite number", "write a number"))
                }
                (Some(min), _) => reachable(&at(&path, &["min"]), &bound.name, min),
                _ => Ok(()),
            }
        }
        GateSpec::Compare(compare) => {
            let path = at(path, &["compare"]);
            if !stages.contains(&compare.to.as_str()) {
                return Err(Wrong::reference(&at(&path, &["to"]), "stage", compare.to.as_str(), stages));
            }
            metric(&at(&path, &["metric"]), &compare.metric)?;
            if compare.test == Test::Mcnemar && compare.metric != "accuracy" {
                let message =
                    format!("McNemar's test compares `accuracy`, not `{}`", compare.metric.escape_debug());
                let hint = "write `metric: accuracy`, or `test: bootstrap` for any metric";
                return Err(Wrong::value(&at(&path, &["metric"]), message, hint));
            }
            if compare.metric == "mean_corruption_error" {
                let message =
                    "predictions of corrupted inputs are not kept: two models cannot be compared by them";
                return Err(Wrong::value(&at(&path, &["metric"]), message, "compare by another metric"));
            }
            between(&at(&path, &["alpha"]), compare.alpha, 1e-9..=0.5, "a usual level is 0.05")
        }
        GateSpec::Slices(slices) => {
            let path = at(path, &["slices"]);
            metric(&at(&path, &["metric"]), &slices.metric)?;
            part(&at(&path, &["on"]), &slices.on)?;
            between(&at(&path, &["min"]), slices.min, f64::MIN..=f64::MAX, "write a number")?;
            reachable(&at(&path, &["min"]), &slices.metric, slices.min)
        }
        GateSpec::Budget(gate) => budget(&at(path, &["budget"]), gate),
        GateSpec::Expectations(name) => data("expectations", name),
        GateSpec::Leakage(name) => data("leakage", name),
        GateSpec::Approvals(approvals) => approval(manifest, &at(path, &["approvals"]), approvals),
        GateSpec::Command(command) if command.trim().is_empty() => Err(Wrong::value(
            &at(path, &["command"]),
            "the command is empty",
            "write a command line for `sh -c`",
        )),
        GateSpec::Reproduce(reproduce) => {
            let path = at(path, &["reproduce", "tolerance"]);
            between(&path, reproduce.tolerance, 0.0..=f64::MAX, "0 asks for the same weights")
        }
        GateSpec::Seed(gate) => seed(&at(path, &["seed"]), gate),
        GateSpec::Calibration(gate) => {
            let path = at(path, &["calibration"]);
            part(&at(&path, &["on"]), &gate.on)?;
            between(&at(&path, &["max"]), gate.max, 0.0..=1.0, "an error of calibration is from 0 to 1")
        }
        GateSpec::Groups(gate) => {
            let path = at(path, &["groups"]);
            metric(&at(&path, &["metric"]), &gate.metric)?;
            part(&at(&path, &["on"]), &gate.on)?;
            let hint = "write a number from 0 on";
            between(&at(&path, &["max_difference"]), gate.max_difference, 0.0..=f64::MAX, hint)
        }
        GateSpec::DataCard(gate) => {
            gate.data.as_ref().map_or(Ok(()), |name| reference(&["data_card", "data"], name))
        }
        GateSpec::Latency(gate) => {
            let hint = "write a number of milliseconds from 0 on";
            between(&at(path, &["latency", "p95_ms"]), gate.p95_ms, 0.0..=f64::MAX, hint)
        }
        GateSpec::Serve(gate) => {
            let path = at(path, &["serve"]);
            relative(&at(&path, &["golden"]), &gate.golden)?;
            let hint = "write a number from 0 on";
            between(&at(&path, &["max_abs_diff"]), gate.max_abs_diff, 0.0..=f64::MAX, hint)?;
            between(&at(&path, &["p95_ms"]), gate.p95_ms.unwrap_or(0.0), 0.0..=f64::MAX, hint)
        }
        GateSpec::RollbackDrill(gate) => {
            let path = at(path, &["rollback_drill"]);
            if let Some(stage) = gate.stage.as_ref().filter(|stage| !stages.contains(&stage.as_str())) {
                return Err(Wrong::reference(&at(&path, &["stage"]), "stage", stage.as_str(), stages));
            }
            let most = gate.max_seconds.unwrap_or(0.0);
            between(&at(&path, &["max_seconds"]), most, 0.0..=f64::MAX, "write a number of seconds from 0 on")
        }
        GateSpec::Shadow(gate) => {
            let path = at(path, &["shadow"]);
            if let Some(stage) = gate.stage.as_ref().filter(|stage| !stages.contains(&stage.as_str())) {
                return Err(Wrong::reference(&at(&path, &["stage"]), "stage", stage.as_str(), stages));
            }
            let share = gate.max_disagreement;
            between(&at(&path, &["max_disagreement"]), share, 0.0..=1.0, "a share is between 0 and 1")?;
            let ratio = gate.max_latency_ratio.unwrap_or(1.0);
            between(&at(&path, &["max_latency_ratio"]), ratio, 0.0..=f64::MAX, "write a number from 0 on")
        }
        GateSpec::Charter(gate) => relative(&at(path, &["charter", "path"]), &gate.path),
        GateSpec::Command(_)
        | GateSpec::Code(_)
        | GateSpec::ModelCard(_)
        | GateSpec::Inputs(_)
        | GateSpec::Size(_)
        | GateSpec::Licence(_)
        | GateSpec::Attestation(_) => Ok(()),
    }
}

/// A bound that no model can meet.
fn reachable(path: &[&str], metric: &str, min: f64) -> Checked {
    let open = ["log_loss", "brier", "mae", "rmse", "median_ae", "mape", "mean_corruption_error"];
    if min <= 1.0 || open.contains(&metric) {
        return Ok(());
    }
    let message = format!("{min} cannot be reached: `{metric}` is at most 1");
    Err(Wrong::value(path, message, "write a share: 0.97 for 97 of 100"))
}

fn approval(manifest: &Manifest, path: &[&str], approvals: &Approvals) -> Checked {
    if !manifest.project.roles.contains_key(&approvals.role) {
        let known: Vec<&str> = manifest.project.roles.keys().map(Name::as_str).collect();
        return Err(Wrong::reference(&at(path, &["role"]), "role", approvals.role.as_str(), &known));
    }
    if approvals.count == 0 {
        return Err(Wrong::value(&at(path, &["count"]), "nobody is asked", "ask for at least 1"));
    }
    approvals.also.as_ref().map_or(Ok(()), |also| approval(manifest, &at(path, &["also"]), also))
}

pub(super) fn waived(manifest: &Manifest, path: &[&str], waiver: &Waiver) -> Checked {
    let merged = profile::merged(manifest, None, Time::now());
    let stages: Vec<&str> = merged.keys().map(Name::as_str).collect();
    let Some(stage) = merged.get(&waiver.stage) else {
        return Err(Wrong::reference(&at(path, &["stage"]), "stage", waiver.stage.as_str(), &stages));
    };
    if !stage.gates.contains_key(&waiver.gate) {
        let gates: Vec<&str> = stage.gates.keys().map(Name::as_str).collect();
        let kind = format!("gate of the stage `{}` named", waiver.stage);
        return Err(Wrong::reference(&at(path, &["gate"]), &kind, waiver.gate.as_str(), &gates));
    }
    for (key, text) in [("reason", &waiver.reason), ("signer", &waiver.signer)] {
        if text.trim().is_empty() {
            return Err(Wrong::value(&at(path, &[key]), "must not be empty", "somebody must answer for it"));
        }
    }
    if waiver.until.parse::<jiff::civil::Date>().is_err() || waiver.until.len() != 10 {
        let message = format!("`{}` is not a date", waiver.until.escape_debug());
        return Err(Wrong::value(&at(path, &["until"]), message, "write it as `2026-12-31`"));
    }
    Ok(())
}

fn seed(path: &[&str], gate: &SeedGate) -> Checked {
    between(&at(path, &["count"]), f64::from(gate.count), 1.0..=1000.0, "write a number of seeds from 1 on")?;
    match (&gate.metric, gate.spread) {
        (Some(_), None) => Err(Wrong::value(
            path,
            "a metric without a spread is held against nothing",
            "add `spread`: how far the metric may lie apart",
        )),
        (None, Some(_)) => Err(Wrong::value(
            &at(path, &["spread"]),
            "it is the spread of no metric",
            "add `metric`, as `mlp runs show` names it: `val.accuracy`",
        )),
        (_, spread) => {
            between(&at(path, &["spread"]), spread.unwrap_or(0.0), 0.0..=f64::MAX, "write a number from 0 on")
        }
    }
}

fn budget(path: &[&str], gate: &Budget) -> Checked {
    let bounds =
        [("gpu_hours", gate.gpu_hours), ("hours", gate.hours), ("cost", gate.cost), ("kwh", gate.kwh)];
    if bounds.iter().all(|(_, most)| most.is_none()) {
        let hint = "add `gpu_hours`, `hours`, `cost` or `kwh`";
        return Err(Wrong::value(path, "a budget without a bound passes everything", hint));
    }
    if gate.currency.is_some() && gate.cost.is_none() {
        return Err(Wrong::value(
            &at(path, &["currency"]),
            "there is no `cost`",
            "add it, or leave this out",
        ));
    }
    for (key, most) in bounds {
        if let Some(most) = most {
            between(&at(path, &[key]), most, 0.0..=f64::MAX, "write a number from 0 on")?;
        }
    }
    Ok(())
}
