//! Peers that come, speak and go: what is said to them, believed of them, and told of them.

use super::super::State;
use crate::testing::*;
use crate::{
    Batch, Config, Heartbeat, Input, MAX_LIST, Message, NodeId, Notice, Output, Plan, Role,
    ShardId, Span, Time,
};

fn worker(plan: Plan) -> State {
    State::new(ME, Role::Worker, plan, Config::default(), Time(0))
}

fn hear(state: &mut State, from: NodeId, message: Message, now: u64) -> Vec<Output> {
    state.handle(Input::Received { from, message }, Time(now))
}

fn beat(seq: u64) -> Message {
    Message::Heartbeat(Heartbeat { seq, ..heartbeat() })
}

/// The messages that are sent to `peer`.
fn sent(outputs: &[Output], peer: NodeId) -> Vec<&Message> {
    let sent = outputs.iter().filter_map(|output| {
        if let Output::Send { to, message } = output { Some((*to, message)) } else { None }
    });
    sent.filter(|(to, _)| *to == peer).map(|(_, message)| message).collect()
}

/// The heartbeats that all are told.
fn beats(outputs: &[Output]) -> Vec<&Heartbeat> {
    let beat = outputs.iter().map(|output| {
        if let Output::Broadcast(Message::Heartbeat(beat)) = output { Some(beat) } else { None }
    });
    beat.flatten().collect()
}

fn left(peer: NodeId, goodbye: bool) -> Output {
    Output::Notify(Notice::PeerLeft { peer, role: Role::Worker, goodbye })
}

#[test]
fn a_peer_that_is_connected_hears_how_this_one_is_and_who_trained_what() {
    let mut me = worker(chain(2, 1_200, 1));
    for step in 1..=600 {
        let by = if step % 2 == 0 { A } else { B };
        let message = Message::Checkpoints(vec![other_checkpoint(0, step, by)]);
        hear(&mut me, A, message, 1);
    }
    let outputs = me.handle(Input::Connected(B), Time(2));
    let sent = sent(&outputs, B);
    assert!(matches!(sent[0], Message::Heartbeat(_)));
    let spans = sent[1..].iter().map(|message| {
        assert!(message.is_bounded());
        if let Message::Provenance(spans) = message { spans.len() } else { 0 }
    });
    assert_eq!(spans.collect::<Vec<_>>(), [MAX_LIST, MAX_LIST, 600 - 2 * MAX_LIST]);
}

#[test]
fn a_newcomer_is_told_of_once_and_hears_at_once_how_this_peer_is() {
    let mut me = worker(chain(2, 40, 10));
    assert_eq!(beats(&me.handle(Input::Wakeup, Time(0))).len(), 1);
    let outputs = hear(&mut me, A, beat(1), 10);
    let joined = Output::Notify(Notice::PeerJoined { peer: A, role: Role::Worker });
    assert!(outputs.contains(&joined) && beats(&outputs).len() == 1);
    let outputs = hear(&mut me, A, beat(2), 20);
    assert!(!outputs.contains(&joined) && beats(&outputs).is_empty());
    assert_eq!(beats(&me.handle(Input::Wakeup, Time(510))).len(), 1);
}

#[test]
fn a_goodbye_is_told_and_nothing_is_heard_after_it() {
    let mut me = worker(chain(2, 40, 10));
    hear(&mut me, A, beat(1), 10);
    assert!(hear(&mut me, A, Message::Goodbye, 20).contains(&left(A, true)));
    assert!(!hear(&mut me, A, Message::Goodbye, 25).contains(&left(A, true)));
    hear(&mut me, A, Message::Checkpoints(vec![checkpoint(0, 10)]), 30);
    assert_eq!(me.snapshot().shards[0].checkpoint, None);
    assert_eq!(me.snapshot().peers.len(), 1);
}

#[test]
fn a_peer_that_falls_silent_has_left_without_a_goodbye() {
    let mut me = worker(chain(2, 40, 10));
    hear(&mut me, A, beat(1), 10);
    let silent_ms = Config::default().silent_ms;
    assert!(!me.handle(Input::Wakeup, Time(9 + silent_ms)).contains(&left(A, false)));
    assert!(me.handle(Input::Wakeup, Time(10 + silent_ms)).contains(&left(A, false)));
}

