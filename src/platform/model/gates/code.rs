//! `code: committed`: the run began with a clean work tree.

use super::{Case, Finding};

pub(super) const WANTED: &str = "trained from committed code";

pub(super) const MEANING: &str = "The record of the run that made the model names the commit it ran from, and no \
     uncommitted change beside it.";

pub(super) fn find(case: &Case<'_>) -> Finding {
    let Some((id, run)) = &case.candidate.run else {
        return super::no_run();
    };
    let state = &run.body.git;
    let short = |commit: &str| commit.chars().take(12).collect::<String>();
    // By now everything may be committed.
    let again = format!("git add -A && git commit -m \"...\"; {}", super::trained(case, "--force "));
    let finding = match (&state.commit, &state.dirty) {
        (Some(commit), None) => Finding::decided(true, format!("commit {}", short(commit))),
        (Some(commit), Some(_)) => {
            Finding::decided(false, format!("commit {} with uncommitted changes", short(commit)))
        }
        (None, _) => Finding::decided(false, "nothing was committed"),
    };
    finding.resting_on([*id]).next(again)
}
