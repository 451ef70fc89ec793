//! Hosts that ssh reaches: an sshd on loopback, and as many folders of mlp behind it as there are hosts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mlp::base::Digest;

use super::project::Project;
use super::servers::Server;
use super::slurm::Slurm;

/// Hosts `h1`, `h2`, … of one machine.
pub(crate) struct Hosts {
    pub(crate) server: Server,
}

impl Hosts {
    pub(crate) fn new() -> Self {
        Self { server: Server::sshd() }
    }

    /// The login node of a cluster.
    pub(crate) fn of_slurm(slurm: &Slurm) -> Self {
        let line = format!("SetEnv SLURM_CONF={}\n", slurm.conf().display());
        Self { server: Server::sshd_with(&line) }
    }

    /// The mlp folder of a host.
    pub(crate) fn root(&self, host: &str) -> PathBuf {
        self.server.folder.path().join("hosts").join(host)
    }

    /// Puts the program under test where it would be brought on the first use.
    pub(crate) fn prepare(&self, host: &str) {
        let program = Path::new(env!("CARGO_BIN_EXE_mlp"));
        let digest = Digest::of(&fs::read(program).expect("reads mlp")).hex();
        let folder = self.root(host).join("bin").join(&digest[..16]);
        fs::create_dir_all(&folder).expect("makes a folder");
        fs::set_permissions(self.root(host), fs::Permissions::from_mode(0o700)).expect("is ours");
        // A link would do, were it not for file systems that the build folder is not on.
        fs::hard_link(program, folder.join("mlp"))
            .or_else(|_| fs::copy(program, folder.join("mlp")).map(drop))
            .expect("puts mlp there");
    }

    /// Lets a project reach `hosts`, whose agents are there already.
    pub(crate) fn of(&self, project: &Project, hosts: &[&str]) {
        self.config(project.path(), hosts);
        for host in hosts {
            if !self.root(host).join("bin").exists() {
                self.prepare(host);
            }
        }
    }

    /// The configuration of ssh and of mlp in the home folder `home`.
    pub(crate) fn config(&self, home: &Path, hosts: &[&str]) {
        let (dir, port) = (self.server.folder.path().display(), self.server.port);
        let user = Command::new("id").arg("-un").output().expect("id starts").stdout;
        let user = String::from_utf8_lossy(&user);
        let text = format!(
            "Host loopback\n HostName 127.0.0.1\n Port {port}\n User {}\n IdentityFile {dir}/key\n IdentitiesOnly yes\n \
             IdentityAgent none\n UserKnownHostsFile {dir}/known_hosts\n GlobalKnownHostsFile /dev/null\n",
            user.trim()
        );
        fs::write(home.join(".ssh-config"), text).expect("writes");
        self.config_with(home, hosts, "");
    }

    /// The hosts of the home folder `home`, with more settings of each.
    pub(crate) fn config_with(&self, home: &Path, hosts: &[&str], more: &str) {
        let line = |host: &&str| {
            format!("{host}: {{ssh: loopback, root: \"{}\"{more}}}\n", self.root(host).display())
        };
        let folder = home.join(".xdg-config/mlp");
        fs::create_dir_all(&folder).expect("makes a folder");
        let file = folder.join("hosts.yaml");
        fs::write(&file, hosts.iter().map(line).collect::<String>()).expect("writes");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("is ours");
    }

    /// The newest job folder of a host.
    pub(crate) fn job(&self, host: &str) -> PathBuf {
        super::project::wait_for("a job on the host", || {
            let mut jobs: Vec<PathBuf> = fs::read_dir(self.root(host).join("jobs"))
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.join("spec.json").exists())
                .filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
                .collect();
            jobs.sort();
            jobs.pop()
        })
    }
}
