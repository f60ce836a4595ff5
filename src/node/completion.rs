//! Scoring epochs and putting the model together, next to the loop.
//!
//! Rule: nothing here changes what is decided; results come back to the loop, a panic too. The model is
//! put together by one task at a time.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use ffp2p_net::BlobSource;
use ffp2p_proto::{Checkpoint, Hash, Score, ShardId, Span};
use tokio::task::{JoinError, JoinSet};

use super::{blobs::BlobStore, trainer::ComputeGate};
use crate::{
    data::Data,
    export::{Model, ModelError, Stored, score},
    spec::Spec,
};

/// A result of a task.
#[derive(Debug)]
pub(super) enum Finding {
    Score(Score),
    /// The store cannot read a blob that it held.
    Lost(Hash),
    /// The checkpoint of a shard after this many steps is not of this run.
    Unusable(ShardId, u64),
    Model(Result<Assembled, ModelError>),
}

/// A model that was put together.
#[derive(Debug)]
pub(super) struct Assembled {
    pub(super) model: Hash,
    /// Whether it could be written where that was asked for.
    pub(super) saved: Result<(), ModelError>,
}

/// The tasks, and what has come of them.
pub(super) struct Completion {
    spec: Spec,
    data: Data,
    out: Option<PathBuf>,
    store: Arc<BlobStore>,
    gate: Arc<ComputeGate>,
    tasks: JoinSet<Vec<Finding>>,
    /// Whether the results of the tasks are needed no more.
    cancelled: Arc<AtomicBool>,
    assembling: bool,
    /// Checkpoints to put together if that fails, because some were not here any more.
    again: Option<Vec<Checkpoint>>,
    model: Option<Hash>,
    /// The error when the model was written.
    unsaved: Option<ModelError>,
}

impl Completion {
    pub(super) fn new(
        spec: Spec,
        data: Data,
        out: Option<PathBuf>,
        store: Arc<BlobStore>,
        gate: Arc<ComputeGate>,
    ) -> Self {
        Self {
            spec,
            data,
            out,
            store,
            gate,
            tasks: JoinSet::new(),
            cancelled: Arc::default(),
            assembling: false,
            again: None,
            model: None,
            unsaved: None,
        }
    }

    /// Scores the network made of these checkpoints.
    pub(super) fn score(&mut self, epoch: u64, checkpoints: Vec<Hash>) {
        let (spec, data, gate) = (self.spec.clone(), self.data.clone(), Arc::clone(&self.gate));
        // Not when the task begins: the decisions may have hurried it by then.
        self.gate.hurry(false);
        let get = self.reader(checkpoints.clone());
        self.tasks.spawn_blocking(move || {
            let scorer = gate.scorer();
            let step = spec.plan().epoch_end(epoch);
            match score(&mut Stored::at(&spec, step, get), &spec, &data, epoch, &scorer) {
                Ok(score) => vec![Finding::Score(score)],
                Err(error) => {
                    tracing::warn!(%error, epoch, "an epoch could not be scored");
                    let none = Score { epoch, samples: 0, softmax_correct: 0, other_correct: 0 };
                    let culprit = culprit(&error, &checkpoints, step);
                    culprit.into_iter().chain([Finding::Score(none)]).collect()
                }
            }
        });
    }

    /// Scoring has no longer to wait for training.
    pub(super) fn hurry(&self) {
        self.gate.hurry(true);
    }

    /// All of the model is here, for the first time or again.
    pub(super) fn complete(&mut self, checkpoints: Vec<Checkpoint>, provenance: Vec<Span>) {
        if self.assembling {
            self.again = Some(checkpoints);
        } else if self.model.is_none() {
            self.assemble(checkpoints, provenance);
        }
    }

