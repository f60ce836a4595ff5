//! Fetches a data set from the peers of a run.
//!
//! Rule: it visits the run, takes part in nothing, asks every peer that says that it has the set, and
//! leaves. What came stays, so that the next try goes on there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use ffp2p_net::{About, Event as NetEvent, Handle, NoBlobs, RunInfo};
use ffp2p_proto::{BlobRef, Hash, NodeId};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    cache::{Begun, Cache, Partial, hash_in},
    error::SharingError,
    pieces::Pieces,
};
use crate::{
    data::{
        Data, kind_of,
        manifest::{MOST_MANIFEST, Manifest},
    },
    events::{Event, EventSink},
    text::megabytes,
};

/// Time without a piece after which nobody is expected to give one.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time between two reports.
const REPORT: Duration = Duration::from_millis(500);

/// Peers that are asked what they have, at most.
const MOST_ASKED: usize = 64;

/// The set that is wanted, and where it may be.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// The run whose peers have it.
    pub(crate) run: RunInfo,
    /// Its id.
    pub(crate) id: &'a str,
    /// How its peers are found.
    pub(crate) network: ffp2p_net::Config,
    /// The folder in which it ends up.
    pub(crate) cache: &'a Cache,
}

/// The set from the cache, or else from peers.
///
/// # Errors
/// If it is not in the cache, and nobody gives it.
pub(crate) async fn fetch(
    wanted: Wanted<'_>,
    sink: &mut dyn EventSink,
) -> Result<Data, SharingError> {
    let Wanted { run, id, network, cache } = wanted;
    if let Some(data) = cache.open(id) {
        return Ok(data);
    }
    let hash = hash_in(id).ok_or_else(|| SharingError::Malformed(id.to_owned()))?;
    let name = run.id;
    let config = ffp2p_net::Config { run: Some(run), visits: true, ..network };
    let spawned = ffp2p_net::spawn(config, Arc::new(NoBlobs)).await;
    let (net, events) = spawned.map_err(|_| SharingError::Stopped)?;
    let mut visit = Visit {
        net: net.clone(),
        events,
        run: name,
        asked: JoinSet::new(),
        count: 0,
        pieces: Pieces::default(),
        manifest_len: 0,
        last: Instant::now(),
    };
    let fetched = visit.fetch((id, hash), cache, sink).await;
    visit.asked.shutdown().await;
    net.shutdown().await;
    fetched
}

/// A visit to the peers of a run.
struct Visit {
    net: Handle,
    events: mpsc::Receiver<NetEvent>,
    run: Hash,
    /// Questions to peers, one each.
    asked: JoinSet<(NodeId, Option<About>)>,
    /// How many were asked.
    count: usize,
    pieces: Pieces,
    /// Bytes of the manifest, as the first peer said.
    manifest_len: u32,
    /// When something came last.
    last: Instant,
}

impl Visit {
    async fn fetch(
        &mut self,
        (id, hash): (&str, Hash),
        cache: &Cache,
        sink: &mut dyn EventSink,
    ) -> Result<Data, SharingError> {
        let manifest = match cache.manifest(id) {
            Some(manifest) => manifest,
            None => self.manifest(id, hash).await?,
        };
        let partial = match cache.begin(id, manifest)? {
            Begun::Whole(data) => return Ok(data),
            Begun::Partial(partial) => partial,
        };
        self.pieces(id, partial, sink).await
    }

    /// Fetches the manifest, which has this hash.
    async fn manifest(&mut self, id: &str, hash: Hash) -> Result<Manifest, SharingError> {
        self.pieces.want([hash]);
        loop {
            let len = u64::from(self.manifest_len);
            if len > 0 {
                self.ask(|_| len);
            }
            let Some((came, bytes)) = self.next(id, "").await? else { continue };
            if came == hash {
                let malformed = || SharingError::Malformed(id.to_owned());
                return Manifest::read(&bytes).ok_or_else(malformed);
            }
        }
    }

