//! The truth about a simulated run, by which checks measure.
//!
//! Rule: it follows from the scenario, and from what trainers made where there is no other way.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::sim::mathematics::private::Made;
use crate::sim::mathematics::reference::Reference;
use crate::sim::scenario::Scenario;
use crate::{
    Change, Checkpoint, Config, Hash, MAX_CHECKPOINTS_PER_SHARD, MAX_FETCHES, NodeId, Parts, Plan,
    Score, ShardId,
};

/// Facts that hold for every node.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) plan: Plan,
    /// The sequential run; `None` where each machine has data of its own.
    pub(crate) reference: Option<Reference>,
    /// The record of what was made, where each machine has data of its own.
    pub(crate) made: Option<Made>,
    /// Blobs that one node may hold at once.
    pub(crate) max_blobs: usize,
    /// The nodes that lie.
    pub(crate) liars: BTreeSet<NodeId>,
    /// Blobs of theirs that are offered or announced by their right hash, but are no batch and not
    /// the checkpoint that they pass for.
    pub(crate) junk: BTreeSet<Hash>,
}

impl Facts {
    /// The facts of a scenario before anything happened. A run that is predicted is not checked, and
    /// has none.
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let plan = scenario.plan.clone();
        let is_checked = scenario.costs.is_none();
        let is_shared = scenario.private.is_empty();
        let reference = || Reference::of(&plan, &*scenario.mathematics);
        Self {
            reference: (is_checked && is_shared).then(reference),
            made: (is_checked && !is_shared).then(Made::default),
            max_blobs: if is_checked { max_blobs(&plan, &scenario.config) } else { usize::MAX },
            liars: BTreeSet::new(),
            junk: BTreeSet::new(),
            plan,
        }
    }

    /// Whether `found` equals what the sequential run has, where there is one.
    pub(crate) fn is<T: PartialEq>(
        &self,
        found: &T,
        right: impl FnOnce(&Reference) -> Option<T>,
    ) -> bool {
        self.reference.as_ref().is_none_or(|run| right(run).as_ref() == Some(found))
    }

    /// Checks an announced checkpoint.
    pub(crate) fn checkpoint(&self, found: &Checkpoint) -> Result<(), String> {
        let what = (found.blob, found.loss_micro);
        if !self.junk.contains(&found.blob.hash)
            && !self.is(&what, |run| run.checkpoint(found.shard, found.step))
        {
            return Err(format!("{found:?} is not what the sequential run has"));
        }
        ensure(self.plan.is_boundary(found.step), || format!("{found:?} is no chapter's end"))
    }

    /// Checks an announced change.
    pub(crate) fn change(&self, found: &Change) -> Result<(), String> {
        let Change { shard, chapter, branch, blob, loss_micro, .. } = *found;
        let right = |run: &Reference| run.change((chapter, shard, branch), &self.plan);
        let is_right = self.junk.contains(&blob.hash) || self.is(&(blob, loss_micro), right);
        ensure(is_right, || format!("{found:?} is not what the sequential run has"))
    }

    /// Checks that these are the changes of the chapters of these steps, or junk.
    pub(crate) fn parts(
        &self,
        shard: ShardId,
        steps: Range<u64>,
        parts: &Parts,
    ) -> Result<(), String> {
        let first = self.plan.chapter_of(steps.start);
        let right = |chapter, branch| {
            let run = self.reference.as_ref()?;
            run.change((chapter, shard, branch), &self.plan).map(|(blob, _)| blob.hash)
        };
        let found = parts.hashes();
        let expected: Vec<Option<Hash>> = match parts {
            Parts::Branches(_) => {
                (0..self.plan.branches_of(first)).map(|branch| right(first, Some(branch))).collect()
            }
            Parts::Means(_) => {
                (first..=self.plan.chapter_ending(steps.end)).map(|it| right(it, None)).collect()
            }
        };
        let is_one = |(found, right): (&Hash, &Option<Hash>)| {
            self.junk.contains(found) || right.is_none_or(|right| right == *found)
        };
        let fits = found.len() == expected.len() && found.iter().zip(&expected).all(is_one);
        ensure(fits, || format!("shard {shard}: wrong changes are merged"))
    }

    /// Checks an announced score.
    pub(crate) fn score(&self, found: &Score) -> Result<(), String> {
        ensure(self.is(found, |run| run.score(found.epoch)), || {
            format!("{found:?} is not what the sequential run has")
        })
    }

    /// Checks that it is the batch that the sequential run has, or junk, which only a trainer can tell.
    pub(crate) fn batch(&self, shard: ShardId, step: u64, found: Hash) -> Result<(), String> {
        let right = |run: &Reference| run.batch(shard, step).map(|blob| blob.hash);
        let is_right = self.junk.contains(&found) || self.is(&found, right);
        ensure(is_right, || format!("shard {shard} step {step}: a wrong batch"))
    }

    /// Checks that it is the state of `shard` after `step` steps, or junk.
    pub(crate) fn state(&self, shard: ShardId, step: u64, found: Hash) -> Result<(), String> {
        let right = |run: &Reference| run.checkpoint(shard, step).map(|(blob, _)| blob.hash);
        let is_right = self.junk.contains(&found) || self.is(&found, right);
        ensure(is_right, || format!("shard {shard} step {step}: a wrong checkpoint"))
    }
}

/// Chapters shorter than this make a checkpoint in nearly every step: there are many before others
/// report their copies or the shards above advance, and only their number in the run bounds them.
const SHORT_CHAPTER: u64 = 3;

/// The least time that a step of a drawn plan takes, ms.
const LEAST_STEP_MS: u64 = 5;

/// Blobs that one node may hold: for every shard, a window and three chapters of its inputs and of
/// its outputs, and its checkpoints; and what is being fetched. A shard that is refreshed needs a
/// window of two chapters, or it could not train one while its reader reads the one before. Nothing is
/// forgotten until it is noticed that a peer is gone which should have held it.
fn max_blobs(plan: &Plan, config: &Config) -> usize {
    let least = if plan.refreshed { 2 * plan.chapter_steps } else { 0 };
    let batches = 2 * (config.window.max(least) + 3 * plan.chapter_steps) as usize;
    let chapters = if plan.chapter_steps < SHORT_CHAPTER {
        plan.chapters()
    } else {
        config.silent_ms / (plan.chapter_steps * LEAST_STEP_MS)
    };
    // Each chapter that is not over in all shards has its changes, and their mean.
    let open = plan.chapters().min(plan.shard_count() as u64 + 1 + chapters) as usize;
    let means = plan.layers.len() + 2;
    let changes = if plan.merged { open * (usize::from(plan.branches) + 1) + means } else { 0 };
    let checkpoints = (chapters as usize).max(MAX_CHECKPOINTS_PER_SHARD);
    plan.shard_count() * (batches + checkpoints + changes) + MAX_FETCHES
}

/// Checks that a rule holds; the error is the rule in words.
pub(crate) fn ensure(holds: bool, rule: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule()) }
}
