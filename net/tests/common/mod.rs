//! Nodes on the loopback interface that find each other through a temporary folder.
//!
//! Rule: a test waits for events, never for time; [`PATIENCE`] only bounds a failure.

// Each test file uses its own part of this.
#![allow(dead_code, reason = "shared by several test programs")]
#![allow(unreachable_pub, missing_debug_implementations, reason = "no one else can reach it")]
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ffp2p_net::{BlobSource, Config, Event, Handle, Listen, RunInfo, spawn};
use ffp2p_proto::{BlobRef, Hash, Message, NodeId, Score};
use tokio::sync::mpsc;

/// A test that waits longer than this has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Blobs by the name under which they are given, which need not be theirs.
#[derive(Default)]
pub struct Blobs(pub BTreeMap<Hash, Bytes>);

impl BlobSource for Blobs {
    fn get(&self, hash: &Hash) -> Option<Bytes> {
        self.0.get(hash).cloned()
    }
}

pub struct Node {
    pub handle: Handle,
    pub events: mpsc::Receiver<Event>,
    seen: Vec<Event>,
}

pub fn run(spec: &'static [u8]) -> RunInfo {
    RunInfo { id: Hash::of(spec), spec: Bytes::from_static(spec), name: None, data: None }
}

pub fn config(folder: &Path, run: Option<RunInfo>) -> Config {
    Config {
        run,
        listen: Listen::At(vec!["127.0.0.1:0".parse().unwrap()]),
        mdns: false,
        rendezvous: Some(folder.to_owned()),
        ..Config::default()
    }
}

pub fn content(len: usize) -> Bytes {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

pub fn name(bytes: &Bytes) -> BlobRef {
    BlobRef { hash: Hash::of(bytes), size: bytes.len() as u64 }
}

pub fn score(epoch: u64) -> Message {
    Message::Score(Score { epoch, samples: 10, softmax_correct: 9, other_correct: 8 })
}

impl Node {
    pub async fn start(config: Config) -> Self {
        Self::with(config, Blobs::default()).await
    }

    pub async fn with(config: Config, blobs: impl BlobSource) -> Self {
        let (handle, events) = spawn(config, Arc::new(blobs)).await.unwrap();
        Self { handle, events, seen: Vec::new() }
    }

    pub fn id(&self) -> NodeId {
        self.handle.id()
    }

    /// The first `Some` of `wanted`, over the events seen before and then the next ones; that event is
    /// taken out.
    pub async fn until<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        for index in 0..self.seen.len() {
            if let Some(found) = wanted(&self.seen[index]) {
                self.seen.remove(index);
                return found;
            }
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let event = tokio::time::timeout_at(deadline, self.events.recv()).await;
            let Ok(event) = event else { panic!("the event did not come; seen: {:?}", self.seen) };
            let event = event.expect("the node ended");
            if let Some(found) = wanted(&event) {
                return found;
            }
            self.seen.push(event);
        }
    }

    pub async fn is(&mut self, wanted: Event) {
        self.until(|event| (*event == wanted).then_some(())).await;
    }

    /// Everything that came so far.
    pub fn so_far(&mut self) -> &[Event] {
        while let Ok(event) = self.events.try_recv() {
            self.seen.push(event);
        }
        &self.seen
    }

    pub async fn connected(&mut self, peer: NodeId) {
        self.is(Event::Connected(peer)).await;
    }

    pub async fn address(&mut self) -> String {
        self.until(
            |event| {
                if let Event::Listening(all) = event { Some(all[0].to_string()) } else { None }
            },
        )
        .await
    }
}

/// Two connected nodes of one run; the second has `blobs`.
pub async fn pair(folder: &Path, blobs: impl BlobSource) -> (Node, Node) {
    let mut a = Node::start(config(folder, Some(run(b"spec")))).await;
    let mut b = Node::with(config(folder, Some(run(b"spec"))), blobs).await;
    a.connected(b.id()).await;
    b.connected(a.id()).await;
    (a, b)
}
