//! The thread that brings a store to what is to be kept.
//!
//! Rule: nothing that waits is ever skipped, and what waits is bounded by what is to be kept: a
//! checkpoint that is forgotten before it was written is not written at all, and forgetting what was
//! never kept is no work. The first failure, a panic too, ends the writing and is reported once.

use std::{
    collections::{BTreeSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use bytes::Bytes;
use ffp2p_proto::{Checkpoint, Hash};

use super::{disk::Disk, error::StoreError};

enum Task {
    Keep(Checkpoint, Bytes),
    Forget(Hash),
}

impl Task {
    fn keeps(&self, hash: Hash) -> bool {
        matches!(self, Self::Keep(checkpoint, _) if checkpoint.blob.hash == hash)
    }
}

/// The tasks that are still to be done, in order.
#[derive(Default)]
struct Due {
    tasks: VecDeque<Task>,
    /// The blobs that are on disk once all is done.
    kept: BTreeSet<Hash>,
    /// Whether the thread is at a task.
    busy: bool,
    /// Whether nothing more is taken.
    closed: bool,
}

/// The queue to the thread.
#[derive(Default)]
struct Queue {
    due: Mutex<Due>,
    more: Condvar,
    idle: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Due> {
        // Every change is one step, so a poisoned lock still guards a good list.
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next task; `None` when the queue is closed and empty.
    fn next(&self) -> Option<Task> {
        let waits = |due: &mut Due| due.tasks.is_empty() && !due.closed;
        let mut due = self.lock();
        due.busy = false;
        if due.tasks.is_empty() {
            self.idle.notify_all();
        }
        let mut due = self.more.wait_while(due, waits).unwrap_or_else(PoisonError::into_inner);
        let task = due.tasks.pop_front();
        due.busy = task.is_some();
        task
    }
}

/// The end of a thread that has a bug.
const PANICKED: StoreError = StoreError::Panicked("thread that writes checkpoints");

/// Closes the queue when the thread ends, however it ends.
struct Ends(Arc<Queue>);

impl Drop for Ends {
    fn drop(&mut self) {
        let mut due = self.0.lock();
        due.closed = true;
        due.busy = false;
        due.tasks.clear();
        self.0.idle.notify_all();
    }
}

/// A store's writing thread.
pub(crate) struct Writer {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("waiting", &self.queue.lock().tasks.len()).finish()
    }
}

impl Writer {
    /// Starts the thread; `kept` is on disk already. `failed` is called at most once, when nothing more is
    /// written.
    pub(crate) fn start(
        disk: Disk,
        kept: BTreeSet<Hash>,
        failed: impl FnOnce(StoreError) + Send + 'static,
    ) -> Self {
        let due = Due { kept, ..Due::default() };
        let queue = Arc::new(Queue { due: Mutex::new(due), ..Queue::default() });
        let own = Arc::clone(&queue);
        let thread = std::thread::spawn(move || {
            let ends = Ends(own);
            let written = catch_unwind(AssertUnwindSafe(|| write(&disk, &ends.0)));
            drop(ends);
            if let Err(error) = written.unwrap_or(Err(PANICKED)) {
                failed(error);
            }
        });
        Self { queue, thread: Mutex::new(Some(thread)) }
    }

    /// Puts a checkpoint on disk, some time soon.
    pub(crate) fn keep(&self, checkpoint: Checkpoint, bytes: Bytes) {
        let mut due = self.queue.lock();
        if !due.closed && due.kept.insert(checkpoint.blob.hash) {
            due.tasks.push_back(Task::Keep(checkpoint, bytes));
            self.queue.more.notify_one();
        }
    }

    /// Takes a checkpoint off the disk, some time soon.
    pub(crate) fn forget(&self, hash: Hash) {
        let mut due = self.queue.lock();
        if due.closed || !due.kept.remove(&hash) {
            return;
        }
        match due.tasks.iter().position(|task| task.keeps(hash)) {
            Some(waiting) => {
                due.tasks.remove(waiting);
            }
            None => {
                due.tasks.push_back(Task::Forget(hash));
                self.queue.more.notify_one();
            }
        }
    }

    /// Waits until nothing is due.
    pub(crate) fn flush(&self) {
        let works = |due: &mut Due| due.busy || !due.tasks.is_empty();
        drop(self.queue.idle.wait_while(self.queue.lock(), works));
    }

    /// Whether no more is taken.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.lock().closed
    }

    /// Waits until all is done and the thread has ended, and takes no more.
    ///
    /// # Errors
    /// If the thread panicked while it reported a failure.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        self.queue.lock().closed = true;
        self.queue.more.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.map_or(Ok(()), JoinHandle::join).map_err(|_| PANICKED)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "a writer that was never closed");
        }
    }
}

/// Does what is due until the queue is closed.
fn write(disk: &Disk, queue: &Queue) -> Result<(), StoreError> {
    while let Some(task) = queue.next() {
        match task {
            Task::Keep(checkpoint, bytes) => disk.keep(&checkpoint, &bytes)?,
            Task::Forget(hash) => disk.forget(hash)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk_tests::{checkpoint, spec};

    #[test]
    fn the_store_ends_as_it_was_asked_to() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path(), &spec()).unwrap();
        let writer = Writer::start(disk, BTreeSet::new(), |error| panic!("{error}"));
        let blob = |step: u64| Bytes::from(step.to_string());
        for step in 0..200 {
            writer.keep(checkpoint(step, &blob(step)), blob(step));
            writer.forget(Hash::of(&blob(step.saturating_sub(3))));
            writer.forget(Hash::of(b"a batch that was never kept"));
        }
        writer.flush();
        assert!(writer.queue.lock().tasks.is_empty());
        writer.close().unwrap();
        writer.flush();
        let disk = Disk::open(folder.path(), &spec()).unwrap();
        let steps: Vec<u64> = disk.checkpoints().unwrap().iter().map(|(it, _)| it.step).collect();
        assert_eq!(steps, [197, 198, 199]);
    }

    #[test]
    fn a_failure_is_reported_once() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path(), &spec()).unwrap();
        std::fs::remove_dir_all(folder.path()).unwrap();
        let (say, told) = std::sync::mpsc::sync_channel(8);
        let writer = Writer::start(disk, BTreeSet::new(), move |error| say.send(error).unwrap());
        for step in 1..4 {
            let bytes = Bytes::from(vec![step as u8]);
            writer.keep(checkpoint(step, &bytes), bytes);
        }
        writer.close().unwrap();
        assert_eq!(told.iter().count(), 1);
    }
}
