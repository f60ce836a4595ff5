//! Claims and hand-overs, as another peer hears of them; a peer that hands on what cannot be read.

use std::collections::VecDeque;

use super::super::State;
use crate::testing::*;
use crate::{
    Batch, Config, Heartbeat, Input, Lease, Message, NodeId, Notice, Output, Plan, Role, ShardId,
    Time,
};

fn peer(me: NodeId, shards: u16) -> State {
    let plan = Plan::example(&[shards; 4], 80, 4);
    let mut state = State::new(me, Role::Worker, plan, Config::default(), Time(0));
    state.handle(Input::Speed(SPEED), Time(0));
    state
}

/// The messages of `me`, which does `JOBS` jobs in each tenth of a second, to `other` and to all while that
/// is here from 2 s on.
fn said(me: &mut State, other: &mut State) -> Vec<Message> {
    const JOBS: usize = 4;
    let (mut jobs, mut said) = (VecDeque::new(), Vec::new());
    for turn in 0..100 {
        let beat = (turn >= 20).then(|| other.heartbeat());
        let heard = beat.map(|message| Input::Received { from: A, message });
        let done: Vec<Input> = jobs.drain(..jobs.len().min(JOBS)).collect();
        for input in [Input::Wakeup].into_iter().chain(heard).chain(done) {
            for output in me.handle(input, Time(turn * 100)) {
                jobs.extend(answer(&output));
                if let Output::Send { message, .. } | Output::Broadcast(message) = output {
                    said.push(message);
                }
            }
        }
    }
    said
}

#[test]
fn a_shard_is_given_away_with_what_is_held_of_it() {
    let (mut me, mut other) = (peer(ME, 1), peer(A, 1));
    let mut given: Vec<Heartbeat> = Vec::new();
    for message in said(&mut me, &mut other) {
        if let Message::Leases(list) = &message {
            assert!(list.iter().all(|lease| lease.owner == ME), "{list:?}");
        } else if let Message::Heartbeat(beat) = message {
            given.push(beat);
        }
    }
    given.retain(|beat| beat.leases.iter().any(|lease| lease.owner == A));
    let beat = given.first().expect("a shard is given to the other peer");
    for lease in beat.leases.iter().filter(|lease| lease.owner == A) {
        let shard = lease.task.shard().map_or(0, |shard| shard.0);
        let held = beat.held.iter().any(|it| (it.shard.0, it.step) == (shard, lease.from));
        assert!(lease.from > 0 && held, "{lease:?} of {beat:?}");
        let reads = |of| beat.batches.iter().any(|it| it.shard.0 == of && it.until >= lease.from);
        assert!(shard.checked_sub(1).is_none_or(reads), "{lease:?} of {beat:?}");
    }
}

/// The shards that `me` claims at 4 s, when it hears from the other one how fast that is; before that,
/// it may hear of what the other one has claimed.
fn claimed(speed: u64, before: impl IntoIterator<Item = Lease>) -> Vec<u16> {
    let (mut me, mut other) = (peer(ME, 4), peer(A, 4));
    let mut before: Vec<Lease> = before.into_iter().collect();
    let mut claimed = Vec::new();
    for turn in 0..50 {
        let now = Time(turn * 100);
        // It only speaks: as a whole peer, it would claim everything for itself.
        other.known.set_speed(if turn < 40 { 0 } else { speed });
        let told = Message::Leases(std::mem::take(&mut before));
        let told = (turn == 40).then_some(told).into_iter();
        for message in told.chain([other.heartbeat()]) {
            for output in me.handle(Input::Received { from: A, message }, now) {
                if let Output::Broadcast(Message::Leases(list)) = output {
                    assert_eq!(turn, 40, "{list:?}");
                    claimed.extend(list.iter().filter_map(|lease| lease.task.shard()));
                }
            }
        }
    }
    claimed.into_iter().map(|shard| shard.0).collect()
}

#[test]
fn nobody_is_late_while_all_wait_for_the_slowest_to_know_its_speed() {
    assert_eq!(claimed(SPEED, []), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn claims_that_come_before_their_owners_speed_change_nothing() {
    let lease = |shard| shard_lease(shard, 1, A, 0);
    assert_eq!(claimed(3 * SPEED, (0..12).map(lease)), [12, 13, 14, 15]);
    assert_eq!(claimed(3 * SPEED, [lease(3)]), [12, 13, 14, 15]);
}

/// ME reads what A makes, and everything that A announces is junk.
struct Fooled {
    me: State,
    inputs: VecDeque<Input>,
    now: Time,
    asked: Vec<Time>,
    refused: usize,
    blamed: Vec<(NodeId, &'static str)>,
}

impl Fooled {
    fn take(&mut self, output: &Output) {
        let junk = blob("junk");
        if let Output::Send { message: Message::Request { from: step, .. }, .. } = output {
            self.asked.push(self.now);
            let batch = Batch { shard: ShardId(0), step: *step, blob: junk };
            let message = Message::Announce(vec![batch]);
            self.inputs.push_back(Input::Received { from: A, message });
        } else if let Output::Notify(Notice::Blame { peer, reason }) = output {
            self.blamed.push((*peer, reason));
        } else if let Output::Train { shard, load, step, inputs, .. } = output
            && inputs.contains(&junk.hash)
        {
            self.refused += 1;
            let (shard, load, step, bad) = (*shard, *load, *step, Some(junk.hash));
            self.inputs.push_back(Input::Refused { shard, load, step, bad });
        } else {
            self.inputs.extend(answer(output));
        }
    }
}

/// A peer whose batches have their hash and cannot be read is asked no oftener than one that does not
/// answer, and the third time shut out.
#[test]
fn a_peer_that_hands_on_what_cannot_be_read_is_shut_out_and_its_shards_are_claimed() {
    let plan = chain(2, 80, 4);
    let new = |id| State::new(id, Role::Worker, plan.clone(), Config::default(), Time(0));
    let (mut me, mut other) = (new(ME), new(A));
    me.handle(Input::Connected(A), Time(0));
    let leases = Message::Leases(vec![shard_lease(0, 9, A, 0), shard_lease(1, 9, ME, 0)]);
    let inputs = VecDeque::from([Input::Received { from: A, message: leases }]);
    let (now, asked, refused, blamed) = (Time(0), Vec::new(), 0, Vec::new());
    let mut fooled = Fooled { me, inputs, now, asked, refused, blamed };
    for turn in 0..50 {
        fooled.now = Time(1_500 + turn * 100);
        let beat = Input::Received { from: A, message: other.heartbeat() };
        fooled.inputs.extend([Input::Wakeup, beat]);
        while let Some(input) = fooled.inputs.pop_front() {
            let outputs = fooled.me.handle(input, fooled.now);
            outputs.iter().for_each(|output| fooled.take(output));
        }
    }
    let Fooled { me, asked, refused, blamed, .. } = fooled;
    assert!(asked.windows(2).all(|at| at[1].since(at[0]) >= 500), "{asked:?}");
    let shut_out = blamed.last().is_some_and(|(_, reason)| reason.contains("shut out"));
    assert!(blamed.iter().all(|(peer, _)| *peer == A) && shut_out, "{blamed:?}");
    assert_eq!(refused, 3, "it is not heard any more");
    assert_eq!(me.known.owner(ShardId(0)), Some(ME), "its shards are claimed");
}
