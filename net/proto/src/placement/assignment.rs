//! Which peer shall own which shard: a pure function of shards, costs, speeds and present owners.
//!
//! Rule: a peer's shards are contiguous, the slowest peer's time per step is as small as that
//! allows, and nothing moves for less than a stated gain. All peers that know the same compute
//! the same; a first assignment that some have acted on already is carried on by the others.

use super::candidates::{Candidate, Candidates};
use crate::known::{Known, Version};
use crate::{NodeId, ShardId};

/// An assignment, and what it rests on.
#[derive(Debug, Default)]
pub(crate) struct Assignment {
    /// The version of what is known, and the margin in percent.
    of: Option<(Version, u64)>,
    found: Assigned,
}

/// The peer that shall own each shard.
#[derive(Debug, Default)]
pub(crate) struct Assigned {
    owners: Vec<NodeId>,
    sidelined: bool,
}

impl Assigned {
    /// The peer that shall own `shard`; nobody where nobody can be given work.
    pub(crate) fn owner(&self, shard: ShardId) -> Option<NodeId> {
        self.owners.get(usize::from(shard.0)).copied()
    }

    /// Whether this peer is left without work because another one avoids it.
    pub(crate) fn is_sidelined(&self) -> bool {
        self.sidelined
    }
}

impl Assignment {
    /// The assignment by what is known now.
    pub(crate) fn look(&mut self, known: &Known, margin_percent: u64) -> &Assigned {
        let of = Some((known.version(), margin_percent));
        if self.of != of {
            let plan = known.plan();
            let Candidates { list, sidelined } = Candidates::of(known);
            let costs: Vec<_> = plan.shards().map(|shard| plan.cost(shard)).collect();
            let owners: Vec<_> = plan.shards().map(|shard| known.owner(shard)).collect();
            let owners = assign(&costs, &owners, &list, margin_percent);
            (self.of, self.found) = (of, Assigned { owners, sidelined });
        }
        &self.found
    }
}

/// Scale of predicted times, so that integer division loses little.
const SCALE: u64 = 1_000_000;

/// Speeds that were measured for a moment, of machines that may be busy then, are trusted for no less
/// than this gain; what shards take in training is known by a chapter's end.
const FIRST_MARGIN_PERCENT: u64 = 30;

/// Peers that are slower than the fastest by more than two to this power are all alike.
const MAX_HALVINGS: u32 = 16;

/// The peer for each shard; empty when there is nobody.
///
/// `costs` and `owners` have one entry per shard, bottom first; an owner that is not among
/// `candidates` counts as none. Present owners stay when the slowest peer's time would shrink by
/// no more than `margin_percent`.
fn assign(
    costs: &[u64],
    owners: &[Option<NodeId>],
    candidates: &[Candidate],
    margin_percent: u64,
) -> Vec<NodeId> {
    if candidates.is_empty() {
        return Vec::new();
    }
    if owners.contains(&None) {
        let first = first(costs, candidates);
        if owners.iter().zip(&first).all(|(owner, id)| owner.is_none_or(|it| it == *id)) {
            return first;
        }
    }
    let line = in_line(owners, candidates);
    let best = partition(costs, owners, &line);
    let present: Option<Vec<NodeId>> =
        owners.iter().map(|owner| owner.filter(|id| line.iter().any(|c| c.id == *id))).collect();
    match present {
        Some(present)
            if slowest(costs, &present, &line) * 100
                <= slowest(costs, &best, &line) * (100 + margin_percent) =>
        {
            present
        }
        _ => best,
    }
}

/// The assignment of shards that nobody owned yet, whoever owns some of them by now: equal pieces,
/// unless the speeds are so unequal that others gain more than [`FIRST_MARGIN_PERCENT`]. Slow peers get
/// the highest shards then: whoever owns part of a layer reads all of the layer below, which is much for
/// a slow one, and the highest layer has nobody above to be sent anything.
fn first(costs: &[u64], candidates: &[Candidate]) -> Vec<NodeId> {
    let nobody = vec![None; costs.len()];
    let line = in_line(&nobody, candidates);
    let alike: Vec<Candidate> = line.iter().map(|it| Candidate { speed: 1, ..*it }).collect();
    let equal = partition(costs, &nobody, &alike);
    let line = slowest_last(line);
    let best = partition(costs, &nobody, &line);
    let most = slowest(costs, &best, &line).saturating_mul(100 + FIRST_MARGIN_PERCENT);
    if slowest(costs, &equal, &line).saturating_mul(100) <= most { equal } else { best }
}

