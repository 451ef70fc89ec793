//! Machines that ssh reaches and whose cable can be pulled: each has a network, processes, a host name, a boot identifier and a home
//! folder of its own, and an sshd. That takes Linux' namespaces and a user who may make them. For any other user each machine is an sshd
//! on loopback whose sessions have a home folder of their own, and a cable is pulled by ending it: less is proven, and it is said.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use tempfile::TempDir;

use super::hosts::{newest_job, prepare, set_hosts};
use super::project::{Project, wait_for};
use super::servers::{Server, shell_ending, ssh_config, sshd};

/// The port of an sshd in a network of its own; ssh writes the keys of port 22 in another way.
const PORT: u16 = 2222;

/// Machines `h1`, `h2`, …; they are gone with this value.
pub(crate) struct Machines {
    machines: Vec<Machine>,
    folder: TempDir,
}

struct Machine {
    name: String,
    home: PathBuf,
    place: Place,
}

enum Place {
    Namespaces(Namespaces),
    Loopback(Server),
}

/// A machine in namespaces.
struct Namespaces {
    /// Where it is reached.
    address: String,
    /// A process that holds the network: cables stay where they are when a machine loses its power.
    network: i64,
    _holder: Child,
    /// Its sshd and what starts it; none while it is switched off.
    system: Option<Child>,
}

impl Machines {
    pub(crate) fn new(count: usize) -> Self {
        let folder =
            tempfile::Builder::new().prefix("mlp-machines-").tempdir_in("/tmp").expect("makes a folder");
        let make = |number: usize| Machine::new(folder.path(), &format!("h{number}"));
        let machines = (1..=count).map(make).collect();
        Self { machines, folder }
    }

    /// The home folder of a machine.
    pub(crate) fn home(&self, name: &str) -> &Path {
        &self.machine(name).home
    }

    /// The folder of mlp on a machine.
    pub(crate) fn root(&self, name: &str) -> PathBuf {
        self.home(name).join(".mlp")
    }

    /// The newest job folder of a machine.
    pub(crate) fn job(&self, name: &str) -> PathBuf {
        newest_job(&self.root(name))
    }

    /// Lets a project reach all of them; mlp is there already.
    pub(crate) fn of(&self, project: &Project) {
        let ssh: String = self.machines.iter().map(|machine| machine.ssh(self.folder.path())).collect();
        fs::write(project.path().join(".ssh-config"), ssh).expect("writes");
        set_hosts(
            project.path(),
            &self.machines.iter().map(|machine| format!("{}: {{}}\n", machine.name)).collect::<String>(),
        );
        for machine in &self.machines {
            if !self.root(&machine.name).join("bin").exists() {
                prepare(&self.root(&machine.name));
            }
        }
    }

    /// Pulls the cable: what is sent is lost, and nobody is told.
    pub(crate) fn unplug(&mut self, name: &str) {
        let machine = self.machine_mut(name);
        match &mut machine.place {
            Place::Namespaces(namespaces) => namespaces.cable("down"),
            Place::Loopback(server) => {
                server.stop();
                machine.kill("serve");
            }
        }
    }

    /// Puts it in again.
    pub(crate) fn plug(&mut self, name: &str) {
        match &mut self.machine_mut(name).place {
            Place::Namespaces(namespaces) => namespaces.cable("up"),
            Place::Loopback(server) => server.start_again(),
        }
    }

    /// Switches a machine off: every process of it is gone, and nobody answers. Its files stay.
    pub(crate) fn crash(&mut self, name: &str) {
        self.unplug(name);
        let machine = self.machine_mut(name);
        match &mut machine.place {
            Place::Namespaces(namespaces) => namespaces.power_off(),
            Place::Loopback(_) => machine.kill(""),
        }
    }

    /// Switches it on again.
    pub(crate) fn boot(&mut self, name: &str) {
        let dir = self.folder.path().join(name);
        if let Machine { home, place: Place::Namespaces(namespaces), .. } = self.machine_mut(name) {
            namespaces.power_on(name, &dir, home);
        }
        self.plug(name);
        if let Place::Namespaces(namespaces) = &self.machine(name).place {
            namespaces.wait(&dir);
        }
    }

    /// The command lines of the processes of a machine whose `file` in /proc (`cmdline`, `environ`) holds this.
    pub(crate) fn showing(&self, name: &str, file: &str, text: &str) -> Vec<String> {
        let read = |pid: i64, file: &str| {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let showing =
            self.machine(name).processes().into_iter().filter(|pid| read(*pid, file).contains(text));
        showing.map(|pid| read(pid, "cmdline")).collect()
    }

    fn machine(&self, name: &str) -> &Machine {
        self.machines.iter().find(|machine| machine.name == name).expect("a machine")
    }

    fn machine_mut(&mut self, name: &str) -> &mut Machine {
        self.machines.iter_mut().find(|machine| machine.name == name).expect("a machine")
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for machine in &mut self.machines {
            match &mut machine.place {
                Place::Namespaces(namespaces) => namespaces.power_off(),
                Place::Loopback(_) => machine.kill(""),
            }
        }
    }
}

impl Machine {
    fn new(folder: &Path, name: &str) -> Self {
        let dir = folder.join(name);
        let home = dir.join("home");
        fs::create_dir_all(&home).expect("makes a folder");
        let place = match Namespaces::new(&dir) {
            Ok(mut namespaces) => {
                sshd(&dir, &namespaces.address, PORT, "");
                namespaces.power_on(name, &dir, &home);
                namespaces.wait(&dir);
                Place::Namespaces(namespaces)
            }
            Err(why) => {
                // Not through `eprintln!`, which the test runner keeps to itself.
                let text = format!("\n!! {name} is an sshd on loopback, no machine of its own: {why}\n");
                let _ = std::io::stderr().write_all(text.as_bytes());
                Place::Loopback(Server::sshd_with(&format!("SetEnv HOME={}\n", home.display())))
            }
        };
        Self { name: name.to_owned(), home, place }
    }

