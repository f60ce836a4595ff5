//! Files that are complete or absent.
//!
//! Rule: bytes go to a temporary file next to the target, reach the disk, and only then take the
//! target's place; the folder is synced, so that a power cut does not undo it. A failed write
//! leaves nothing behind: a full disk gets its room back. Whether a write can succeed is found out
//! before hours are spent on its content.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// Bytes written at once by a test for room.
const PIECE: usize = 1 << 20;

/// Prefix and suffix of the name of an unfinished file.
const PART: (&str, &str) = (".ffp2p-", ".part");

/// Whether this is the name of a file that was never finished.
pub(crate) fn is_part(name: &str) -> bool {
    name.starts_with(PART.0) && name.ends_with(PART.1)
}

/// Whether two paths lead to one file.
pub(crate) fn are_one(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| {
        let folder = fs::canonicalize(folder_of(path)).ok()?;
        fs::canonicalize(path).ok().or_else(|| Some(folder.join(path.file_name()?)))
    };
    real(one).is_some_and(|one| real(other) == Some(one))
}

/// Replaces the content of `path`; a link keeps pointing where it does.
///
/// # Errors
/// The system's error; the old content is still there then.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = behind_links(path)?;
    let folder = folder_of(&path);
    let mut file = temporary(folder)?;
    // The method of `NamedTempFile` would name the temporary file in an error.
    file.as_file_mut().write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Tests whether [`replace`] could put a file of `size` bytes at `path` now; nothing is changed.
///
/// # Errors
/// The reason why not: the system's error, now or later.
pub(crate) fn check(path: &Path, size: u64) -> io::Result<()> {
    let path = behind_links(path)?;
    match fs::metadata(&path) {
        Ok(found) if !found.is_file() => return Err(io::Error::other("it exists and is no file")),
        Ok(found) if found.permissions().readonly() => {
            return Err(io::Error::other("it exists and is write-protected"));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let mut file = temporary(folder_of(&path))?;
    let zeros = vec![0; PIECE];
    let mut left = size;
    while left > 0 {
        let now = left.min(PIECE as u64);
        file.as_file_mut().write_all(&zeros[..now as usize])?;
        left -= now;
    }
    file.as_file().sync_data()
}

/// The file that a link leads to, or the path itself.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(io::Error::other("it names no file"));
    }
    let is_link = match fs::symlink_metadata(path) {
        Ok(found) => found.is_symlink(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    if !is_link {
        return Ok(path.to_owned());
    }
    fs::canonicalize(path).map_err(|error| {
        let leads_nowhere = error.kind() == io::ErrorKind::NotFound;
        let nowhere = || io::Error::other("it is a link to a file that does not exist");
        if leads_nowhere { nowhere() } else { error }
    })
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// A new file in `folder` that goes with its handle. Its name is short, whatever the target's, and
/// no other process has it; its permissions are those of any new file.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PART.0).suffix(PART.1);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder).map_err(|error| io::Error::new(error.kind(), cause(&error)))
}

/// The system's error without the name of the temporary file.
fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" at path ").next().unwrap_or_default().to_owned()
}

/// A folder's names reach the disk; where folders cannot be opened as files, the system does so.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
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
    fn one_file_has_many_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(are_one(&at("new"), &at("./new")) && !are_one(&at("new"), &at("old")));
        fs::write(at("old"), b"old").unwrap();
        assert!(are_one(&at("old"), &at(".").join("old")) && !are_one(&at("new"), &at("old")));
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"bytes").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_found_out_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        check(&at("new"), 3_000_000).unwrap();
        fs::write(at("old"), b"old").unwrap();
        check(&at("old"), 10).unwrap();
        assert_eq!(fs::read(at("old")).unwrap(), b"old");
        let longest = "x".repeat(255);
        check(&at(&longest), 10).unwrap();
        replace(&at(&longest), b"bytes").unwrap();
        let mut fixed = fs::metadata(at("old")).unwrap().permissions();
        fixed.set_readonly(true);
        fs::set_permissions(at("old"), fixed).unwrap();
        for wrong in ["old", "none/new", "old/new", "new/", "..", &"x".repeat(256)] {
            assert!(check(&at(wrong), 10).is_err(), "{wrong}");
        }
        assert!(check(Path::new(""), 10).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("file"), &link).unwrap();
        for failed in [check(&link, 10), replace(&link, b"bytes")] {
            assert!(failed.unwrap_err().to_string().contains("does not exist"));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, b"old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }
}
