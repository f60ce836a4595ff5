//! Tests of what is copied and what is forgotten: what one peer asks for and holds on to.

use super::*;
use crate::{BlobRef, Config, Input, Message, Placement, Plan, Score, Time};

const ME: NodeId = NodeId([1; 32]);
const A: NodeId = NodeId([2; 32]);
const B: NodeId = NodeId([3; 32]);

fn plan(shards: u16, layers: usize, placement: Placement) -> Plan {
    Plan { placement, ..Plan::example(&vec![shards; layers], 100, 10) }
}

fn peer(me: NodeId, plan: &Plan) -> State {
    State::new(me, Role::Worker, plan.clone(), Config::default(), Time(0))
}

fn checkpoint(shard: u16, step: u64) -> Checkpoint {
    let blob =
        BlobRef { hash: Hash::of(&[shard.to_le_bytes(), [step as u8, 0]].concat()), size: 9 };
    Checkpoint { shard: ShardId(shard), step, blob, by: A, loss_micro: 0 }
}

/// What is asked for after this peer heard another one.
fn hear(state: &mut State, from: &mut State, now: u64) -> Vec<Hash> {
    let message = Message::Heartbeat(from.heartbeat());
    asked(state.handle(Input::Received { from: from.me, message }, Time(now)))
}

fn asked(outputs: Vec<Output>) -> Vec<Hash> {
    let blob =
        |it: Output| if let Output::Fetch { blob, .. } = it { Some(blob.hash) } else { None };
    outputs.into_iter().filter_map(blob).collect()
}

#[test]
fn copies_are_taken_one_after_the_other_unless_somebody_leaves() {
    let plan = plan(4, 1, Placement::SingleLayer);
    let (mut me, mut a, mut b) = (peer(ME, &plan), peer(A, &plan), peer(B, &plan));
    hear(&mut me, &mut b, 90);
    (0..4).for_each(|shard| a.learn(checkpoint(shard, 10), A));
    let first = hear(&mut me, &mut a, 100);
    assert_eq!(first.len(), 1);
    assert!(asked(me.handle(Input::Wakeup, Time(150))).is_empty());
    assert!(asked(me.handle(Input::Fetched { hash: first[0] }, Time(200))).is_empty());
    assert!(asked(me.handle(Input::Wakeup, Time(1_999))).is_empty());
    assert_eq!(asked(me.handle(Input::Wakeup, Time(2_000))).len(), 1);
    assert!(asked(me.handle(Input::Wakeup, Time(2_010))).is_empty());
    b.handle(Input::Leave, Time(2_020));
    assert_eq!(hear(&mut me, &mut b, 2_020).len(), 1);
}

#[test]
fn a_fetch_that_fails_gives_way() {
    let plan = plan(4, 1, Placement::SingleLayer);
    let (mut me, mut a) = (peer(ME, &plan), peer(A, &plan));
    (0..4).for_each(|shard| a.learn(checkpoint(shard, 10), A));
    let first = hear(&mut me, &mut a, 100)[0];
    let failed = Input::FetchFailed { hash: first, from: A, lied: false };
    let next = asked(me.handle(failed, Time(100)));
    assert!(next.len() == 1 && next[0] != first, "{next:?}");
}

#[test]
fn what_a_shard_falls_back_to_has_all_its_holders() {
    let plan = plan(1, 2, Placement::AllLayers);
    let (mut me, mut a, mut b) = (peer(ME, &plan), peer(A, &plan), peer(B, &plan));
    for (other, step) in [(A, 10), (A, 20), (A, 30), (B, 10), (B, 20), (B, 30)] {
        let state = if other == A { &mut a } else { &mut b };
        state.learn(checkpoint(0, step), other);
        if step == 20 {
            state.learn(checkpoint(1, step), other);
        }
    }
    for (shard, step) in [(0, 10), (0, 30), (1, 20)] {
        me.handle(Input::Restored(checkpoint(shard, step)), Time(0));
    }
    hear(&mut me, &mut a, 10);
    hear(&mut me, &mut b, 20);
    assert!(me.holds(ShardId(0), 10), "only two peers hold the one after it");
    me.learn(checkpoint(0, 20), ME);
    me.handle(Input::Wakeup, Time(30));
    assert!(!me.holds(ShardId(0), 10) && me.holds(ShardId(0), 20));
}

