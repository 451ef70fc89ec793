//! The host side: the supervisor of one job. It knows only an argv.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::events::PATIENCE;
use super::folder::{Cancel, State, Supervisor};
use super::lease::{Claim, Desk, Lease};
use super::meter::Meter;
use super::process::{self, Identity, Kill, Reaped};
use super::{EventLog, Interrupts, JobError, JobFolder, JobSpec, mask, mirror, slurm};
use crate::base::{JobState, Level, RunEnd, Sink, Time, Usage, plural, variables};
use crate::hardware::{facts, gpus};
use crate::infrastructure::durable;
use crate::infrastructure::store::{Local, Stored};

/// How often the supervisor looks at its children and at the folder.
const POLL: Duration = Duration::from_millis(20);
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
    // Held to the end of this process: two supervisors of one job cannot be.
    let Some(_lock) = folder.lock("lock", false)? else { return Ok(()) };
    if folder.exit()?.is_some() {
        return Ok(());
    }
    let mut spec = folder.spec()?;
    let mut told = variables_told(&folder.0)?;
    let secrets = secrets_of(&spec, &mut told);
    spec.env.extend(told);
    let limit = spec.resources.time_limit()?;
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
    let took = || before + Time::now().seconds_since(since).max(0.0);
    let note = |now, worker| folder.set_state(&State { state: now, worker, ..state.clone() });
    note(JobState::Preparing, None)?;
    folder.set_supervisor(&Supervisor {
        schema: "mlp/supervisor/1".into(),
        process: Identity::own(),
        boot: facts::boot(),
        host: facts::host(),
    })?;
    if slurm::restarted(spec.id) && folder.is_begun() {
        // Whatever of the attempt before still lives must not write a checkpoint any more.
        folder.set_attempt(folder.attempt()? + 1)?;
    }
    folder.set_begun()?;
    let first = folder.attempt()?;
    let mut used = folder.usage()?.unwrap_or_default();
    used.attempts += 1;
    let over = |attempt, outcome: Outcome, used: Usage| {
        let end = RunEnd {
            state: outcome.state,
            code: outcome.code,
            signal: outcome.signal,
            reason: outcome.reason,
            started,
            ended: Time::now(),
            seconds: Some(took()),
            cpu_seconds: process::children_cpu()
                .map(|now| now + earlier.as_ref().and_then(|end| end.cpu_seconds).unwrap_or_default()),
            attempts: attempt,
            usage: Some(used),
        };
        folder.set_exit(&end, outcome.strays, PATIENCE)
    };
    if let Err(error) = lay_out(folder, &spec) {
        let reason = format!("its inputs cannot be laid out: {error}");
        return over(first, Outcome::without_worker(JobState::Failed, Some(reason)), used);
    }
    let mut cards: Vec<String> = Vec::new();
    // Held to the end of this process and of all that it starts.
    let leased = lease(folder, &spec, &note, &interrupts);
    let _lease = match leased.unwrap_or_else(|error| Leased::No(JobState::Failed, Some(error.to_string()))) {
        Leased::Nothing => None,
        Leased::Cards(lease) => {
            cards = lease.gpus.iter().map(|gpu| gpu.uuid.clone()).collect();
            spec.env.insert("CUDA_VISIBLE_DEVICES".into(), cards.join(","));
            spec.env.insert("CUDA_DEVICE_ORDER".into(), "PCI_BUS_ID".into());
            Some(lease)
        }
        Leased::No(state, reason) => return over(first, Outcome::without_worker(state, reason), used),
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
                return over(first, Outcome::without_worker(JobState::Failed, reason), used);
            }
        }
    }
    let mut attempt = first;
    loop {
        let job = Job { folder, spec: &spec, cards: &cards, attempt, limit, interrupts: &interrupts };
        let mut outcome = job.run(&argv, &secrets, &mut used, &note)?;
        if outcome.state == JobState::Succeeded && !spec.after.is_empty() {
            outcome = job.run(&spec.after, &BTreeMap::new(), &mut used, &note)?;
        }
        // A later attempt adds to it. It is not worth failing for.
        let _ = folder.set_usage(&used);
        let asked = folder.cancel().is_some();
        if outcome.state == JobState::Cancelled && !asked && slurm::started(spec.id) {
            // Its time is over, or another job is more important: it goes on in its next turn.
            folder.set_state(&State { before: took(), since: None, ..state.clone() })?;
            return if interrupts.warned() { slurm::requeue() } else { Ok(()) };
        }
        if outcome.state == JobState::Failed && attempt - first < spec.retry.max && !asked {
            attempt += 1;
            folder.set_attempt(attempt)?;
            used.attempts += 1;
            continue;
        }
        return over(attempt, outcome, used);
    }
}

