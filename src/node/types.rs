//! How a node is set up, what it is told from beside its loop, and how it ends.
//!
//! Rule: only words that the loop and its neighbours share; nothing here does anything with them
//! but turn one into the other.

use std::{path::PathBuf, sync::Arc};

use ffp2p_net::{Described, FetchError};
use ffp2p_proto::{Checkpoint, Hash, Input, NodeId, Score, ShardId};
use tokio::sync::mpsc;

use super::{disk::Disk, spill::Spill, store::Store, store_files::StoreError};
use crate::{diverged::Diverged, export::ModelError};

/// How a node is set up, the network aside.
#[derive(Debug)]
pub struct Settings {
    /// Training threads.
    pub threads: usize,
    /// Decisions' timers and limits.
    pub config: ffp2p_proto::Config,
    /// Where the model goes when the run is complete.
    pub out: Option<PathBuf>,
    /// How much it matters that its work is on disk.
    pub durability: Durability,
}

/// How much it matters that what is trained is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Not at all: the user said so.
    None,
    /// Without a disk it goes on in memory, but a model that is kept nowhere is a failure.
    BestEffort,
    /// The user named the folder: without it nothing goes on.
    Required,
}

/// Why a node shall stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A person pressed Ctrl-C: the first time to leave cleanly, the second to go at once.
    Asked,
    /// The program that started the node is gone: leave cleanly.
    Abandoned,
}

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The run is complete.
    Done,
    /// The person stopped it before that.
    Interrupted,
}

/// Why a node failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The network cannot be used.
    #[error(transparent)]
    Network(#[from] ffp2p_net::StartError),
    /// The data set and the spec do not fit.
    #[error(transparent)]
    Schedule(#[from] crate::data::BatchSizeError),
    /// The store folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The trained model cannot be assembled or written.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Training went wrong beyond repair.
    #[error(transparent)]
    Diverged(#[from] Diverged),
    /// The run is complete, and nothing of it is left.
    #[error(
        "the trained model is kept nowhere: no folder could be written; train again with --out FILE"
    )]
    Nowhere,
    /// A part of the node stopped working.
    #[error("the {0} stopped; start the node again")]
    Stopped(&'static str),
}

/// What work beside the loop found.
#[derive(Debug)]
pub(super) enum Found {
    Score(Score),
    /// The model's hash, and whether it could be written.
    Model(Result<(Hash, Result<(), ModelError>), ModelError>),
    /// The store folder takes no more.
    Unkept(StoreError),
    /// What a peer says of the other run that it trains.
    OtherRun {
        peer: NodeId,
        run: Hash,
        version: String,
        answer: Result<Described, FetchError>,
    },
    /// The store cannot read a blob that it held.
    Lost(Hash),
    /// The checkpoint of a shard after so many steps is none of this run.
    Unusable(ShardId, u64),
}

/// Which of these checkpoints after `step` steps keeps them from being put together or scored, if it is
/// one of them.
pub(super) fn culprit(error: &ModelError, checkpoints: &[Hash], step: u64) -> Option<Found> {
    if let ModelError::Missing { shard, .. } = *error {
        return checkpoints.get(usize::from(shard)).map(|hash| Found::Lost(*hash));
    }
    let ModelError::Shard { shard, .. } = *error else { return None };
    Some(Found::Unusable(ShardId(shard), step))
}

/// The store, and the checkpoints that its folder had.
pub(super) fn open_store(
    disk: Option<Disk>,
    results: mpsc::Sender<Found>,
) -> Result<(Arc<Store>, Vec<Checkpoint>), StoreError> {
    let store = match Spill::create(disk.as_ref().map(Disk::folder)) {
        Ok(spill) => Store::with_spill(spill, results.clone()),
        Err(error) => {
            tracing::warn!(%error, "no temporary file could be made: all blobs stay in memory");
            Store::default()
        }
    };
    let Some(disk) = disk else { return Ok((Arc::new(store), Vec::new())) };
    let restored = disk.checkpoints()?;
    let checkpoints = restored.iter().map(|(checkpoint, _)| *checkpoint).collect();
    let store = store.with_disk(disk, restored, move |error| {
        // The loop is gone when the node stops; then it has nothing left to keep.
        let _ = results.blocking_send(Found::Unkept(error));
    });
    Ok((Arc::new(store), checkpoints))
}

/// What the decisions hear of the network; the other events come back. A blob that was fetched is
/// in the store then.
///
/// # Errors
/// The event, when it is none of the decisions' business.
pub(crate) fn heard(
    event: ffp2p_net::Event,
    store: &Store,
) -> Result<Input, Box<ffp2p_net::Event>> {
    use ffp2p_net::Event;
    Ok(match event {
        Event::Connected(peer) => Input::Connected(peer),
        Event::Disconnected(peer) => Input::Disconnected(peer),
        Event::Received { from, message } => Input::Received { from, message },
        Event::Fetched { blob, bytes } => {
            store.insert(blob.hash, bytes);
            Input::Fetched { hash: blob.hash }
        }
        Event::FetchFailed { hash, from, reason } => {
            Input::FetchFailed { hash, from, lied: reason == FetchError::WrongBytes }
        }
        Event::Greeted { .. }
        | Event::Listening(_)
        | Event::OtherRun { .. }
        | Event::NotReached { .. }
        | Event::Refused { .. }
        | Event::Alone(_) => return Err(Box::new(event)),
    })
}