    /// All of its processes.
    fn processes(&self) -> Vec<i64> {
        match &self.place {
            Place::Namespaces(namespaces) => namespaces.processes(),
            Place::Loopback(_) => {
                let home = format!("HOME={}", self.home.display()).into_bytes();
                let environ = |pid: &i64| fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                pids()
                    .filter(|pid| environ(pid).split(|byte| *byte == 0).any(|entry| entry == home))
                    .collect()
            }
        }
    }

    /// Ends those of its processes among whose arguments is `word`.
    fn kill(&self, word: &str) {
        for pid in self.processes() {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&arguments).contains(word) {
                let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).output();
            }
        }
    }

    fn ssh(&self, folder: &Path) -> String {
        match &self.place {
            Place::Namespaces(namespaces) => {
                ssh_config(&self.name, &folder.join(&self.name), &namespaces.address, PORT)
            }
            Place::Loopback(server) => ssh_config(&self.name, server.folder.path(), "127.0.0.1", server.port),
        }
    }
}

impl Namespaces {
    /// A network with a cable to this one; the reason where that may not be.
    fn new(dir: &Path) -> Result<Self, String> {
        tried(Command::new("unshare").args(["--net", "--mount", "--uts", "--pid", "--fork", "true"]))?;
        let file = dir.join("network");
        let script = format!("echo $$ > '{}'; exec sleep infinity", file.display());
        let command = ["unshare", "--net", "sh", "-c", &script].map(str::to_owned);
        let holder = shell_ending(&dir.join("log"), &command, "KILL");
        let network = wait_for("a network", || fs::read_to_string(&file).ok()?.trim().parse::<i64>().ok());
        let mut made = Self { address: String::new(), network, _holder: holder, system: None };
        let pid = network.to_string();
        // The name of the cable is what keeps others from its addresses, four of a range that is for tests of networks.
        let first = std::process::id() as usize * 7;
        let mut refused = String::new();
        for number in (first..first + 1000).map(|number| number % (1 << 15)) {
            let (cable, addresses) = (format!("mlp-v{number}"), number << 2);
            let address = |last| {
                format!(
                    "198.{}.{}.{}",
                    18 + (addresses >> 16),
                    (addresses >> 8) & 255,
                    (addresses & 255) + last
                )
            };
            let cabled = tried(
                Command::new("ip")
                    .args(["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &pid]),
            );
            if let Err(why) = cabled {
                refused = why;
                continue;
            }
            tried(Command::new("ip").args(["address", "add", &format!("{}/30", address(1)), "dev", &cable]))?;
            tried(Command::new("ip").args(["link", "set", &cable, "up"]))?;
            made.address = address(2);
            let there = format!("{}/30", made.address);
            made.within(&["ip", "address", "add", &there, "dev", "eth0"])?;
            made.within(&["ip", "link", "set", "lo", "up"])?;
            made.within(&["ip", "link", "set", "eth0", "up"])?;
            return Ok(made);
        }
        Err(refused)
    }

    /// Runs a program in its network.
    fn within(&self, command: &[&str]) -> Result<(), String> {
        tried(Command::new("nsenter").arg(format!("--net=/proc/{}/ns/net", self.network)).args(command))
    }

    fn processes(&self) -> Vec<i64> {
        let of = |pid: i64| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let network = of(self.network);
        pids().filter(|pid| *pid != self.network && of(*pid) == network).collect()
    }

    fn cable(&self, state: &str) {
        self.within(&["ip", "link", "set", "eth0", state]).expect("the cable is ours");
    }

    fn power_on(&mut self, name: &str, dir: &Path, home: &Path) {
        let script = format!(
            "set -e; hostname {name}; mount --make-rprivate /; \
             cat /proc/sys/kernel/random/uuid > '{0}/boot'; mount --bind '{0}/boot' /proc/sys/kernel/random/boot_id; \
             eval \"mount --bind '{1}' ~$(id -un)\"; exec /usr/sbin/sshd -D -e -f '{0}/sshd_config'",
            dir.display(),
            home.display()
        );
        let network = format!("--net=/proc/{}/ns/net", self.network);
        let command = [
            "nsenter",
            &network,
            "unshare",
            "--mount",
            "--uts",
            "--pid",
            "--fork",
            "--kill-child=KILL",
            "--mount-proc",
            "sh",
            "-c",
            &script,
        ];
        self.system = Some(shell_ending(&dir.join("log"), &command.map(str::to_owned), "KILL"));
    }

    fn power_off(&mut self) {
        let Some(mut system) = self.system.take() else { return };
        drop(system.stdin.take());
        let _ = system.wait();
        // The kernel ends the first process of a machine and then all others.
        wait_for("the end of all processes", || self.processes().is_empty().then_some(()));
    }

    fn wait(&self, dir: &Path) {
        wait_for(&format!("a machine (its log: {}/log)", dir.display()), || {
            let address = format!("{}:{PORT}", self.address).parse().expect("an address");
            std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(200)).ok()
        });
    }
}

/// Runs a program; what it said if it failed.
fn tried(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

fn pids() -> impl Iterator<Item = i64> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
