//! Who takes the next chapter, where a peer owns all shards of a chapter.
//!
//! Rule: a chapter is taken when its first cell can be computed, by a peer that has none, the
//! fastest first: so a slow peer takes fewer, and one that would only hold up those behind it takes
//! none. If all have one and the lowest is nobody's, whoever
//! is furthest ahead does it, because it waits for it. Where each trains on data of its own, the
//! chapters go round instead, so that all data counts alike. All who know the same name the same
//! peer.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::Range;

use crate::{
    Message, NodeId, Notice, Role, ShardId, Time, Turn,
    assign::{Candidate, time},
    state::State,
};

impl State {
    /// Takes in turns that somebody told of.
    pub(crate) fn merge_turns(&mut self, turns: &[Turn], now: Time) {
        if !self.plan.is_by_chapter() {
            return;
        }
        for &turn in turns {
            if turn.chapter < self.plan.chapters() && self.turns.merge(turn) {
                self.members_told_of(turn.owner, now);
                self.notify(Notice::Turn(turn));
            }
        }
    }

    fn members_told_of(&mut self, owner: NodeId, now: Time) {
        if owner != self.me {
            self.members.told_of(owner, now, &self.config);
        }
    }

    /// Takes the chapters that are this peer's to take.
    pub(crate) fn take_turns(&mut self, now: Time) {
        self.follow_turns();
        let takeable = self.takeable();
        let takers = self.takers_of(&takeable);
        let named = || takeable.iter().zip(&takers).filter(|(_, taker)| taker.is_some());
        self.untaken.retain(|chapter, _| named().any(|(it, _)| it == chapter));
        for (&chapter, _) in named() {
            self.untaken.entry(chapter).or_insert(now);
        }
        let listens = now < self.started.after(self.config.listen_ms);
        if listens || self.role != Role::Worker || self.leaving.is_some() {
            return;
        }
        let due = takeable
            .iter()
            .zip(&takers)
            .filter(|(chapter, taker)| {
                taker.is_some_and(|it| it == self.me || self.is_late(**chapter, now))
            })
            .map(|(&chapter, _)| chapter);
        let turn = |chapter| Turn { chapter, term: self.turns.next_term(chapter), owner: self.me };
        let mine: Vec<Turn> = due.map(turn).collect();
        if !mine.is_empty() {
            self.merge_turns(&mine, now);
            self.follow_turns();
            self.say(Message::Turns(mine));
        }
    }

    /// The chapters that nobody living owns and that can be begun.
    fn takeable(&self) -> Vec<u64> {
        let open = self.open_chapters();
        // More than one chapter a shard cannot be in work at once.
        let span = self.plan.shard_count() as u64;
        let end = open.end.min(open.start.saturating_add(span));
        (open.start..end).filter(|it| !self.is_taken(*it) && self.can_begin(*it)).collect()
    }

    /// A chapter that is over for others, but not for this peer, which could not read what they
    /// made of it and needs it. It does it for itself, whoever owns it: another one may have to as
    /// well, and must not be kept from it.
    pub(crate) fn done_again(&self) -> Option<u64> {
        let chapter = self.open_chapters().start;
        let waits = self.columns.keys().any(|other| *other > chapter);
        let end = self.plan.chapter_start(chapter + 1);
        (waits && self.archive.shuns_from(end)).then_some(chapter)
    }

    /// Whether somebody who is here owns `chapter`.
    fn is_taken(&self, chapter: u64) -> bool {
        match self.turns.owner(chapter) {
            Some(owner) if owner == self.me => self.columns.contains_key(&chapter),
            Some(owner) => self.members.iter().any(|(id, it)| id == owner && !it.leaving),
            None => false,
        }
    }

    /// Whether the checkpoint exists from which the first shard begins `chapter`, and its table; the
    /// other shards' can come meanwhile.
    fn can_begin(&self, chapter: u64) -> bool {
        let (start, first) = (self.plan.chapter_start(chapter), ShardId(0));
        let is_beyond = self.starts.first().is_some_and(|&at| at > start);
        let table = self.plan.feedback_step(chapter).zip(self.plan.feedback_shard());
        if table.is_some_and(|(step, shard)| self.archive.at(shard, step).is_none()) {
            return false;
        }
        start == 0 || is_beyond || self.archive.at(first, start).is_some()
    }

    /// What the first layer of the next chapter begins with, once this peer is at the last layer of
    /// its own: whoever is free next need not wait for it then.
    pub(crate) fn needs_ahead(&self) -> Vec<(ShardId, u64)> {
        let top = self.plan.layers.len().saturating_sub(1);
        let ends = |shard: ShardId| self.plan.layer(shard) == top;
        if self.plan.is_private() || !self.columns.values().all(|column| ends(column.shard)) {
            return Vec::new();
        }
        let last = self.columns.keys().next_back().copied();
        let next =
            last.and_then(|last| (last..self.plan.chapters()).find(|it| !self.is_taken(*it)));
        let start = next.map(|chapter| self.plan.chapter_start(chapter));
        start.map_or_else(Vec::new, |start| {
            self.plan.shards_of(0).into_iter().map(|shard| (shard, start)).collect()
        })
    }

