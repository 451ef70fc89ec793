//! What the kernel says about memory: what processes hold, and whom it killed for the lack of some.

use std::path::{Path, PathBuf};

use super::process::Identity;

/// Bytes of memory that only these processes keep in use: what lies in files may be dropped at any time and does not count.
///
/// A page that several of them share counts in each, unless `shares` asks to count it once, which takes longer. None where the kernel
/// does not tell.
pub(super) fn held(processes: &[Identity], shares: bool) -> Option<u64> {
    let (file, keys) = match shares {
        false => ("status", ["RssAnon:", "RssShmem:"]),
        true => ("smaps_rollup", ["Pss_Anon:", "Pss_Shmem:"]),
    };
    let of = |process: &Identity| {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", process.pid)).ok()?;
        let mut values = text.lines().filter_map(|line| {
            let value = keys.iter().find_map(|key| line.strip_prefix(key))?;
            value.trim().trim_end_matches(" kB").parse::<u64>().ok()
        });
        // Of a process that is ending there is nothing.
        values.next().map(|first| (first + values.sum::<u64>()) << 10)
    };
    processes.iter().filter_map(of).reduce(|one, other| one + other)
}

/// How many processes of this process's control group (cgroup v2 or v1), and of groups below it, the kernel has killed for lack of memory;
/// none where that is not told.
pub(super) fn kills() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    files(&groups, &mounts).iter().find_map(|path| count(path))
}

fn count(path: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Where the counts of a control group may stand, by `/proc/self/cgroup` and `/proc/self/mountinfo` (cgroups(7), proc_pid_mountinfo(5)).
fn files(groups: &str, mounts: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for group in groups.lines() {
        let mut parts = group.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (kind, name) = match controllers {
            "" => ("cgroup2", "memory.events"),
            list if list.split(',').any(|one| one == "memory") => ("cgroup", "memory.oom_control"),
            _ => continue,
        };
        for mount in mounts.lines() {
            let Some((left, right)) = mount.split_once(" - ") else { continue };
            let right: Vec<&str> = right.split(' ').collect();
            let options = right.get(2).copied().unwrap_or_default();
            if right.first() != Some(&kind)
                || kind == "cgroup" && !options.split(',').any(|one| one == "memory")
            {
                continue;
            }
            let left: Vec<&str> = left.split(' ').collect();
            let (Some(root), Some(place)) = (left.get(3), left.get(4)) else { continue };
            // In a container the path may be that of the machine, and only a part of it mounted.
            let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
            found.push(Path::new(place).join(below).join(name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_a_control_group_are_found_in_both_versions_and_in_containers() {
        let unified = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(
            files("0::/user.slice/session-3.scope\n", unified),
            [Path::new("/sys/fs/cgroup/user.slice/session-3.scope/memory.events")]
        );
        let old = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                   36 31 0:33 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        assert_eq!(
            files("4:memory:/slurm/job_7\n3:cpu,cpuacct:/\n", old),
            [Path::new("/sys/fs/cgroup/memory/slurm/job_7/memory.oom_control")]
        );
        let container = "35 31 0:32 /docker/77 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
        assert_eq!(
            files("4:memory:/docker/77\n", container),
            [Path::new("/sys/fs/cgroup/memory/memory.oom_control")]
        );
    }

    #[test]
    fn kills_are_counted_and_other_events_are_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("memory.events");
        std::fs::write(&path, "low 0\nhigh 12\nmax 31\noom 4\noom_kill 3\noom_group_kill 1\n")
            .expect("writes");
        assert_eq!(count(&path), Some(3));
        std::fs::write(&path, "oom_kill_disable 0\nunder_oom 0\n").expect("writes");
        assert_eq!(count(&path), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_that_two_processes_share_counts_once_where_that_is_asked_for() {
        let own = [Identity::own()];
        let (each, once) = (held(&own, false).expect("tells"), held(&own, true).expect("tells"));
        assert!(each >= 1 << 20 && once <= each + (8 << 20), "{each} {once}");
        assert_eq!(held(&[], false), None);
    }
}
