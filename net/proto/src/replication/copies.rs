//! Copies of checkpoints that must not be lost.
//!
//! Rule: the checkpoints that a shard would go on from are held by their maker and by the peers that
//! come first in an order that shard and peers fix. If somebody cannot reach any of the holders, one
//! peer that reaches both holds a copy, too.

use crate::known::Known;
use crate::known::checkpoints::Entry;
use crate::lifecycle::scoring_order::scorer_at;
use crate::{NodeId, Role, ShardId};

/// The checkpoints of which this peer should hold copies: the latest of each shard, and tables,
/// that have too few holders and have this peer among the first in the order that shard and peers
/// fix. Shards that could lose most come first.
pub(crate) fn copy_duties(known: &Known) -> Vec<(ShardId, u64)> {
    if known.role() != Role::Worker {
        return Vec::new();
    }
    let (wanted, takers) = (known.wanted_holders(), known.takers().collect::<Vec<NodeId>>());
    // What only those hold who are about to go is lost with them.
    let stays = |id: &&NodeId| known.members().get(**id).is_none_or(|member| !member.leaving);
    let anyone_cut = anyone_is_cut(known);
    let mine = worth_copies(known).filter(|entry| {
        // A peer that goes on from it gets it without being told to.
        let taker = known.taker_at(entry.checkpoint.step);
        let taker = taker.filter(|id| !entry.holders.contains(id));
        let holders = entry.holders.iter().filter(stays).count() + usize::from(taker.is_some());
        !(anyone_cut && known.is_cut_off(&entry.holders))
            && is_among_first(known, entry, wanted.saturating_sub(holders), &takers, taker)
    });
    let mut mine: Vec<_> = mine.map(|it| (it.checkpoint.shard, it.checkpoint.step)).collect();
    let stable = |shard| known.checkpoints().stable(shard, wanted);
    mine.sort_by_cached_key(|&(shard, step)| (stable(shard), step, shard));
    mine
}

/// The checkpoints of which this peer should hold copies so that those who cannot reach their
/// makers reach them; for that, there is always room.
pub(crate) fn bridges(known: &Known) -> Vec<(ShardId, u64)> {
    if known.role() != Role::Worker || !anyone_is_cut(known) {
        return Vec::new();
    }
    let entries = worth_copies(known).chain(at_open_chapters(known));
    let mine = entries.filter(|entry| known.is_cut_off(&entry.holders)).filter(|entry| {
        let workers = known.members().workers().map(|(id, _)| id).chain([known.me()]);
        let able = workers.filter(|id| !known.is_cut_from(*id, &entry.holders));
        is_among_first(known, entry, 1, &able.collect::<Vec<_>>(), None)
    });
    mine.map(|it| (it.checkpoint.shard, it.checkpoint.step)).collect()
}

/// The latest checkpoint of each shard, and the tables that could be needed.
pub(crate) fn worth_copies(known: &Known) -> impl Iterator<Item = &Entry> {
    let latest = known.plan().model_shards().filter_map(|shard| known.checkpoints().latest(shard));
    latest.chain(known.tables_at_least(known.first_table()))
}

/// Whether there may be checkpoints that somebody cannot reach and waits for: where peers own
/// chapters, nobody is sidelined for that.
fn anyone_is_cut(known: &Known) -> bool {
    known.plan().is_by_chapter() && known.anyone_avoids()
}

/// Whether this peer is among the first `missing` of these that do not hold it; `taker` will.
fn is_among_first(
    known: &Known,
    entry: &Entry,
    missing: usize,
    others: &[NodeId],
    taker: Option<NodeId>,
) -> bool {
    let shard = entry.checkpoint.shard;
    let lacks = |id: &NodeId| !entry.holders.contains(id) && taker != Some(*id);
    if missing == 0 || !lacks(&known.me()) || !others.contains(&known.me()) {
        return false;
    }
    // The peer that will score the epoch fetches all of this anyhow, and comes first.
    let scorer = scorer_at(known, entry.checkpoint.step);
    let place = |id: NodeId| (scorer != Some(id), shard.rank_of(id));
    // A rank is a hash, and there may be many others: most often few of them tell enough.
    let mine = place(known.me());
    let before = others.iter().filter(|id| lacks(id) && place(**id) < mine);
    before.take(missing).count() < missing
}

