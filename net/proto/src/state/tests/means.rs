//! Checkpoints that a peer makes for itself of means that others have.

use std::collections::VecDeque;

use super::super::State;
use crate::testing::{A, ME, answer, chain, change, checkpoint, heartbeat, merged};
use crate::{
    BlobRef, Checkpoint, Config, Heartbeat, Input, Merge, Message, Output, Parts, Role, ShardId,
    Time,
};

/// A has the checkpoint after two chapters of the one shard, and both means; runs for some seconds.
/// What this peer fetches or has merged, each with whether it is asked for when a blob has just come.
fn asked(role: Role) -> Vec<(Output, bool)> {
    let plan = merged(chain(1, 40, 10), 2);
    let mut state = State::new(ME, role, plan, Config::default(), Time(0));
    state.handle(Input::Connected(A), Time(0));
    let mut asked = Vec::new();
    for turn in 0..100 {
        let said = Heartbeat {
            seq: turn + 1,
            held: vec![large()],
            changes: [0, 1].map(|chapter| change(chapter, 0, None)).to_vec(),
            ..heartbeat()
        };
        let heard = Input::Received { from: A, message: Message::Heartbeat(said) };
        let mut inputs = VecDeque::from([heard, Input::Wakeup]);
        while let Some(input) = inputs.pop_front() {
            let has_come = matches!(input, Input::Fetched { .. });
            for output in state.handle(input, Time(turn * 100)) {
                inputs.extend(answer(&output));
                if let Output::Merge { shard, step, .. } = output {
                    let (checkpoint, mean) = (large().blob, change(1, 0, None).blob);
                    let outcome = Merge::Made { checkpoint, mean };
                    inputs.push_back(Input::Merged { shard, step, outcome });
                }
                if matches!(output, Output::Merge { .. } | Output::Fetch { .. }) {
                    asked.push((output, has_come));
                }
            }
        }
    }
    asked
}

fn large() -> Checkpoint {
    let it = checkpoint(0, 20);
    Checkpoint { blob: BlobRef { size: 1 << 20, ..it.blob }, ..it }
}

#[test]
fn means_of_two_chapters_are_fetched_and_merged_at_once_when_the_last_has_come() {
    let asked = asked(Role::Worker);
    let means = [0, 1].map(|chapter| change(chapter, 0, None).blob);
    let fetched = asked.iter().filter_map(|(output, _)| {
        if let Output::Fetch { blob, from } = output { Some((*blob, *from)) } else { None }
    });
    assert_eq!(fetched.collect::<Vec<_>>(), means.map(|blob| (blob, A)), "{asked:?}");
    let is_first = |output: &Output| matches!(output, Output::Merge { step: ..=20, .. });
    let merges: Vec<_> = asked.into_iter().filter(|it| is_first(&it.0)).collect();
    let parts = Parts::Means(means.map(|blob| blob.hash).to_vec());
    let merge = Output::Merge { shard: ShardId(0), step: 20, from: 0, start: None, parts };
    assert_eq!(merges, [(merge, true)]);
}

#[test]
fn an_observer_fetches_what_a_worker_makes() {
    let asked: Vec<Output> = asked(Role::Observer).into_iter().map(|(output, _)| output).collect();
    assert!(
        asked.iter().all(|it| matches!(it, Output::Fetch { blob, .. } if *blob == large().blob))
    );
}