/// The candidates by speed, the fastest first; those that are about equally fast stay as they are.
fn slowest_last(mut line: Vec<Candidate>) -> Vec<Candidate> {
    let fastest = line.iter().map(|it| it.speed).max().unwrap_or(1);
    // How often it must be doubled to be nearer to the fastest than to half of that.
    let halvings = |it: &Candidate| {
        let enough = |n: &u32| it.speed.saturating_mul(10 << n) >= fastest.saturating_mul(7);
        (0..MAX_HALVINGS).find(enough).unwrap_or(MAX_HALVINGS)
    };
    line.sort_by_cached_key(halvings);
    line
}

/// The candidates in the order of the lowest shard each owns. Newcomers stand in the middle: the shards
/// of all others shift towards them from both sides, and fewer change hands than from one.
fn in_line(owners: &[Option<NodeId>], candidates: &[Candidate]) -> Vec<Candidate> {
    let first = |it: &Candidate| owners.iter().position(|owner| *owner == Some(it.id));
    let (mut line, mut newcomers): (Vec<Candidate>, Vec<Candidate>) =
        candidates.iter().partition(|it| first(it).is_some());
    line.sort_by_key(first);
    newcomers.sort_by_key(|it| it.id);
    let middle = line.len().div_ceil(2);
    line.splice(middle..middle, newcomers);
    line
}

/// Predicted time per step of the slowest peer, scaled.
fn slowest(costs: &[u64], assignment: &[NodeId], line: &[Candidate]) -> u64 {
    line.iter()
        .map(|candidate| {
            let own = costs.iter().zip(assignment).filter(|(_, id)| **id == candidate.id);
            time(own.map(|(cost, _)| cost).sum(), candidate.speed)
        })
        .max()
        .unwrap_or(0)
}

/// How long work takes at a speed, scaled.
pub(crate) fn time(cost: u64, speed: u64) -> u64 {
    cost.saturating_mul(SCALE) / speed.max(1)
}

