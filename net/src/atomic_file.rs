//! Files that are there whole or not at all.
//!
//! Rule: bytes go to a temporary name next to the target, reach the disk, and only then take the
//! target's place; the folder is synced, so that a power cut does not undo it. A failed write leaves
//! nothing behind: a full disk gets its room back.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

/// Bytes written at once by [`check_room`].
const PIECE: usize = 1 << 20;

/// Beginning and end of the name of a file that is not whole yet.
const PART: (&str, &str) = (".ffp2p-", ".part");

/// Whether this is the name of a file that is not whole yet, or never will be.
pub fn is_part(name: &str) -> bool {
    name.starts_with(PART.0) && name.ends_with(PART.1)
}

/// Replaces the content of `path`. A link is replaced by the file.
///
/// # Errors
/// The system's; the old content is still there then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let mut file = temporary(folder)?;
    // `NamedTempFile::write_all` would name the temporary file in an error.
    file.as_file_mut().write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Checks whether [`replace`] could put a file of `size` bytes at `path` now, by writing that many bytes
/// next to it and removing them again.
///
/// # Errors
/// The system's.
pub fn check_room(path: &Path, size: u64) -> io::Result<()> {
    let mut file = temporary(folder_of(path))?;
    let zeros = vec![0; PIECE];
    let mut left = size;
    while left > 0 {
        let now = left.min(PIECE as u64);
        file.as_file_mut().write_all(&zeros[..now as usize])?;
        left -= now;
    }
    file.as_file().sync_data()
}

/// The folder that a file is in, also where its path names none.
pub fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// A new file in `folder` that is removed with its handle. Its name is short, however long the
/// target's, and no other process has it; its permissions are those of any new file.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PART.0).suffix(PART.1);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder).map_err(|error| io::Error::new(error.kind(), cause(&error)))
}

/// The system's error, without the name of the temporary file.
fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" at path ").next().unwrap_or_default().to_owned()
}

/// Has a folder's names reach the disk; where folders cannot be opened as files, the system does so.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_new_content_replaces_the_old_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for text in ["old", "new"] {
            replace(&path, text.as_bytes()).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"bytes").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = replace(&folder.path().join("none/file"), b"bytes").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(!error.to_string().contains(PART.1), "{error}");
    }

    #[test]
    fn a_name_of_any_length_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        replace(&folder.path().join("x".repeat(255)), b"bytes").unwrap();
        assert!(replace(&folder.path().join("x".repeat(256)), b"bytes").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn room_is_looked_for_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        check_room(&folder.path().join("file"), PIECE as u64 + 7).unwrap();
        assert!(check_room(&folder.path().join("none/file"), 0).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_is_not_whole_yet_is_known_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = temporary(folder.path()).unwrap();
        let name = file.path().file_name().unwrap().to_str().unwrap();
        assert!(is_part(name) && !is_part("model.safetensors"), "{name}");
    }

    #[cfg(unix)]
    #[test]
    fn the_permissions_are_those_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        let (ours, other) = (folder.path().join("ours"), folder.path().join("other"));
        replace(&ours, b"bytes").unwrap();
        fs::write(&other, b"bytes").unwrap();
        assert_eq!(mode(&ours), mode(&other));
    }
}
