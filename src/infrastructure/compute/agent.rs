//! The host side: the supervisor of one job. It knows only an argv.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::events::PATIENCE;
use super::folder::{Cancel, State, Supervisor};
use super::inputs::lay_out;
use super::leased::{Leased, lease};
use super::meter::Meter;
use super::process::{self, Identity, Kill, Reaped};
use super::watch::{Over, Watch};
use super::{EventLog, Interrupts, JobError, JobFolder, JobSpec, mask, memory, slurm};
use crate::base::{Cause, JobState, Level, RunEnd, Sink, Span, Time, Usage, variables};
use crate::hardware::facts;

/// How often the supervisor looks at its children and at the folder.
const POLL: Duration = Duration::from_millis(20);
/// The cards that a job may use.
const CARDS: &str = "CUDA_VISIBLE_DEVICES";
/// How long a process that the worker left behind gets between TERM and KILL.
const STRAY_GRACE: Duration = Duration::from_secs(1);
/// How long the supervisor may take to come up.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Starts the supervisor of the job in `folder` as a process in a session of its own, and returns once it is up.
///
/// `variables` (a JSON object, or nothing) goes to the worker's environment by way of the supervisor's memory, and into no file.
/// `program` is the mlp executable. It is started twice: the first leads a process group, which keeps Ctrl-C of the
/// terminal away from the start, and therefore cannot lead a session; its child can, and outlives everybody.
pub(super) fn start(program: &Path, folder: &JobFolder, variables: &[u8]) -> Result<(), JobError> {
    if cfg!(not(unix)) {
        return Err(JobError::Platform);
    }
    let failed = |detail: String| {
        let id = folder.0.file_name().unwrap_or_default().to_string_lossy().into_owned();
        JobError::NotStarted { id, detail }
    };
    let mut command = Command::new(program);
    command.args(["agent", "supervise"]).arg(&folder.0).stdin(Stdio::piped()).stdout(Stdio::null());
    let secrets = secrets_of(&folder.spec()?, &mut parsed(variables)?);
    // Where they come from is no reason to be in the environment of what outlives this command.
    for (name, value) in std::env::vars_os() {
        let secret = |secret: &String| value.to_str() == Some(secret);
        if secrets.contains_key(&*name.to_string_lossy()) || secrets.values().any(secret) {
            command.env_remove(name);
        }
    }
    let told = |error: std::io::Error| failed(format!("`{}`: {error}", program.display()));
    let mut child = process::own_group(command.stderr(Stdio::piped())).spawn().map_err(told)?;
    if let Some(mut input) = child.stdin.take() {
        // A process that ends before it has read them says why.
        let _ = input.write_all(variables);
    }
    let output = child.wait_with_output().map_err(told)?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// The first of the two processes: starts the second without any tie to the terminal and waits until it has taken over.
pub fn detach(folder: &JobFolder) -> Result<(), JobError> {
    let program = std::env::current_exe().map_err(JobError::io("find", "the mlp executable"))?;
    let mut child = Command::new(&program)
        .args(["agent", "supervise", "--detached"])
        .arg(&folder.0)
        .current_dir(&folder.0)
        .stdin(Stdio::inherit())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(JobError::io("start", &program))?;
    let begun = Instant::now();
    while !folder.supervised() {
        let ended = child.try_wait().map_err(JobError::io("wait for", &program))?;
        if ended.is_some() && !folder.supervised() || begun.elapsed() > START_LIMIT {
            let id = folder.spec()?.id.to_string();
            let detail = ended.map_or("it takes too long".to_owned(), |status| status.to_string());
            return Err(JobError::NotStarted { id, detail });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Runs the job in `folder` to its end: starts the worker, enforces limits, obeys `cancel`, writes `exit.json` last.
pub fn supervise(folder: &JobFolder) -> Result<(), JobError> {
    process::leave_session();
    let interrupts = Interrupts::watch();
    let again = folder.is_begun() && slurm::restarted(folder.spec()?.id);
    // Held to the end of this process: two supervisors of one job cannot be. But where Slurm gave a node up, the supervisor there may live
    // on; it finds that it is outdated.
    let lock = folder.lock("lock", false)?;
    if lock.is_none() && !again || folder.exit()?.is_some() {
        return Ok(());
    }
    let mut spec = folder.spec()?;
    let mut told = variables_told(&folder.0)?;
    let secrets = secrets_of(&spec, &mut told);
    spec.env.extend(told);
    let since = Time::now();
    let known = folder.state()?;
    let started = known.as_ref().map_or(since, |state| state.started);
    // What was started again by hand has an end of before; what Slurm put into its queue again has a state of before.
    let earlier = folder.earlier(folder.attempt()?)?;
    let counted = earlier.as_ref().and_then(|end| end.seconds).unwrap_or_default();
    let before = known.map_or(0.0, |state| state.before).max(counted);
    let schema = "mlp/state/1".to_owned();
    let state =
        State { schema, state: JobState::Preparing, started, since: Some(since), before, worker: None };
    // Pauses between attempts do not count.
    let rested = Cell::new(0.0);
    let took = || before + (Time::now().seconds_since(since) - rested.get()).max(0.0);
    let note = |now, worker| folder.set_state(&State { state: now, worker, ..state.clone() });
    note(JobState::Preparing, None)?;
    folder.set_supervisor(&Supervisor {
        schema: "mlp/supervisor/1".into(),
        process: Identity::own(),
        boot: facts::boot(),
        host: facts::host(),
    })?;
    if again {
        // Whatever of the attempt before still lives must not write a checkpoint any more.
        folder.set_attempt(folder.attempt()? + 1)?;
    }
    folder.set_begun()?;
    let first = folder.attempt()?;
    let mut used = folder.usage()?.unwrap_or_default();
    used.attempts += 1;
    let end = |attempt, outcome: &Outcome, used: &Usage| RunEnd {
        state: outcome.state,
        cause: outcome.cause,
        code: outcome.code,
        signal: outcome.signal,
        reason: outcome.reason.clone(),
        started,
        ended: Time::now(),
        seconds: Some(took()),
        cpu_seconds: process::children_cpu()
            .map(|now| now + earlier.as_ref().and_then(|end| end.cpu_seconds).unwrap_or_default()),
        attempts: attempt,
        usage: Some(used.clone()),
    };
    let over = |attempt, outcome: Outcome, used: &Usage| {
        folder.set_exit(&end(attempt, &outcome, used), outcome.strays, PATIENCE)
    };
    if let Err(error) = lay_out(folder, &spec) {
        let reason = format!("its inputs cannot be laid out: {error}");
        return over(first, Outcome::without_worker(JobState::Failed, Some(reason)), &used);
    }
    let mut cards: Vec<String> = Vec::new();
    // Held to the end of this process and of all that it starts.
    let leased = lease(folder, &spec, &note, &interrupts);
    let _lease = match leased.unwrap_or_else(|error| Leased::No(JobState::Failed, Some(error.to_string()))) {
        Leased::Nothing => None,
        Leased::Cards(lease) => {
            cards = lease.gpus.iter().map(|gpu| gpu.uuid.clone()).collect();
            spec.env.insert(CARDS.into(), cards.join(","));
            spec.env.insert("CUDA_DEVICE_ORDER".into(), "PCI_BUS_ID".into());
            Some(lease)
        }
        Leased::No(state, reason) => return over(first, Outcome::without_worker(state, reason), &used),
    };
    let mut argv = spec.argv.clone();
    if slurm::started(spec.id) && spec.resources.ranks() > 1 {
        match slurm::ranks(&argv, &spec.resources) {
            Ok((line, variables)) => {
                argv = line;
                spec.env.extend(variables);
            }
            Err(error) => {
                let reason = Some(error.to_string());
                return over(first, Outcome::without_worker(JobState::Failed, reason), &used);
            }
        }
    }
    let (mut attempt, mut pause) = (first, Duration::ZERO);
    loop {
        let job = Job { folder, spec: &spec, cards: &cards, attempt, interrupts: &interrupts };
        let log = folder.log_length();
        let resting = Instant::now();
        let goes_on = job.rest(pause);
        rested.set(rested.get() + resting.elapsed().as_secs_f64());
        let mut outcome = match goes_on {
            true => job.run(&argv, &secrets, &mut used, &note)?,
            false => Outcome::without_worker(JobState::Cancelled, None),
        };
        if outcome.state == JobState::Succeeded && !spec.after.is_empty() {
            outcome = job.run(&spec.after, &BTreeMap::new(), &mut used, &note)?;
        }
        if folder.attempt()? != attempt {
            // Another has taken over: the end of this one is nobody's business any more.
            return Ok(());
        }
        // A later attempt adds to it. It is not worth failing for.
        let _ = folder.set_usage(&used);
        let asked = folder.cancel().is_some();
        if outcome.state == JobState::Cancelled && !asked && slurm::started(spec.id) {
            // Its time is over, or another job is more important: it goes on in its next turn.
            folder.set_state(&State { before: took(), since: None, ..state.clone() })?;
            return if interrupts.warned() { slurm::requeue() } else { Ok(()) };
        }
        let cause = outcome.cause.filter(|_| !asked);
        match cause.map_or(Ok(None), |cause| folder.pause_after(cause, log))? {
            None => return over(attempt, outcome, &used),
            Some(next) => pause = next,
        }
        attempt = folder.begin_after(&end(attempt, &outcome, &used), outcome.strays)?;
        used.attempts += 1;
        note(JobState::Queued, None)?;
        if let Ok(events) = EventLog::append(&folder.events()) {
            let why = outcome.reason.unwrap_or_default();
            let text = format!("{why}; attempt {attempt} begins in {}", Span(pause));
            events.log(Level::Warn, &text);
        }
    }
}

/// What stands on standard input. The worker gets the variables; the supervisor's own environment does not.
fn variables_told(folder: &Path) -> Result<BTreeMap<String, String>, JobError> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).map_err(JobError::io("read variables for", folder))?;
    parsed(&bytes)
}

fn parsed(bytes: &[u8]) -> Result<BTreeMap<String, String>, JobError> {
    if bytes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let damaged = |error: serde_json::Error| JobError::Damaged {
        path: "standard input".into(),
        // Not what serde would show of a value.
        detail: format!("line {} holds no variables", error.line()),
    };
    serde_json::from_slice(bytes).map_err(damaged)
}

/// Takes those that are secrets from among the variables.
fn secrets_of(spec: &JobSpec, told: &mut BTreeMap<String, String>) -> BTreeMap<String, String> {
    spec.secrets.iter().filter_map(|name| told.remove_entry(name)).collect()
}

struct Job<'a> {
    folder: &'a JobFolder,
    spec: &'a JobSpec,
    /// The cards that it holds.
    cards: &'a [String],
    attempt: u32,
    interrupts: &'a Interrupts,
}

struct Outcome {
    state: JobState,
    cause: Option<Cause>,
    code: Option<i32>,
    signal: Option<i32>,
    reason: Option<String>,
    strays: u32,
}

impl Outcome {
    fn without_worker(state: JobState, reason: Option<String>) -> Self {
        let cause = (state == JobState::Failed).then_some(Cause::Failed);
        Self { state, cause, code: None, signal: None, reason, strays: 0 }
    }
}

impl Job<'_> {
    /// Waits before an attempt; false if the job was asked to stop meanwhile.
    fn rest(&self, pause: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < pause && self.cancelled().is_none() {
            std::thread::sleep(POLL);
        }
        pause.is_zero() || self.cancelled().is_none()
    }

    /// Starts one command line, waits for its end, and leaves no process behind.
    fn run(
        &self,
        argv: &[String],
        secrets: &BTreeMap<String, String>,
        used: &mut Usage,
        note: &dyn Fn(JobState, Option<Identity>) -> Result<(), JobError>,
    ) -> Result<Outcome, JobError> {
        let started = Instant::now();
        let (worker, filter) = match self.spawn(argv, secrets)? {
            Ok(started) => started,
            Err(reason) => {
                return Ok(Outcome::without_worker(JobState::Failed, Some(reason)));
            }
        };
        let identity = Identity::of(worker);
        let meter = Meter::start(self.folder, self.spec, self.cards, used);
        note(JobState::Running, identity.clone())?;
        let cards = match self.spec.env.get(CARDS) {
            Some(cards) => cards.clone(),
            // Those that a queue gave.
            None => std::env::var(CARDS).unwrap_or_default(),
        };
        let mut watch = Watch::new(self.folder, self.attempt, &self.spec.resources, &cards);
        let kills = memory::kills();
        let (mut asked, mut limit, mut killed) = (None::<Instant>, None, false);
        let ended = loop {
            if let Some(ended) = reap(worker) {
                break ended;
            }
            let cancel = self.cancelled();
            match watch.over() {
                Some(Over::Outdated) if !killed => {
                    (asked, killed) = (Some(Instant::now()), true);
                    process::kill_group(worker, Kill::Kill);
                }
                Some(Over::Limit(cause, reason)) if asked.is_none() && cancel.is_none() => {
                    limit = Some((cause, reason));
                }
                _ => {}
            }
            if asked.is_none() && (cancel.is_some() || limit.is_some()) {
                asked = Some(Instant::now());
                note(JobState::Cancelling, identity.clone())?;
                process::kill_group(worker, Kill::Term);
            }
            let grace_over =
                asked.is_some_and(|asked| asked.elapsed() > Duration::from_secs(self.spec.grace_s));
            if !killed && (grace_over || cancel == Some(Cancel::Kill)) {
                killed = true;
                process::kill_group(worker, Kill::Kill);
            }
            std::thread::sleep(if started.elapsed() < POLL { Duration::from_millis(2) } else { POLL });
        };
        watch.end();
        *used = meter.stop();
        let strays = end_strays(if killed { Duration::ZERO } else { STRAY_GRACE }, filter.as_ref());
        if let Some(filter) = &filter {
            mask::finish(filter);
        }
        let outcome = |state, cause, reason| Outcome {
            state,
            cause,
            code: ended.code,
            signal: ended.signal,
            reason,
            strays,
        };
        if let Some((cause, reason)) = limit {
            return Ok(outcome(JobState::Failed, Some(cause), Some(reason)));
        }
        // The worker looks at the request, too, and may be faster than this process.
        if asked.is_some() || ended.code != Some(0) && self.cancelled().is_some() {
            return Ok(outcome(JobState::Cancelled, None, None));
        }
        // A shell whose program was killed ends with 137.
        let by_kill = ended.signal == Some(9) || ended.code == Some(137);
        if by_kill && kills.is_some_and(|before| memory::kills().is_some_and(|now| now > before)) {
            let reason = "the kernel killed it for lack of memory".to_owned();
            return Ok(outcome(JobState::Failed, Some(Cause::Oom), Some(reason)));
        }
        let reason = match ended.code {
            Some(0) => return Ok(outcome(JobState::Succeeded, None, None)),
            Some(code) => format!("it ended with exit code {code}"),
            None => format!("signal {} ended it", ended.signal.unwrap_or_default()),
        };
        Ok(outcome(JobState::Failed, Some(Cause::Failed), Some(reason)))
    }

    /// Whether somebody asked the job to stop, or this process.
    fn cancelled(&self) -> Option<Cancel> {
        let asked = self.interrupts.any() || self.interrupts.warned();
        self.folder.cancel().max(asked.then_some(Cancel::Term))
    }

    /// Starts the worker in a process group of its own, and what hides its secrets; the inner error is what a user can mend.
    fn spawn(
        &self,
        argv: &[String],
        secrets: &BTreeMap<String, String>,
    ) -> Result<Result<(i32, Option<Identity>), String>, JobError> {
        let folder = &self.folder.0;
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.folder.log())
            .map_err(JobError::io("open", self.folder.log()))?;
        let errors = log.try_clone().map_err(JobError::io("open", self.folder.log()))?;
        let own = std::env::current_exe().map_err(JobError::io("find", "the mlp executable"))?;
        let mut argv = argv.iter().map(|word| match word.as_str() {
            "{job}" => folder.as_os_str(),
            "{mlp}" => own.as_os_str(),
            word => word.as_ref(),
        });
        let cwd = folder.join(&self.spec.cwd);
        let Some(program) = argv.next() else { return Ok(Err("its command line is empty".into())) };
        let mut command = Command::new(program);
        // The keys of stores are mlp's own: what a job prints or keeps must not hold them.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(variables::STORE_PREFIX) {
                command.env_remove(name);
            }
        }
        command
            .args(argv)
            .current_dir(&cwd)
            .envs(&self.spec.env)
            .env(variables::EVENTS, self.folder.events())
            .env(variables::PARAMS, self.folder.params())
            .env(variables::OUT, self.folder.out())
            .env(variables::CHECKPOINTS, self.folder.checkpoints())
            .env(variables::ATTEMPT, self.attempt.to_string())
            .env(variables::JOB, self.spec.id.to_string())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let filter = match secrets.is_empty() {
            true => None,
            false => {
                let filter = mask::Filter::start(self.folder, secrets)?;
                command.envs(secrets);
                filter.connect(self.folder, &mut command).map_err(JobError::io("hand on", folder))?;
                Some(filter)
            }
        };
        // The child is reaped by number together with all that it leaves behind, not through this handle.
        #[allow(clippy::zombie_processes)]
        let spawned = process::own_group(&mut command).spawn();
        let filter = filter.and_then(mask::Filter::begun);
        Ok(match spawned {
            Ok(child) => Ok((child.id() as i32, filter)),
            Err(error) => Err(format!(
                "`{}` cannot be started in `{}`: {error}",
                program.to_string_lossy(),
                cwd.display()
            )),
        })
    }
}

/// Reaps whatever has ended; answers when `worker` was among it.
fn reap(worker: i32) -> Option<Reaped> {
    std::iter::from_fn(process::reap).find(|reaped| reaped.pid == worker)
}

/// Ends every descendant that is left but `spared`: TERM, then KILL until there is none. Answers how many there were.
fn end_strays(grace: Duration, spared: Option<&Identity>) -> u32 {
    let own = std::process::id() as i32;
    let mut seen: Vec<Identity> = Vec::new();
    let begun = Instant::now();
    loop {
        while process::reap().is_some() {}
        let mut left = process::descendants(own);
        left.retain(|process| Some(process) != spared);
        if left.is_empty() {
            return seen.len() as u32;
        }
        for stray in left {
            let how = if begun.elapsed() >= grace { Kill::Kill } else { Kill::Term };
            if how == Kill::Kill || !seen.contains(&stray) {
                process::kill(&stray, how);
            }
            if !seen.contains(&stray) {
                seen.push(stray);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
