//! A store on a host that ssh reaches: the SFTP protocol over the system's `ssh`, which knows the user's hosts, keys and agent.
//!
//! Own code instead of opendal's service, for that one starts a master connection that outlives a killed command, writes in place and
//! cannot create exactly once. Here an object is written under a temporary name, synced where the server can, and gets its name by a
//! hard link: exactly one of several writers gets it, and whoever sees it sees all of it.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use openssh_sftp_client::error::SftpErrorKind;
use openssh_sftp_client::{Error, Sftp as Client, SftpOptions};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::base::Id;

/// How long the host may be silent.
const IDLE: Duration = Duration::from_secs(30);
/// Further attempts to connect.
const ATTEMPTS: u32 = 2;
/// Bytes of one request, at most: what every server takes.
const PIECE: u32 = 32 << 10;
/// Requests under way at once for one object.
const WINDOW: usize = 32;

/// What went wrong, and whether it was the connection.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) text: String,
    pub(super) refused: bool,
    pub(super) missing: bool,
    broken: bool,
}

/// A folder on a host.
pub(super) struct Sftp {
    arguments: Vec<String>,
    root: String,
    session: Mutex<Option<Arc<Session>>>,
    /// Folders that are known to be there.
    folders: Mutex<HashSet<String>>,
}

/// A connection. The kernel closes its pipe when this process ends, however it does, and ssh ends with it.
struct Session {
    client: Client,
    _ssh: Child,
}

impl Sftp {
    /// A folder below `root` on `destination`, as ssh knows it. Nothing is sent.
    pub(super) fn new(
        destination: &str,
        port: Option<u16>,
        root: &str,
        key_file: Option<String>,
        known_hosts: Option<String>,
    ) -> Self {
        let mut arguments: Vec<String> = [
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "ForwardAgent=no",
            "ForwardX11=no",
            "ClearAllForwardings=yes",
            "PermitLocalCommand=no",
            "RemoteCommand=none",
            "ControlMaster=no",
            "ControlPath=none",
            "ConnectTimeout=15",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=2",
        ]
        .iter()
        .flat_map(|option| ["-o".to_owned(), (*option).to_owned()])
        .collect();
        if let Some(port) = port {
            arguments.extend(["-p".to_owned(), port.to_string()]);
        }
        if let Some(key) = key_file {
            arguments.extend(["-o".to_owned(), "IdentitiesOnly=yes".to_owned(), "-i".to_owned(), key]);
        }
        if let Some(hosts) = known_hosts {
            // These alone: a host that only the system knows is not known here.
            let files =
                [format!("UserKnownHostsFile=\"{hosts}\""), "GlobalKnownHostsFile=/dev/null".to_owned()];
            arguments.extend(files.into_iter().flat_map(|option| ["-o".to_owned(), option]));
        }
        arguments.extend(["-s".to_owned(), "--".to_owned(), destination.to_owned(), "sftp".to_owned()]);
        let root = root.trim_end_matches('/').to_owned();
        Self { arguments, root, session: Mutex::default(), folders: Mutex::default() }
    }

