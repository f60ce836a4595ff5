//! A check whether the system lets multicast DNS work here at all.
//!
//! Rule: libp2p reports this to its log only, again and again. Only a refusal of the system is
//! reported here; a lack of answers has many causes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Socket, Type};

use crate::error::plain;

/// The port of multicast DNS.
pub(crate) const PORT: u16 = 5353;

/// Its group of IPv4.
const GROUP_4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// Its group of IPv6.
pub(crate) const GROUP_6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// The query of libp2p for peers.
const QUERY: &[u8] = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x04_p2p\x04_udp\x05local\0\0\x0c\0\x01";

/// The reason why multicast DNS cannot work from any of our addresses; `None` if it can from one, or
/// if there are no addresses.
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
    UdpSocket::bind((from, 0))?.send_to(QUERY, (group, PORT)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_says_nothing_about_multicast() {
        assert_eq!(blocked(&[]), None);
        assert_eq!(blocked(&["127.0.0.1:4477".parse().unwrap()]), None);
    }

    #[test]
    fn an_address_that_is_not_ours_is_refused_by_the_system_with_a_cause() {
        let why = blocked(&["192.0.2.1:4477".parse().unwrap()]).unwrap();
        assert!(why.ends_with(" at 192.0.2.1"), "{why}");
    }
}
