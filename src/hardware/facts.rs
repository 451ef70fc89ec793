//! What a machine says about itself.

use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::{describe_cpu, threads};
use crate::base::{Digest, Hasher};

/// What a machine reports about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Host name.
    pub host: String,
    /// `linux`, `macos`, …
    pub os: String,
    /// Architecture and instruction set: `x86-64 avx512`.
    pub cpu: String,
    /// Threads that computations use.
    pub threads: usize,
}

impl Facts {
    /// The facts of this machine.
    pub fn here() -> Self {
        Self { host: host(), os: std::env::consts::OS.into(), cpu: describe_cpu(), threads: threads() }
    }
}

/// The name of this host; `localhost` where it has none.
pub fn host() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// A text that differs from one start of this machine to the next; empty where the system tells none.
pub fn boot() -> String {
    #[cfg(target_os = "linux")]
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    #[cfg(target_os = "macos")]
    let text = std::process::Command::new("/usr/sbin/sysctl")
        .args(["-n", "kern.bootsessionuuid"])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    let text = String::new();
    text.trim().to_owned()
}

/// The digest of this executable's bytes. `cache` is a file that keeps it together with size and time of change of the
/// executable, because hashing a hundred megabytes takes longer than most commands.
pub fn binary(cache: &Path) -> io::Result<Digest> {
    digest(&std::env::current_exe()?, cache)
}

/// The digest of an executable's bytes, kept in `cache` in the same way.
pub fn digest(path: &Path, cache: &Path) -> io::Result<Digest> {
    let meta = std::fs::metadata(path)?;
    let changed = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let stat = format!("{} {} {} {}", path.display(), meta.len(), changed.as_nanos(), inode(&meta));
    if let Ok(text) = std::fs::read_to_string(cache)
        && let Some((known, digest)) = text.trim_end().split_once('\n')
        && known == stat
        && let Ok(digest) = digest.parse()
    {
        return Ok(digest);
    }
    let mut hasher = Hasher::new();
    io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    let digest = hasher.finish();
    // Only a cache: where it cannot be written, the next command hashes again.
    let temporary = cache.with_extension(format!("{}.tmp", std::process::id()));
    #[expect(clippy::disallowed_methods, reason = "a cache that may be lost")]
    let _ = std::fs::write(&temporary, format!("{stat}\n{digest}\n"))
        .and_then(|()| std::fs::rename(&temporary, cache));
    Ok(digest)
}

#[cfg(unix)]
fn inode(meta: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cached_digest_of_the_executable_is_the_real_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = dir.path().join("binary");
        let bytes = std::fs::read(std::env::current_exe().expect("a path")).expect("reads");
        for _ in 0..2 {
            assert_eq!(binary(&cache).expect("hashes"), Digest::of(&bytes));
        }
        assert!(cache.exists());
    }

    #[test]
    fn a_cached_digest_of_another_executable_is_not_believed() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = dir.path().join("binary");
        let right = binary(&cache).expect("hashes");
        let other = Digest::of(b"another");
        std::fs::write(&cache, format!("/bin/other 1 2 3\n{other}\n")).expect("writes");
        assert_eq!(binary(&cache).expect("hashes"), right);
    }
}
