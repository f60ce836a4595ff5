//! From a [`Config`] to a node that can be reached.
//!
//! Rule: whatever the user can have got wrong is said here, before anything runs: a node that
//! started listens on every address it was asked to.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use ffp2p_proto::NodeId;
use libp2p::Swarm;
use libp2p::identity::Keypair;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::address::{self, Target};
use crate::config::{BlobSource, Config, RunInfo};
use crate::connection::connections::is_dialable;
use crate::connection::dialer::{Dialer, MAX_FIXED};
use crate::connection::peers::Peers;
use crate::discovery::announcer::Announcer;
use crate::discovery::neighbours::Neighbours;
use crate::discovery::remembered::{self, MAX_REMEMBERED};
use crate::discovery::search::Search;
use crate::error::StartError;
use crate::event::Event;
use crate::event_loop::{EventLoop, Memory, TICK};
use crate::exchange::blob_fetching::Fetches;
use crate::handle::{COMMAND_QUEUE, Handle, Shared};
use crate::io::behaviour;
use crate::io::behaviour::Behaviour;
use crate::io::outbox::{EVENT_QUEUE, Outbox};
use crate::node_id;
use crate::wire::frames::MAX_SPEC;
use crate::wire::greeting::{Greeting, is_node_name, is_swarm_name};

/// Starts a node: a fresh identity, listening, looking for peers.
///
/// The events must be read; while nobody reads them, messages are dropped first, and at last the
/// network is not read either.
///
/// # Errors
/// When something in `config` cannot be used; the error says what to do.
pub async fn spawn(
    config: Config,
    blobs: Arc<dyn BlobSource>,
) -> Result<(Handle, mpsc::Receiver<Event>), StartError> {
    let given = check(&config)?;
    let key = Keypair::generate_ed25519();
    let peer = key.public().to_peer_id();
    let id = node_id::node_id(&peer)
        .ok_or_else(|| StartError::Setup("the new key has no node id".to_owned()))?;
    let run = config.run.as_ref().map(|run| run.id);
    let visits = config.visits;
    let greeting = Greeting { visits, ..Greeting::new(&config.name, &config.swarm, run) };
    let (swarm, mdns_error) = behaviour::swarm(key, &greeting, config.mdns)?;
    let memory = recall(config.remembered.clone()).await?;
    let neighbours = match &config.rendezvous {
        Some(folder) => Some(Neighbours::start(folder, peer, greeting.clone()).await?),
        None => None,
    };
    let now = Instant::now();
    let mdns = config.mdns.then(|| mdns_error.map_or(Ok(()), Err));
    let parts = Parts {
        dialer: dialer(peer, given, memory.as_ref(), now),
        announcer: if config.mdns { Announcer::open(peer, now) } else { None },
        search: Search::new(mdns, config.rendezvous.clone(), run.is_some(), now),
        swarm,
        greeting,
        memory,
        neighbours,
    };
    let (handle, mut event_loop, events) = assemble(id, parts, config.run, blobs);
    event_loop.listen(&config.listen).await?;
    tokio::spawn(event_loop.run());
    Ok((handle, events))
}

/// What is made of a [`Config`] before anything runs.
struct Parts {
    swarm: Swarm<Behaviour>,
    greeting: Greeting,
    dialer: Dialer,
    search: Search,
    announcer: Option<Announcer>,
    memory: Option<Memory>,
    neighbours: Option<Neighbours>,
}

/// Puts the event loop together with its queues.
fn assemble(
    id: NodeId,
    parts: Parts,
    run: Option<RunInfo>,
    blobs: Arc<dyn BlobSource>,
) -> (Handle, EventLoop, mpsc::Receiver<Event>) {
    let (command_sender, commands) = mpsc::channel(COMMAND_QUEUE);
    let (event_sender, events) = mpsc::channel(EVENT_QUEUE);
    let (stop_sender, stops) = mpsc::channel(1);
    let shared = Arc::new(Shared::default());
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let event_loop = EventLoop {
        own: id,
        swarm: parts.swarm,
        listeners: Vec::new(),
        claims: Vec::new(),
        is_listening: false,
        topic: behaviour::topic(&parts.greeting),
        run,
        started: Instant::now(),
        blobs,
        commands,
        stops,
        shared: Arc::clone(&shared),
        outbox: Outbox::new(event_sender),
        search: parts.search,
        announcer: parts.announcer,
        peers: Peers::new(parts.greeting),
        dialer: parts.dialer,
        dials: HashMap::new(),
        fetches: Fetches::default(),
        pending: HashMap::new(),
        work: JoinSet::new(),
        neighbours: parts.neighbours,
        memory: parts.memory,
        tick,
        ticks: 0,
    };
    (Handle { id, commands: command_sender, stops: stop_sender, shared }, event_loop, events)
}

/// Refuses what cannot work; reads the given addresses.
pub(crate) fn check(config: &Config) -> Result<Vec<(String, Target)>, StartError> {
    if !is_swarm_name(&config.swarm) {
        return Err(StartError::SwarmName(config.swarm.clone()));
    }
    if !is_node_name(&config.name) {
        return Err(StartError::NodeName(config.name.clone()));
    }
    if let Some(run) = config.run.as_ref().filter(|run| run.spec.len() > MAX_SPEC) {
        return Err(StartError::SpecTooLarge(run.spec.len()));
    }
    if config.peers.len() > MAX_FIXED - MAX_REMEMBERED {
        return Err(StartError::TooManyPeers(config.peers.len()));
    }
    let can_be = |target: &Target| match target {
        Target::Address(address) => is_dialable(address),
        Target::Name(_) => true,
    };
    let read = |text: &String| match address::parse(text).filter(can_be) {
        Some(target) => Ok((text.clone(), target)),
        None => Err(StartError::PeerAddress(text.clone())),
    };
    config.peers.iter().map(read).collect()
}

/// The addresses remembered from earlier.
async fn recall(path: Option<PathBuf>) -> Result<Option<Memory>, StartError> {
    let Some(path) = path else { return Ok(None) };
    let file = path.clone();
    let loaded = tokio::task::spawn_blocking(move || remembered::load(&file)).await;
    match loaded.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(known) => Ok(Some(Memory { path, known })),
        Err(source) => Err(StartError::Storage { path, source }),
    }
}

fn dialer(
    own: libp2p::PeerId,
    given: Vec<(String, Target)>,
    memory: Option<&Memory>,
    now: Instant,
) -> Dialer {
    let mut dialer = Dialer::new(own);
    for (text, target) in given {
        dialer.add_fixed(text, target, false, now);
    }
    for address in memory.iter().flat_map(|memory| &memory.known) {
        dialer.add_fixed(address.to_string(), Target::Address(address.clone()), true, now);
    }
    dialer
}
