//! `mlp serve --shadow` and `--canary`: versions tried beside the live one.

use serde_json::json;

use crate::support::http::{Answer, get, request};
use crate::support::project::wait_for;
use crate::support::refused;
use crate::support::serving::{Other, Project, Server, image};
use mlp::base::{Canary, RecordKind, Shadow};
use mlp::infrastructure::store::Local;

const ABORTED: &str = "mlp_canary_aborted{model=\"stripes\",version=\"2\"}";

fn shadow(result: &str) -> String {
    format!("mlp_shadow_total{{model=\"stripes\",version=\"2\",result=\"{result}\"}}")
}

/// Asks as the client `key`.
fn ask(server: &Server, key: &str, class: usize) -> Answer {
    let headers = [("Content-Type", "application/json"), ("x-mlp-key", key)];
    let body = json!({"instances": [image(class, 5)]}).to_string();
    request(server.address, "POST", "/predict", &headers, body.as_bytes())
}

fn version(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()["version"].as_u64().expect("a version")
}

fn store(project: &Project) -> Local {
    Local::open(&project.store()).expect("opens the store")
}

fn shadows(project: &Project) -> Vec<Shadow> {
    let store = store(project);
    let ids = store.records(RecordKind::Shadow).expect("lists records");
    ids.iter().map(|id| store.record(id).expect("reads a record").body).collect()
}

fn canaries(project: &Project) -> Vec<Canary> {
    let store = store(project);
    let ids = store.records(RecordKind::Canary).expect("lists records");
    ids.iter().map(|id| store.record(id).expect("reads a record").body).collect()
}

#[test]
fn a_shadow_is_asked_too_and_its_disagreement_is_evidence() {
    let project = Project::new(true);
    let second = project.register(2, Other::Mirrored);
    let server = project.serve_with(&["stripes@production", "--shadow", "stripes@2"]);
    for index in 0..9 {
        // Clients see the live version alone.
        assert_eq!(version(&ask(&server, "a", index % 3)), 1);
    }
    wait_for("the comparison", || (server.metric(&shadow("disagreed")) == Some(6.0)).then_some(()));
    assert_eq!(server.metric(&shadow("agreed")), Some(3.0));
    server.stop();
    let [found] = &shadows(&project)[..] else { panic!("not one record") };
    assert_eq!((found.version, found.tree, found.live_version, found.live), (2, second, 1, project.tree));
    let comparison = &found.comparison;
    assert_eq!((comparison.requests, comparison.failures, found.dropped), (9, 0, 0));
    assert_eq!((comparison.agreements, comparison.disagreements), (3, 6));
    // The same numbers under other names.
    assert_eq!(comparison.largest_difference, 0.0);
    let both = comparison.latency.zip(comparison.live_latency).expect("were measured");
    assert!(both.0.p50 > 0.0 && both.1.p50 > 0.0 && both.0.p50 <= both.0.p99);
}

#[test]
fn a_shadow_that_cannot_answer_harms_nobody() {
    let project = Project::new(true);
    project.register(2, Other::Overflowing);
    let server = project.serve_with(&["stripes@production", "--shadow", "stripes@2"]);
    for _ in 0..3 {
        assert_eq!(version(&ask(&server, "a", 1)), 1);
    }
    wait_for("the failures", || (server.metric(&shadow("failed")) == Some(3.0)).then_some(()));
    server.stop();
    let comparison = shadows(&project).remove(0).comparison;
    assert_eq!((comparison.requests, comparison.failures), (0, 3));
}

#[test]
fn another_live_version_begins_another_comparison() {
    let project = Project::new(true);
    project.register(2, Other::Mirrored);
    let third = project.register(3, Other::Same);
    let server = project.serve_with(&["stripes@production", "--shadow", "stripes@2"]);
    ask(&server, "a", 0);
    project.promote(3, third);
    wait_for("version 3", || (version(&ask(&server, "a", 1)) == 3).then_some(()));
    server.stop();
    let mut found = shadows(&project);
    found.sort_by_key(|shadow| shadow.live_version);
    assert_eq!(found.iter().map(|shadow| shadow.live_version).collect::<Vec<_>>(), [1, 3]);
    assert_ne!(found[0].session, found[1].session);
}

#[test]
fn a_canary_answers_the_same_clients_every_time() {
    let project = Project::new(true);
    let second = project.register(2, Other::Same);
    let server = project.serve_with(&["stripes@production", "--canary", "stripes@2=30%"]);
    let of = |key: usize| version(&ask(&server, &format!("client {key}"), 1));
    let first: Vec<u64> = (0..100).map(of).collect();
    let mine = first.iter().filter(|version| **version == 2).count();
    assert!((10..55).contains(&mine), "{mine} of 100");
    assert_eq!(first, (0..100).map(of).collect::<Vec<_>>());
    // Both can be asked for by number, and the metadata name both.
    for number in ["1", "2"] {
        assert_eq!(get(server.address, &format!("/v2/models/stripes/versions/{number}/ready")).status, 200);
    }
    assert_eq!(get(server.address, "/v2/models/stripes").json()["versions"], json!(["1", "2"]));
    assert_eq!(server.metric("mlp_canary_share{model=\"stripes\",version=\"2\"}"), Some(0.3));
    assert_eq!(server.metric(ABORTED), Some(0.0));
    let compared = |result: &str| {
        server.metric(&format!("mlp_canary_total{{model=\"stripes\",version=\"2\",result=\"{result}\"}}"))
    };
    wait_for("the comparison", || (compared("agreed") >= Some(2.0 * mine as f64)).then_some(()));
    assert_eq!((compared("disagreed"), compared("dropped")), (Some(0.0), Some(0.0)));
    for (number, tree, role, stage) in [(1, project.tree, "live", "production"), (2, second, "canary", "")] {
        let labels = format!("version=\"{number}\",digest=\"{tree}\",stage=\"{stage}\",role=\"{role}\"");
        assert_eq!(server.metric(&format!("mlp_model_info{{model=\"stripes\",{labels}}}")), Some(1.0));
    }
    server.stop();
    let [found] = &canaries(&project)[..] else { panic!("not one record") };
    assert_eq!((found.tree, found.live, found.share), (second, project.tree, 0.3));
    assert_eq!((found.requests, found.errors), (2 * mine as u64, 0));
    assert_eq!(found.comparison.disagreement(), Some(0.0));
    assert_eq!(found.aborted, None);
}

