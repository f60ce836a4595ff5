//! The shape of a run, as far as deciding needs it: shards, steps, chapters, costs.
//!
//! Rule: only integers. What a step computes is none of this package's business; that two peers
//! with the same plan cut the run into the same cells is.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{Hash, ShardId};

/// Shards of one run, at most: bounds every table and the size of a heartbeat.
pub const MAX_SHARDS: usize = 64;

/// By which rule cells go to peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// An owner holds a shard and streams activation batches to the shards above (the paper, 4.1).
    SingleLayer,
    /// An owner holds a chapter and trains every shard of it in turn (the paper, 4.2).
    AllLayers,
    /// As all-layers, each owner on data of its own that never leaves it, in rotation (the paper,
    /// 4.3).
    Federated,
    /// One owner trains everything; the others hold copies and stand by.
    Sequential,
}

impl Placement {
    /// Whether peers own parts of chapters, so that a chapter may have this many.
    pub fn cuts(self, branches: u16) -> bool {
        branches == 1 || self == Self::AllLayers
    }
}

/// One layer: `shards` shards of equal cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerPlan {
    /// Shards this layer is cut into, at least 1.
    pub shards: u16,
    /// Work of one step of one of its shards, in thousands of multiply-accumulates, at least 1.
    pub step_cost: u64,
}

/// The cells of a run: every shard of every layer, for every chapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The run id.
    pub run: Hash,
    /// Bottom layer first.
    pub layers: Vec<LayerPlan>,
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps of an epoch.
    pub epoch_steps: u64,
    /// Steps of a chapter (the last one may be shorter).
    pub chapter_steps: u64,
    /// Parts of a chapter, at least 1, that are trained from the same state and averaged.
    pub branches: u16,
    /// Whether a chapter's checkpoint is made of what its branches changed, and not by the last
    /// step; only where peers own chapters.
    pub merged: bool,
    /// By which rule cells go to peers.
    pub placement: Placement,
    /// Whether the topmost layer is a pseudo-layer of one shard, the *feedback shard*: it reads like
    /// any shard, is no part of the model, and its checkpoints are tables that the lowest shards read.
    pub feedback: bool,
    /// Whether a shard hands a chapter on only at its end, computed again with the weights it then
    /// has.
    pub refreshed: bool,
}

impl Plan {
    /// Number of shards.
    pub fn shard_count(&self) -> usize {
        self.layers.iter().map(|layer| usize::from(layer.shards)).sum()
    }

    /// Whether the run has this shard.
    pub fn has(&self, shard: ShardId) -> bool {
        usize::from(shard.0) < self.shard_count()
    }

    /// Whether the run has a checkpoint of `shard` after `step` steps.
    pub fn has_checkpoint(&self, shard: ShardId, step: u64) -> bool {
        self.has(shard) && (1..=self.steps).contains(&step) && self.is_boundary(step)
    }

    /// All shards, bottom first.
    pub fn shards(&self) -> impl DoubleEndedIterator<Item = ShardId> + use<> {
        (0..self.shard_count()).map(|shard| ShardId(shard as u16))
    }

    /// The shards that make up the model: all but the feedback shard.
    pub fn model_shards(&self) -> impl DoubleEndedIterator<Item = ShardId> + use<> {
        let all = self.shard_count() - usize::from(self.feedback_shard().is_some());
        (0..all).map(|shard| ShardId(shard as u16))
    }

    /// The shard whose checkpoints the lowest shards read, when the run has one.
    pub fn feedback_shard(&self) -> Option<ShardId> {
        let top = self.layers.len().checked_sub(1).filter(|top| self.feedback && *top > 0)?;
        self.shards_of(top).first().copied()
    }

    /// Whether what a chapter changes in a shard is told and merged: tables of labels have no mean,
    /// and are told as they are.
    pub fn merges(&self, shard: ShardId) -> bool {
        self.merged && self.feedback_shard() != Some(shard)
    }

    /// The step of the feedback shard whose checkpoint the lowest shards need in `chapter` (from 0):
    /// what it knew as many chapters ago as there are layers, so that nobody waits for the top.
    pub fn feedback_step(&self, chapter: u64) -> Option<u64> {
        self.feedback_shard()?;
        let delay = self.layers.len() as u64 - 1;
        let chapters = (chapter + 1).checked_sub(delay).filter(|chapters| *chapters > 0)?;
        Some(chapters.saturating_mul(self.chapter_steps))
    }

