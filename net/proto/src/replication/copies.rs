//! Copies of checkpoints that must not be lost.
//!
//! Rule: the checkpoints that a shard would go on from are held by their maker and by the peers that
//! come first in an order that shard and peers fix. If somebody cannot reach any of the holders, one
//! peer that reaches both holds a copy, too.

use crate::known::Known;
use crate::known::checkpoints::Entry;
use crate::lifecycle::scoring_order::scorer_at;
use crate::{NodeId, Role, ShardId};

/// The checkpoints of which this peer should hold copies: the latest of each shard, and tables,
/// that have too few holders and have this peer among the first in the order that shard and peers
/// fix. Shards that could lose most come first.
pub(crate) fn copy_duties(known: &Known) -> Vec<(ShardId, u64)> {
    if known.role() != Role::Worker {
        return Vec::new();
    }
    let (wanted, takers) = (known.wanted_holders(), known.takers().collect::<Vec<NodeId>>());
    let anyone_cut = anyone_is_cut(known);
    let mine = worth_copies(known).filter(|entry| {
        // A peer that goes on from it gets it without being told to.
        let taker = known.taker_at(entry.checkpoint.step);
        let taker = taker.filter(|id| !entry.holders.contains(id));
        let holders = entry.holders.len() + usize::from(taker.is_some());
        !(anyone_cut && known.is_cut_off(&entry.holders))
            && is_among_first(known, entry, wanted.saturating_sub(holders), &takers, taker)
    });
    let mut mine: Vec<_> = mine.map(|it| (it.checkpoint.shard, it.checkpoint.step)).collect();
    let stable = |shard| known.checkpoints().stable(shard, wanted);
    mine.sort_by_cached_key(|&(shard, step)| (stable(shard), step, shard));
    mine
}

/// The checkpoints of which this peer should hold copies so that those who cannot reach their
/// makers reach them; for that, there is always room.
pub(crate) fn bridges(known: &Known) -> Vec<(ShardId, u64)> {
    if known.role() != Role::Worker || !anyone_is_cut(known) {
        return Vec::new();
    }
    let entries = worth_copies(known).chain(at_open_chapters(known));
    let mine = entries.filter(|entry| known.is_cut_off(&entry.holders)).filter(|entry| {
        let workers = known.members().workers().map(|(id, _)| id).chain([known.me()]);
        let able = workers.filter(|id| !known.is_cut_from(*id, &entry.holders));
        is_among_first(known, entry, 1, &able.collect::<Vec<_>>(), None)
    });
    mine.map(|it| (it.checkpoint.shard, it.checkpoint.step)).collect()
}

/// The latest checkpoint of each shard, and the tables that could be needed.
pub(crate) fn worth_copies(known: &Known) -> impl Iterator<Item = &Entry> {
    let latest = known.plan().model_shards().filter_map(|shard| known.checkpoints().latest(shard));
    latest.chain(known.tables_at_least(known.first_table()))
}

/// Whether there may be checkpoints that somebody cannot reach and waits for: where peers own
/// chapters, nobody is sidelined for that.
fn anyone_is_cut(known: &Known) -> bool {
    known.plan().is_by_chapter() && known.anyone_avoids()
}

/// Whether this peer is among the first `missing` of these that do not hold it; `taker` will.
fn is_among_first(
    known: &Known,
    entry: &Entry,
    missing: usize,
    others: &[NodeId],
    taker: Option<NodeId>,
) -> bool {
    let shard = entry.checkpoint.shard;
    let lacks = |id: &NodeId| !entry.holders.contains(id) && taker != Some(*id);
    if missing == 0 || !lacks(&known.me()) || !others.contains(&known.me()) {
        return false;
    }
    // The peer that will score the epoch fetches all of this anyhow, and comes first.
    let scorer = scorer_at(known, entry.checkpoint.step);
    let place = |id: NodeId| (scorer != Some(id), shard.rank_of(id));
    // A rank is a hash, and there may be many others: most often few of them tell enough.
    let mine = place(known.me());
    let before = others.iter().filter(|id| lacks(id) && place(**id) < mine);
    before.take(missing).count() < missing
}

/// The checkpoints that an open chapter begins with, where peers own chapters.
fn at_open_chapters(known: &Known) -> impl Iterator<Item = &Entry> {
    known.plan().model_shards().flat_map(|shard| {
        let start = known.start(shard);
        known.checkpoints().of(shard).filter(move |entry| entry.checkpoint.step >= start)
    })
}
