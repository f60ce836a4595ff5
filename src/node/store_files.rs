//! The files of a store folder: what they are called, and what may lie in their place.
//!
//! Rule: what is in the way is set aside under another name, never removed; what is no regular file of
//! the right size is never opened. One process at a time holds the folder.

use std::{
    fs::{self, File, TryLockError},
    io::Read,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use ffp2p_proto::Hash;

use crate::atomic_file;

/// Grows when the layout of the folder, or of checkpoints, changes.
const FORMAT: &str = "ffp2p store 2";

/// What names the format is at most this long, bytes.
const MAX_FORMAT_BYTES: u64 = 1 << 10;

/// The folder of a store's runs.
pub(super) const RUNS: &str = "runs";

/// The folder of a run's blobs.
pub(super) const BLOBS: &str = "blobs";

/// The ending of what was set aside.
const ASIDE: &str = "damaged";

/// Why a store folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another node holds the folder.
    #[error("{0} is in use by another node; choose another --store, or stop that node")]
    InUse(PathBuf),
    /// The folder is something else, or of another version.
    #[error("{path} is not a store of this version ({found}); choose another --store")]
    Format {
        /// The folder.
        path: PathBuf,
        /// What it says it is.
        found: String,
    },
    /// Reading or writing failed.
    #[error("{path}: {source}; check the folder's permissions and free space")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database failed.
    #[error("{path}: {reason}; move the file away to start without it")]
    Database {
        /// The file.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// There is no such folder.
    #[error("{0}: there is no store in this folder")]
    Missing(PathBuf),
    /// The user has no folder for what programs keep.
    #[error("there is no home folder ({0}); name a folder with --store DIR, or set HOME")]
    NoHome(String),
    /// Every folder that a run's nodes on this host may take is taken.
    #[error(
        "{0} nodes of this run keep their work on this host already; name a folder with --store DIR"
    )]
    Full(usize),
}

/// The blob of this name and size in a folder; nothing where what lies there is not it. No more is read
/// than the size says.
///
/// # Errors
/// If there is none, or it cannot be read.
pub(super) fn read_blob(blobs: &Path, hash: Hash, size: u64) -> std::io::Result<Option<Bytes>> {
    let path = blobs.join(hash.to_string());
    let found = fs::metadata(&path)?;
    // Opening what is no file may wait for ever.
    if !found.is_file() || found.len() != size {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::open(&path)?.take(size).read_to_end(&mut bytes)?;
    Ok((Hash::of(&bytes) == hash).then(|| Bytes::from(bytes)))
}

/// Whether a path is that of a blob's file, whole or half written.
pub(super) fn is_blob(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_hash =
        name.len() == 2 * size_of::<Hash>() && name.bytes().all(|it| it.is_ascii_hexdigit());
    (is_hash || atomic_file::is_part(name)) && path.is_file()
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

/// A file of at most so many bytes; nothing where there is none, or something else.
pub(super) fn read_small(path: &Path, most: u64) -> Option<Vec<u8>> {
    let found = fs::metadata(path).ok()?;
    (found.is_file() && found.len() <= most).then(|| fs::read(path).ok()).flatten()
}

/// Keeps a damaged file for whoever wants to look at it, under another name.
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

/// Writes a file so that it is either whole or not there, also after a power cut.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    atomic_file::replace(path, bytes).map_err(io(path))
}
