//! The owner's end of the network.
//!
//! Rule: nothing here waits for the network, except where the name says so. What cannot be
//! queued is counted and logged, and a fetch that cannot be queued is still reported.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ffp2p_proto::{BlobRef, Hash, Message, NodeId};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::discovery::report::Report;
use crate::error::FetchError;
use crate::wire::about::Described;

/// Commands that wait for the event loop.
pub(crate) const COMMAND_QUEUE: usize = 4096;

/// Fetches that found the queue full and wait to be reported as failed.
const MAX_LOST_FETCHES: usize = 4096;

/// What the event loop is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Broadcast(Message),
    Send(NodeId, Message),
    Fetch(BlobRef, NodeId),
    FetchSpec(NodeId, Hash, oneshot::Sender<Result<Described, FetchError>>),
    Disconnect(NodeId),
    Report(oneshot::Sender<Report>),
}

/// What was said since the start: payload bytes, without the transport's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Received.
    pub bytes_in: u64,
    /// Sent.
    pub bytes_out: u64,
    /// Broadcasts of others, among what was received.
    pub gossip_in: u64,
    /// Broadcasts of others that were passed on, because not all may have heard them.
    pub passed_on: u64,
}

/// What the handle and the event loop both see.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    gossip_in: AtomicU64,
    passed_on: AtomicU64,
    dropped: AtomicU64,
    lost: Mutex<VecDeque<(Hash, NodeId)>>,
    /// Wakes the event loop when a lost fetch is to be reported.
    pub(crate) some_lost: Notify,
}

impl Shared {
    pub(crate) fn count_in(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_gossip_in(&self, bytes: usize) {
        self.count_in(bytes);
        self.gossip_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_out(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_passed_on(&self) {
        self.passed_on.fetch_add(1, Ordering::Relaxed);
    }

    /// Fetches that were never started.
    pub(crate) fn take_lost(&self) -> VecDeque<(Hash, NodeId)> {
        std::mem::take(&mut self.lost.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lose_fetch(&self, hash: Hash, from: NodeId) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.len() < MAX_LOST_FETCHES {
            lost.push_back((hash, from));
        } else {
            tracing::error!(%hash, %from, "far too many fetches at once; this one is forgotten");
        }
        drop(lost);
        self.some_lost.notify_one();
    }
}

/// Talks to the event loop; clone it freely. The loop ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) id: NodeId,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) stops: mpsc::Sender<oneshot::Sender<()>>,
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    /// This node's name.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Says `message` to every peer of the run. It may be lost.
    pub fn broadcast(&self, message: Message) {
        self.queue(Command::Broadcast(message));
    }

    /// Says `message` to one peer. It may be lost.
    pub fn send(&self, to: NodeId, message: Message) {
        self.queue(Command::Send(to, message));
    }

    /// Fetches a blob from a peer; the answer is one `Fetched` or `FetchFailed` event.
    pub fn fetch(&self, blob: BlobRef, from: NodeId) {
        if !self.queue(Command::Fetch(blob, from)) {
            self.shared.lose_fetch(blob.hash, from);
        }
    }

    /// Closes every connection with a peer; both may connect again.
    pub fn disconnect(&self, peer: NodeId) {
        self.queue(Command::Disconnect(peer));
    }

    /// Payload bytes so far.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            bytes_in: self.shared.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.shared.bytes_out.load(Ordering::Relaxed),
            gossip_in: self.shared.gossip_in.load(Ordering::Relaxed),
            passed_on: self.shared.passed_on.load(Ordering::Relaxed),
        }
    }

    /// Waits for the spec of `run` from a connected peer, and for what that peer says of it. The
    /// caller checks what it is.
    ///
    /// # Errors
    /// When the peer does not deliver it.
    pub async fn fetch_spec(&self, from: NodeId, run: Hash) -> Result<Described, FetchError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::FetchSpec(from, run, reply);
        self.commands.send(command).await.map_err(|_| FetchError::Closed)?;
        answer.await.unwrap_or(Err(FetchError::Closed))
    }

    /// What was tried so far to find peers; `None` when the node is shut down.
    pub async fn report(&self) -> Option<Report> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Report(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Waits until what was said has left, closes every connection and removes the traces in
    /// the rendezvous folder. Takes about a second at most.
    pub async fn shutdown(self) {
        let (reply, done) = oneshot::channel();
        if self.stops.send(reply).await.is_ok() {
            // An error means that the loop is gone, which is what was asked for.
            let _ = done.await;
        }
    }

    /// False when the command was dropped.
    fn queue(&self, command: Command) -> bool {
        let Err(error) = self.commands.try_send(command) else { return true };
        let dropped = self.shared.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if dropped.is_power_of_two() {
            tracing::warn!(dropped, "a command for the network was dropped: {error}");
        }
        false
    }
}
