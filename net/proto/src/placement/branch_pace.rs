//! How many peers take branches, and how many branches one takes at once, where speeds differ.
//!
//! Rule: a slow peer takes part as long as it holds up nobody for longer than its help is worth. The others
//! go ahead of it meanwhile, by as many branches as their speed can make up for; a peer never goes ahead
//! of its equals, which would only change the order.

use super::assignment::time;
use super::candidates::{Candidate, Candidates};
use crate::known::Known;
use crate::{NodeId, Task};

/// Among equals the slower one has at least this part of the faster one's speed, in quarters.
const EQUAL_QUARTERS: u64 = 3;

/// How many of the `candidates`, the fastest first, take branches: a chapter takes as long as all of them
/// need together for its branches, and no less than the slowest needs for the largest shard of one,
/// because the next chapter waits for that. Near the run's end, nobody begins what others would end
/// earlier.
pub(super) fn worthwhile(known: &Known, candidates: &[Candidate]) -> usize {
    let plan = known.plan();
    let costs: Vec<u64> = plan.shards().map(|shard| plan.cost(shard)).collect();
    of_branches((plan.branches, left(known)), &costs, candidates)
}

/// Branches of the run that are not done.
fn left(known: &Known) -> u64 {
    let (plan, near) = (known.plan(), known.near_chapters());
    let far = (plan.chapters() - near.end).saturating_mul(u64::from(plan.branches));
    far + near.flat_map(|chapter| tasks(known, chapter)).filter(|it| !known.is_done(*it)).count()
        as u64
}

fn tasks(known: &Known, chapter: u64) -> impl Iterator<Item = Task> + use<> {
    (0..known.plan().branches_of(chapter)).map(move |branch| Task::Branch { chapter, branch })
}

fn of_branches((branches, left): (u16, u64), costs: &[u64], candidates: &[Candidate]) -> usize {
    let (all, largest) = (costs.iter().sum::<u64>(), costs.iter().copied().max().unwrap_or(0));
    let (mut speed, mut best) = (0u64, (0, u64::MAX));
    for (candidate, count) in candidates.iter().zip(1..) {
        let one = time(all, candidate.speed);
        let rest = time(all.saturating_mul(left.saturating_sub(1)), speed);
        if count > 1 && one > rest.saturating_add(time(all, candidates[0].speed)) {
            break;
        }
        speed = speed.saturating_add(candidate.speed.max(1));
        let together = time(all.saturating_mul(u64::from(branches)), speed);
        let chapter = together.max(time(largest, candidate.speed));
        if chapter < best.1 {
            best = (count, chapter);
        }
    }
    best.0
}

/// The branch that this peer takes because all that it has waits for others: one of the lowest chapter,
/// which all wait for, or another one while it waits for a slower peer. Peers that wait at the same
/// time begin at different places of the list, so that they seldom take the same.
pub(super) fn meanwhile(known: &Known, takeable: &[Task]) -> Option<Task> {
    let jobs = known.own().jobs().count() as u64;
    if jobs == 0 || !known.is_blocked() {
        return None;
    }
    let start = known.open_chapters().start;
    let is_first = |task: &Task| matches!(task, Task::Branch { chapter, .. } if *chapter == start);
    let first: Vec<Task> = takeable.iter().copied().filter(is_first).collect();
    let goes_ahead = || {
        let candidates = Candidates::of(known).list;
        jobs < share(known, &candidates)
            && waits_for_slower(known, &candidates)
            && is_in_time(known, jobs + 1, &candidates)
    };
    let list = if !first.is_empty() {
        &first
    } else if goes_ahead() {
        takeable
    } else {
        &[]
    };
    let before = known.members().workers().filter(|(id, _)| *id < known.me()).count();
    list.get(before.checked_rem(list.len())?).copied()
}

/// Whether this peer, if it has so many branches, ends them before the others could have done all that is
/// left of the run.
fn is_in_time(known: &Known, jobs: u64, candidates: &[Candidate]) -> bool {
    let plan = known.plan();
    let all: u64 = plan.shards().map(|shard| plan.cost(shard)).sum();
    let mine = speed_of(candidates, known.me()).unwrap_or(0);
    let together = candidates.iter().fold(0, |sum: u64, it| sum.saturating_add(it.speed));
    let rest = time(all.saturating_mul(left(known)), together);
    time(all.saturating_mul(jobs), mine) <= rest.saturating_add(time(all, mine))
}

/// This peer's share of the branches that can be in work at once, at least 1.
fn share(known: &Known, candidates: &[Candidate]) -> u64 {
    let all: u64 = candidates.iter().fold(0, |sum, it| sum.saturating_add(it.speed));
    let plan = known.plan();
    let branches = (plan.shard_count() as u64).saturating_mul(u64::from(plan.branches));
    let mine = speed_of(candidates, known.me()).unwrap_or(0);
    branches.saturating_mul(mine).checked_div(all).unwrap_or(0).max(1)
}

fn speed_of(candidates: &[Candidate], id: NodeId) -> Option<u64> {
    candidates.iter().find(|it| it.id == id).map(|it| it.speed)
}

/// Whether a peer much slower than this one owns a branch that is not done and below all of this peer's.
fn waits_for_slower(known: &Known, candidates: &[Candidate]) -> bool {
    let chapter = |task: Task| match task {
        Task::Branch { chapter, .. } => Some(chapter),
        Task::Shard(_) => None,
    };
    let lowest = known.own().jobs().filter_map(|job| chapter(job.task)).min().unwrap_or(0);
    let mine = speed_of(candidates, known.me()).unwrap_or(0);
    let is_slower = |speed: u64| speed.saturating_mul(4) < mine.saturating_mul(EQUAL_QUARTERS);
    let mut below = (known.open_chapters().start..lowest).flat_map(|chapter| tasks(known, chapter));
    below.any(|task| {
        let owner = known.leases().owner(task).filter(|_| !known.is_done(task));
        owner.and_then(|owner| speed_of(candidates, owner)).is_some_and(is_slower)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(branches: u16, left: u64, speeds: &[u64]) -> usize {
        let candidate = |(n, &speed)| Candidate { id: NodeId([n as u8; 32]), speed };
        let candidates: Vec<Candidate> = speeds.iter().enumerate().map(candidate).collect();
        of_branches((branches, left), &[10; 4], &candidates)
    }

    #[test]
    fn peers_take_branches_as_long_as_they_hold_up_nobody() {
        assert_eq!((count(4, 99, &[]), count(4, 99, &[1])), (0, 1));
        assert_eq!(count(4, 99, &[100; 4]), 4);
        assert_eq!(count(4, 999, &[100; 16]), 16);
        assert_eq!(count(4, 999, &[100; 17]), 16, "a shard's branches follow each other");
        assert_eq!(count(4, 99, &[100, 100, 50, 25]), 4);
        assert_eq!(count(4, 99, &[100, 100, 50, 5]), 3, "the last one is too slow");
        assert_eq!(count(1, 99, &[100, 100, 50, 25]), 2, "a third ends no chapter sooner");
    }

    #[test]
    fn near_the_end_nobody_begins_what_others_would_end_earlier() {
        assert_eq!(count(4, 12, &[100, 100, 50, 25]), 4);
        assert_eq!(count(4, 4, &[100, 100, 50, 25]), 3);
        assert_eq!(count(4, 2, &[100, 100, 50, 25]), 2);
        assert_eq!(count(4, 1, &[100, 100]), 2, "equals may");
    }
}