/// Asks until the canary is rolled back; what its record says.
fn until_aborted(settings: &str, kind: Other) -> Canary {
    let project = Project::new(true);
    project.settings(settings);
    project.register(2, kind);
    let server = project.serve_with(&["stripes@production", "--canary", "stripes@2=50%"]);
    let clients = std::cell::Cell::new(0);
    let next = || {
        clients.set(clients.get() + 1);
        ask(&server, &format!("client {}", clients.get()), 0)
    };
    wait_for("the rollback", || {
        (0..20).for_each(|_| drop(next()));
        (server.metric(ABORTED) == Some(1.0)).then_some(())
    });
    // Nobody meets it any more.
    assert!((0..40).all(|_| version(&next()) == 1));
    assert_eq!(server.metric("mlp_canary_share{model=\"stripes\",version=\"2\"}"), Some(0.0));
    assert_eq!(get(server.address, "/v2/models/stripes").json()["versions"], json!(["1"]));
    // The record is there while the server runs.
    wait_for("the record", || canaries(&project).pop().filter(|found| found.aborted.is_some()))
}

#[test]
fn a_canary_that_fails_is_rolled_back() {
    let found = until_aborted(
        "canary: {min_requests: 10, abort: [{error_rate: {max: 0.1}}, {disagreement: {max: 0.5}}]}",
        Other::Overflowing,
    );
    let aborted = found.aborted.expect("was aborted");
    assert_eq!((aborted.rule.as_str(), aborted.max), ("error_rate", 0.1));
    assert!(aborted.observed > 0.1 && found.errors >= 10, "{aborted:?} {}", found.errors);
}

#[test]
fn a_canary_that_disagrees_is_rolled_back() {
    let found = until_aborted(
        "canary: {min_requests: 10, abort: [{error_rate: {max: 0.1}}, {disagreement: {max: 0.5}}]}",
        Other::Mirrored,
    );
    let aborted = found.aborted.expect("was aborted");
    assert_eq!((aborted.rule.as_str(), aborted.observed, found.errors), ("disagreement", 1.0, 0));
    assert!(found.comparison.disagreements >= 10);
}

#[test]
fn a_canary_that_is_slow_is_rolled_back() {
    let found = until_aborted("canary: {min_requests: 20, abort: [{p95_ratio: {max: 2}}]}", Other::Slow);
    let aborted = found.aborted.expect("was aborted");
    assert_eq!((aborted.rule.as_str(), aborted.max, found.errors), ("p95_ratio", 2.0, 0));
    assert!(aborted.observed > 2.0, "{aborted:?}");
    let both = found.comparison.latency.zip(found.comparison.live_latency).expect("were measured");
    assert!(both.0.p50 > both.1.p50, "its computing took longer, too: {both:?}");
}

#[test]
fn what_cannot_be_tried_is_refused_before_listening() {
    let project = Project::new(true);
    project.register(2, Other::Same);
    let wrong = |arguments: &[&str]| {
        let all = [&["serve", "stripes@production", "--port", "0"], arguments].concat();
        refused(project.path(), &all, 2)
    };
    for (arguments, why) in [
        (["--canary", "stripes@1=5%"], "nothing to try"),
        (["--canary", "stripes@2"], "of the form MODEL@N=5%"),
        (["--canary", "stripes@2=200%"], "of the form MODEL@N=5%"),
        (["--canary", "stripes@7=5%"], "model::no-version"),
        (["--canary", "stripes@2=100%"], "the rule `p95_ratio`"),
        (["--shadow", "stripes@production"], "nothing to try"),
    ] {
        let text = wrong(&arguments);
        assert!(text.contains(why), "{arguments:?}: {text}");
    }
    let twice = wrong(&["--canary", "stripes@2=5%", "--canary", "stripes@2=6%"]);
    assert!(twice.contains("two canaries"), "{twice}");
    let both = refused(project.path(), &["serve", "stripes@1", "stripes@2", "--port", "0"], 2);
    assert!(both.contains("serve::twice"), "{both}");
    project.settings("canary: {abort: [{error_rate: {max: 2}}]}");
    let text = wrong(&[]);
    assert!(text.contains("mlp.yaml") && text.contains("between 0 and 1"), "{text}");
}