    /// The feedback step that `shard` needs for `step`; only the lowest shards need any.
    pub fn table_of(&self, shard: ShardId, step: u64) -> Option<u64> {
        if self.layer(shard) == 0 { self.feedback_step(self.chapter_of(step)) } else { None }
    }

    /// The feedback steps that the lowest shards need from `step` to the end.
    pub fn tables_from(&self, step: u64) -> impl Iterator<Item = u64> + '_ {
        let without = self.layers.len() as u64 - 1;
        let first = self.chapter_of(step).max(without);
        let chapters = if step < self.steps { self.chapters() } else { 0 };
        (first..chapters).filter_map(|chapter| self.feedback_step(chapter))
    }

    /// Steps that `shard` has to do: the feedback shard stops at the last table that is read.
    pub fn end(&self, shard: ShardId) -> u64 {
        if self.feedback_shard() == Some(shard) {
            self.chapters().checked_sub(1).and_then(|last| self.feedback_step(last)).unwrap_or(0)
        } else {
            self.steps
        }
    }

    /// Whether a trainer that has done `done` steps of `shard` does `step` now: a shard is trained step
    /// by step, to its end and no further.
    pub fn can_train(&self, shard: ShardId, done: u64, step: u64) -> bool {
        step == done && step < self.end(shard)
    }

    /// Whether a trainer that has done `done` steps of `shard` can hand on `step`: one of the chapter
    /// that it has just ended.
    pub fn can_hand_on(&self, shard: ShardId, done: u64, step: u64) -> bool {
        self.is_refreshed(shard) && step < done && done == self.branch_end(step)
    }

    /// Whether `shard` hands a chapter on only at its end; the top shard hands nothing on.
    pub fn is_refreshed(&self, shard: ShardId) -> bool {
        self.refreshed && self.layer(shard) + 1 < self.layers.len()
    }

    /// The layer a shard belongs to.
    pub fn layer(&self, shard: ShardId) -> usize {
        let mut end = 0;
        for (layer, plan) in self.layers.iter().enumerate() {
            end += plan.shards;
            if shard.0 < end {
                return layer;
            }
        }
        self.layers.len().saturating_sub(1)
    }

    /// Work of one step of `shard`, in thousands of multiply-accumulates.
    pub fn cost(&self, shard: ShardId) -> u64 {
        self.layers.get(self.layer(shard)).map_or(1, |layer| layer.step_cost.max(1))
    }

    /// The shards of one layer.
    pub(crate) fn shards_of(&self, layer: usize) -> Vec<ShardId> {
        let first: u16 = self.layers.iter().take(layer).map(|plan| plan.shards).sum();
        let count = self.layers.get(layer).map_or(0, |plan| plan.shards);
        (first..first + count).map(ShardId).collect()
    }

    /// The shards whose activation batches `shard` reads: all of the layer below, none at the bottom.
    pub fn inputs(&self, shard: ShardId) -> Vec<ShardId> {
        match self.layer(shard) {
            0 => Vec::new(),
            layer => self.shards_of(layer - 1),
        }
    }

    /// The shards that read `shard`'s activation batches: all of the layer above, none at the top.
    pub fn readers(&self, shard: ShardId) -> Vec<ShardId> {
        self.shards_of(self.layer(shard) + 1)
    }

    /// Whether a checkpoint is due after `done` steps.
    pub fn is_boundary(&self, done: u64) -> bool {
        done == self.steps || done.is_multiple_of(self.chapter_steps)
    }

    /// The chapter that `step` is in, from 0.
    pub fn chapter_of(&self, step: u64) -> u64 {
        step / self.chapter_steps.max(1)
    }

    /// The end of the chapter that `step` is in, in steps.
    pub fn chapter_end(&self, step: u64) -> u64 {
        (self.chapter_of(step) + 1).saturating_mul(self.chapter_steps).min(self.steps)
    }

    /// Number of chapters, a broken last one included.
    pub fn chapters(&self) -> u64 {
        self.steps.div_ceil(self.chapter_steps.max(1))
    }

    /// The chapter whose end is `done` steps.
    pub fn chapter_ending(&self, done: u64) -> u64 {
        done.div_ceil(self.chapter_steps).saturating_sub(1)
    }

    /// The first step of a chapter; the end of the run for one beyond the last.
    pub fn chapter_start(&self, chapter: u64) -> u64 {
        chapter.saturating_mul(self.chapter_steps).min(self.steps)
    }

    /// Parts that `chapter` is cut into: as many as the run wants, if it has that many steps.
    pub fn branches_of(&self, chapter: u64) -> u16 {
        let steps = self.chapter_start(chapter + 1) - self.chapter_start(chapter);
        u64::from(self.branches).min(steps).max(1) as u16
    }

    /// The steps of a branch of `chapter`: consecutive parts, as equal as can be.
    pub fn branch_steps(&self, chapter: u64, branch: u16) -> Range<u64> {
        let (start, end) = (self.chapter_start(chapter), self.chapter_start(chapter + 1));
        let (count, steps) = (u128::from(self.branches_of(chapter)), u128::from(end - start));
        let begin = |branch: u16| start + (steps * u128::from(branch).min(count) / count) as u64;
        begin(branch)..begin(branch.saturating_add(1))
    }

    /// The end of the branch that `step` is in, in steps.
    pub fn branch_end(&self, step: u64) -> u64 {
        let chapter = self.chapter_of(step);
        let mut ends =
            (0..self.branches_of(chapter)).map(|branch| self.branch_steps(chapter, branch).end);
        ends.find(|end| step < *end).unwrap_or(self.steps)
    }

    /// Whether a branch ends after `done` steps.
    pub fn ends_branch(&self, done: u64) -> bool {
        done > 0 && self.branch_end(done - 1) == done
    }

    /// The branch, by its number, whose owner merges what all branches of `chapter` changed in `shard`:
    /// another one for each shard, so that none has all to do.
    pub fn merging_branch(&self, chapter: u64, shard: ShardId) -> u16 {
        let count = u64::from(self.branches_of(chapter));
        ((chapter % count + u64::from(shard.0)) % count) as u16
    }

    /// Whether peers own chapters, and not shards.
    pub fn is_by_chapter(&self) -> bool {
        matches!(self.placement, Placement::AllLayers | Placement::Federated)
    }

    /// Whether each peer trains on data of its own, so that who trained a cell shows in its bytes.
    pub fn is_private(&self) -> bool {
        self.placement == Placement::Federated
    }

    /// Number of epochs, a broken last one included.
    pub fn epochs(&self) -> u64 {
        self.steps.div_ceil(self.epoch_steps)
    }

    /// The first chapter's end, in steps, at which `epoch` (from 1) is over in every shard.
    pub fn epoch_end(&self, epoch: u64) -> u64 {
        let steps = epoch.saturating_mul(self.epoch_steps).min(self.steps);
        steps.div_ceil(self.chapter_steps).saturating_mul(self.chapter_steps).min(self.steps)
    }

    /// The epochs that are over in every shard exactly at `step`: at most two, because a chapter is
    /// no longer than an epoch.
    pub fn epochs_ending(&self, step: u64) -> impl Iterator<Item = u64> + '_ {
        let epoch = step / self.epoch_steps;
        (epoch..=epoch + 1)
            .filter(move |&e| (1..=self.epochs()).contains(&e) && self.epoch_end(e) == step)
    }
}

#[cfg(test)]
impl Plan {
    /// A plan for tests: layers with these numbers of shards, all shards alike, and one epoch.
    pub(crate) fn example(shards: &[u16], steps: u64, chapter_steps: u64) -> Self {
        let layers = shards.iter().map(|&shards| LayerPlan { shards, step_cost: 10 }).collect();
        let placement = Placement::SingleLayer;
        let (run, epoch_steps) = (Hash([0; 32]), steps);
        let (feedback, refreshed) = (false, false);
        Self {
            run,
            layers,
            steps,
            epoch_steps,
            chapter_steps,
            branches: 1,
            merged: false,
            placement,
            feedback,
            refreshed,
        }
    }
}

#[cfg(test)]
#[path = "tests/plan.rs"]
mod tests;
