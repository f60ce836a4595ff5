//! The place of each blob: in memory, in the temporary file, or lost.
//!
//! Rule: a blob is in one place at a time. The lock is held for a look or a change, never while a disk
//! is written.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use ffp2p_proto::Hash;

use super::spill::{Place, Places, Spill};

/// Blobs in memory, in bytes, beyond which some go to the file: enough for what is made and read
/// within seconds.
pub(super) const IN_MEMORY: u64 = 96 << 20;

/// Bytes of a checkpoint of a large shard, at least: these go before any activation batch, which is
/// about to be read.
pub(super) const LARGE: usize = 2 << 20;

/// The place of a blob.
#[derive(Debug)]
pub(super) enum Kept {
    /// In memory, and its place in the order of going to the file.
    Memory(Rank, Bytes),
    File(Place),
    /// Unreadable, with its size in bytes; its place is not used again.
    Lost(u64),
}

/// The order in which blobs go to the file: whether it is a small one, and how many were put in memory
/// before it.
pub(super) type Rank = (bool, u64);

#[derive(Debug)]
pub(super) struct Blob {
    pub(super) kept: Kept,
    /// Whether any peer may have it; a private one stays here.
    pub(super) is_open: bool,
}

/// The blobs of a store.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    pub(super) all: BTreeMap<Hash, Blob>,
    /// Blobs in memory, in the order in which they go.
    pub(super) order: BTreeMap<Rank, Hash>,
    /// Blobs put in memory so far.
    pub(super) count: u64,
    /// Bytes in memory.
    pub(super) bytes: u64,
    pub(super) places: Places,
    /// Whether nobody uses the store any more.
    pub(super) closed: bool,
}

impl Blobs {
    pub(super) fn insert(&mut self, hash: Hash, bytes: Bytes, is_open: bool) {
        let mut is_open = is_open;
        if let Some(blob) = self.all.get_mut(&hash) {
            blob.is_open |= is_open;
            if matches!(blob.kept, Kept::Memory(..)) {
                return;
            }
            // What was fetched again may be what could not be read back.
            is_open = blob.is_open;
            self.remove(&hash);
        }
        self.count += 1;
        self.bytes += bytes.len() as u64;
        let rank = (bytes.len() < LARGE, self.count);
        self.order.insert(rank, hash);
        self.all.insert(hash, Blob { kept: Kept::Memory(rank, bytes), is_open });
    }

    pub(super) fn remove(&mut self, hash: &Hash) {
        match self.all.remove(hash).map(|blob| blob.kept) {
            Some(Kept::Memory(rank, bytes)) => {
                self.order.remove(&rank);
                self.bytes -= bytes.len() as u64;
            }
            Some(Kept::File(place)) => self.places.give_back(place),
            Some(Kept::Lost(_)) | None => {}
        }
    }

    /// The bytes at `place` of the file are not those that were put there.
    pub(super) fn lose(&mut self, hash: &Hash, place: Place) {
        if let Some(blob) = self.all.get_mut(hash)
            && matches!(blob.kept, Kept::File(at) if at == place)
        {
            blob.kept = Kept::Lost(place.size());
        }
    }

    /// The next blob to leave memory, if there are too many bytes, and its place in the file.
    pub(super) fn next_out(&mut self) -> Option<(Rank, Hash, Bytes, Place)> {
        if self.bytes <= IN_MEMORY {
            return None;
        }
        let (&rank, &hash) = self.order.first_key_value()?;
        let Kept::Memory(_, bytes) = &self.all.get(&hash)?.kept else { return None };
        let bytes = bytes.clone();
        let place = self.places.take(bytes.len() as u64);
        Some((rank, hash, bytes, place))
    }

    /// A blob lies in the file now, unless it was forgotten meanwhile.
    pub(super) fn is_out(&mut self, rank: Rank, hash: &Hash, place: Place) {
        match self.all.get_mut(hash).map(|blob| &mut blob.kept) {
            Some(kept @ Kept::Memory(..)) if self.order.remove(&rank).is_some() => {
                *kept = Kept::File(place);
                self.bytes -= place.size();
            }
            _ => self.places.give_back(place),
        }
    }
}

/// The state that the store shares with the thread that writes to the file.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) blobs: Mutex<Blobs>,
    /// Memory has too much, or nobody uses the store any more.
    pub(super) more: Condvar,
}

impl Shared {
    pub(super) fn blobs(&self) -> MutexGuard<'_, Blobs> {
        // The maps are never left half-changed, so a poisoned lock still guards a good one.
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings what memory has no room for to the file, as long as somebody uses the store.
    pub(super) fn spill(&self, spill: &Spill) {
        let mut blobs = self.blobs();
        let mut is_logged = false;
        loop {
            let rests = |blobs: &mut Blobs| blobs.bytes <= IN_MEMORY && !blobs.closed;
            blobs = self.more.wait_while(blobs, rests).unwrap_or_else(PoisonError::into_inner);
            if blobs.closed {
                return;
            }
            let Some((rank, hash, bytes, place)) = blobs.next_out() else { return };
            drop(blobs);
            let written = spill.write(place, &bytes);
            blobs = self.blobs();
            if let Err(error) = written {
                if !std::mem::replace(&mut is_logged, true) {
                    tracing::warn!(%error, "the file for what memory has no room for takes no more");
                }
                blobs.places.give_back(place);
                // A disk that is full may not stay so: tried again when there is more to bring.
                if !blobs.closed {
                    blobs = self.more.wait(blobs).unwrap_or_else(PoisonError::into_inner);
                }
                continue;
            }
            blobs.is_out(rank, &hash, place);
        }
    }
}
