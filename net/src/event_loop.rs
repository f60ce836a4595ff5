//! The one task that owns the swarm.
//!
//! Rule: one `select!`, one named method per arm, and no arm waits for anything: what takes time
//! (files, names, hashes, other people's blobs) is work beside the loop whose end is one more
//! event. The methods live in `connections` (who is there), `listening` (where we
//! are), `asking` (our side of the talk)
//! and `hearing` (the others').

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ffp2p_proto::NodeId;
use futures::StreamExt as _;
use libp2p::core::transport::ListenerId;
use libp2p::gossipsub::IdentTopic;
use libp2p::request_response::{OutboundRequestId, ResponseChannel};
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, Swarm};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval};

use crate::config::{BlobSource, RunInfo};
use crate::connection::dialer::{Dialer, Via};
use crate::connection::peers::Peers;
use crate::connection::ports::Claim;
use crate::discovery::announcer::Announcer;
use crate::discovery::neighbours::Neighbours;
use crate::discovery::remembered;
use crate::discovery::rendezvous::Entry;
use crate::discovery::report::Report;
use crate::discovery::search::Search;
use crate::error::FetchError;
use crate::event::Event;
use crate::exchange::blob_fetching::Fetches;
use crate::exchange::outbound::{Pending, Whole};
use crate::handle::{Command, Shared};
use crate::io::behaviour::Behaviour;
use crate::io::outbox::Outbox;
use crate::wire::frames::Answer;

/// Between looks at everything that only time brings. Each wakes the whole swarm.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// Commands that are taken at once.
const MAX_COMMANDS: usize = 64;

/// Ticks between questions to one peer about whom it knows.
const ASK_PEERS_TICKS: u64 = 12;

/// Ticks between looks whether there are new addresses to remember.
const REMEMBER_TICKS: u64 = 40;

/// The longest wait for what was said to leave, at the end.
const FLUSH: Duration = Duration::from_millis(700);

/// The longest wait for the connections to close, at the end.
const CLOSE: Duration = Duration::from_millis(300);

/// Work that was done beside the loop.
pub(crate) enum Done {
    /// Something that was asked of us was looked up.
    Answer(ResponseChannel<Answer>, Answer),
    /// Blobs' bytes were compared with their names.
    Verified(Vec<Whole>),
    /// A host name was looked up.
    Resolved(usize, Result<Vec<Multiaddr>, String>),
    /// The remembered addresses were saved.
    Saved(std::io::Result<()>),
}

/// The file of remembered addresses.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) path: PathBuf,
    pub(crate) known: Vec<Multiaddr>,
}

pub(crate) struct EventLoop {
    /// Our own name.
    pub(crate) own: NodeId,
    pub(crate) swarm: Swarm<Behaviour>,
    /// Our listening sockets.
    pub(crate) listeners: Vec<(ListenerId, SocketAddr)>,
    /// The ports that are ours as long as we run.
    pub(crate) claims: Vec<Claim>,
    /// Whether the owner was told where we can be reached.
    pub(crate) is_listening: bool,
    pub(crate) topic: Option<IdentTopic>,
    pub(crate) run: Option<RunInfo>,
    pub(crate) started: Instant,
    pub(crate) blobs: Arc<dyn BlobSource>,
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Apart from the commands, so that a node whose events nobody reads still ends.
    pub(crate) stops: mpsc::Receiver<oneshot::Sender<()>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) outbox: Outbox,
    pub(crate) peers: Peers,
    pub(crate) dialer: Dialer,
    /// Which given address a connection attempt is for.
    pub(crate) dials: HashMap<ConnectionId, usize>,
    pub(crate) fetches: Fetches,
    pub(crate) pending: HashMap<OutboundRequestId, Pending>,
    pub(crate) work: JoinSet<Done>,
    pub(crate) neighbours: Option<Neighbours>,
    pub(crate) search: Search,
    /// None without multicast DNS.
    pub(crate) announcer: Option<Announcer>,
    pub(crate) memory: Option<Memory>,
    pub(crate) tick: Interval,
    pub(crate) ticks: u64,
}

