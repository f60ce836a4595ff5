//! Fixtures of unit tests: peers, plans and things said, and a scene of what one peer knows.
//!
//! Rule: a scene is brought about as in a run, through what is heard, restored, leased and published;
//! nothing is set from outside that a run could not bring about.

use crate::known::Known;
use crate::known::own::{BatchesView, JobStatus, JobsView, Phase};
use crate::outbox::{Fact, Outbox};
use crate::{
    BatchRun, BlobRef, Change, Checkpoint, Config, Hash, Heartbeat, Input, Kept, Lease, NodeId,
    Notice, Output, Placement, Plan, Role, Score, ShardId, Task, Term, Time,
};

pub(crate) const ME: NodeId = NodeId([1; 32]);
pub(crate) const A: NodeId = NodeId([2; 32]);
pub(crate) const B: NodeId = NodeId([3; 32]);
pub(crate) const C: NodeId = NodeId([4; 32]);

/// A moment at which a peer that was started at 0 has listened long enough.
pub(crate) const SETTLED: u64 = 10_000;

/// The speed of whoever says nothing else.
pub(crate) const SPEED: u64 = 10;

/// One layer of one shard above the other, each read by the next.
pub(crate) fn chain(layers: usize, steps: u64, chapter_steps: u64) -> Plan {
    Plan::example(&vec![1; layers], steps, chapter_steps)
}

/// The same run where peers own chapters.
pub(crate) fn by_chapter(plan: Plan) -> Plan {
    Plan { placement: Placement::AllLayers, ..plan }
}

/// The same run where peers own branches of chapters, so many of each, that are merged.
pub(crate) fn merged(plan: Plan, branches: u16) -> Plan {
    Plan { branches, merged: true, ..by_chapter(plan) }
}

/// The same run where each peer trains on data of its own.
pub(crate) fn private(plan: Plan) -> Plan {
    Plan { placement: Placement::Federated, ..plan }
}

/// The same run with the topmost layer as the feedback shard.
pub(crate) fn with_feedback(plan: Plan) -> Plan {
    Plan { feedback: true, ..plan }
}

pub(crate) fn shard_lease(shard: u16, term: u64, owner: NodeId, from: u64) -> Lease {
    Lease { task: Task::Shard(ShardId(shard)), term: Term(term), owner, from }
}

pub(crate) fn chapter_lease(plan: &Plan, chapter: u64, term: u64, owner: NodeId) -> Lease {
    let from = plan.chapter_start(chapter);
    Lease { task: Task::chapter(chapter), term: Term(term), owner, from }
}

pub(crate) fn branch_lease(plan: &Plan, task: (u64, u16), term: u64, owner: NodeId) -> Lease {
    let (chapter, branch) = task;
    Lease { task: Task::Branch { chapter, branch }, ..chapter_lease(plan, chapter, term, owner) }
}

/// A blob of one byte, named after the text.
pub(crate) fn blob(name: &str) -> BlobRef {
    BlobRef { hash: Hash::of(name.as_bytes()), size: 1 }
}

/// The batch that `shard` makes in `step`.
pub(crate) fn batch_blob(shard: u16, step: u64) -> BlobRef {
    blob(&format!("batch {shard} {step}"))
}

/// The one honest checkpoint of `shard` after `step` steps, as A trained it.
pub(crate) fn checkpoint(shard: u16, step: u64) -> Checkpoint {
    let blob = blob(&format!("checkpoint {shard} {step}"));
    Checkpoint { shard: ShardId(shard), step, blob, by: A, loss_micro: 0 }
}

/// Another checkpoint of the same cell, which `by` says it trained.
pub(crate) fn other_checkpoint(shard: u16, step: u64, by: NodeId) -> Checkpoint {
    let blob = blob(&format!("other {shard} {step} {by}"));
    Checkpoint { blob, by, ..checkpoint(shard, step) }
}

