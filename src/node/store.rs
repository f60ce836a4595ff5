//! Blobs by hash.
//!
//! Rule: what is in the store has the hash it is named by. What is to stay here cannot be had by
//! the network, whoever asks for it by whatever hash. The store holds what the decisions hold; large
//! blobs and then the oldest lie in a file when memory has no room for all. Checkpoints worth keeping
//! also go to disk, and are read from there if the file fails. What cannot be read is told of. Writing
//! is done on threads of its own, so that a slow disk does not delay a heartbeat; only what is read back
//! waits for it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use ffp2p_net::{BlobSource, cut};
use ffp2p_proto::{Checkpoint, Hash};
use tokio::sync::mpsc;

use super::{
    disk::Disk,
    spill::{Place, Places, Spill},
    store_files::{StoreError, read_blob},
    types::Found,
    writer::Writer,
};

/// Blobs in memory, in bytes, beyond which some go to the file: enough for what is made and read
/// within seconds.
const IN_MEMORY: u64 = 40 << 20;

/// A blob of so many bytes is a checkpoint of a large shard: these go before any activation batch,
/// which somebody is about to read.
const LARGE: usize = 2 << 20;

/// Where a blob is.
#[derive(Debug)]
enum Kept {
    /// In memory, and its turn to go.
    Memory(Turn, Bytes),
    File(Place),
    /// It could not be read back, and has so many bytes; its place is not used again.
    Lost(u64),
}

/// Which blob goes to the file first: whether it is a small one, and how many were put in memory
/// before it.
type Turn = (bool, u64);

#[derive(Debug)]
struct Blob {
    kept: Kept,
    /// Whether any peer may have it; others stay here.
    is_open: bool,
}

/// The blobs of a store.
#[derive(Debug, Default)]
struct Blobs {
    all: BTreeMap<Hash, Blob>,
    /// Those in memory, in the order in which they go.
    order: BTreeMap<Turn, Hash>,
    /// Blobs put in memory so far.
    count: u64,
    /// Bytes in memory.
    bytes: u64,
    places: Places,
    /// Nobody uses the store any more.
    closed: bool,
}

impl Blobs {
    fn insert(&mut self, hash: Hash, bytes: Bytes, is_open: bool) {
        let mut is_open = is_open;
        if let Some(blob) = self.all.get_mut(&hash) {
            blob.is_open |= is_open;
            if matches!(blob.kept, Kept::Memory(..)) {
                return;
            }
            // What was fetched anew may be what could not be read back.
            is_open = blob.is_open;
            self.remove(&hash);
        }
        self.count += 1;
        self.bytes += bytes.len() as u64;
        let turn = (bytes.len() < LARGE, self.count);
        self.order.insert(turn, hash);
        self.all.insert(hash, Blob { kept: Kept::Memory(turn, bytes), is_open });
    }

    fn remove(&mut self, hash: &Hash) {
        match self.all.remove(hash).map(|blob| blob.kept) {
            Some(Kept::Memory(turn, bytes)) => {
                self.order.remove(&turn);
                self.bytes -= bytes.len() as u64;
            }
            Some(Kept::File(place)) => self.places.give_back(place),
            Some(Kept::Lost(_)) | None => {}
        }
    }

    /// What lies at `place` of the file is not what was put there.
    fn lose(&mut self, hash: &Hash, place: Place) {
        if let Some(blob) = self.all.get_mut(hash)
            && matches!(blob.kept, Kept::File(at) if at == place)
        {
            blob.kept = Kept::Lost(place.size());
        }
    }

    /// The blob in memory whose turn it is, if there are too many bytes, and where it shall go.
    fn next_out(&mut self) -> Option<(Turn, Hash, Bytes, Place)> {
        if self.bytes <= IN_MEMORY {
            return None;
        }
        let (&turn, &hash) = self.order.first_key_value()?;
        let Kept::Memory(_, bytes) = &self.all.get(&hash)?.kept else { return None };
        let bytes = bytes.clone();
        let place = self.places.take(bytes.len() as u64);
        Some((turn, hash, bytes, place))
    }

    /// A blob lies in the file now, unless it was forgotten meanwhile.
    fn is_out(&mut self, turn: Turn, hash: &Hash, place: Place) {
        match self.all.get_mut(hash).map(|blob| &mut blob.kept) {
            Some(kept @ Kept::Memory(..)) if self.order.remove(&turn).is_some() => {
                *kept = Kept::File(place);
                self.bytes -= place.size();
            }
            _ => self.places.give_back(place),
        }
    }
}

/// What the store shares with the thread that writes to the file.
#[derive(Debug, Default)]
struct Shared {
    blobs: Mutex<Blobs>,
    /// Memory has too much, or nobody uses the store any more.
    more: Condvar,
}

