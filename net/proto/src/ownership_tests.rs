//! Claims and hand-overs: which shards a peer takes as a run begins, and what the new owner of a shard hears.

use std::collections::VecDeque;

use crate::{
    BlobRef, Config, Hash, Heartbeat, Input, Lease, Message, NodeId, Output, Plan, Role, ShardId,
    State, Term, Time,
};

const ME: NodeId = NodeId([1; 32]);
const OTHER: NodeId = NodeId([2; 32]);

fn peer(me: NodeId, shards: u16) -> State {
    let plan = Plan::example(&[shards; 4], 80, 4);
    let mut state = State::new(me, Role::Worker, plan, Config::default(), Time(0));
    state.handle(Input::Speed(10), Time(0));
    state
}

/// What the trainer says to a job.
fn answer(output: &Output) -> Option<Input> {
    if let Output::Load { shard, load, .. } = *output {
        return Some(Input::Loaded { shard, load, ok: true });
    }
    let Output::Train { shard, load, step, emit, checkpoint, .. } = *output else { return None };
    let made = |purpose| BlobRef { hash: Hash::of(&[shard.0 as u8, step as u8, purpose]), size: 3 };
    let (batch, checkpoint) = (emit.then(|| made(0)), checkpoint.then(|| (made(1), 0)));
    Some(Input::Trained { shard, load, step, batch, checkpoint })
}

/// What `me`, which does `JOBS` jobs in each tenth of a second, says to `other` and to all while that
/// is here from 2 s on.
fn said(me: &mut State, other: &mut State) -> Vec<Message> {
    const JOBS: usize = 4;
    let (mut jobs, mut said) = (VecDeque::new(), Vec::new());
    for turn in 0..100 {
        let now = Time(turn * 100);
        let beat = (turn >= 20).then(|| Message::Heartbeat(other.heartbeat()));
        let heard = beat.map(|message| Input::Received { from: OTHER, message });
        let done: Vec<Input> = jobs.drain(..jobs.len().min(JOBS)).collect();
        for input in [Input::Wakeup].into_iter().chain(heard).chain(done) {
            for output in me.handle(input, now) {
                jobs.extend(answer(&output));
                if let Output::Send { message, .. } | Output::Broadcast(message) = output {
                    said.push(message);
                }
            }
        }
    }
    said
}

/// A peer whose batches have their hash and cannot be read is asked no oftener than one that does not
/// answer, and the third time shut out.
#[test]
fn whoever_hands_on_what_cannot_be_read_is_shut_out() {
    let plan = Plan::example(&[1, 1], 80, 4);
    let mut me = State::new(ME, Role::Worker, plan.clone(), Config::default(), Time(0));
    let mut other = State::new(OTHER, Role::Worker, plan, Config::default(), Time(0));
    me.handle(Input::Connected(OTHER), Time(0));
    let lease = |shard, owner| Lease { shard: ShardId(shard), term: Term(9), owner, from: 0 };
    let leases = Message::Leases(vec![lease(0, OTHER), lease(1, ME)]);
    let mut inputs = VecDeque::from([Input::Received { from: OTHER, message: leases }]);
    let (mut refused, mut asked, mut blames) = (0, Vec::new(), Vec::new());
    for turn in 0..50 {
        let now = Time(1_500 + turn * 100);
        inputs.push_back(Input::Wakeup);
        let beat = Message::Heartbeat(other.heartbeat());
        inputs.push_back(Input::Received { from: OTHER, message: beat });
        while let Some(input) = inputs.pop_front() {
            for output in me.handle(input, now) {
                if let Output::Send { message: Message::Want { from: step, .. }, .. } = output {
                    asked.push(now);
                    let blob = BlobRef { hash: Hash::of(b"junk"), size: 4 };
                    let offer = crate::Offer { shard: ShardId(0), step, blob };
                    let message = Message::Have(vec![offer]);
                    inputs.push_back(Input::Received { from: OTHER, message });
                } else if let Output::Fetch { blob, .. } = output {
                    inputs.push_back(Input::Fetched { hash: blob.hash });
                } else if let Output::Train {
                    shard: shard @ ShardId(1),
                    load,
                    step,
                    inputs: read,
                    ..
                } = &output
                    && read.contains(&Hash::of(b"junk"))
                {
                    let (shard, load, step) = (*shard, *load, *step);
                    refused += 1;
                    let bad = Some(Hash::of(b"junk"));
                    inputs.push_back(Input::Refused { shard, load, step, bad });
                } else if let Output::Notify(crate::Notice::Blame { peer, reason }) = output {
                    blames.push((peer, reason));
                } else {
                    inputs.extend(answer(&output));
                }
            }
        }
    }
    assert!(asked.windows(2).all(|at| at[1].since(at[0]) >= 500), "{asked:?}");
    let shut_out = blames.last().is_some_and(|(_, reason)| reason.contains("shut out"));
    assert!(blames.iter().all(|(peer, _)| *peer == OTHER) && shut_out, "{blames:?}");
    assert_eq!(refused, 3, "it is not heard any more");
    assert_eq!(me.leases.owner(ShardId(0)), Some(ME), "its shards are claimed");
}