/// The checkpoints that an open chapter begins with, where peers own chapters.
fn at_open_chapters(known: &Known) -> impl Iterator<Item = &Entry> {
    known.plan().model_shards().flat_map(|shard| {
        let start = known.start(shard);
        known.checkpoints().of(shard).filter(move |entry| entry.checkpoint.step >= start)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::outbox::Outbox;
    use crate::testing::{
        A, B, C, ME, Scene, by_chapter, chain, chapter_lease, checkpoint, heartbeat, with_feedback,
    };
    use crate::{Config, Heartbeat, Plan, Time};

    /// The knowledge of one of four workers: A holds a checkpoint of each of many shards.
    fn one_of_four(me: NodeId, config: Config) -> Known {
        let plan = Plan::example(&[40], 100, 10);
        let mut known = Known::new(me, Role::Worker, plan, config, Time(0));
        let mut out = Outbox::new(me);
        for other in [A, B, C, ME].into_iter().filter(|id| *id != me) {
            known.on_heartbeat(other, &mut Heartbeat { seq: 1, ..heartbeat() });
        }
        for shard in 0..40 {
            known.learn_from(checkpoint(shard, 10), A, &mut out);
        }
        known.look();
        known
    }

    #[test]
    fn as_many_peers_copy_a_checkpoint_as_shall_hold_it_and_they_agree_on_who() {
        let duties = [B, C, ME].map(|id| copy_duties(&one_of_four(id, Config::default())));
        assert!(duties.iter().all(|it| (15..39).contains(&it.len())), "each has a share");
        for shard in (0..40).map(ShardId) {
            let copies = duties.iter().filter(|it| it.contains(&(shard, 10)));
            assert_eq!(copies.count(), 2, "shard {shard}");
        }
    }

    #[test]
    fn a_peer_without_room_takes_no_copies_and_those_that_hold_one_no_other() {
        let full = Config { copy_bytes: 0, ..Config::default() };
        assert_eq!(copy_duties(&one_of_four(ME, full)), []);
        assert_eq!(copy_duties(&one_of_four(A, Config::default())), []);
        let alone = Config { replicas: 0, ..Config::default() };
        assert_eq!(copy_duties(&one_of_four(ME, alone)), [], "one holder is enough");
    }

    #[test]
    fn a_peer_that_does_not_work_takes_no_copies() {
        for (role, takes) in [(Role::Worker, 1), (Role::Observer, 0), (Role::Onlooker, 0)] {
            let mut scene = Scene::with(role, chain(1, 100, 10), Config::default());
            scene.meet_all(&[A]);
            scene.learn(A, [checkpoint(0, 10)]);
            scene.look();
            assert_eq!(copy_duties(&scene.known).len(), takes, "{role:?}");
        }
    }

    #[test]
    fn what_a_peer_holds_that_leaves_is_copied_by_one_that_stays() {
        let mut scene = Scene::new(chain(1, 100, 10));
        let held = vec![checkpoint(0, 100)];
        scene.meet(A, Heartbeat { leaving: true, held, ..heartbeat() });
        scene.look();
        assert_eq!(copy_duties(&scene.known), [(ShardId(0), 100)]);
        scene.hold([checkpoint(0, 100)]);
        assert_eq!(copy_duties(&scene.known), []);
    }

    #[test]
    fn shards_that_could_lose_most_are_copied_first() {
        let mut scene = Scene::new(Plan::example(&[3], 100, 10));
        scene.meet_all(&[A, B]);
        scene.hold([checkpoint(1, 10)]);
        scene.learn(B, [checkpoint(1, 10)]);
        scene.learn(A, [(0, 10), (1, 10), (1, 20), (2, 20)].map(|it| checkpoint(it.0, it.1)));
        scene.look();
        let order = [(0, 10), (2, 20), (1, 20)].map(|(shard, step)| (ShardId(shard), step));
        assert_eq!(copy_duties(&scene.known), order);
    }

    #[test]
    fn the_peer_that_will_score_an_epoch_is_the_first_to_copy_it() {
        let plan = Plan { epoch_steps: 20, ..Plan::example(&[8], 100, 10) };
        let config = Config { replicas: 1, ..Config::default() };
        let mut scene = Scene::with(Role::Worker, plan, config);
        // Nobody has shards, so the fastest one scores.
        for (speed, peer) in (4..).zip([A, B, C, NodeId([5; 32])]) {
            scene.meet(peer, Heartbeat { speed, ..heartbeat() });
        }
        scene.learn(A, (0..8).flat_map(|shard| [10, 20].map(|step| checkpoint(shard, step))));
        let copied = |scene: &mut Scene| -> Vec<_> {
            scene.look();
            copy_duties(&scene.known).into_iter().map(|(_, step)| step).collect()
        };
        assert_eq!(copied(&mut scene), [20; 8], "it scores epoch 1");
        scene.known.set_speed(3);
        assert!(copied(&mut scene).is_empty(), "somebody else does");
        scene.learn(A, (0..8).map(|shard| checkpoint(shard, 30)));
        assert!((1..8).contains(&copied(&mut scene).len()), "no epoch ends there");
    }

    #[test]
    fn the_owner_of_the_next_chapter_needs_no_other_peer_to_hold_a_copy() {
        let plan = by_chapter(Plan::example(&[8], 40, 10));
        let config = Config { replicas: 1, ..Config::default() };
        let mut scene = Scene::with(Role::Worker, plan.clone(), config);
        scene.meet_all(&[A, B]);
        scene.learn(A, (0..8).map(|shard| checkpoint(shard, 10)));
        scene.look();
        assert!((1..8).contains(&copy_duties(&scene.known).len()), "B has some, too");
        scene.lease(&[chapter_lease(&plan, 1, 1, B)]);
        assert_eq!(copy_duties(&scene.known), [], "B goes on from all of them");
        scene.lease(&[chapter_lease(&plan, 1, 2, A)]);
        assert!((1..8).contains(&copy_duties(&scene.known).len()), "A holds them already");
    }

    #[test]
    fn tables_that_could_be_needed_are_copied_and_older_ones_are_not() {
        let mut scene = Scene::new(with_feedback(chain(3, 100, 10)));
        scene.meet_all(&[A]);
        scene.learn(A, [10, 20, 30].map(|step| checkpoint(2, step)));
        scene.learn(A, [10, 20].map(|step| checkpoint(0, step)));
        scene.known.set_first_table(20);
        scene.look();
        let wanted = [(0, 20), (2, 20), (2, 30)].map(|(shard, step)| (ShardId(shard), step));
        let mut duties = copy_duties(&scene.known);
        duties.sort_unstable();
        assert_eq!(duties, wanted, "of a shard only the latest");
    }

    /// A holds checkpoints of an open chapter; B cannot reach A, as it says.
    fn cut(plan: Plan) -> Scene {
        let mut scene = Scene::new(plan);
        scene.meet_all(&[A]);
        scene.learn(A, [checkpoint(0, 10), checkpoint(0, 20)]);
        scene.meet(B, Heartbeat { avoids: vec![A], ..heartbeat() });
        scene.look();
        scene
    }

    #[test]
    fn one_peer_holds_what_another_cannot_reach() {
        let mut scene = cut(by_chapter(chain(2, 40, 10)));
        let open = vec![(ShardId(0), 20), (ShardId(0), 10), (ShardId(0), 20)];
        assert_eq!(bridges(&scene.known), open);
        assert_eq!(copy_duties(&scene.known), [], "a bridge counts as no copy");
        let exports = Heartbeat { role: Role::Observer, ..heartbeat() };
        scene.hear(C, Heartbeat { held: vec![checkpoint(0, 20)], ..exports });
        assert_eq!(bridges(&scene.known), [(ShardId(0), 10)], "C holds the other one");
        scene.hear(B, heartbeat());
        assert_eq!(bridges(&scene.known), [], "it has found A");
    }

    #[test]
    fn only_peers_that_reach_the_holders_bridge_and_one_of_them_is_enough() {
        let mut scene = cut(by_chapter(Plan::example(&[20], 40, 10)));
        scene.learn(A, (1..20).map(|shard| checkpoint(shard, 20)));
        scene.look();
        let bridged = |scene: &Scene| {
            let shards = bridges(&scene.known).into_iter().map(|(shard, _)| shard);
            shards.collect::<BTreeSet<_>>().len()
        };
        assert_eq!(bridged(&scene), 20);
        scene.hear(C, Heartbeat { avoids: vec![A], ..heartbeat() });
        assert_eq!(bridged(&scene), 20, "C cannot");
        scene.hear(C, heartbeat());
        assert!((1..20).contains(&bridged(&scene)), "C bridges the others");
    }

    #[test]
    fn where_peers_own_shards_nobody_bridges() {
        assert_eq!(bridges(&cut(chain(2, 40, 10)).known), []);
        assert_eq!(copy_duties(&cut(chain(2, 40, 10)).known), [(ShardId(0), 20)]);
    }
}
