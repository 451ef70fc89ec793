//! Runs that answer a question: evaluations on hosts, and reproductions.

use super::elsewhere::{Place, Wishes};
use super::following::{OnInterrupt, RunReport, exit_of, follow};
use super::ui::Ui;
use crate::base::{Digest, Exit, Failure, JobState, Level, Record, Run, Sink};
use crate::infrastructure::compute::Interrupts;
use crate::platform::run::{self, Listed, Planned, Workspace};

/// How such a run is gone through with.
pub(super) struct Through<'a> {
    /// Where it happens.
    pub(super) place: &'a Place,
    /// The project's runs there.
    pub(super) workspace: &'a Workspace<'a>,
    /// What the command line asks for it.
    pub(super) wishes: Wishes,
    /// Whether it is left running.
    pub(super) detach: bool,
}

/// What came of it.
pub(super) enum Followed {
    /// It ended well: its record says what it left.
    Succeeded(Box<(Digest, Record<Run>)>),
    /// It ended otherwise, or goes on without anybody watching; with the exit status that this means.
    Unanswered(Box<RunReport>, Exit),
}

impl Through<'_> {
    /// Follows a run to its end: the one of this plan that is under way, or a new one. `what` says what it does: `evaluating
    /// digits@3`.
    pub(super) fn follow(
        &self,
        planned: &Planned,
        listed: &[Listed],
        what: &str,
        ui: &Ui,
    ) -> Result<Followed, Failure> {
        ui.stream();
        let interrupts = Interrupts::watch();
        let (id, already) = match run::active(listed, &planned.digest) {
            Some(active) => (active.id, "already "),
            None => (self.place.start(planned, self.workspace, &self.wishes, &[], ui)?, ""),
        };
        let on = self.place.name().map_or_else(String::new, |host| format!(" on {host}"));
        ui.log(Level::Info, &format!("{already}{what}{on} as run {}", run::short(id)));
        let plan = &planned.plan;
        let going = || Box::new(RunReport::active(id, plan.name.as_str(), &plan.task, planned.digest));
        if self.detach {
            return Ok(Followed::Unanswered(going(), Exit::Ok));
        }
        Ok(match follow(ui, self.workspace, id, None, &interrupts, OnInterrupt::Cancel)? {
            None => Followed::Unanswered(going(), Exit::Interrupted),
            Some(ended) if ended.1.body.end.state == JobState::Succeeded => {
                Followed::Succeeded(Box::new(ended))
            }
            Some((digest, record)) => {
                let report = RunReport::of(digest, &record, false);
                let exit = exit_of(report.state);
                Followed::Unanswered(Box::new(report), exit)
            }
        })
    }
}
