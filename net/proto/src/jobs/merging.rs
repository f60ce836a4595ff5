//! Merging: the checkpoint of a chapter's end, made of what its branches changed.
//!
//! Rule: one peer merges and tells the others the mean, which is as short as one change; from that and
//! an earlier checkpoint each makes the same bytes for itself, also of several chapters at once. If
//! the peer whose turn it is does not merge, all do that can.

use std::collections::{BTreeMap, BTreeSet};

use crate::known::Known;
use crate::outbox::{Fact, Outbox};
use crate::{BlobRef, Change, Checkpoint, Hash, Merge, NodeId, Output, Parts, Role, ShardId, Time};

/// A shard and a chapter.
type Cell = (u64, ShardId);

/// A merge that the trainer has not answered.
#[derive(Debug)]
struct Open {
    /// The blobs that it reads, held.
    reads: Vec<Hash>,
    /// Steps done where it starts.
    from: u64,
    /// The means that it is made of; none where it is made of branches.
    means: Vec<Hash>,
    /// The peer that merged first, and the mean loss, in millionths.
    credit: (NodeId, u64),
}

/// The duty to merge.
#[derive(Debug, Default)]
pub(super) struct Merging {
    open: BTreeMap<Cell, Open>,
    /// Since when the branches of a chapter could be merged.
    since: BTreeMap<Cell, Time>,
}

impl Merging {
    /// Hands to the trainer what can be merged and is this peer's to merge.
    pub(super) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        let cells = mergeable(known);
        self.since.retain(|cell, _| cells.contains(cell));
        for &(chapter, shard) in &cells {
            self.since.entry((chapter, shard)).or_insert(known.now());
            let start = known.plan().chapter_start(chapter);
            if start == 0 || known.holds(shard, start) {
                self.merge_branches((chapter, shard), known, out);
            }
        }
    }

    /// Hands the routes to the trainer whose means are all here.
    pub(super) fn follow(&mut self, known: &Known, out: &mut Outbox) {
        for &(shard, step) in &known.own().routes {
            self.follow_means((known.plan().chapter_ending(step), shard), known, out);
        }
    }

    /// Merges the branches of a chapter, if what all of them changed is here.
    fn merge_branches(&mut self, (chapter, shard): Cell, known: &Known, out: &mut Outbox) {
        let held = |branch| held(known, (chapter, shard), Some(branch));
        let all = (0..known.plan().branches_of(chapter)).map(held).collect::<Option<Vec<Change>>>();
        let Some(changes) = all else { return };
        let losses = changes.iter().fold(0, |sum: u64, it| sum.saturating_add(it.loss_micro));
        let credit = (known.me(), losses / changes.len().max(1) as u64);
        let parts = Parts::Branches(changes.iter().map(|it| it.blob.hash).collect());
        let from = known.plan().chapter_start(chapter);
        self.begin((chapter, shard), (from, parts), credit, known, out);
    }

    /// Makes a later checkpoint of the last one that is here, and of the means since.
    fn follow_means(&mut self, (chapter, shard): Cell, known: &Known, out: &mut Outbox) {
        let step = known.plan().chapter_start(chapter + 1);
        let Some((from, chapters)) = known.route(shard, step, u64::MAX) else { return };
        let means = chapters.map(|it| held(known, (it, shard), None));
        let Some(means) = means.collect::<Option<Vec<Change>>>() else { return };
        let Some(credit) = means.last().map(|it| (it.by, it.loss_micro)) else { return };
        let parts = Parts::Means(means.iter().map(|it| it.blob.hash).collect());
        self.begin((chapter, shard), (from, parts), credit, known, out);
    }

    fn begin(
        &mut self,
        (chapter, shard): Cell,
        (from, parts): (u64, Parts),
        credit: (NodeId, u64),
        known: &Known,
        out: &mut Outbox,
    ) {
        let step = known.plan().chapter_start(chapter + 1);
        if known.holds(shard, step) || self.open.contains_key(&(chapter, shard)) {
            return;
        }
        let start = known.checkpoints().at(shard, from).filter(|_| from > 0);
        let start = start.map(|entry| entry.checkpoint.blob.hash);
        let reads: Vec<Hash> = parts.hashes().iter().copied().chain(start).collect();
        reads.iter().for_each(|hash| out.hold(*hash));
        let means = if let Parts::Means(means) = &parts { means.clone() } else { Vec::new() };
        self.open.insert((chapter, shard), Open { reads, from, means, credit });
        out.push(Output::Merge { shard, step, from, start, parts });
    }

    /// The trainer has answered.
    pub(super) fn merged(
        &mut self,
        (shard, step): (ShardId, u64),
        outcome: Merge,
        known: &Known,
        out: &mut Outbox,
    ) {
        let chapter = known.plan().chapter_ending(step);
        let Some(open) = self.open.remove(&(chapter, shard)) else { return };
        match outcome {
            Merge::Made { checkpoint, mean } => {
                out.hold(checkpoint.hash);
                out.hold(mean.hash);
                made(known, (chapter, shard), (checkpoint, mean), &open, out);
            }
            Merge::Refused(Some(bad)) => {
                let start = known.checkpoints().at(shard, open.from);
                let is_start = start.is_some_and(|entry| entry.checkpoint.blob.hash == bad);
                let fact = Fact::Unreadable(shard, open.from);
                out.fact(if is_start { fact } else { Fact::FalseChange(bad) });
            }
            Merge::Refused(None) => {}
        }
        open.reads.into_iter().for_each(|hash| out.release(hash));
    }

    /// The store lost a blob: what reads it will be answered as not done.
    pub(super) fn lost(&mut self, hash: Hash, out: &mut Outbox) {
        for open in self.open.values_mut() {
            let before = open.reads.len();
            open.reads.retain(|read| *read != hash);
            (open.reads.len()..before).for_each(|_| out.release(hash));
        }
    }

    /// What this peer lacks of the cells that it has to merge, each with a peer that has it, the lowest
    /// chapters first.
    pub(super) fn wanted(&self, known: &Known) -> Vec<(BlobRef, NodeId)> {
        let mut wanted = Vec::new();
        if !known.takes_work() {
            return wanted;
        }
        let mine = self.since.iter().filter(|(cell, since)| is_mine(**cell, **since, known));
        for (&(chapter, shard), _) in mine {
            let branches = (0..known.plan().branches_of(chapter)).map(Some);
            let entries = branches.filter_map(|it| known.changes().at(chapter, shard, it));
            let start = known.checkpoints().at(shard, known.plan().chapter_start(chapter));
            let start = start.map(|it| (it.checkpoint.blob, &it.holders));
            let all = start.into_iter().chain(entries.map(|it| (it.change.blob, &it.holders)));
            let lacking = all.filter(|(_, holders)| !holders.contains(&known.me()));
            wanted.extend(lacking.filter_map(|(blob, it)| Some((blob, *it.first()?))));
        }
        wanted
    }
}

