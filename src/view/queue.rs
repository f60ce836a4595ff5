//! The queue to the thread that writes bars or lines.
//!
//! Rule: nothing that has something to show waits for a terminal; items that the queue has no room for
//! are counted and left out.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
    mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
};

use super::sentences::sentence;
use crate::events::Event;

/// Events and log lines that wait for a terminal that does not take them; more are left out.
const WAITING: usize = 1024;

/// An item of the queue.
#[derive(Debug)]
pub(super) enum Said {
    Event(Event),
    /// Lines of the log, each with its end.
    Log(String),
}

/// The sending half.
#[derive(Clone, Debug)]
pub(super) struct Say {
    said: SyncSender<Said>,
    lost: Arc<AtomicU64>,
}

/// The receiving half.
#[derive(Debug)]
pub(super) struct Saying {
    pub(super) said: Receiver<Said>,
    lost: Arc<AtomicU64>,
}

/// A new queue.
pub(super) fn queue() -> (Say, Saying) {
    let (sender, receiver) = sync_channel(WAITING);
    let lost = Arc::new(AtomicU64::new(0));
    (Say { said: sender, lost: Arc::clone(&lost) }, Saying { said: receiver, lost })
}

impl Say {
    /// Queues an item, or leaves it out if there is no room.
    pub(super) fn put(&self, said: Said) {
        // Progress is shown again soon.
        let is_missed = match &said {
            Said::Event(event) => sentence(event).is_some(),
            Said::Log(_) => true,
        };
        if matches!(self.said.try_send(said), Err(TrySendError::Full(_))) && is_missed {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Saying {
    /// The number of items left out since the last call.
    pub(super) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}
