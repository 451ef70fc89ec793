//! What monitoring found, for people and programs.

use console::style;
use serde::Serialize;

use crate::application::ui::{Align, Report, Table, clean, plural};
use crate::base::{Digest, Drift, Name, Tested};

/// A version that was looked at.
#[derive(Serialize)]
pub(super) struct Watched {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stage: Option<Name>,
    /// The record that was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Digest>,
    #[serde(flatten)]
    pub(super) drift: Drift,
}

impl Watched {
    /// It all in one line.
    pub(super) fn headline(&self) -> String {
        let Drift { model, version, breaches, .. } = &self.drift;
        match breaches.as_slice() {
            [] => format!("{model}@{version}: no limit is broken"),
            broken => format!("{model}@{version}: {}", broken.join("; ")),
        }
    }
}

impl Report for Watched {
    fn schema(&self) -> &'static str {
        "mlp/monitor/1"
    }

    fn human(&self) -> String {
        let Drift { model, version, window, features, embedding, quality, latency, .. } = &self.drift;
        let stage = self.stage.as_ref().map(|stage| format!(", live in {stage}")).unwrap_or_default();
        let mut text = format!("{model}@{version}{stage}: {}", plural(window.answers, "answer"));
        if let (Some(first), Some(last)) = (window.first, window.last) {
            text += &format!(", {first} to {last}");
        }
        text += "\n";
        for (count, what) in [(window.dropped, "not logged"), (window.damaged, "lines not readable")] {
            if count > 0 {
                text += &format!("  {count} {what}\n");
            }
        }
        if !features.is_empty() {
            let mut table = Table::new(["OF", "FEATURE", "PSI", "KS", "V", "DRIFT"]).indent(2);
            for column in 2..5 {
                table = table.align(column, Align::Right);
            }
            let number = |tested: Tested| format!("{:.3}", tested.value);
            for feature in features {
                table.row([
                    if feature.answer { "answers" } else { "inputs" }.to_owned(),
                    clean(&feature.name).into_owned(),
                    number(feature.psi),
                    feature.ks.map(number).unwrap_or_default(),
                    number(feature.chi_square),
                    if feature.drifted { style("yes").red().to_string() } else { "no".to_owned() },
                ]);
            }
            text += &table.render();
        }
        if let Some(embedding) = embedding {
            let word = if embedding.drifted { "drifted" } else { "no drift" };
            text += &format!(
                "  embeddings  {word}: mmd {:.4}, p {:.3} ({} against {})\n",
                embedding.mmd.value, embedding.mmd.p, embedding.window, embedding.baseline
            );
        }
        if let Some(quality) = quality {
            let estimate = quality.estimate;
            text += &format!(
                "  {}  {:.4} ({:.4} to {:.4}, {} labelled)\n",
                quality.metric, estimate.value, estimate.lower, estimate.upper, quality.labelled
            );
            if quality.unmatched > 0 {
                text +=
                    &format!("  {} of answers outside of the window\n", plural(quality.unmatched, "label"));
            }
        }
        if let Some(latency) = latency {
            let [p50, p95, p99] = [latency.p50, latency.p95, latency.p99].map(|seconds| 1000.0 * seconds);
            text += &format!("  latency  p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms\n");
        }
        for unknown in &self.drift.unknown {
            text += &format!("  {} {}\n", style("unknown:").yellow(), clean(unknown));
        }
        for breach in &self.drift.breaches {
            text += &format!("{} {}\n", style("breach:").red().bold(), clean(breach));
        }
        if self.drift.breaches.is_empty() {
            text += &format!("{}\n", style("no limit is broken").green());
        }
        text
    }
}
