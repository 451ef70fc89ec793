//! What runs use and cost. The card is one that a script called `nvidia-smi` tells of; hosts, hours and records are real.

use std::os::unix::fs::PermissionsExt;

use mlp::base::{Cost, Usage};

use super::support::hosts::Hosts;
use super::support::lifecycle::Lab;
use super::support::project::Project;
use super::support::servers::Server;
use super::support::{ok, refused};

/// A machine with one card that always draws 3.6 MW: 1 kWh a second.
const CARD: &str = "#!/bin/sh\ncase \"$1\" in\n*power.draw*) echo 'GPU-0, 3600000.00' ;;\n\
                    *) echo 'GPU-0, Test Card, 40960, 0, 550.54.15' ;;\nesac\n";

#[test]
fn a_run_on_a_host_tells_what_it_used_and_cost_and_costs_are_added_up() {
    let tools = tempfile::tempdir().expect("makes a folder");
    let script = tools.path().join("nvidia-smi");
    std::fs::write(&script, CARD).expect("writes");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("makes it executable");
    let (path, dir) = (std::env::var("PATH").unwrap_or_default(), tools.path().display());
    let line = format!("SetEnv PATH={dir}:{path} MLP_LEASES={dir}/leases\n");
    let hosts = Hosts { server: Server::sshd_with(&line) };
    let project =
        Project::new("steps:\n  card: {run: 'sleep 1', resources: {gpus: 1}}\n  plain: {run: 'true'}\n");
    hosts.of(&project, &["h1"]);
    let price = ", price: {gpu_hour: 3600, hour: 360, currency: EUR}, power: true";
    hosts.config_with(project.path(), &["h1"], price);
    project.json(&["run", "card", "--on", "h1"], 0);
    project.json(&["run", "plain"], 0);

    let shown = project.json(&["runs", "show", "card"], 0);
    let body = &shown["record"]["body"];
    let (usage, cost) = (&body["end"]["usage"], &body["cost"]);
    let number = |value: &serde_json::Value| value.as_f64().unwrap_or_else(|| panic!("no number in {body}"));
    let seconds = number(&usage["gpu_hours"]) * 3600.0;
    assert!(seconds >= 1.0 && usage["gpu_hours"] == usage["hours"] && usage["attempts"] == 1, "{usage}");
    // The last look at the card comes when the step has ended.
    let kwh = number(&usage["gpu_kwh"]);
    assert!((1.0..=seconds * 1.0001).contains(&kwh), "{kwh} kWh in {seconds} s");
    assert!((number(&cost["amount"]) - seconds * 1.1).abs() < 1e-6, "{cost}");
    assert_eq!((&cost["gpu_hour"], &cost["currency"]), (&3600.0.into(), &"EUR".into()));
    let text = ok(project.path(), &["runs", "show", "card"]);
    for words in ["GPU hours", "kWh of its GPUs", "EUR (3600 a GPU hour, 360 an hour)"] {
        assert!(text.contains(words), "{words}: {text}");
    }

    let costs = project.json(&["runs", "cost"], 0);
    assert_eq!(costs["lines"][0]["name"], "card");
    assert_eq!(costs["lines"][0]["cost"]["EUR"], cost["amount"]);
    assert_eq!((&costs["total"]["runs"], &costs["total"]["unknown_cost"]), (&2.into(), &1.into()));
    let text = ok(project.path(), &["runs", "cost", "--by", "user"]);
    assert!(text.contains("Ada <ada@example.org>"), "{text}");
    assert!(text.contains("not counted: 1 run whose host has no price"), "{text}");
    let month = &body["end"]["ended"].as_str().expect("a time")[..7];
    assert!(ok(project.path(), &["runs", "cost", "--by", "month"]).contains(month));
    assert!(ok(project.path(), &["runs", "cost", "--by", "host"]).contains("all"));

    hosts.config_with(project.path(), &["h1"], ", price: {gpu_hour: -1, currency: EUR}");
    assert!(refused(project.path(), &["run", "card", "--on", "h1", "--force"], 2).contains("compute::price"));
}

#[test]
fn a_resumed_run_counts_all_its_attempts_and_retries_count_too() {
    let project = Project::new("steps: {again: {run: 'sleep 0.3; [ $MLP_ATTEMPT = 4 ]', retry: {max: 1}}}\n");
    project.json(&["run"], 1);
    let first = project.json(&["runs", "show"], 0)["record"]["body"]["end"]["usage"].clone();
    assert_eq!(first["attempts"], 2, "{first}");
    project.json(&["runs", "resume"], 0);
    let body = project.json(&["runs", "show"], 0)["record"]["body"].clone();
    let usage = &body["end"]["usage"];
    assert_eq!((&usage["attempts"], &body["end"]["attempts"]), (&4.into(), &4.into()), "{usage}");
    assert!(usage["hours"].as_f64() > first["hours"].as_f64(), "{usage} after {first}");
    assert_eq!(usage["gpu_hours"], 0.0);
}

const BUDGET: &str = "stages:
  candidate: {gates: {affordable: {budget: {gpu_hours: 10, cost: 50, currency: EUR}}}}
";

#[test]
fn a_budget_opens_the_stage_for_what_was_affordable_and_old_runs_are_unknown() {
    let lab = Lab::new(BUDGET);
    let gate = |right: u64, hours: Option<f64>| {
        let run = lab.run_of(right, |body| {
            let used = |gpu_hours| Usage { hours: 1.0, gpu_hours, attempts: 1, ..Usage::default() };
            body.end.usage = hours.map(used);
            body.cost = body.end.usage.as_ref().map(|usage| Cost::of(usage, Some(4.0), None, "EUR"));
        });
        lab.evidence(run, 90);
        let id = lab.store().record::<mlp::base::Run>(&run).expect("reads").body.run.to_string();
        lab.json(&["model", "register", "digits", "--run", &id], 0);
        let output = super::support::mlp(lab.path()).args(["gate", "check", "digits", "--json"]).output();
        let checked: serde_json::Value =
            serde_json::from_slice(&output.expect("mlp starts").stdout).expect("JSON");
        let gates = checked["gates"].as_array().expect("is a list");
        gates.iter().find(|gate| gate["gate"] == "affordable").expect("is there").clone()
    };
    let passed = gate(1, Some(10.0));
    assert_eq!(passed["verdict"], "pass", "{passed}");
    assert_eq!(passed["observed"], "10.00 GPU hours, 40.00 EUR");
    assert_eq!(gate(2, Some(10.5))["verdict"], "fail");
    let unknown = gate(3, None);
    assert_eq!(unknown["verdict"], "unknown", "{unknown}");
    assert!(unknown["next"].as_str().expect("a command").starts_with("mlp train --force digits"));
    assert!(ok(lab.path(), &["gate", "explain", "affordable"]).contains("over all attempts of the run"));
    let costs = ok(lab.path(), &["runs", "cost"]);
    assert!(costs.contains("not counted: 1 run of which mlp does not know"), "{costs}");
    let empty = Lab::new("stages: {candidate: {gates: {affordable: {budget: {currency: EUR}}}}}\n");
    assert!(refused(empty.path(), &["check"], 2).contains("without a bound"));
}
