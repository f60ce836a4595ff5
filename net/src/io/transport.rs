//! TCP as this program dials it.
//!
//! Rule: a connection is made from a port of its own, never from the one we listen on. Otherwise
//! two peers that dial each other at the same moment, while a firewall drops what comes to one of
//! them, share one connection that both consider theirs: neither answers the other's handshake.
//!
//! A link-local address of IPv6 means something on its link only, and neither multicast DNS nor
//! libp2p says which one that is: it is dialed on every interface that has such an address.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{FutureExt as _, select_ok};
use libp2p::core::transport::{
    DialOpts, ListenerId, PortUse, Transport, TransportError, TransportEvent,
};
use libp2p::{Multiaddr, tcp};
use tokio::net::TcpStream;

use crate::address::{self, is_link_local};

/// A connection that is not set up within this time never is: on a LAN it takes milliseconds, and
/// where nothing answers the system would try for minutes, with longer and longer pauses.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_millis(2_500);

/// Interfaces on which one link-local address is dialed.
const MAX_LINKS: usize = 8;

/// The TCP transport of libp2p, with the rule above for every dial: protocols of libp2p may dial,
/// too.
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
        if let Some(SocketAddr::V6(at)) = address::socket(&address)
            && is_link_local((*at.ip()).into())
        {
            return Ok(dial_on_links(at).boxed());
        }
        self.0.dial(address, DialOpts { port_use: PortUse::New, ..options })
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.0).poll(context)
    }
}

/// Connects with a link-local address over the first interface that leads there.
async fn dial_on_links(at: SocketAddrV6) -> io::Result<tcp::tokio::TcpStream> {
    let links = links()?;
    if links.is_empty() {
        return Err(io::ErrorKind::NetworkUnreachable.into());
    }
    let dial = |link| TcpStream::connect(SocketAddrV6::new(*at.ip(), at.port(), 0, link)).boxed();
    let (stream, _) = select_ok(links.into_iter().map(dial)).await?;
    stream.set_nodelay(true)?;
    Ok(tcp::tokio::TcpStream(stream))
}

/// The interfaces that have a link-local address.
fn links() -> io::Result<BTreeSet<u32>> {
    let all = if_addrs::get_if_addrs()?;
    let local = all.iter().filter(|interface| is_link_local(interface.ip()));
    Ok(local.filter_map(|interface| interface.index).take(MAX_LINKS).collect())
}
