//! Slurm as another way to start the supervisor: `sbatch` instead of a process, on a cluster whose nodes see the job folder.
//!
//! The folder stays the truth. Slurm is asked only for what no folder can tell: whether a job still waits, and why; and whether one that
//! says nothing more is gone. It is asked seldom, for all jobs at once, by formats that its releases have kept.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bootstrap::quoted;
use super::folder::{State, json};
use super::{JobError, JobFolder, JobSpec, JobStatus};
use crate::base::{Cause, Id, JobState, Resources};

/// How `sbatch` is called for the jobs of a host, which is then a login node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlurmSpec {
    /// The partition; Slurm's default if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// The account that pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Wall time of one Slurm job, in Slurm's words: `30`, `4:00:00`, `2-0`. Shortly before it is over a run writes a checkpoint and is put
    /// into the queue again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Further options of `sbatch`, each as one word: `--qos=high`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// What `slurm.json` in a job folder says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Submitted {
    pub(super) schema: String,
    /// Slurm's number of the job.
    pub(super) job: String,
}

impl Submitted {
    pub(super) const SCHEMA: &str = "mlp/slurm/1";
}

/// Seconds before the end of its wall time at which a run is told.
const WARNING: u32 = 120;
/// Slurm is asked at most so often.
const PATIENCE: Duration = Duration::from_secs(10);

/// What Slurm says about a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// It waits, for this reason in Slurm's words.
    Waiting(String),
    /// It has nodes.
    Running,
    /// It is not in the queue.
    Gone,
}

/// Submits the job in `folder`.
pub(super) fn submit(folder: &Path, spec: &JobSpec, slurm: &SlurmSpec) -> Result<Submitted, JobError> {
    let mut command = sbatch(folder, spec, slurm)?;
    command.arg(format!("--job-name={}", name(spec.id))).arg(format!("--comment={}", spec.id));
    command.arg("--output").arg(folder.join("slurm.log"));
    let script = format!("#!/bin/sh\nexec {} {}\n", supervise()?, quoted(&folder.display().to_string()));
    let job = number(&ask(command.args(&slurm.options), script.as_bytes())?)?;
    remember(&job, Queued::Waiting(String::new()));
    Ok(Submitted { schema: Submitted::SCHEMA.into(), job })
}

/// Submits jobs that ask for the same resources as one array, of which at most `at_once` are at work at a time.
pub(super) fn submit_all(
    folders: &[&Path],
    specs: &[JobSpec],
    at_once: usize,
    slurm: &SlurmSpec,
) -> Result<Vec<Submitted>, JobError> {
    let (Some(first), Some(spec)) = (folders.first(), specs.first()) else { return Ok(Vec::new()) };
    let mut command = sbatch(first.parent().unwrap_or(first), spec, slurm)?;
    command.arg(format!("--array=0-{}%{}", folders.len() - 1, at_once.max(1)));
    // One file for each, which only Slurm writes to.
    command.arg("--job-name=mlp-sweep").arg("--output").arg("slurm-%A_%a.log");
    let folders_: Vec<String> = folders.iter().map(|folder| quoted(&folder.display().to_string())).collect();
    let script = format!(
        "#!/bin/sh\nset -- {}\nshift \"$SLURM_ARRAY_TASK_ID\"\nexport SLURM_JOB_NAME=\"mlp-$(basename \"$1\")\"\nexec {} \"$1\"\n",
        folders_.join(" "),
        supervise()?,
    );
    let array = number(&ask(command.args(&slurm.options), script.as_bytes())?)?;
    let jobs = (0..folders.len()).map(|at| format!("{array}_{at}"));
    Ok(jobs
        .map(|job| {
            remember(&job, Queued::Waiting(String::new()));
            Submitted { schema: Submitted::SCHEMA.into(), job }
        })
        .collect())
}

/// `sbatch` with all that does not depend on which job it is.
fn sbatch(folder: &Path, spec: &JobSpec, slurm: &SlurmSpec) -> Result<Command, JobError> {
    let mut command = Command::new("sbatch");
    command.args(["--parsable", "--open-mode=append", "--requeue", "--no-kill=off"]);
    command.arg("--chdir").arg(folder).arg(format!("--signal=B:USR2@{WARNING}"));
    let resources = &spec.resources;
    if resources.share.is_some() {
        let said = "`share` is for cards that mlp leases: a cluster that shares cards has `--gres=shard:N`, for `options`";
        return Err(JobError::Slurm { command: "sbatch", said: said.to_owned() });
    }
    let wishes = [
        ("partition", slurm.partition.clone()),
        ("account", slurm.account.clone()),
        ("time", slurm.time.clone()),
        ("gres", resources.gpus.filter(|gpus| *gpus > 0).map(|gpus| format!("gpu:{gpus}"))),
        ("cpus-per-task", resources.cpus.map(|cpus| cpus.to_string())),
        ("nodes", resources.nodes.map(|nodes| nodes.to_string())),
        ("ntasks-per-node", resources.ranks_per_node.map(|ranks| ranks.to_string())),
        ("mem", resources.memory.map(|memory| format!("{}M", memory.0.div_ceil(1 << 20)))),
    ];
    for (option, value) in wishes.into_iter().filter_map(|(option, value)| Some((option, value?))) {
        command.arg(format!("--{option}={value}"));
    }
    Ok(command)
}