/// The cells whose checkpoint exists nowhere and could be made: the checkpoint of the start and all changes
/// exist.
fn mergeable(known: &Known) -> BTreeSet<Cell> {
    let plan = known.plan();
    if !plan.merged || known.role() != Role::Worker {
        return BTreeSet::new();
    }
    let cells =
        known.near_chapters().flat_map(|chapter| plan.shards().map(move |shard| (chapter, shard)));
    let can = |&(chapter, shard): &Cell| {
        let (start, end) = (plan.chapter_start(chapter), plan.chapter_start(chapter + 1));
        let starts = start == 0 || known.checkpoints().at(shard, start).is_some();
        starts
            && known.checkpoints().at(shard, end).is_none()
            && known.is_all_changed(chapter, shard)
    };
    cells.filter(can).collect()
}

/// A change, if this peer holds it.
fn held(known: &Known, (chapter, shard): Cell, branch: Option<u16>) -> Option<Change> {
    let entry = known.changes().at(chapter, shard, branch)?;
    entry.holders.contains(&known.me()).then_some(entry.change)
}

/// Whether this peer merges a cell: it made the change that names the merger, or nobody has merged it
/// for so long that all may who hold the start, and then all: those could be unable to reach each other.
fn is_mine((chapter, shard): Cell, since: Time, known: &Known) -> bool {
    let (plan, start) = (known.plan(), known.plan().chapter_start(chapter));
    let holds_start = start == 0 || known.holds(shard, start);
    let merger = known.changes().at(chapter, shard, Some(plan.merging_branch(chapter, shard)));
    let merger = merger.map(|entry| entry.change.by);
    let waited = known.now().since(since) / known.config().silent_ms.max(1);
    let is_gone = merger.is_some_and(|it| !known.members().contains(it));
    holds_start && (merger == Some(known.me()) || is_gone || waited >= 1) || waited >= 2
}

/// The trainer has merged a cell; the store has the checkpoint and the mean, held.
fn made(
    known: &Known,
    (chapter, shard): Cell,
    (blob, mean): (BlobRef, BlobRef),
    open: &Open,
    out: &mut Outbox,
) {
    let (step, (by, loss_micro)) = (known.plan().chapter_start(chapter + 1), open.credit);
    let stands = known.checkpoints().at(shard, step).map(|entry| entry.checkpoint);
    if !open.means.is_empty() && stands.is_some_and(|stands| stands.blob != blob) {
        // One of them is false, and which one cannot be told from here: the checkpoint is fetched.
        open.means.iter().for_each(|mean| out.fact(Fact::FalseChange(*mean)));
        return [blob, mean].iter().for_each(|it| out.release(it.hash));
    }
    let mean = Change { shard, chapter, branch: None, blob: mean, by, loss_micro };
    let stands = stands.filter(|stands| stands.blob == blob);
    let checkpoint = stands.unwrap_or(Checkpoint { shard, step, blob, by, loss_micro });
    out.fact(Fact::Merged(checkpoint, mean));
}

#[cfg(test)]
#[path = "tests/merging.rs"]
mod tests;
