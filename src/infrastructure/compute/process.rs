//! Processes by identity: a number alone may belong to another process by now.

use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for another: its number, and when it started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Process number.
    pub(super) pid: i32,
    /// When it started, in the system's own words.
    pub(super) start: String,
}

/// How a reaped process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reaped {
    pub(super) pid: i32,
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
}

/// A signal to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    /// Please end.
    Term,
    /// End now.
    Kill,
}

impl Identity {
    /// The identity of the living process `pid`; none if there is no such process, or only its corpse.
    pub(super) fn of(pid: i32) -> Option<Self> {
        start(pid).map(|start| Self { pid, start })
    }

    /// This process.
    pub(super) fn own() -> Self {
        let pid = std::process::id() as i32;
        Self::of(pid).unwrap_or(Self { pid, start: String::new() })
    }

    /// Whether it still lives.
    pub(super) fn alive(&self) -> bool {
        start(self.pid).is_some_and(|start| start == self.start)
    }
}

/// Fields of `/proc/PID/stat` after the command name, which may hold anything: state is the first (field 3).
#[cfg(target_os = "linux")]
fn stat(pid: &str) -> Option<Vec<String>> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let rest = &text[text.rfind(')')? + 1..];
    Some(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

#[cfg(target_os = "linux")]
fn start(pid: i32) -> Option<String> {
    let fields = stat(&pid.to_string())?;
    let dead = matches!(fields.first()?.as_str(), "Z" | "X" | "x");
    if dead { None } else { fields.get(19).cloned() }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn start(pid: i32) -> Option<String> {
    let output =
        std::process::Command::new("/bin/ps").args(["-o", "state=,lstart=", "-p", &pid.to_string()]).output();
    let text = String::from_utf8_lossy(&output.ok()?.stdout).trim().to_owned();
    let (state, start) = text.split_once(' ')?;
    if state.starts_with('Z') { None } else { Some(start.trim().to_owned()) }
}

#[cfg(not(unix))]
fn start(_: i32) -> Option<String> {
    None
}

/// CPU seconds (user and system) of all children that were reaped; none where the system does not tell.
#[cfg(target_os = "linux")]
pub(super) fn children_cpu() -> Option<f64> {
    let fields = stat("self")?;
    let ticks = fields.get(13)?.parse::<u64>().ok()? + fields.get(14)?.parse::<u64>().ok()?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn children_cpu() -> Option<f64> {
    None
}

/// CPU seconds of processes and of those of their children that they reaped; none where the system does not tell.
#[cfg(target_os = "linux")]
pub(super) fn cpu(processes: &[Identity]) -> Option<f64> {
    let ticks = |process: &Identity| {
        let fields = stat(&process.pid.to_string())?;
        Some(fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum::<u64>())
    };
    let all: u64 = processes.iter().filter_map(ticks).sum();
    Some(all as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn cpu(_: &[Identity]) -> Option<f64> {
    None
}

/// All living descendants of process `root`, parents before children.
#[cfg(target_os = "linux")]
pub(super) fn descendants(root: i32) -> Vec<Identity> {
    let parents: Vec<(i32, i32, Option<Identity>)> = pids()
        .filter_map(|pid| {
            let parent = stat(&pid.to_string())?.get(1)?.parse().ok()?;
            Some((pid, parent, Identity::of(pid)))
        })
        .collect();
    let mut family = vec![root];
    let mut found = Vec::new();
    let mut next = 0;
    while next < family.len() {
        for (pid, parent, identity) in &parents {
            if *parent == family[next] && !family.contains(pid) {
                family.push(*pid);
                found.extend(identity.clone());
            }
        }
        next += 1;
    }
    found
}

#[cfg(not(target_os = "linux"))]
pub(super) fn descendants(_: i32) -> Vec<Identity> {
    Vec::new()
}

/// Bytes of memory that process `root` and its descendants hold; none where the system does not tell.
#[cfg(target_os = "linux")]
pub(super) fn resident(root: i32) -> Option<u64> {
    let pages = |pid: i32| stat(&pid.to_string())?.get(21)?.parse::<u64>().ok();
    let own = pages(root)?;
    let others: u64 = descendants(root).iter().filter_map(|process| pages(process.pid)).sum();
    Some((own + others) * rustix::param::page_size() as u64)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn resident(_: i32) -> Option<u64> {
    None
}

/// Living processes whose environment holds `variable=value`: those of a job that lost its supervisor.
#[cfg(target_os = "linux")]
pub(super) fn with_variable(variable: &str, value: &str) -> Vec<Identity> {
    let wanted = format!("{variable}={value}").into_bytes();
    pids()
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == wanted))
        })
        .filter_map(Identity::of)
        .collect()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn with_variable(_: &str, _: &str) -> Vec<Identity> {
    Vec::new()
}

/// Whether a process runs an executable below `folder`.
#[cfg(target_os = "linux")]
pub(super) fn runs_from(folder: &std::path::Path) -> bool {
    pids().any(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.starts_with(folder)))
}

/// Elsewhere it cannot be told: what may be in use stays.
#[cfg(not(target_os = "linux"))]
pub(super) fn runs_from(_: &std::path::Path) -> bool {
    true
}

#[cfg(target_os = "linux")]
fn pids() -> impl Iterator<Item = i32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

#[cfg(unix)]
mod system {
    use std::process::Command;

    use rustix::process::{Pid, Signal, WaitOptions};

    use super::{Identity, Kill, Reaped};

    /// Leaves the terminal and its session for good, and takes in orphaned descendants (Linux).
    pub(in super::super) fn leave_session() {
        // Fails only for the leader of a process group, who has a session of its own or was started as a job of a shell.
        let _ = rustix::process::setsid();
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    }

    /// Makes the process that `command` starts the leader of a process group of its own.
    pub(in super::super) fn own_group(command: &mut Command) -> &mut Command {
        std::os::unix::process::CommandExt::process_group(command, 0)
    }

    fn signal(kill: Kill) -> Signal {
        match kill {
            Kill::Term => Signal::TERM,
            Kill::Kill => Signal::KILL,
        }
    }

    /// Sends a signal to a process, if it still is the one that is meant.
    pub(in super::super) fn kill(process: &Identity, how: Kill) {
        if let Some(pid) = Pid::from_raw(process.pid)
            && process.alive()
        {
            let _ = rustix::process::kill_process(pid, signal(how));
        }
    }

    /// Sends a signal to the process group that `leader` leads. The group outlives its leader, whose number stays taken.
    pub(in super::super) fn kill_group(leader: i32, how: Kill) {
        if let Some(pid) = Pid::from_raw(leader) {
            let _ = rustix::process::kill_process_group(pid, signal(how));
        }
    }

    /// Takes the exit status of one ended child, if there is one.
    pub(in super::super) fn reap() -> Option<Reaped> {
        let (pid, status) = rustix::process::wait(WaitOptions::NOHANG).ok()??;
        Some(Reaped {
            pid: pid.as_raw_nonzero().get(),
            code: status.exit_status(),
            signal: status.terminating_signal(),
        })
    }
}

#[cfg(not(unix))]
mod system {
    use std::process::Command;

    use super::{Identity, Kill, Reaped};

    pub(in super::super) fn leave_session() {}

    pub(in super::super) fn own_group(command: &mut Command) -> &mut Command {
        command
    }

    pub(in super::super) fn kill(_: &Identity, _: Kill) {}

    pub(in super::super) fn kill_group(_: i32, _: Kill) {}

    pub(in super::super) fn reap() -> Option<Reaped> {
        None
    }
}

pub(super) use system::{kill, kill_group, leave_session, own_group, reap};

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_memory_of_a_process_is_told_while_it_lives() {
        let own = resident(std::process::id() as i32).expect("lives");
        assert!((1 << 20..1 << 40).contains(&own), "{own}");
        assert_eq!(resident(i32::MAX), None);
    }

    #[test]
    fn a_process_is_known_by_number_and_start() {
        let own = Identity::own();
        assert!(own.alive());
        assert!(!Identity { start: "1".into(), ..own.clone() }.alive());
        assert_eq!(Identity::of(i32::MAX - 1), None);
    }

    #[test]
    fn processes_are_found_by_a_variable_and_by_descent() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env("MLP_JOB", "by-a-variable")
            .spawn()
            .expect("sleep starts");
        let pid = child.id() as i32;
        // The environment is the child's own only after its exec.
        while !with_variable("MLP_JOB", "by-a-variable").iter().any(|found| found.pid == pid) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(descendants(std::process::id() as i32).iter().any(|found| found.pid == pid));
        child.kill().expect("kills");
        child.wait().expect("reaps");
        assert!(with_variable("MLP_JOB", "by-a-variable").is_empty());
    }
}
