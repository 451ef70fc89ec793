//! The board on a terminal.

use console::style;

use super::board::{Board, ModelBoard};
use crate::application::judgement::mark;
use crate::application::ui::{Report, Table, clean, plural};
use crate::base::{Time, VerdictValue};

/// Columns a text may have before it is cut.
const WIDE: usize = 64;

impl Report for Board {
    fn schema(&self) -> &'static str {
        "mlp/status/1"
    }

    fn human(&self) -> String {
        let profile = format!("{}@{}", self.profile.as_str(), self.profile_version);
        let rules = match (&self.rules, self.local_only) {
            (Some(rules), true) => format!(", rules of the local branch {rules}"),
            (Some(rules), false) => format!(", rules of {rules}"),
            (None, _) => String::new(),
        };
        let mut text = format!("{}  profile {profile}{rules}\n", style(&self.project).bold());
        if let Some(no_rules) = &self.no_rules {
            text.push_str(&format!("\n  {} {}\n", mark(Some(VerdictValue::Unknown)), clean(&no_rules.why)));
            if let Some(next) = &no_rules.next {
                text.push_str(&format!("\nnext: {}\n", command(next)));
            }
            return text;
        }
        if self.no_stores {
            let words = "mlp.yaml names no `stores:`: data, runs and models that others made are only on their machines";
            text.push_str(&format!("\n  {} {words}\n", mark(Some(VerdictValue::Unknown))));
        }
        for model in &self.models {
            text.push('\n');
            text.push_str(&shown(model, self.now));
        }
        if self.models.is_empty() {
            text.push_str("\n  no models yet: add one under `models:` in mlp.yaml\n");
        }
        let waivers: Vec<String> = self
            .waivers
            .iter()
            .map(|line| {
                let waiver = &line.waiver;
                let state = if line.expired { style("expired").red() } else { style("until").yellow() };
                let (gate, stage) = (&waiver.gate, &waiver.stage);
                let words = clean(&waiver.reason).into_owned();
                let version =
                    line.version.as_ref().map_or_else(String::new, |version| format!(" for {version}"));
                format!(
                    "  {gate} in {stage}{version}, {state} {}, {}: {words}\n",
                    clean(&waiver.until),
                    clean(&waiver.signer)
                )
            })
            .collect();
        if !waivers.is_empty() {
            text.push_str(&format!("\nwaivers\n{}", waivers.concat()));
        }
        text
    }
}

fn shown(model: &ModelBoard, now: Time) -> String {
    let mut text = style(&model.model).bold().to_string();
    text.push_str(&format!("  {}", plural(model.versions, "version")));
    if let Some(data) = &model.data {
        text.push_str(&format!(", trained with {data}"));
    }
    text.push('\n');

    let mut stages = Table::plain().indent(2);
    for line in &model.stages {
        match (line.version, line.since) {
            (Some(version), Some(since)) => stages.row([
                line.stage.to_string(),
                style(format!("@{version}")).green().to_string(),
                style(format!("{} by {}", since.ago(now), clean(line.actor.as_deref().unwrap_or_default())))
                    .dim()
                    .to_string(),
            ]),
            _ => stages.row([line.stage.to_string(), style("-").dim().to_string(), String::new()]),
        };
    }
    text.push_str(&stages.render());

    if let Some(target) = &model.target {
        let what = match (model.version, model.registered) {
            (Some(version), true) => format!("@{version} -> {target}"),
            (Some(_), false) => format!("newest run -> {target}"),
            (None, _) => format!("towards {target}"),
        };
        let phases: Vec<String> =
            model.phases.iter().map(|line| format!("{} {}", mark(line.verdict), line.phase.name())).collect();
        text.push_str(&format!("\n  {}   {}\n", style(what).bold(), phases.join("  ")));
        let mut gates = Table::plain().indent(4);
        for gate in &model.gates {
            let mut found = gate.observed.clone();
            if let Some(reason) = &gate.reason {
                found = format!("{found} ({reason})");
            }
            let found = if found.is_empty() { gate.wanted.clone() } else { found };
            gates.row([
                mark(gate.verdict),
                gate.gate.to_string(),
                style(&gate.stage).dim().to_string(),
                cut(&clean(&found)),
            ]);
            if !gate.passed() && gate.verdict.is_some() {
                gates.row(["", "", "", &style(format!("wanted: {}", cut(&gate.wanted))).dim().to_string()]);
                if let Some(next) = &gate.next {
                    gates.row(["", "", "", &format!("-> {}", command(next))]);
                }
            }
        }
        text.push_str(&gates.render());
        if model.gates.is_empty() {
            text.push_str("    no gates\n");
        }
    } else {
        text.push_str(&format!("\n  {} in every stage\n", mark(Some(VerdictValue::Pass))));
    }
    if let Some(next) = &model.next {
        text.push_str(&format!("\n  next: {}\n", command(next)));
    }
    text
}

fn command(text: &str) -> String {
    style(clean(text)).cyan().to_string()
}

/// The text, cut to what fits beside the other columns.
fn cut(text: &str) -> String {
    console::truncate_str(text, WIDE, "…").into_owned()
}
