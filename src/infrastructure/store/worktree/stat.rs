//! What the file system says about a file without reading it.

/// The fields that change when a file's content may have changed. Times are in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) size: u64,
    pub(super) mtime: i64,
    pub(super) ctime: i64,
    pub(super) mode: u32,
}

/// A file changed less than this before it was looked at may change again without its times moving: two seconds is the
/// coarsest clock of a file system (FAT).
const RACY: i64 = 2_000_000_000;

impl Stat {
    /// From the system's answer.
    #[expect(clippy::unnecessary_cast, reason = "the fields' types differ between platforms")]
    pub(super) fn of(stat: &rustix::fs::Stat) -> Self {
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            size: stat.st_size as u64,
            mtime: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            mode: stat.st_mode as u32,
        }
    }

    /// Whether the file is so young at the time `now` of the file system that these fields prove nothing later.
    pub(super) fn is_racy(&self, now: i64) -> bool {
        self.mtime.max(self.ctime) >= now.saturating_sub(RACY)
    }

    /// Whether the owner may execute it.
    pub(super) fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    /// What kind of file it is.
    pub(super) fn file_type(&self) -> rustix::fs::FileType {
        rustix::fs::FileType::from_raw_mode(self.mode as rustix::fs::RawMode)
    }
}
