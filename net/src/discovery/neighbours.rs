//! The task that keeps our file in the rendezvous folder and reads the others'.
//!
//! Rule: file systems may be slow, so nothing of this happens in the event loop; the task ends,
//! and our file is removed, when the loop drops its end or stops it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::discovery::rendezvous::{Entry, Folder, STALE};
use crate::error::StartError;
use crate::wire::greeting::Greeting;

/// Pause between looks while all nodes start.
const EAGER_PAUSE: Duration = Duration::from_millis(200);

/// Time after the start in which looks are that frequent.
const EAGER: Duration = Duration::from_secs(10);

/// Pause between looks later: a newcomer finds us, we need not find it.
const PAUSE: Duration = Duration::from_secs(5);

/// Our file is written again at least this often, so that it does not look abandoned.
const RENEW: Duration = Duration::from_secs(STALE.as_secs() / 24);

/// Peers that did not answer and are remembered as such.
const MAX_UNREACHABLE: usize = 256;

/// The longest wait for the task's end.
const END: Duration = Duration::from_secs(1);

/// The loop's knowledge that the task needs.
#[derive(Clone, Debug, Default)]
struct View {
    addresses: Vec<Multiaddr>,
    unreachable: BTreeSet<PeerId>,
}

/// The loop's end of the task.
#[derive(Debug)]
pub(crate) struct Neighbours {
    view: watch::Sender<View>,
    seen: mpsc::Receiver<Vec<Entry>>,
    task: JoinHandle<()>,
}

impl Neighbours {
    /// Opens the folder and starts the task.
    pub(crate) async fn start(
        folder: &Path,
        peer: PeerId,
        greeting: Greeting,
    ) -> Result<Self, StartError> {
        let path = folder.to_owned();
        let opened = tokio::task::spawn_blocking(move || Folder::open(&path, peer)).await;
        let opened = opened.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        let storage = |source| StartError::Storage { path: folder.to_owned(), source };
        let folder = Arc::new(opened.map_err(storage)?);
        let (view, known) = watch::channel(View::default());
        let (found, seen) = mpsc::channel(1);
        let keeper = Keeper { folder, peer, greeting, known, found, written: None };
        Ok(Self { view, seen, task: tokio::spawn(keeper.run()) })
    }

    /// The other nodes of this host, at each look.
    pub(crate) async fn seen(&mut self) -> Option<Vec<Entry>> {
        self.seen.recv().await
    }

    /// Notes the addresses this node listens on.
    pub(crate) fn listening(&self, addresses: Vec<Multiaddr>) {
        self.view.send_modify(|view| view.addresses = addresses);
    }

    /// Notes that a peer did not answer; its file may be removed if its process has ended.
    pub(crate) fn unreachable(&self, peer: PeerId) {
        self.view.send_if_modified(|view| {
            if view.unreachable.len() >= MAX_UNREACHABLE {
                view.unreachable.pop_first();
            }
            view.unreachable.insert(peer);
            false
        });
    }

    /// Ends the task, and waits until our file is removed.
    pub(crate) async fn stop(self) {
        drop((self.view, self.seen));
        match tokio::time::timeout(END, self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("the rendezvous task failed: {error}"),
            Err(_) => {
                tracing::warn!("the rendezvous folder does not answer; our file may be left in it");
            }
        }
    }
}

/// The task's state.
#[derive(Debug)]
struct Keeper {
    folder: Arc<Folder>,
    peer: PeerId,
    greeting: Greeting,
    known: watch::Receiver<View>,
    found: mpsc::Sender<Vec<Entry>>,
    /// Time at which our file was written, and the addresses in it.
    written: Option<(Instant, Vec<Multiaddr>)>,
}

impl Keeper {
    async fn run(mut self) {
        let started = Instant::now();
        let mut warned = false;
        loop {
            match self.look().await {
                Ok(entries) => {
                    if self.found.send(entries).await.is_err() {
                        return;
                    }
                }
                Err(error) if !warned => {
                    warned = true;
                    tracing::warn!("the rendezvous folder cannot be used: {error}");
                }
                Err(_) => {}
            }
            let pause = if started.elapsed() < EAGER { EAGER_PAUSE } else { PAUSE };
            tokio::select! {
                changed = self.known.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Writes our file if it is due, and reads the others'.
    async fn look(&mut self) -> std::io::Result<Vec<Entry>> {
        let View { addresses, unreachable } = self.known.borrow_and_update().clone();
        let fresh = self
            .written
            .as_ref()
            .is_some_and(|(at, old)| at.elapsed() < RENEW && *old == addresses);
        let own = (!fresh && !addresses.is_empty())
            .then(|| Entry::own(self.peer, &self.greeting, &addresses));
        if own.is_some() {
            self.written = Some((Instant::now(), addresses));
        }
        let folder = Arc::clone(&self.folder);
        let work = move || {
            own.map_or(Ok(()), |own| folder.write(&own))?;
            folder.look(&unreachable)
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(std::io::Error::other(e)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn our_file_is_there_while_we_listen_and_gone_after_the_end() {
        let place = tempfile::tempdir().unwrap();
        let (one, other) = (PeerId::random(), PeerId::random());
        let greeting = Greeting::new("node", "lab", None);
        let start = |peer| Neighbours::start(place.path(), peer, greeting.clone());
        let (ours, mut theirs) = (start(one).await.unwrap(), start(other).await.unwrap());
        ours.listening(vec!["/ip4/127.0.0.1/tcp/7".parse().unwrap()]);
        while theirs.seen().await.unwrap().iter().all(|entry| entry.peer != one) {}
        ours.stop().await;
        while !theirs.seen().await.unwrap().is_empty() {}
        theirs.stop().await;
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_place_that_is_no_folder_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let greeting = Greeting::new("node", "lab", None);
        let started = Neighbours::start(file.path(), PeerId::random(), greeting).await;
        assert!(matches!(started, Err(StartError::Storage { .. })));
    }
}
