//! The trainer of each chapter: the record that an export carries.
//!
//! Rule: the first trainer learned for a cell stands, unless its checkpoint does not. The record is
//! bounded, and nothing is decided by it.

use std::collections::BTreeMap;

use crate::{NodeId, Plan, ShardId, Span};

/// Cells on record, at most.
const MAX_CELLS: usize = 65_536;

/// The trainer of each cell.
#[derive(Debug, Default)]
pub(crate) struct Provenance(BTreeMap<(ShardId, u64), NodeId>);

impl Provenance {
    /// Returns whether the cell was not on record yet.
    pub(crate) fn learn(&mut self, shard: ShardId, chapter: u64, by: NodeId) -> bool {
        if self.0.len() >= MAX_CELLS || self.0.contains_key(&(shard, chapter)) {
            return false;
        }
        self.0.insert((shard, chapter), by);
        true
    }

    /// The cell was trained again, by `by`: where each trains on data of its own, the record has to
    /// name whose checkpoint stands.
    pub(crate) fn correct(&mut self, shard: ShardId, chapter: u64, by: NodeId) {
        if let Some(trainer) = self.0.get_mut(&(shard, chapter)) {
            *trainer = by;
        }
    }

    /// Takes in another peer's record, as far as the run has such cells.
    pub(crate) fn learn_span(&mut self, span: Span, plan: &Plan) {
        let last = span.last.min(plan.chapter_ending(plan.steps));
        if !plan.has(span.shard) {
            return;
        }
        for chapter in (span.first..=last).take(MAX_CELLS) {
            self.learn(span.shard, chapter, span.by);
        }
    }

    /// The record, neighbouring chapters of one trainer in one span.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for (&(shard, chapter), &by) in &self.0 {
            match spans.last_mut() {
                Some(span) if (span.shard, span.by, span.last + 1) == (shard, by, chapter) => {
                    span.last = chapter;
                }
                _ => spans.push(Span { shard, first: chapter, last: chapter, by }),
            }
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_chapters_of_one_trainer_are_one_span() {
        let (a, b) = (NodeId([1; 32]), NodeId([2; 32]));
        let mut provenance = Provenance::default();
        for (chapter, by) in [(0, a), (1, a), (2, b), (3, a), (1, b)] {
            provenance.learn(ShardId(0), chapter, by);
        }
        let span = |first, last, by| Span { shard: ShardId(0), first, last, by };
        assert_eq!(provenance.spans(), [span(0, 1, a), span(2, 2, b), span(3, 3, a)]);
    }

    #[test]
    fn the_first_trainer_stays_on_record_unless_the_cell_was_trained_again() {
        let (a, b) = (NodeId([1; 32]), NodeId([2; 32]));
        let mut provenance = Provenance::default();
        assert!(provenance.learn(ShardId(0), 3, a));
        assert!(!provenance.learn(ShardId(0), 3, b));
        let by = |it: &Provenance| it.spans().iter().map(|span| span.by).collect::<Vec<_>>();
        assert_eq!(by(&provenance), [a]);
        provenance.correct(ShardId(0), 3, b);
        provenance.correct(ShardId(0), 4, b);
        assert_eq!(by(&provenance), [b], "what is not on record is not corrected");
    }

    #[test]
    fn a_record_from_others_is_cut_to_the_cells_of_the_run() {
        let (plan, by) = (Plan::example(&[1, 1], 45, 10), NodeId([1; 32]));
        let mut provenance = Provenance::default();
        let span = |shard, first, last| Span { shard: ShardId(shard), first, last, by };
        for wrong in [span(2, 0, 4), span(0, 3, 2), span(0, 5, 9)] {
            provenance.learn_span(wrong, &plan);
        }
        assert!(provenance.spans().is_empty());
        provenance.learn_span(span(1, 2, u64::MAX), &plan);
        assert_eq!(provenance.spans(), [span(1, 2, 4)]);
    }

    #[test]
    fn the_record_is_bounded() {
        let (plan, by) = (Plan::example(&[1, 1], u64::MAX, 1), NodeId([1; 32]));
        let mut provenance = Provenance::default();
        for shard in 0..2 {
            let span = Span { shard: ShardId(shard), first: 0, last: u64::MAX, by };
            provenance.learn_span(span, &plan);
        }
        assert_eq!(provenance.0.len(), MAX_CELLS);
    }
}
