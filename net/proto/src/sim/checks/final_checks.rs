//! Whether a healed world has done what it was there for.
//!
//! Rule: nobody who stays is left without the model, and the model is the sequential run's.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::sim::machine::node::Node;
use crate::sim::{Trained, World};
use crate::{Hash, NodeId};

/// Checkpoints of one shard that a node may hold when all is done: the last one, and those of the
/// epochs that still wait for somebody's turn to score them.
const LAST_BLOBS_PER_SHARD: usize = 9;

impl World {
    /// Whether everybody who was asked to go is gone and everybody else has all there is to have.
    pub(crate) fn is_settled(&self) -> bool {
        let goes = self.scenario.config.exit_when_done;
        let mut honest = self.living().filter(|node| !self.lies(node));
        honest.all(|node| !goes && node.leaving.is_none() && self.has_all(node))
    }

    /// What becomes of a node that lies is its own affair.
    fn lies(&self, node: &Node) -> bool {
        self.facts.liars.contains(&node.id)
    }

    fn living(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.alive)
    }

    /// Whether a node has the model and the last epoch's score.
    fn has_all(&self, node: &Node) -> bool {
        node.complete.is_some() && node.scores.contains_key(&self.scenario.plan.epochs())
    }

    /// Whether the nodes that are left, and those that ended by themselves, have the right model.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        let model = self.model();
        for node in self.nodes.iter().filter(|node| !self.lies(node)) {
            let must = (node.alive && node.leaving.is_none()) || node.is_done;
            if must && node.complete != model {
                return Err(format!("{} does not have the model", node.id));
            }
            let (kept, most) =
                (node.store.len(), LAST_BLOBS_PER_SHARD * self.scenario.plan.shard_count());
            if kept > most {
                return Err(format!("{} still has {kept} blobs, not {most}", node.id));
            }
        }
        Ok(())
    }

    /// The model of the nodes that are left: the sequential run's, where there is one.
    pub(crate) fn model(&self) -> Option<Vec<Hash>> {
        let honest = self.living().filter(|node| !self.lies(node) && node.leaving.is_none());
        let ended = self.nodes.iter().filter(|node| node.is_done && !self.lies(node));
        let model = honest.chain(ended).find_map(|node| node.complete.clone());
        model.filter(|found| self.facts.is(found, |run| Some(run.finals())))
    }

    /// Who trained which chapter, as all nodes had it on record: those that are left know better
    /// than those that ended.
    pub(crate) fn ledger(&self) -> Vec<Trained> {
        let machine = |id: NodeId| self.by_id.get(&id).map(|&node| self.nodes[node].machine);
        let honest = self.nodes.iter().filter(|it| !self.lies(it));
        let (alive, ended): (Vec<&Node>, Vec<&Node>) = honest.partition(|it| it.alive);
        let mut trainers = BTreeMap::new();
        for node in ended.iter().chain(&alive) {
            for span in node.state.snapshot().ledger {
                let cells = (span.first..=span.last).map(|chapter| (span.shard, chapter));
                trainers.extend(cells.zip(std::iter::repeat(span.by)));
            }
        }
        let cells = trainers.into_iter();
        cells.filter_map(|((shard, chapter), by)| Some((shard, chapter, machine(by)?))).collect()
    }

    /// Epochs of which anybody ever knew the score.
    pub(crate) fn scored(&self) -> u64 {
        let epochs = 1..=self.scenario.plan.epochs();
        let known = |epoch: &u64| self.nodes.iter().any(|node| node.scores.contains_key(epoch));
        epochs.filter(known).count() as u64
    }

    /// Leases that were given out, over all shards.
    pub(crate) fn terms(&self) -> u64 {
        let last = |shard: &crate::ShardView| shard.owner.map_or(0, |(_, term)| term.0);
        let known = |node: &Node| node.state.snapshot().shards.iter().map(last).sum();
        self.nodes.iter().map(known).max().unwrap_or(0)
    }

    /// Who is where, for the message of a failure.
    pub(crate) fn situation(&self) -> String {
        let mut text = format!(
            "{} of {} steps done, {} of {} epochs scored",
            self.cells.len(),
            self.all,
            self.scored(),
            self.scenario.plan.epochs()
        );
        for node in self.living() {
            let snapshot = node.state.snapshot();
            let shards: Vec<String> =
                snapshot.shards.iter().map(|shard| shard.done.to_string()).collect();
            let own =
                snapshot.shards.iter().filter(|shard| shard.owner.is_some_and(|o| o.0 == node.id));
            let own: Vec<String> = own.map(|shard| shard.shard.to_string()).collect();
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "; m{} {}{}: done {}, owns {}, complete {}",
                node.machine,
                node.id,
                if node.leaving.is_some() { " leaving" } else { "" },
                shards.join(" "),
                own.join(" "),
                node.complete.is_some(),
            );
        }
        text
    }
}
