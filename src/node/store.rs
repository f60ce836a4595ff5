//! Blobs by hash.
//!
//! Rule: what is in the store has the hash it is named by. Memory holds what the decisions hold;
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

/// A node's blobs.
#[derive(Debug, Default)]
pub struct Store {
    blobs: Mutex<BTreeMap<Hash, Bytes>>,
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
        let blobs: BTreeMap<Hash, Bytes> = restored.collect();
        let writer = Writer::start(disk, blobs.keys().copied().collect(), failed);
        Self { blobs: Mutex::new(blobs), disk: Some(writer) }
    }

    fn blobs(&self) -> MutexGuard<'_, BTreeMap<Hash, Bytes>> {
        // The map is never left half-changed, so a poisoned lock still guards a good one.
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts bytes under the hash they have.
    pub fn insert(&self, hash: Hash, bytes: Bytes) {
        self.blobs().insert(hash, bytes);
    }

    /// Forgets a blob, on disk too.
    pub fn remove(&self, hash: Hash) {
        self.blobs().remove(&hash);
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
        self.blobs().get(hash).cloned()
    }
}
