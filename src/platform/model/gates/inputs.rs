//! `inputs: pinned`: everything that the run read is a version that others can get.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Case, Finding};
use crate::platform::model::ModelError;

pub(super) const WANTED: &str = "everything the run read is a known version";

pub(super) const MEANING: &str = "Each dataset, file and model that the run read is a version that others can get: the one \
     that the pointer (`data/mnist.mlp`) or the file in the run's commit says, a registered version of a model, or the output of \
     a run that is on record.";

/// State of what a run read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputState {
    /// Every input is a version that git, a ledger or another run's record knows.
    Pinned,
}

pub(super) fn find(case: &Case<'_>) -> Result<Finding, ModelError> {
    let (id, run) = match (case.candidate.absent(), &case.candidate.run) {
        (None, Some((id, run))) => (id, &run.body),
        (None, None) => return Ok(super::no_run()),
        (Some(absent), _) => return Ok(Finding::absent(absent, case)),
    };
    let origin = &case.candidate.origin;
    let mut evidence = vec![*id];
    let (mut loose, mut first) = (Vec::new(), None);
    for (name, used) in &run.data {
        let known = origin.inputs.get(name);
        if known == Some(used) {
            continue;
        }
        if let Some(maker) = case.evidence.maker(used)? {
            evidence.push(maker);
            continue;
        }
        first.get_or_insert(name);
        loose.push(match known {
            Some(known) => format!("`{name}` was b3:{}, the commit has b3:{}", used.short(), known.short()),
            None => format!("`{name}` is no version that the commit knows"),
        });
    }
    let count = run.data.len();
    let observed = match loose.as_slice() {
        [] if count == 0 => "it read nothing".to_owned(),
        [] => format!("{count} of {count} pinned"),
        loose => loose.join("; "),
    };
    // By now everything may be committed.
    let again = format!(
        "mlp data add {} && git add -A && git commit -m \"...\"; {}",
        first.map_or("PATH", String::as_str),
        super::trained(case, "--force ")
    );
    Ok(Finding::decided(loose.is_empty(), observed).resting_on(evidence).next(again))
}
