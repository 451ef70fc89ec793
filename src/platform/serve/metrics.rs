//! What the server counts, in the text format of Prometheus, version 0.0.4.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Answered, Observer, Served};
use crate::base::Name;

/// `Content-Type` of the text.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the buckets of durations, in seconds.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds of the buckets of batches, in instances.
const INSTANCES: [f64; 13] =
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];

/// The counts. Names and labels come from the program and from models that are served, never from a client, so that their
/// number is bounded.
#[derive(Default)]
pub struct Metrics(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    /// Requests by route and status.
    requests: BTreeMap<(String, u16), u64>,
    /// By model, version and role.
    versions: BTreeMap<(String, u64, &'static str), Version>,
    batches: Histogram<13>,
    /// Everything else: by family, then by its labels as they are written.
    others: BTreeMap<&'static str, BTreeMap<String, f64>>,
}

#[derive(Default)]
struct Version {
    instances: u64,
    seconds: Histogram<14>,
}

/// How often a value fell between two bounds.
struct Histogram<const N: usize> {
    counts: [u64; N],
    sum: f64,
    count: u64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self { counts: [0; N], sum: 0.0, count: 0 }
    }
}

impl<const N: usize> Histogram<N> {
    fn add(&mut self, value: f64, bounds: &[f64; N]) {
        if let Some(index) = bounds.iter().position(|bound| value <= *bound) {
            self.counts[index] += 1;
        }
        self.sum += value;
        self.count += 1;
    }

    fn write(&self, text: &mut String, name: &str, labels: &str, bounds: &[f64; N]) {
        let mut below = 0;
        let comma = if labels.is_empty() { "" } else { "," };
        for (bound, count) in bounds.iter().zip(self.counts) {
            below += count;
            line(text, &format!("{name}_bucket"), &format!("{labels}{comma}le=\"{bound}\""), below as f64);
        }
        line(text, &format!("{name}_bucket"), &format!("{labels}{comma}le=\"+Inf\""), self.count as f64);
        line(text, &format!("{name}_sum"), labels, self.sum);
        line(text, &format!("{name}_count"), labels, self.count as f64);
    }
}

