//! TCP as this program dials it.
//!
//! Rule: a connection is made from a port of its own, never from the one we listen on. Otherwise
//! two peers that dial each other at the same moment, while a firewall drops what comes to one of
//! them, share one connection that both take for theirs: neither answers the other's handshake.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use libp2p::core::transport::{
    DialOpts, ListenerId, PortUse, Transport, TransportError, TransportEvent,
};
use libp2p::{Multiaddr, tcp};

/// The TCP transport of libp2p, with the rule above for whoever dials: not only we do, protocols
/// of libp2p may, too.
pub(crate) struct Tcp(tcp::tokio::Transport);

impl Tcp {
    pub(crate) fn new() -> Self {
        Self(tcp::tokio::Transport::new(tcp::Config::default().nodelay(true)))
    }
}

impl Transport for Tcp {
    type Output = tcp::tokio::TcpStream;
    type Error = io::Error;
    type ListenerUpgrade = <tcp::tokio::Transport as Transport>::ListenerUpgrade;
    type Dial = <tcp::tokio::Transport as Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        at: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.0.listen_on(id, at)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.0.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        self.0.dial(address, DialOpts { port_use: PortUse::New, ..options })
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.0).poll(context)
    }
}
