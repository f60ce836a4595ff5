//! Who owns which chapter, where a peer owns all shards of a chapter.
//!
//! Rule: as for shards: for each chapter the turn with the higher term stands, at equal terms the
//! one of the smaller peer, so that merging does not depend on the order.

use std::collections::BTreeMap;

use crate::{NodeId, Term, Turn};

/// Chapters beyond the first open one whose owner is remembered, at most: no honest peer is further
/// ahead of what others have heard.
const MAX_AHEAD: u64 = 128;

/// A term further ahead than this is no honest one: terms must never run out.
const MAX_TERM_STEP: u64 = 1 << 20;

/// The standing turn of each chapter that is not long over.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    map: BTreeMap<u64, Turn>,
    /// Chapters before this one are over.
    first: u64,
}

impl Turns {
    /// Takes in a turn. Returns whether it stands now and did not before.
    pub(crate) fn merge(&mut self, turn: Turn) -> bool {
        let known = self.map.get(&turn.chapter);
        let term = known.map_or(Term(0), |old| old.term);
        let ahead = turn.chapter >= self.first.saturating_add(MAX_AHEAD);
        if ahead || turn.chapter < self.first || turn.term.0 > term.0.saturating_add(MAX_TERM_STEP)
        {
            return false;
        }
        let stands = known.is_none_or(|old| {
            turn.term > old.term || (turn.term == old.term && turn.owner < old.owner)
        });
        if stands {
            self.map.insert(turn.chapter, turn);
        }
        stands
    }

    /// The chapters before `first` are over; the one just before it stays known, because the next
    /// turn may follow from it.
    pub(crate) fn close(&mut self, first: u64) {
        self.first = first.saturating_sub(1);
        self.map = self.map.split_off(&self.first);
    }

    pub(crate) fn get(&self, chapter: u64) -> Option<&Turn> {
        self.map.get(&chapter)
    }

    pub(crate) fn owner(&self, chapter: u64) -> Option<NodeId> {
        self.map.get(&chapter).map(|turn| turn.owner)
    }

    /// The term that a new turn for `chapter` must have.
    pub(crate) fn next_term(&self, chapter: u64) -> Term {
        self.map.get(&chapter).map_or(Term(1), |turn| turn.term.next())
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Turn> {
        self.map.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(chapter: u64, term: u64, owner: u8) -> Turn {
        Turn { chapter, term: Term(term), owner: NodeId([owner; 32]) }
    }

    #[test]
    fn the_higher_term_stands_then_the_smaller_peer() {
        let all = [turn(3, 1, 2), turn(3, 1, 1), turn(3, 2, 9), turn(3, 2, 8)];
        for start in 0..all.len() {
            let mut turns = Turns::default();
            (0..all.len()).for_each(|i| _ = turns.merge(all[(start + i) % all.len()]));
            assert_eq!(turns.get(3), Some(&turn(3, 2, 8)));
            assert_eq!(turns.next_term(3), Term(3));
        }
    }

    #[test]
    fn what_is_over_is_forgotten_and_what_cannot_be_is_refused() {
        let mut turns = Turns::default();
        (0..5).for_each(|chapter| assert!(turns.merge(turn(chapter, 1, 1))));
        turns.close(4);
        assert_eq!(turns.iter().map(|turn| turn.chapter).collect::<Vec<_>>(), [3, 4]);
        assert!(!turns.merge(turn(2, 9, 1)));
        assert!(!turns.merge(turn(3 + MAX_AHEAD, 1, 1)));
        assert!(!turns.merge(turn(4, u64::MAX, 1)));
        turns.close(0);
        assert!(turns.merge(turn(0, 1, 2)), "chapters can open again");
    }
}
