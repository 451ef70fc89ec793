//! What a worker says, without its secrets.
//!
//! A worker without secrets writes into the log itself. One with secrets writes into a pipe, and its events into a named pipe; a process
//! of its own (`mlp agent mask`) writes what comes from there into log and events, with `***` for each secret. It lives as long as the
//! worker and all that the worker leaves behind: as without it, nothing is lost if the supervisor dies.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, PipeReader, PipeWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::events::PATIENCE;
use super::process::{self, Identity, Kill};
use super::{Interrupts, JobError, JobFolder};
use crate::base::variables;
use crate::infrastructure::durable;

/// Letters of a secret that is worth hiding, at least: hiding short words would make other texts unreadable.
const SHORTEST: usize = 8;
/// What stands for a secret.
const MASK: &[u8] = b"***";
/// How often the pipe of events is looked at.
const POLL: Duration = Duration::from_millis(20);
/// A line of events longer than this is written in parts.
const LONGEST_LINE: usize = 1 << 20;

/// Whether a secret is long enough to be hidden.
pub fn hideable(secret: &str) -> bool {
    secret.trim().chars().count() >= SHORTEST
}

/// Replaces secrets in a stream, wherever it is cut into pieces.
struct Mask {
    /// The longest first.
    patterns: Vec<Vec<u8>>,
    /// Which bytes a pattern begins with.
    begins: [bool; 256],
    /// What may be the beginning of a secret.
    held: Vec<u8>,
}

impl Mask {
    fn of(secrets: &[String]) -> Self {
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        for secret in secrets {
            // One of several lines, such as a key, is often shown line by line.
            for text in [secret.as_str()].into_iter().chain(secret.lines()).map(str::trim) {
                let escaped = serde_json::Value::from(text).to_string();
                let forms = [text, &escaped[1..escaped.len() - 1]];
                patterns.extend(forms.into_iter().filter(|_| hideable(text)).map(|form| form.into()));
            }
        }
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.len()));
        patterns.dedup();
        let mut begins = [false; 256];
        patterns.iter().for_each(|pattern| begins[usize::from(pattern[0])] = true);
        Self { patterns, begins, held: Vec::new() }
    }

    /// As much as can be said after these bytes.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        self.pass(false)
    }

    /// The rest: nothing comes any more.
    fn finish(&mut self) -> Vec<u8> {
        self.pass(true)
    }

    fn pass(&mut self, over: bool) -> Vec<u8> {
        let mut said = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while at < self.held.len() {
            let rest = &self.held[at..];
            let plain = rest.iter().position(|byte| self.begins[usize::from(*byte)]).unwrap_or(rest.len());
            if plain > 0 {
                said.extend_from_slice(&rest[..plain]);
                at += plain;
                continue;
            }
            let begun = self.patterns.iter().any(|p| p.len() > rest.len() && p.starts_with(rest));
            if begun && !over {
                break;
            }
            // Who was killed while it wrote a secret has said much of it.
            let cut = begun && rest.len() >= SHORTEST;
            let whole = self.patterns.iter().find(|pattern| rest.starts_with(pattern)).map(Vec::len);
            let hidden = if cut { Some(rest.len()) } else { whole };
            match hidden {
                Some(_) => said.extend_from_slice(MASK),
                None => said.push(rest[0]),
            }
            at += hidden.unwrap_or(1);
        }
        self.held.drain(..at);
        said
    }
}

/// The masking process of one worker.
pub(super) struct Filter {
    process: Option<Identity>,
    inlet: PipeWriter,
}

impl Filter {
    /// Starts it. Its secrets come first through the pipe that the worker's words come through.
    pub(super) fn start(folder: &JobFolder, secrets: &BTreeMap<String, String>) -> Result<Self, JobError> {
        let told = |error| JobError::io("make a pipe for", folder.log())(error);
        make_named_pipe(&events_pipe(folder))?;
        let (outlet, mut inlet): (PipeReader, PipeWriter) = io::pipe().map_err(told)?;
        let own = std::env::current_exe().map_err(JobError::io("find", "the mlp executable"))?;
        let mut command = Command::new(&own);
        command.args(["agent", "mask"]).arg(&folder.0).current_dir(&folder.0);
        // It belongs to the job, for whoever looks whether something of it lives.
        command.env(variables::JOB, folder.spec()?.id.to_string());
        command.stdin(outlet).stdout(Stdio::null()).stderr(Stdio::null());
        // Reaped by number, as all children of a supervisor are.
        #[allow(clippy::zombie_processes)]
        let child = process::own_group(&mut command).spawn().map_err(JobError::io("start", own))?;
        let mut head = serde_json::to_vec(&secrets.values().collect::<Vec<_>>()).unwrap_or_default();
        head.push(b'\n');
        inlet.write_all(&head).map_err(told)?;
        Ok(Self { process: Identity::of(child.id() as i32), inlet })
    }

    /// Makes `command` write into it. The worker holds one end more than it knows of, so that the pipe lasts as long as the worker does,
    /// wherever it lets its words go.
    pub(super) fn connect(&self, folder: &JobFolder, command: &mut Command) -> io::Result<()> {
        command.env(variables::EVENTS, events_pipe(folder));
        command.stdout(self.inlet.try_clone()?).stderr(self.inlet.try_clone()?);
        #[cfg(unix)]
        rustix::io::fcntl_setfd(&self.inlet, rustix::io::FdFlags::empty())?;
        Ok(())
    }

    /// Lets go of it once the worker is started.
    pub(super) fn begun(self) -> Option<Identity> {
        self.process
    }
}

