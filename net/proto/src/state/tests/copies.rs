//! Copies of checkpoints: when they are fetched, and who waits for whom at the end.

use super::super::State;
use crate::testing::{A, B, ME, checkpoint, heartbeat, score};
use crate::{
    Checkpoint, Config, Hash, Heartbeat, Input, Message, NodeId, Output, Plan, Role, Time,
};

/// A peer that has just started in a run of four shards, or of three that are one above the other.
fn peer(role: Role, shards: &[u16], config: Config) -> State {
    State::new(ME, role, Plan::example(shards, 100, 10), config, Time(0))
}

/// The blobs fetched once a heartbeat of `from`, sent at that time, says that it holds these.
fn hear(state: &mut State, from: NodeId, held: &[Checkpoint], now: u64) -> Vec<Hash> {
    let complete = held.iter().any(|it| it.step == 100);
    let said = Heartbeat { seq: now, complete, held: held.to_vec(), ..heartbeat() };
    say(state, from, said, now)
}

fn say(state: &mut State, from: NodeId, said: Heartbeat, now: u64) -> Vec<Hash> {
    let message = Message::Heartbeat(said);
    asked(state.handle(Input::Received { from, message }, Time(now)))
}

fn asked(outputs: Vec<Output>) -> Vec<Hash> {
    let blob =
        |it: Output| if let Output::Fetch { blob, .. } = it { Some(blob.hash) } else { None };
    outputs.into_iter().filter_map(blob).collect()
}

#[test]
fn copies_are_taken_one_after_the_other_unless_somebody_leaves() {
    let mut me = peer(Role::Worker, &[4], Config::default());
    hear(&mut me, B, &[], 90);
    let first = hear(&mut me, A, &[0, 1, 2, 3].map(|shard| checkpoint(shard, 10)), 100);
    assert_eq!(first.len(), 1);
    assert!(asked(me.handle(Input::Wakeup, Time(150))).is_empty());
    assert!(asked(me.handle(Input::Fetched { hash: first[0] }, Time(200))).is_empty());
    assert!(asked(me.handle(Input::Wakeup, Time(1_999))).is_empty());
    assert_eq!(asked(me.handle(Input::Wakeup, Time(2_000))).len(), 1);
    assert!(asked(me.handle(Input::Wakeup, Time(2_010))).is_empty());
    let leaves = Heartbeat { seq: 2_020, leaving: true, ..heartbeat() };
    assert_eq!(say(&mut me, B, leaves, 2_020).len(), 1);
}

#[test]
fn a_fetch_that_fails_gives_way_to_the_next() {
    let mut me = peer(Role::Worker, &[4], Config::default());
    let first = hear(&mut me, A, &[0, 1, 2, 3].map(|shard| checkpoint(shard, 10)), 100)[0];
    let failed = Input::FetchFailed { hash: first, from: A, lied: false };
    let next = asked(me.handle(failed, Time(100)));
    assert!(next.len() == 1 && next[0] != first, "{next:?}");
}

#[test]
fn a_peer_that_exports_fetches_the_model_and_one_that_only_looks_fetches_nothing() {
    let model = [0, 1, 2].map(|shard| checkpoint(shard, 100));
    for (role, fetches) in [(Role::Worker, 3), (Role::Observer, 3), (Role::Onlooker, 0)] {
        let mut me = peer(role, &[1; 3], Config::default());
        assert_eq!(hear(&mut me, A, &model, 100).len(), fetches, "{role:?}");
        let later = (200..60_000).step_by(100);
        let later: Vec<Hash> =
            later.flat_map(|now| asked(me.handle(Input::Wakeup, Time(now)))).collect();
        assert!(later.is_empty(), "{role:?}: {later:?}");
    }
}

#[test]
fn a_finished_node_waits_for_a_peer_that_exports_and_not_for_one_that_only_looks() {
    for (role, waits) in [(Role::Worker, true), (Role::Observer, true), (Role::Onlooker, false)] {
        let config = Config { exit_when_done: true, ..Config::default() };
        let mut me = peer(Role::Worker, &[1; 3], config);
        for shard in 0..3 {
            me.handle(Input::Restored(checkpoint(shard, 100)), Time(1));
        }
        say(&mut me, A, Heartbeat { seq: 1, role, ..heartbeat() }, 200);
        let scored = Input::Received { from: A, message: Message::Score(score(1)) };
        let outputs = me.handle(scored, Time(300));
        assert_eq!(outputs.contains(&Output::Finished), !waits, "{role:?}");
        let said = Heartbeat { seq: 2, role, complete: true, ..heartbeat() };
        let message = Message::Heartbeat(said);
        let outputs = me.handle(Input::Received { from: A, message }, Time(400));
        assert_eq!(outputs.contains(&Output::Finished), waits, "{role:?} has it, too");
    }
}
