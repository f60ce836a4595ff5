//! A node's blobs, by hash.
//!
//! Rule: a blob has the hash it is named by. A private one never reaches the network, whatever hash is
//! asked for. The store holds what the decisions hold; large blobs and then the oldest lie in a
//! temporary file when memory has no room for all. Checkpoints worth keeping also go to disk, and are
//! read from there if the file fails. A blob that cannot be read is announced. Writing is done on
//! threads of its own, so that a slow disk does not delay a heartbeat; only what is read back waits
//! for it.

mod spill;
mod table;
#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use bytes::Bytes;
use ffp2p_net::{BlobSource, cut};
use ffp2p_proto::{Checkpoint, Hash};
use tokio::sync::mpsc;

use crate::store::{Disk, StoreError, Writer, read_blob};
use spill::Spill;
use table::{Kept, Shared};

/// News for the loop of the node.
#[derive(Debug)]
pub(super) enum News {
    /// A blob that the store held cannot be read.
    Lost(Hash),
    /// The disk takes no more.
    Unkept(StoreError),
}

/// A node's blobs; by default all in memory.
#[derive(Debug, Default)]
pub(crate) struct BlobStore {
    shared: Arc<Shared>,
    spill: Option<Arc<Spill>>,
    /// The thread that writes to the file.
    spilling: Mutex<Option<JoinHandle<()>>>,
    disk: Option<Writer>,
    /// The folder of checkpoints that are on disk.
    folder: Option<PathBuf>,
    /// Takes the names of blobs that could not be read; one that it has no room for is announced when
    /// it is asked for again.
    news: Option<mpsc::Sender<News>>,
}

