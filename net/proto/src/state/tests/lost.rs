//! Lost blobs: whatever is lost when something reads it, a peer alone ends its run, gives the trainer
//! only what it has, and blames nobody.

use super::super::State;
use super::alone::{Alone, Fault};
use crate::testing::{A, ME, SETTLED, checkpoint, heartbeat};
use crate::{
    Checkpoint, Config, Heartbeat, Input, Message, Output, Placement, Plan, Role, ShardId, Time,
};

fn peer(plan: &Plan) -> State {
    State::new(ME, Role::Worker, plan.clone(), Config::default(), Time(0))
}

#[test]
fn whatever_is_lost_the_run_ends() {
    let plan = Plan { epoch_steps: 4, ..Plan::example(&[2, 1, 1], 8, 2) };
    let with =
        |placement, feedback, refreshed| Plan { placement, feedback, refreshed, ..plan.clone() };
    let merged = |plan| Plan { branches: 2, merged: true, ..plan };
    for plan in [
        with(Placement::SingleLayer, false, false),
        with(Placement::SingleLayer, true, false),
        with(Placement::SingleLayer, true, true),
        with(Placement::AllLayers, true, false),
        with(Placement::AllLayers, false, true),
        with(Placement::Federated, false, true),
        merged(with(Placement::AllLayers, false, false)),
        Plan { branches: 1, ..merged(with(Placement::AllLayers, true, false)) },
        merged(with(Placement::AllLayers, false, true)),
    ] {
        let quiet = Alone::run(&plan, Fault::Nothing);
        assert!(quiet.reads > 20);
        let mut more = 0;
        for read in 1..=quiet.reads {
            let alone = Alone::run(&plan, Fault::Lost(read));
            let mut scores = alone.state.snapshot().scores.into_iter();
            assert!(scores.any(|score| score.epoch == 2), "read {read}: the end is not scored");
            more += alone.trained.saturating_sub(quiet.trained);
        }
        assert!(more > 0, "what is lost is made again");
    }
}

#[test]
fn what_is_lost_is_fetched_from_whoever_has_it() {
    let mut state = peer(&Plan::example(&[1], 8, 2));
    let kept = checkpoint(0, 2);
    state.handle(Input::Restored(kept), Time(0));
    let said = Heartbeat { seq: 1, held: vec![kept], ..heartbeat() };
    let message = Message::Heartbeat(said);
    state.handle(Input::Received { from: A, message }, Time(SETTLED));
    let outputs = state.handle(Input::Lost { hash: kept.blob.hash }, Time(SETTLED + 100));
    assert!(outputs.contains(&Output::Drop(kept.blob.hash)));
    assert!(!state.out.holds(kept.blob.hash) && !state.known.holds(ShardId(0), 2));
    assert!(outputs.contains(&Output::Fetch { blob: kept.blob, from: A }), "{outputs:?}");
}

#[test]
fn a_stored_checkpoint_of_no_cell_is_forgotten() {
    let plan = Plan::example(&[1, 1], 8, 2);
    for (shard, step) in [(2, 2), (u16::MAX, 2), (0, 0), (0, 3), (0, 10), (1, u64::MAX)] {
        let mut state = peer(&plan);
        let restored = Checkpoint { shard: ShardId(shard), step, ..checkpoint(0, 2) };
        let outputs = state.handle(Input::Restored(restored), Time(0));
        assert!(outputs.contains(&Output::Drop(restored.blob.hash)), "shard {shard} step {step}");
        for at in 0..100 {
            state.handle(Input::Wakeup, Time(at * 100));
        }
    }
}