    /// Who takes up the shards at `step` next, and so will hold what they begin with.
    pub(crate) fn taker_at(&self, step: u64) -> Option<NodeId> {
        let chapter = self.plan.chapter_of(step);
        let by_chapter = self.plan.is_by_chapter() && self.plan.chapter_start(chapter) == step;
        self.turns.owner(chapter).filter(|_| by_chapter && self.is_taken(chapter))
    }

    /// Who shall take each of the chapters.
    fn takers_of(&mut self, takeable: &[u64]) -> Vec<Option<NodeId>> {
        if takeable.is_empty() {
            return Vec::new();
        }
        let mut candidates = self.candidates();
        if self.plan.is_private() {
            let roster: BTreeSet<NodeId> = candidates.iter().map(|it| it.id).collect();
            return takeable.iter().map(|&chapter| self.next_of(&roster, chapter)).collect();
        }
        candidates.sort_by_key(|it| (std::cmp::Reverse(it.speed), it.id));
        let costs: Vec<u64> = self.plan.shards().map(|shard| self.plan.cost(shard)).collect();
        candidates.truncate(worthwhile(&costs, &candidates));
        let open = self.open_chapters();
        let (busy, free): (Vec<Candidate>, Vec<Candidate>) =
            candidates.into_iter().partition(|it| self.has_turn(it.id, &open));
        let mut free = free.into_iter().map(|it| it.id);
        let last = |id: NodeId| self.turns.iter().rev().find(|turn| turn.owner == id);
        let furthest = busy.iter().max_by_key(|it| last(it.id).map(|turn| turn.chapter));
        let stuck = |chapter: u64| furthest.filter(|_| chapter == open.start).map(|it| it.id);
        takeable.iter().map(|&chapter| free.next().or_else(|| stuck(chapter))).collect()
    }

    /// Whether `id` owns one of the `open` chapters.
    pub(crate) fn has_turn(&self, id: NodeId, open: &Range<u64>) -> bool {
        let mut own = self.turns.iter().filter(|turn| turn.owner == id);
        own.any(|turn| open.contains(&turn.chapter) && self.is_taken(turn.chapter))
    }

    /// Whose turn `chapter` is in a round: of those who are here, the one after the owner of the
    /// chapter before.
    fn next_of(&self, roster: &BTreeSet<NodeId>, chapter: u64) -> Option<NodeId> {
        let last = chapter.checked_sub(1).and_then(|before| self.turns.owner(before));
        let after = last.and_then(|last| roster.range((Excluded(last), Unbounded)).next());
        after.or_else(|| roster.first()).copied()
    }

    /// Whether nobody took `chapter` for so long that it is this peer's turn, whoever was meant
    /// to: peers may differ in whom they take for being here.
    fn is_late(&self, chapter: u64, now: Time) -> bool {
        let Some(&since) = self.untaken.get(&chapter).filter(|_| !self.rests) else { return false };
        let before = self.members.workers().filter(|(id, _)| *id < self.me).count() as u64;
        now.since(since) >= (1 + before).saturating_mul(self.config.silent_ms)
    }
}

/// How many of the `candidates`, the fastest first, should take chapters. Nobody overtakes anybody,
/// so all go at the pace of the slowest, and one more is worth having only if what it does is more
/// than what the others do less. Where equally many chapters come of it, fewer do them.
fn worthwhile(costs: &[u64], candidates: &[Candidate]) -> usize {
    let Some(fastest) = candidates.first() else { return 0 };
    let (all, largest) = (costs.iter().sum::<u64>(), costs.iter().copied().max().unwrap_or(0));
    let rest = time(all.saturating_sub(largest), fastest.speed);
    let (mut begin, mut best) = (0u64, (0, u64::MAX));
    for (candidate, count) in candidates.iter().zip(1u64..) {
        // It begins when those before it are through with the first shard; the fastest begins anew
        // so that its last shard follows on this one's.
        let alone = time(all, candidate.speed);
        let round = alone.max(begin.saturating_add(alone).saturating_sub(rest));
        // Chapters a round: counted crosswise, because rounds are integers.
        if u128::from(count) * u128::from(best.1) > u128::from(best.0) * u128::from(round) {
            best = (count, round);
        }
        begin = begin.saturating_add(time(largest, candidate.speed));
    }
    best.0 as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worth(speeds: &[u64], shards: usize) -> usize {
        let candidate = |(n, &speed)| Candidate { id: NodeId([n as u8; 32]), speed };
        let candidates: Vec<Candidate> = speeds.iter().enumerate().map(candidate).collect();
        worthwhile(&vec![10; shards], &candidates)
    }

    #[test]
    fn who_only_holds_others_up_takes_no_chapter() {
        assert_eq!(worth(&[], 8), 0);
        assert_eq!(worth(&[1], 8), 1);
        assert_eq!(worth(&[100, 100, 100, 100], 8), 4);
        assert_eq!(worth(&[100, 95, 85, 80], 8), 4);
        assert_eq!(worth(&[100, 60, 60, 60], 8), 4);
        assert_eq!(worth(&[100, 100, 50, 25], 8), 2);
        assert_eq!(worth(&[100, 100, 100, 25], 4), 3);
        assert_eq!(worth(&[0, 0], 4), 2);
    }

    #[test]
    fn there_are_no_more_than_shards() {
        assert_eq!(worth(&[100; 6], 4), 4);
    }
}
