//! How gates are shown.

use console::style;
use serde::Serialize;

use crate::application::ui::{Table, clean};
use crate::base::{Digest, Name, VerdictValue};
use crate::platform::model::{Judgement, Phase};

/// One gate, as reports show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GateLine {
    pub(crate) gate: Name,
    pub(crate) stage: Name,
    pub(crate) phase: Phase,
    /// Absent where nothing was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verdict: Option<VerdictValue>,
    pub(crate) wanted: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) observed: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) evidence: Vec<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
    /// Whether it is unknown and no judgement makes what is missing: somebody has to type the command.
    #[serde(skip)]
    pub(crate) by_hand: bool,
}

impl From<&Judgement> for GateLine {
    fn from(judgement: &Judgement) -> Self {
        let verdict = &judgement.verdict;
        Self {
            gate: verdict.gate.clone(),
            stage: verdict.stage.clone(),
            phase: judgement.phase,
            verdict: Some(verdict.verdict),
            wanted: verdict.wanted.clone(),
            observed: verdict.observed.clone(),
            reason: verdict.reason.clone(),
            evidence: judgement.evidence.clone(),
            next: verdict.next.clone(),
            by_hand: verdict.verdict == VerdictValue::Unknown && judgement.need.is_none(),
        }
    }
}

impl GateLine {
    /// Whether it is judged and open.
    pub(crate) fn passed(&self) -> bool {
        self.verdict == Some(VerdictValue::Pass)
    }
}

/// The sign of a verdict, coloured where the terminal shows colours.
pub(crate) fn mark(verdict: Option<VerdictValue>) -> String {
    match verdict {
        Some(VerdictValue::Pass) => style("✓").green().to_string(),
        Some(VerdictValue::Fail) => style("✗").red().bold().to_string(),
        Some(VerdictValue::Unknown) => style("?").yellow().to_string(),
        None => style("·").dim().to_string(),
    }
}

/// Gates as lines: open ones in one line each, closed ones with what they want, what was found, on what, and what to do.
pub(crate) fn render_gates(gates: &[GateLine]) -> String {
    let mut open = Table::plain().indent(2);
    let mut closed = String::new();
    for gate in gates {
        if gate.passed() {
            let observed = match &gate.reason {
                Some(reason) => format!("{} ({reason})", gate.observed),
                None => gate.observed.clone(),
            };
            open.row([
                mark(gate.verdict),
                gate.gate.to_string(),
                style(&gate.stage).dim().to_string(),
                clean(&observed).into_owned(),
            ]);
            continue;
        }
        let mut rows = Table::plain().indent(6);
        let mut row = |name: &str, text: &str| {
            let text = clean(text);
            let text = if name == "next" { style(text).cyan().to_string() } else { text.into_owned() };
            rows.row([style(name).dim().to_string(), text]);
        };
        row("wanted", &gate.wanted);
        row("observed", &gate.observed);
        if let Some(reason) = &gate.reason {
            row("reason", reason);
        }
        if !gate.evidence.is_empty() {
            let ids: Vec<String> = gate.evidence.iter().map(|id| format!("b3:{}", id.short())).collect();
            row("evidence", &ids.join(", "));
        }
        if let Some(next) = &gate.next {
            row("next", next);
        }
        closed.push_str(&format!(
            "  {}  {}  {}\n{}",
            mark(gate.verdict),
            style(&gate.gate).bold(),
            style(&gate.stage).dim(),
            rows.render()
        ));
    }
    open.render() + &closed
}
