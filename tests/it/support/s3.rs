//! An S3 server (Ceph's gateway, `radosgw.sh`), started once for all tests and ended with the test binary; and a proxy
//! that counts requests and loses answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use mlp::infrastructure::store::{Remote, StoreSpec};

/// What the server knows its one user by.
pub(crate) const CREDENTIALS: [(&str, &str); 2] =
    [("MLP_STORE_S3_ACCESS_KEY_ID", "mlpkey"), ("MLP_STORE_S3_SECRET_ACCESS_KEY", "mlpsecret")];

struct Server {
    address: SocketAddr,
    /// The script ends itself when its standard input is closed: when this process ends, however it does.
    _script: Child,
}

/// The address of the server; the first caller starts it.
pub(crate) fn address() -> SocketAddr {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(start).address
}

fn start() -> Server {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/radosgw.sh");
    // Both are held until both are known, so that they differ.
    let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("binds"));
    let ports = ports.map(|port| port.local_addr().expect("an address").port());
    let mut child = Command::new("bash")
        .arg(script)
        .args(ports.map(|port| port.to_string()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("is piped")).read_line(&mut line).expect("reads");
    assert_eq!(line, "ready\n", "no S3 server; tests/setup.sh installs what it needs, its errors are above");
    Server { address: SocketAddr::from(([127, 0, 0, 1], ports[0])), _script: child }
}

/// A prefix of its own in the bucket.
pub(crate) fn url() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("s3://test/t{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The store at `url` of the server (or proxy) at `address`.
pub(crate) fn open(url: &str, address: SocketAddr) -> Remote {
    open_with(url, address, &|key| {
        CREDENTIALS.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
    })
}

/// As [`open`], with other credentials.
pub(crate) fn open_with(
    url: &str,
    address: SocketAddr,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Remote {
    let spec = StoreSpec {
        url: url.to_owned(),
        endpoint: Some(format!("http://{address}")),
        region: Some("us-east-1".to_owned()),
        ..StoreSpec::new("")
    };
    Remote::open_with(&"s3".parse().expect("a name"), &spec, environment).expect("opens")
}

/// What a proxy does with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives.
    Pass,
    /// The request takes effect, the connection ends without an answer.
    Lost,
    /// The request takes effect, the answer says 500.
    Failed,
    /// One bit of the request's body is another when it arrives.
    Flipped,
}

/// Passes requests on to the server, one a connection.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// A proxy; `fate` gets the method and path of each request.
    pub(crate) fn start(fate: impl Fn(&str, &str) -> Fate + Send + Sync + 'static) -> Self {
        let server = address();
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (fate, log) = (Arc::new(fate), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (fate, log) = (Arc::clone(&fate), Arc::clone(&log));
                std::thread::spawn(move || drop(pass(stream, server, &*fate, &log)));
            }
        });
        Self { address, seen }
    }

    /// Requests so far as `METHOD path`, and forgets them.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().expect("no panic"))
    }
}

fn pass(
    mut client: TcpStream,
    server: SocketAddr,
    fate: &dyn Fn(&str, &str) -> Fate,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let Some((head, body)) = super::http_server::read_request(&mut client)? else { return Ok(()) };
    let line = head.lines().next().unwrap_or_default().to_owned();
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    log.lock().expect("no panic").push(format!("{method} {path}"));
    let (mut body, what) = (body, fate(method, path));
    if what == Fate::Flipped && !body.is_empty() {
        let middle = body.len() / 2;
        body[middle] ^= 1;
    }
    let mut upstream = TcpStream::connect(server)?;
    upstream.write_all(format!("{}\r\nconnection: close\r\n\r\n", head.trim_end()).as_bytes())?;
    upstream.write_all(&body)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    match what {
        Fate::Pass | Fate::Flipped => client.write_all(&answer),
        Fate::Lost => Ok(()),
        Fate::Failed => client.write_all(
            b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        ),
    }
}
