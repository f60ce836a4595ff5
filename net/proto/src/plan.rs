//! The shape of a run, as far as deciding needs it: rows, steps, chapters, costs.
//!
//! Rule: only integers. What a step computes is none of this package's business; that two peers
//! with the same plan cut the run into the same cells is.

use serde::{Deserialize, Serialize};

use crate::{Hash, RowId};

/// Rows of one run, at most: bounds every table and the size of a heartbeat.
pub const MAX_ROWS: usize = 64;

/// By which rule cells go to peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// An owner holds a row and streams activation batches to the rows above (the paper, 4.1).
    SingleLayer,
    /// An owner holds a chapter and trains every row of it in turn (the paper, 4.2).
    AllLayers,
    /// One owner trains everything; the others hold copies and stand by.
    Sequential,
}

/// One layer: `shards` rows of equal cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerPlan {
    /// Rows this layer is cut into, at least 1.
    pub shards: u16,
    /// Work of one step of one of its rows, in thousands of multiply-accumulates, at least 1.
    pub step_cost: u64,
}

/// The cells of a run: every row of every layer, for every chapter.
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
}

impl Plan {
    /// Number of rows.
    pub fn row_count(&self) -> usize {
        self.layers.iter().map(|layer| usize::from(layer.shards)).sum()
    }

    /// All rows, bottom first.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = RowId> + use<> {
        (0..self.row_count()).map(|row| RowId(row as u16))
    }

    /// The layer a row belongs to.
    pub fn layer(&self, row: RowId) -> usize {
        let mut end = 0;
        for (layer, plan) in self.layers.iter().enumerate() {
            end += plan.shards;
            if row.0 < end {
                return layer;
            }
        }
        self.layers.len().saturating_sub(1)
    }

    /// Work of one step of `row`, in thousands of multiply-accumulates.
    pub fn cost(&self, row: RowId) -> u64 {
        self.layers.get(self.layer(row)).map_or(1, |layer| layer.step_cost.max(1))
    }

    /// The rows of one layer.
    fn rows_of(&self, layer: usize) -> Vec<RowId> {
        let first: u16 = self.layers.iter().take(layer).map(|plan| plan.shards).sum();
        let count = self.layers.get(layer).map_or(0, |plan| plan.shards);
        (first..first + count).map(RowId).collect()
    }

    /// The rows whose activation batches `row` reads: all of the layer below, none at the bottom.
    pub fn inputs(&self, row: RowId) -> Vec<RowId> {
        match self.layer(row) {
            0 => Vec::new(),
            layer => self.rows_of(layer - 1),
        }
    }

    /// The rows that read `row`'s activation batches: all of the layer above, none at the top.
    pub fn readers(&self, row: RowId) -> Vec<RowId> {
        self.rows_of(self.layer(row) + 1)
    }

    /// Whether a checkpoint is due after `done` steps.
    pub fn is_boundary(&self, done: u64) -> bool {
        done == self.steps || done.is_multiple_of(self.chapter_steps)
    }

    /// The chapter whose end is `done` steps.
    pub fn chapter_ending(&self, done: u64) -> u64 {
        done.div_ceil(self.chapter_steps).saturating_sub(1)
    }

    /// Number of chapters, a broken last one included.
    pub fn chapters(&self) -> u64 {
        self.steps.div_ceil(self.chapter_steps)
    }

    /// The chapter that step `step` belongs to.
    pub fn chapter_at(&self, step: u64) -> u64 {
        step / self.chapter_steps
    }

    /// The first step of a chapter.
    pub fn chapter_start(&self, chapter: u64) -> u64 {
        chapter.saturating_mul(self.chapter_steps).min(self.steps)
    }

    /// One past the last step of a chapter.
    pub fn chapter_end(&self, chapter: u64) -> u64 {
        self.chapter_start(chapter.saturating_add(1))
    }

    /// Whether peers own chapters, and not rows.
    pub(crate) fn is_by_chapter(&self) -> bool {
        self.placement == Placement::AllLayers
    }

    /// Number of epochs, a broken last one included.
    pub fn epochs(&self) -> u64 {
        self.steps.div_ceil(self.epoch_steps)
    }

    /// The first chapter's end, in steps, at which `epoch` (from 1) is over in every row.
    pub fn epoch_end(&self, epoch: u64) -> u64 {
        let steps = epoch.saturating_mul(self.epoch_steps).min(self.steps);
        steps.div_ceil(self.chapter_steps).saturating_mul(self.chapter_steps).min(self.steps)
    }

    /// The epochs that are over in every row exactly at `step`: at most two, because a chapter is
    /// no longer than an epoch.
    pub fn epochs_ending(&self, step: u64) -> impl Iterator<Item = u64> + '_ {
        let epoch = step / self.epoch_steps;
        (epoch..=epoch + 1)
            .filter(move |&e| (1..=self.epochs()).contains(&e) && self.epoch_end(e) == step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let layer = |shards| LayerPlan { shards, step_cost: 10 };
        Plan {
            run: Hash([0; 32]),
            layers: vec![layer(1), layer(2), layer(1)],
            steps: 25,
            epoch_steps: 12,
            chapter_steps: 10,
            placement: Placement::SingleLayer,
        }
    }

    #[test]
    fn rows_are_numbered_layer_by_layer() {
        let plan = plan();
        assert_eq!(plan.row_count(), 4);
        assert_eq!(plan.rows().map(|row| plan.layer(row)).collect::<Vec<_>>(), [0, 1, 1, 2]);
        assert_eq!(plan.inputs(RowId(0)), []);
        assert_eq!(plan.inputs(RowId(3)), [RowId(1), RowId(2)]);
        assert_eq!(plan.readers(RowId(0)), [RowId(1), RowId(2)]);
        assert_eq!(plan.readers(RowId(3)), []);
    }

    #[test]
    fn chapters_and_epochs_end_where_they_should() {
        let plan = plan();
        assert!(plan.is_boundary(10) && plan.is_boundary(25) && !plan.is_boundary(12));
        assert_eq!(plan.chapter_ending(10), 0);
        assert_eq!(plan.chapter_ending(25), 2);
        assert_eq!((plan.chapters(), plan.chapter_at(19), plan.chapter_at(20)), (3, 1, 2));
        assert_eq!((plan.chapter_start(2), plan.chapter_end(2)), (20, 25));
        assert_eq!(plan.epochs(), 3);
        assert_eq!((1..=3).map(|e| plan.epoch_end(e)).collect::<Vec<_>>(), [20, 25, 25]);
        assert_eq!(plan.epochs_ending(20).collect::<Vec<_>>(), [1]);
        assert_eq!(plan.epochs_ending(25).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(plan.epochs_ending(10).count(), 0);
    }
}
