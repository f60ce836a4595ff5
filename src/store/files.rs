//! The files of a store: their names, and what may lie in their place.
//!
//! Rule: what is in the way is set aside under another name, never removed; only a regular file of the
//! right size is opened. One process at a time holds the folder.

use std::{
    fs::{self, File, TryLockError},
    io::Read,
    path::Path,
};

use bytes::Bytes;
use ffp2p_net::atomic_file::is_part;
use ffp2p_proto::Hash;

use super::error::StoreError;
use crate::atomic_file;

/// Grows when the layout of the folder, or of checkpoints, changes.
const FORMAT: &str = "ffp2p store 3";

/// Length of the name of the format, at most, bytes.
const MAX_FORMAT_BYTES: u64 = 1 << 10;

/// The folder of a store's runs.
pub(super) const RUNS: &str = "runs";

/// The folder of a run's blobs.
pub(super) const BLOBS: &str = "blobs";

/// The extension of what was set aside.
const ASIDE: &str = "damaged";

/// The blob of this hash and size in a folder; `None` where another thing lies there. No more than
/// `size` bytes are read.
///
/// # Errors
/// If there is none, or it cannot be read.
pub(crate) fn read_blob(blobs: &Path, hash: Hash, size: u64) -> std::io::Result<Option<Bytes>> {
    let path = blobs.join(hash.to_string());
    let found = fs::metadata(&path)?;
    // Opening a pipe may wait for ever.
    if !found.is_file() || found.len() != size {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::open(&path)?.take(size).read_to_end(&mut bytes)?;
    Ok((Hash::of(&bytes) == hash).then(|| Bytes::from(bytes)))
}

/// Whether a path is that of a blob's file, complete or half written.
pub(super) fn is_blob(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_hash =
        name.len() == 2 * size_of::<Hash>() && name.bytes().all(|it| it.is_ascii_hexdigit());
    (is_hash || is_part(name)) && path.is_file()
}

/// Sets aside what is in the way of something of another kind.
pub(super) fn clear(
    path: &Path,
    is_right: impl FnOnce(&fs::Metadata) -> bool,
) -> Result<(), StoreError> {
    let is_odd = match fs::metadata(path) {
        Ok(found) => !is_right(&found),
        Err(_) => path.is_symlink(),
    };
    if !is_odd {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), "this is no part of a store; set aside");
    set_aside(path)
}

/// The bytes of a file of at most `most` bytes; `None` where there is no such file.
pub(super) fn read_small(path: &Path, most: u64) -> Option<Vec<u8>> {
    let found = fs::metadata(path).ok()?;
    (found.is_file() && found.len() <= most).then(|| fs::read(path).ok()).flatten()
}

/// Keeps a damaged file under another name, for a later look.
pub(super) fn set_aside(path: &Path) -> Result<(), StoreError> {
    fs::rename(path, path.with_extension(ASIDE)).map_err(io(path))
}

pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError + '_ {
    |source| StoreError::Io { path: path.to_owned(), source }
}

pub(super) fn make_folder(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(io(path))
}

/// Takes the folder's lock, which ends with the process however it ends.
pub(super) fn hold(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    clear(&path, fs::Metadata::is_file)?;
    let lock = File::create(&path).map_err(io(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(StoreError::Io { path, source }),
    }
}

pub(super) fn check_format(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join("format");
    clear(&path, fs::Metadata::is_file)?;
    if !path.exists() {
        return write_whole(&path, FORMAT.as_bytes());
    }
    let found = read_small(&path, MAX_FORMAT_BYTES).unwrap_or_default();
    let found = String::from_utf8_lossy(&found);
    if found.trim() == FORMAT {
        return Ok(());
    }
    let found = found.trim().chars().take(40).collect();
    Err(StoreError::Format { path: folder.to_owned(), found })
}

/// Writes a file that is complete or absent, also after a power cut.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    atomic_file::replace(path, bytes).map_err(io(path))
}