/// The best cut of the shards into one contiguous piece per candidate, in line, by dynamic
/// programming over (candidates so far, shards so far); among equals, the one that moves fewest
/// shards.
fn partition(costs: &[u64], owners: &[Option<NodeId>], line: &[Candidate]) -> Vec<NodeId> {
    let shards = costs.len();
    // best[r]: (slowest, moves) for the first r shards on the candidates so far.
    let mut best = vec![(u64::MAX, usize::MAX); shards + 1];
    best[0] = (0, 0);
    let mut cuts = Vec::with_capacity(line.len());
    for candidate in line {
        let mut next = vec![(u64::MAX, usize::MAX); shards + 1];
        let mut cut = vec![0; shards + 1];
        for end in 0..=shards {
            let (mut cost, mut moves) = (0u64, 0);
            for start in (0..=end).rev() {
                if start < end {
                    cost = cost.saturating_add(costs[start]);
                    moves += usize::from(owners[start] != Some(candidate.id));
                }
                let (before, moved) = best[start];
                if before == u64::MAX {
                    continue;
                }
                let option = (before.max(time(cost, candidate.speed)), moved + moves);
                if option < next[end] {
                    next[end] = option;
                    cut[end] = start;
                }
            }
        }
        best = next;
        cuts.push(cut);
    }
    let mut assignment = vec![line[0].id; shards];
    let mut end = shards;
    for (candidate, cut) in line.iter().zip(&cuts).rev() {
        let start = cut[end];
        assignment[start..end].fill(candidate.id);
        end = start;
    }
    assignment
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    fn candidates(speeds: &[u64]) -> Vec<Candidate> {
        let candidate = |(n, &speed)| Candidate { id: id(n as u8), speed };
        speeds.iter().enumerate().map(candidate).collect()
    }

    fn who(assignment: &[NodeId]) -> Vec<u8> {
        assignment.iter().map(|id| id.0[0]).collect()
    }

    #[test]
    fn equal_peers_share_equally() {
        let found = assign(&[1; 8], &[None; 8], &candidates(&[5, 5, 5, 5]), 20);
        assert_eq!(who(&found), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(who(&assign(&[3], &[None], &candidates(&[1, 1]), 20)).len(), 1);
        assert!(assign(&[1], &[None], &[], 20).is_empty());
    }

    #[test]
    fn faster_peers_get_more() {
        let found = assign(&[1; 6], &[None; 6], &candidates(&[1, 2]), 20);
        assert_eq!(who(&found), [1, 1, 1, 1, 0, 0]);
    }

    #[test]
    fn a_newcomer_in_the_middle_moves_few_shards() {
        let owners: Vec<_> = (0..20).map(|shard| Some(id(1 + shard / 5))).collect();
        let found = assign(&[1; 20], &owners, &candidates(&[1; 5]), 10);
        assert_eq!(who(&found), [1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0, 3, 3, 3, 3, 4, 4, 4, 4]);
        let moved = owners.iter().zip(&found).filter(|(old, new)| **old != Some(**new));
        assert_eq!(moved.count(), 6, "ten would move if it stood at an end");
    }

    #[test]
    fn a_newcomer_gets_upper_shards_of_one_owner() {
        let owners = [Some(id(1)); 4];
        let found = assign(&[1; 4], &owners, &candidates(&[1, 1]), 20);
        assert_eq!(who(&found), [1, 1, 0, 0]);
    }

    #[test]
    fn a_lost_owners_shards_go_to_its_neighbours() {
        let owners = [Some(id(0)), Some(id(9)), Some(id(1))];
        let found = assign(&[1; 3], &owners, &candidates(&[1, 1]), 20);
        assert!(who(&found)[0] == 0 && who(&found)[2] == 1);
    }

    #[test]
    fn nothing_moves_for_a_small_gain() {
        let owners = [Some(id(0)), Some(id(0)), Some(id(1)), Some(id(1))];
        let kept = assign(&[10; 4], &owners, &candidates(&[10, 11]), 20);
        assert_eq!(who(&kept), [0, 0, 1, 1]);
        let moved = assign(&[10; 4], &owners, &candidates(&[10, 40]), 20);
        assert_eq!(who(&moved), [0, 1, 1, 1]);
    }

    #[test]
    fn a_first_assignment_is_carried_on_whoever_claims_first() {
        let (costs, peers) = ([1, 1, 6, 6, 6, 6], candidates(&[3, 3, 3]));
        let first = assign(&costs, &[None; 6], &peers, 20);
        for claimed in 0..3u8 {
            let claims = |it: &NodeId| (*it == id(claimed)).then_some(*it);
            let owners: Vec<_> = first.iter().map(claims).collect();
            assert_eq!(assign(&costs, &owners, &peers, 20), first);
        }
    }

    #[test]
    fn a_first_assignment_looks_past_small_differences() {
        let owners = [None; 12];
        assert_eq!(
            assign(&[1; 12], &owners, &candidates(&[100, 95, 104, 98]), 20),
            assign(&[1; 12], &owners, &candidates(&[1; 4]), 20)
        );
        let found = assign(&[1; 11], &[None; 11], &candidates(&[100, 100, 50, 25]), 20);
        assert_eq!(who(&found), [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn slow_peers_get_the_highest_shards() {
        let found = assign(&[1; 11], &[None; 11], &candidates(&[25, 90, 50, 100]), 20);
        assert_eq!(who(&found), [1, 1, 1, 1, 3, 3, 3, 3, 2, 2, 0]);
    }

    #[test]
    fn more_peers_than_shards_leaves_some_idle() {
        let found = assign(&[1, 1], &[None; 2], &candidates(&[1, 9, 1, 9]), 20);
        assert_eq!(who(&found), [1, 3]);
    }

    #[test]
    fn an_assignment_is_made_again_when_what_it_rests_on_changes() {
        use crate::testing::{A, B, ME, Scene, chain, heartbeat, shard_lease};
        let mut scene = Scene::new(chain(4, 40, 10));
        let mut assignment = Assignment::default();
        let mut owners = |scene: &Scene, margin| {
            let assigned = assignment.look(&scene.known, margin);
            (0..4).map(|shard| assigned.owner(ShardId(shard))).collect::<Vec<_>>()
        };
        assert_eq!(owners(&scene, 10), [Some(ME); 4]);
        scene.meet(A, heartbeat());
        let halves = [ME, ME, A, A].map(Some);
        assert_eq!(owners(&scene, 10), halves);
        scene.lease(&[0, 1, 2].map(|shard| shard_lease(shard, 1, ME, 0)));
        scene.lease(&[shard_lease(3, 1, A, 0)]);
        assert_eq!(owners(&scene, 60), [ME, ME, ME, A].map(Some), "that gains a half");
        assert_eq!(owners(&scene, 40), halves);
        scene.meet(B, heartbeat());
        scene.known.leave();
        assert_eq!(owners(&scene, 40), [A, A, B, B].map(Some));
        assert_eq!(assignment.look(&scene.known, 40).owner(ShardId(9)), None);
    }

    #[test]
    fn nobody_owns_anything_where_nobody_can_be_given_work() {
        let mut scene = crate::testing::Scene::new(crate::testing::chain(2, 40, 10));
        scene.known.leave();
        let mut assignment = Assignment::default();
        let assigned = assignment.look(&scene.known, 10);
        assert!(assigned.owner(ShardId(0)).is_none() && !assigned.is_sidelined());
    }
}
