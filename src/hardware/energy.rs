//! What processors draw, as the kernel counts it (RAPL: Intel's and AMD's "running average power limit").

use std::path::{Path, PathBuf};

/// Where the counters are.
const COUNTERS: &str = "/sys/class/powercap";

/// The counters of all processor packages of this machine.
#[derive(Debug)]
pub struct Processors {
    packages: Vec<Package>,
}

#[derive(Debug)]
struct Package {
    file: PathBuf,
    /// The counter begins anew after this many microjoules.
    range: u64,
    last: u64,
}

impl Processors {
    /// Begins to count; none where the kernel does not tell, or not this user.
    pub fn count() -> Option<Self> {
        Self::count_in(Path::new(COUNTERS))
    }

    fn count_in(folder: &Path) -> Option<Self> {
        let number = |path: &Path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        let mut packages = Vec::new();
        for entry in std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()) {
            // A package also counts its parts, which have entries of their own.
            let name = std::fs::read_to_string(entry.join("name")).unwrap_or_default();
            if !name.starts_with("package") {
                continue;
            }
            let file = entry.join("energy_uj");
            let range = number(&entry.join("max_energy_range_uj"))?;
            packages.push(Package { last: number(&file)?, file, range });
        }
        (!packages.is_empty()).then_some(Self { packages })
    }

    /// Joules since the last call, or since the beginning. To be asked more often than the smallest counter needs to begin anew twice,
    /// which takes minutes.
    pub fn joules(&mut self) -> Option<f64> {
        let mut sum = 0;
        for package in &mut self.packages {
            let now: u64 = std::fs::read_to_string(&package.file).ok()?.trim().parse().ok()?;
            sum += match now.checked_sub(package.last) {
                Some(more) => more,
                None => now + package.range.saturating_sub(package.last),
            };
            package.last = now;
        }
        Some(sum as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_summed_and_a_counter_that_begins_anew_is_followed() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let write = |name: &str, file: &str, text: &str| {
            let entry = folder.path().join(name);
            std::fs::create_dir_all(&entry).expect("makes a folder");
            std::fs::write(entry.join(file), format!("{text}\n")).expect("writes");
        };
        for (name, kind) in
            [("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-1"), ("intel-rapl:0:0", "core")]
        {
            write(name, "name", kind);
            write(name, "energy_uj", "9000000");
            write(name, "max_energy_range_uj", "10000000");
        }
        let mut processors = Processors::count_in(folder.path()).expect("can be read");
        write("intel-rapl:0", "energy_uj", "9500000");
        write("intel-rapl:1", "energy_uj", "2000000");
        write("intel-rapl:0:0", "energy_uj", "9900000");
        assert_eq!(processors.joules(), Some(0.5 + 3.0));
        assert_eq!(processors.joules(), Some(0.0));
        std::fs::remove_file(folder.path().join("intel-rapl:1/energy_uj")).expect("removes");
        assert_eq!(processors.joules(), None);
        assert!(Processors::count_in(&folder.path().join("none")).is_none());
    }
}
