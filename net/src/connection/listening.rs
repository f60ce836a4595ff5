//! The sockets of this node, and the addresses at which it can be reached.
//!
//! Rule: the owner hears of all addresses at once, when those of all interfaces are known, and
//! again when they change; with none of them a node does not start.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::SwarmEvent;
use libp2p::{Swarm, TransportError};
use tokio::time::Instant;

use crate::address;
use crate::config::Listen;
use crate::connection::ports::{Claim, claim, claim_everywhere};
use crate::error::StartError;
use crate::io::behaviour::{Behaviour, BehaviourEvent};

/// The longest wait for the first address.
const LISTEN: Duration = Duration::from_secs(3);

/// Addresses come together; when none came for this long, all are known.
const QUIET: Duration = Duration::from_millis(50);

/// The longest wait for further addresses.
const SETTLE: Duration = Duration::from_millis(500);

/// Other events that may come meanwhile; with more of them, no further address is waited for.
const MAX_EARLY: usize = 256;

/// Events that came before the node was up.
pub(crate) type EarlyEvents = Vec<SwarmEvent<BehaviourEvent>>;

/// The listening sockets of a node.
#[derive(Debug)]
pub(crate) struct Listening {
    sockets: Vec<(ListenerId, SocketAddr)>,
    /// The ports that belong to this node as long as it runs.
    _claims: Vec<Claim>,
}

impl Listening {
    /// Opens the sockets, and waits until the addresses are known.
    pub(crate) async fn open(
        listen: &Listen,
        swarm: &mut Swarm<Behaviour>,
    ) -> Result<(Self, EarlyEvents), StartError> {
        let claims = match listen {
            Listen::Everywhere(port) => claim_everywhere(*port).map_err(StartError::no_listener)?,
            Listen::At(addresses) => {
                let claim = |at: &SocketAddr| claim(*at).map_err(|e| StartError::listen(*at, &e));
                addresses.iter().map(claim).collect::<Result<_, _>>()?
            }
        };
        let mut sockets = Vec::new();
        for claim in &claims {
            let listener = swarm.listen_on(address::tcp(claim.at));
            let listener = listener.map_err(|error| match error {
                TransportError::Other(error) => StartError::listen(claim.at, &error),
                error => StartError::Setup(error.to_string()),
            })?;
            sockets.push((listener, claim.at));
        }
        let listening = Self { sockets, _claims: claims };
        let early =
            if listening.sockets.is_empty() { vec![] } else { listening.settle(swarm).await? };
        Ok((listening, early))
    }

    /// Waits until there is an address, and no more of them come. Returns the other events.
    async fn settle(&self, swarm: &mut Swarm<Behaviour>) -> Result<EarlyEvents, StartError> {
        let started = Instant::now();
        let mut early = Vec::new();
        while early.len() < MAX_EARLY {
            let known = swarm.listeners().next().is_some();
            let until = if known {
                (Instant::now() + QUIET).min(started + SETTLE)
            } else {
                started + LISTEN
            };
            match tokio::time::timeout_at(until, swarm.select_next_some()).await {
                Ok(SwarmEvent::NewListenAddr { .. }) => {}
                Ok(SwarmEvent::ListenerClosed { listener_id, reason: Err(error), .. }) => {
                    let socket = self.sockets.iter().find(|(id, _)| *id == listener_id);
                    if let Some((_, at)) = socket {
                        return Err(StartError::listen(*at, &error));
                    }
                }
                Ok(event) => early.push(event),
                Err(_) if known => break,
                Err(_) => return Err(StartError::NoInterface),
            }
        }
        Ok(early)
    }

    /// Whether the node listens on every interface.
    pub(crate) fn is_everywhere(&self) -> bool {
        self.sockets.iter().any(|(_, at)| at.ip().is_unspecified())
    }
}

/// The addresses at which other machines can reach the node, the likeliest first; loopback only if
/// there is nothing else.
pub(crate) fn addresses(swarm: &Swarm<Behaviour>) -> Vec<SocketAddr> {
    let known = swarm.listeners().filter_map(address::socket);
    best_first(known.collect(), outward())
}

fn best_first(mut all: Vec<SocketAddr>, outward: Option<IpAddr>) -> Vec<SocketAddr> {
    if all.iter().any(|at| !at.ip().is_loopback()) {
        all.retain(|at| !at.ip().is_loopback());
    }
    let rank = |at: &SocketAddr| {
        (address::is_link_local(at.ip()), Some(at.ip()) != outward, at.is_ipv6(), *at)
    };
    all.sort_by_key(rank);
    all.dedup();
    all
}

/// Our address on the route to other networks, which is rarely that of a virtual interface. Nothing
/// is sent: the system only chooses the route to an address that is reserved for documentation.
fn outward() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|at| at.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(all: &[&str], outward: Option<&str>) -> Vec<String> {
        let all = all.iter().map(|text| text.parse().unwrap()).collect();
        let best = best_first(all, outward.map(|text| text.parse().unwrap()));
        best.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_others_can_use_comes_first() {
        let all = [
            "127.0.0.1:1",
            "[::1]:1",
            "[fe80::7]:1",
            "[fd00::7]:1",
            "172.17.0.1:1",
            "192.168.1.20:1",
        ];
        let best = ["192.168.1.20:1", "172.17.0.1:1", "[fd00::7]:1", "[fe80::7]:1"];
        assert_eq!(sorted(&all, Some("192.168.1.20")), best);
        assert_eq!(sorted(&all[..2], None), all[..2]);
    }
}
