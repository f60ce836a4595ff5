//! The blobs that a node gives to peers: those of its store, and its data set in pieces.
//!
//! Rule: of private data nothing is a blob.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use ffp2p_net::{BlobSource, cut};
use ffp2p_proto::Hash;

use crate::{
    data::{Data, manifest::MOST_MANIFEST},
    spec::Checked,
};

/// A data set as blobs.
struct Set {
    data: Data,
    hash: Hash,
    manifest: Bytes,
    /// The number of each piece.
    pieces: BTreeMap<Hash, usize>,
}

/// What a node gives.
pub(crate) struct Serving {
    store: Arc<dyn BlobSource>,
    set: Option<Set>,
}

/// The manifest of the set of a run, where it is given to others.
pub(crate) fn manifest(checked: &Checked) -> Option<Bytes> {
    // The id of private data is another: that of their form.
    let is_named = checked.spec.data == checked.data.id();
    let manifest = checked.data.manifest().filter(|_| is_named)?.to_bytes();
    (manifest.len() <= MOST_MANIFEST).then(|| manifest.into())
}

impl Serving {
    /// The blobs of `store`, and the data set of the run.
    pub(crate) fn new(store: Arc<dyn BlobSource>, checked: &Checked) -> Self {
        let set = manifest(checked).map(|manifest| Set {
            data: checked.data.clone(),
            hash: Hash::of(&manifest),
            manifest,
            pieces: checked
                .data
                .manifest()
                .map_or_else(BTreeMap::new, |it| it.hashes().map(Hash).zip(0..).collect()),
        });
        Self { store, set }
    }
}

impl Set {
    /// The manifest or a piece, if that is the hash of one.
    fn get(&self, hash: &Hash) -> Option<Bytes> {
        if *hash == self.hash {
            return Some(self.manifest.clone());
        }
        let number = *self.pieces.get(hash)?;
        let len = self.data.manifest()?.piece_len(number);
        self.data.piece(number, 0, len).map(Bytes::from)
    }
}

impl BlobSource for Serving {
    fn get(&self, hash: &Hash) -> Option<Bytes> {
        self.set.as_ref().and_then(|set| set.get(hash)).or_else(|| self.store.get(hash))
    }

    fn part(&self, hash: &Hash, offset: u64, len: u32) -> Option<Bytes> {
        // A piece is made of memory, and no longer than what a peer may ask for at once.
        match self.set.as_ref().and_then(|set| set.get(hash)) {
            Some(blob) => cut(&blob, offset, len),
            None => self.store.part(hash, offset, len),
        }
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}
