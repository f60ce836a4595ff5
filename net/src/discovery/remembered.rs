//! Where peers were seen earlier, for the next start.
//!
//! Rule: a peer has a new id at every start, so only addresses are kept; they help where ports
//! are fixed. The file is a hint: what cannot be read in it is ignored.

use std::io::{self, Read as _};
use std::path::Path;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use crate::atomic_file;

/// Addresses kept.
pub(crate) const MAX_REMEMBERED: usize = 64;

/// Bytes of the file that are read.
const MAX_FILE_BYTES: u64 = 16 * 1024;

/// The addresses in the file; none when there is no file.
pub(crate) fn load(path: &Path) -> io::Result<Vec<Multiaddr>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter_map(plain)
        .take(MAX_REMEMBERED)
        .collect())
}

/// Writes the addresses, the ones seen last first.
pub(crate) fn save(path: &Path, addresses: &[Multiaddr]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        atomic_file::create_private_folder(folder)?;
    }
    let text: String =
        addresses.iter().take(MAX_REMEMBERED).map(|address| format!("{address}\n")).collect();
    atomic_file::replace(path, text.as_bytes())
}

/// `now` before what was known, without repeats and within the bound.
pub(crate) fn merge(now: Vec<Multiaddr>, known: &[Multiaddr]) -> Vec<Multiaddr> {
    let mut all: Vec<Multiaddr> = Vec::new();
    for address in now.into_iter().chain(known.iter().cloned()).filter_map(plain) {
        if all.len() < MAX_REMEMBERED && !all.contains(&address) {
            all.push(address);
        }
    }
    all
}

/// Host and port of an address, without the id of who was there.
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
    fn addresses_read_back_as_they_were() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("deep/peers");
        assert!(load(&path).unwrap().is_empty());
        save(&path, &[address(1), address(2)]).unwrap();
        assert_eq!(load(&path).unwrap(), [address(1), address(2)]);
    }

    #[test]
    fn garbage_in_the_file_is_ignored() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("peers");
        std::fs::write(&path, b"\xff\xfe\nnonsense\n/ip4/10.0.0.1/tcp/5\n/unix/x\n").unwrap();
        assert_eq!(load(&path).unwrap(), [address(5)]);
    }

    #[test]
    fn the_list_is_bounded_and_the_newest_come_first() {
        let known: Vec<_> = (1..=100).map(address).collect();
        let all = merge(vec![address(200), address(1)], &known);
        assert_eq!(all.len(), MAX_REMEMBERED);
        assert_eq!(all[..3], [address(200), address(1), address(2)]);
    }
}
