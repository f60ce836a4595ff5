//! Chapters that are handed on at their end, and tables that are read some chapters later.

use std::collections::VecDeque;

use super::super::State;
use super::alone::{Alone, Fault};
use crate::testing::{ME, answer, chain, change, checkpoint, merged, with_feedback};
use crate::{Change, Config, Input, Message, Output, Parts, Plan, Role, ShardId, Time};

/// The requests that a peer alone makes of its trainer.
fn asked(fault: Fault) -> Vec<Output> {
    let plan = Plan { refreshed: true, ..with_feedback(chain(3, 8, 2)) };
    Alone::run(&plan, fault).asked
}

/// Loads of the lowest shard, by step.
fn loads(asked: &[Output]) -> Vec<u64> {
    let load = |output: &Output| {
        let Output::Load { shard: ShardId(0), step, .. } = *output else { return None };
        Some(step)
    };
    asked.iter().filter_map(load).collect()
}

#[test]
fn a_chapter_is_trained_then_handed_on() {
    let asked = asked(Fault::Nothing);
    let lowest = asked.iter().filter_map(|output| {
        if let Output::Refresh { shard: ShardId(0), step, .. } = *output {
            return Some((step, true));
        }
        let Output::Train { shard: ShardId(0), step, emit, .. } = *output else { return None };
        Some((step, emit))
    });
    let half = |from| [(from, false), (from + 1, false), (from, true), (from + 1, true)];
    assert_eq!(lowest.collect::<Vec<_>>(), [half(0), half(2), half(4), half(6)].concat());
    let top = |output: &Output| matches!(output, Output::Refresh { shard: ShardId(2), .. });
    assert!(!asked.iter().any(top), "nobody reads the feedback shard");
}

#[test]
fn tables_come_after_their_delay_and_the_last_one_ends_their_shard() {
    let asked = asked(Fault::Nothing);
    let tables = asked.iter().filter_map(|output| {
        let Output::Train { shard: ShardId(0), step, feedback, .. } = *output else { return None };
        Some((step, feedback))
    });
    let first = tables.clone().find(|(_, table)| table.is_some());
    let tables: Vec<_> = tables.filter_map(|(_, table)| table).collect();
    assert_eq!((first.map(|(step, _)| step), tables.len()), (Some(4), 4));
    assert!(tables[0] == tables[1] && tables[1] != tables[2] && tables[2] == tables[3]);
    let beyond =
        |output: &Output| matches!(output, Output::Train { shard: ShardId(2), step: 4.., .. });
    assert!(!asked.iter().any(beyond), "nobody reads a table after four steps");
}

#[test]
fn a_shard_that_cannot_hand_on_its_chapter_trains_it_again() {
    let third =
        |output: &Output| matches!(output, Output::Refresh { shard: ShardId(0), step: 3, .. });
    assert_eq!(loads(&asked(Fault::Refused(third))), [0, 2]);
}

#[test]
fn a_table_that_is_refused_is_made_again() {
    let first_with_a_table =
        |output: &Output| matches!(output, Output::Train { shard: ShardId(0), step: 4, .. });
    let asked = asked(Fault::Refused(first_with_a_table));
    let makes =
        |output: &&Output| matches!(output, Output::Train { shard: ShardId(2), step: 1, .. });
    // The shards below go back with the feedback shard, for its batches.
    assert_eq!((asked.iter().filter(makes).count(), loads(&asked)), (2, vec![0, 0]));
}

/// Shard and step of each merge in these.
fn merges(asked: &[Output]) -> Vec<(u16, u64)> {
    let merge = |output: &Output| {
        let Output::Merge { shard, step, .. } = output else { return None };
        Some((shard.0, *step))
    };
    asked.iter().filter_map(merge).collect()
}

/// The trainer's requests of a peer alone, two branches a chapter.
fn asked_of_branches(fault: Fault) -> Vec<Output> {
    Alone::run(&merged(chain(2, 8, 4), 2), fault).asked
}

#[test]
fn a_change_is_told_to_all_when_its_branch_ends() {
    let plan = merged(chain(1, 8, 4), 2);
    let mut state = State::new(ME, Role::Worker, plan, Config::default(), Time(0));
    let mut said = Vec::new();
    for turn in 0..100 {
        let mut inputs = VecDeque::from([Input::Wakeup]);
        while let Some(input) = inputs.pop_front() {
            for output in state.handle(input, Time(turn * 100)) {
                inputs.extend(answer(&output));
                if let Output::Broadcast(Message::Changes(list)) = output {
                    said.extend(list);
                }
            }
        }
    }
    let made = |branch, end| {
        let blob = checkpoint(0, end).blob;
        Change { blob, by: ME, ..change(0, 0, Some(branch)) }
    };
    assert_eq!(said, [made(0, 2), made(1, 4)]);
}

#[test]
fn every_chapter_of_every_shard_is_merged_once() {
    let asked = asked_of_branches(Fault::Nothing);
    let mut all = merges(&asked);
    all.sort_unstable();
    assert_eq!(all, [(0, 4), (0, 8), (1, 4), (1, 8)]);
    let starts = |output: &Output| {
        let Output::Merge { start, from, parts: Parts::Branches(changes), .. } = output else {
            return None;
        };
        assert_eq!(start.is_some(), *from > 0);
        Some((start.is_some(), changes.len()))
    };
    let starts: Vec<_> = asked.iter().filter_map(starts).collect();
    assert_eq!(starts, [(false, 2), (false, 2), (true, 2), (true, 2)]);
}

#[test]
fn a_change_or_a_start_that_cannot_be_merged_is_made_again() {
    let first =
        |output: &Output| matches!(output, Output::Merge { shard: ShardId(0), step: 4, .. });
    let second =
        |output: &Output| matches!(output, Output::Merge { shard: ShardId(0), step: 8, .. });
    for refuses in [first, second] {
        let all = merges(&asked_of_branches(Fault::Refused(refuses)));
        let again = all.iter().filter(|it| it.0 == 0 && it.1 == 4).count();
        assert!(again >= 1 && all.contains(&(1, 8)), "{all:?}");
    }
}
