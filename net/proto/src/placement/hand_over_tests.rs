//! Tests of hand-overs: what is given to whom, when, and what stays.

use super::*;
use crate::outbox::Effect;
use crate::placement::assignment::Assignment;
use crate::testing::*;
use crate::{Config, Heartbeat, Plan, Term};

/// A peer that owns four shards of a run, all after the first chapter's end, and another one that came
/// long enough ago to be given some.
struct Giver {
    scene: Scene,
    hand_over: HandOver,
}

impl Giver {
    fn new() -> Self {
        Self::of(chain(4, 80, 4))
    }

    fn of(plan: Plan) -> Self {
        let mut scene = Scene::new(plan);
        let shards = || 0..4;
        scene.lease(&shards().map(|shard| shard_lease(shard, 1, ME, 0)).collect::<Vec<_>>());
        scene.hold(shards().flat_map(|shard| [checkpoint(shard, 4), checkpoint(shard, 8)]));
        scene.work(shards().map(|shard| job(shard, 4)));
        scene.meet(A, heartbeat());
        scene.wait(scene.known.config().listen_ms);
        Self { scene, hand_over: HandOver::default() }
    }

    /// A is as fast as that.
    fn of_speed(speed: u64) -> Self {
        let mut giver = Self::new();
        giver.scene.hear(A, Heartbeat { speed, ..heartbeat() });
        giver
    }

    /// The leases that are given now.
    fn gives(&mut self) -> Vec<Lease> {
        self.scene.look();
        self.scene.outputs();
        let Scene { known, out, .. } = &mut self.scene;
        let mut assignment = Assignment::default();
        let margin = if self.hand_over.is_balancing(known) { 0 } else { 10 };
        let gives = self.hand_over.settle(known, assignment.look(known, margin), out);
        let Some(effect) = out.next() else { return Vec::new() };
        let Effect::Fact(Fact::Leases(leases)) = effect else { panic!("{effect:?}") };
        let owners = BTreeSet::from_iter(leases.iter().map(|lease| lease.owner));
        let told = out.next();
        assert!(
            matches!(&told, Some(Effect::Heartbeat(to)) if to.iter().eq(&owners)),
            "{told:?}: the new owners hear what this peer holds"
        );
        assert!(gives && out.next().is_none());
        leases
    }

    fn given(&mut self) -> Vec<(u16, NodeId, u64)> {
        let shard = |lease: &Lease| lease.task.shard().map(|shard| shard.0);
        let leases = self.gives();
        leases.iter().filter_map(|it| Some((shard(it)?, it.owner, it.from))).collect()
    }

    fn shards(&mut self) -> Vec<u16> {
        self.given().into_iter().map(|(shard, _, _)| shard).collect()
    }

    /// The hand-over stands, and A works on the task; this peer keeps these jobs.
    fn handed_over(&mut self, given: &[Lease], jobs: impl IntoIterator<Item = JobStatus>) {
        self.scene.lease(given);
        self.scene.work(jobs);
    }
}

#[test]
fn shards_go_to_an_idle_newcomer_at_a_chapters_end_with_the_next_term() {
    let mut giver = Giver::new();
    let given = giver.gives();
    assert_eq!(given, [2, 3].map(|shard| shard_lease(shard, 2, A, 4)));
    giver.handed_over(&given, [job(0, 4), job(1, 4)]);
    assert!(giver.gives().is_empty(), "each has its half");
}

#[test]
fn a_shard_stays_until_all_that_its_new_owner_needs_is_in_hand() {
    let at = |done, handed, next| JobStatus { done, handed, handing: handed, next, ..job(3, 0) };
    let phase = |phase| JobStatus { phase, ..job(3, 4) };
    let cases = [
        (job(3, 4), true),
        (job(3, 5), false),
        (at(4, 4, 6), false),
        (at(4, 3, 4), false),
        (at(12, 12, 12), false),
        (phase(Phase::Loading(Some(4))), false),
        (phase(Phase::NeedsCheckpoint), true),
    ];
    for (status, goes) in cases {
        let mut giver = Giver::new();
        giver.scene.work([job(0, 5), job(1, 5), job(2, 5), status]);
        assert_eq!(giver.shards(), if goes { vec![3] } else { vec![] }, "{status:?}");
    }
}

#[test]
fn a_newcomer_is_given_nothing_before_it_can_have_heard_of_all_others() {
    let mut giver = Giver::new();
    giver.scene.known.depart(A);
    giver.scene.meet(B, heartbeat());
    assert!(giver.gives().is_empty());
    giver.scene.wait(giver.scene.known.config().listen_ms);
    assert_eq!(giver.shards(), [2, 3]);
}

