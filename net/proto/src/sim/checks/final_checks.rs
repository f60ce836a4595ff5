//! The checks once a healed world is done.
//!
//! Rule: no node that stays is left without the model, and the model is the sequential run's.

use crate::Hash;
use crate::sim::machine::node::Node;
use crate::sim::stage::Stage;

/// Checkpoints of one shard that a node may hold when all is done: the last one, and those of the
/// epochs that still wait to be scored.
const LAST_BLOBS_PER_SHARD: usize = 9;

/// Whether every node that was asked to leave has ended and every other one has the model and the
/// last score.
pub(crate) fn is_settled(stage: &Stage) -> bool {
    let goes = stage.scenario.config.exit_when_done;
    let mut honest = stage.nodes.living().filter(|node| !lies(stage, node));
    honest.all(|node| !goes && node.leaving.is_none() && has_all(stage, node))
}

/// Whether a node lies; its end does not matter.
pub(crate) fn lies(stage: &Stage, node: &Node) -> bool {
    stage.facts.liars.contains(&node.id)
}

/// Whether a node has the model and the last epoch's score.
fn has_all(stage: &Stage, node: &Node) -> bool {
    node.complete.is_some() && node.scores.contains_key(&stage.scenario.plan.epochs())
}

/// Checks that a node which finishes was asked to, or shall once the run is done.
pub(crate) fn may_finish(stage: &Stage, node: usize) -> Result<(), String> {
    if stage.nodes[node].leaving.is_none() && !stage.scenario.config.exit_when_done {
        return Err("a node finished that nobody asked to".to_owned());
    }
    Ok(())
}

/// Checks that the nodes that are left, and those that ended because the run was done, have the
/// right model and no more blobs than they need.
pub(crate) fn check(stage: &Stage) -> Result<(), String> {
    let model = model(stage);
    let most = LAST_BLOBS_PER_SHARD * stage.scenario.plan.shard_count();
    for node in stage.nodes.iter().filter(|node| !lies(stage, node)) {
        let must = (node.alive && node.leaving.is_none()) || node.is_done;
        if must && node.complete != model {
            return Err(format!("{} does not have the model", node.id));
        }
        let kept = node.store.len();
        if kept > most {
            return Err(format!("{} still has {kept} blobs, not {most}", node.id));
        }
    }
    Ok(())
}

/// The model of the nodes that are left: the sequential run's, where there is one.
pub(crate) fn model(stage: &Stage) -> Option<Vec<Hash>> {
    let honest = || stage.nodes.iter().filter(|node| !lies(stage, node));
    let stay = honest().filter(|node| node.alive && node.leaving.is_none());
    let model = stay.chain(honest().filter(|node| node.is_done));
    let model = model.into_iter().find_map(|node| node.complete.clone());
    model.filter(|found| stage.facts.is(found, |run| Some(run.finals())))
}