#[test]
fn a_shard_is_given_away_with_what_is_held_of_it() {
    let (mut me, mut other) = (peer(ME, 1), peer(OTHER, 1));
    let mut given: Vec<Heartbeat> = Vec::new();
    for message in said(&mut me, &mut other) {
        if let Message::Leases(list) = &message {
            assert!(list.iter().all(|lease| lease.owner == ME), "{list:?}");
        } else if let Message::Heartbeat(beat) = message {
            given.push(beat);
        }
    }
    given.retain(|beat| beat.leases.iter().any(|lease| lease.owner == OTHER));
    let beat = given.first().expect("a shard is given to the other peer");
    for lease in beat.leases.iter().filter(|lease| lease.owner == OTHER) {
        let held = beat.held.iter().any(|it| (it.shard, it.step) == (lease.shard, lease.from));
        assert!(lease.from > 0 && held, "{lease:?} of {beat:?}");
        let below = lease.shard.0.checked_sub(1);
        let read =
            |shard| beat.retained.iter().any(|it| it.shard.0 == shard && it.until >= lease.from);
        assert!(below.is_none_or(read), "{lease:?} of {beat:?}");
    }
}

/// The shards that `me`, of speed 10, claims at 4 s, when it hears from `other` how fast that is; before
/// that, it may hear of what `other` has claimed.
fn claimed(speed: u64, before: impl IntoIterator<Item = Lease>) -> Vec<u16> {
    let (mut me, mut other) = (peer(ME, 4), peer(OTHER, 4));
    let mut messages: Vec<(u64, Message)> = Vec::new();
    for turn in 0..50 {
        other.speed = if turn < 40 { 0 } else { speed };
        messages.push((turn, Message::Heartbeat(other.heartbeat())));
    }
    messages.insert(40, (40, Message::Leases(before.into_iter().collect())));
    let mut claimed = Vec::new();
    for (turn, message) in messages {
        for output in me.handle(Input::Received { from: OTHER, message }, Time(turn * 100)) {
            if let Output::Broadcast(Message::Leases(list)) = output {
                assert_eq!(turn, 40, "{list:?}");
                claimed.extend(list.iter().map(|lease| lease.shard.0));
            }
        }
    }
    claimed
}

#[test]
fn nobody_is_late_while_all_wait_for_the_slowest_to_know_its_speed() {
    assert_eq!(claimed(10, []), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn claims_that_come_before_their_owners_speed_change_nothing() {
    let lease = |shard| Lease { shard: ShardId(shard), term: Term(1), owner: OTHER, from: 0 };
    assert_eq!(claimed(30, (0..12).map(lease)), [12, 13, 14, 15]);
    assert_eq!(claimed(30, [lease(3)]), [12, 13, 14, 15]);
}