#[test]
fn newcomers_wait_longer_the_more_owners_fell_silent_lately() {
    let settle_ms = Config::default().settle_ms;
    for (losses, wait_ms) in [(1, 0), (2, settle_ms), (3, 2 * settle_ms), (99, 16 * settle_ms)] {
        let mut giver = Giver::new();
        giver.scene.lease(&[shard_lease(3, 2, B, 4)]);
        (0..losses).for_each(|_| giver.hand_over.lost(B, &giver.scene.known));
        (0..9).for_each(|_| giver.hand_over.lost(C, &giver.scene.known));
        giver.scene.lease(&[shard_lease(3, 3, ME, 4)]);
        let listened = giver.scene.known.config().listen_ms;
        if wait_ms > 0 {
            giver.scene.wait(wait_ms - listened - 1);
            giver.scene.hear(A, heartbeat());
            assert!(giver.gives().is_empty(), "{losses} losses");
            giver.scene.wait(1);
        }
        assert_eq!(giver.shards(), [2, 3], "{losses} losses");
    }
}

#[test]
fn losses_of_long_ago_do_not_count() {
    let mut giver = Giver::new();
    giver.scene.lease(&[shard_lease(3, 2, B, 4)]);
    (0..6).for_each(|_| giver.hand_over.lost(B, &giver.scene.known));
    giver.scene.lease(&[shard_lease(3, 3, ME, 4)]);
    giver.scene.known.depart(A);
    giver.scene.wait(LOSS_MEMORY_MS - giver.scene.known.config().listen_ms);
    giver.scene.meet(C, heartbeat());
    giver.scene.wait(giver.scene.known.config().listen_ms - 1);
    assert!(giver.gives().is_empty());
    giver.scene.wait(1);
    assert_eq!(giver.shards(), [2, 3]);
}

#[test]
fn nothing_is_given_away_while_a_shard_has_no_owner() {
    let mut giver = Giver::new();
    giver.scene.lease(&[shard_lease(0, 2, B, 4)]);
    giver.scene.known.depart(B);
    assert!(giver.gives().is_empty());
    giver.scene.lease(&[shard_lease(0, 3, ME, 4)]);
    assert_eq!(giver.shards(), [2, 3]);
}

#[test]
fn the_last_shard_is_only_given_to_a_faster_peer() {
    for (speed, goes) in [(SPEED, false), (2 * SPEED, true)] {
        let mut giver = Giver::of_speed(speed);
        giver.scene.lease(&[1, 2, 3].map(|shard| shard_lease(shard, 2, A, 4)));
        giver.scene.work([job(0, 4)]);
        let target = (ShardId(0), A);
        let assigned = Assigned::default();
        let busy = giver.hand_over.should_give(&giver.scene.known, &assigned, target, 4);
        assert!(!busy, "A would be busier than anybody is");
        giver.scene.lease(&[1, 2, 3].map(|shard| shard_lease(shard, 3, B, 4)));
        giver.scene.meet(B, heartbeat());
        let Giver { scene, hand_over } = giver;
        assert_eq!(hand_over.should_give(&scene.known, &assigned, target, 4), goes);
    }
}

#[test]
fn nobody_is_given_more_than_the_busiest_has_to_do() {
    let mut giver = Giver::of_speed(SPEED / 5);
    let target = (ShardId(3), A);
    let gives = |giver: &Giver| {
        let Giver { scene, hand_over } = giver;
        hand_over.should_give(&scene.known, &Assigned::default(), target, 4)
    };
    assert!(!gives(&giver), "it is five times slower, and this peer has four shards");
    giver.scene.hear(A, Heartbeat { speed: SPEED / 4 + 1, ..heartbeat() });
    assert!(gives(&giver));
    giver.scene.hear(A, Heartbeat { speed: 0, ..heartbeat() });
    assert!(gives(&giver), "nobody knows how fast it is");
}

#[test]
fn a_busy_peer_is_given_shards_at_one_end_and_then_not_before_things_settle() {
    let mut giver = Giver::of_speed(4 * SPEED);
    giver.scene.work([job(0, 2), job(1, 2), job(2, 2), job(3, 4)]);
    let given = giver.gives();
    assert_eq!(given, [shard_lease(3, 2, A, 4)]);
    giver.handed_over(&given, [job(0, 2), job(1, 2), job(2, 4)]);
    let given = giver.gives();
    assert_eq!(given, [shard_lease(2, 2, A, 4)], "the others' end is the same");
    giver.handed_over(&given, [job(0, 8), job(1, 8)]);
    assert!(giver.gives().is_empty());
    giver.scene.wait(giver.scene.known.config().settle_ms);
    giver.scene.hear(A, Heartbeat { speed: 4 * SPEED, ..heartbeat() });
    assert_eq!(giver.given(), [(1, A, 8)]);
}

