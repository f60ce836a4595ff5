//! What training is to the simulator, and what the sequential run makes of it.
//!
//! Rule: [`Mathematics`] is a function of its arguments; the sequential run calls it in order, the
//! simulated nodes call it whenever and wherever a cell is theirs, and the bytes must be equal.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use crate::sim::mathematics::fake_training::mix;
use crate::{BlobRef, Hash, Plan, Score, ShardId};

/// Test samples that an evaluation pretends to look at.
const SAMPLES: u32 = 10_000;

/// What a step computes: the stand-in made of hashes, or the real thing.
pub trait Mathematics: fmt::Debug {
    /// The state of `shard` before its first step, as canonical bytes.
    fn initial(&self, shard: ShardId) -> Vec<u8>;

    /// One step of `shard`: its next state and the batch it hands on. `inputs` are the batches of
    /// the shards below, in order; a shard of the lowest layer has none, and may have `feedback`, a
    /// checkpoint of the feedback shard.
    fn train(
        &self,
        shard: ShardId,
        step: u64,
        state: &[u8],
        inputs: &[&[u8]],
        feedback: Option<&[u8]>,
    ) -> (Vec<u8>, Vec<u8>);

    /// The batch that `shard` hands on for `step`, computed with its `state` at the chapter's end.
    fn refresh(
        &self,
        shard: ShardId,
        step: u64,
        state: &[u8],
        inputs: &[&[u8]],
        feedback: Option<&[u8]>,
    ) -> Vec<u8>;

    /// Whether `state` is a state of `shard` after `step` steps.
    fn is_state(&self, shard: ShardId, step: u64, state: &[u8]) -> bool;

    /// Whether a trainer can read `bytes` as a batch; where it cannot and the hash is right, somebody
    /// lies. Needed only where somebody does.
    fn is_batch(&self, _bytes: &[u8]) -> bool {
        true
    }

    /// How many bytes these count as, on the network and in a store.
    fn size(&self, bytes: &[u8]) -> u64 {
        bytes.len() as u64
    }
}

/// The blob name of `bytes`.
pub(crate) fn blob(mathematics: &dyn Mathematics, bytes: &[u8]) -> BlobRef {
    BlobRef { hash: Hash::of(bytes), size: mathematics.size(bytes) }
}

/// The loss reported with a checkpoint, in millionths: anything that the state determines.
pub(crate) fn loss_micro(state: &BlobRef) -> u64 {
    u64::from(state.hash.0[0]) * 3_906
}

/// What an evaluation of these checkpoints finds: anything that they determine.
pub(crate) fn score(epoch: u64, checkpoints: &[&[u8]]) -> Score {
    let found = mix("score", &[epoch], checkpoints);
    let part = |at: usize| (u32::from(found.0[at]) << 8 | u32::from(found.0[at + 1])) % SAMPLES;
    Score { epoch, samples: SAMPLES, softmax_correct: part(0), other_correct: part(2) }
}

/// The sequential run: every state, every batch, every checkpoint and every score there can be.
#[derive(Debug)]
pub struct Reference {
    /// By shard, then by steps done.
    states: Vec<Vec<BlobRef>>,
    /// By shard, then by step.
    batches: Vec<Vec<BlobRef>>,
    /// By epoch, from 1.
    scores: BTreeMap<u64, Score>,
    /// Shards of the model.
    model: usize,
}

/// What a chapter of a shard reads.
struct Read<'a> {
    /// The chapter's batches of the shards before it, by step.
    made: &'a [Vec<Vec<u8>>],
    table: Option<&'a [u8]>,
}

impl Reference {
    /// Trains `plan` in one go.
    pub fn of(plan: &Plan, mathematics: &dyn Mathematics) -> Self {
        let mut now: Vec<Vec<u8>> = plan.shards().map(|shard| mathematics.initial(shard)).collect();
        let mut reference = Self {
            states: now.iter().map(|state| vec![blob(mathematics, state)]).collect(),
            batches: vec![Vec::new(); plan.shard_count()],
            scores: BTreeMap::new(),
            model: plan.model_shards().count(),
        };
        let mut tables: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut begin = 0;
        while begin < plan.steps {
            let steps = begin..plan.chapter_end(begin);
            begin = steps.end;
            let mut made: Vec<Vec<Vec<u8>>> = Vec::new();
            for shard in plan.shards() {
                let table = plan.table_of(shard, steps.start).and_then(|step| tables.get(&step));
                let read = Read { made: &made, table: table.map(Vec::as_slice) };
                let state = &mut now[usize::from(shard.0)];
                made.push(reference.chapter(plan, mathematics, shard, steps.clone(), state, &read));
            }
            if let Some(shard) = plan.feedback_shard() {
                tables.insert(steps.end, now[usize::from(shard.0)].clone());
            }
            let states: Vec<&[u8]> = now.iter().map(Vec::as_slice).take(reference.model).collect();
            for epoch in plan.epochs_ending(steps.end) {
                reference.scores.insert(epoch, score(epoch, &states));
            }
        }
        reference
    }

