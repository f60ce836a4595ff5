//! Addresses of peers that were seen earlier, for the next start.
//!
//! Rule: a peer has a new id at every start, so only addresses are kept; they help where ports
//! are fixed. The file is a hint: lines that cannot be read are ignored.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use crate::atomic_file;
use crate::connection::fixed::MAX_REMEMBERED;
use crate::private_folder::create_private_folder;

/// Bytes of one line, at most: an IPv6 address and a port take 56.
const MAX_LINE_BYTES: u64 = 256;

/// Bytes of the file that are read.
const MAX_FILE_BYTES: u64 = MAX_REMEMBERED as u64 * MAX_LINE_BYTES;

/// The file, and the addresses in it.
#[derive(Debug)]
pub(crate) struct Remembered {
    path: PathBuf,
    addresses: Vec<Multiaddr>,
}

impl Remembered {
    /// Reads the file; there are no addresses when there is no file.
    pub(crate) fn load(path: PathBuf) -> io::Result<Self> {
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path, addresses: Vec::new() });
            }
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let known = text.lines().filter_map(|line| line.parse().ok()).filter_map(plain);
        let addresses = known.take(MAX_REMEMBERED).collect();
        Ok(Self { path, addresses })
    }

    /// The addresses, the ones seen last first.
    pub(crate) fn addresses(&self) -> &[Multiaddr] {
        &self.addresses
    }

    /// Adds the addresses at which peers are now. Returns the work of saving them, if there are new
    /// ones.
    pub(crate) fn update(
        &mut self,
        now: Vec<Multiaddr>,
    ) -> Option<impl FnOnce() -> io::Result<()> + Send + use<>> {
        let all = merge(now, &self.addresses);
        if all == self.addresses {
            return None;
        }
        self.addresses = all;
        let (path, bytes) = (self.path.clone(), to_text(&self.addresses));
        Some(move || save(&path, bytes.as_bytes()))
    }
}

fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        create_private_folder(folder)?;
    }
    atomic_file::replace(path, bytes)
}

fn to_text(addresses: &[Multiaddr]) -> String {
    addresses.iter().map(|address| format!("{address}\n")).collect()
}

/// `now` before the `known` ones, without repeats and within the bound.
fn merge(now: Vec<Multiaddr>, known: &[Multiaddr]) -> Vec<Multiaddr> {
    let mut all: Vec<Multiaddr> = Vec::new();
    for address in now.into_iter().chain(known.iter().cloned()).filter_map(plain) {
        if all.len() < MAX_REMEMBERED && !all.contains(&address) {
            all.push(address);
        }
    }
    all
}

/// Host and port of an address, without the id of the peer that was there.
fn plain(address: Multiaddr) -> Option<Multiaddr> {
    let mut parts = address.iter();
    let (host, port) = (parts.next()?, parts.next()?);
    let known = matches!(host, Protocol::Ip4(_) | Protocol::Ip6(_));
    (known && matches!(port, Protocol::Tcp(_))).then(|| Multiaddr::empty().with(host).with(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: usize) -> Multiaddr {
        format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn addresses_read_back_as_they_were_and_are_saved_when_they_change() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("deep/peers");
        let mut remembered = Remembered::load(path.clone()).unwrap();
        assert!(remembered.addresses().is_empty());
        remembered.update(vec![address(1), address(2)]).unwrap()().unwrap();
        assert!(remembered.update(vec![address(1)]).is_none());
        let mut again = Remembered::load(path.clone()).unwrap();
        assert_eq!(again.addresses(), [address(1), address(2)]);
        again.update(vec![address(3)]).unwrap()().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            text, "/ip4/10.0.0.1/tcp/3\n/ip4/10.0.0.1/tcp/1\n/ip4/10.0.0.1/tcp/2\n",
            "the bytes of the file are pinned"
        );
    }

    #[test]
    fn garbage_in_the_file_is_ignored() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("peers");
        std::fs::write(&path, b"\xff\xfe\nnonsense\n/ip4/10.0.0.1/tcp/5\n/unix/x\n").unwrap();
        assert_eq!(Remembered::load(path).unwrap().addresses(), [address(5)]);
    }

    #[test]
    fn the_list_is_bounded_and_the_newest_come_first() {
        let known: Vec<_> = (1..=100).map(address).collect();
        let all = merge(vec![address(200), address(1)], &known);
        assert_eq!(all.len(), MAX_REMEMBERED);
        assert_eq!(all[..3], [address(200), address(1), address(2)]);
    }
}
