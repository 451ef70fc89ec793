//! The connection of one command to a host: the system's `ssh` with `mlp agent serve` at its other end.
//!
//! `ssh` is the user's own, with everything that `~/.ssh/config` says: jump hosts, keys, agents, certificates, passwords asked for at the
//! terminal. Host keys are checked as the user has it, the agent is never forwarded. Its exit status says nothing (255 may be anything):
//! what is known of a job comes from its folder, what went wrong with the connection from what `ssh` wrote.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::bootstrap::{Agents, CANNOT};
use super::builds::Build;
use super::frame::{self, ABSENT, Ask, Hello, MAGIC, PARCEL, PROTOCOL, Reply};
use super::host::Host;
use super::watchdog::Watchdog;
use super::{JobError, process};
use crate::base::{Bytes, Digest, Id, Level, Sink, Unit, variables};
use crate::infrastructure::store::{Borrowed, Local, Remote, lend};

/// An answer that takes longer does not come. Where ssh may ask at the terminal, people need longer.
const SILENCE: Duration = Duration::from_secs(60);
const PEOPLE: Duration = Duration::from_secs(300);
/// From so many bytes on a host reads from the shared store: for less, asking it takes longer than sending.
const WORTH: u64 = 8 << 20;
/// Bytes a second of a slow line.
const SLOW: u64 = 1 << 20;
/// So many reads are lent at a time, each of up to 4 MiB.
const LENT: usize = 64;
/// So many objects are asked for at a time.
const IDS: usize = 1 << 20;
/// What is said of a host that is there, but whose mlp is not heard.
const SILENT: &str = "it is connected, and gives no answer";
/// A login shell may say so much before the agent does.
const NOISE: u64 = 1 << 20;

/// A connection to a host, which answers.
pub struct Link {
    /// The host.
    pub host: Host,
    /// What it said about itself.
    pub hello: Hello,
    /// The store that it may read itself what it lacks from.
    pub shared: Option<Remote>,
    /// The build of mlp that works there, in words.
    pub build: String,
    ssh: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    words: Words,
    watchdog: Watchdog,
}

/// What `ssh` and the shell there wrote to their standard error.
#[derive(Clone, Default)]
struct Words(Arc<Mutex<String>>);

impl Words {
    /// Collects in the background: a shared connection that `ssh` leaves behind may keep the pipe open for long.
    fn collect(mut from: impl Read + Send + 'static) -> Self {
        let words = Self::default();
        let into = words.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut piece) {
                let mut words = into.0.lock().unwrap_or_else(PoisonError::into_inner);
                if words.len() < NOISE as usize {
                    words.push_str(&String::from_utf8_lossy(&piece[..read]));
                }
            }
        });
        words
    }

    fn so_far(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The agent ends with its input; what does not end is not waited for.
        let _ = self.ssh.kill();
        let _ = self.ssh.wait();
    }
}

/// Connections that nobody uses now. A command has one to each host; it ends with the process.
static IDLE: Mutex<Vec<Link>> = Mutex::new(Vec::new());

impl Link {
    /// Leaves the connection to whoever asks for one to this host next.
    pub fn rest(self) {
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }

    /// Connects to `host`. A build of mlp is brought there if there is none.
    ///
    /// # Errors
    /// [`JobError::Unreachable`] and others that say what `ssh` said.
    pub fn open(host: &Host, binary: Digest, sink: &dyn Sink) -> Result<Self, JobError> {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = idle.iter().position(|link| link.host == *host) {
            return Ok(idle.swap_remove(at));
        }
        drop(idle);
        let nonce = Id::new().to_string();
        let agents = Agents::of(host, binary)?;
        let mut command = Command::new("ssh");
        if let Some(config) = std::env::var_os(variables::SSH_CONFIG) {
            command.arg("-F").arg(config);
        }
        for option in [
            "ForwardAgent=no",
            "ForwardX11=no",
            "ClearAllForwardings=yes",
            "RequestTTY=no",
            "RemoteCommand=none",
            "ConnectTimeout=15",
            "ServerAliveInterval=5",
            "ServerAliveCountMax=3",
        ] {
            command.args(["-o", option]);
        }
        if !io::IsTerminal::is_terminal(&io::stderr()) {
            command.args(["-o", "BatchMode=yes"]);
        }
        command.arg("--").arg(host.destination()?).arg(agents.script(&nonce));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C is for mlp, which decides what becomes of the job.
        let mut ssh =
            process::own_group(&mut command).spawn().map_err(|error| JobError::NoSsh(error.to_string()))?;
        let (Some(input), Some(output), Some(errors)) =
            (ssh.stdin.take(), ssh.stdout.take(), ssh.stderr.take())
        else {
            return Err(JobError::NoSsh("it has no standard input and output".to_owned()));
        };
        let words = Words::collect(errors);
        let watchdog = Watchdog::of(&ssh);
        let output = BufReader::new(output);
        let mut greeting = Greeting { host, ssh, input, output, words, watchdog, nonce };
        let hello = greeting.hello(&agents, sink)?;
        let Greeting { ssh, input, output, words, watchdog, .. } = greeting;
        watchdog.expect(None);
        let build = agents.name(&hello.binary);
        Ok(Self { host: host.clone(), hello, shared: None, build, ssh, input, output, words, watchdog })
    }

