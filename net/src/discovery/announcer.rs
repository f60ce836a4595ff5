//! Says over IPv6, on every interface, where this node can be reached.
//!
//! Rule: in the words of libp2p's multicast DNS, which understands them unasked. Over IPv4 libp2p asks
//! and answers on every interface; over IPv6 on one only, whichever the system prefers, which may be
//! a bridge for containers that leads nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

use crate::address;
use crate::discovery::multicast::{GROUP_6, PORT};

/// Until it is said again, at first; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// How long it holds, in seconds: some of it may be lost.
const HOLDS: u32 = 20;

/// Interfaces on which it is said.
const MAX_INTERFACES: usize = 16;

/// Addresses that are said on one interface.
const MAX_SAID: usize = 4;

/// Under which name libp2p looks for peers.
const SERVICE: [&str; 3] = ["_p2p", "_udp", "local"];

/// Says it again and again.
#[derive(Debug)]
pub(crate) struct Announcer {
    peer: PeerId,
    socket: Socket,
    /// Interfaces on which we hear what others say. The system passes it on to the sockets of libp2p.
    joined: BTreeSet<u32>,
    due: Instant,
    pause: Duration,
}

impl Announcer {
    /// None where there is no IPv6.
    pub(crate) fn open(peer: PeerId, now: Instant) -> Option<Self> {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).ok()?;
        socket.set_nonblocking(true).ok()?;
        socket.set_multicast_hops_v6(255).ok()?;
        Some(Self { peer, socket, joined: BTreeSet::new(), due: now, pause: FIRST_PAUSE })
    }

    /// Says that we listen here, when it is time.
    pub(crate) fn announce<'a>(&mut self, here: impl Iterator<Item = &'a Multiaddr>, now: Instant) {
        if now < self.due {
            return;
        }
        self.due = now + self.pause;
        self.pause = (2 * self.pause).min(MAX_PAUSE);
        let here: Vec<_> = here.filter_map(address::socket).collect();
        match interfaces() {
            Ok(all) => all.iter().take(MAX_INTERFACES).for_each(|(index, own)| {
                if let Err(error) = self.say(*index, own, &here) {
                    tracing::debug!(index, "not announced: {error}");
                }
            }),
            Err(error) => tracing::debug!("not announced: {error}"),
        }
    }

    fn say(&mut self, index: u32, own: &[Ipv6Addr], here: &[SocketAddr]) -> io::Result<()> {
        if self.joined.insert(index) {
            self.socket.join_multicast_v6(&GROUP_6, index)?;
        }
        let ours = |at: &&SocketAddr| matches!(at.ip(), IpAddr::V6(ip) if own.contains(&ip));
        let said: Vec<_> = here.iter().filter(ours).take(MAX_SAID).collect();
        if said.is_empty() {
            return Ok(());
        }
        let to = SocketAddrV6::new(GROUP_6, PORT, 0, index);
        self.socket.send_to(&packet(self.peer, &said), &to.into()).map(drop)
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

/// An answer to "who is there": a pointer to a name of ours, and a text for each address.
fn packet(peer: PeerId, said: &[&SocketAddr]) -> Vec<u8> {
    let id = peer.to_base58();
    let own = name(&[&id]);
    let mut packet = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0];
    packet.push(said.len() as u8);
    record(&mut packet, &name(&SERVICE), [0, 12, 0, 1], &own);
    for at in said {
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
    packet.extend_from_slice(&HOLDS.to_be_bytes());
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
    use super::*;

    #[test]
    fn the_longest_that_is_said_keeps_the_bounds_of_dns() {
        let peer = PeerId::random();
        let at: SocketAddr = "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap();
        let text = format!("dnsaddr={}/p2p/{}", address::tcp(at), peer.to_base58());
        assert!(text.len() <= 255 && peer.to_base58().len() < 64);
        let packet = packet(peer, &[&at; MAX_SAID]);
        // What IPv6 carries in one piece everywhere.
        assert!(packet.len() <= 1232, "{}", packet.len());
    }
}
