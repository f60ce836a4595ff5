//! The peers that can be given work, with their speeds.
//!
//! Rule: of two peers that cannot work together, all who hear of it leave out the same one, unless
//! copies bridge what is cut, as they do where peers own chapters.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::known::Known;
use crate::{NodeId, Placement};

/// One peer that can be given work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: NodeId,
    /// Work per second, any unit, at least 1.
    pub(crate) speed: u64,
}

/// The peers that can be given work, this one perhaps among them.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// By their keys.
    pub(crate) list: Vec<Candidate>,
    /// Whether this peer could work and is left out.
    pub(crate) sidelined: bool,
}

impl Candidates {
    /// Those by what is known now. A peer whose speed is unknown counts as the average of the others.
    pub(crate) fn of(known: &Known) -> Self {
        let workers = known.members().workers();
        let mut list: Vec<_> =
            workers.map(|(id, member)| Candidate { id, speed: member.speed }).collect();
        let me = known.me();
        if known.takes_work() {
            list.push(Candidate { id: me, speed: known.own().speed });
        }
        let speeds: Vec<u64> = list.iter().map(|c| c.speed).filter(|&s| s > 0).collect();
        let mean = speeds.iter().sum::<u64>().checked_div(speeds.len() as u64);
        let mean = mean.unwrap_or(1).max(1);
        for candidate in list.iter_mut().filter(|candidate| candidate.speed == 0) {
            candidate.speed = mean;
        }
        list.sort_by_key(|candidate| candidate.id);
        if known.plan().is_by_chapter() {
            return Self { list, sidelined: false };
        }
        let here = list.len();
        let mut list = able(known, list);
        let sidelined = list.len() < here && !list.iter().any(|it| it.id == me);
        if known.plan().placement == Placement::Sequential {
            leave_one(known, &mut list);
        }
        Self { list, sidelined }
    }
}

/// The one peer that trains everything: the one that has most of it, else the fastest.
fn leave_one(known: &Known, candidates: &mut Vec<Candidate>) {
    let owns = |id: NodeId| known.leases().of(id).count();
    let best = candidates.iter().max_by_key(|it| (owns(it.id), it.speed, it.id)).copied();
    candidates.retain(|it| Some(it.id) == best.map(|best| best.id));
}

/// The candidates without those that are sidelined because another one avoids them.
fn able(known: &Known, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    let others = known.members().iter().map(|(id, member)| (id, member.avoids.clone()));
    let said: Vec<_> = others.chain([(known.me(), known.avoids())]).collect();
    let mut pairs = pairs(&said, &candidates);
    while let Some(out) = worst(&pairs, &candidates) {
        candidates.retain(|candidate| candidate.id != out);
        pairs.retain(|(by, other)| *by != out && *other != out);
    }
    candidates
}

/// The pairs of which the first avoids the second. A peer that avoids more than half of the others is
/// alone with that opinion.
fn pairs(said: &[(NodeId, Vec<NodeId>)], candidates: &[Candidate]) -> Vec<(NodeId, NodeId)> {
    let is_here = |id: NodeId| candidates.iter().any(|candidate| candidate.id == id);
    let mut pairs = Vec::new();
    for (by, avoided) in said {
        let avoided: BTreeSet<NodeId> = avoided.iter().copied().filter(|id| is_here(*id)).collect();
        let others = candidates.iter().filter(|candidate| candidate.id != *by).count();
        if is_here(*by) && 2 * avoided.len() <= others {
            pairs.extend(avoided.into_iter().map(|other| (*by, other)));
        }
    }
    pairs
}