#[test]
fn what_was_asked_of_a_peer_that_is_cut_off_is_asked_of_another() {
    let mut me = worker(chain(2, 40, 10));
    [A, B].iter().for_each(|&peer| _ = me.handle(Input::Connected(peer), Time(0)));
    let says = |seq| Heartbeat { seq, held: vec![checkpoint(0, 10)], ..heartbeat() };
    let fetched_from = |outputs: &[Output]| {
        let from = |output: &Output| {
            if let Output::Fetch { from, .. } = output { Some(*from) } else { None }
        };
        outputs.iter().find_map(from)
    };
    let first = fetched_from(&hear(&mut me, A, Message::Heartbeat(says(1)), 1_400));
    assert_eq!(first, Some(A));
    assert_eq!(fetched_from(&hear(&mut me, B, Message::Heartbeat(says(1)), 1_410)), None);
    assert_eq!(me.snapshot().fetching, 1);
    let second = fetched_from(&me.handle(Input::Disconnected(A), Time(1_420)));
    let later = fetched_from(&me.handle(Input::Wakeup, Time(3_400)));
    assert_eq!(second.or(later), Some(B));
}

#[test]
fn a_list_longer_than_any_honest_one_is_blamed_and_not_looked_at() {
    let mut me = worker(chain(2, 40, 10));
    let list = vec![checkpoint(0, 10); MAX_LIST + 1];
    let outputs = hear(&mut me, A, Message::Checkpoints(list), 10);
    assert_eq!(blamed(&outputs), [A]);
    assert_eq!(me.snapshot().shards[0].checkpoint, None);
    assert!(!me.known.members().contains(A));
}

#[test]
fn whoever_sends_false_bytes_a_third_time_is_shut_out() {
    let mut me = worker(chain(2, 40, 10));
    hear(&mut me, A, beat(1), 1_400);
    for lies in 1..=3 {
        let lied = lies != 2;
        let hash = blob("junk").hash;
        let outputs = me.handle(Input::FetchFailed { hash, from: A, lied }, Time(1_400));
        assert!(!outputs.contains(&left(A, false)), "once may be an accident: {lies}");
    }
    let lie = Input::FetchFailed { hash: blob("junk").hash, from: A, lied: true };
    let outputs = me.handle(lie, Time(1_400));
    assert_eq!(blamed(&outputs), [A]);
    assert!(outputs.contains(&left(A, false)));
    let told = me.handle(Input::Wakeup, Time(2_400));
    assert!(beats(&told).iter().all(|beat| beat.avoids == [A]) && !beats(&told).is_empty());
}

#[test]
fn what_others_say_comes_into_what_is_shown() {
    let mut me = worker(chain(2, 40, 10));
    let span = Span { shard: ShardId(1), first: 0, last: 2, by: B };
    hear(&mut me, A, beat(1), 1_400);
    hear(&mut me, A, Message::Score(score(1)), 1_400);
    hear(&mut me, A, Message::Provenance(vec![span]), 1_400);
    hear(&mut me, A, Message::Leases(vec![shard_lease(0, 1, A, 10)]), 1_400);
    let seen = me.snapshot();
    assert_eq!((seen.scores, seen.provenance), (vec![score(1)], vec![span]));
    assert_eq!(seen.shards[0].owner.map(|(owner, _)| owner), Some(A));
    assert_eq!(seen.peers.iter().map(|peer| peer.id).collect::<Vec<_>>(), [ME, A]);
}

