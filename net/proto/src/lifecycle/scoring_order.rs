//! Who scores an epoch.
//!
//! Rule: the one with least to do, because the others wait for whoever has most; all who know the same
//! name the same peer.

use std::cmp::Reverse;

use crate::known::Known;
use crate::placement::assignment::time;
use crate::{Hash, NodeId, ShardId, Task};

/// A place in the order of those that could score an epoch; the smallest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// 0 for a peer that scores it already, 1 for one that scores nothing, 2 for one with another.
    readiness: u8,
    /// Whether it has to fetch what it scores.
    fetches: bool,
    /// How long its share of a step takes.
    busy: u64,
    speed: Reverse<u64>,
    rank: Hash,
}

/// The number of workers that shall score `epoch` before this peer.
pub(crate) fn turn_to_score(known: &Known, epoch: u64) -> u64 {
    let place = places(known, epoch);
    let mine = place(known.me(), known.own().speed, 0);
    let others = known.members().workers();
    let others = others.map(|(id, it)| place(id, it.speed, it.evaluating));
    others.filter(|other| *other < mine).count() as u64
}

/// The peer that shall score the epoch that ends at `step` and has no score yet, as things stand.
pub(crate) fn scorer_at(known: &Known, step: u64) -> Option<NodeId> {
    let mut epochs = known.plan().epochs_ending(step);
    let epoch = epochs.find(|epoch| !known.scores().contains_key(epoch))?;
    let place = places(known, epoch);
    let own = known.own();
    let scores = own.scoring.evaluating.unwrap_or(0);
    let mine = (place(known.me(), own.speed, scores), known.me());
    let others = known.members().workers();
    let others = others.map(|(id, it)| (place(id, it.speed, it.evaluating), id));
    others.chain([mine]).min().map(|(_, id)| id)
}

/// The place of a peer of some speed, which scores an epoch (0: none) now, among those that could
/// score `epoch`. A peer that scores another one comes last. One that has made all of it need fetch
/// nothing; then those with less to do. After the last epoch, for which nobody trains, the faster ones.
fn places(known: &Known, epoch: u64) -> impl Fn(NodeId, u64, u64) -> Place {
    let plan = known.plan();
    let is_last = epoch == plan.epochs();
    let open = known.open_chapters();
    let chapter = plan.chapter_of(plan.epoch_end(epoch).saturating_sub(1));
    let maker = known.leases().owner(Task::chapter(chapter));
    move |id, speed, scores| {
        let readiness = match scores {
            at if at == epoch => 0,
            0 => 1,
            _ => 2,
        };
        let busy = if is_last { 0 } else { time(known.work_of(id, &open), speed) };
        let rank = ShardId(epoch as u16).rank_of(id);
        Place { readiness, fetches: maker != Some(id), busy, speed: Reverse(speed), rank }
    }
}