#[test]
fn a_shard_that_came_at_this_end_does_not_go_on_to_the_next_peer() {
    let mut giver = Giver::of_speed(4 * SPEED);
    giver.scene.work([job(0, 2), job(1, 2), job(2, 2), job(3, 4)]);
    let given = giver.gives();
    giver.handed_over(&given, [job(0, 2), job(1, 2), job(2, 4)]);
    giver.scene.lease(&[shard_lease(2, 2, ME, 4)]);
    assert!(giver.gives().is_empty());
}

#[test]
fn who_has_no_use_for_shards_is_given_fewer_and_fewer() {
    let mut giver = Giver::new();
    for round in 0..4u32 {
        let given = giver.gives();
        assert_eq!(given.len(), 2, "round {round}");
        let back: Vec<Lease> =
            given.iter().map(|it| Lease { term: it.term.next(), owner: ME, ..*it }).collect();
        giver.scene.lease(&given);
        giver.scene.lease(&back);
        let pause = giver.scene.known.config().settle_ms << (round + 1);
        giver.scene.wait(giver.scene.known.config().settle_ms - 1);
        assert!(giver.gives().is_empty(), "it is idle again, and that does not count");
        giver.scene.wait(pause);
        giver.scene.hear(A, heartbeat());
    }
    let terms: Vec<Term> = giver.gives().iter().map(|lease| lease.term).collect();
    assert_eq!(terms, [Term(10), Term(10)]);
}

#[test]
fn what_was_begun_is_finished_however_little_it_gains() {
    let mut giver = Giver::new();
    giver.scene.work([job(0, 4), job(1, 4), job(2, 2), job(3, 4)]);
    assert!(!giver.hand_over.is_balancing(&giver.scene.known));
    let given = giver.gives();
    giver.handed_over(&given, [job(0, 4), job(1, 4), job(2, 3)]);
    assert!(giver.hand_over.is_balancing(&giver.scene.known));
    giver.scene.work([job(0, 5), job(1, 5), job(2, 4)]);
    assert!(giver.hand_over.is_balancing(&giver.scene.known), "one stands at that end");
    giver.scene.work([job(0, 5), job(1, 5), job(2, 5)]);
    assert!(!giver.hand_over.is_balancing(&giver.scene.known));
}

#[test]
fn one_shard_stays_where_all_would_go_for_balance() {
    let mut giver = Giver::of_speed(1_000 * SPEED);
    assert_eq!(giver.shards(), [0, 1, 2]);
}

#[test]
fn whoever_leaves_gives_everything_at_once_to_whoever_is_here() {
    let mut giver = Giver::new();
    giver.scene.known.depart(A);
    giver.scene.meet(B, heartbeat());
    giver.scene.known.leave();
    assert_eq!(giver.given(), [0, 1, 2, 3].map(|shard| (shard, B, 4)));
    assert!(!giver.hand_over.is_balancing(&giver.scene.known), "that is no balance");
    giver.scene.work([job(0, 5), JobStatus { phase: Phase::NeedsCheckpoint, ..job(1, 0) }]);
    giver.scene.look();
    let start = giver.scene.known.start(ShardId(1));
    assert_eq!((start, giver.given()), (8, vec![(1, B, 8)]), "where it would have been taken up");
}

#[test]
fn whoever_leaves_alone_gives_nothing() {
    let mut giver = Giver::new();
    giver.scene.known.depart(A);
    giver.scene.known.leave();
    assert!(giver.gives().is_empty());
}

#[test]
fn a_sidelined_peer_gives_what_stands_at_an_end_and_then_what_is_stuck() {
    let mut giver = Giver::new();
    let says = || Heartbeat { avoids: vec![ME], ..heartbeat() };
    [A, B].iter().for_each(|&peer| giver.scene.meet(peer, says()));
    giver.scene.work([job(0, 4), job(1, 6)]);
    let lacking = BTreeMap::from([(ShardId(1), giver.scene.known.now())]);
    giver.scene.known.publish_lacking(lacking);
    assert_eq!(giver.shards(), [0]);
    giver.scene.work([job(1, 6)]);
    let patience = STUCK_RETRIES * giver.scene.known.config().retry_ms;
    giver.scene.wait(patience - 1);
    assert!(giver.gives().is_empty());
    giver.scene.wait(1);
    let start = giver.scene.known.start(ShardId(1));
    assert_eq!(giver.given(), [(1, A, start)]);
    assert_ne!(start, 6, "not from where it stands, but from a checkpoint");
}
