//! The cards of one job.

use std::time::Instant;

use super::lease::{Claim, Desk, Lease};
use super::process::Identity;
use super::{EventLog, Interrupts, JobError, JobFolder, JobSpec, slurm};
use crate::base::{JobState, Level, Sink, Time, plural};
use crate::hardware::gpus;

/// What became of the wish for GPUs.
pub(super) enum Leased {
    Nothing,
    Cards(Lease),
    /// The job ends in this state, for this reason.
    No(JobState, Option<String>),
}

/// Waits for the GPUs that the job wants.
pub(super) fn lease(
    folder: &JobFolder,
    spec: &JobSpec,
    note: &dyn Fn(JobState, Option<Identity>) -> Result<(), JobError>,
    interrupts: &Interrupts,
) -> Result<Leased, JobError> {
    let wants = spec.resources.gpus.unwrap_or(0);
    // Within a job of Slurm the cards are those that Slurm gave.
    if wants == 0 || slurm::inside() {
        return Ok(Leased::Nothing);
    }
    let there = gpus().len();
    if there < wants as usize {
        let found = match there {
            0 => "no GPU that `nvidia-smi` knows".to_owned(),
            there => plural(there as u64, "GPU"),
        };
        return Ok(Leased::No(
            JobState::Failed,
            Some(format!("it wants {}, and this machine has {found}", plural(wants.into(), "GPU"))),
        ));
    }
    note(JobState::Queued, None)?;
    if let Ok(events) = EventLog::append(&folder.events()) {
        events.log(Level::Info, &format!("waits for GPUs: {wants} of {there}"));
    }
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "?".to_owned());
    let claim = Claim {
        job: spec.id,
        name: spec.name.clone(),
        user,
        since: Time::now(),
        wants,
        share: spec.resources.share,
    };
    let most = spec.resources.max_wait;
    let begun = Instant::now();
    let over = || most.is_some_and(|most| begun.elapsed() > most.0);
    let cancelled = || folder.cancel().is_some() || interrupts.any();
    let lease = Desk::of_machine()?.take(&claim, &gpus, &|| cancelled() || over())?;
    Ok(match lease {
        Some(lease) => Leased::Cards(lease),
        None if cancelled() => Leased::No(JobState::Cancelled, None),
        None => {
            let wait = most.map_or_else(String::new, |most| format!(" for {most}"));
            let wanted = if wants == 1 { "GPU was".to_owned() } else { format!("{wants} GPUs were") };
            Leased::No(JobState::Failed, Some(format!("no {wanted} free{wait}")))
        }
    })
}
