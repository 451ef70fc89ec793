//! Hosts that ssh reaches: an sshd on loopback, and as many folders of mlp behind it as there are hosts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mlp::base::Digest;

use super::project::Project;
use super::servers::{Server, ssh_config};
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

    /// Ends sshd, and what it had started for connections to a host: its jobs go on, and nobody gets there any more.
    pub(crate) fn cut_off(&mut self, host: &str) {
        self.server.stop();
        let agents = format!("{}/bin.* agent serve", self.root(host).display());
        Command::new("pkill").args(["-f", &agents]).status().expect("pkill starts");
    }

    /// The mlp folder of a host.
    pub(crate) fn root(&self, host: &str) -> PathBuf {
        self.server.folder.path().join("hosts").join(host)
    }

    /// Lets a project reach `hosts`, whose agents are there already.
    pub(crate) fn of(&self, project: &Project, hosts: &[&str]) {
        self.config(project.path(), hosts);
        for host in hosts {
            if !self.root(host).join("bin").exists() {
                prepare(&self.root(host));
            }
        }
    }

    /// The configuration of ssh and of mlp in the home folder `home`.
    pub(crate) fn config(&self, home: &Path, hosts: &[&str]) {
        let text = ssh_config("loopback", self.server.folder.path(), "127.0.0.1", self.server.port);
        fs::write(home.join(".ssh-config"), text).expect("writes");
        self.config_with(home, hosts, "");
    }

    /// The hosts of the home folder `home`, with more settings of each.
    pub(crate) fn config_with(&self, home: &Path, hosts: &[&str], more: &str) {
        let line = |host: &&str| {
            format!("{host}: {{ssh: loopback, root: \"{}\"{more}}}\n", self.root(host).display())
        };
        set_hosts(home, &hosts.iter().map(line).collect::<String>());
    }

    /// The newest job folder of a host.
    pub(crate) fn job(&self, host: &str) -> PathBuf {
        newest_job(&self.root(host))
    }
}

/// Puts the program under test where it would be brought on the first use.
pub(crate) fn prepare(root: &Path) {
    let program = Path::new(env!("CARGO_BIN_EXE_mlp"));
    let digest = Digest::of(&fs::read(program).expect("reads mlp")).hex();
    let folder = root.join("bin").join(&digest[..16]);
    fs::create_dir_all(&folder).expect("makes a folder");
    fs::set_permissions(root, fs::Permissions::from_mode(0o700)).expect("is ours");
    // A link would do, were it not for file systems that the build folder is not on.
    fs::hard_link(program, folder.join("mlp"))
        .or_else(|_| fs::copy(program, folder.join("mlp")).map(drop))
        .expect("puts mlp there");
}

/// The newest job below the folder of mlp on a host.
pub(crate) fn newest_job(root: &Path) -> PathBuf {
    super::project::wait_for("a job on the host", || {
        let mut jobs: Vec<PathBuf> = fs::read_dir(root.join("jobs"))
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

/// Writes the hosts of the home folder `home`.
pub(crate) fn set_hosts(home: &Path, text: &str) {
    let folder = home.join(".xdg-config/mlp");
    fs::create_dir_all(&folder).expect("makes a folder");
    let file = folder.join("hosts.yaml");
    fs::write(&file, text).expect("writes");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("is ours");
}