/// The command that supervises a job, for a shell.
fn supervise() -> Result<String, JobError> {
    let program = std::env::current_exe().map_err(JobError::io("find", "the mlp executable"))?;
    Ok(format!("{} agent supervise --detached", quoted(&program.display().to_string())))
}

/// `number` or `number;cluster`, as `sbatch --parsable` says it.
fn number(said: &str) -> Result<String, JobError> {
    let job = said.trim().split(';').next().unwrap_or_default().to_owned();
    if job.is_empty() || !job.chars().all(|letter| letter.is_ascii_digit()) {
        return Err(JobError::Slurm { command: "sbatch", said: said.trim().to_owned() });
    }
    Ok(job)
}

/// Takes a job out of the queue, or ends it.
pub(super) fn cancel(job: &str) -> Result<(), JobError> {
    ask(Command::new("scancel").arg(job), &[]).map(drop)
}

/// Puts the Slurm job that this process belongs to into the queue again.
pub(super) fn requeue() -> Result<(), JobError> {
    let of = |name: &str| std::env::var(name).ok();
    // The last of an array has the number of the whole array for its own.
    let job = match (of("SLURM_ARRAY_JOB_ID"), of("SLURM_ARRAY_TASK_ID")) {
        (Some(array), Some(task)) => format!("{array}_{task}"),
        _ => of("SLURM_JOB_ID").unwrap_or_default(),
    };
    ask(Command::new("scontrol").args(["requeue", &job]), &[]).map(drop)
}

/// Whether this process belongs to a Slurm job, which then has the cards that it may use.
pub(super) fn inside() -> bool {
    std::env::var_os("SLURM_JOB_ID").is_some()
}

/// Whether Slurm started this process for the job `id`: it may also be one that somebody runs within a Slurm job of their own.
pub(super) fn started(id: Id) -> bool {
    inside() && std::env::var("SLURM_JOB_NAME").is_ok_and(|own| own == name(id))
}

/// Whether Slurm has started the job `id` before.
pub(super) fn restarted(id: Id) -> bool {
    let count = std::env::var("SLURM_RESTART_COUNT").ok().and_then(|text| text.parse::<u32>().ok());
    started(id) && count.is_some_and(|count| count > 0)
}

/// A command line as all ranks of the Slurm job that this process belongs to, and the variables of all of them. What is a rank's own is
/// known where it starts.
pub(super) fn ranks(argv: &[String], resources: &Resources) -> Result<Ranks, JobError> {
    let each = "RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID exec \"$@\"";
    // Where one rank ends badly the others wait for it for ever.
    let mut line: Vec<String> = ["srun", "--kill-on-bad-exit=1"].map(str::to_owned).into();
    let (nodes, each_node) = (resources.nodes.unwrap_or(1), resources.ranks_per_node.unwrap_or(1));
    line.extend([format!("--nodes={nodes}"), format!("--ntasks={}", resources.ranks())]);
    line.push(format!("--ntasks-per-node={each_node}"));
    // Not handed on by all releases.
    line.extend(resources.cpus.map(|cpus| format!("--cpus-per-task={cpus}")));
    line.extend(["sh", "-c", each, "sh"].map(str::to_owned));
    line.extend(argv.iter().cloned());
    // The supervisor is on the first node, as the first rank is.
    let port = TcpListener::bind(("0.0.0.0", 0)).and_then(|free| free.local_addr());
    let port = port.map_err(JobError::io("find a free port for", "MASTER_PORT"))?.port();
    let variables = [("MASTER_ADDR", own_address()?), ("MASTER_PORT", port.to_string())];
    Ok((line, variables.map(|(name, value)| (name.to_owned(), value)).into()))
}

/// A command line, and variables by name.
type Ranks = (Vec<String>, BTreeMap<String, String>);

/// How other nodes reach this one: as Slurm itself does.
fn own_address() -> Result<String, JobError> {
    let name = std::env::var("SLURMD_NODENAME").unwrap_or_default();
    let said = ask(Command::new("scontrol").args(["show", "node", "-o", &name]), &[])?;
    let address = said.split_whitespace().find_map(|word| word.strip_prefix("NodeAddr="));
    Ok(address.map_or(name, str::to_owned))
}

