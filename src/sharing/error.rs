//! The reasons why a data set cannot be shared, in words that say what to do next.

use std::{io, path::PathBuf};

use crate::text::shown_path;

/// The reason why a data set could not be had from peers, or from the cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SharingError {
    /// Nobody here gives it.
    #[error(
        "no peer gives its data set ({id}){kept}; start a node that has the files, or name them with --data"
    )]
    Nobody {
        /// The set's id.
        id: String,
        /// What is there so far, in words.
        kept: String,
    },
    /// The set is not what its id says, or not a set at all.
    #[error("the data set {0} is malformed: whoever started the run has to load it again")]
    Malformed(String),
    /// The cache cannot be used.
    #[error(
        "{}: {source}; free some space, or name another folder in XDG_CACHE_HOME",
        shown_path(path)
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: io::Error,
    },
    /// The user has no home.
    #[error("there is no folder for fetched data sets: {0}; set HOME")]
    NoHome(String),
    /// No cached set, or several, have that name.
    #[error("{0}: no cached set, or several, begin so; `ffp2p data list` lists them")]
    Unknown(String),
    /// The network ended.
    #[error("the network stopped while a data set was fetched")]
    Stopped,
}
