//! What `monitor:` and `serve: {log: …}` may say.

use super::{Checked, Manifest, Wrong, at, between, variable};
use crate::base::Bytes;
use crate::platform::train::{is_metric, less_is_better};

/// Smaller files would be as many as answers.
const LEAST_ROTATE: Bytes = Bytes(64 << 10);

pub(super) fn check(manifest: &Manifest) -> Checked {
    if let Some(log) = &manifest.serve.log {
        let path = ["serve", "log"];
        between(&at(&path, &["sample"]), log.sample, 0.0..=1.0, "a share is between 0 and 1")?;
        if log.rotate < LEAST_ROTATE {
            let message = "each answer would have a file of its own";
            return Err(Wrong::value(&at(&path, &["rotate"]), message, "write 64 KiB or more"));
        }
        if log.keep < log.rotate {
            let message = "less than one file of `rotate`";
            return Err(Wrong::value(&at(&path, &["keep"]), message, "make it several times `rotate`"));
        }
    }
    let monitor = &manifest.monitor;
    let path = ["monitor", "drift"];
    let drift = &monitor.drift;
    let most = "write a number of answers from 100 to 1000000";
    between(&at(&path, &["window"]), drift.window as f64, 100.0..=1e6, most)?;
    between(&at(&path, &["alpha"]), drift.alpha, 1e-9..=0.5, "0.01 is usual")?;
    if let Some(max) = drift.max {
        between(&at(&path, &["max"]), max, 0.0..=1e3, "0.2 is usual for `psi`, 0.1 for the others")?;
    }
    if let Some(quality) = &monitor.quality {
        let path = ["monitor", "quality"];
        let metric = quality.metric.as_str();
        if !is_metric(metric) {
            let known = crate::platform::train::METRICS;
            return Err(Wrong::reference(&at(&path, &["metric"]), "metric", metric, &known));
        }
        let (less, key) = if less_is_better(metric) { (true, "max") } else { (false, "min") };
        if quality.min.is_some() == less || quality.max.is_some() != less {
            let message = format!("`{metric}` needs `{key}` and nothing else");
            return Err(Wrong::value(&path, message, format!("write `{{metric: {metric}, {key}: …}}`")));
        }
    }
    if let Some(latency) = &monitor.latency {
        let path = ["monitor", "latency", "p95_ms"];
        between(&path, latency.p95_ms, 1e-3..=1e7, "write milliseconds")?;
    }
    if let Some(alert) = &monitor.alert {
        let path = ["monitor", "alert"];
        if alert.webhook.is_none() && alert.command.is_none() {
            return Err(Wrong::value(
                &path,
                "nobody is told",
                "add `webhook: NAME_OF_A_SECRET` or `command: …`",
            ));
        }
        if let Some(name) = &alert.webhook {
            variable(&at(&path, &["webhook"]), name)?;
        }
    }
    Ok(())
}