    /// Fetches what is missing of a set.
    async fn pieces(
        &mut self,
        id: &str,
        mut partial: Partial,
        sink: &mut dyn EventSink,
    ) -> Result<Data, SharingError> {
        let (missing, len) = (partial.missing(), partial.len());
        let size: BTreeMap<Hash, u64> =
            missing.iter().map(|(hash, it)| (*hash, partial.piece_len(*it) as u64)).collect();
        let mut places: BTreeMap<Hash, Vec<usize>> = BTreeMap::new();
        missing.iter().for_each(|(hash, it)| places.entry(*hash).or_default().push(*it));
        let lacking: usize = missing.iter().map(|(_, number)| partial.piece_len(*number)).sum();
        let (mut done, started) = (len - lacking, Instant::now());
        let (before, mut reported) = (done, started);
        self.pieces.want(missing.iter().map(|(hash, _)| *hash));
        while !self.pieces.is_done() {
            self.ask(|hash| size.get(hash).copied().unwrap_or(0));
            let (here, all) = (megabytes(done as u64), megabytes(len as u64));
            let kept = format!(" any more, {here} of {all} are here");
            let Some((hash, bytes)) = self.next(id, &kept).await? else { continue };
            for &number in places.get(&hash).into_iter().flatten() {
                partial.put(number, &bytes)?;
                done += bytes.len();
            }
            if reported.elapsed() >= REPORT || self.pieces.is_done() {
                reported = Instant::now();
                let seconds = started.elapsed().as_secs_f64();
                sink.on_event(&Event::Fetching {
                    data: kind_of(id).to_owned(),
                    bytes: done as u64,
                    of: len as u64,
                    bytes_per_second: ((done - before) as f64 / seconds.max(1e-3)) as u64,
                    peers: self.pieces.holders(),
                });
            }
        }
        partial.finish()
    }

    /// Asks for as many pieces as peers may be asked for.
    fn ask(&mut self, size: impl Fn(&Hash) -> u64) {
        for (hash, peer) in self.pieces.next() {
            self.net.fetch(BlobRef { hash, size: size(&hash) }, peer);
        }
    }

    /// Waits for the next thing to happen. Returns a blob that came.
    async fn next(&mut self, id: &str, kept: &str) -> Result<Option<(Hash, Bytes)>, SharingError> {
        let until = self.last + PATIENCE;
        let event = tokio::select! {
            event = timeout_at(until, self.events.recv()) => event,
            Some(answer) = self.asked.join_next() => {
                if let Ok((peer, Some(About { data: Some(data), .. }))) = answer
                    && (1..=MOST_MANIFEST as u32).contains(&data.manifest)
                {
                    self.manifest_len = data.manifest;
                    self.pieces.add(peer);
                }
                return Ok(None);
            }
        };
        let nobody = || SharingError::Nobody { id: id.to_owned(), kept: kept.to_owned() };
        let event = event.map_err(|_| nobody())?.ok_or(SharingError::Stopped)?;
        match event {
            NetEvent::Connected(peer) if self.count < MOST_ASKED => {
                self.count += 1;
                let (net, run) = (self.net.clone(), self.run);
                self.asked.spawn(async move {
                    let described = net.fetch_spec(peer, run).await.ok();
                    (peer, described.and_then(|it| it.about))
                });
            }
            NetEvent::Disconnected(peer) => self.pieces.gone(peer),
            NetEvent::Fetched { blob, bytes } if self.pieces.came(blob.hash) => {
                self.last = Instant::now();
                return Ok(Some((blob.hash, bytes)));
            }
            NetEvent::FetchFailed { hash, from, reason } => {
                tracing::debug!(%hash, %from, "a piece of a data set did not come: {reason}");
                self.pieces.failed(hash, from);
            }
            NetEvent::Connected(_)
            | NetEvent::Fetched { .. }
            | NetEvent::Listening(_)
            | NetEvent::Greeted { .. }
            | NetEvent::Received { .. }
            | NetEvent::OtherRun { .. }
            | NetEvent::NotReached { .. }
            | NetEvent::Refused { .. }
            | NetEvent::Alone(_) => {}
        }
        Ok(None)
    }
}
