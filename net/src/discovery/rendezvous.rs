//! A folder in which the nodes of one host find each other, whom multicast often does not reach.
//!
//! Each node keeps one small file, named by its peer id, with the addresses it listens on; and reads
//! the others' at intervals.
//!
//! Rule: a file here may be anything. Whatever is not a small regular file of the right form is
//! ignored, and only files that name a dead process of this host, or are a day old, are removed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ffp2p_proto::Hash;
use libp2p::{Multiaddr, PeerId};

use crate::address::is_loopback;
use crate::atomic_file;
use crate::private_folder::create_private_folder;
use crate::wire::greeting::{Greeting, is_swarm_name, parse_run};
use crate::wire::limits::MAX_ADDRESSES;

/// First line of every file.
const HEADER: &str = "ffp2p-rendezvous 1";

/// Folder entries that one look reads.
const MAX_FILES: usize = 256;

/// Bytes of one file.
const MAX_FILE_BYTES: u64 = 4096;

/// A file that was not renewed for this long is abandoned.
pub(crate) const STALE: Duration = Duration::from_secs(24 * 3600);

/// The content of a node's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) peer: PeerId,
    pub(crate) swarm: String,
    pub(crate) run: Option<Hash>,
    pid: u32,
    pub(crate) addresses: Vec<Multiaddr>,
}

impl Entry {
    /// Our own entry, the addresses of this host first.
    pub(crate) fn own(peer: PeerId, greeting: &Greeting, addresses: &[Multiaddr]) -> Self {
        let (mut near, far): (Vec<_>, Vec<_>) = addresses.iter().cloned().partition(is_loopback);
        near.extend(far);
        near.truncate(MAX_ADDRESSES);
        Self {
            peer,
            swarm: greeting.swarm.clone(),
            run: greeting.run,
            pid: std::process::id(),
            addresses: near,
        }
    }

    fn to_text(&self) -> String {
        let run = self.run.map_or_else(|| "none".to_owned(), |run| run.to_string());
        let mut text = format!("{HEADER}\nswarm {}\nrun {run}\npid {}\n", self.swarm, self.pid);
        for address in &self.addresses {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{address}");
        }
        text
    }

    fn parse(peer: PeerId, text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != HEADER {
            return None;
        }
        let swarm = lines.next()?.strip_prefix("swarm ")?.to_owned();
        let run = parse_run(lines.next()?.strip_prefix("run ")?)?;
        let pid = lines.next()?.strip_prefix("pid ")?.parse().ok()?;
        let addresses = lines.take(MAX_ADDRESSES).filter_map(|line| line.parse().ok()).collect();
        is_swarm_name(&swarm).then_some(Self { peer, swarm, run, pid, addresses })
    }

    /// The addresses that a node of the same host dials: loopback if there is any.
    pub(crate) fn nearest(&self) -> Vec<Multiaddr> {
        let near: Vec<_> = self.addresses.iter().filter(|a| is_loopback(a)).cloned().collect();
        if near.is_empty() { self.addresses.clone() } else { near }
    }

    /// Whether its process is known to have ended. Only some systems know.
    fn is_dead(&self) -> bool {
        let processes = Path::new("/proc");
        processes.join("self").exists() && !processes.join(self.pid.to_string()).exists()
    }
}

/// Our place in the folder; our file is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: PathBuf,
    own: PathBuf,
    peer: PeerId,
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It may never have been written.
        let _ = std::fs::remove_file(&self.own);
    }
}

impl Folder {
    /// Makes the folder if it is not there, for this user only.
    pub(crate) fn open(folder: &Path, peer: PeerId) -> io::Result<Self> {
        create_private_folder(folder)?;
        let own = folder.join(peer.to_base58());
        Ok(Self { folder: folder.to_owned(), own, peer })
    }

    /// Writes our file.
    pub(crate) fn write(&self, entry: &Entry) -> io::Result<()> {
        atomic_file::replace(&self.own, entry.to_text().as_bytes())
    }

    /// The other nodes' entries. Removes files that are surely abandoned: those older than [`STALE`],
    /// and those of peers in `unreachable` whose process has ended.
    pub(crate) fn look(&self, unreachable: &BTreeSet<PeerId>) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for file in std::fs::read_dir(&self.folder)?.take(MAX_FILES) {
            let Ok(file) = file else { continue };
            let name = file.file_name();
            let Some(peer) = name.to_str().and_then(|name| name.parse::<PeerId>().ok()) else {
                continue;
            };
            if peer == self.peer {
                continue;
            }
            let Some(entry) = read(&file.path(), peer) else { continue };
            if entry.is_dead() && unreachable.contains(&peer) {
                // Another node may have been quicker.
                let _ = std::fs::remove_file(file.path());
            } else {
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}

/// Reads one file, or removes it when it is too old.
fn read(path: &Path, peer: PeerId) -> Option<Entry> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    if !meta.is_file() || meta.len() > MAX_FILE_BYTES {
        return None;
    }
    let age = SystemTime::now().duration_since(meta.modified().ok()?).unwrap_or_default();
    if age > STALE {
        let _ = std::fs::remove_file(path);
        return None;
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).ok()?;
    Entry::parse(peer, &text)
}

#[cfg(test)]
#[path = "rendezvous_tests.rs"]
mod tests;
