//! The owner's end of the network.
//!
//! Rule: nothing here waits for the network, except where the documentation says so. What cannot be
//! queued is counted and logged, and a fetch that cannot be queued is still reported.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ffp2p_proto::{BlobRef, Hash, Message, NodeId};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::discovery::report::Report;
use crate::error::FetchError;
use crate::exchange::outbound::SpecReply;
use crate::io::counters::{Counters, Traffic};
use crate::wire::about::{Described, Progress};

/// Commands that wait for the event loop.
const COMMAND_QUEUE: usize = 4096;

/// Fetches that found the queue full and wait to be reported as failed.
const MAX_LOST_FETCHES: usize = 4096;

/// Requests of the owner to the event loop.
#[derive(Debug)]
pub(crate) enum Command {
    Broadcast(Message),
    Send(NodeId, Message),
    Fetch(BlobRef, NodeId),
    FetchSpec(NodeId, Hash, SpecReply),
    Disconnect(NodeId),
    Describe(Progress),
    Report(oneshot::Sender<Report>),
}

/// The state that handles and the event loop share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    counters: Arc<Counters>,
    dropped: AtomicU64,
    lost: Mutex<VecDeque<(Hash, NodeId)>>,
    /// Wakes the event loop when a lost fetch is to be reported.
    some_lost: Notify,
}

impl Shared {
    /// Waits until there are fetches that were never started.
    pub(crate) async fn some_lost(&self) {
        self.some_lost.notified().await;
    }

    /// The fetches that were never started.
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

/// The event loop's end of its handles.
#[derive(Debug)]
pub(crate) struct Commands {
    pub(crate) queue: mpsc::Receiver<Command>,
    /// Apart from the commands, so that a node whose events nobody reads still ends.
    pub(crate) stop: mpsc::Receiver<()>,
    pub(crate) shared: Arc<Shared>,
}

/// The task that runs the event loop; `None` once its end was noted.
type Task = Arc<tokio::sync::Mutex<Option<JoinHandle<()>>>>;

/// Talks to the event loop; clone it freely. The loop ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Handle {
    id: NodeId,
    commands: mpsc::Sender<Command>,
    stop: mpsc::Sender<()>,
    shared: Arc<Shared>,
    task: Task,
}

impl Handle {
    /// Starts the task that `task` makes for the other end of the new handle.
    pub(crate) fn start(
        id: NodeId,
        counters: Arc<Counters>,
        task: impl FnOnce(Commands) -> JoinHandle<()>,
    ) -> Self {
        let (commands, queue) = mpsc::channel(COMMAND_QUEUE);
        let (stop, stops) = mpsc::channel(1);
        let shared = Arc::new(Shared { counters, ..Shared::default() });
        let task = task(Commands { queue, stop: stops, shared: Arc::clone(&shared) });
        Self { id, commands, stop, shared, task: Arc::new(Some(task).into()) }
    }

    /// This node's name.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Sends `message` to every peer of the run. It may be lost.
    pub fn broadcast(&self, message: Message) {
        self.queue(Command::Broadcast(message));
    }

    /// Sends `message` to one peer. It may be lost.
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

    /// Tells peers that ask from now on how far the run is.
    pub fn describe(&self, progress: Progress) {
        self.queue(Command::Describe(progress));
    }

    /// Payload bytes so far.
    pub fn traffic(&self) -> Traffic {
        self.shared.counters.traffic()
    }

    /// Waits for the spec of `run` from a connected peer, and for that peer's description of it. The
    /// caller checks whether the spec is that of `run`.
    ///
    /// # Errors
    /// When the peer does not deliver it.
    pub async fn fetch_spec(&self, from: NodeId, run: Hash) -> Result<Described, FetchError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::FetchSpec(from, run, reply);
        self.commands.send(command).await.map_err(|_| FetchError::Closed)?;
        answer.await.unwrap_or(Err(FetchError::Closed))
    }

    /// Waits for a report of everything tried so far to find peers; `None` when the node is shut
    /// down.
    pub async fn report(&self) -> Option<Report> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Report(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Waits until every message has left, every connection is closed, this node's file in the
    /// rendezvous folder is removed, and the network's task has ended. Each of these has a time limit;
    /// together they take seconds at most. A task that ended by a panic is logged as an error.
    pub async fn shutdown(self) {
        // An error means that the loop has ended already.
        let _ = self.stop.send(()).await;
        let mut task = self.task.lock().await;
        if let Some(running) = task.as_mut() {
            let ended = running.await;
            *task = None;
            if let Err(error) = ended {
                tracing::error!("the network ended by a defect: {error}");
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: NodeId = NodeId([2; 32]);

    fn blob(number: u64) -> BlobRef {
        BlobRef { hash: Hash([1; 32]), size: number }
    }

    fn handle(task: impl FnOnce(Commands) -> JoinHandle<()>) -> Handle {
        Handle::start(NodeId([1; 32]), Arc::default(), task)
    }

    #[tokio::test]
    async fn a_fetch_that_finds_the_queue_full_is_still_reported() {
        let (sender, receiver) = oneshot::channel();
        let handle = handle(|commands| {
            let _ = sender.send(commands);
            tokio::spawn(async {})
        });
        let commands = receiver.await.unwrap();
        for number in 0..=COMMAND_QUEUE as u64 {
            handle.fetch(blob(number), PEER);
        }
        commands.shared.some_lost().await;
        assert_eq!(commands.shared.take_lost(), [(blob(0).hash, PEER)]);
        assert!(commands.shared.take_lost().is_empty());
    }

    #[tokio::test]
    async fn shutdown_waits_for_the_end_of_the_task_also_of_a_second_handle() {
        let ended = Arc::new(AtomicU64::new(0));
        let task = Arc::clone(&ended);
        let handle = handle(|mut commands| {
            tokio::spawn(async move {
                commands.stop.recv().await;
                tokio::task::yield_now().await;
                task.store(1, Ordering::SeqCst);
            })
        });
        let other = handle.clone();
        tokio::join!(handle.shutdown(), other.shutdown());
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_task_that_panicked_is_noted_and_does_not_hang_its_owner() {
        let handle = handle(|commands| {
            tokio::spawn(async move {
                drop(commands);
                panic!("on purpose");
            })
        });
        handle.clone().shutdown().await;
        assert_eq!(handle.fetch_spec(PEER, Hash([0; 32])).await, Err(FetchError::Closed));
        assert_eq!(handle.report().await, None);
        assert!(handle.task.lock().await.is_none());
    }
}
