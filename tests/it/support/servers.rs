//! Real servers on loopback, each for one test: WebDAV and plain HTTP (nginx), SFTP (OpenSSH), Azure Blob Storage (Azurite), and an
//! S3 server that lies about conditions (s3rver).

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::project::wait_for;

/// A server that ends with this value, or with the process, however that ends.
pub(crate) struct Server {
    /// Where it listens on 127.0.0.1.
    pub(crate) port: u16,
    /// Its files.
    pub(crate) folder: TempDir,
    /// What starts it.
    command: Vec<String>,
    /// A shell that kills the server when its standard input is closed.
    shell: Child,
}

impl Server {
    /// Starts what `command` gives for a folder and a port, and waits until it answers.
    fn start(command: impl FnOnce(&Path, u16) -> Vec<String>) -> Self {
        let folder =
            tempfile::Builder::new().prefix("mlp-server-").tempdir_in("/tmp").expect("makes a folder");
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let command = command(folder.path(), port);
        let shell = shell(&folder.path().join("log"), &command);
        let server = Self { port, folder, command, shell };
        server.wait();
        server
    }

    fn wait(&self) {
        wait_for(&format!("a server (its log: {})", self.folder.path().join("log").display()), || {
            let address = std::net::SocketAddr::from(([127, 0, 0, 1], self.port));
            TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()
        });
    }

    /// Stops it: nobody listens any more.
    pub(crate) fn stop(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().expect("ends");
    }

    /// Starts it again at the same port.
    pub(crate) fn start_again(&mut self) {
        self.shell = shell(&self.folder.path().join("log"), &self.command);
        self.wait();
    }

    /// nginx with WebDAV at `/dav/` and the same folder shown as pages at `/web/`.
    pub(crate) fn nginx() -> Self {
        Self::start(|dir, port| {
            for name in ["data/dav", "tmp"] {
                fs::create_dir_all(dir.join(name)).expect("makes a folder");
            }
            let (dir, user) =
                (dir.display(), if rustix::process::getuid().is_root() { "user root;" } else { "" });
            let text = format!(
                "daemon off; pid {dir}/pid; worker_processes 1; {user}\n\
                 load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;\n\
                 events {{ worker_connections 512; }}\n\
                 http {{ client_body_temp_path {dir}/tmp; access_log off; client_max_body_size 9m;\n\
                 server {{ listen 127.0.0.1:{port};\n\
                 location /dav/ {{ root {dir}/data; create_full_put_path on; dav_access user:rw;\n\
                 dav_methods PUT DELETE MKCOL COPY MOVE; dav_ext_methods PROPFIND OPTIONS; }}\n\
                 location /web/ {{ alias {dir}/data/dav/; autoindex on; }} }} }}\n"
            );
            fs::write(format!("{dir}/nginx.conf"), text).expect("writes");
            ["nginx", "-e", &format!("{dir}/error.log"), "-c", &format!("{dir}/nginx.conf")]
                .map(str::to_owned)
                .to_vec()
        })
    }

    /// OpenSSH's sshd with SFTP; `key`, `known_hosts` and the served folder `root` lie in its folder.
    pub(crate) fn sshd() -> Self {
        Self::sshd_with("")
    }

    /// The same with more lines of its configuration.
    pub(crate) fn sshd_with(lines: &str) -> Self {
        Self::start(|dir, port| sshd(dir, "127.0.0.1", port, lines))
    }

    /// Azurite, Microsoft's emulator of Azure Blob Storage.
    pub(crate) fn azurite() -> Self {
        Self::start(|dir, port| {
            let (port, dir) = (port.to_string(), dir.display().to_string());
            let program = package("azurite/dist/src/blob/main.js");
            [
                "node",
                &program,
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                &port,
                "--location",
                &dir,
                "--silent",
                "--skipApiVersionCheck",
                "--disableTelemetry",
            ]
            .map(str::to_owned)
            .to_vec()
        })
    }

    /// s3rver: an S3 server that ignores `If-None-Match`.
    pub(crate) fn s3rver() -> Self {
        Self::start(|dir, port| {
            let (port, dir) = (port.to_string(), dir.join("data").display().to_string());
            let program = package("s3rver/bin/s3rver.js");
            [
                "node",
                // It encrypts the tokens of further pages with a cipher that OpenSSL 3 calls old.
                "--openssl-legacy-provider",
                &program,
                "-d",
                &dir,
                "-a",
                "127.0.0.1",
                "-p",
                &port,
                "--configure-bucket",
                "test",
                "--silent",
            ]
            .map(str::to_owned)
            .to_vec()
        })
    }
}

/// The keys and the configuration of an sshd in the folder `dir`; answers its command line.
pub(crate) fn sshd(dir: &Path, address: &str, port: u16, lines: &str) -> Vec<String> {
    for key in ["host", "key"] {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(dir.join(key))
            .status();
        assert!(made.expect("ssh-keygen starts").success());
    }
    let read = |name: &str| fs::read_to_string(dir.join(name)).expect("reads");
    fs::create_dir(dir.join("root")).expect("makes a folder");
    fs::write(dir.join("authorized_keys"), read("key.pub")).expect("writes");
    fs::write(dir.join("known_hosts"), format!("[{address}]:{port} {}", read("host.pub"))).expect("writes");
    if rustix::process::getuid().is_root() {
        fs::create_dir_all("/run/sshd").expect("makes sshd's own folder");
    }
    let text = format!(
        "Port {port}\nListenAddress {address}\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized_keys\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
         StrictModes no\nUsePAM no\nMaxStartups 200\nMaxSessions 200\nPidFile none\nSubsystem sftp internal-sftp\n{lines}",
        dir.display()
    );
    fs::write(dir.join("sshd_config"), text).expect("writes");
    let config = dir.join("sshd_config").display().to_string();
    vec!["/usr/sbin/sshd".into(), "-D".into(), "-e".into(), "-f".into(), config]
}

/// How ssh gets to the sshd in the folder `dir`, as a paragraph of its configuration.
pub(crate) fn ssh_config(name: &str, dir: &Path, address: &str, port: u16) -> String {
    let (dir, user) = (dir.display(), Command::new("id").arg("-un").output().expect("id starts").stdout);
    format!(
        "Host {name}\n HostName {address}\n Port {port}\n User {}\n IdentityFile {dir}/key\n IdentitiesOnly yes\n \
         IdentityAgent none\n UserKnownHostsFile {dir}/known_hosts\n GlobalKnownHostsFile /dev/null\n",
        String::from_utf8_lossy(&user).trim()
    )
}

/// Starts a server that gets TERM when the standard input of the answer is closed.
pub(crate) fn shell(log: &Path, command: &[String]) -> Child {
    shell_ending(log, command, "TERM")
}

/// The same with another signal.
pub(crate) fn shell_ending(log: &Path, command: &[String], signal: &str) -> Child {
    let log = fs::File::options().append(true).create(true).open(log).expect("makes a log");
    Command::new("sh")
        .arg("-c")
        .arg(format!("exec 3<&0; \"$@\" </dev/null & trap 'kill -{signal} $!' EXIT; read -r _ <&3"))
        .arg("sh")
        .args(command)
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("shares the log"))
        .stderr(log)
        .spawn()
        .expect("sh starts")
}

/// A program of a package that `tests/setup.sh` installs.
fn package(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/servers/node_modules").join(path);
    assert!(path.exists(), "`{}` is not there: tests/setup.sh installs it", path.display());
    path.display().to_string()
}