/// The one honest change of a branch of `chapter` in `shard`, or the mean, as A made it.
pub(crate) fn change(chapter: u64, shard: u16, branch: Option<u16>) -> Change {
    let blob = blob(&format!("change {chapter} {shard} {branch:?}"));
    Change { shard: ShardId(shard), chapter, branch, blob, by: A, loss_micro: 0 }
}

/// Another change of the same cell, which `by` says it made.
pub(crate) fn other_change(chapter: u64, shard: u16, branch: Option<u16>, by: NodeId) -> Change {
    let blob = blob(&format!("other change {chapter} {shard} {branch:?} {by}"));
    Change { blob, by, ..change(chapter, shard, branch) }
}

/// The changes of so many branches of `chapter` in `shard`.
pub(crate) fn all_changes(chapter: u64, shard: u16, branches: u16) -> Vec<Change> {
    (0..branches).map(|branch| change(chapter, shard, Some(branch))).collect()
}

pub(crate) fn run_of(shard: u16, from: u64, until: u64) -> BatchRun {
    BatchRun { shard: ShardId(shard), from, until }
}

pub(crate) fn score(epoch: u64) -> Score {
    Score { epoch, samples: 10, softmax_correct: 7, other_correct: 8 }
}

/// The heartbeat of a worker that has and knows nothing. A scene gives it its number.
pub(crate) fn heartbeat() -> Heartbeat {
    Heartbeat {
        seq: 0,
        role: Role::Worker,
        leaving: false,
        complete: false,
        speed: SPEED,
        leases: Vec::new(),
        progress: Vec::new(),
        held: Vec::new(),
        changes: Vec::new(),
        batches: Vec::new(),
        scores: Vec::new(),
        evaluating: 0,
        kept: Kept::default(),
        avoids: Vec::new(),
    }
}

/// The job of an own shard that the trainer has at `done`, with no step in flight.
pub(crate) fn job(shard: u16, done: u64) -> JobStatus {
    let (task, shard) = (Task::Shard(ShardId(shard)), ShardId(shard));
    let (phase, load) = (Phase::Ready, u64::from(shard.0) + 1);
    JobStatus { task, shard, phase, load, done, next: done, handed: done, handing: done }
}

/// The job of an own chapter that is at `shard`, and at `done` in it.
pub(crate) fn branch_job(chapter: u64, shard: u16, done: u64) -> JobStatus {
    JobStatus { task: Task::chapter(chapter), load: chapter + 1, ..job(shard, done) }
}

/// A peer's knowledge and outbox.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) known: Known,
    pub(crate) out: Outbox,
    beats: u64,
}

impl Scene {
    /// ME, a worker of known speed, as it is when it has listened long enough and heard nobody.
    pub(crate) fn new(plan: Plan) -> Self {
        Self::with(Role::Worker, plan, Config::default())
    }

    pub(crate) fn with(role: Role, plan: Plan, config: Config) -> Self {
        let mut known = Known::new(ME, role, plan, config, Time(0));
        known.set_speed(SPEED);
        let mut scene = Self { known, out: Outbox::new(ME), beats: 0 };
        scene.at(SETTLED);
        scene
    }

    /// It is that many milliseconds after the start.
    pub(crate) fn at(&mut self, ms: u64) {
        self.known.set_now(Time(ms));
    }

    /// Lets this many milliseconds go by.
    pub(crate) fn wait(&mut self, ms: u64) {
        self.known.set_now(self.known.now().after(ms));
    }

    /// `from` is connected and says what it is.
    pub(crate) fn meet(&mut self, from: NodeId, said: Heartbeat) {
        self.known.connected(from);
        self.hear(from, said);
    }

    /// Workers that have nothing are connected.
    pub(crate) fn meet_all(&mut self, peers: &[NodeId]) {
        peers.iter().for_each(|&peer| self.meet(peer, heartbeat()));
    }

    /// `from` says what it is.
    pub(crate) fn hear(&mut self, from: NodeId, said: Heartbeat) {
        self.beats += 1;
        let mut said = Heartbeat { seq: self.beats, ..said };
        if self.known.on_heartbeat(from, &mut said).is_some() {
            self.lease(&std::mem::take(&mut said.leases));
            self.known.learn_status(from, said, &mut self.out);
        }
    }

