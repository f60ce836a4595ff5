//! Pacinging out what nobody waits for: copies of checkpoints, and what a score is made from.
//!
//! Rule: shards end a chapter together, and what is due then would hold up every step for a while. So
//! it is fetched blob by blob, with pauses that leave most of the time to training and that are never
//! so long that the next chapter's come on top.

use std::collections::BTreeMap;

use crate::known::Known;
use crate::{Hash, ShardId, Time};

/// A pause is this many times as long as the fetch before it, for each peer that fetches, at most: all
/// of them often fetch from the one who has just ended a chapter.
const PAUSE_PER_FETCH: u64 = 9;

/// All that is due at once is asked for within this, ms, if fetching it does not take longer: it is to
/// be held by others soon, however long a chapter is.
const MAX_PACE_MS: u64 = 12_000;

/// How much earlier than by then it is asked for, ms: chapters do not all take equally long, and a copy
/// that comes after the next chapter's end does not help against losses then. Chapters below
/// 2 s have no time for pauses.
const ROOM_MS: u64 = 1_500;

/// When such blobs were fetched, and how long a chapter takes.
#[derive(Debug)]
pub(crate) struct Pacing {
    /// The blob on its way, and since when.
    under_way: Option<(Hash, Time)>,
    /// When the last one came or failed, and how long that took, ms.
    last: (Time, u64),
    /// How many were due at once, at most, since none was.
    most: u64,
    /// The furthest checkpoint of each shard, and since when it is known.
    furthest: BTreeMap<ShardId, (u64, Time)>,
    /// Between two chapters of a shard, ms, as seen last; without end before the second.
    chapter_ms: u64,
}

impl Pacing {
    pub(crate) fn new(now: Time) -> Self {
        let furthest = BTreeMap::new();
        Self { under_way: None, last: (now, 0), most: 0, furthest, chapter_ms: u64::MAX }
    }

    /// So many blobs are due.
    pub(crate) fn due(&mut self, count: usize) {
        self.most = if count == 0 { 0 } else { self.most.max(count as u64) };
    }

    /// Within what all that is due is asked for, ms: three quarters of a chapter, less the room.
    fn pace_ms(&self) -> u64 {
        (self.chapter_ms / 4 * 3).saturating_sub(ROOM_MS).min(MAX_PACE_MS)
    }

    /// Whether another blob may be asked for now, where `peers` peers fetch.
    fn is_due(&self, now: Time, peers: u64) -> bool {
        let (ended, took) = self.last;
        let share = self.pace_ms() / self.most.max(1);
        match self.under_way {
            // Whoever does not answer is not waited for.
            Some((_, since)) => now.since(since) >= share,
            None => {
                now.since(ended) >= {
                    let pause = took.saturating_mul(PAUSE_PER_FETCH * peers);
                    pause.min(share.saturating_sub(took))
                }
            }
        }
    }

    /// A blob was asked for.
    pub(crate) fn asked(&mut self, hash: Hash, now: Time) {
        self.under_way = Some((hash, now));
    }

    /// A blob came, or will not.
    pub(crate) fn ended(&mut self, hash: Hash, now: Time) {
        if let Some((_, since)) = self.under_way.take_if(|(asked, _)| *asked == hash) {
            self.last = (now, now.since(since));
        }
    }

    /// The furthest known checkpoint of `shard` is that of `step`.
    fn note(&mut self, shard: ShardId, step: u64, chapter_steps: u64, now: Time) {
        let before = self.furthest.get(&shard).copied().filter(|(before, _)| *before <= step);
        if let Some((before, since)) = before.filter(|(before, _)| *before < step) {
            let chapters = ((step - before) / chapter_steps.max(1)).max(1);
            self.chapter_ms = now.since(since) / chapters;
        }
        if before.is_none_or(|(before, _)| before < step) {
            self.furthest.insert(shard, (step, now));
        }
    }

    /// Looks how long chapters take.
    pub(crate) fn look(&mut self, known: &Known) {
        for shard in known.plan().shards() {
            if let Some(latest) = known.checkpoints().latest(shard) {
                let step = latest.checkpoint.step;
                self.note(shard, step, known.plan().chapter_steps, known.now());
            }
        }
    }

