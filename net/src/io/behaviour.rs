//! The libp2p protocols a node speaks, with every setting that differs from the default.
//!
//! Rule: every table a peer can fill has a bound here. Liveness is not decided here: pings only
//! find connections that are dead but not closed, and a silent peer is the business of whoever
//! reads its messages.

use std::collections::HashSet;
use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::Transport as _;
use libp2p::core::upgrade::Version;
use libp2p::gossipsub::{
    self, IdentTopic, IdentityTransform, MessageAuthenticity, ValidationMode,
    WhitelistSubscriptionFilter,
};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{Swarm, SwarmBuilder, identify, mdns, noise, ping, yamux};

use crate::error::StartError;
use crate::io::transport::{DIAL_TIMEOUT, Tcp};
use crate::wire::frames::{Codec, PROTOCOL};
use crate::wire::greeting::{Greeting, PROTOCOL_VERSION};
use crate::wire::limits::{MAX_GOSSIP_FRAME, MAX_GOSSIP_NAMES};

/// Gossip that only subscribes, and lets others subscribe, to the run's own topic.
pub(crate) type Gossip = gossipsub::Behaviour<IdentityTransform, WhitelistSubscriptionFilter>;

/// Between two pings of a connection.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// A ping that is not answered within this time has failed.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// Connections that are being set up by peers at once.
const MAX_PENDING_IN: u32 = 32;

/// Connections that are being set up by this node at once.
const MAX_PENDING_OUT: u32 = 64;

/// Connections at once.
const MAX_CONNECTIONS: u32 = 64;

/// Connections with one peer. With 1, two peers that dial each other at once would close both.
const MAX_CONNECTIONS_PER_PEER: u32 = 2;

/// An idle connection is kept this long: a peer of another run has little to say.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// A request that is not answered within this time has failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Requests of one connection at once.
const MAX_STREAMS: usize = 256;

/// Between two rounds of gossip's own housekeeping.
const GOSSIP_HEARTBEAT: Duration = Duration::from_millis(700);

/// A broadcast that comes again within this time is recognised.
const GOSSIP_MEMORY: Duration = Duration::from_secs(60);

/// Interval of the multicast queries over IPv4, and how long an answer holds.
const QUERIES_4: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

/// The same over IPv6, where a host queries and answers once for each of its several addresses, and
/// nodes announce themselves without being queried.
const QUERIES_6: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(60));

/// All protocols of a node.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    /// Multicast DNS over IPv4.
    mdns4: Toggle<mdns::tokio::Behaviour>,
    /// Multicast DNS over IPv6, for hosts without IPv4.
    mdns6: Toggle<mdns::tokio::Behaviour>,
    pub(crate) gossip: Gossip,
    pub(crate) requests: request_response::Behaviour<Codec>,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// The gossip topic of a run.
pub(crate) fn topic(greeting: &Greeting) -> Option<IdentTopic> {
    greeting.run.map(|run| IdentTopic::new(format!("ffp2p/1/{run}")))
}

/// A swarm that listens nowhere yet, and why mDNS does not work in it if `with_mdns`.
pub(crate) fn swarm(
    key: Keypair,
    greeting: &Greeting,
    with_mdns: bool,
) -> Result<(Swarm<Behaviour>, Option<String>), StartError> {
    let setup = |error: &dyn std::fmt::Display| StartError::Setup(error.to_string());
    let mdns = |over_ipv6| match with_mdns.then(|| multicast(&key, over_ipv6)).transpose() {
        Ok(mdns) => (mdns, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let ((mdns4, no_mdns4), (mdns6, no_mdns6)) = (mdns(false), mdns(true));
    let behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(limits()),
        mdns4: mdns4.into(),
        mdns6: mdns6.into(),
        gossip: gossip(&key, greeting).map_err(StartError::Setup)?,
        requests: requests(),
        identify: identify::Behaviour::new(
            identify::Config::new(PROTOCOL_VERSION.to_owned(), key.public())
                .with_agent_version(greeting.to_string())
                .with_push_listen_addr_updates(true),
        ),
        ping: ping::Behaviour::new(
            ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT),
        ),
    };
    let swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_other_transport(|key| {
            let secure = noise::Config::new(key)?;
            Ok(Tcp::new()
                .upgrade(Version::V1Lazy)
                .authenticate(secure)
                .multiplex(yamux::Config::default()))
        })
        .map_err(|error| setup(&error))?
        .with_behaviour(|_| behaviour)
        .map_err(|error| setup(&error))?
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(IDLE_TIMEOUT)
                // One round trip less for every request.
                .with_substream_upgrade_protocol_override(Version::V1Lazy)
        })
        .with_connection_timeout(DIAL_TIMEOUT)
        .build();
    Ok((swarm, no_mdns4.and(no_mdns6)))
}

fn limits() -> ConnectionLimits {
    ConnectionLimits::default()
        .with_max_pending_incoming(Some(MAX_PENDING_IN))
        .with_max_pending_outgoing(Some(MAX_PENDING_OUT))
        .with_max_established(Some(MAX_CONNECTIONS))
        .with_max_established_per_peer(Some(MAX_CONNECTIONS_PER_PEER))
}

fn multicast(key: &Keypair, over_ipv6: bool) -> std::io::Result<mdns::tokio::Behaviour> {
    let (query_interval, ttl) = if over_ipv6 { QUERIES_6 } else { QUERIES_4 };
    let config = mdns::Config { ttl, query_interval, enable_ipv6: over_ipv6 };
    mdns::tokio::Behaviour::new(config, key.public().to_peer_id())
}

fn gossip(key: &Keypair, greeting: &Greeting) -> Result<Gossip, String> {
    let config = gossipsub::ConfigBuilder::default()
        .mesh_n(4)
        .mesh_n_low(2)
        .mesh_n_high(8)
        .mesh_outbound_min(1)
        .heartbeat_interval(GOSSIP_HEARTBEAT)
        .max_transmit_size(MAX_GOSSIP_FRAME)
        .max_control_messages_sent(MAX_GOSSIP_NAMES)
        // "Do not send me this" costs as much as the second copy that it saves.
        .idontwant_message_size_threshold(MAX_GOSSIP_FRAME)
        .validation_mode(ValidationMode::Strict)
        .validate_messages()
        .duplicate_cache_time(GOSSIP_MEMORY)
        .flood_publish(true)
        .build()
        .map_err(|error| error.to_string())?;
    let topic = topic(greeting);
    let allowed: HashSet<_> = topic.iter().map(IdentTopic::hash).collect();
    let mut gossip = gossipsub::Behaviour::new_with_subscription_filter(
        MessageAuthenticity::Signed(key.clone()),
        config,
        WhitelistSubscriptionFilter(allowed),
    )
    .map_err(str::to_owned)?;
    if let Some(topic) = topic {
        gossip.subscribe(&topic).map_err(|error| error.to_string())?;
    }
    Ok(gossip)
}

fn requests() -> request_response::Behaviour<Codec> {
    let config = request_response::Config::default()
        .with_request_timeout(REQUEST_TIMEOUT)
        .with_max_concurrent_streams(MAX_STREAMS);
    request_response::Behaviour::with_codec(Codec, [(PROTOCOL, ProtocolSupport::Full)], config)
}
