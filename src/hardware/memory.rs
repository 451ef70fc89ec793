//! Memory that a computation may still take.

use std::fs;
use std::path::Path;

/// Bytes of memory that this process can still take without swapping: what the system has available, or less where control
/// groups (v2 or v1) allow less. None where nothing tells.
pub fn available() -> Option<u64> {
    let system = fs::read_to_string("/proc/meminfo").ok().and_then(|text| field(&text, "MemAvailable:"));
    let system = system.map(|kib| kib << 10);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    system.into_iter().chain(left(Path::new("/sys/fs/cgroup"), &groups)).min()
}

/// Bytes that the control groups named in `/proc/self/cgroup` leave, with those above them.
fn left(root: &Path, groups: &str) -> Option<u64> {
    let mut least: Option<u64> = None;
    for line in groups.lines() {
        // `number:controllers:path`; version 2 names no controllers.
        let mut pieces = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (pieces.next(), pieces.next()) else { continue };
        let (base, files) = match controllers {
            "" => (root.to_owned(), ["memory.max", "memory.current", "inactive_file"]),
            _ if controllers.split(',').any(|controller| controller == "memory") => (
                root.join("memory"),
                ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"],
            ),
            _ => continue,
        };
        let relative = path.trim_start_matches('/');
        let folders = Path::new(relative).ancestors().map(|path| base.join(path));
        least = folders.filter_map(|folder| left_in(&folder, files)).chain(least).min();
    }
    least
}

/// Limit less use of one group; what the page cache holds and nobody has used lately can be taken.
fn left_in(folder: &Path, [limit, used, cached]: [&str; 3]) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    // `max`, or nearly 2^63, where there is none.
    let limit = number(limit).filter(|limit| *limit < 1 << 60)?;
    let cached = fs::read_to_string(folder.join("memory.stat")).ok().and_then(|text| field(&text, cached));
    Some(limit.saturating_sub(number(used).unwrap_or(0).saturating_sub(cached.unwrap_or(0))))
}

/// The number behind a word at the beginning of a line.
fn field(text: &str, word: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| (words.next() == Some(word)).then(|| words.next()?.parse().ok()).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).expect("makes");
        files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).expect("writes"));
    }

    #[test]
    fn the_narrowest_group_decides_and_its_page_cache_counts_as_free() {
        let root = tempfile::tempdir().expect("folder");
        let groups = "0::/outer/inner\n";
        assert_eq!(left(root.path(), groups), None);
        write(&root.path().join("outer/inner"), &[("memory.max", "max\n"), ("memory.current", "5000\n")]);
        assert_eq!(left(root.path(), groups), None);
        write(
            &root.path().join("outer"),
            &[
                ("memory.max", "9000\n"),
                ("memory.current", "6000\n"),
                ("memory.stat", "anon 5000\ninactive_file 1000\n"),
            ],
        );
        assert_eq!(left(root.path(), groups), Some(4000));
        write(&root.path().join("outer/inner"), &[("memory.max", "5500\n")]);
        assert_eq!(left(root.path(), groups), Some(500));
    }

    #[test]
    fn groups_of_the_first_version_are_read_too() {
        let root = tempfile::tempdir().expect("folder");
        let files = [("memory.limit_in_bytes", "700"), ("memory.usage_in_bytes", "900")];
        write(&root.path().join("memory/job"), &files);
        assert_eq!(left(root.path(), "7:cpu,cpuacct:/x\n5:memory:/job\n"), Some(0));
        assert_eq!(left(root.path(), "7:cpu,cpuacct:/job\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_machine_has_memory() {
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }
}
