//! Blobs by hash.
//!
//! Rule: what is in the store has the hash it is named by. What is to stay here cannot be had by
//! the network, whoever asks for it by whatever hash. Memory holds what the decisions hold;
//! checkpoints worth keeping also go to disk, on a thread of their own, so that a slow disk never
//! delays a heartbeat.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use ffp2p_net::BlobSource;
use ffp2p_proto::{Checkpoint, Hash};

use super::{
    disk::{Disk, StoreError},
    writer::Writer,
};

/// The blobs in memory.
#[derive(Debug, Default)]
struct Blobs {
    /// Those that any peer may have.
    open: BTreeMap<Hash, Bytes>,
    /// Those that stay here.
    own: BTreeMap<Hash, Bytes>,
}

/// A node's blobs.
#[derive(Debug, Default)]
pub struct Store {
    blobs: Mutex<Blobs>,
    disk: Option<Writer>,
}

impl Store {
    /// A store in memory and on `disk`, with what is on it already. `failed` is called at most
    /// once, when the disk takes no more.
    pub(super) fn with_disk(
        disk: Disk,
        restored: &[(Checkpoint, Bytes)],
        failed: impl FnOnce(StoreError) + Send + 'static,
    ) -> Self {
        let restored = restored.iter().map(|(it, bytes)| (it.blob.hash, bytes.clone()));
        let open: BTreeMap<Hash, Bytes> = restored.collect();
        let writer = Writer::start(disk, open.keys().copied().collect(), failed);
        let blobs = Mutex::new(Blobs { open, own: BTreeMap::new() });
        Self { blobs, disk: Some(writer) }
    }

    fn blobs(&self) -> MutexGuard<'_, Blobs> {
        // The maps are never left half-changed, so a poisoned lock still guards a good one.
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts bytes under the hash they have, for any peer that asks.
    pub fn insert(&self, hash: Hash, bytes: Bytes) {
        self.blobs().open.insert(hash, bytes);
    }

    /// Puts bytes under the hash they have, for this node alone.
    pub fn insert_own(&self, hash: Hash, bytes: Bytes) {
        self.blobs().own.insert(hash, bytes);
    }

    /// Bytes for this node itself.
    pub fn read(&self, hash: &Hash) -> Option<Bytes> {
        let blobs = self.blobs();
        blobs.open.get(hash).or_else(|| blobs.own.get(hash)).cloned()
    }

    /// Forgets a blob, on disk too.
    pub fn remove(&self, hash: Hash) {
        let mut blobs = self.blobs();
        blobs.open.remove(&hash);
        blobs.own.remove(&hash);
        drop(blobs);
        if let Some(disk) = &self.disk {
            disk.forget(hash);
        }
    }

    /// Keeps a checkpoint on disk, when there is one.
    pub fn keep(&self, checkpoint: Checkpoint) {
        if let (Some(disk), Some(bytes)) = (&self.disk, self.get(&checkpoint.blob.hash)) {
            disk.keep(checkpoint, bytes);
        }
    }

    /// Waits until everything is on disk.
    pub(super) fn flush(&self) {
        if let Some(disk) = &self.disk {
            disk.flush();
        }
    }

    /// Waits until everything is on disk; what comes after is not kept.
    pub fn close(&self) {
        if let Some(disk) = &self.disk {
            disk.close();
        }
    }
}

impl BlobSource for Store {
    fn get(&self, hash: &Hash) -> Option<Bytes> {
        self.blobs().open.get(hash).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_here_cannot_be_had() {
        let (store, bytes) = (Store::default(), Bytes::from_static(b"activations"));
        let hash = Hash::of(&bytes);
        store.insert_own(hash, bytes.clone());
        assert_eq!((store.read(&hash), store.get(&hash)), (Some(bytes.clone()), None));
        store.remove(hash);
        assert_eq!(store.read(&hash), None);
        store.insert(hash, bytes.clone());
        assert_eq!(store.get(&hash), Some(bytes));
    }
}
