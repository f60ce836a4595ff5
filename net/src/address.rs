//! Addresses as people write and read them.
//!
//! Rule: an address is read once, at the start, so that a typing error is said at once; a host
//! name is looked up at every attempt, because what it means may change. People are shown
//! `IP:PORT`.

use std::net::{IpAddr, SocketAddr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// Addresses of one host name that are tried.
const MAX_RESOLVED: usize = 8;

/// Where to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An address that can be dialed as it is.
    Address(Multiaddr),
    /// A name to be looked up first.
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
    let named = !host.is_empty() && host.len() <= 253 && host.chars().all(plain);
    (named && port.parse::<u16>().is_ok_and(|port| port > 0)).then(|| Target::Name(text.to_owned()))
}

/// `[fe80::1%eth0]:1` as `[fe80::1]:1`.
fn without_zone(text: &str) -> String {
    match (text.find('%'), text.rfind(']')) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &text[..from], &text[to..]),
        _ => text.to_owned(),
    }
}

/// Reads where to listen: `IP:PORT` or a multiaddr.
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

/// An address as it is shown.
pub(crate) fn shown(address: &Multiaddr) -> String {
    socket(address).map_or_else(|| address.to_string(), |at| at.to_string())
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
    fn what_people_write_is_understood() {
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
    fn what_is_shown_is_what_people_write() {
        for text in ["10.0.0.1:4477", "[fd00::1]:4477"] {
            let Some(Target::Address(address)) = parse(text) else { panic!("{text}") };
            assert_eq!(shown(&address), text);
            assert_eq!(parse_listen(text), Some(text.parse().unwrap()));
        }
        assert_eq!(parse_listen("lab:4477"), None);
    }

    #[tokio::test]
    async fn a_name_leads_to_addresses() {
        let found = resolve("localhost:4001").await.unwrap();
        assert!(found.iter().all(is_loopback));
    }
}
