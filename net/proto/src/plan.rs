//! The shape of a run, as far as deciding needs it: shards, steps, chapters, costs.
//!
//! Rule: only integers. What a step computes is none of this package's business; that two peers
//! with the same plan cut the run into the same cells is.

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
        self.is_refreshed(shard) && step < done && done == self.chapter_end(step)
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
        Self { run, layers, steps, epoch_steps, chapter_steps, placement, feedback, refreshed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan { epoch_steps: 12, ..Plan::example(&[1, 2, 1], 25, 10) }
    }

    #[test]
    fn shards_are_numbered_layer_by_layer() {
        let plan = plan();
        assert_eq!(plan.shard_count(), 4);
        assert_eq!(plan.shards().map(|shard| plan.layer(shard)).collect::<Vec<_>>(), [0, 1, 1, 2]);
        assert_eq!(plan.inputs(ShardId(0)), []);
        assert_eq!(plan.inputs(ShardId(3)), [ShardId(1), ShardId(2)]);
        assert_eq!(plan.readers(ShardId(0)), [ShardId(1), ShardId(2)]);
        assert_eq!(plan.readers(ShardId(3)), []);
    }

    #[test]
    fn chapters_and_epochs_end_where_they_should() {
        let plan = plan();
        assert!(plan.is_boundary(10) && plan.is_boundary(25) && !plan.is_boundary(12));
        assert_eq!(plan.chapter_ending(10), 0);
        assert_eq!(plan.chapter_ending(25), 2);
        assert_eq!((plan.chapters(), plan.chapter_of(19), plan.chapter_of(20)), (3, 1, 2));
        assert_eq!((plan.chapter_start(2), plan.chapter_start(3)), (20, 25));
        assert_eq!(plan.epochs(), 3);
        assert_eq!((1..=3).map(|e| plan.epoch_end(e)).collect::<Vec<_>>(), [20, 25, 25]);
        assert_eq!(plan.epochs_ending(20).collect::<Vec<_>>(), [1]);
        assert_eq!(plan.epochs_ending(25).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(plan.epochs_ending(10).count(), 0);
    }

    #[test]
    fn the_feedback_shard_is_no_part_of_the_model_and_read_after_a_delay() {
        let plan = Plan { feedback: true, ..plan() };
        assert_eq!(plan.feedback_shard(), Some(ShardId(3)));
        assert_eq!(plan.model_shards().count(), 3);
        assert_eq!(
            (0..4).map(|c| plan.feedback_step(c)).collect::<Vec<_>>(),
            [None, None, Some(10), Some(20)]
        );
        assert_eq!(plan.table_of(ShardId(0), 24), Some(10));
        assert_eq!((plan.table_of(ShardId(0), 19), plan.table_of(ShardId(1), 24)), (None, None));
        assert_eq!(plan.tables_from(0).collect::<Vec<_>>(), [10]);
        assert_eq!(plan.tables_from(25).count(), 0);
        assert_eq!((plan.end(ShardId(3)), plan.end(ShardId(2))), (10, 25));
    }

    #[test]
    fn a_plan_without_feedback_reads_no_tables() {
        let plan = plan();
        assert_eq!((plan.feedback_shard(), plan.feedback_step(9)), (None, None));
        assert_eq!((plan.model_shards().count(), plan.tables_from(0).count()), (4, 0));
    }

    #[test]
    fn only_what_is_read_is_refreshed() {
        let plan = Plan { refreshed: true, ..plan() };
        assert!(plan.is_refreshed(ShardId(0)) && !plan.is_refreshed(ShardId(3)));
        assert_eq!((plan.chapter_end(9), plan.chapter_end(10), plan.chapter_end(24)), (10, 20, 25));
        let (shard, top) = (ShardId(0), ShardId(3));
        let handed_on = (0..30).filter(|&step| plan.can_hand_on(shard, 20, step));
        assert!(handed_on.eq(10..20) && plan.can_hand_on(shard, 25, 24));
        assert!(!plan.can_hand_on(shard, 15, 14) && !plan.can_hand_on(top, 20, 10));
    }

    #[test]
    fn a_shard_is_trained_step_by_step_and_ends() {
        let plan = Plan { feedback: true, ..plan() };
        assert!((0..30).filter(|&step| plan.can_train(ShardId(0), 7, step)).eq([7]));
        let last = |shard| (0..30).rfind(|&at| plan.can_train(shard, at, at));
        assert_eq!((last(ShardId(0)), last(ShardId(3))), (Some(24), Some(9)));
        assert!(!plan.can_train(ShardId(0), u64::MAX, u64::MAX));
    }

    #[test]
    fn a_checkpoint_is_of_a_shard_and_an_end_that_the_run_has() {
        let plan = plan();
        let has = |shard, step| plan.has_checkpoint(ShardId(shard), step);
        assert!((0..50).filter(|&step| has(0, step)).eq([10, 20, 25]));
        assert!(has(3, 25) && !has(4, 25) && !has(u16::MAX, 10) && !has(0, u64::MAX));
    }

    #[test]
    fn what_the_run_does_not_have_costs_something_and_reads_nothing() {
        let mut plan = plan();
        assert_eq!((plan.layer(ShardId(9)), plan.shards_of(9)), (2, vec![]));
        plan.layers[1].step_cost = 0;
        assert_eq!([0, 1, 9].map(|shard| plan.cost(ShardId(shard))), [10, 1, 10]);
        plan.layers.clear();
        assert_eq!((plan.shard_count(), plan.cost(ShardId(0))), (0, 1));
    }

    #[test]
    fn whether_peers_own_chapters_and_have_data_of_their_own_follows_from_the_placement() {
        let of = |placement| {
            let plan = Plan { placement, ..plan() };
            (plan.is_by_chapter(), plan.is_private())
        };
        assert_eq!(of(Placement::SingleLayer), (false, false));
        assert_eq!(of(Placement::Sequential), (false, false));
        assert_eq!(of(Placement::AllLayers), (true, false));
        assert_eq!(of(Placement::Federated), (true, true));
    }

    #[test]
    fn one_layer_alone_has_no_feedback_and_hands_nothing_on() {
        let plan = Plan { feedback: true, refreshed: true, ..Plan::example(&[2], 20, 10) };
        assert_eq!((plan.feedback_shard(), plan.model_shards().count()), (None, 2));
        assert!(!plan.is_refreshed(ShardId(0)));
    }

    #[test]
    fn a_run_too_short_for_a_table_leaves_the_feedback_shard_nothing_to_do() {
        let plan = Plan { feedback: true, ..Plan::example(&[1, 1, 1], 10, 10) };
        assert_eq!((plan.end(ShardId(2)), plan.tables_from(0).count()), (0, 0));
    }
}
