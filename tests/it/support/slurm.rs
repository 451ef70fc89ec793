//! A Slurm of our own on this machine: a controller and two nodes, with cards that are devices in name only.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::project::wait_for;
use super::servers::shell;

/// It ends with this value.
pub(crate) struct Slurm {
    folder: TempDir,
    nodes: Vec<Child>,
    _controller: Child,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port()
}

impl Slurm {
    /// Two nodes of eight processors and two cards each.
    pub(crate) fn new() -> Self {
        Self::giving_up_after(30)
    }

    /// The same; a node that says nothing for so many seconds is given up.
    pub(crate) fn giving_up_after(seconds: u32) -> Self {
        let folder =
            tempfile::Builder::new().prefix("mlp-slurm-").tempdir_in("/tmp").expect("makes a folder");
        let dir = folder.path().display();
        let said = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).output().expect("starts");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let (host, user) = (said("hostname", &["-s"]), said("id", &["-un"]));
        let node = |number: u32| {
            format!(
                "NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={} CPUs=8 RealMemory=4000 Gres=gpu:2 State=UNKNOWN\n",
                free_port()
            )
        };
        let text = format!(
            "ClusterName=mlptest\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={}\nSlurmUser={user}\nSlurmdUser={user}\n\
             AuthType=auth/none\nCredType=cred/none\nStateSaveLocation={dir}/state\nSlurmdSpoolDir={dir}/spool-%n\n\
             SlurmctldPidFile={dir}/ctld.pid\nSlurmdPidFile={dir}/%n.pid\nSlurmctldLogFile={dir}/ctld.log\nSlurmdLogFile={dir}/%n.log\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/linux\nMpiDefault=none\n\
             SwitchType=switch/none\nReturnToService=2\nSchedulerType=sched/backfill\n\
             SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1\nSelectType=select/cons_tres\n\
             SelectTypeParameters=CR_Core_Memory\nDefMemPerCPU=100\nKillWait=3\nMinJobAge=600\nSlurmdTimeout={seconds}\n\
             PropagateResourceLimits=NONE\nPreemptType=preempt/partition_prio\nPreemptMode=REQUEUE\nJobRequeue=1\n\
             AccountingStorageType=accounting_storage/none\nGresTypes=gpu\nSlurmdParameters=config_overrides\n{}{}\
             PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF\n\
             PartitionName=low Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=3\n",
            free_port(),
            node(1),
            node(2)
        );
        for name in ["state", "spool-n1", "spool-n2"] {
            fs::create_dir(folder.path().join(name)).expect("makes a folder");
        }
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("writes");
        write("slurm.conf", &text);
        write("cgroup.conf", "CgroupAutomount=no\n");
        // A device of each card's own: copies of /dev/null for root, else terminals that nobody opens.
        let device = |number: u32| {
            let path = folder.path().join(format!("card{number}"));
            let made = Command::new("mknod").arg(&path).args(["c", "1", "3"]).stderr(Stdio::null()).status();
            match made.expect("mknod starts").success() {
                true => path.display().to_string(),
                false => format!("/dev/tty{number}"),
            }
        };
        let cards: String = (0..4)
            .map(|card| format!("NodeName=n{} Name=gpu File={}\n", 1 + card / 2, device(card)))
            .collect();
        write("gres.conf", &format!("AutoDetect=off\n{cards}"));
        let start = |program: &str, args: &[&str]| {
            let conf = folder.path().join("slurm.conf").display().to_string();
            let mut command = vec![format!("/usr/sbin/{program}"), "-D".to_owned(), "-f".to_owned(), conf];
            command.extend(args.iter().map(|arg| (*arg).to_owned()));
            shell(&folder.path().join(format!("{program}.out")), &command)
        };
        let controller = start("slurmctld", &["-c"]);
        let nodes = vec![start("slurmd", &["-N", "n1"]), start("slurmd", &["-N", "n2"])];
        let slurm = Self { folder, nodes, _controller: controller };
        wait_for(&format!("Slurm (its logs: {})", slurm.folder.path().display()), || {
            let said = slurm.ask("sinfo", &["-h", "-N", "-p", "main", "-o", "%T"]);
            (said.lines().filter(|line| line.starts_with("idle")).count() == 2).then_some(())
        });
        slurm
    }

    pub(crate) fn conf(&self) -> PathBuf {
        self.folder.path().join("slurm.conf")
    }

    /// The process of a node's daemon.
    pub(crate) fn daemon(&self, node: &str) -> i64 {
        let text = fs::read_to_string(self.folder.path().join(format!("{node}.pid"))).expect("reads");
        text.trim().parse().expect("a number")
    }

    /// What a program of Slurm says.
    pub(crate) fn ask(&self, program: &str, args: &[&str]) -> String {
        let output = Command::new(program).args(args).env("SLURM_CONF", self.conf()).output();
        String::from_utf8_lossy(&output.expect("Slurm's programs start").stdout).into_owned()
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        // The processes of a job outlive the daemon of their node.
        let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        self.ask("scancel", &["--user", &user]);
        for _ in 0..60 {
            if self.ask("squeue", &["-h"]).trim().is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        for node in &mut self.nodes {
            drop(node.stdin.take());
        }
    }
}
