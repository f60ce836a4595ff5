//! Addresses as users write and read them, and which of them can be dialed.
//!
//! Rule: an address is read once, at the start, so that a typing error is reported at once; a host
//! name is looked up at every attempt, because its addresses may change. Users are shown `IP:PORT`.

use std::net::{IpAddr, SocketAddr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use crate::wire::limits::MAX_ADDRESS_BYTES;

/// Addresses of one host name that are tried.
const MAX_RESOLVED: usize = 8;

/// Bytes of a host name, the longest that DNS allows.
const MAX_HOST_NAME: usize = 253;

/// Somewhere to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An address.
    Address(Multiaddr),
    /// A host name and port, to be looked up first.
    Name(String),
}

/// Reads `HOST:PORT`, `IP:PORT`, or a multiaddr with or without `/p2p/ID`. The zone of a link-local
/// address is not needed: it is dialed on every interface.
pub(crate) fn parse(text: &str) -> Option<Target> {
    let text = text.trim();
    if text.starts_with('/') {
        let address: Multiaddr = text.parse().ok()?;
        let zone = |part: &Protocol<'_>| matches!(part, Protocol::Ip6zone(_));
        let address: Multiaddr = address.iter().skip_while(zone).collect();
        let parts: Vec<_> = address.iter().take(4).collect();
        return match parts.as_slice() {
            [Protocol::Ip4(_) | Protocol::Ip6(_), Protocol::Tcp(_)]
            | [Protocol::Ip4(_) | Protocol::Ip6(_), Protocol::Tcp(_), Protocol::P2p(_)] => {
                Some(Target::Address(address))
            }
            [Protocol::Dns(name) | Protocol::Dns4(name), Protocol::Tcp(port), ..] => {
                Some(Target::Name(format!("{name}:{port}")))
            }
            _ => None,
        };
    }
    if let Ok(address) = without_zone(text).parse::<SocketAddr>() {
        return Some(Target::Address(tcp(address)));
    }
    let (host, port) = text.rsplit_once(':')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let named = !host.is_empty() && host.len() <= MAX_HOST_NAME && host.chars().all(plain);
    (named && port.parse::<u16>().is_ok_and(|port| port > 0)).then(|| Target::Name(text.to_owned()))
}

/// `[fe80::1%eth0]:1` as `[fe80::1]:1`.
fn without_zone(text: &str) -> String {
    match (text.find('%'), text.rfind(']')) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &text[..from], &text[to..]),
        _ => text.to_owned(),
    }
}

/// Reads an address to listen on: `IP:PORT` or a multiaddr.
///
/// ```
/// let address = "[::1]:4477".parse().ok();
/// assert_eq!(ffp2p_net::parse_listen("[::1]:4477"), address);
/// assert_eq!(ffp2p_net::parse_listen("/ip6/::1/tcp/4477"), address);
/// assert_eq!(ffp2p_net::parse_listen("lab:4477"), None);
/// ```
pub fn parse_listen(text: &str) -> Option<SocketAddr> {
    match parse(text)? {
        Target::Address(address) => socket(&address),
        Target::Name(_) => None,
    }
}

/// The addresses behind a name, IPv4 first.
pub(crate) async fn resolve(name: &str) -> Result<Vec<Multiaddr>, String> {
    let found = tokio::net::lookup_host(name)
        .await
        .map_err(|error| format!("the name cannot be looked up: {error}"))?;
    let mut found: Vec<SocketAddr> = found.take(MAX_RESOLVED).collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    if found.is_empty() {
        return Err("the name has no address".to_owned());
    }
    Ok(found.into_iter().map(tcp).collect())
}

