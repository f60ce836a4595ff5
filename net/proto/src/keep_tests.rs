//! Tests of what is copied and what is forgotten: what one peer asks for and holds on to.

use super::*;
use crate::{BlobRef, Config, Input, Message, Placement, Plan, Time};

const ME: NodeId = NodeId([1; 32]);
const A: NodeId = NodeId([2; 32]);
const B: NodeId = NodeId([3; 32]);

fn plan(shards: u16, layers: usize, placement: Placement) -> Plan {
    Plan { placement, ..Plan::example(&vec![shards; layers], 100, 10) }
}

fn peer(me: NodeId, plan: &Plan) -> State {
    State::new(me, Role::Worker, plan.clone(), Config::default(), Time(0))
}

fn checkpoint(row: u16, step: u64) -> Checkpoint {
    let blob = BlobRef { hash: Hash::of(&[row.to_le_bytes(), [step as u8, 0]].concat()), size: 9 };
    Checkpoint { row: RowId(row), step, blob, by: A, loss_micro: 0 }
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
    (0..4).for_each(|row| a.learn(checkpoint(row, 10), A));
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
    (0..4).for_each(|row| a.learn(checkpoint(row, 10), A));
    let first = hear(&mut me, &mut a, 100)[0];
    let failed = Input::FetchFailed { hash: first, from: A, lied: false };
    let next = asked(me.handle(failed, Time(100)));
    assert!(next.len() == 1 && next[0] != first, "{next:?}");
}

#[test]
fn what_a_row_falls_back_to_has_all_its_holders() {
    let plan = plan(1, 2, Placement::AllLayers);
    let (mut me, mut a, mut b) = (peer(ME, &plan), peer(A, &plan), peer(B, &plan));
    for (other, step) in [(A, 10), (A, 20), (A, 30), (B, 10), (B, 20), (B, 30)] {
        let state = if other == A { &mut a } else { &mut b };
        state.learn(checkpoint(0, step), other);
        if step == 20 {
            state.learn(checkpoint(1, step), other);
        }
    }
    for (row, step) in [(0, 10), (0, 30), (1, 20)] {
        me.handle(Input::Restored(checkpoint(row, step)), Time(0));
    }
    hear(&mut me, &mut a, 10);
    hear(&mut me, &mut b, 20);
    assert!(me.holds(RowId(0), 10), "only two peers hold the one after it");
    me.learn(checkpoint(0, 20), ME);
    me.handle(Input::Wakeup, Time(30));
    assert!(!me.holds(RowId(0), 10) && me.holds(RowId(0), 20));
}

#[test]
fn whoever_will_score_an_epoch_is_the_first_to_copy_it() {
    let plan = Plan { epoch_steps: 20, ..plan(8, 1, Placement::SingleLayer) };
    let mut others = [A, B, NodeId([4; 32]), NodeId([5; 32])].map(|id| peer(id, &plan));
    let mut me = peer(ME, &plan);
    me.config.replicas = 1;
    // Nobody has rows, so the fastest one scores.
    for (speed, it) in (4..).zip(&mut others) {
        it.speed = speed;
        hear(&mut me, it, 10);
    }
    (0..8).for_each(|row| [10, 20].iter().for_each(|step| me.learn(checkpoint(row, *step), A)));
    let copied =
        |me: &State| -> Vec<_> { me.copy_duties().into_iter().map(|(_, step)| step).collect() };
    me.speed = 9;
    assert_eq!(copied(&me), [20; 8], "it scores epoch 1");
    me.speed = 3;
    assert!(copied(&me).is_empty(), "somebody else does");
    (0..8).for_each(|row| me.learn(checkpoint(row, 30), A));
    assert!((1..8).contains(&copied(&me).len()), "no epoch ends there");
}
