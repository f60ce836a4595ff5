//! Peers that were found and could not be reached, and what that says.
//!
//! Rule: only a peer that is heard by multicast DNS is known to be there; about any other one
//! nothing is concluded.

use std::fmt;

/// Sources from which a peer is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Via {
    /// Multicast DNS.
    Mdns,
    /// The rendezvous folder.
    Rendezvous,
    /// Another peer, which listed it.
    Peer,
    /// An earlier connection.
    Met,
}

/// A peer that was found and could not be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached {
    /// The source from which it is known.
    pub via: Via,
    /// Its addresses, each with what went wrong there.
    pub tried: Vec<(String, String)>,
}

impl Unreached {
    /// An address of a peer that is there, if this host has no route to any of them.
    pub(crate) fn without_route(&self) -> Option<&str> {
        let no_route = |(_, why): &(String, String)| why.contains("unreachable");
        let (at, _) = self.tried.first().filter(|_| self.via == Via::Mdns)?;
        self.tried.iter().all(no_route).then_some(at)
    }

    /// The port to open at a peer that is there, and seems to have a firewall.
    pub(crate) fn behind_firewall(&self) -> Option<&str> {
        let (at, _) = self.tried.first().filter(|_| self.via == Via::Mdns)?;
        at.rsplit_once(':').map(|(_, port)| port)
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, why) in &self.tried {
            write!(f, "{at}: {why}; ")?;
        }
        f.write_str(match self.via {
            Via::Mdns => "heard by mDNS",
            Via::Rendezvous => "of this host",
            Via::Peer => "listed by another node",
            Via::Met => "was connected before",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_peer_that_is_heard_leads_to_a_conclusion() {
        let tried = |why: &str| vec![("10.0.0.8:4478".to_owned(), why.to_owned())];
        let heard = Unreached { via: Via::Mdns, tried: tried("timed out") };
        assert_eq!((heard.without_route(), heard.behind_firewall()), (None, Some("4478")));
        let away = Unreached { tried: tried("network is unreachable"), ..heard.clone() };
        assert_eq!(away.without_route(), Some("10.0.0.8:4478"));
        for via in [Via::Rendezvous, Via::Peer, Via::Met] {
            let other = Unreached { via, ..away.clone() };
            assert_eq!((other.without_route(), other.behind_firewall()), (None, None));
        }
    }
}
