//! Machines that lie, and stores that lose what they held.
//!
//! Rule: wrong bytes and false messages cost time and nothing else.

use ffp2p_proto::sim::{Fault, Scenario, When};

use crate::support::{again, draws, each};

#[test]
fn a_liar_changes_nothing() {
    each("a_liar_changes_nothing", 100, |seed| {
        let rng = &mut draws(seed);
        let workers = rng.between(2, 5);
        let mut scenario = Scenario::drawn(seed, workers as usize);
        scenario.machines[rng.below(workers) as usize].lies = true;
        scenario.then(When::Done(rng.between(200, 1_000)), Fault::Heal)
    });
}

/// A liar announces states of other steps, which only reading them tells from the right ones.
#[test]
fn a_forged_checkpoint_is_found_out() {
    each("a_forged_checkpoint_is_found_out", 100, |seed| {
        let rng = &mut draws(seed);
        let workers = rng.between(2, 5);
        let mut scenario = Scenario::drawn(seed, workers as usize);
        scenario.machines[rng.below(workers) as usize].lies = true;
        scenario.forgeries = rng.between(1, 4);
        scenario.then(When::Done(rng.between(200, 1_000)), Fault::Heal)
    });
}

/// Stores lose blobs that trainers, scorers and other peers are about to read.
#[test]
fn lost_blobs_are_fetched_or_made_again() {
    let runs = each("lost_blobs_are_fetched_or_made_again", 100, |seed| {
        let rng = &mut draws(seed);
        let workers = rng.between(1, 5) as usize;
        let mut scenario = Scenario::drawn(seed, workers);
        scenario.lost = rng.between(1, 6);
        scenario.then(When::Done(rng.between(300, 1_000)), Fault::Heal)
    });
    assert!(!runs.is_sample() || runs.sum(again) > 0, "nothing was lost");
}