pub(crate) fn tcp(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

/// IP and port of an address that has them.
pub(crate) fn socket(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    match (parts.next()?, parts.next()?) {
        (Protocol::Ip4(ip), Protocol::Tcp(port)) => Some((ip, port).into()),
        (Protocol::Ip6(ip), Protocol::Tcp(port)) => Some((ip, port).into()),
        _ => None,
    }
}

/// An address as users see it.
pub(crate) fn shown(address: &Multiaddr) -> String {
    socket(address).map_or_else(|| address.to_string(), |at| at.to_string())
}

/// Whether an address from a peer can be dialed from here at all.
pub(crate) fn is_dialable(address: &Multiaddr) -> bool {
    let mut parts = address.iter();
    let host = match parts.next() {
        Some(Protocol::Ip4(ip)) => !ip.is_unspecified() && !ip.is_multicast(),
        // Multicast DNS over IPv6 also hears answers over IPv4, and lists their senders' addresses
        // as mapped ones.
        Some(Protocol::Ip6(ip)) => {
            !ip.is_unspecified() && !ip.is_multicast() && ip.to_ipv4_mapped().is_none()
        }
        _ => false,
    };
    let port = matches!(parts.next(), Some(Protocol::Tcp(port)) if port > 0);
    let rest = matches!((parts.next(), parts.next()), (None | Some(Protocol::P2p(_)), None));
    host && port && rest && address.len() <= MAX_ADDRESS_BYTES
}

/// Whether an address leads back to the host it is dialed from.
pub(crate) fn is_loopback(address: &Multiaddr) -> bool {
    socket(address).is_some_and(|at| at.ip().is_loopback())
}

/// Whether an address means something on its own link only. Those of IPv4 (169.254.0.0/16) need no
/// special care.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_write_is_understood() {
        let address = |text: &str| Some(Target::Address(text.parse().unwrap()));
        let name = |text: &str| Some(Target::Name(text.to_owned()));
        let id = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
        assert_eq!(parse("10.0.0.1:4001"), address("/ip4/10.0.0.1/tcp/4001"));
        assert_eq!(parse("[::1]:4001"), address("/ip6/::1/tcp/4001"));
        assert_eq!(parse("lab-2.local:4001"), name("lab-2.local:4001"));
        assert_eq!(parse("/dns4/lab/tcp/9"), name("lab:9"));
        let near = "/ip6/fe80::1/tcp/9";
        for text in ["[fe80::1]:9", "[fe80::1%eth0]:9", "/ip6zone/eth0/ip6/fe80::1/tcp/9"] {
            assert_eq!(parse(text), address(near), "{text}");
        }
        let full = format!("/ip4/10.0.0.1/tcp/4001/p2p/{id}");
        assert_eq!(parse(&full), address(&full));
    }

    #[test]
    fn what_cannot_be_dialed_is_refused() {
        for text in ["", "lab", "lab:", ":1", "lab:0", "lab:70000", "a b:1", "/ip4/1.2.3.4/udp/1"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_is_what_users_write() {
        for text in ["10.0.0.1:4477", "[fd00::1]:4477"] {
            let Some(Target::Address(address)) = parse(text) else { panic!("{text}") };
            assert_eq!(shown(&address), text);
            assert_eq!(parse_listen(text), Some(text.parse().unwrap()));
        }
        assert_eq!(parse_listen("lab:4477"), None);
    }

    #[test]
    fn only_what_leads_somewhere_is_dialable() {
        let id = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
        let dialable = |text: &str| is_dialable(&text.parse().unwrap());
        assert!(dialable("/ip4/10.0.0.1/tcp/4477"));
        assert!(dialable(&format!("/ip6/fe80::1/tcp/4477/p2p/{id}")));
        for text in [
            "/ip4/10.0.0.1",
            "/ip4/10.0.0.1/tcp/0",
            "/ip4/10.0.0.1/udp/4477",
            "/ip4/0.0.0.0/tcp/4477",
            "/ip4/224.0.0.251/tcp/4477",
            "/ip6/ff02::fb/tcp/4477",
            "/ip6/::ffff:10.0.0.1/tcp/4477",
            "/dns4/lab/tcp/4477",
            "/ip4/10.0.0.1/tcp/4477/ws",
        ] {
            assert!(!dialable(text), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_leads_to_addresses() {
        let found = resolve("localhost:4001").await.unwrap();
        assert!(found.iter().all(is_loopback));
    }
}