    /// These leases are told of.
    pub(crate) fn lease(&mut self, leases: &[Lease]) {
        leases.iter().for_each(|&lease| _ = self.known.merge_lease(lease, &mut self.out));
    }

    /// This peer holds these checkpoints.
    pub(crate) fn hold(&mut self, checkpoints: impl IntoIterator<Item = Checkpoint>) {
        checkpoints.into_iter().for_each(|it| self.known.restore(it, &mut self.out));
    }

    /// `from` holds these checkpoints.
    pub(crate) fn learn(
        &mut self,
        from: NodeId,
        checkpoints: impl IntoIterator<Item = Checkpoint>,
    ) {
        checkpoints.into_iter().for_each(|it| self.known.learn_from(it, from, &mut self.out));
    }

    /// `from` holds these changes.
    pub(crate) fn learn_changes(
        &mut self,
        from: NodeId,
        changes: impl IntoIterator<Item = Change>,
    ) {
        changes.into_iter().for_each(|it| self.known.learn_change(it, from, &mut self.out));
    }

    /// This peer has made these changes.
    pub(crate) fn make_changes(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            self.out.hold(change.blob.hash);
            self.known.made_change(change, &mut self.out);
        }
    }

    /// This peer has these jobs and no others.
    pub(crate) fn work(&mut self, jobs: impl IntoIterator<Item = JobStatus>) {
        let jobs = jobs.into_iter().map(|job| (job.task, job)).collect();
        self.known.publish_jobs(JobsView { jobs, ..JobsView::default() });
    }

    /// This peer holds these batches of its own making and no others.
    pub(crate) fn keep(&mut self, runs: &[BatchRun]) {
        let mut view = BatchesView::default();
        for run in runs {
            view.runs.entry(run.shard).or_default().push(run.from..run.until);
            view.bytes += run.until - run.from;
        }
        self.known.publish_batches(view);
    }

    /// All looks again at where each shard stands, as before the duties are asked.
    pub(crate) fn look(&mut self) {
        self.known.note_apart();
        self.known.look();
    }

    /// The content of the outbox since the last time.
    pub(crate) fn drain(&mut self) -> (Vec<Output>, Vec<Fact>) {
        self.out.drain()
    }

    /// Only the outputs of it.
    pub(crate) fn outputs(&mut self) -> Vec<Output> {
        self.drain().0
    }

    /// Only the facts of it.
    pub(crate) fn facts(&mut self) -> Vec<Fact> {
        self.drain().1
    }

    /// The peers that have been blamed since the last time.
    pub(crate) fn blamed(&mut self) -> Vec<NodeId> {
        blamed(&self.outputs())
    }
}

/// The peers that these outputs blame.
pub(crate) fn blamed(outputs: &[Output]) -> Vec<NodeId> {
    let blamed = |output: &Output| {
        if let Output::Notify(Notice::Blame { peer, .. }) = output { Some(*peer) } else { None }
    };
    outputs.iter().filter_map(blamed).collect()
}

/// The answers of a shell whose trainer does all that it is told.
pub(crate) fn answer(output: &Output) -> Option<Input> {
    if let Output::Load { shard, load, .. } = *output {
        Some(Input::Loaded { shard, load, ok: true })
    } else if let Output::Train { shard, load, step, emit, checkpoint, .. } = *output {
        let batch = emit.then(|| batch_blob(shard.0, step));
        let made = self::checkpoint(shard.0, step + 1).blob;
        let checkpoint = checkpoint.then_some((made, 0));
        Some(Input::Trained { shard, load, step, batch, checkpoint })
    } else if let Output::Refresh { shard, load, step, .. } = *output {
        Some(Input::Refreshed { shard, load, step, batch: batch_blob(shard.0, step) })
    } else if let Output::Fetch { blob, .. } = *output {
        Some(Input::Fetched { hash: blob.hash })
    } else if let Output::Evaluate { epoch, .. } = *output {
        Some(Input::Evaluated(score(epoch)))
    } else {
        None
    }
}
