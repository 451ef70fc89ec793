//! `command`: whatever else must be true.

use super::{Case, Finding};
use crate::platform::model::Need;

pub(super) const MEANING: &str = "The command is run by `sh -c` in the project's folder with MLP_MODEL, MLP_VERSION, \
     MLP_STAGE, MLP_TREE and MLP_MODEL_DIR (a folder with the model's files) in its environment. Exit code and the end \
     of its output become evidence; the newest answer about these files counts. `mlp gate check` and `mlp promote` run \
     it if it was not run yet or failed.";

pub(super) fn find(command: &str, case: &Case<'_>) -> Finding {
    let candidate = case.candidate;
    let need =
        Need::Command { gate: case.gate.clone(), stage: case.stage.clone(), command: command.to_owned() };
    let Some((id, record)) =
        case.evidence.command(candidate.history.model(), candidate.version.tree, command)
    else {
        return Finding::unknown("not run yet").next(case.check()).needing(need);
    };
    let code = record.body.code;
    let last = record.body.output.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let observed = match last {
        Some(line) => format!("exit {code}: {}", line.chars().take(120).collect::<String>()),
        None => format!("exit {code}"),
    };
    let finding = Finding::decided(code == 0, observed)
        .resting_on([*id])
        .next(format!("{}  # once what `{command}` asks for is true", case.check()));
    if code == 0 { finding } else { finding.needing(need) }
}
