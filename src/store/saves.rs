//! The checkpoints that a training without a network keeps: everything from which it can go on.
//!
//! Rule: what was kept last stays until all of the next is on disk, so that a crash at any moment
//! costs one chapter. At most one such set waits for the disk; the next one waits for it.

use std::{
    collections::BTreeSet,
    sync::mpsc::{Receiver, sync_channel},
};

use bytes::Bytes;
use ffp2p_proto::{Checkpoint, Hash};

use super::{disk::Disk, error::StoreError, writer::Writer};

/// A training's store.
#[derive(Debug)]
pub(crate) struct Saves {
    writer: Writer,
    failures: Receiver<StoreError>,
    folder: String,
    /// The blobs that are in the store once all is written.
    kept: BTreeSet<Hash>,
}

impl Saves {
    /// Takes over the store and what is in it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn open(disk: Disk) -> Result<(Self, Vec<(Checkpoint, Bytes)>), StoreError> {
        let stored = disk.checkpoints()?;
        let kept: BTreeSet<Hash> = stored.iter().map(|(it, _)| it.blob.hash).collect();
        let folder = disk.store().display().to_string();
        // The writer fails at most once.
        let (say, failures) = sync_channel(1);
        let failed = move |error| drop(say.try_send(error));
        let writer = Writer::start(disk, kept.clone(), failed);
        Ok((Self { writer, failures, folder, kept }, stored))
    }

    /// The store, for the user.
    pub(crate) fn folder(&self) -> &str {
        &self.folder
    }

    /// Keeps these checkpoints, soon, and then no others.
    ///
    /// # Errors
    /// If what was to be kept before could not be written; nothing is kept from then on.
    pub(crate) fn keep(&mut self, checkpoints: Vec<(Checkpoint, Bytes)>) -> Result<(), StoreError> {
        self.flush()?;
        let next = checkpoints.iter().map(|(it, _)| it.blob.hash).collect();
        let old = std::mem::replace(&mut self.kept, next);
        for (checkpoint, bytes) in checkpoints {
            self.writer.keep(checkpoint, bytes);
        }
        old.difference(&self.kept).for_each(|hash| self.writer.forget(*hash));
        Ok(())
    }

    /// Waits until everything is on disk.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.writer.flush();
        if self.writer.is_closed() {
            // It says why on its way out.
            self.writer.close()?;
        }
        self.failures.try_recv().map_or(Ok(()), Err)
    }

    /// Waits until everything is on disk, and the thread that writes has ended.
    ///
    /// # Errors
    /// If it cannot be written, or the thread panicked.
    pub(crate) fn close(&mut self) -> Result<(), StoreError> {
        let closed = self.writer.close();
        self.failures.try_recv().map_or(closed, Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk_tests::{checkpoint, spec};

    fn set(step: u64) -> Vec<(Checkpoint, Bytes)> {
        let bytes = Bytes::from(format!("after {step} steps"));
        vec![(checkpoint(step, &bytes), bytes)]
    }

    #[test]
    fn the_last_set_is_kept_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Saves::open(Disk::open(folder.path(), &spec()).unwrap()).unwrap();
        let (mut saves, stored) = open();
        assert!(stored.is_empty());
        for step in [4, 8, 12] {
            saves.keep(set(step)).unwrap();
        }
        saves.flush().unwrap();
        drop(saves);
        let (mut saves, stored) = open();
        assert_eq!(stored, set(12));
        // What was there before goes as well.
        saves.keep(set(16)).unwrap();
        saves.flush().unwrap();
        drop(saves);
        assert_eq!(open().1, set(16));
    }

    #[test]
    fn a_failure_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let (mut saves, _) = Saves::open(Disk::open(folder.path(), &spec()).unwrap()).unwrap();
        std::fs::remove_dir_all(folder.path()).unwrap();
        saves.keep(set(4)).unwrap();
        saves.keep(set(8)).unwrap_err();
    }
}