/// What became of the wish for GPUs.
enum Leased {
    Nothing,
    Cards(Lease),
    /// The job ends in this state, for this reason.
    No(JobState, Option<String>),
}

/// Waits for the GPUs that the job wants.
fn lease(
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
        let found = if there == 0 {
            "no GPU that `nvidia-smi` knows".to_owned()
        } else {
            plural(there as u64, "GPU")
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
    let claim = Claim { job: spec.id, name: spec.name.clone(), user, since: Time::now(), wants };
    let most = spec.resources.wait_limit()?;
    let begun = Instant::now();
    let over = || most.is_some_and(|most| begun.elapsed() > most);
    let cancelled = || folder.cancel().is_some() || interrupts.any();
    let lease = Desk::of_machine()?.take(&claim, &gpus, &|| cancelled() || over())?;
    Ok(match lease {
        Some(lease) => Leased::Cards(lease),
        None if cancelled() => Leased::No(JobState::Cancelled, None),
        None => {
            let wait = spec.resources.max_wait.clone().unwrap_or_default();
            let wanted = if wants == 1 { "GPU was".to_owned() } else { format!("{wants} GPUs were") };
            Leased::No(JobState::Failed, Some(format!("no {wanted} free for {wait}")))
        }
    })
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

/// Puts the job's inputs into its working directory.
fn lay_out(folder: &JobFolder, spec: &JobSpec) -> Result<(), JobError> {
    let cwd = folder.0.join(&spec.cwd);
    if spec.cwd.is_relative() {
        std::fs::create_dir_all(&cwd).map_err(JobError::io("make", &cwd))?;
    }
    if spec.inputs.is_empty() {
        return Ok(());
    }
    let store = folder.store()?;
    spec.inputs.iter().try_for_each(|(path, stored)| {
        let place = cwd.join(path);
        match stored.is_link() {
            true => lay_link(&store, stored, &place),
            false => mirror::lay(&store, stored, &place),
        }
    })
}

/// A link of the project's code may lead anywhere, as it may where the code was written; one of a dataset never leaves the dataset.
#[cfg(unix)]
fn lay_link(store: &Local, stored: &Stored, place: &Path) -> Result<(), JobError> {
    let target = store.read(&stored.id)?;
    let target = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&target);
    if let Some(parent) = place.parent() {
        std::fs::create_dir_all(parent).map_err(JobError::io("make", parent))?;
    }
    durable::remove(place).map_err(JobError::io("remove", place))?;
    std::os::unix::fs::symlink(target, place).map_err(JobError::io("make the link", place))
}

#[cfg(not(unix))]
fn lay_link(_: &Local, _: &Stored, _: &Path) -> Result<(), JobError> {
    Err(JobError::Platform)
}

struct Job<'a> {
    folder: &'a JobFolder,
    spec: &'a JobSpec,
    /// The cards that it holds.
    cards: &'a [String],
    attempt: u32,
    limit: Option<Duration>,
    interrupts: &'a Interrupts,
}

struct Outcome {
    state: JobState,
    code: Option<i32>,
    signal: Option<i32>,
    reason: Option<String>,
    strays: u32,
}

impl Outcome {
    fn without_worker(state: JobState, reason: Option<String>) -> Self {
        Self { state, code: None, signal: None, reason, strays: 0 }
    }
}

impl Job<'_> {
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
        let (mut asked, mut timed_out, mut killed) = (None::<Instant>, false, false);
        let ended = loop {
            if let Some(ended) = reap(worker) {
                break ended;
            }
            let cancel = self.cancelled();
            let over_time = self.limit.is_some_and(|limit| started.elapsed() > limit);
            if asked.is_none() && (cancel.is_some() || over_time) {
                timed_out = cancel.is_none();
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
        *used = meter.stop();
        let strays = end_strays(if killed { Duration::ZERO } else { STRAY_GRACE }, filter.as_ref());
        if let Some(filter) = &filter {
            mask::finish(filter);
        }
        let (state, reason) = match (asked, timed_out, ended.code, ended.signal) {
            (Some(_), false, ..) => (JobState::Cancelled, None),
            (Some(_), true, ..) => {
                let time = self.spec.resources.time.clone().unwrap_or_default();
                (JobState::Failed, Some(format!("it ran longer than its time limit of {time}")))
            }
            (None, _, Some(0), _) => (JobState::Succeeded, None),
            // The worker looks at the request, too, and may be faster than this process.
            (None, ..) if self.cancelled().is_some() => (JobState::Cancelled, None),
            (None, _, Some(code), _) => (JobState::Failed, Some(format!("it ended with exit code {code}"))),
            (None, _, None, signal) => {
                (JobState::Failed, Some(format!("signal {} ended it", signal.unwrap_or_default())))
            }
        };
        Ok(Outcome { state, code: ended.code, signal: ended.signal, reason, strays })
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
