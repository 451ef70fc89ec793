//! Files that appear under their name only when they are whole and on the disk.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::DataError;
use crate::infrastructure::store::worktree::TEMPORARY;

/// Makes or replaces the file at `path` by what `fill` writes: a temporary file beside it, fsync, rename, fsync of the
/// folder.
pub(super) fn replace(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&mut File>) -> std::io::Result<()>,
) -> Result<(), DataError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let written = || -> std::io::Result<()> {
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // less the umask
        let mut file = builder.prefix(TEMPORARY).tempfile_in(folder)?;
        let mut out = BufWriter::new(file.as_file_mut());
        fill(&mut out)?;
        out.flush()?;
        drop(out);
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(folder)?.sync_all()
    };
    written().map_err(DataError::io("write", path))
}
