//! Forecasts that rehearsals must give.
//!
//! Rule: each checks what a user would decide by; none waits for real time.

use super::*;
use crate::{data::Data, ff::Delta, spec::Placement};

/// Four layers of two shards, and machines of 100 GFLOP/s.
fn rehearsal(placement: Placement, link: &str) -> Rehearsal {
    let settings = Spec::builder().layers([784, 1500, 1500, 1500, 1500]).epochs(40).shards(2);
    let settings = settings.delta(Delta::F32);
    let data = Data::open("digits:20000+100").unwrap();
    let checked = settings.placement(placement).check(data).unwrap();
    let costs = CostModel::default_for(&checked.spec.network, checked.data.is_drawn());
    let link = link.parse().unwrap();
    Rehearsal { chapters: Some(16), ..Rehearsal::new(&checked, costs, vec![100.0], link) }
}

#[test]
fn four_equal_machines_on_a_lan_are_nearly_four_times_as_fast() {
    let rehearsal = rehearsal(Placement::AllLayers, "lan");
    let found = rehearsal.predict(4).unwrap();
    assert!((3.5..=4.0).contains(&found.speed_up()), "{found:?}");
    assert_eq!((found.busy, found.chapters), (4, 40));
    assert_eq!(rehearsal.predict(4), Ok(found));
    let alone = rehearsal.predict(1).unwrap();
    assert!((0.9..=1.0).contains(&alone.speed_up()), "{alone:?}");
}

#[test]
fn a_narrow_link_and_crashes_cost_speed() {
    for placement in [Placement::AllLayers, Placement::SingleLayer] {
        let speed_up = |link| rehearsal(placement, link).predict(4).unwrap().speed_up();
        let (lan, narrow) = (speed_up("lan"), speed_up("20/3"));
        assert!(narrow < 0.8 * lan, "{placement:?}: {narrow} of {lan}");
    }
    let mut rehearsal = rehearsal(Placement::AllLayers, "lan");
    let quiet = rehearsal.predict(4).unwrap();
    rehearsal.churn = Churn { per_hour: 40.0 };
    let crashing = rehearsal.predict(4).unwrap();
    assert!(crashing.crashes > 0 && crashing.again > 0.0, "{crashing:?}");
    assert!(crashing.speed_up() < quiet.speed_up(), "{crashing:?}");
}

#[test]
fn one_more_machine_speeds_a_run_up_and_hardly_stops_it() {
    let mut rehearsal = rehearsal(Placement::SingleLayer, "lan");
    let network = &mut rehearsal.spec.network;
    (network.layers, network.shards_per_layer) = (vec![784, 1600, 1600, 1600, 1600], 8);
    (network.batch_size, network.steps_per_epoch) = (250, 80);
    network.steps = 6 * network.steps_per_epoch;
    (rehearsal.spec.chapter_steps, rehearsal.joins, rehearsal.gflops) = (80, Some(33), vec![15.0]);
    (rehearsal.costs, rehearsal.chapters) =
        (CostModel::default_for(&rehearsal.spec.network, true), None);
    let mut found = Vec::new();
    for seed in 1..=3 {
        rehearsal.seed = seed;
        found.push(rehearsal.predict(5).unwrap().newcomer.unwrap());
    }
    let mean = |of: fn(&Newcomer) -> f64| found.iter().map(of).sum::<f64>() / 3.0;
    let is_good = mean(|it| it.slow_seconds) <= 2.5 && mean(|it| it.later) > 1.1;
    assert!(is_good, "{found:?}");
}

#[test]
fn scoring_hardly_slows_a_run_down() {
    let speed_up = |scored: u32| {
        let mut rehearsal = rehearsal(Placement::SingleLayer, "lan");
        let network = &mut rehearsal.spec.network;
        (network.layers, network.shards_per_layer) = (vec![784, 800, 800, 800, 800], 8);
        (network.batch_size, network.steps_per_epoch) = (250, 240);
        network.steps = 6 * network.steps_per_epoch;
        (rehearsal.spec.chapter_steps, rehearsal.gflops) = (80, vec![15.0]);
        rehearsal.costs = CostModel::default_for(&rehearsal.spec.network, true);
        (rehearsal.train_samples, rehearsal.test_samples) = (60_000, scored);
        rehearsal.chapters = Some(6);
        rehearsal.predict(4).unwrap().speed_up()
    };
    let (with, without) = (speed_up(2_000), speed_up(100));
    assert!(with > 0.95 * without, "{with} with scores, {without} without");
}

#[test]
fn what_many_say_of_themselves_can_be_too_much() {
    let rehearsal = rehearsal(Placement::AllLayers, "1/1");
    assert!(rehearsal.predict(MAX_NODES).is_err_and(|why| why == StalledError::Heartbeats));
}
