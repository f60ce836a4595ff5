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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::own::{JobsView, Phase};
    use crate::testing::{A, B, C, ME, Scene, heartbeat, job, run_of, shard_lease};
    use crate::{Config, Heartbeat, Output, Plan, Role};

    const READER: ShardId = ShardId(2);

    /// ME owns a shard that reads one of A's and one of B's.
    fn reader() -> (Scene, FlowControl) {
        let config = Config { window: 32, retry_ms: 500, ..Config::default() };
        let mut scene = Scene::with(Role::Worker, Plan::example(&[2, 1], 100, 10), config);
        scene.meet_all(&[A, B, C]);
        let leases = [(0, A), (1, B), (2, ME)];
        scene.lease(&leases.map(|(shard, owner)| shard_lease(shard, 1, owner, 0)));
        scene.look();
        scene.drain();
        (scene, FlowControl::default())
    }

    /// The reader has done so many steps, and was not told of these shards' batches of the next.
    fn works(scene: &mut Scene, status: JobStatus, missing: &[u16]) {
        let missing = missing.iter().copied().map(ShardId).collect();
        scene.known.publish_jobs(JobsView {
            jobs: BTreeMap::from([(status.task, status)]),
            missing: BTreeMap::from([(status.shard, missing)]),
            ..JobsView::default()
        });
    }

    /// The requests sent now: the peer asked, the shards, the first step and the end.
    fn asked(scene: &mut Scene, flow: &mut FlowControl) -> Vec<(NodeId, Vec<u16>, u64, u64)> {
        flow.settle(&scene.known, &mut scene.out);
        requests(&scene.outputs())
    }

    fn requests(outputs: &[Output]) -> Vec<(NodeId, Vec<u16>, u64, u64)> {
        let request = |output: &Output| {
            let Output::Send { to, message } = output else { return None };
            let Message::Request { shards, from, until, .. } = message else { return None };
            Some((*to, shards.iter().map(|shard| shard.0).collect(), *from, *until))
        };
        outputs.iter().filter_map(request).collect()
    }

    #[test]
    fn a_reader_asks_the_owners_below_four_times_in_a_window() {
        let (mut scene, mut flow) = reader();
        works(&mut scene, JobStatus { phase: Phase::NeedsCheckpoint, ..job(2, 0) }, &[0, 1]);
        assert_eq!(asked(&mut scene, &mut flow), [], "it is not ready");
        works(&mut scene, job(2, 0), &[]);
        let first = [(A, vec![0], 0, 32), (B, vec![1], 0, 32)];
        assert_eq!(asked(&mut scene, &mut flow), first);
        works(&mut scene, job(2, 7), &[]);
        assert_eq!(asked(&mut scene, &mut flow), []);
        works(&mut scene, job(2, 8), &[]);
        assert_eq!(asked(&mut scene, &mut flow)[0], (A, vec![0], 8, 40));
        works(&mut scene, job(2, 90), &[]);
        assert_eq!(asked(&mut scene, &mut flow)[0], (A, vec![0], 90, 100), "the run ends");
    }

    #[test]
    fn requests_are_numbered_in_order() {
        let (mut scene, mut flow) = reader();
        (0..2).for_each(|from| flow.request(READER, from, &scene.known, &mut scene.out));
        let seqs = scene.outputs().into_iter().filter_map(|output| {
            let Output::Send { message, .. } = output else { return None };
            if let Message::Request { seq, .. } = message { Some(seq) } else { None }
        });
        assert!(seqs.eq(1..=4));
    }

    #[test]
    fn what_is_lacked_is_asked_for_again_after_a_while_and_by_another_load_at_once() {
        let (mut scene, mut flow) = reader();
        works(&mut scene, job(2, 0), &[1]);
        assert_eq!(asked(&mut scene, &mut flow).len(), 2);
        scene.wait(499);
        assert_eq!(asked(&mut scene, &mut flow), []);
        scene.wait(1);
        assert_eq!(asked(&mut scene, &mut flow).len(), 2);
        works(&mut scene, JobStatus { load: 9, ..job(2, 0) }, &[1]);
        assert_eq!(asked(&mut scene, &mut flow).len(), 2);
        works(&mut scene, JobStatus { load: 9, ..job(2, 0) }, &[]);
        scene.wait(60_000);
        assert_eq!(asked(&mut scene, &mut flow), [], "it lacks nothing");
    }

    #[test]
    fn peers_that_hold_what_is_lacked_are_asked_besides_its_owner_but_not_too_many() {
        let (mut scene, mut flow) = reader();
        scene.hear(C, Heartbeat { batches: vec![run_of(0, 2, 6)], ..heartbeat() });
        scene.keep(&[run_of(1, 2, 6)]);
        works(&mut scene, job(2, 6), &[]);
        assert_eq!(asked(&mut scene, &mut flow).len(), 2, "they hold none of that step");
        works(&mut scene, JobStatus { load: 9, ..job(2, 5) }, &[]);
        let all = [(A, vec![0], 5, 37), (B, vec![1], 5, 37), (C, vec![0], 5, 37)];
        assert_eq!(asked(&mut scene, &mut flow), all);
        assert_eq!(scene.out.said_to_self().len(), 1, "this peer has made some itself");
        let many = (10..20).map(|byte| NodeId([byte; 32]));
        many.for_each(|peer| {
            scene.meet(peer, Heartbeat { batches: vec![run_of(0, 0, 9)], ..heartbeat() });
        });
        flow.request(READER, 5, &scene.known, &mut scene.out);
        let of_a = requests(&scene.outputs());
        assert_eq!(of_a.iter().filter(|it| it.1 == [0]).count(), 1 + MAX_ASKED);
    }

    #[test]
    fn nobody_is_asked_for_a_shard_without_an_owner_or_holder() {
        let mut scene = Scene::new(Plan::example(&[1, 1], 100, 10));
        scene.lease(&[shard_lease(1, 1, ME, 0)]);
        FlowControl::default().request(ShardId(1), 0, &scene.known, &mut scene.out);
        assert_eq!(requests(&scene.outputs()), []);
    }

    #[test]
    fn a_batch_that_was_no_good_is_not_asked_for_at_once_and_a_lost_one_is() {
        let (mut scene, mut flow) = reader();
        works(&mut scene, job(2, 3), &[0]);
        assert_eq!(asked(&mut scene, &mut flow).len(), 2);
        scene.wait(400);
        flow.ask_later(READER, 3, &scene.known);
        scene.wait(499);
        assert_eq!(asked(&mut scene, &mut flow), []);
        flow.ask_again(READER);
        assert_eq!(asked(&mut scene, &mut flow).len(), 2);
    }

    #[test]
    fn a_batch_that_does_not_come_for_long_is_reported_undelivered() {
        let (mut scene, mut flow) = reader();
        let patience = LONG_PATIENCE * 500;
        let undelivered = |scene: &mut Scene, flow: &mut FlowControl| {
            flow.settle(&scene.known, &mut scene.out);
            scene.facts()
        };
        works(&mut scene, job(2, 3), &[1]);
        assert_eq!(undelivered(&mut scene, &mut flow), []);
        scene.wait(patience - 1);
        works(&mut scene, job(2, 4), &[1]);
        assert_eq!(undelivered(&mut scene, &mut flow), [], "it came at last");
        scene.wait(patience - 1);
        assert_eq!(undelivered(&mut scene, &mut flow), []);
        scene.wait(1);
        assert_eq!(undelivered(&mut scene, &mut flow), [Fact::Undelivered(ShardId(1), 4)]);
    }

    #[test]
    fn it_is_known_since_when_a_shard_lacks_something() {
        let (mut scene, mut flow) = reader();
        let lacking = |scene: &mut Scene, flow: &mut FlowControl| {
            flow.settle(&scene.known, &mut scene.out);
            scene.known.now().since(flow.view()[&READER])
        };
        works(&mut scene, job(2, 3), &[0]);
        assert_eq!(lacking(&mut scene, &mut flow), 0);
        scene.wait(70);
        assert_eq!(lacking(&mut scene, &mut flow), 70);
        works(&mut scene, job(2, 3), &[]);
        assert_eq!(lacking(&mut scene, &mut flow), 0, "it goes on");
        scene.work([]);
        flow.settle(&scene.known, &mut scene.out);
        assert!(flow.view().is_empty(), "it is somebody else's");
    }

    #[test]
    fn a_lowest_shard_asks_nobody_and_lacks_room_or_a_table_while_it_stands_still() {
        let (mut scene, mut flow) = reader();
        scene.lease(&[shard_lease(0, 2, ME, 0)]);
        works(&mut scene, job(0, 3), &[]);
        assert_eq!(asked(&mut scene, &mut flow), []);
        scene.wait(40);
        assert_eq!(asked(&mut scene, &mut flow), []);
        assert_eq!(scene.known.now().since(flow.view()[&ShardId(0)]), 40);
        works(&mut scene, job(0, 4), &[]);
        assert_eq!(asked(&mut scene, &mut flow), []);
        assert_eq!(scene.known.now().since(flow.view()[&ShardId(0)]), 0);
    }
}