#[test]
fn whoever_will_score_an_epoch_is_the_first_to_copy_it() {
    let plan = Plan { epoch_steps: 20, ..plan(8, 1, Placement::SingleLayer) };
    let mut others = [A, B, NodeId([4; 32]), NodeId([5; 32])].map(|id| peer(id, &plan));
    let mut me = peer(ME, &plan);
    me.config.replicas = 1;
    // Nobody has shards, so the fastest one scores.
    for (speed, it) in (4..).zip(&mut others) {
        it.speed = speed;
        hear(&mut me, it, 10);
    }
    (0..8).for_each(|shard| [10, 20].iter().for_each(|step| me.learn(checkpoint(shard, *step), A)));
    let copied =
        |me: &State| -> Vec<_> { me.copy_duties().into_iter().map(|(_, step)| step).collect() };
    me.speed = 9;
    assert_eq!(copied(&me), [20; 8], "it scores epoch 1");
    me.speed = 3;
    assert!(copied(&me).is_empty(), "somebody else does");
    (0..8).for_each(|shard| me.learn(checkpoint(shard, 30), A));
    assert!((1..8).contains(&copied(&me).len()), "no epoch ends there");
}

/// A peer of this role, and one that holds the whole model and has told it.
fn at_the_end(role: Role, config: Config) -> (State, State, Vec<Hash>) {
    let plan = plan(1, 3, Placement::SingleLayer);
    let mut me = State::new(ME, role, plan.clone(), Config::default(), Time(0));
    let mut a = State::new(A, Role::Worker, plan.clone(), config, Time(0));
    for shard in 0..3 {
        a.handle(Input::Restored(checkpoint(shard, 100)), Time(1));
    }
    let asked = hear(&mut me, &mut a, 100);
    (me, a, asked)
}

#[test]
fn who_exports_fetches_the_model_and_who_only_looks_fetches_nothing() {
    assert_eq!(at_the_end(Role::Worker, Config::default()).2.len(), 3);
    assert_eq!(at_the_end(Role::Observer, Config::default()).2.len(), 3);
    let (mut onlooker, _, asked_at_once) = at_the_end(Role::Onlooker, Config::default());
    assert_eq!(asked_at_once, []);
    for now in (200..60_000).step_by(100) {
        assert_eq!(asked(onlooker.handle(Input::Wakeup, Time(now))), []);
    }
}

#[test]
fn a_finished_node_waits_for_who_exports_and_not_for_who_only_looks() {
    for (role, waits) in [(Role::Worker, true), (Role::Observer, true), (Role::Onlooker, false)] {
        let config = Config { exit_when_done: true, ..Config::default() };
        let (mut other, mut a, _) = at_the_end(role, config);
        hear(&mut a, &mut other, 200);
        let score = Score { epoch: 1, samples: 9, softmax_correct: 9, other_correct: 9 };
        let scores = (1..=a.plan.epochs()).map(|epoch| Score { epoch, ..score });
        let heard =
            scores.map(|score| Input::Received { from: ME, message: Message::Score(score) });
        let outputs: Vec<Output> = heard.flat_map(|input| a.handle(input, Time(300))).collect();
        assert_eq!(outputs.contains(&Output::Finished), !waits, "{role:?}");
    }
}

#[test]
fn what_this_peer_made_takes_the_place_of_what_was_said() {
    let mut me = peer(ME, &plan(1, 1, Placement::SingleLayer));
    let (forged, own) = (checkpoint(0, 10), Checkpoint { by: ME, ..checkpoint(7, 10) });
    let own = Checkpoint { shard: ShardId(0), ..own };
    me.handle(Input::Restored(forged), Time(0));
    me.blobs.hold(own.blob.hash);
    assert!(me.archive_own(own) && me.holds(ShardId(0), 10));
    assert!(me.blobs.contains(own.blob.hash) && !me.blobs.contains(forged.blob.hash));
    let outputs = me.handle(Input::Wakeup, Time(1));
    assert!(outputs.contains(&Output::Drop(forged.blob.hash)), "{outputs:?}");
    assert!(outputs.contains(&Output::Keep(own)), "{outputs:?}");
    me.blobs.hold(own.blob.hash);
    assert!(me.archive_own(own) && me.blobs.release(own.blob.hash), "held once");
}