#[test]
fn only_the_owner_of_a_reader_tells_how_far_it_is_by_asking() {
    let mut me = worker(Plan::example(&[1, 1, 1], 40, 10));
    [A, B].iter().for_each(|&peer| _ = hear(&mut me, peer, beat(1), 1_400));
    hear(&mut me, A, Message::Leases(vec![shard_lease(1, 1, A, 0)]), 1_400);
    let ask = |seq, shard, from| {
        let (reader, shards) = (ShardId(1), vec![ShardId(shard)]);
        Message::Request { seq, reader, shards, from, until: 40 }
    };
    let done = |me: &State| me.snapshot().shards[1].done;
    hear(&mut me, B, ask(1, 0, 30), 1_400);
    assert_eq!(done(&me), 0, "it is not B's");
    hear(&mut me, A, ask(1, 2, 30), 1_400);
    assert_eq!(done(&me), 0, "it does not read that");
    hear(&mut me, A, ask(2, 0, 12), 1_400);
    assert_eq!(done(&me), 12);
    hear(&mut me, A, ask(2, 0, 30), 1_400);
    assert_eq!(done(&me), 12, "that one was overtaken");
}

#[test]
fn batches_of_own_shards_are_asked_for_and_announced_without_a_message() {
    let mut me = worker(chain(2, 40, 10));
    let mut inputs = vec![Input::Speed(SPEED)];
    let mut trained = Vec::new();
    for turn in 0..60 {
        for input in std::mem::replace(&mut inputs, vec![Input::Wakeup]) {
            for output in me.handle(input, Time(2_000 + turn * 100)) {
                assert!(!matches!(output, Output::Send { .. } | Output::Fetch { .. }));
                if let Output::Train { shard, step, inputs: reads, .. } = &output {
                    trained.push((shard.0, *step));
                    let read: Vec<_> =
                        (shard.0 == 1).then(|| batch_blob(0, *step).hash).into_iter().collect();
                    assert_eq!(*reads, read);
                }
                inputs.extend(answer(&output));
            }
        }
    }
    assert!(trained.contains(&(1, 39)), "{trained:?}");
}

#[test]
fn an_announcement_of_a_suspect_is_worth_a_try() {
    let mut me = worker(chain(2, 40, 10));
    let batches = vec![run_of(0, 0, 9)];
    let says = Heartbeat { seq: 1, batches, ..heartbeat() };
    hear(&mut me, A, Message::Heartbeat(says), 1_400);
    me.known.suspect_holders(ShardId(0), 3);
    let batch = Batch { shard: ShardId(0), step: 3, blob: batch_blob(0, 3) };
    hear(&mut me, A, Message::Announce(vec![batch]), 1_400);
    assert!(!me.known.is_suspect(ShardId(0), A));
}

#[test]
fn a_peer_alone_that_is_asked_to_go_stops_at_once_and_does_nothing_more() {
    let mut me = worker(chain(2, 40, 10));
    let outputs = me.handle(Input::Leave, Time(2_000));
    let end = [Output::Broadcast(Message::Goodbye), Output::Finished];
    assert!(outputs.ends_with(&end), "{outputs:?}");
    for now in [2_000, 9_000] {
        assert!(me.handle(Input::Wakeup, Time(now)).is_empty());
        assert!(me.next_wakeup() > Time(now));
    }
}

#[test]
fn others_hear_at_once_that_a_peer_is_to_go_and_how_fast_it_is() {
    let mut me = worker(chain(2, 40, 10));
    hear(&mut me, A, beat(1), 2_000);
    let speeds: Vec<u64> = [SPEED, 2 * SPEED]
        .map(|speed| {
            let outputs = me.handle(Input::Speed(speed), Time(2_010));
            beats(&outputs).iter().map(|beat| beat.speed).sum()
        })
        .to_vec();
    assert_eq!(speeds, [SPEED, 0], "only the first is waited for");
    let outputs = me.handle(Input::Leave, Time(2_020));
    assert!(beats(&outputs).iter().any(|beat| beat.leaving));
    assert!(!outputs.contains(&Output::Finished), "it owns shards that A has yet to take");
}

#[test]
fn a_run_that_hands_chapters_on_at_their_end_has_a_window_of_two() {
    let window = |refreshed, chapter_steps| {
        let plan = Plan { refreshed, ..chain(2, 400, chapter_steps) };
        worker(plan).known.config().window
    };
    let window_of_all = Config::default().window;
    assert_eq!(window(false, 100), window_of_all);
    assert_eq!((window(true, 100), window(true, 2)), (200, window_of_all));
}