impl Shared {
    fn blobs(&self) -> MutexGuard<'_, Blobs> {
        // The maps are never left half-changed, so a poisoned lock still guards a good one.
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings what memory has no room for to the file, as long as somebody uses the store.
    fn spill(&self, spill: &Spill) {
        let mut blobs = self.blobs();
        let mut is_told = false;
        loop {
            let rests = |blobs: &mut Blobs| blobs.bytes <= IN_MEMORY && !blobs.closed;
            blobs = self.more.wait_while(blobs, rests).unwrap_or_else(PoisonError::into_inner);
            if blobs.closed {
                return;
            }
            let Some((turn, hash, bytes, place)) = blobs.next_out() else { return };
            drop(blobs);
            let written = spill.write(place, &bytes);
            blobs = self.blobs();
            if let Err(error) = written {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!(%error, "the file for what memory has no room for takes no more");
                }
                blobs.places.give_back(place);
                // A disk that is full may not stay so: tried again when there is more to bring.
                if !blobs.closed {
                    blobs = self.more.wait(blobs).unwrap_or_else(PoisonError::into_inner);
                }
                continue;
            }
            blobs.is_out(turn, &hash, place);
        }
    }
}

/// A node's blobs; by default all in memory.
#[derive(Debug, Default)]
pub struct Store {
    shared: Arc<Shared>,
    spill: Option<Arc<Spill>>,
    disk: Option<Writer>,
    /// Where checkpoints lie that are on disk.
    folder: Option<PathBuf>,
    /// Takes the names of blobs that could not be read; one that it has no room for is told of when
    /// somebody asks for it again.
    lost: Option<mpsc::Sender<Found>>,
}

impl Store {
    /// A store whose oldest blobs go to `spill` when memory has no room for them.
    pub(super) fn with_spill(spill: Spill, lost: mpsc::Sender<Found>) -> Self {
        let (shared, spill) = (Arc::<Shared>::default(), Arc::new(spill));
        let (own, file) = (Arc::clone(&shared), Arc::clone(&spill));
        std::thread::spawn(move || own.spill(&file));
        Self { shared, spill: Some(spill), disk: None, folder: None, lost: Some(lost) }
    }

    /// The same, on `disk` too, with what is on it already. `failed` is called at most once, when
    /// the disk takes no more.
    pub(super) fn with_disk(
        mut self,
        disk: Disk,
        restored: Vec<(Checkpoint, Bytes)>,
        failed: impl FnOnce(StoreError) + Send + 'static,
    ) -> Self {
        let kept = restored.iter().map(|(it, _)| it.blob.hash).collect();
        for (checkpoint, bytes) in restored {
            self.insert(checkpoint.blob.hash, bytes);
        }
        self.folder = Some(disk.folder().to_owned());
        self.disk = Some(Writer::start(disk, kept, failed));
        self
    }

    /// Puts bytes under the hash they have, for any peer that asks.
    pub fn insert(&self, hash: Hash, bytes: Bytes) {
        self.put(hash, bytes, true);
    }

    /// Puts bytes under the hash they have, for this node alone.
    pub fn insert_own(&self, hash: Hash, bytes: Bytes) {
        self.put(hash, bytes, false);
    }

    fn put(&self, hash: Hash, bytes: Bytes, is_open: bool) {
        self.shared.blobs().insert(hash, bytes, is_open);
        self.shared.more.notify_one();
    }

    /// Bytes for this node itself.
    pub fn read(&self, hash: &Hash) -> Option<Bytes> {
        self.find(hash, false)
    }

    /// Whether a blob is here, as far as that is known without reading it.
    pub(super) fn has(&self, hash: &Hash) -> bool {
        let blobs = self.shared.blobs();
        blobs.all.get(hash).is_some_and(|blob| !matches!(blob.kept, Kept::Lost(_)))
    }

    /// Loses a blob once so many were put in memory. Returns whether it did.
    #[cfg(test)]
    pub(super) fn lose_one(&self, put: u64, which: usize) -> bool {
        let mut blobs = self.shared.blobs();
        let hash = blobs.all.keys().nth(which % blobs.all.len().max(1)).copied();
        let Some(hash) = hash.filter(|_| blobs.count >= put) else { return false };
        blobs.remove(&hash);
        blobs.all.insert(hash, Blob { kept: Kept::Lost(1), is_open: true });
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
        let read = place.and_then(|place| told(hash, self.spill.as_ref()?.read(place)));
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
            // Where there is no room, it is told of when it is asked for again.
            None => self.lost.iter().for_each(|lost| drop(lost.try_send(Found::Lost(*hash)))),
        }
        saved
    }

    /// Forgets a blob, on disk too.
    pub fn remove(&self, hash: Hash) {
        self.shared.blobs().remove(&hash);
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

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.blobs().closed = true;
        self.shared.more.notify_one();
    }
}

impl BlobSource for Store {
    fn get(&self, hash: &Hash) -> Option<Bytes> {
        self.find(hash, true)
    }

    fn part(&self, hash: &Hash, offset: u64, len: u32) -> Option<Bytes> {
        let blobs = self.shared.blobs();
        let read = match &blobs.all.get(hash).filter(|blob| blob.is_open)?.kept {
            Kept::Memory(_, bytes) => return cut(bytes, offset, len),
            Kept::File(place) => {
                let part = place.part(offset, u64::from(len))?;
                told(hash, self.spill.as_ref()?.read(part))
            }
            Kept::Lost(_) => None,
        };
        drop(blobs);
        read.or_else(|| cut(&self.get(hash)?, offset, len))
    }
}

/// What was read back; that it could not be is told.
fn told(hash: &Hash, read: std::io::Result<Bytes>) -> Option<Bytes> {
    read.inspect_err(|error| tracing::warn!(%error, %hash, "a blob cannot be read back")).ok()
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
