//! Data sets shared from peer to peer, so that a machine needs nothing but the program.
//!
//! A set's id names its manifest, the manifest names its pieces, and both are fetched like any other
//! blob, from every peer of the run that has the set. What was fetched lies in a cache folder and is
//! there the next time.
//!
//! Rule: private data are never served. Nothing of a stranger's set is used before its hash is right,
//! and a set is complete or it is not there.

mod cache;
mod error;
mod fetching;
mod pieces;
mod serving;

pub use cache::{Cache, CachedSet};
pub use error::SharingError;
pub(crate) use fetching::{Wanted, fetch};
pub(crate) use serving::{Serving, manifest};