    /// Asks; answers with what the host said and the bytes that came with it.
    pub(super) fn ask<T: DeserializeOwned>(
        &mut self,
        ask: &Ask,
        body: &[u8],
    ) -> Result<(T, Vec<u8>), JobError> {
        // Objects take as long as the line and the disks do; these are answered at once.
        let quick = matches!(ask, Ask::News { .. } | Ask::Cancel { .. } | Ask::Spec { .. } | Ask::Jobs);
        self.watchdog.expect(quick.then_some(SILENCE));
        let asked =
            frame::write(&mut self.input, ask, body).and_then(|()| frame::read::<Reply>(&mut self.output));
        self.watchdog.expect(None);
        match asked {
            Ok(Some((Reply::Ok(value), body))) => match serde_json::from_value(value) {
                Ok(value) => Ok((value, body)),
                Err(error) => Err(self.foreign(&error.to_string())),
            },
            Ok(Some((Reply::Failed { code, message, hint }, _))) => {
                Err(JobError::OnHost { host: self.host.name.clone(), code, message, hint })
            }
            Ok(None) => Err(self.lost("it ended")),
            Err(error) => Err(self.lost(&error.to_string())),
        }
    }

    fn foreign(&self, detail: &str) -> JobError {
        JobError::Agent {
            host: self.host.name.clone(),
            detail: format!("its answer cannot be read: {detail}"),
        }
    }

    fn lost(&self, detail: &str) -> JobError {
        let said =
            if self.watchdog.bit() { Some(SILENT.to_owned()) } else { last_line(&self.words.so_far()) };
        JobError::LinkLost { host: self.host.name.clone(), detail: said.unwrap_or_else(|| detail.to_owned()) }
    }

    /// Bytes of what `roots` rest on and the host does not have.
    pub(super) fn lacks(&mut self, store: &Local, roots: &[Digest]) -> Result<u64, JobError> {
        let lacking = self.lacking(store.rested_on(roots)?)?;
        Ok(lacking.iter().map(|(_, bytes)| bytes).sum())
    }

    /// Sends what `roots` rest on and the host does not have; answers how many bytes went.
    pub fn send(&mut self, store: &Local, roots: &[Digest], sink: &dyn Sink) -> Result<u64, JobError> {
        let objects = store.rested_on(roots)?;
        let mut wanted = self.lacking(objects)?;
        if self.reads(store, &wanted, sink)? {
            wanted = self.lacking(wanted)?;
        }
        let total: u64 = wanted.iter().map(|(_, bytes)| bytes).sum();
        let parcels = parcels(&wanted);
        let mut sent = 0;
        for (at, ids) in parcels.iter().enumerate() {
            let parcel = store.parcel(ids)?;
            let last = at + 1 == parcels.len();
            let ((), _) = self.ask(&Ask::Keep { last }, &parcel)?;
            sent += parcel.len() as u64;
            sink.progress(&format!("sending to {}", self.host.name), sent, Some(total), Unit::Bytes);
        }
        Ok(sent)
    }

    /// Those of the objects that are not there.
    fn lacking(&mut self, objects: Vec<(Digest, u64)>) -> Result<Vec<(Digest, u64)>, JobError> {
        let ids: Vec<Digest> = objects.iter().map(|(id, _)| *id).collect();
        let mut lacking = HashSet::new();
        for ids in ids.chunks(IDS) {
            let ((), body) = self.ask(&Ask::Lacking, &frame::put_ids(ids))?;
            lacking.extend(frame::ids(&body).ok_or_else(|| self.foreign("no ids"))?);
        }
        Ok(objects.into_iter().filter(|(id, _)| lacking.contains(id)).collect())
    }

