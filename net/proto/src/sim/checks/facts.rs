//! What is true of a simulated run, and what a check measures by.
//!
//! Rule: it follows from the scenario, and from what trainers made where there is no other way.

use std::collections::BTreeSet;

use crate::sim::mathematics::private::Made;
use crate::sim::mathematics::reference::{Mathematics, Reference};
use crate::{
    Checkpoint, Config, Hash, MAX_CHECKPOINTS_PER_SHARD, MAX_FETCHES, NodeId, Plan, Score, ShardId,
};

/// What is true of the run, whoever looks.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) plan: Plan,
    /// The sequential run; `None` where each machine has data of its own.
    pub(crate) reference: Option<Reference>,
    /// What was made, where each machine has data of its own.
    pub(crate) made: Option<Made>,
    /// Blobs that one node may hold at once.
    pub(crate) max_blobs: usize,
    /// The nodes that lie.
    pub(crate) liars: BTreeSet<NodeId>,
    /// Bytes that they offer or announce by their right hash and that are no batch or checkpoint.
    pub(crate) junk: BTreeSet<Hash>,
}

impl Facts {
    /// The facts of a run that all train with `mathematics`, or each with something of its own.
    pub(crate) fn new(plan: Plan, config: &Config, mathematics: Option<&dyn Mathematics>) -> Self {
        let reference = mathematics.map(|mathematics| Reference::of(&plan, mathematics));
        let max_blobs = max_blobs(&plan, config);
        let made = mathematics.is_none().then(Made::default);
        Self { plan, reference, made, max_blobs, liars: BTreeSet::new(), junk: BTreeSet::new() }
    }

    /// The facts of a run that is predicted: that it goes well is taken for granted.
    pub(crate) fn unchecked(plan: Plan) -> Self {
        Self {
            plan,
            reference: None,
            made: None,
            max_blobs: usize::MAX,
            liars: BTreeSet::new(),
            junk: BTreeSet::new(),
        }
    }

    /// Whether `found` is what the sequential run has, where there is one.
    pub(crate) fn is<T: PartialEq>(
        &self,
        found: &T,
        right: impl FnOnce(&Reference) -> Option<T>,
    ) -> bool {
        self.reference.as_ref().is_none_or(|run| right(run).as_ref() == Some(found))
    }

    pub(crate) fn checkpoint(&self, found: &Checkpoint) -> Result<(), String> {
        let what = (found.blob, found.loss_micro);
        if !self.junk.contains(&found.blob.hash)
            && !self.is(&what, |run| run.checkpoint(found.shard, found.step))
        {
            return Err(format!("{found:?} is not what the sequential run has"));
        }
        ensure(self.plan.is_boundary(found.step), || format!("{found:?} is no chapter's end"))
    }

    pub(crate) fn score(&self, found: &Score) -> Result<(), String> {
        ensure(self.is(found, |run| run.score(found.epoch)), || {
            format!("{found:?} is not what the sequential run has")
        })
    }

    /// Whether it is the batch that the sequential run has, or a lie, which only a trainer can tell.
    pub(crate) fn batch(&self, shard: ShardId, step: u64, found: Hash) -> Result<(), String> {
        let right = |run: &Reference| run.batch(shard, step).map(|blob| blob.hash);
        let is_right = self.junk.contains(&found) || self.is(&found, right);
        ensure(is_right, || format!("shard {shard} step {step}: a wrong batch"))
    }

    pub(crate) fn state(&self, shard: ShardId, step: u64, found: Hash) -> Result<(), String> {
        let right = |run: &Reference| run.checkpoint(shard, step).map(|(blob, _)| blob.hash);
        let is_right = self.junk.contains(&found) || self.is(&found, right);
        ensure(is_right, || format!("shard {shard} step {step}: a wrong checkpoint"))
    }
}

/// Chapters shorter than this make a checkpoint in nearly every step: before news of copies come
/// back, or of shards above, there are many, and nothing but their number in the run bounds them.
const SHORT_CHAPTER: u64 = 3;

/// Blobs that one node may hold: for every shard, a window and three chapters of its inputs and of
/// its outputs, and its checkpoints; and what is being fetched. A shard that is refreshed needs a
/// window of two chapters, or it could not train one while its reader reads the one before.
fn max_blobs(plan: &Plan, config: &Config) -> usize {
    let least = if plan.refreshed { 2 * plan.chapter_steps } else { 0 };
    let batches = 2 * (config.window.max(least) + 3 * plan.chapter_steps) as usize;
    let checkpoints = if plan.chapter_steps < SHORT_CHAPTER { plan.chapters() as usize } else { 0 };
    plan.shard_count() * (batches + checkpoints.max(MAX_CHECKPOINTS_PER_SHARD)) + MAX_FETCHES
}

/// An error in words where something does not hold.
pub(crate) fn ensure(holds: bool, rule: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule()) }
}
