//! Blobs by hash.
//!
//! Rule: what is in the store has the hash it is named by. Memory holds what the decisions hold;
//! checkpoints worth keeping also go to disk, on a thread of their own, so that a slow disk never
//! delays a heartbeat.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use bytes::Bytes;
use ffp2p_net::BlobSource;
use ffp2p_proto::{Checkpoint, Hash};

use super::disk::Disk;

/// Checkpoints waiting for the disk, at most; beyond it the newest is skipped, and the next one
/// makes up for it.
const DISK_QUEUE: usize = 64;

enum Task {
    Keep(Checkpoint, Bytes),
    Forget(Hash),
}

/// A node's blobs.
#[derive(Debug, Default)]
pub struct Store {
    blobs: Mutex<BTreeMap<Hash, Bytes>>,
    disk: Option<(SyncSender<Task>, JoinHandle<()>)>,
}

impl Store {
    /// A store in memory, and on `disk` when there is one.
    pub fn new(disk: Option<Disk>) -> Self {
        let disk = disk.map(|disk| {
            let (tasks, queue) = sync_channel(DISK_QUEUE);
            let thread = std::thread::spawn(move || {
                for task in queue {
                    let done = match &task {
                        Task::Keep(checkpoint, bytes) => disk.keep(checkpoint, bytes),
                        Task::Forget(hash) => disk.forget(*hash),
                    };
                    if let Err(error) = done {
                        tracing::warn!(%error, "the store folder did not take a checkpoint");
                    }
                }
            });
            (tasks, thread)
        });
        Self { blobs: Mutex::default(), disk }
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
        self.on_disk(Task::Forget(hash));
    }

    /// Keeps a checkpoint on disk, when there is one.
    pub fn keep(&self, checkpoint: Checkpoint) {
        if let Some(bytes) = self.get(&checkpoint.blob.hash) {
            self.on_disk(Task::Keep(checkpoint, bytes));
        }
    }

    fn on_disk(&self, task: Task) {
        let Some((tasks, _)) = &self.disk else { return };
        if let Err(TrySendError::Full(_)) = tasks.try_send(task) {
            tracing::warn!("the disk is slower than training; a checkpoint was not kept");
        }
    }

    /// Waits until everything is on disk.
    pub fn close(&mut self) {
        if let Some((tasks, thread)) = self.disk.take() {
            drop(tasks);
            if thread.join().is_err() {
                tracing::warn!("the disk thread failed");
            }
        }
    }
}

impl BlobSource for Store {
    fn get(&self, hash: &Hash) -> Option<Bytes> {
        self.blobs().get(hash).cloned()
    }
}
