//! The work of all trainers: jobs that begin, are lost or are done, and a record of their steps.
//!
//! Rule: a job takes time, and only the first training of a cell's step counts as progress.

use std::collections::BTreeSet;

use crate::sim::events::Event;
use crate::sim::machine::job::{reads_of, undone};
use crate::sim::machine::node::Node;
use crate::sim::stage::Stage;
use crate::{Hash, Input, Output, ShardId};

/// The steps that were trained.
#[derive(Debug, Default)]
pub(crate) struct Training {
    /// Cells' steps that were done by any node.
    cells: BTreeSet<(ShardId, u64)>,
    /// Machines that trained any.
    busy: BTreeSet<usize>,
    /// Steps trained, the repeated ones included.
    trained: u64,
}

/// The results of a job.
#[derive(Debug)]
pub(crate) struct JobDone {
    /// Inputs for the decisions.
    pub(crate) inputs: Vec<Input>,
    /// The shard that made a step that no node had done before.
    pub(crate) progress: Option<ShardId>,
}

impl Training {
    /// Different steps that were done.
    pub(crate) fn steps(&self) -> u64 {
        self.cells.len() as u64
    }

    /// Steps trained, the repeated ones included.
    pub(crate) fn trained(&self) -> u64 {
        self.trained
    }

    /// Machines that trained any.
    pub(crate) fn busy(&self) -> usize {
        self.busy.len()
    }

    /// The current job of a node's trainer may be done; it is not where it was delayed meanwhile.
    ///
    /// # Errors
    /// If it could not read a blob that was not lost.
    pub(crate) fn job_done(
        &mut self,
        stage: &mut Stage,
        node: usize,
    ) -> Result<Option<JobDone>, String> {
        if let Some(us) = stage.nodes[node].trainer.delayed() {
            stage.events.push(stage.now().after_us(us), Event::JobDone { node });
            return Ok(None);
        }
        let Node { trainer, store, id, .. } = &mut stage.nodes[node];
        let finished =
            trainer.finish(&stage.facts.plan, store).map_err(|rule| format!("{id}: {rule}"))?;
        begin_job(stage, node);
        if let Some((record, answer)) = stage.facts.made.as_mut().zip(finished.answer.as_ref()) {
            record.note(answer);
        }
        let mut progress = None;
        if let Some(cell) = finished.cell {
            self.trained += 1;
            self.busy.insert(stage.nodes[node].machine);
            progress = self.cells.insert(cell).then_some(cell.0);
        }
        let inputs = finished.answer.into_iter().chain(finished.speed).collect();
        Ok(Some(JobDone { inputs, progress }))
    }
}

/// Hands a job to a node's trainer, unless a blob turns out to be lost that it reads.
pub(crate) fn begin(stage: &mut Stage, node: usize, job: Output) {
    if !reads_in_vain(stage, node, &job) && stage.nodes[node].trainer.push(job) {
        begin_job(stage, node);
    }
}

fn begin_job(stage: &mut Stage, node: usize) {
    if let Some(us) = stage.nodes[node].trainer.begin(&stage.facts.plan) {
        stage.events.push(stage.now().after_us(us), Event::JobDone { node });
    }
}

/// Has a node's trainer score an epoch, unless one of its checkpoints is forged or turns out to be
/// lost. Returns what the decisions learn at once.
///
/// # Errors
/// If the trainer could not read a blob that was not lost.
pub(crate) fn score(
    stage: &mut Stage,
    node: usize,
    epoch: u64,
    checkpoints: Vec<Hash>,
) -> Result<Option<Input>, String> {
    let step = stage.facts.plan.epoch_end(epoch);
    let is_forged = refuse_forged(stage, node, step, &checkpoints);
    let job = Output::Evaluate { epoch, checkpoints };
    if is_forged {
        undone(&job).into_iter().for_each(|answer| stage.push_input(node, answer));
        return Ok(None);
    }
    if reads_in_vain(stage, node, &job) {
        return Ok(None);
    }
    stage.nodes[node].trainer.score(job);
    score_on(stage, node)
}

/// Continues scoring for a slice of time; returns the score once all is scored.
///
/// # Errors
/// If the trainer could not read a blob that was not lost.
pub(crate) fn score_on(stage: &mut Stage, node: usize) -> Result<Option<Input>, String> {
    if let Some(us) = stage.nodes[node].trainer.score_on() {
        stage.events.push(stage.now().after_us(us), Event::ScoringSlice { node });
        return Ok(None);
    }
    let Node { trainer, store, id, .. } = &mut stage.nodes[node];
    trainer.scored(store).map_err(|rule| format!("{id}: {rule}"))
}

/// Has a node find the forged ones among the checkpoints of a model, which it reads all; returns
/// whether there were any.
pub(crate) fn refuse_forged(
    stage: &mut Stage,
    node: usize,
    step: u64,
    checkpoints: &[Hash],
) -> bool {
    let shards = stage.facts.plan.model_shards().zip(checkpoints);
    let is_forged = |found: &(ShardId, &Hash)| stage.facts.junk.contains(found.1);
    let forged: Vec<ShardId> = shards.filter(is_forged).map(|(shard, _)| shard).collect();
    for &shard in &forged {
        stage.push_input(node, Input::Unusable { shard, step });
    }
    !forged.is_empty()
}

/// Draws whether a blob turns out to be lost that a job reads; if so, the job is not done.
fn reads_in_vain(stage: &mut Stage, node: usize, job: &Output) -> bool {
    let lost = reads_of(job).into_iter().find(|_| stage.draws_loss());
    let Some((hash, undone)) = lost.zip(undone(job)) else { return false };
    stage.lose(node, hash);
    stage.push_input(node, undone);
    true
}