    /// Whether a blob that nobody waits for may be asked for. A peer that leaves does wait for its
    /// copies; and nothing is held up by them when nothing is trained any more, or when scores fall
    /// behind.
    pub(crate) fn may_ask(&self, known: &Known) -> bool {
        let is_trained = |shard| known.checkpoints().at(shard, known.plan().steps).is_some();
        let others = known.members().workers().count() as u64;
        self.is_due(known.now(), others.max(1))
            || known.members().iter().any(|(_, member)| member.leaving)
            || known.own().scoring.waiting > 1
            || known.plan().model_shards().all(is_trained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAPTER_MS: u64 = 10_000;
    const STEPS: u64 = 10;

    /// The moments at which `count` blobs were asked for, if `peers` peers fetch and a blob takes `took` ms.
    fn asked_at(peers: u64, count: u64, took: u64) -> Vec<u64> {
        let mut pacing = Pacing::new(Time(0));
        let (mut now, mut asked) = (2 * CHAPTER_MS, Vec::new());
        for chapter in 1..=2 {
            let step = chapter * STEPS;
            pacing.note(ShardId(0), step, STEPS, Time(chapter * CHAPTER_MS));
        }
        while (asked.len() as u64) < count {
            pacing.due(count as usize - asked.len());
            if pacing.is_due(Time(now), peers) {
                let hash = Hash([asked.len() as u8; 32]);
                pacing.asked(hash, Time(now));
                asked.push(now - 2 * CHAPTER_MS);
                now += took;
                pacing.ended(hash, Time(now));
            }
            now += 1;
        }
        asked
    }

    #[test]
    fn a_pause_follows_the_fetch() {
        for (peers, pause) in [(1, 100), (4, 370), (40, 6_000 / 4)] {
            let asked = asked_at(peers, 4, 10);
            let gaps = asked.windows(2).map(|at| at[1] - at[0]);
            assert!(gaps.clone().all(|gap| (pause..pause + 10).contains(&gap)), "{asked:?}");
        }
    }

    #[test]
    fn all_are_asked_for_within_a_chapter() {
        for took in [10, 100, 300] {
            for count in 1..30 {
                let asked = asked_at(3, count, took);
                assert!(asked.last().is_some_and(|last| *last < CHAPTER_MS), "{asked:?}");
            }
        }
    }

    #[test]
    fn short_chapters_leave_no_time_for_pauses() {
        let mut pacing = Pacing::new(Time(0));
        (0..2).for_each(|chapter| pacing.note(ShardId(0), chapter, 1, Time(chapter * 2_000)));
        pacing.due(4);
        pacing.asked(Hash([1; 32]), Time(2_000));
        assert!(pacing.is_due(Time(2_000), 3));
        pacing.ended(Hash([1; 32]), Time(2_300));
        assert!(pacing.is_due(Time(2_300), 3));
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for() {
        let mut pacing = Pacing::new(Time(0));
        pacing.due(4);
        assert!(pacing.is_due(Time(0), 1));
        pacing.asked(Hash([1; 32]), Time(0));
        let share = MAX_PACE_MS / 4;
        assert!(!pacing.is_due(Time(share - 1), 1) && pacing.is_due(Time(share), 1));
        pacing.ended(Hash([1; 32]), Time(10));
        assert!(!pacing.is_due(Time(99), 1) && pacing.is_due(Time(100), 1));
    }

    #[test]
    fn only_what_was_seen_to_pass_tells_how_long_chapters_take() {
        let mut pacing = Pacing::new(Time(0));
        pacing.note(ShardId(1), 4 * STEPS, STEPS, Time(20));
        assert_eq!(pacing.chapter_ms, u64::MAX, "they passed before this peer was here");
        pacing.note(ShardId(1), 6 * STEPS, STEPS, Time(4_020));
        assert_eq!(pacing.chapter_ms, 2_000);
        pacing.note(ShardId(1), 6 * STEPS, STEPS, Time(9_000));
        assert_eq!(pacing.chapter_ms, 2_000, "the same again tells nothing");
        pacing.note(ShardId(1), 60 * STEPS, STEPS, Time(9_000));
        pacing.note(ShardId(1), 7 * STEPS, STEPS, Time(10_000));
        pacing.note(ShardId(1), 8 * STEPS, STEPS, Time(13_000));
        assert_eq!(pacing.chapter_ms, 3_000, "one that is gone is forgotten");
    }
}