    /// Trains one chapter of one shard; returns what it hands on.
    fn chapter(
        &mut self,
        plan: &Plan,
        mathematics: &dyn Mathematics,
        shard: ShardId,
        steps: Range<u64>,
        state: &mut Vec<u8>,
        read: &Read<'_>,
    ) -> Vec<Vec<u8>> {
        let at = usize::from(shard.0);
        let sources = plan.inputs(shard);
        let inputs = |step: u64| -> Vec<&[u8]> {
            let index = (step - steps.start) as usize;
            sources.iter().map(|it| read.made[usize::from(it.0)][index].as_slice()).collect()
        };
        let mut batches = Vec::new();
        for step in steps.clone() {
            let made = mathematics.train(shard, step, state, &inputs(step), read.table);
            self.states[at].push(blob(mathematics, &made.0));
            *state = made.0;
            batches.push(made.1);
        }
        if plan.is_refreshed(shard) {
            let again = |step| mathematics.refresh(shard, step, state, &inputs(step), read.table);
            batches = steps.clone().map(again).collect();
        }
        self.batches[at].extend(batches.iter().map(|batch| blob(mathematics, batch)));
        batches
    }

    /// The checkpoint of `shard` after `step` steps, and its loss.
    pub fn checkpoint(&self, shard: ShardId, step: u64) -> Option<(BlobRef, u64)> {
        let states = self.states.get(usize::from(shard.0))?;
        let state = states.get(usize::try_from(step).ok()?)?;
        Some((*state, loss_micro(state)))
    }

    /// The batch that `shard` hands on in `step`.
    pub fn batch(&self, shard: ShardId, step: u64) -> Option<BlobRef> {
        self.batches.get(usize::from(shard.0))?.get(usize::try_from(step).ok()?).copied()
    }

    /// The score of an epoch, from 1.
    pub fn score(&self, epoch: u64) -> Option<Score> {
        self.scores.get(&epoch).copied()
    }

    /// The last checkpoint of every shard of the model, in order.
    pub fn finals(&self) -> Vec<Hash> {
        self.states
            .iter()
            .take(self.model)
            .filter_map(|states| states.last())
            .map(|last| last.hash)
            .collect()
    }
}

/// One hash for a whole model: that of its last checkpoints, in shard order.
pub fn model_hash(checkpoints: &[Hash]) -> Hash {
    let parts: Vec<&[u8]> = checkpoints.iter().map(|hash| hash.0.as_slice()).collect();
    mix("model", &[], &parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::mathematics::fake_training::FakeTraining;

    #[test]
    fn the_reference_knows_every_cell() {
        let plan = Plan { epoch_steps: 4, ..Plan::example(&[2, 1], 7, 3) };
        let reference = Reference::of(&plan, &FakeTraining::default());
        assert_eq!(reference.finals().len(), 3);
        assert!(plan.shards().all(|shard| reference.checkpoint(shard, 7).is_some()));
        assert_eq!(reference.checkpoint(ShardId(0), 8), None);
        assert!(
            reference.batch(ShardId(2), 6).is_some() && reference.batch(ShardId(2), 7).is_none()
        );
        assert!(reference.score(0).is_none() && reference.score(3).is_none());
        assert_eq!(reference.score(2).map(|score| score.epoch), Some(2));
        assert_ne!(model_hash(&reference.finals()), model_hash(&[]));
    }
    #[test]
    fn tables_and_refreshing_change_what_is_trained() {
        let online = Plan::example(&[1; 3], 7, 2);
        let feedback = Plan { feedback: true, ..online.clone() };
        let refreshed = Plan { refreshed: true, ..online.clone() };
        let [online, feedback, refreshed] = [online, feedback, refreshed]
            .map(|plan| Reference::of(&plan, &FakeTraining::default()));
        assert_eq!((online.finals().len(), feedback.finals().len()), (3, 2));
        // The third chapter is the first that reads a table.
        assert_eq!(online.batch(ShardId(0), 3), feedback.batch(ShardId(0), 3));
        assert_ne!(online.batch(ShardId(0), 4), feedback.batch(ShardId(0), 4));
        assert_eq!(online.checkpoint(ShardId(0), 7), refreshed.checkpoint(ShardId(0), 7));
        assert_ne!(online.batch(ShardId(0), 0), refreshed.batch(ShardId(0), 0));
        assert_ne!(online.checkpoint(ShardId(1), 2), refreshed.checkpoint(ShardId(1), 2));
    }
}
