//! The sequential run: what one process alone would have trained.
//!
//! Rule: it goes through the plan in order, knows nothing of nodes, and every honest checkpoint,
//! batch and score of a simulated run must equal one of its own.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::sim::mathematics::digest::{loss_micro, score};
use crate::sim::mathematics::{Mathematics, blob};
use crate::{BlobRef, Hash, Plan, Score, ShardId};

/// Every state, activation batch, checkpoint and score of the sequential run.
#[derive(Debug)]
pub(crate) struct Reference {
    /// By shard, then by steps done.
    states: Vec<Vec<BlobRef>>,
    /// By shard, then by step.
    batches: Vec<Vec<BlobRef>>,
    /// By chapter, shard, and branch or the mean of all.
    changes: BTreeMap<(u64, ShardId, Option<u16>), BlobRef>,
    /// The losses told with merged checkpoints, by shard and steps done.
    losses: BTreeMap<(ShardId, u64), u64>,
    /// By epoch, from 1.
    scores: BTreeMap<u64, Score>,
    /// Shards of the model.
    model: usize,
}

/// The inputs of a shard's chapter.
struct Inputs<'a> {
    /// The chapter's batches of the shards before it, by step.
    made: &'a [Vec<Vec<u8>>],
    table: Option<&'a [u8]>,
}

impl Reference {
    /// Trains `plan` in one go.
    pub(crate) fn of(plan: &Plan, mathematics: &dyn Mathematics) -> Self {
        let mut now: Vec<Vec<u8>> = plan.shards().map(|shard| mathematics.initial(shard)).collect();
        let mut reference = Self {
            states: now.iter().map(|state| vec![blob(mathematics, state)]).collect(),
            batches: vec![Vec::new(); plan.shard_count()],
            changes: BTreeMap::new(),
            losses: BTreeMap::new(),
            scores: BTreeMap::new(),
            model: plan.model_shards().count(),
        };
        let mut tables: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for chapter in 0..plan.chapters() {
            let (start, end) = (plan.chapter_start(chapter), plan.chapter_start(chapter + 1));
            let table = plan.feedback_step(chapter).and_then(|step| tables.get(&step));
            if plan.merged {
                reference.branches(plan, mathematics, chapter, &mut now, table.map(Vec::as_slice));
            } else {
                reference.part(plan, mathematics, start..end, &mut now, table.map(Vec::as_slice));
            }
            if let Some(shard) = plan.feedback_shard() {
                tables.insert(end, now[usize::from(shard.0)].clone());
            }
            let states: Vec<&[u8]> = now.iter().map(Vec::as_slice).take(reference.model).collect();
            for epoch in plan.epochs_ending(end) {
                reference.scores.insert(epoch, score(epoch, &states));
            }
        }
        reference
    }

    /// Trains the branches of a chapter, each from its start, and merges what they changed.
    fn branches(
        &mut self,
        plan: &Plan,
        mathematics: &dyn Mathematics,
        chapter: u64,
        now: &mut [Vec<u8>],
        table: Option<&[u8]>,
    ) {
        let starts = now.to_vec();
        let mut changes: Vec<Vec<Vec<u8>>> = vec![Vec::new(); starts.len()];
        for branch in 0..plan.branches_of(chapter) {
            let steps = plan.branch_steps(chapter, branch);
            for (shard, start) in plan.shards().zip(&starts) {
                now[usize::from(shard.0)] = mathematics.begin(shard, steps.start, start);
            }
            self.part(plan, mathematics, steps, now, table);
            for (shard, start) in plan.shards().zip(&starts).filter(|it| plan.merges(it.0)) {
                let change = mathematics.change(shard, start, &now[usize::from(shard.0)]);
                self.note(mathematics, (chapter, shard, Some(branch)), &change);
                changes[usize::from(shard.0)].push(change);
            }
        }
        let end = plan.chapter_start(chapter + 1);
        let cells = plan.shards().zip(&starts).zip(&changes);
        for ((shard, start), changes) in cells.filter(|it| plan.merges(it.0.0)) {
            let parts: Vec<&[u8]> = changes.iter().map(Vec::as_slice).collect();
            let Ok((state, mean)) = mathematics.merge(shard, end, start, &parts) else { continue };
            self.note(mathematics, (chapter, shard, None), &mean);
            let losses = changes.iter().map(|it| loss_micro(&blob(mathematics, it)));
            self.losses.insert((shard, end), losses.sum::<u64>() / changes.len() as u64);
            if let Some(last) = self.states[usize::from(shard.0)].last_mut() {
                *last = blob(mathematics, &state);
            }
            now[usize::from(shard.0)] = state;
        }
    }