impl EventLoop {
    /// Runs until it is told to stop, or nobody is left who could tell it.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::new();
        let reply = loop {
            let open = self.outbox.has_room();
            tokio::select! {
                event = self.swarm.select_next_some(), if open => self.on_swarm(event),
                1.. = self.commands.recv_many(&mut batch, MAX_COMMANDS), if open => {
                    self.on_commands(&mut batch);
                }
                stop = self.stops.recv() => break stop,
                () = self.shared.some_lost.notified(), if open => self.on_lost_fetches(),
                () = self.outbox.deliver(), if !self.outbox.is_empty() => {}
                Some(done) = self.work.join_next() => self.on_done(done),
                Some(entries) = seen(&mut self.neighbours) => self.on_neighbours(entries),
                _ = self.tick.tick() => self.on_tick(Instant::now()),
            }
        };
        // What was said before the end was asked for is still in the queue.
        while let Ok(command) = self.commands.try_recv() {
            batch.push(command);
        }
        self.on_commands(&mut batch);
        self.finish().await;
        if let Some(reply) = reply {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(());
        }
    }

    /// Does what was asked for meanwhile; what is to be fetched from one peer is asked for at once.
    fn on_commands(&mut self, batch: &mut Vec<Command>) {
        let mut sources = BTreeSet::new();
        for command in batch.drain(..) {
            if let Command::Fetch(_, from) = command {
                sources.insert(from);
            }
            self.on_command(command);
        }
        sources.into_iter().for_each(|from| self.ask_for_pieces(from));
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Broadcast(message) => self.broadcast(&message),
            Command::Send(to, message) => self.send(to, &message),
            Command::Fetch(blob, from) => self.fetch(blob, from),
            Command::FetchSpec(from, run, reply) => self.fetch_spec(from, run, reply),
            Command::Disconnect(node) => self.disconnect(node),
            Command::Report(reply) => {
                let _ = reply.send(self.report());
            }
        }
    }

    fn on_lost_fetches(&mut self) {
        for (hash, from) in self.shared.take_lost() {
            self.outbox.push(Event::FetchFailed { hash, from, reason: FetchError::Busy });
        }
    }

    fn on_done(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Answer(channel, answer)) => self.answer(channel, answer),
            Ok(Done::Verified(blobs)) => self.on_verified(blobs),
            Ok(Done::Resolved(index, result)) => self.on_resolved(index, result),
            Ok(Done::Saved(Ok(()))) => {}
            Ok(Done::Saved(Err(error))) => {
                tracing::warn!("the addresses of peers cannot be saved: {error}");
            }
            // A blob source panicked: its asker sees a failed request.
            Err(error) => tracing::error!("work beside the event loop failed: {error}"),
        }
    }

    fn on_neighbours(&mut self, entries: Vec<Entry>) {
        let now = Instant::now();
        self.search.neighbours(entries.len());
        for entry in entries {
            if entry.swarm == self.peers.own.swarm {
                self.dialer.found(entry.peer, Via::Rendezvous, entry.nearest(), now);
            }
        }
        self.dial_due(now);
    }

    pub(crate) fn on_tick(&mut self, now: Instant) {
        self.ticks += 1;
        for id in self.peers.ids() {
            self.announce(&id, now);
        }
        for id in self.peers.deaf(now) {
            tracing::warn!(peer = %id, "its gossip subscription was lost; connecting again");
            self.close(id);
        }
        self.dial_due(now);
        if let Some(announcer) = &mut self.announcer {
            announcer.announce(self.swarm.listeners(), now);
        }
        if self.ticks.is_multiple_of(ASK_PEERS_TICKS) {
            self.ask_someone_for_peers(self.ticks / ASK_PEERS_TICKS);
        }
        if self.ticks.is_multiple_of(REMEMBER_TICKS) {
            self.remember();
        }
        if self.search.speak_up(now) {
            let report = self.report();
            self.outbox.push(Event::Alone(Box::new(report)));
        }
    }

    pub(crate) fn report(&self) -> Report {
        let everywhere = self.listeners.iter().any(|(_, at)| at.ip().is_unspecified());
        let addresses = self.addresses();
        self.search.report(&self.peers.own, addresses, everywhere, &self.dialer)
    }

    /// Saves where peers are, if that changed.
    fn remember(&mut self) {
        let Some(memory) = &mut self.memory else { return };
        let here: Vec<_> =
            self.peers.greeted().flat_map(|peer| peer.addresses.iter().cloned()).collect();
        let all = remembered::merge(here, &memory.known);
        if all != memory.known {
            memory.known.clone_from(&all);
            let path = memory.path.clone();
            self.work.spawn_blocking(move || Done::Saved(remembered::save(&path, &all)));
        }
    }

    /// Lets what was said leave, closes every connection, removes our traces.
    async fn finish(mut self) {
        self.remember();
        self.flush_all();
        let deadline = Instant::now() + FLUSH;
        while self.pending.values().any(Pending::is_said)
            && let Ok(event) =
                tokio::time::timeout_at(deadline, self.swarm.select_next_some()).await
        {
            self.on_swarm(event);
        }
        let connected: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in connected {
            // It may have closed by itself.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let deadline = Instant::now() + CLOSE;
        while self.swarm.connected_peers().next().is_some()
            && tokio::time::timeout_at(deadline, self.swarm.select_next_some()).await.is_ok()
        {
        }
        if let Some(neighbours) = self.neighbours.take() {
            neighbours.stop().await;
        }
        let deadline = Instant::now() + CLOSE;
        while let Ok(Some(done)) = tokio::time::timeout_at(deadline, self.work.join_next()).await {
            self.on_done(done);
        }
    }
}

/// The next look at the rendezvous folder, if there is one.
async fn seen(neighbours: &mut Option<Neighbours>) -> Option<Vec<Entry>> {
    match neighbours {
        Some(neighbours) => neighbours.seen().await,
        None => None,
    }
}
