//! A row that changes hands: what its new owner hears, in which message.

use std::collections::VecDeque;

use crate::{
    BlobRef, Config, Hash, Heartbeat, Input, LayerPlan, Message, NodeId, Output, Placement, Plan,
    Role, State, Time,
};

const ME: NodeId = NodeId([1; 32]);
const OTHER: NodeId = NodeId([2; 32]);

fn peer(me: NodeId, shards: u16) -> State {
    let layer = LayerPlan { shards, step_cost: 10 };
    let plan = Plan {
        run: Hash([0; 32]),
        layers: vec![layer; 4],
        steps: 80,
        epoch_steps: 80,
        chapter_steps: 4,
        placement: Placement::SingleLayer,
        feedback: false,
        refreshed: false,
    };
    let mut state = State::new(me, Role::Worker, plan, Config::default(), Time(0));
    state.handle(Input::Speed(10), Time(0));
    state
}

/// What the trainer says to a job.
fn answer(output: &Output) -> Option<Input> {
    let blob = |bytes: [u8; 3]| BlobRef { hash: Hash::of(&bytes), size: 3 };
    match *output {
        Output::Load { row, load, .. } => Some(Input::Loaded { row, load, ok: true }),
        Output::Train { row, load, step, emit, checkpoint, .. } => {
            let made = |purpose| blob([row.0 as u8, step as u8, purpose]);
            let (batch, checkpoint) = (emit.then(|| made(0)), checkpoint.then(|| (made(1), 0)));
            Some(Input::Trained { row, load, step, batch, checkpoint })
        }
        _ => None,
    }
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

#[test]
fn a_row_is_given_away_with_what_is_held_of_it() {
    let (mut me, mut other) = (peer(ME, 1), peer(OTHER, 1));
    let mut given: Vec<Heartbeat> = Vec::new();
    for message in said(&mut me, &mut other) {
        match message {
            Message::Heartbeat(beat) => given.push(beat),
            Message::Leases(list) => assert!(list.iter().all(|it| it.owner == ME), "{list:?}"),
            _ => {}
        }
    }
    given.retain(|beat| beat.leases.iter().any(|lease| lease.owner == OTHER));
    let beat = given.first().expect("a row is given to the other peer");
    for lease in beat.leases.iter().filter(|lease| lease.owner == OTHER) {
        let held = beat.held.iter().any(|it| (it.row, it.step) == (lease.row, lease.from));
        assert!(lease.from > 0 && held, "{lease:?} of {beat:?}");
        let below = lease.row.0.checked_sub(1);
        let read = |row| beat.retained.iter().any(|it| it.row.0 == row && it.until >= lease.from);
        assert!(below.is_none_or(read), "{lease:?} of {beat:?}");
    }
}

#[test]
fn nobody_is_late_while_all_wait_for_the_slowest_to_know_its_speed() {
    let (mut me, mut other) = (peer(ME, 4), peer(OTHER, 4));
    let mut claimed = Vec::new();
    for turn in 0..50 {
        let now = Time(turn * 100);
        other.speed = if turn < 40 { 0 } else { 10 };
        let message = Message::Heartbeat(other.heartbeat());
        for output in me.handle(Input::Received { from: OTHER, message }, now) {
            if let Output::Broadcast(Message::Leases(list)) = output {
                claimed.extend(list.iter().map(|lease| (turn, lease.row.0)));
            }
        }
    }
    assert_eq!(claimed, [0, 1, 2, 3, 4, 5, 6, 7].map(|row| (40, row)));
}
