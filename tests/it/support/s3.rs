//! An S3 server (Ceph's gateway, `radosgw.sh`), started once for all tests and ended with the test binary.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

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
