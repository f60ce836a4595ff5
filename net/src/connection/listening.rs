//! Where this node can be reached.
//!
//! Rule: the owner hears of all addresses at once, when those of all interfaces are known, and
//! again when they change; with none of them a node does not start.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::TransportError;
use libp2p::swarm::SwarmEvent;
use tokio::time::Instant;

use crate::address;
use crate::config::Listen;
use crate::connection::ports::{claim, claim_everywhere};
use crate::error::StartError;
use crate::event::Event;
use crate::event_loop::EventLoop;
use crate::io::behaviour::BehaviourEvent;

/// The longest wait for the first address.
const LISTEN: Duration = Duration::from_secs(3);

/// Addresses come together; when none came for this long, all are known.
const QUIET: Duration = Duration::from_millis(50);

/// The longest wait for further addresses.
const SETTLE: Duration = Duration::from_millis(500);

/// Other things that happen meanwhile; with more of them, no further address is waited for.
const MAX_EARLY: usize = 256;

impl EventLoop {
    /// Listens, and waits until it is known where.
    pub(crate) async fn listen(&mut self, listen: &Listen) -> Result<(), StartError> {
        let claims = match listen {
            Listen::Everywhere(port) => claim_everywhere(*port).map_err(StartError::no_listener)?,
            Listen::At(addresses) => {
                let claim = |at: &SocketAddr| claim(*at).map_err(|e| StartError::listen(*at, &e));
                addresses.iter().map(claim).collect::<Result<_, _>>()?
            }
        };
        for claim in &claims {
            let listener = self.swarm.listen_on(address::tcp(claim.at));
            let listener = listener.map_err(|error| match error {
                TransportError::Other(error) => StartError::listen(claim.at, &error),
                error => StartError::Setup(error.to_string()),
            })?;
            self.listeners.push((listener, claim.at));
        }
        self.claims = claims;
        let early = if self.listeners.is_empty() { vec![] } else { self.opened().await? };
        self.is_listening = true;
        self.tell_listening();
        early.into_iter().for_each(|event| self.on_swarm(event));
        Ok(())
    }

    /// Waits until there is an address, and no more of them come; what else happened.
    async fn opened(&mut self) -> Result<Vec<SwarmEvent<BehaviourEvent>>, StartError> {
        let started = Instant::now();
        let mut early = Vec::new();
        while early.len() < MAX_EARLY {
            let known = self.swarm.listeners().next().is_some();
            let until = if known {
                (Instant::now() + QUIET).min(started + SETTLE)
            } else {
                started + LISTEN
            };
            match tokio::time::timeout_at(until, self.swarm.select_next_some()).await {
                Ok(SwarmEvent::NewListenAddr { .. }) => {}
                Ok(SwarmEvent::ListenerClosed { listener_id, reason: Err(error), .. }) => {
                    let listener = self.listeners.iter().find(|(id, _)| *id == listener_id);
                    if let Some((_, at)) = listener {
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

    /// Where we can be reached has changed.
    pub(crate) fn on_listening(&mut self) {
        if self.is_listening {
            self.tell_listening();
        }
    }

    fn tell_listening(&mut self) {
        let here: Vec<_> = self.swarm.listeners().cloned().collect();
        self.dialer.listening(here.clone());
        if let Some(neighbours) = &self.neighbours {
            neighbours.listening(here);
        }
        let addresses = self.addresses();
        tracing::info!(?addresses, "listening");
        self.outbox.push(Event::Listening(addresses));
    }

    /// Where other machines can reach us, the likeliest first; loopback only if there is nothing
    /// else.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let known = self.swarm.listeners().filter_map(address::socket);
        best_first(known.collect(), outward())
    }
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

/// Our address on the way to other networks, which is rarely that of a virtual interface. Nothing
/// is sent: the system only chooses the way to an address that is nobody's.
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