    /// The bytes of `key`, if there is such an object; at most `limit` and one piece more.
    pub(super) async fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        match self.again(|session| self.read(session, key, 0..limit.saturating_add(1))).await {
            Err(failure) if failure.missing => Ok(None),
            read => read.map(Some),
        }
    }

    /// Some bytes of `key`; fewer if the object ends before.
    pub(super) async fn range(&self, key: &str, range: Range<u64>) -> Result<Vec<u8>, Failure> {
        self.again(|session| self.read(session, key, range.clone())).await
    }

    /// Creates `key` if it is not there; whether it was created. Not tried again.
    pub(super) async fn create(&self, key: &str, bytes: &[u8]) -> Result<bool, Failure> {
        let session = self.session().await?;
        let created = self.write(session, key, bytes).await;
        self.settle(&created).await;
        created
    }

    /// Writes `key`, whose content follows from its name.
    pub(super) async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.again(|session| self.write(session, key, bytes)).await.map(drop)
    }

    /// Names directly below `prefix` (which ends with `/`); folders end with `/`.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        match self.again(|session| self.entries(session, prefix)).await {
            Err(failure) if failure.missing => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// Removes `key`; one that is not there is not an error.
    pub(super) async fn remove(&self, key: &str) -> Result<(), Failure> {
        let path = self.path(key);
        match self
            .again(|session| {
                let path = path.clone();
                async move { quick(session.client.fs().remove_file(path)).await }
            })
            .await
        {
            Err(failure) if failure.missing => Ok(()),
            removed => removed,
        }
    }

    /// When `key` was written, in milliseconds since 1970 by the host's clock; none if it is not there.
    pub(super) async fn modified(&self, key: &str) -> Result<Option<i64>, Failure> {
        let path = self.path(key);
        let found = self.again(|session| {
            let path = path.clone();
            async move { quick(session.client.fs().metadata(path)).await }
        });
        match found.await {
            Err(failure) if failure.missing => Ok(None),
            found => {
                let time = found?.modified().map(|time| time.as_system_time());
                let since = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
                Ok(Some(since.map_or(0, |since| since.as_millis() as i64)))
            }
        }
    }

    /// Runs what may be run twice; once more if the connection broke.
    async fn again<T, F>(&self, run: impl Fn(Arc<Session>) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let first = run(self.session().await?).await;
        self.settle(&first).await;
        match first {
            Err(failure) if failure.broken => {
                let second = run(self.session().await?).await;
                self.settle(&second).await;
                second
            }
            done => done,
        }
    }

    /// Gives a broken connection up.
    async fn settle<T>(&self, result: &Result<T, Failure>) {
        if result.as_ref().is_err_and(|failure| failure.broken) {
            self.session.lock().await.take();
        }
    }

    async fn session(&self) -> Result<Arc<Session>, Failure> {
        let mut slot = self.session.lock().await;
        if let Some(session) = &*slot {
            return Ok(Arc::clone(session));
        }
        let mut connected = connect(&self.arguments).await;
        // A host with many connections turns some away.
        for attempt in 0..ATTEMPTS {
            if connected.as_ref().is_ok() || connected.as_ref().is_err_and(|failure| failure.refused) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
            connected = connect(&self.arguments).await;
        }
        let session = Arc::new(connected?);
        *slot = Some(Arc::clone(&session));
        Ok(session)
    }

    fn path(&self, key: &str) -> String {
        format!("{}/{key}", self.root)
    }

    async fn read(&self, session: Arc<Session>, key: &str, range: Range<u64>) -> Result<Vec<u8>, Failure> {
        let file = quick(session.client.open(self.path(key))).await?;
        let length = {
            let mut file = file.clone();
            quick(file.metadata()).await?.len().unwrap_or(0)
        };
        let end = range.end.min(length);
        let mut bytes = Vec::with_capacity(end.saturating_sub(range.start) as usize);
        let mut start = range.start;
        while start < end {
            // A window of requests at once: the answer to one takes as long as the way there and back.
            let pieces =
                (0..WINDOW as u64).map(|at| start + at * u64::from(PIECE)).take_while(|at| *at < end);
            let reads = pieces.map(|at| piece(file.clone(), at, (end - at).min(u64::from(PIECE)) as u32));
            for read in futures::future::join_all(reads).await {
                bytes.extend_from_slice(&read?);
            }
            start = (start + (WINDOW as u64) * u64::from(PIECE)).min(end);
        }
        quick(file.close()).await?;
        Ok(bytes)
    }

    async fn write(&self, session: Arc<Session>, key: &str, bytes: &[u8]) -> Result<bool, Failure> {
        let temporary = format!("tmp/{}", Id::new());
        self.folder_of(&session, &temporary).await?;
        self.folder_of(&session, key).await?;
        let (from, to) = (self.path(&temporary), self.path(key));
        let client = &session.client;
        let mut file = quick(client.options().write(true).create_new(true).open(&from)).await?;
        let mut written = Ok(());
        for piece in bytes.chunks(1 << 20) {
            written = quick(file.write_all(piece)).await;
            if written.is_err() {
                break;
            }
        }
        if written.is_ok() && client.support_fsync() {
            written = quick(file.sync_all()).await;
        }
        let closed = quick(file.close()).await;
        let linked = match written.and(closed) {
            Err(failure) => Err(failure),
            Ok(()) if client.support_hardlink() => quick(client.fs().hard_link(&from, &to)).await,
            Ok(()) => Err(Failure::of("the server has no hard links (hardlink@openssh.com)")),
        };
        let created = match linked {
            Ok(()) => Ok(true),
            // The protocol has no word for "it is there".
            Err(failure) if !failure.broken && quick(client.fs().metadata(&to)).await.is_ok() => {
                drop(failure);
                Ok(false)
            }
            Err(failure) => Err(failure),
        };
        if !created.as_ref().is_err_and(|failure| failure.broken) {
            let _ = quick(client.fs().remove_file(&from)).await;
        }
        created
    }

    async fn entries(&self, session: Arc<Session>, prefix: &str) -> Result<Vec<String>, Failure> {
        let dir = quick(session.client.fs().open_dir(self.path(prefix.trim_end_matches('/')))).await?;
        let mut entries = Box::pin(dir.read_dir());
        let mut names = Vec::new();
        while let Some(entry) =
            timeout(IDLE, futures::StreamExt::next(&mut entries)).await.map_err(|_| Failure::silent())?
        {
            let entry = entry.map_err(Failure::from)?;
            let Some(name) = entry.filename().to_str().filter(|name| !matches!(*name, "." | "..")) else {
                continue;
            };
            let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            names.push(if is_folder { format!("{name}/") } else { name.to_owned() });
        }
        Ok(names)
    }

    /// Makes the folder of `key` and those above it.
    async fn folder_of(&self, session: &Session, key: &str) -> Result<(), Failure> {
        let Some((folder, _)) = key.rsplit_once('/') else { return self.make(session, "").await };
        let mut path = String::new();
        self.make(session, "").await?;
        for name in folder.split('/') {
            path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            self.make(session, &path).await?;
        }
        Ok(())
    }

    async fn make(&self, session: &Session, folder: &str) -> Result<(), Failure> {
        if self.folders.lock().await.contains(folder) {
            return Ok(());
        }
        let path = if folder.is_empty() { self.root.clone() } else { self.path(folder) };
        let path = Path::new(&path);
        if !path.as_os_str().is_empty() && quick(session.client.fs().metadata(path)).await.is_err() {
            // Somebody else may be making it.
            let made = quick(session.client.fs().create_dir(path)).await;
            if let Err(failure) = made
                && quick(session.client.fs().metadata(path)).await.is_err()
            {
                return Err(failure);
            }
        }
        self.folders.lock().await.insert(folder.to_owned());
        Ok(())
    }
}

