//! Readers that lack batches, or tables, which the owner of their shard has left behind.
//!
//! Rule: a shard goes back and makes batches again only when a reader has lacked them for a while and
//! nobody holds them. A peer that says it holds them and does not deliver them for long is not
//! believed; the same holds for the tables that the feedback shard has left behind.

use std::collections::{BTreeMap, BTreeSet};

use super::flow_control::LONG_PATIENCE;
use crate::known::Known;
use crate::known::own::JobStatus;
use crate::outbox::{Fact, Outbox};
use crate::{ShardId, Time};

/// Retries after which a shard goes back for a reader whose batches nobody holds.
const PATIENCE: u64 = 3;

/// A shard, and a reader of it.
type Edge = (ShardId, ShardId);

/// The duty to notice readers that starve.
#[derive(Debug, Default)]
pub(crate) struct Starvation {
    /// Since when a reader (second) has lacked batches of a shard (first) that the shard's owner does
    /// not hold, and from which step on.
    lacking: BTreeMap<Edge, (Time, u64)>,
}

impl Starvation {
    /// Notes, as the owner of the feedback shard, since when a lowest shard has lacked a table that is
    /// not here and that the feedback shard has left behind.
    pub(crate) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        let Some(feedback) = known.plan().feedback_shard() else { return };
        if lacks_a_table(known) {
            // One that was refused here while others have no fault to find with it is tried again.
            out.fact(Fact::Retry(feedback));
        }
        let edge = (feedback, ShardId(0));
        let done = match known.own().job(feedback) {
            Some(job) if job.is_ready() => job.done,
            None if known.owner(feedback) == Some(known.me()) => known.plan().steps,
            _ => 0,
        };
        let lost = known.tables_needed().find(|step| !known.holds(feedback, *step));
        let Some(step) = lost.filter(|step| *step <= done) else {
            self.lacking.remove(&edge);
            return;
        };
        let now = known.now();
        let (since, of) = *self.lacking.entry(edge).or_insert((now, step));
        if of != step {
            self.lacking.insert(edge, (now, step));
        } else if now.since(since) >= LONG_PATIENCE * known.config().retry_ms {
            out.fact(Fact::Undelivered(feedback, step));
        }
    }

    /// The owner of a reader of `shard` asks from step `from` on.
    pub(crate) fn on_request(
        &mut self,
        (shard, reader): Edge,
        from: u64,
        known: &Known,
        out: &mut Outbox,
    ) {
        let edge = (shard, reader);
        let handed = match known.own().job(shard) {
            Some(job) => job.handed,
            None if known.owner(shard) == Some(known.me()) => known.plan().steps,
            None => 0,
        };
        let is_covered = known.covered(shard, from) >= handed;
        if from >= handed || (known.own().has_batch(shard, from) && is_covered) {
            self.lacking.remove(&edge);
            return;
        }
        let now = known.now();
        let (since, lacked) = *self.lacking.entry(edge).or_insert((now, from));
        if is_covered && lacked != from {
            self.lacking.insert(edge, (now, from));
        } else if now.since(since) >= LONG_PATIENCE * known.config().retry_ms {
            out.fact(Fact::Undelivered(shard, from));
        }
    }

    /// The readers of `shard` will be fed again.
    pub(crate) fn forget(&mut self, shard: ShardId) {
        self.lacking.retain(|(starved, _), _| *starved != shard);
    }

    /// The shards whose readers have gone without for so long that they must go back.
    pub(crate) fn view(&self, known: &Known) -> BTreeSet<ShardId> {
        let patience = PATIENCE * known.config().retry_ms;
        let starving = self.lacking.iter();
        let starving = starving.filter(|(_, (since, _))| known.now().since(*since) >= patience);
        starving.map(|((shard, _), _)| *shard).collect()
    }
}

/// Whether an own shard has lacked a table for a while that nobody has.
fn lacks_a_table(known: &Known) -> bool {
    let patience = PATIENCE * known.config().retry_ms;
    let own = known.own();
    let is_long = |job: &&JobStatus| {
        let since = own.lacking.get(&job.shard);
        since.is_some_and(|since| known.now().since(*since) >= patience)
    };
    let shards = own.jobs().filter(|job| job.task.shard().is_some() && job.is_ready());
    shards.filter(is_long).any(|job| known.lacks_table(job.shard, job.next))
}