/// Waits until all is written that was said; nobody is left who says more.
pub(super) fn finish(filter: &Identity) {
    let begun = Instant::now();
    while filter.alive() {
        while process::reap().is_some() {}
        if begun.elapsed() > 2 * PATIENCE {
            process::kill(filter, Kill::Kill);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What `mlp agent mask` does: takes the secrets and then the worker's words from standard input.
pub fn run(folder: &JobFolder) -> Result<(), JobError> {
    // Whoever ends what is left of a job ends this last, by ending the others.
    let _interrupts = Interrupts::watch();
    let mut input = io::stdin().lock();
    let mut head = Vec::new();
    input.read_until(b'\n', &mut head).map_err(JobError::io("read secrets for", &folder.0))?;
    let damaged = |_| JobError::Damaged { path: "standard input".into(), detail: "no secrets".to_owned() };
    let secrets: Vec<String> = serde_json::from_slice(&head).map_err(damaged)?;
    let (log, events) = (append(&folder.log())?, append(&folder.events())?);
    let pipe = open_named_pipe(&events_pipe(folder))?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| pass_events(pipe, &events, &mut Mask::of(&secrets), &over));
        pass(&mut input, &log, &mut Mask::of(&secrets));
        over.store(true, Ordering::Release);
    });
    // Whoever reads it afterwards would wait for ever.
    let _ = std::fs::remove_file(events_pipe(folder));
    Ok(())
}

fn pass(input: &mut dyn Read, log: &File, mask: &mut Mask) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        match input.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => put(log, &mask.take(&bytes[..count])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    put(log, &mask.finish());
}

/// In whole lines: the supervisor writes events, too.
fn pass_events(mut pipe: File, events: &File, mask: &mut Mask, over: &AtomicBool) {
    let mut bytes = vec![0; 64 << 10];
    let mut line = Vec::new();
    loop {
        // Asked first: what was written before the end is then read after it.
        let last = over.load(Ordering::Acquire);
        match pipe.read(&mut bytes) {
            Ok(count @ 1..) => {
                line.extend(mask.take(&bytes[..count]));
                let whole = line.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let ready = if line.len() > LONGEST_LINE { line.len() } else { whole };
                put(events, &line[..ready]);
                line.drain(..ready);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ if last => break,
            _ => std::thread::sleep(POLL),
        }
    }
    line.extend(mask.finish());
    put(events, &line);
}

/// Appends; what a full disk does not take within its time is lost.
fn put(mut file: &File, bytes: &[u8]) {
    let mut left = bytes;
    let _ = durable::when_there_is_room(PATIENCE, || {
        while !left.is_empty() {
            let count = file.write(left)?;
            left = &left[count..];
        }
        Ok(())
    });
}

fn append(path: &Path) -> Result<File, JobError> {
    File::options().append(true).create(true).open(path).map_err(JobError::io("open", path))
}

/// Where a worker with secrets writes its events.
fn events_pipe(folder: &JobFolder) -> PathBuf {
    folder.0.join("events.pipe")
}

fn make_named_pipe(path: &Path) -> Result<(), JobError> {
    if path.exists() {
        return Ok(());
    }
    let made = Command::new("mkfifo").args(["-m", "600"]).arg(path).stdin(Stdio::null()).output();
    let failed = |said: String| JobError::io("make the pipe", path)(io::Error::other(said));
    match made {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        Err(error) => Err(failed(format!("`mkfifo`: {error}"))),
    }
}

/// Opened for both ways, so that it has no end when a writer closes it and another opens it.
fn open_named_pipe(path: &Path) -> Result<File, JobError> {
    let mut options = File::options();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits() as i32);
    options.open(path).map_err(JobError::io("open", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(secrets: &[&str], pieces: &[&str]) -> String {
        let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        let mut mask = Mask::of(&secrets);
        let mut said: Vec<u8> = pieces.iter().flat_map(|piece| mask.take(piece.as_bytes())).collect();
        said.extend(mask.finish());
        String::from_utf8(said).expect("text")
    }

    #[test]
    fn a_secret_is_hidden_wherever_the_stream_is_cut() {
        let text = "key=hunter2-long, again hunter2-longer hunter2-lon\n";
        let wanted = "key=***, again *** hunter2-lon\n";
        let secrets = ["hunter2-long", "hunter2-longer"];
        assert_eq!(masked(&secrets, &[text]), wanted);
        for at in 0..=text.len() {
            assert_eq!(masked(&secrets, &[&text[..at], &text[at..]]), wanted, "{at}");
        }
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(masked(&secrets, &letters), wanted);
    }

    #[test]
    fn what_cannot_be_a_secret_is_not_held_back() {
        let mut mask = Mask::of(&["hunter2-long".to_owned()]);
        assert_eq!(mask.take(b"50 % done \xff"), b"50 % done \xff");
        assert_eq!(mask.take(b"hunter"), b"");
        assert_eq!(mask.take(b"s"), b"hunters");
    }

    #[test]
    fn lines_escapes_and_what_a_killed_writer_left_are_hidden_and_short_ones_are_not() {
        let key = "-----BEGIN KEY-----\nabcdefghijkl\nx\n";
        assert_eq!(masked(&[key], &["> abcdefghijkl\n> x\n"]), "> ***\n> x\n");
        assert_eq!(
            masked(&["say \"hunter2\""], &["{\"text\": \"say \\\"hunter2\\\"\"}"]),
            "{\"text\": \"***\"}"
        );
        assert_eq!(masked(&["hunter2-long"], &["hunter2-lo"]), "***");
        assert_eq!(masked(&["1234567"], &["1234567"]), "1234567");
        assert_eq!(masked(&["12345678\n"], &["12345678"]), "***");
    }
}
