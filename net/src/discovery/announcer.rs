//! Announces over IPv6, on every interface, where this node can be reached.
//!
//! Rule: an announcement is an answer of libp2p's multicast DNS, which also takes answers that it did
//! not query for. Over IPv4 libp2p queries and answers on every interface; over IPv6 on one only, the
//! one that the system prefers, which may be a bridge for containers that leads nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

use crate::address;
use crate::discovery::multicast::{GROUP_6, PORT};

/// First pause between announcements; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Time for which an announcement holds, seconds: the next ones may be lost.
const TTL: u32 = 4 * MAX_PAUSE.as_secs() as u32;

/// Interfaces on which a node is announced.
const MAX_INTERFACES: usize = 16;

/// Addresses that are announced on one interface.
const MAX_ANNOUNCED: usize = 4;

/// The name under which libp2p looks for peers.
const SERVICE: [&str; 3] = ["_p2p", "_udp", "local"];

/// Announces this node again and again.
#[derive(Debug)]
pub(crate) struct Announcer {
    peer: PeerId,
    socket: Socket,
    /// Interfaces on which we hear others. The system passes what comes there to the sockets of libp2p.
    joined: BTreeSet<u32>,
    due: Instant,
    pause: Duration,
}

impl Announcer {
    /// `None` where there is no IPv6.
    pub(crate) fn open(peer: PeerId, now: Instant) -> Option<Self> {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).ok()?;
        socket.set_nonblocking(true).ok()?;
        socket.set_multicast_hops_v6(255).ok()?;
        Some(Self { peer, socket, joined: BTreeSet::new(), due: now, pause: FIRST_PAUSE })
    }

    /// Announces the addresses we listen on, when it is time.
    pub(crate) fn announce<'a>(&mut self, here: impl Iterator<Item = &'a Multiaddr>, now: Instant) {
        if now < self.due {
            return;
        }
        self.due = now + self.pause;
        self.pause = (2 * self.pause).min(MAX_PAUSE);
        let here: Vec<_> = here.filter_map(address::socket).collect();
        match interfaces() {
            Ok(all) => all.iter().take(MAX_INTERFACES).for_each(|(index, own)| {
                if let Err(error) = self.announce_on(*index, own, &here) {
                    tracing::debug!(index, "not announced: {error}");
                }
            }),
            Err(error) => tracing::debug!("not announced: {error}"),
        }
    }

    fn announce_on(&mut self, index: u32, own: &[Ipv6Addr], here: &[SocketAddr]) -> io::Result<()> {
        if self.joined.insert(index) {
            self.socket.join_multicast_v6(&GROUP_6, index)?;
        }
        let ours = |at: &&SocketAddr| matches!(at.ip(), IpAddr::V6(ip) if own.contains(&ip));
        let announced: Vec<_> = here.iter().filter(ours).take(MAX_ANNOUNCED).collect();
        if announced.is_empty() {
            return Ok(());
        }
        let to = SocketAddrV6::new(GROUP_6, PORT, 0, index);
        self.socket.send_to(&packet(self.peer, &announced), &to.into()).map(drop)
    }
}

/// The interfaces with IPv6 addresses, by the system's number.
fn interfaces() -> io::Result<BTreeMap<u32, Vec<Ipv6Addr>>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for interface in if_addrs::get_if_addrs()? {
        if let (IpAddr::V6(ip), Some(index)) = (interface.ip(), interface.index)
            && !ip.is_loopback()
        {
            all.entry(index).or_default().push(ip);
        }
    }
    Ok(all)
}

/// An answer to a query for peers: a pointer to a name of ours, and a text for each address.
fn packet(peer: PeerId, announced: &[&SocketAddr]) -> Vec<u8> {
    let id = peer.to_base58();
    let own = name(&[&id]);
    let mut packet = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0];
    packet.push(announced.len() as u8);
    record(&mut packet, &name(&SERVICE), [0, 12, 0, 1], &own);
    for at in announced {
        let text = format!("dnsaddr={}/p2p/{id}", address::tcp(**at));
        let mut data = vec![text.len() as u8];
        data.extend_from_slice(text.as_bytes());
        record(&mut packet, &own, [0, 16, 0x80, 1], &data);
    }
    packet
}

/// Appends a record; `kind` is its type and class.
fn record(packet: &mut Vec<u8>, name: &[u8], kind: [u8; 4], data: &[u8]) {
    packet.extend_from_slice(name);
    packet.extend_from_slice(&kind);
    packet.extend_from_slice(&TTL.to_be_bytes());
    packet.extend_from_slice(&(data.len() as u16).to_be_bytes());
    packet.extend_from_slice(data);
}

/// A name as DNS writes it: each part, which is short, after its length.
fn name(parts: &[&str]) -> Vec<u8> {
    let mut name = Vec::new();
    for part in parts {
        name.push(part.len() as u8);
        name.extend_from_slice(part.as_bytes());
    }
    name.push(0);
    name
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;
    use crate::wire::pinned;

    #[test]
    fn the_bytes_of_an_announcement_are_pinned() {
        let peer = Keypair::ed25519_from_bytes([1; 32]).unwrap().public().to_peer_id();
        let at: SocketAddr = "[fd00::1]:4477".parse().unwrap();
        pinned::check("announcements.txt", &[("announcement", packet(peer, &[&at]))]);
    }

    #[test]
    fn the_longest_announcement_keeps_the_bounds_of_dns() {
        let peer = PeerId::random();
        let at: SocketAddr = "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap();
        let text = format!("dnsaddr={}/p2p/{}", address::tcp(at), peer.to_base58());
        assert!(text.len() <= 255 && peer.to_base58().len() < 64);
        let packet = packet(peer, &[&at; MAX_ANNOUNCED]);
        // IPv6 carries this in one piece everywhere.
        assert!(packet.len() <= 1232, "{}", packet.len());
    }
}