    /// Lets the host read what it lacks from the shared store, if that is worth its while; whether it read anything. Where it
    /// cannot, it gets everything from here.
    fn reads(&mut self, store: &Local, wanted: &[(Digest, u64)], sink: &dyn Sink) -> Result<bool, JobError> {
        let total: u64 = wanted.iter().map(|(_, bytes)| bytes).sum();
        let Some(shared) = self.shared.clone() else { return Ok(false) };
        if total < WORTH || self.host.spec.lend == Some(false) {
            return Ok(false);
        }
        let name = self.host.name.clone();
        let ids: Vec<Digest> = wanted.iter().map(|(id, _)| *id).collect();
        // Time for a slow line, and an hour.
        let valid = Duration::from_secs(3_600 + total / SLOW);
        let lent = match lend(store, &shared, &ids, valid) {
            Ok(lent) if lent.is_empty() => return Ok(false),
            Ok(lent) => lent,
            Err(error) => {
                sink.log(Level::Info, &format!("{error}; {name} gets everything from here"));
                return Ok(false);
            }
        };
        let mut bytes = 0;
        for lent in lent.chunks(LENT) {
            sink.progress(&format!("{name} reads from {}", shared.name), bytes, Some(total), Unit::Bytes);
            let (borrowed, _) = self.ask::<Borrowed>(&Ask::Borrow { lent: lent.to_vec() }, &[])?;
            bytes += borrowed.bytes;
            if let Some(failure) = borrowed.failure {
                let text =
                    format!("{name} cannot read the store `{}` itself ({failure}): it is sent", shared.name);
                sink.log(Level::Info, &text);
                break;
            }
        }
        sink.progress(&format!("{name} reads from {}", shared.name), total, Some(total), Unit::Bytes);
        if bytes > 0 {
            sink.log(
                Level::Info,
                &format!("{name} read {} from the store `{}` itself", Bytes(bytes >> 20 << 20), shared.name),
            );
        }
        Ok(bytes > 0)
    }

    /// Gets what `roots` rest on there and `store` does not have; answers how many bytes came.
    pub fn get(&mut self, store: &Local, roots: &[Digest], sink: &dyn Sink) -> Result<u64, JobError> {
        let ((), body) = self.ask(&Ask::RestedOn { roots: roots.to_vec() }, &[])?;
        let (entries, rest) = body.as_chunks::<40>();
        if !rest.is_empty() {
            return Err(self.foreign("no ids"));
        }
        let mut wanted = Vec::new();
        for entry in entries {
            let (mut id, mut size) = ([0; 32], [0; 8]);
            id.copy_from_slice(&entry[..32]);
            size.copy_from_slice(&entry[32..]);
            wanted.push((Digest::from_bytes(id), u64::from_le_bytes(size)));
        }
        let lacking: HashSet<Digest> = store.lacking(wanted.iter().map(|(id, _)| *id))?.into_iter().collect();
        wanted.retain(|(id, _)| lacking.contains(id));
        if wanted.is_empty() {
            return Ok(0);
        }
        let total: u64 = wanted.iter().map(|(_, bytes)| bytes).sum();
        let (mut writer, mut got) = (store.writer()?, 0);
        for ids in parcels(&wanted) {
            let ((), parcel) = self.ask(&Ask::Send, &frame::put_ids(&ids))?;
            writer.take(&parcel)?;
            got += parcel.len() as u64;
            sink.progress(&format!("getting from {}", self.host.name), got, Some(total), Unit::Bytes);
        }
        writer.finish()?;
        Ok(got)
    }
}

/// Ids in groups of about [`PARCEL`] bytes.
fn parcels(objects: &[(Digest, u64)]) -> Vec<Vec<Digest>> {
    let mut parcels: Vec<Vec<Digest>> = Vec::new();
    let mut size = PARCEL;
    for (id, bytes) in objects {
        if size >= PARCEL {
            parcels.push(Vec::new());
            size = 0;
        }
        size += bytes;
        if let Some(parcel) = parcels.last_mut() {
            parcel.push(*id);
        }
    }
    parcels
}

/// A connection that has not said who it is.
struct Greeting<'a> {
    host: &'a Host,
    ssh: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    words: Words,
    watchdog: Watchdog,
    nonce: String,
}

