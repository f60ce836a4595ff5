//! The network's settings from flags, and where nodes of one host meet if nothing is said.
//!
//! Rule: what was asked for and cannot be had is refused; what nobody asked for is left out, with a
//! warning that says so.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use ffp2p_net::{Config, Listen};

use super::{CommandError, naming::host_name};
use crate::cli::NetworkArgs;

impl NetworkArgs {
    /// Where to listen; nothing for everywhere.
    pub(super) fn listen(&self) -> Result<Vec<SocketAddr>, CommandError> {
        let read = |text: &String| {
            ffp2p_net::parse_listen(text).ok_or_else(|| {
                let text = format!("--listen {text}: write IP:PORT, and [IP]:PORT for IPv6");
                CommandError::Usage(text)
            })
        };
        self.listen.iter().map(read).collect()
    }

    /// All settings; `store` remembers peers.
    pub(super) fn config(&self, store: Option<&Path>) -> Result<Config, CommandError> {
        let listen = self.listen()?;
        Ok(Config {
            name: host_name(),
            swarm: self.swarm.clone(),
            run: None,
            listen: if listen.is_empty() { Listen::Everywhere } else { Listen::At(listen) },
            peers: self.peer.clone(),
            mdns: !self.no_mdns,
            rendezvous: Some(self.rendezvous.clone().unwrap_or_else(usual_rendezvous)),
            remembered: store.map(|store| store.join("peers")),
        })
    }
}

/// Where the nodes of one user on one host meet.
fn usual_rendezvous() -> PathBuf {
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_dir());
    match own {
        Some(dir) => dir.join("ffp2p"),
        None => {
            let user = std::env::var("USER").or_else(|_| std::env::var("USERNAME"));
            std::env::temp_dir().join(format!("ffp2p-{}", user.unwrap_or_default()))
        }
    }
}
