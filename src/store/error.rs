//! The reasons why a store cannot be used, and how much that matters.
//!
//! Rule: a message names the folder or the file, and ends with the way out.

use std::path::PathBuf;

/// The weight of a failure to keep what is trained on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// None: the user wants nothing on disk.
    None,
    /// Training goes on in memory, but a model that is kept nowhere is a failure.
    BestEffort,
    /// The user named the store: without it training ends.
    Required,
}

/// The reason why a store cannot be used.
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
        /// The format that it names.
        found: String,
    },
    /// Reading or writing failed.
    #[error("{path}: {source}; check the folder's permissions and free space")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The database failed.
    #[error("{path}: {reason}; move the file away to start without it")]
    Database {
        /// The file.
        path: PathBuf,
        /// The database's error.
        reason: String,
    },
    /// A thread panicked.
    #[error("the {0} failed, which is a bug in ffp2p; some of what was trained may not be on disk")]
    Panicked(&'static str),
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
