//! Whether the system lets multicast DNS work here at all.
//!
//! Rule: libp2p tells its log about this, again and again, and nobody else. Only what the system
//! refuses is told; that nothing comes back has many reasons.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Socket, Type};

use crate::error::plain;

/// The port of multicast DNS.
pub(crate) const PORT: u16 = 5353;

/// Where it is spoken over IPv4.
const GROUP_4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// Where it is spoken over IPv6.
pub(crate) const GROUP_6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// Asks who is there, as libp2p does.
const QUESTION: &[u8] = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x04_p2p\x04_udp\x05local\0\0\x0c\0\x01";

/// Why multicast DNS can work from none of our addresses; nothing if it can from one, or if there
/// is none.
pub(crate) fn blocked(own: &[SocketAddr]) -> Option<String> {
    let mut why = None;
    for ip in own.iter().map(SocketAddr::ip).filter(|ip| !ip.is_loopback()) {
        match try_from(ip) {
            Ok(()) => return None,
            Err(error) => {
                why.get_or_insert_with(|| format!("{} at {ip}", plain(&error)));
            }
        }
    }
    why
}

fn try_from(ip: IpAddr) -> io::Result<()> {
    let (everywhere, group) = match ip {
        IpAddr::V4(_) => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(GROUP_4)),
        IpAddr::V6(_) => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(GROUP_6)),
    };
    let hear = Socket::new(Domain::for_address((everywhere, PORT).into()), Type::DGRAM, None)?;
    hear.set_reuse_address(true)?;
    #[cfg(unix)]
    hear.set_reuse_port(true)?;
    hear.bind(&SocketAddr::new(everywhere, PORT).into())?;
    let from = match ip {
        IpAddr::V4(own) => {
            hear.join_multicast_v4(&GROUP_4, &own)?;
            ip
        }
        IpAddr::V6(_) => {
            hear.join_multicast_v6(&GROUP_6, 0)?;
            everywhere
        }
    };
    UdpSocket::bind((from, 0))?.send_to(QUESTION, (group, PORT)).map(drop)
}