    fn note(
        &mut self,
        mathematics: &dyn Mathematics,
        cell: (u64, ShardId, Option<u16>),
        change: &[u8],
    ) {
        self.changes.insert(cell, blob(mathematics, change));
    }

    /// Trains these steps of all shards, all of one shard after the other.
    fn part(
        &mut self,
        plan: &Plan,
        mathematics: &dyn Mathematics,
        steps: Range<u64>,
        now: &mut [Vec<u8>],
        table: Option<&[u8]>,
    ) {
        let mut made: Vec<Vec<Vec<u8>>> = Vec::new();
        for shard in plan.shards() {
            let table = table.filter(|_| plan.table_of(shard, steps.start).is_some());
            let read = Inputs { made: &made, table };
            let state = &mut now[usize::from(shard.0)];
            made.push(self.steps(plan, mathematics, shard, steps.clone(), state, &read));
        }
    }

    /// Trains these steps of one shard; returns its activation batches.
    fn steps(
        &mut self,
        plan: &Plan,
        mathematics: &dyn Mathematics,
        shard: ShardId,
        steps: Range<u64>,
        state: &mut Vec<u8>,
        read: &Inputs<'_>,
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
            let refresh = |step| mathematics.refresh(shard, step, state, &inputs(step), read.table);
            batches = steps.clone().map(refresh).collect();
        }
        self.batches[at].extend(batches.iter().map(|batch| blob(mathematics, batch)));
        batches
    }

    /// The change of a branch of `chapter` in `shard`, or the mean of all, and its loss.
    pub(crate) fn change(
        &self,
        (chapter, shard, branch): (u64, ShardId, Option<u16>),
        plan: &Plan,
    ) -> Option<(BlobRef, u64)> {
        let blob = *self.changes.get(&(chapter, shard, branch))?;
        let merged = self.losses.get(&(shard, plan.chapter_start(chapter + 1))).copied();
        let loss = if branch.is_none() { merged } else { Some(loss_micro(&blob)) };
        Some((blob, loss?))
    }

    /// The checkpoint of `shard` after `step` steps, and its loss.
    pub(crate) fn checkpoint(&self, shard: ShardId, step: u64) -> Option<(BlobRef, u64)> {
        let states = self.states.get(usize::from(shard.0))?;
        let state = states.get(usize::try_from(step).ok()?)?;
        let merged = self.losses.get(&(shard, step)).copied();
        Some((*state, merged.unwrap_or_else(|| loss_micro(state))))
    }

    /// The activation batch of `shard` for `step`.
    pub(crate) fn batch(&self, shard: ShardId, step: u64) -> Option<BlobRef> {
        self.batches.get(usize::from(shard.0))?.get(usize::try_from(step).ok()?).copied()
    }

    /// The score of an epoch, from 1.
    pub(crate) fn score(&self, epoch: u64) -> Option<Score> {
        self.scores.get(&epoch).copied()
    }

    /// The last checkpoint of every shard of the model, in order.
    pub(crate) fn finals(&self) -> Vec<Hash> {
        self.states
            .iter()
            .take(self.model)
            .filter_map(|states| states.last())
            .map(|last| last.hash)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::mathematics::digest::model_hash;
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