/// `length` bytes at `at`.
async fn piece(mut file: openssh_sftp_client::file::File, at: u64, length: u32) -> Result<BytesMut, Failure> {
    tokio::io::AsyncSeekExt::seek(&mut std::pin::pin!(&mut file), std::io::SeekFrom::Start(at))
        .await
        .map_err(|error| Failure::of(&error.to_string()))?;
    let mut bytes = BytesMut::with_capacity(length as usize);
    while let Some(left) = NonZeroU32::new(length - bytes.len() as u32) {
        match quick(file.read(left.get(), bytes.split_off(bytes.len()))).await? {
            Some(more) => bytes.unsplit(more),
            None => break,
        }
    }
    Ok(bytes)
}

/// Waits for an answer, but not for ever.
async fn quick<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    timeout(IDLE, answer).await.map_err(|_| Failure::silent())?.map_err(Failure::from)
}

async fn connect(arguments: &[String]) -> Result<Session, Failure> {
    let mut ssh = Command::new("ssh")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::of(&format!("cannot start `ssh`: {error}")))?;
    let (Some(stdin), Some(stdout), Some(mut stderr)) =
        (ssh.stdin.take(), ssh.stdout.take(), ssh.stderr.take())
    else {
        return Err(Failure::of("`ssh` has no pipes"));
    };
    let begun = timeout(IDLE, Client::new(stdin, stdout, SftpOptions::default())).await;
    match begun {
        Ok(Ok(client)) => {
            // What ssh says later must not block it.
            tokio::spawn(async move { tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await });
            Ok(Session { client, _ssh: ssh })
        }
        other => {
            let _ = ssh.start_kill();
            let mut said = String::new();
            let _ = timeout(Duration::from_secs(2), stderr.read_to_string(&mut said)).await;
            let shown = said.split_whitespace().find(|word| word.starts_with("SHA256:"));
            let shown = shown.map(|key| format!(" (the host shows {})", key.trim_end_matches('.')));
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            let said = last.trim().to_owned() + shown.as_deref().unwrap_or_default();
            let text = match (said.is_empty(), other) {
                (false, _) => format!("ssh: {said}"),
                (true, Ok(Err(error))) => format!("ssh ended: {error}"),
                (true, _) => "ssh did not connect in time".to_owned(),
            };
            let refused = text.contains("Permission denied") || text.contains("Host key verification failed");
            Err(Failure { text, refused, missing: false, broken: false })
        }
    }
}

impl Failure {
    fn of(text: &str) -> Self {
        Self { text: text.to_owned(), refused: false, missing: false, broken: false }
    }

    fn silent() -> Self {
        Self { broken: true, ..Self::of(&format!("the host was silent for {} seconds", IDLE.as_secs())) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::SftpError(kind, _) => Some(*kind),
            _ => None,
        };
        Self {
            text: error.to_string(),
            refused: matches!(kind, Some(SftpErrorKind::PermDenied)),
            missing: matches!(kind, Some(SftpErrorKind::NoSuchFile)),
            broken: kind.is_none(),
        }
    }
}
