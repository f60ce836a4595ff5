//! Asking for the batches that own shards will read.
//!
//! Rule: a reader says how far it is and how much room it has, four times in a window, and again after
//! a while if it lacks anything; so what it says may be lost. A peer that says that it holds what a
//! reader lacks, and does not deliver it for long, is not believed.

use std::collections::BTreeMap;

use crate::known::Known;
use crate::known::own::JobStatus;
use crate::outbox::{Fact, Outbox};
use crate::{MAX_BATCHES_PER_MESSAGE, Message, NodeId, ShardId, Time};

/// Peers asked for one batch besides its owner.
const MAX_ASKED: usize = 4;

/// Retries after which a peer is not believed to hold the batches that it says it holds.
pub(crate) const LONG_PATIENCE: u64 = 16;

/// The last request of a reader.
#[derive(Clone, Copy, Debug)]
struct Request {
    at: Time,
    /// The first step asked for.
    from: u64,
    /// The load of the job that asked: another one asks again.
    load: u64,
}

/// Memory of an own shard that reads.
#[derive(Clone, Copy, Debug)]
struct Reader {
    request: Option<Request>,
    /// Since when it has lacked inputs of its next step or room for its outputs, and which step
    /// that is.
    lacks: (Time, u64),
}

/// The duty to ask for batches.
#[derive(Debug, Default)]
pub(crate) struct FlowControl {
    readers: BTreeMap<ShardId, Reader>,
    /// Requests sent.
    requests: u64,
}

impl FlowControl {
    /// Asks the owners below for the batches that own shards will read.
    pub(crate) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        let own = known.own();
        self.readers.retain(|shard, _| own.job(*shard).is_some());
        let jobs: Vec<JobStatus> =
            own.jobs().filter(|job| job.task.shard().is_some()).copied().collect();
        for job in &jobs {
            self.note_lacks(job, known, out);
        }
        for job in jobs.iter().filter(|job| known.plan().layer(job.shard) > 0) {
            if job.is_ready() && self.is_due(job, known) {
                let request = Request { at: known.now(), from: job.next, load: job.load };
                if let Some(reader) = self.readers.get_mut(&job.shard) {
                    reader.request = Some(request);
                }
                self.request(job.shard, job.next, known, out);
            }
        }
    }

    /// Notes since when a shard lacks what it reads next or room for what it would make of it; and
    /// suspects the peers that say they hold what it reads when that is long.
    fn note_lacks(&mut self, job: &JobStatus, known: &Known, out: &mut Outbox) {
        let now = known.now();
        let missing = known.own().jobs.missing.get(&job.shard).map_or(&[][..], Vec::as_slice);
        let reads = !known.plan().inputs(job.shard).is_empty();
        let goes_on = reads && missing.is_empty() && known.has_room(job.shard, job.next);
        let reader = self.readers.entry(job.shard);
        let reader = reader.or_insert(Reader { request: None, lacks: (now, job.next) });
        if goes_on || reader.lacks.1 != job.next {
            reader.lacks = (now, job.next);
        }
        if now.since(reader.lacks.0) >= LONG_PATIENCE * known.config().retry_ms {
            missing.iter().for_each(|input| out.fact(Fact::Undelivered(*input, job.next)));
        }
    }

    /// Whether it is time for a request: the first, the next in the window, or one that is repeated.
    fn is_due(&self, job: &JobStatus, known: &Known) -> bool {
        let config = known.config();
        let stride = (config.window / 4).clamp(1, MAX_BATCHES_PER_MESSAGE as u64 / 2);
        let request = self.readers.get(&job.shard).and_then(|reader| reader.request);
        let Some(Request { at, from, .. }) = request.filter(|it| it.load == job.load) else {
            return true;
        };
        let lacks = known.own().jobs.missing.get(&job.shard).is_some_and(|it| !it.is_empty());
        job.next >= from + stride || (lacks && known.now().since(at) >= config.retry_ms)
    }

    /// Says to the peers that can feed `reader` that it has done `from` steps.
    pub(crate) fn request(&mut self, reader: ShardId, from: u64, known: &Known, out: &mut Outbox) {
        let until = from.saturating_add(known.config().window).min(known.plan().steps);
        let mut asked: BTreeMap<NodeId, Vec<ShardId>> = BTreeMap::new();
        for shard in known.plan().inputs(reader) {
            let owner = known.owner(shard);
            let members = known.members().iter();
            let holders = members.filter(|(_, member)| member.holds_batch(shard, from));
            let mut feeders: Vec<NodeId> = holders.map(|(id, _)| id).take(MAX_ASKED).collect();
            if known.own().has_batch(shard, from) {
                feeders.push(known.me());
            }
            feeders.retain(|id| Some(*id) != owner);
            feeders.extend(owner);
            for feeder in feeders {
                asked.entry(feeder).or_default().push(shard);
            }
        }
        for (feeder, shards) in asked {
            self.requests += 1;
            let seq = self.requests;
            out.send(feeder, Message::Request { seq, reader, shards, from, until });
        }
    }

    /// Asks again, but not at once: what `shard` reads in `step` was no good.
    pub(crate) fn ask_later(&mut self, shard: ShardId, step: u64, known: &Known) {
        let load = known.own().job(shard).map_or(0, |job| job.load);
        if let Some(reader) = self.readers.get_mut(&shard) {
            reader.request = Some(Request { at: known.now(), from: step, load });
        }
    }

    /// Asks again: what `shard` reads was lost.
    pub(crate) fn ask_again(&mut self, shard: ShardId) {
        if let Some(reader) = self.readers.get_mut(&shard) {
            reader.request = None;
        }
    }

    /// Since when each own shard has lacked what it reads next, or room for what it makes of it.
    pub(crate) fn view(&self) -> BTreeMap<ShardId, Time> {
        self.readers.iter().map(|(&shard, it)| (shard, it.lacks.0)).collect()
    }
}
