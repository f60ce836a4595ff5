//! Ports that a node claims for itself.
//!
//! Rule: a port belongs to one node. libp2p opens listening sockets so that several programs of a
//! user may share one, and then the system gives each connection to any of them. So a node first
//! binds the UDP port of the same number, which only one program can do, and keeps it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// The default port: one that no other service has registered.
pub const DEFAULT_PORT: u16 = 4477;

/// Free ports that are tried: another program may take each of them meanwhile.
const ATTEMPTS: usize = 16;

/// An address to listen on, which no other node can claim as long as this lives.
#[derive(Debug)]
pub(crate) struct Claim {
    /// The address, with the port that was claimed.
    pub(crate) at: SocketAddr,
    _held: Socket,
}

/// Claims `at`; with port 0, any free port.
pub(crate) fn claim(at: SocketAddr) -> io::Result<Claim> {
    retry(at.port(), || one(at))
}

/// Claims a port on every interface, or any free one if it is taken, the same for IPv4 and IPv6. A
/// host may have one of the two only.
pub(crate) fn claim_everywhere(port: u16) -> io::Result<Vec<Claim>> {
    match both(port) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => retry(0, || both(0)),
        claimed => claimed,
    }
}

/// Tries again while a port that the system considered free is not.
fn retry<T>(port: u16, mut claim: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut claimed = claim();
    for _ in 1..ATTEMPTS {
        match claimed {
            Err(error) if port == 0 && error.kind() == io::ErrorKind::AddrInUse => {
                claimed = claim()
            }
            other => return other,
        }
    }
    claimed
}

fn both(mut port: u16) -> io::Result<Vec<Claim>> {
    let mut claims = Vec::new();
    let mut failed = None;
    for ip in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
        match one((ip, port).into()) {
            Ok(claim) => {
                port = claim.at.port();
                claims.push(claim);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if claims.is_empty() => Err(error),
        _ => Ok(claims),
    }
}

fn one(at: SocketAddr) -> io::Result<Claim> {
    let held = socket(at, Type::DGRAM)?;
    held.bind(&at.into())?;
    let port = held.local_addr()?.as_socket().map_or(0, |bound| bound.port());
    let at = SocketAddr::new(at.ip(), port);
    // Fails when another program has the port: libp2p would hide that.
    let probe = socket(at, Type::STREAM)?;
    #[cfg(unix)]
    probe.set_reuse_address(true)?;
    probe.bind(&at.into())?;
    probe.listen(1)?;
    Ok(Claim { at, _held: held })
}

fn socket(at: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), kind, None)?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_belongs_to_one() {
        let first = claim("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_ne!(first.at.port(), 0);
        let second = claim(first.at).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        let at = first.at;
        drop(first);
        assert_eq!(claim(at).unwrap().at, at);
    }

    #[test]
    fn what_another_program_has_is_taken() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let error = claim(other.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn several_nodes_of_a_host_listen_everywhere() {
        let one = claim_everywhere(0).unwrap();
        let other = claim_everywhere(one[0].at.port()).unwrap();
        assert_ne!(one[0].at.port(), other[0].at.port());
        for claims in [one, other] {
            assert!(claims.iter().all(|claim| claim.at.port() == claims[0].at.port()));
        }
    }
}
