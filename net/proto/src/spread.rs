//! Spreading out what nobody waits for: copies of checkpoints, and what a score is made from.
//!
//! Rule: rows end a chapter together, and what is due then would hold up every step for a while. So
//! it is fetched blob by blob, with pauses that leave most of the time to training and that are never
//! so long that the next chapter's come on top. Where peers own chapters, and these
//! are short, not every checkpoint gets all its holders.

use std::collections::BTreeMap;

use crate::{Hash, RowId, Time, state::State};

/// A pause is so many times as long as the fetch before it, at most.
const PAUSE_PER_FETCH: u64 = 9;

/// Of a row, a checkpoint with all its holders is wanted so often, ms, where peers own chapters. In
/// between one holder beside its maker is enough: the next one soon takes its place.
const ALL_HOLDERS_MS: u64 = 10_000;

/// Peers that hold a checkpoint at once.
const FEW: usize = 2;

/// When such blobs were fetched, and how long a chapter takes.
#[derive(Debug)]
pub(crate) struct Spread {
    /// The blob on its way, and since when.
    under_way: Option<(Hash, Time)>,
    /// When the last one came or failed, and how long that took, ms.
    last: (Time, u64),
    /// How many were due at once, at most, since none was.
    most: u64,
    /// The furthest checkpoint of each row, and since when it is known.
    furthest: BTreeMap<RowId, (u64, Time)>,
    /// Between two chapters of a row, ms, as seen last.
    chapter_ms: u64,
    /// The furthest checkpoint of each row with all its holders, and since when it has them.
    stable: BTreeMap<RowId, (u64, Time)>,
}

impl Spread {
    pub(crate) fn new(now: Time) -> Self {
        let (last, furthest, stable) = ((now, 0), BTreeMap::new(), BTreeMap::new());
        Self { under_way: None, last, most: 0, furthest, chapter_ms: 0, stable }
    }

    /// `due` blobs are due: whether one of them may be asked for.
    pub(crate) fn may_ask(&mut self, due: usize, limit_ms: u64, now: Time) -> bool {
        self.most = if due == 0 { 0 } else { self.most.max(due as u64) };
        let (ended, took) = self.last;
        // Three quarters of a chapter are shared out among them.
        let share = self.chapter_ms.min(limit_ms).saturating_mul(3) / 4 / self.most.max(1);
        let pause = took.saturating_mul(PAUSE_PER_FETCH).min(share);
        due > 0 && self.under_way.is_none() && now.since(ended) >= pause
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

    /// A checkpoint of `row` became known.
    fn note(&mut self, row: RowId, step: u64, chapter_steps: u64, now: Time, started: Time) {
        let (before, since) = *self.furthest.entry(row).or_insert((0, started));
        if step > before {
            let chapters = ((step - before) / chapter_steps.max(1)).max(1);
            self.chapter_ms = now.since(since) / chapters;
            self.furthest.insert(row, (step, now));
        }
    }
}

impl State {
    /// Looks which rows have a further checkpoint with all its holders.
    pub(crate) fn note_stable(&mut self, wanted: usize) {
        for row in self.plan.model_rows() {
            let step = self.archive.stable(row, wanted);
            let known = self.spread.stable.entry(row).or_insert((0, self.started));
            if step > known.0 {
                *known = (step, self.now);
            }
        }
    }

    /// How many peers shall hold the latest checkpoint of `row` for now, if all its holders are so
    /// many.
    pub(crate) fn wanted_now(&self, row: RowId, wanted: usize) -> usize {
        let since = self.spread.stable.get(&row).map(|(_, since)| *since);
        let is_recent = since.is_some_and(|since| self.now.since(since) < ALL_HOLDERS_MS);
        // Where rows have owners, batches are kept until then; where each trains on data of its own,
        // what is lost is not made again alike.
        let may_wait = self.plan.is_by_chapter() && !self.plan.is_private();
        if is_recent && may_wait { wanted.min(FEW) } else { wanted }
    }

    /// A checkpoint of `row` became known: that tells how long chapters take.
    pub(crate) fn note_chapter(&mut self, row: RowId, step: u64) {
        self.spread.note(row, step, self.plan.chapter_steps, self.now, self.started);
    }

    /// Whether one of `due` blobs that nobody waits for may be asked for. A peer that leaves does wait.
    pub(crate) fn may_spread(&mut self, due: usize) -> bool {
        let hurries = self.members.iter().any(|(_, member)| member.leaving);
        let limit_ms = if hurries { 0 } else { self.config.score_ms / 2 };
        self.spread.may_ask(due, limit_ms, self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAPTER_MS: u64 = 40_000;
    const STEPS: u64 = 10;

    /// When each of so many blobs was asked for, if fetching one takes so long.
    fn asked_at(count: u64, took: u64) -> Vec<u64> {
        let mut spread = Spread::new(Time(0));
        spread.note(RowId(0), STEPS, STEPS, Time(CHAPTER_MS), Time(0));
        let (mut now, mut asked) = (CHAPTER_MS, Vec::new());
        while (asked.len() as u64) < count {
            let due = count as usize - asked.len();
            if spread.may_ask(due, u64::MAX, Time(now)) {
                let hash = Hash([asked.len() as u8; 32]);
                spread.asked(hash, Time(now));
                asked.push(now - CHAPTER_MS);
                assert!(!spread.may_ask(due, u64::MAX, Time(now + took)), "one at a time");
                now += took;
                spread.ended(hash, Time(now));
            }
            now += 1;
        }
        asked
    }

    #[test]
    fn a_pause_follows_the_fetch() {
        let asked = asked_at(4, 100);
        assert!(asked.windows(2).all(|at| (1_000..1_010).contains(&(at[1] - at[0]))), "{asked:?}");
    }

    #[test]
    fn all_are_asked_for_within_a_chapter() {
        for count in 1..30 {
            let asked = asked_at(count, 300);
            assert!(asked.last().is_some_and(|last| *last < CHAPTER_MS), "{asked:?}");
        }
    }

    #[test]
    fn chapters_that_nobody_saw_pass_count_too() {
        let mut spread = Spread::new(Time(0));
        spread.note(RowId(1), 4 * STEPS, STEPS, Time(4_000), Time(0));
        assert_eq!(spread.chapter_ms, 1_000);
        spread.note(RowId(1), 3 * STEPS, STEPS, Time(9_000), Time(0));
        assert_eq!(spread.chapter_ms, 1_000, "an older one tells nothing");
    }
}
