//! Chapters that are handed on at their end, and tables that are read some chapters later.

use super::alone::{Alone, Fault};
use crate::testing::{chain, with_feedback};
use crate::{Output, Plan, ShardId};

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