impl BlobStore {
    /// A store on `disk`, if there is one, and the checkpoints that this has.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub(super) fn open(
        disk: Option<Disk>,
        news: mpsc::Sender<News>,
    ) -> Result<(Self, Vec<Checkpoint>), StoreError> {
        let store = match Spill::create(disk.as_ref().map(Disk::blobs)) {
            Ok(spill) => Self::with_spill(spill, news.clone()),
            Err(error) => {
                tracing::warn!(%error, "no temporary file could be made: all blobs stay in memory");
                Self::default()
            }
        };
        let Some(disk) = disk else { return Ok((store, Vec::new())) };
        let restored = disk.checkpoints()?;
        let checkpoints = restored.iter().map(|(checkpoint, _)| *checkpoint).collect();
        let store = store.with_disk(disk, restored, move |error| {
            // The loop is gone when the node stops; then it has nothing left to keep.
            let _ = news.blocking_send(News::Unkept(error));
        });
        Ok((store, checkpoints))
    }

    /// A store whose oldest blobs go to `spill` when memory has no room for them.
    fn with_spill(spill: Spill, news: mpsc::Sender<News>) -> Self {
        let (shared, spill) = (Arc::<Shared>::default(), Arc::new(spill));
        let (own, file) = (Arc::clone(&shared), Arc::clone(&spill));
        let thread = std::thread::spawn(move || own.spill(&file));
        Self {
            shared,
            spill: Some(spill),
            spilling: Mutex::new(Some(thread)),
            disk: None,
            folder: None,
            news: Some(news),
        }
    }

    /// The same store, on `disk` too, with what is on it already. `failed` is called at most once, when
    /// the disk takes no more.
    fn with_disk(
        mut self,
        disk: Disk,
        restored: Vec<(Checkpoint, Bytes)>,
        failed: impl FnOnce(StoreError) + Send + 'static,
    ) -> Self {
        let kept = restored.iter().map(|(it, _)| it.blob.hash).collect();
        for (checkpoint, bytes) in restored {
            self.insert(checkpoint.blob.hash, bytes);
        }
        self.folder = Some(disk.blobs().to_owned());
        self.disk = Some(Writer::start(disk, kept, failed));
        self
    }

    /// Puts bytes under the hash they have, for any peer that asks.
    pub(crate) fn insert(&self, hash: Hash, bytes: Bytes) {
        self.put(hash, bytes, true);
    }

    /// Puts bytes under the hash they have, for this node alone.
    pub(super) fn insert_private(&self, hash: Hash, bytes: Bytes) {
        self.put(hash, bytes, false);
    }

    fn put(&self, hash: Hash, bytes: Bytes, is_open: bool) {
        self.shared.blobs().insert(hash, bytes, is_open);
        self.shared.more.notify_one();
    }

    /// Bytes for this node itself.
    pub(super) fn read(&self, hash: &Hash) -> Option<Bytes> {
        self.find(hash, false)
    }

    /// Whether a blob is here, as far as that is known without reading it.
    pub(super) fn has(&self, hash: &Hash) -> bool {
        let blobs = self.shared.blobs();
        blobs.all.get(hash).is_some_and(|blob| !matches!(blob.kept, Kept::Lost(_)))
    }

    /// Loses a blob once `put` blobs were put in memory. Returns whether it did.
    #[cfg(test)]
    pub(super) fn lose_one(&self, put: u64, which: usize) -> bool {
        let mut blobs = self.shared.blobs();
        let hash = blobs.all.keys().nth(which % blobs.all.len().max(1)).copied();
        let Some(hash) = hash.filter(|_| blobs.count >= put) else { return false };
        blobs.remove(&hash);
        blobs.all.insert(hash, table::Blob { kept: Kept::Lost(1), is_open: true });
        true
    }

    fn find(&self, hash: &Hash, is_open: bool) -> Option<Bytes> {
        let blobs = self.shared.blobs();
        let blob = blobs.all.get(hash).filter(|blob| blob.is_open || !is_open)?;
        let (place, size) = match &blob.kept {
            Kept::Memory(_, bytes) => return Some(bytes.clone()),
            Kept::File(place) => (Some(*place), place.size()),
            Kept::Lost(size) => (None, *size),
        };
        let is_open = blob.is_open;
        // The lock is held meanwhile, so that nothing else comes to lie there.
        let read = place.and_then(|place| logged(hash, self.spill.as_ref()?.read(place)));
        drop(blobs);
        if let Some(bytes) = read.filter(|bytes| Hash::of(bytes) == *hash) {
            return Some(bytes);
        }
        if let Some(place) = place {
            tracing::warn!(%hash, "a blob could not be read back");
            self.shared.blobs().lose(hash, place);
        }
        let folder = self.folder.as_ref();
        let saved = folder.and_then(|folder| read_blob(folder, *hash, size).ok().flatten());
        match &saved {
            Some(bytes) => self.put(*hash, bytes.clone(), is_open),
            // Where there is no room, it is announced when it is asked for again.
            None => self.news.iter().for_each(|news| drop(news.try_send(News::Lost(*hash)))),
        }
        saved
    }

    /// Forgets a blob, on disk too.
    pub(crate) fn remove(&self, hash: Hash) {
        self.shared.blobs().remove(&hash);
        if let Some(disk) = &self.disk {
            disk.forget(hash);
        }
    }

    /// Keeps a checkpoint on disk, when there is one.
    pub(super) fn keep(&self, checkpoint: Checkpoint) {
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

    /// Waits until everything is on disk and the threads have ended; what comes after is not kept.
    ///
    /// # Errors
    /// If a thread panicked.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        let written = self.disk.as_ref().map_or(Ok(()), Writer::close);
        self.end_spilling()?;
        written
    }

    /// Ends the thread that writes to the file.
    fn end_spilling(&self) -> Result<(), StoreError> {
        self.shared.blobs().closed = true;
        self.shared.more.notify_one();
        let thread = self.spilling.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended = thread.map_or(Ok(()), JoinHandle::join);
        ended.map_err(|_| StoreError::Panicked("thread that moves blobs to the temporary file"))
    }
}

impl Drop for BlobStore {
    fn drop(&mut self) {
        if let Err(error) = self.end_spilling() {
            tracing::error!(%error, "a store that was never closed");
        }
    }
}

impl BlobSource for BlobStore {
    fn get(&self, hash: &Hash) -> Option<Bytes> {
        self.find(hash, true)
    }

    fn part(&self, hash: &Hash, offset: u64, len: u32) -> Option<Bytes> {
        let blobs = self.shared.blobs();
        let read = match &blobs.all.get(hash).filter(|blob| blob.is_open)?.kept {
            Kept::Memory(_, bytes) => return cut(bytes, offset, len),
            Kept::File(place) => {
                let part = place.part(offset, u64::from(len))?;
                logged(hash, self.spill.as_ref()?.read(part))
            }
            Kept::Lost(_) => None,
        };
        drop(blobs);
        read.or_else(|| cut(&self.get(hash)?, offset, len))
    }
}

/// The bytes that were read back; a failure is logged.
fn logged(hash: &Hash, read: std::io::Result<Bytes>) -> Option<Bytes> {
    read.inspect_err(|error| tracing::warn!(%error, %hash, "a blob cannot be read back")).ok()
}