    /// Puts the trained model together, and writes it where that was asked for.
    fn assemble(&mut self, checkpoints: Vec<Checkpoint>, provenance: Vec<Span>) {
        self.assembling = true;
        let (spec, store, out) = (self.spec.clone(), Arc::clone(&self.store), self.out.clone());
        let checkpoints: Vec<Hash> = checkpoints.iter().map(|it| it.blob.hash).collect();
        let get = self.reader(checkpoints.clone());
        self.tasks.spawn_blocking(move || {
            let assembled = match out {
                // All of it at once is needed only for a file.
                None => Stored::new(&spec, get).hash().map(|model| (model, Ok(()))),
                Some(path) => Model::assemble(&spec, provenance, get).map(|model| {
                    let saved = model.save(&path);
                    (model.hash(), saved)
                }),
            };
            // A user who reads that the run is done may kill the node and export from its store.
            store.flush();
            let steps = spec.network.steps;
            let culprit = assembled.as_ref().err().and_then(|it| culprit(it, &checkpoints, steps));
            let assembled = assembled.map(|(model, saved)| Assembled { model, saved });
            culprit.into_iter().chain([Finding::Model(assembled)]).collect()
        });
    }

    /// Reads the shards' checkpoints, as long as somebody waits for what is made of them.
    fn reader(&self, checkpoints: Vec<Hash>) -> impl FnMut(ShardId) -> Option<Bytes> + use<> {
        let (store, cancelled) = (Arc::clone(&self.store), Arc::clone(&self.cancelled));
        move |shard| {
            let hash = checkpoints.get(usize::from(shard.0))?;
            if cancelled.load(Ordering::Relaxed) { None } else { store.get(hash) }
        }
    }

    /// Whether the model is being put together.
    pub(super) fn is_assembling(&self) -> bool {
        self.assembling
    }

    /// Waits for what a task found; `None` if there is no task.
    pub(super) async fn next(&mut self) -> Option<Result<Vec<Finding>, JoinError>> {
        self.tasks.join_next().await
    }

    /// The model is put together. Returns why it could not be written, if it could not.
    pub(super) fn on_assembled(&mut self, assembled: Assembled) -> Option<String> {
        (self.assembling, self.model) = (false, Some(assembled.model));
        self.unsaved = assembled.saved.err();
        self.unsaved.as_ref().map(ToString::to_string)
    }

    /// The model could not be put together: tries again, now if all is here again, or when it is.
    ///
    /// # Errors
    /// If that is no matter of a checkpoint.
    pub(super) fn on_failure(
        &mut self,
        error: ModelError,
        provenance: Vec<Span>,
    ) -> Result<String, ModelError> {
        self.assembling = false;
        let (ModelError::Shard { .. } | ModelError::Missing { .. }) = &error else {
            return Err(error);
        };
        if let Some(checkpoints) = self.again.take() {
            self.assemble(checkpoints, provenance);
        }
        Ok(format!("{error}; waiting for another"))
    }

    /// The model's hash, once it was put together.
    pub(super) fn model(&self) -> Option<Hash> {
        self.model
    }

    /// The error when the model was written.
    pub(super) fn take_unsaved(&mut self) -> Option<ModelError> {
        self.unsaved.take()
    }

    /// Waits for the end of all tasks, which end at the next checkpoint that they read.
    ///
    /// # Errors
    /// If one of them panicked.
    pub(super) async fn close(&mut self) -> Result<(), JoinError> {
        self.cancelled.store(true, Ordering::Relaxed);
        let mut closed = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            closed = closed.and(ended.map(drop));
        }
        closed
    }
}

/// The one of these checkpoints after `step` steps that keeps them from being put together or scored, if it is
/// one of them.
fn culprit(error: &ModelError, checkpoints: &[Hash], step: u64) -> Option<Finding> {
    if let ModelError::Missing { shard, .. } = *error {
        return checkpoints.get(usize::from(shard)).map(|hash| Finding::Lost(*hash));
    }
    let ModelError::Shard { shard, .. } = *error else { return None };
    Some(Finding::Unusable(ShardId(shard), step))
}