/// Answers of Slurm, and when they came.
static KNOWN: Mutex<Option<(Instant, HashMap<String, Queued>)>> = Mutex::new(None);

fn remember(job: &str, queued: Queued) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, jobs) = known.get_or_insert_with(|| (Instant::now(), HashMap::new()));
    jobs.insert(job.to_owned(), queued);
}

/// What Slurm says about a job; not asked again before [`PATIENCE`] is over, unless `now`.
pub(super) fn queued(job: &str, now: bool) -> Result<Queued, JobError> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((asked, jobs)) = known.as_ref()
        && !now
        && asked.elapsed() < PATIENCE
        && let Some(queued) = jobs.get(job)
    {
        return Ok(queued.clone());
    }
    let said = ask(Command::new("squeue").args(["-h", "-r", "--me", "-o", "%i|%T|%r|%S"]), &[])?;
    let mut jobs: HashMap<String, Queued> = said.lines().filter_map(line).collect();
    let answer = jobs.entry(job.to_owned()).or_insert(Queued::Gone).clone();
    *known = Some((Instant::now(), jobs));
    Ok(answer)
}

/// `number|state|reason|expected start`.
fn line(line: &str) -> Option<(String, Queued)> {
    let fields: Vec<&str> = line.split('|').collect();
    let [job, state, reason, start] = fields.as_slice() else { return None };
    let queued = match *state {
        "PENDING" | "REQUEUED" | "REQUEUE_HOLD" | "SPECIAL_EXIT" => Queued::Waiting(in_words(reason, start)),
        "COMPLETED" | "CANCELLED" | "FAILED" | "TIMEOUT" | "NODE_FAIL" | "OUT_OF_MEMORY" | "DEADLINE"
        | "PREEMPTED" => Queued::Gone,
        _ => Queued::Running,
    };
    Some(((*job).to_owned(), queued))
}

/// The commonest reasons; all are in `man squeue`.
fn in_words(reason: &str, start: &str) -> String {
    let words = match reason {
        "Resources" => "until what it asks for is free",
        "Priority" => "behind jobs of higher priority",
        "BeginTime" => "until its begin time: it was put into the queue again",
        "QOSMaxGRESPerUser" | "QOSMaxJobsPerUserLimit" | "AssocGrpGRES" | "AssocMaxJobsLimit" => {
            "until fewer jobs of yours run: a limit is reached"
        }
        "ReqNodeNotAvail" | "PartitionDown" | "PartitionInactive" => "until nodes are back in service",
        "PartitionTimeLimit" => "for ever: it asks for more time than the partition gives",
        "PartitionNodeLimit" | "BadConstraints" => "for ever: the partition has not what it asks for",
        "JobHeldUser" | "JobHeldAdmin" => "until it is released",
        "None" | "" => "to be looked at",
        other => other,
    };
    match start {
        "N/A" | "" => format!("waits {words} ({reason})"),
        start => format!("waits {words} ({reason}), to start {start} at the latest guess"),
    }
}

impl JobFolder {
    /// The status of a job of Slurm that has not said its end.
    pub(super) fn in_slurm(
        &self,
        submitted: &Submitted,
        state: Option<&State>,
        attempt: u32,
    ) -> Result<JobStatus, JobError> {
        let going = |state| Ok(JobStatus { state, end: None, attempt });
        let told = state.map_or(JobState::Preparing, |state| state.state);
        // What was known when it waited says nothing once it has begun.
        let began = self.supervised();
        match queued(&submitted.job, false)? {
            Queued::Waiting(reason) if !began || !reason.is_empty() => going(JobState::Queued),
            Queued::Waiting(_) | Queued::Running => going(told),
            Queued::Gone => {
                // The answer may be older than the end.
                if queued(&submitted.job, true)? != Queued::Gone {
                    return going(told);
                }
                if let Some(exit) = self.exit()? {
                    return Ok(JobStatus { state: exit.end.state, end: Some(exit.end), attempt });
                }
                let (ended, cause, why) = match end(&submitted.job) {
                    _ if self.cancel().is_some() => (JobState::Cancelled, None, None),
                    Some((ended, cause, why)) => (ended, cause, Some(why)),
                    None => {
                        let why = "Slurm does not know it any more".to_owned();
                        (JobState::Lost, Some(Cause::Lost), Some(why))
                    }
                };
                let mut status = self.lost(state, attempt, "")?;
                if let Some(end) = &mut status.end {
                    (end.state, end.cause, end.reason) = (ended, cause, why);
                }
                Ok(JobStatus { state: ended, ..status })
            }
        }
    }