impl Greeting<'_> {
    fn hello(&mut self, agents: &Agents, sink: &dyn Sink) -> Result<Hello, JobError> {
        let asked = io::IsTerminal::is_terminal(&io::stderr());
        self.watchdog.expect(Some(if asked { PEOPLE } else { SILENCE }));
        let mut tried: Vec<&Build> = Vec::new();
        while let Some((kind, wanted)) = self.first_words()? {
            let said = tried.last().and_then(|_| self.said());
            let build = wanted.and_then(|wanted| agents.asked_for(&wanted));
            let Some(build) = build.filter(|build| !tried.contains(build)) else {
                return Err(self.wrong(&agents.none_runs(&kind, said)));
            };
            if let Some(tried) = tried.last() {
                let said = said.map_or_else(String::new, |said| format!(": {said}"));
                sink.log(Level::Info, &format!("{} does not start on {}{said}", tried.name, self.host.name));
            }
            self.watchdog.expect(None);
            self.bring(build, sink)?;
            self.watchdog.expect(Some(SILENCE));
            tried.push(build);
        }
        match frame::read::<Hello>(&mut self.output) {
            Ok(Some((hello, _))) if hello.protocol == PROTOCOL => Ok(hello),
            Ok(Some((hello, _))) => Err(self.wrong(&format!(
                "it is of version {}, this is {}",
                hello.version,
                env!("CARGO_PKG_VERSION")
            ))),
            Ok(None) => Err(self.silent()),
            Err(error) => Err(self.wrong(&error.to_string())),
        }
    }

    /// Passes over what a login shell says. None if an agent speaks; else what the machine is, and the build it wants if there is one
    /// for it.
    fn first_words(&mut self) -> Result<Option<(String, Option<String>)>, JobError> {
        let mut heard = 0;
        loop {
            let mut line = Vec::new();
            let read = (&mut self.output).take(NOISE).read_until(b'\n', &mut line);
            heard += match read {
                Ok(0) | Err(_) => return Err(self.silent()),
                Ok(read) => read as u64,
            };
            // Words that a login shell left without an end stand before it.
            let line = String::from_utf8_lossy(&line);
            let begin = [MAGIC, ABSENT].iter().find_map(|word| line.rfind(word)).unwrap_or(0);
            let mut words = line[begin..].split_whitespace();
            match (words.next(), words.next()) {
                (Some(MAGIC), Some(nonce)) if nonce == self.nonce => return Ok(None),
                (Some(ABSENT), Some(nonce)) if nonce == self.nonce => {
                    let kind = words.next().unwrap_or_default().to_owned();
                    return Ok(Some((kind, words.next().map(str::to_owned))));
                }
                _ if heard > NOISE => return Err(self.wrong("its login shell does not stop talking")),
                _ => {}
            }
        }
    }

    /// Sends the agent.
    fn bring(&mut self, build: &Build, sink: &dyn Sink) -> Result<(), JobError> {
        sink.log(Level::Info, &format!("bringing mlp to {} ({})", self.host.name, build.name));
        let packed = build.packed()?;
        let total = packed.len() as u64;
        let sent = writeln!(self.input, "{total} {}", build.digest).and_then(|()| {
            for (at, piece) in packed.chunks(1 << 18).enumerate() {
                self.input.write_all(piece)?;
                let done = (at as u64 * (1 << 18) + piece.len() as u64).min(total);
                sink.progress(&format!("bringing mlp to {}", self.host.name), done, Some(total), Unit::Bytes);
            }
            self.input.flush()
        });
        sent.map_err(|_| self.silent())
    }

    /// The last that was written to standard error.
    fn said(&self) -> Option<String> {
        // It may still be on its way.
        std::thread::sleep(Duration::from_millis(50));
        last_line(&self.words.so_far())
    }

    fn wrong(&self, detail: &str) -> JobError {
        JobError::Agent { host: self.host.name.clone(), detail: detail.to_owned() }
    }

    /// Why the connection ended before anybody spoke.
    fn silent(&mut self) -> JobError {
        // What it said may still be on its way.
        let _ = self.ssh.wait();
        std::thread::sleep(Duration::from_millis(50));
        if self.watchdog.bit() {
            return self.wrong(SILENT);
        }
        refused(
            &self.host.name,
            self.host.spec.ssh.as_deref().unwrap_or(&self.host.name),
            &self.words.so_far(),
        )
    }
}

/// What `ssh` meant by what it wrote.
fn refused(host: &str, destination: &str, words: &str) -> JobError {
    let said = last_line(words).unwrap_or_else(|| "ssh ended without a word".to_owned());
    let (host, destination) = (host.to_owned(), destination.to_owned());
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    let lines: Vec<&str> = words.lines().collect();
    if let Some(at) = lines.iter().position(|line| line.starts_with(CANNOT)) {
        // What the system, or mlp there, said stands before it.
        let why = last_line(&lines[..at].join("\n")).map_or_else(String::new, |why| format!(": {why}"));
        return JobError::Agent { host, detail: format!("it cannot{}{why}", &lines[at][CANNOT.len()..]) };
    }
    if has(&["/mlp: not found", "/mlp: cannot execute", "/mlp: Exec format error", "/mlp: Permission denied"])
    {
        return JobError::Agent { host, detail: said };
    }
    if has(&["HOST IDENTIFICATION HAS CHANGED", "Host key verification failed", "host key for"]) {
        let changed = words.contains("HOST IDENTIFICATION HAS CHANGED");
        return JobError::HostKey { host, destination, changed };
    }
    if has(&["Permission denied", "Too many authentication failures"]) {
        return JobError::Login { host, destination, said };
    }
    JobError::Unreachable { host, destination, said }
}

fn last_line(words: &str) -> Option<String> {
    let line = words.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().filter(|letter| !letter.is_control()).take(300).collect())
}