/// The next one that is sidelined: of those in a pair the most avoided, then the slowest.
fn worst(pairs: &[(NodeId, NodeId)], candidates: &[Candidate]) -> Option<NodeId> {
    let votes = |id: NodeId| pairs.iter().filter(|(_, other)| *other == id).count();
    let in_pair = |id: NodeId| pairs.iter().any(|(by, other)| *by == id || *other == id);
    let paired = candidates.iter().filter(|candidate| in_pair(candidate.id));
    paired.max_by_key(|it| (votes(it.id), Reverse(it.speed), it.id)).map(|candidate| candidate.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{A, B, C, ME, SPEED, Scene, by_chapter, chain, heartbeat, shard_lease};
    use crate::{Heartbeat, Plan, Role};

    /// Those by what is known, and how fast they are; whether this peer is sidelined.
    fn found(scene: &Scene) -> (Vec<(NodeId, u64)>, bool) {
        let Candidates { list, sidelined } = Candidates::of(&scene.known);
        (list.into_iter().map(|it| (it.id, it.speed)).collect(), sidelined)
    }

    fn who(scene: &Scene) -> Vec<NodeId> {
        found(scene).0.into_iter().map(|(id, _)| id).collect()
    }

    fn avoiding(avoids: &[NodeId]) -> Heartbeat {
        Heartbeat { avoids: avoids.to_vec(), ..heartbeat() }
    }

    fn id(byte: u8) -> NodeId {
        NodeId([byte; 32])
    }

    fn four() -> Vec<Candidate> {
        (1..=4).map(|byte| Candidate { id: id(byte), speed: 10 }).collect()
    }

    #[test]
    fn one_of_two_that_avoid_each_other_is_sidelined() {
        let said = [(id(1), vec![id(2)]), (id(2), vec![id(1)]), (id(3), vec![])];
        let pairs = pairs(&said, &four());
        assert_eq!(pairs.len(), 2);
        assert_eq!(worst(&pairs, &four()), Some(id(2)));
    }

    #[test]
    fn the_most_avoided_is_sidelined_and_one_who_avoids_all_is_not_heard() {
        let said = [
            (id(1), vec![id(3)]),
            (id(2), vec![id(3)]),
            (id(3), vec![id(1), id(2), id(4)]),
            (id(9), vec![id(1)]),
        ];
        let pairs = pairs(&said, &four());
        assert_eq!(pairs, [(id(1), id(3)), (id(2), id(3))]);
        assert_eq!(worst(&pairs, &four()), Some(id(3)));
        assert_eq!(worst(&[], &four()), None);
    }

    #[test]
    fn whoever_takes_work_is_a_candidate_and_an_unknown_speed_the_average() {
        let mut scene = Scene::new(chain(4, 40, 10));
        scene.meet(B, Heartbeat { speed: 40, ..heartbeat() });
        scene.meet(A, Heartbeat { speed: 0, ..heartbeat() });
        scene.meet(C, Heartbeat { leaving: true, ..heartbeat() });
        scene.meet(id(9), Heartbeat { role: Role::Onlooker, ..heartbeat() });
        assert_eq!(found(&scene), (vec![(ME, SPEED), (A, 25), (B, 40)], false));
        scene.known.leave();
        assert_eq!(found(&scene), (vec![(A, 40), (B, 40)], false));
        let mut nobody = Scene::with(Role::Observer, chain(4, 40, 10), crate::Config::default());
        assert!(found(&nobody).0.is_empty());
        nobody.meet(A, Heartbeat { speed: 0, ..heartbeat() });
        assert_eq!(found(&nobody).0, [(A, 1)], "nobody knows");
    }

    #[test]
    fn all_who_hear_of_a_cut_pair_leave_out_the_same_one() {
        let mut scene = Scene::new(chain(4, 40, 10));
        scene.meet(A, avoiding(&[B]));
        scene.meet(B, avoiding(&[A]));
        assert_eq!(found(&scene).0, [(ME, SPEED), (A, SPEED)]);
        scene.meet(B, Heartbeat { speed: 2 * SPEED, ..avoiding(&[A]) });
        assert_eq!(who(&scene), [ME, B], "the slower one");
        scene.meet(C, avoiding(&[B]));
        assert_eq!(who(&scene), [ME, A, C], "the one that two avoid");
    }

    #[test]
    fn a_peer_that_others_avoid_knows_that_it_is_sidelined() {
        let mut scene = Scene::new(chain(4, 40, 10));
        scene.meet(A, avoiding(&[ME]));
        assert!(!found(&scene).1, "one of two is alone with that opinion");
        scene.meet(B, avoiding(&[ME]));
        assert_eq!(found(&scene), (vec![(A, SPEED), (B, SPEED)], true));
        scene.known.leave();
        assert!(!found(&scene).1, "it is no candidate anyhow");
    }

    #[test]
    fn where_peers_own_chapters_nobody_is_sidelined() {
        let mut scene = Scene::new(by_chapter(chain(4, 40, 10)));
        [A, B].iter().for_each(|&peer| scene.meet(peer, avoiding(&[ME])));
        assert_eq!((who(&scene), found(&scene).1), (vec![ME, A, B], false));
    }

    #[test]
    fn where_one_trains_everything_whoever_has_most_stays_and_else_the_fastest_is_taken() {
        let plan = Plan { placement: Placement::Sequential, ..chain(3, 40, 10) };
        let mut scene = Scene::new(plan);
        assert_eq!(who(&scene), [ME]);
        scene.meet(A, Heartbeat { speed: 2 * SPEED, ..heartbeat() });
        scene.meet(B, Heartbeat { speed: 2 * SPEED, ..heartbeat() });
        assert_eq!(who(&scene), [B], "equally fast, by the larger key");
        scene.lease(&[shard_lease(0, 1, ME, 0)]);
        assert_eq!(found(&scene), (vec![(ME, SPEED)], false));
    }
}
