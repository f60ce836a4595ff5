//! Writing a user's file: behind links, and only where it can be written.
//!
//! Rule: a file is complete or absent (`ffp2p_net::atomic_file` sees to that); a link keeps pointing
//! where it does, and what cannot be written is found out without a trace.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ffp2p_net::atomic_file::{self, folder_of};

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
    atomic_file::replace(&behind_links(path)?, bytes)
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
    atomic_file::check_room(&path, size)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_many_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(are_one(&at("new"), &at("./new")) && !are_one(&at("new"), &at("old")));
        fs::write(at("old"), b"old").unwrap();
        assert!(are_one(&at("old"), &at(".").join("old")) && !are_one(&at("new"), &at("old")));
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
