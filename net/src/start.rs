//! From a [`Config`] to a node that can be reached.
//!
//! Rule: every mistake of the user is reported here, before anything runs: a node that started
//! listens on every address of its settings.

use std::sync::Arc;

use libp2p::identity::Keypair;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::Config;
use crate::connection::connections::Connections;
use crate::connection::dialing::Dialing;
use crate::connection::listening::Listening;
use crate::discovery::Discovery;
use crate::dispatch::Duties;
use crate::error::StartError;
use crate::event::Event;
use crate::event_loop;
use crate::exchange::blob_serving::BlobSource;
use crate::exchange::broadcasts::Broadcasts;
use crate::exchange::inbound::Inbound;
use crate::exchange::outbound::Outbound;
use crate::handle::Handle;
use crate::io::counters::Counters;
use crate::io::outbox::{EVENT_QUEUE, Outbox};
use crate::io::{Io, behaviour};
use crate::wire::greeting::Greeting;
use crate::wire::node_id;

/// Starts a node: a fresh identity, listening, looking for peers.
///
/// The events must be read; while nobody reads them, messages are dropped first, and at last the
/// network is not read either.
///
/// ```
/// use ffp2p_net::{Config, Event, Listen, NoBlobs, spawn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listen = Listen::At(vec!["127.0.0.1:0".parse()?]);
/// let config = Config { listen, mdns: false, ..Config::default() };
/// let (node, mut events) = spawn(config, std::sync::Arc::new(NoBlobs)).await?;
/// let Some(Event::Listening(addresses)) = events.recv().await else { panic!("not listening") };
/// assert!(addresses[0].ip().is_loopback());
/// node.shutdown().await;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When something in `config` cannot be used; the error says what to do.
pub async fn spawn(
    config: Config,
    blobs: Arc<dyn BlobSource>,
) -> Result<(Handle, mpsc::Receiver<Event>), StartError> {
    let given = config.targets()?;
    let key = Keypair::generate_ed25519();
    let peer = key.public().to_peer_id();
    let own = node_id::node_id(&peer)
        .ok_or_else(|| StartError::Setup("the new key has no node id".to_owned()))?;
    let run = config.run.as_ref().map(|run| run.id);
    let visits = config.visits;
    let greeting = Greeting { visits, ..Greeting::new(&config.name, &config.swarm, run) };
    let (mut swarm, mdns_error) = behaviour::swarm(key, &greeting, config.mdns)?;
    let discovery = Discovery::start(&config, peer, &greeting, mdns_error).await?;
    let mut dialing = Dialing::new(peer);
    let now = Instant::now();
    given.into_iter().for_each(|(text, target)| dialing.add_given(text, target, now));
    discovery.remembered().for_each(|address| dialing.add_remembered(address.clone(), now));
    let (listening, early) = Listening::open(&config.listen, &mut swarm).await?;
    let (sender, events) = mpsc::channel(EVENT_QUEUE);
    let counters = Arc::new(Counters::default());
    let io = Io::new(swarm, Outbox::new(sender), Arc::clone(&counters));
    let duties = Duties {
        io,
        listening,
        dialing,
        broadcasts: Broadcasts::new(own, behaviour::topic(&greeting)),
        connections: Connections::new(greeting),
        inbound: Inbound::new(config.run, blobs),
        outbound: Outbound::new(run),
        discovery,
    };
    let start = |commands| tokio::spawn(event_loop::run(duties, commands, early));
    Ok((Handle::start(own, counters, start), events))
}
