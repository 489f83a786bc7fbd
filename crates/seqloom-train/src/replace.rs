//! Replaces a file so that a reader finds the old or the new one as a whole, whatever happens in between.
//!
//! The new contents go to a temporary file in the same directory, are synced, and replace the old file by a rename.
//! Then the directory is synced, because the rename is an entry of it. Writing in place would be simpler, but a full
//! disk would leave half a checkpoint and no earlier one.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::{Error, Result};

/// Replaces `path` by what `write` writes. On any error the old file is untouched and no temporary file is left.
pub(crate) fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    attempt(directory, path, write).map_err(Error::io("write", path))
}

fn attempt(directory: &Path, path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".seqloom-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Permissions as for any new file; the umask applies. (Temporary files are private by default.)
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(directory)?;
    write(file.as_file_mut())?;
    file.as_file().sync_all()?;
    // If it cannot be persisted, dropping removes it.
    file.persist(path).map_err(|failed| failed.error)?;
    // Only there can a directory be opened and synced.
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_disk_that_fills_up_leaves_the_earlier_file_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model");
        replace(&path, |file| file.write_all(b"earlier")).unwrap();
        let full = |file: &mut File| {
            file.write_all(b"half of")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        let error = replace(&path, full).unwrap_err();
        assert!(matches!(&error, Error::Io { path: p, .. } if *p == path), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"earlier");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_in_the_way_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model");
        std::fs::create_dir(&path).unwrap();
        assert!(replace(&path, |_| Ok(())).is_err());
        assert!(path.is_dir());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
