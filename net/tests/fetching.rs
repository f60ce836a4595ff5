//! Blobs arrive whole and true, or the fetch fails; it never just hangs.

#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;
use common::{Blobs, content, name, pair};
use ffp2p_net::{BlobSource, Event, FetchError, MAX_BLOB};
use ffp2p_proto::{BlobRef, Hash};
use tempfile::tempdir;

fn holding(blobs: &[(Hash, Bytes)]) -> Blobs {
    Blobs(blobs.iter().cloned().collect::<BTreeMap<_, _>>())
}

#[tokio::test]
async fn blobs_of_every_size_arrive() {
    let place = tempdir().unwrap();
    let sizes = [0, 1, 1 << 20, (1 << 20) + 1, 5_000_000];
    let all: Vec<_> = sizes.map(content).into_iter().map(|b| (Hash::of(&b), b)).collect();
    let (mut a, b) = pair(place.path(), holding(&all)).await;
    for (_, bytes) in &all {
        a.handle.fetch(name(bytes), b.id());
    }
    for (_, bytes) in all {
        a.is(Event::Fetched { blob: name(&bytes), bytes }).await;
    }
    assert!(a.handle.traffic().bytes_in > 5_000_000);
    assert!(b.handle.traffic().bytes_out > 5_000_000);
}

#[tokio::test]
async fn wrong_bytes_are_not_taken() {
    let place = tempdir().unwrap();
    let (small, large) = (content(1000), content(3_000_000));
    let lies = [
        (Hash::of(&small), Bytes::from(vec![0; small.len()])),
        (Hash::of(&large), Bytes::from(vec![0; large.len()])),
    ];
    let (mut a, b) = pair(place.path(), holding(&lies)).await;
    for bytes in [small, large] {
        a.handle.fetch(name(&bytes), b.id());
        let (hash, reason) = (Hash::of(&bytes), FetchError::WrongBytes);
        a.is(Event::FetchFailed { hash, from: b.id(), reason }).await;
    }
}

#[tokio::test]
async fn a_blob_that_a_peer_does_not_have_fails() {
    let place = tempdir().unwrap();
    let short = content(100);
    let (mut a, b) = pair(place.path(), holding(&[(Hash::of(&short), short.clone())])).await;
    let missing = name(&content(99));
    let longer = BlobRef { size: 101, ..name(&short) };
    let huge = BlobRef { size: MAX_BLOB + 1, ..name(&short) };
    for (blob, reason) in [
        (missing, FetchError::NotFound),
        (longer, FetchError::NotFound),
        (huge, FetchError::TooLarge(MAX_BLOB + 1)),
    ] {
        a.handle.fetch(blob, b.id());
        a.is(Event::FetchFailed { hash: blob.hash, from: b.id(), reason }).await;
    }
    let nobody = ffp2p_proto::NodeId([0; 32]);
    a.handle.fetch(missing, nobody);
    let reason = FetchError::Disconnected;
    a.is(Event::FetchFailed { hash: missing.hash, from: nobody, reason }).await;
}

/// A source that reports a request, and answers when it is let go.
#[derive(Clone, Default)]
struct Slow(Arc<(Mutex<(bool, bool)>, Condvar)>);

impl BlobSource for Slow {
    fn get(&self, _: &Hash) -> Option<Bytes> {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.0 = true;
        changed.notify_all();
        drop(changed.wait_while(state, |(_, go)| !*go).unwrap());
        None
    }
}

impl Slow {
    fn wait_until_asked(&self) {
        let (state, changed) = &*self.0;
        drop(changed.wait_while(state.lock().unwrap(), |(asked, _)| !*asked).unwrap());
    }

    fn let_go(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().1 = true;
        changed.notify_all();
    }
}

#[tokio::test]
async fn a_peer_that_leaves_during_a_fetch_fails_it_at_once() {
    let place = tempdir().unwrap();
    let slow = Slow::default();
    let (mut a, b) = pair(place.path(), slow.clone()).await;
    let from = b.id();
    let blobs = [name(&content(10)), name(&content(20))];
    for blob in blobs {
        a.handle.fetch(blob, from);
    }
    let asked = slow.clone();
    tokio::task::spawn_blocking(move || asked.wait_until_asked()).await.unwrap();
    b.handle.shutdown().await;
    for blob in blobs {
        let reason = FetchError::Disconnected;
        a.is(Event::FetchFailed { hash: blob.hash, from, reason }).await;
    }
    slow.let_go();
}
