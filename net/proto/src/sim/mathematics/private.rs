//! The record of what was made in a run in which each machine has data of its own.
//!
//! Rule: there is no sequential run to compare with, so what was made is written down instead:
//! activation batches, none of which may leave its machine, and cells that two machines trained.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Hash, Input, ShardId};

/// The results of all trainers.
#[derive(Debug, Default)]
pub(crate) struct Made {
    batches: BTreeSet<Hash>,
    checkpoints: BTreeMap<(ShardId, u64), Hash>,
    /// Checkpoints that differ from the first one of their cell.
    pub(crate) rivals: u64,
}

impl Made {
    /// Notes the answer of a trainer.
    pub(crate) fn note(&mut self, answer: &Input) {
        if let Input::Refreshed { batch, .. } = answer {
            self.batches.insert(batch.hash);
        } else if let &Input::Trained { shard, step, batch, checkpoint, .. } = answer {
            self.batches.extend(batch.map(|blob| blob.hash));
            let Some((blob, _)) = checkpoint else { return };
            let first = *self.checkpoints.entry((shard, step)).or_insert(blob.hash);
            self.rivals += u64::from(first != blob.hash);
        }
    }

    /// Whether `hash` is of activations.
    pub(crate) fn is_batch(&self, hash: &Hash) -> bool {
        self.batches.contains(hash)
    }
}