/// A family of metrics besides requests, versions and batches: name, type, help.
type Family = (&'static str, &'static str, &'static str);

/// Versions that became live while the server ran.
const SWAPS: Family = ("mlp_swaps_total", "counter", "Versions that became live while the server ran.");
/// Whether the stage names a version that is not served because it does not verify.
const STALE: Family =
    ("mlp_stale", "gauge", "1 while the stage cannot be followed and an older version answers.");

/// Whether the ledger is no longer the one that the version was chosen by.
const LEDGER_BROKEN: Family = (
    "mlp_ledger_broken",
    "gauge",
    "1 while the ledger of a stage that is followed is damaged or has lost entries; what it named goes on answering.",
);
/// Requests that the prediction log lacks.
const LOG_DROPPED: Family = (
    "mlp_log_dropped_total",
    "counter",
    "Requests that are not in the prediction log because the disk was too slow or refused them.",
);

const SHADOW: Family = (
    "mlp_shadow_total",
    "counter",
    "Instances on which a shadow agreed or disagreed with the live version, and requests that failed or were dropped.",
);
const CANARY: Family = (
    "mlp_canary_total",
    "counter",
    "Instances on which a canary and the live version agreed or disagreed, and requests that were not compared because that failed or was dropped.",
);
const CANARY_SHARE: Family = ("mlp_canary_share", "gauge", "The share of clients that a canary answers.");
const CANARY_ERRORS: Family =
    ("mlp_canary_errors_total", "counter", "Requests that a canary failed to answer by its own fault.");
const CANARY_ABORTED: Family =
    ("mlp_canary_aborted", "gauge", "1 when a rule has taken the canary out of service.");

impl Metrics {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request was answered with `status`; `route` is one of the program's.
    pub(super) fn request(&self, route: &str, status: u16) {
        let mut counts = self.lock();
        *counts.requests.entry((route.to_owned(), status)).or_default() += 1;
    }

    /// So many instances were computed together.
    pub(super) fn batch(&self, instances: usize) {
        self.lock().batches.add(instances as f64, &INSTANCES);
    }

    /// Another version of `model` took over.
    pub fn swapped(&self, model: &Name) {
        self.add(SWAPS, labelled(model), 1.0);
    }

    /// Whether the stage of `model` cannot be followed, so that an older version answers.
    pub fn stale(&self, model: &Name, stale: bool) {
        self.set(STALE, labelled(model), f64::from(u8::from(stale)));
    }

    /// Whether the ledger of `model` is damaged or has lost entries.
    pub fn ledger_broken(&self, model: &Name, broken: bool) {
        self.set(LEDGER_BROKEN, labelled(model), f64::from(u8::from(broken)));
    }

    /// So many answers of `model` more are not in the prediction log.
    pub(super) fn log_dropped(&self, model: &Name, requests: u64) {
        self.add(LOG_DROPPED, labelled(model), requests as f64);
    }

    /// A shadow compared `more` instances that `agreed` or `disagreed`, or requests of it `failed` or were `dropped`.
    pub(super) fn shadow(&self, model: &Name, version: u64, what: &'static str, more: u64) {
        let labels = format!("{},version=\"{version}\",result=\"{what}\"", labelled(model));
        self.add(SHADOW, labels, more as f64);
    }

    /// A canary and the live version `agreed` or `disagreed` on `more` instances, or requests were not compared: `failed`, `dropped`.
    pub(super) fn canary_compared(&self, model: &Name, version: u64, what: &'static str, more: u64) {
        let labels = format!("{},version=\"{version}\",result=\"{what}\"", labelled(model));
        self.add(CANARY, labels, more as f64);
    }

    /// The share of clients that the canary of `model` answers.
    pub(super) fn canary_share(&self, model: &Name, version: u64, share: f64) {
        self.set(CANARY_SHARE, format!("{},version=\"{version}\"", labelled(model)), share);
    }

    /// Whether a rule ended the canary of `model`.
    pub(super) fn canary_aborted(&self, model: &Name, version: u64, aborted: bool) {
        let labels = format!("{},version=\"{version}\"", labelled(model));
        self.set(CANARY_ABORTED, labels, f64::from(u8::from(aborted)));
    }

    /// The canary of `model` failed to answer a request by its own fault.
    pub(super) fn canary_error(&self, model: &Name, version: u64) {
        self.add(CANARY_ERRORS, format!("{},version=\"{version}\"", labelled(model)), 1.0);
    }

    fn set(&self, (name, ..): Family, labels: String, value: f64) {
        self.lock().others.entry(name).or_default().insert(labels, value);
    }

    fn add(&self, (name, ..): Family, labels: String, value: f64) {
        *self.lock().others.entry(name).or_default().entry(labels).or_default() += value;
    }

    /// Everything as text; `waiting` requests wait now, and `served` are the versions that answer, each with its role.
    pub(super) fn text(&self, waiting: usize, served: &[(Arc<Served>, &'static str)]) -> String {
        let counts = self.lock();
        let mut text = String::new();
        head(&mut text, ("mlp_requests_total", "counter", "Requests by route and status."));
        for ((route, status), count) in &counts.requests {
            line(
                &mut text,
                "mlp_requests_total",
                &format!("route=\"{route}\",code=\"{status}\""),
                *count as f64,
            );
        }
        head(&mut text, ("mlp_instances_total", "counter", "Instances predicted for."));
        for ((model, version, role), counts) in &counts.versions {
            let labels = format!("model=\"{model}\",version=\"{version}\",role=\"{role}\"");
            line(&mut text, "mlp_instances_total", &labels, counts.instances as f64);
        }
        let name = "mlp_prediction_seconds";
        head(&mut text, (name, "histogram", "Seconds from a request's whole body to its predictions."));
        for ((model, version, role), counts) in &counts.versions {
            let labels = format!("model=\"{model}\",version=\"{version}\",role=\"{role}\"");
            counts.seconds.write(&mut text, name, &labels, &SECONDS);
        }
        head(&mut text, ("mlp_batch_instances", "histogram", "Instances computed together."));
        counts.batches.write(&mut text, "mlp_batch_instances", "", &INSTANCES);
        head(&mut text, ("mlp_waiting_requests", "gauge", "Requests that wait for a thread."));
        line(&mut text, "mlp_waiting_requests", "", waiting as f64);
        head(&mut text, ("mlp_model_info", "gauge", "The versions that answer."));
        for (served, role) in served {
            let stage = served.stage.as_ref().map_or("", |stage| stage.as_str());
            let labels = format!(
                "{},version=\"{}\",digest=\"{}\",stage=\"{stage}\",role=\"{role}\"",
                labelled(&served.name),
                served.version,
                served.tree
            );
            line(&mut text, "mlp_model_info", &labels, 1.0);
        }
        for family in OTHERS {
            let Some(values) = counts.others.get(family.0) else { continue };
            head(&mut text, family);
            values.iter().for_each(|(labels, value)| line(&mut text, family.0, labels, *value));
        }
        text
    }
}

/// Families of [`Metrics::set`] and [`Metrics::add`], in the order in which they are written.
const OTHERS: [Family; 9] =
    [SWAPS, STALE, LEDGER_BROKEN, LOG_DROPPED, SHADOW, CANARY, CANARY_SHARE, CANARY_ERRORS, CANARY_ABORTED];

/// The label of a model. Names hold no character that would have to be escaped.
fn labelled(name: &Name) -> String {
    format!("model=\"{name}\"")
}

fn head(text: &mut String, (name, kind, help): Family) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: f64) {
    let _ = match labels {
        "" => writeln!(text, "{name} {value}"),
        labels => writeln!(text, "{name}{{{labels}}} {value}"),
    };
}

impl Observer for Metrics {
    fn answered(&self, answered: &Arc<Answered>) {
        let served = &answered.served;
        let role = if answered.canary { "canary" } else { "live" };
        let mut counts = self.lock();
        let version = counts.versions.entry((served.name.to_string(), served.version, role)).or_default();
        version.instances += answered.count as u64;
        version.seconds.add(answered.latency.as_secs_f64(), &SECONDS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.request("/predict", 200);
        metrics.request("/predict", 200);
        metrics.request("", 404);
        metrics.batch(3);
        metrics.batch(5000);
        metrics.swapped(&"digits".parse().expect("is a name"));
        let text = metrics.text(2, &[]);
        for line in [
            "# TYPE mlp_requests_total counter",
            "mlp_requests_total{route=\"/predict\",code=\"200\"} 2",
            "mlp_requests_total{route=\"\",code=\"404\"} 1",
            "mlp_batch_instances_bucket{le=\"2\"} 0",
            "mlp_batch_instances_bucket{le=\"4\"} 1",
            "mlp_batch_instances_bucket{le=\"4096\"} 1",
            "mlp_batch_instances_bucket{le=\"+Inf\"} 2",
            "mlp_batch_instances_sum 5003",
            "mlp_batch_instances_count 2",
            "mlp_waiting_requests 2",
            "mlp_swaps_total{model=\"digits\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
        assert!(!text.contains("mlp_stale"), "nothing is told of what never was");
        assert!(text.ends_with('\n'));
    }
}
