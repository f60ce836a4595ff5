//! Who shall own what: claims of what nobody owns, hand-overs for balance, the order of chapters.
//!
//! Rule: a task without a living owner is taken, with the next term, by the peer that all who know
//! the same name; a task with one is only ever given away by that owner. What an assignment rests on
//! has a version, and it is computed again when that changes.

pub(crate) mod assignment;
pub(crate) mod balancing;
pub(crate) mod candidates;
pub(crate) mod chapter_order;
pub(crate) mod claiming;
pub(crate) mod leases;

use std::collections::BTreeSet;

use crate::known::Known;
use crate::outbox::Outbox;
use crate::{MAX_TRAIN_IN_FLIGHT, NodeId, ShardId};
use assignment::Assignment;
use balancing::Balancing;
use chapter_order::ChapterOrder;
use claiming::Claiming;

/// The duty to take and give away tasks.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    assignment: Assignment,
    claiming: Claiming,
    balancing: Balancing,
    chapters: ChapterOrder,
    moves: BTreeSet<(ShardId, u64)>,
}

impl Placement {
    /// Takes what is this peer's to take, or gives away what is better elsewhere.
    pub(crate) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        if known.plan().is_by_chapter() {
            return self.chapters.settle(known, out);
        }
        let margin = match self.balancing.is_balancing(known) {
            true => 0,
            false => known.config().margin_percent,
        };
        let assigned = &mut self.assignment;
        let claims = self.claiming.settle(known, || assigned.look(known, margin), out);
        let gives =
            !claims && self.balancing.settle(known, self.assignment.look(known, margin), out);
        // After a hand-over, who shall have what is looked at again before anything waits for it.
        self.moves = if gives { BTreeSet::new() } else { self.moves_soon(known, margin) };
    }

    /// Own shards and the next steps at which they would be given away.
    fn moves_soon(&mut self, known: &Known, margin: u64) -> BTreeSet<(ShardId, u64)> {
        let plan = known.plan();
        let assigned = self.assignment.look(known, margin);
        let mut moves = BTreeSet::new();
        for job in known.own().jobs() {
            let Some(target) = assigned.owner(job.shard) else { continue };
            let soon = job.next..=job.next.saturating_add(MAX_TRAIN_IN_FLIGHT as u64);
            let ends = soon.filter(|step| plan.is_boundary(*step));
            let gives = ends.filter(|step| {
                self.balancing.should_give(known, assigned, (job.shard, target), *step)
            });
            moves.extend(gives.map(|step| (job.shard, step)));
        }
        moves
    }

    /// An owner fell silent, or somebody who was none.
    pub(crate) fn lost(&mut self, peer: NodeId, known: &Known) {
        self.balancing.lost(peer, known);
    }

    /// Own shards, and the steps at which each will be given away instead of trained.
    pub(crate) fn view(&self) -> BTreeSet<(ShardId, u64)> {
        self.moves.clone()
    }
}
