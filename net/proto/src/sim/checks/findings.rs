//! Findings about a whole world, from the views of its nodes.
//!
//! Rule: they are for reports and for the message of a failure; nothing is checked.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::sim::checks::final_checks::lies;
use crate::sim::machine::node::Node;
use crate::sim::report::Trained;
use crate::sim::stage::Stage;
use crate::{NodeId, ShardView};

/// The machine that trained each cell, as all nodes had it on record: those that are left know better
/// than those that ended.
pub(crate) fn ledger(stage: &Stage) -> Vec<Trained> {
    let machine = |id: NodeId| stage.nodes.number(id).map(|node| stage.nodes[node].machine);
    let honest = stage.nodes.iter().filter(|node| !lies(stage, node));
    let (alive, ended): (Vec<&Node>, Vec<&Node>) = honest.partition(|node| node.alive);
    let mut trainers = BTreeMap::new();
    for node in ended.iter().chain(&alive) {
        for span in node.state.snapshot().provenance {
            let cells = (span.first..=span.last).map(|chapter| (span.shard, chapter));
            trainers.extend(cells.zip(std::iter::repeat(span.by)));
        }
    }
    let cells = trainers.into_iter();
    cells.filter_map(|((shard, chapter), by)| Some((shard, chapter, machine(by)?))).collect()
}

/// Epochs of which any node ever knew the score.
pub(crate) fn scored(stage: &Stage) -> u64 {
    let epochs = 1..=stage.scenario.plan.epochs();
    let known = |epoch: &u64| stage.nodes.iter().any(|node| node.scores.contains_key(epoch));
    epochs.filter(known).count() as u64
}

/// Leases that were given, over all shards.
pub(crate) fn terms(stage: &Stage) -> u64 {
    let last = |shard: &ShardView| shard.owner.map_or(0, |(_, term)| term.0);
    let known = |node: &Node| node.state.snapshot().shards.iter().map(last).sum();
    stage.nodes.iter().map(known).max().unwrap_or(0)
}

/// The progress of `done` out of `steps` steps and the state of every node, in words.
pub(crate) fn situation(stage: &Stage, done: u64, steps: u64) -> String {
    let (scored, epochs) = (scored(stage), stage.scenario.plan.epochs());
    let mut text = format!("{done} of {steps} steps done, {scored} of {epochs} epochs scored");
    for node in stage.nodes.living() {
        let shards = node.state.snapshot().shards;
        let done: Vec<String> = shards.iter().map(|shard| shard.done.to_string()).collect();
        let own = shards.iter().filter(|shard| shard.owner.is_some_and(|it| it.0 == node.id));
        let own: Vec<String> = own.map(|shard| shard.shard.to_string()).collect();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "; m{} {}{}: done {}, owns {}, complete {}",
            node.machine,
            node.id,
            if node.leaving.is_some() { " leaving" } else { "" },
            done.join(" "),
            own.join(" "),
            node.complete.is_some(),
        );
    }
    text
}