    /// Why a job of Slurm waits, in words.
    pub(super) fn waits_for(&self) -> Result<Option<String>, JobError> {
        let Some(submitted) = self.submitted()? else { return Ok(None) };
        if self.exit()?.is_some() {
            return Ok(None);
        }
        Ok(match queued(&submitted.job, false)? {
            Queued::Waiting(reason) if !reason.is_empty() => {
                if reason.contains("(BeginTime)") {
                    // Slurm lets what comes back into the queue rest for two minutes.
                    let update = ["update", &format!("jobid={}", submitted.job), "starttime=now"];
                    let _ = ask(Command::new("scontrol").args(update), &[]);
                }
                Some(reason)
            }
            _ => None,
        })
    }

    /// Slurm's number of the job, if it went there.
    pub(super) fn submitted(&self) -> Result<Option<Submitted>, JobError> {
        self.read("slurm.json")
    }

    pub(super) fn set_submitted(&self, submitted: &Submitted) -> Result<(), JobError> {
        self.write("slurm.json", &json(submitted))
    }
}

/// How a job that is no longer in the queue ended, in Slurm's words; none if it does not know the job any more.
fn end(job: &str) -> Option<(JobState, Option<Cause>, String)> {
    let said = ask(Command::new("scontrol").args(["show", "job", "-o", job]), &[]).ok()?;
    let state = said.split_whitespace().find_map(|word| word.strip_prefix("JobState="))?;
    Some(told(state))
}

fn told(state: &str) -> (JobState, Option<Cause>, String) {
    let (ended, cause, why) = match state {
        "CANCELLED" => (JobState::Cancelled, None, "it was cancelled in Slurm"),
        "TIMEOUT" => (JobState::Failed, Some(Cause::Time), "Slurm ended it at its time limit"),
        "OUT_OF_MEMORY" => {
            (JobState::Failed, Some(Cause::Oom), "it took more memory than it had asked Slurm for")
        }
        "PREEMPTED" => {
            (JobState::Lost, Some(Cause::Preempted), "Slurm gave its nodes to a more important job")
        }
        "NODE_FAIL" => (JobState::Lost, Some(Cause::Lost), "its node failed"),
        other => {
            let why = format!("Slurm says {other}, and the job said nothing");
            return (JobState::Lost, Some(Cause::Lost), why);
        }
    };
    (ended, cause, why.to_owned())
}

fn name(id: Id) -> String {
    format!("mlp-{id}")
}

/// Runs a program of Slurm; what it said. Transient trouble of the controller is tried again.
fn ask(command: &mut Command, input: &[u8]) -> Result<String, JobError> {
    let program = ["sbatch", "squeue", "scancel", "scontrol"]
        .into_iter()
        .find(|name| command.get_program() == *name)
        .unwrap_or("slurm");
    let failed = |said: String| JobError::Slurm { command: program, said };
    let mut left = 3;
    loop {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| failed(error.to_string()))?;
        if let Some(mut pipe) = child.stdin.take() {
            let _ = pipe.write_all(input);
        }
        let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let transient =
            ["Unable to contact slurm controller", "Socket timed out", "Resource temporarily unavailable"];
        left -= 1;
        // A submission whose answer was lost may have been one: it is not made twice.
        if left == 0 || program == "sbatch" || !transient.iter().any(|words| said.contains(words)) {
            return Err(failed(said));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_queue_are_states_and_reasons_in_words() {
        let (job, queued) = line("12|PENDING|Resources|2026-11-27T14:20:00").expect("a job");
        let Queued::Waiting(words) = queued else { panic!("it waits") };
        assert!(
            job == "12" && words.contains("until what it asks for is free") && words.contains("14:20"),
            "{words}"
        );
        assert_eq!(line("13|RUNNING|None|N/A").expect("a job").1, Queued::Running);
        assert_eq!(line("14|COMPLETING|None|N/A").expect("a job").1, Queued::Running);
        assert_eq!(line("15|PREEMPTED|None|N/A").expect("a job").1, Queued::Gone);
        assert_eq!(line("slurm_load_jobs error"), None);
    }

    #[test]
    fn what_slurm_says_of_an_end_is_its_cause() {
        for (state, ended, cause) in [
            ("OUT_OF_MEMORY", JobState::Failed, Some(Cause::Oom)),
            ("TIMEOUT", JobState::Failed, Some(Cause::Time)),
            ("PREEMPTED", JobState::Lost, Some(Cause::Preempted)),
            ("NODE_FAIL", JobState::Lost, Some(Cause::Lost)),
            ("CANCELLED", JobState::Cancelled, None),
            ("BOOT_FAIL", JobState::Lost, Some(Cause::Lost)),
        ] {
            let told = told(state);
            assert_eq!((told.0, told.1), (ended, cause), "{state}");
        }
    }
}
