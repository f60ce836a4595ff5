//! A peer's knowledge: of the run, of the others, and of itself.
//!
//! Rule: facts come in here and nowhere else, and every duty reads them. What can be derived from
//! them is derived in the files next to this one, each of which knows those that stand before it:
//! `supply` (batches and tables that can be had), `standing` (where each shard stands and would
//! start), `changes` (of branches of chapters), `chapters` (where peers own chapters), `heartbeat`
//! (what is said of it).

pub(crate) mod changes;
pub(crate) mod chapters;
pub(crate) mod checkpoints;
pub(crate) mod connectivity;
pub(crate) mod heartbeat;
pub(crate) mod learning;
pub(crate) mod members;
pub(crate) mod own;
pub(crate) mod provenance;
pub(crate) mod standing;
pub(crate) mod supply;
pub(crate) mod trust;

use std::collections::{BTreeMap, BTreeSet};

use crate::outbox::Outbox;
use crate::placement::leases::Leases;
use crate::{Config, Lease, NodeId, Notice, Plan, Role, Score, ShardId, Task, Time};
use changes::Changes;
use checkpoints::Checkpoints;
use connectivity::Connectivity;
use members::Members;
use own::{BatchesView, JobsView, Own, ScoringView};
use provenance::Provenance;
use trust::Trust;

/// Everything that a peer's decisions rest on.
#[derive(Debug)]
pub(crate) struct Known {
    me: NodeId,
    role: Role,
    plan: Plan,
    config: Config,
    started: Time,
    /// The time of the input being handled.
    now: Time,
    members: Members,
    leases: Leases,
    checkpoints: Checkpoints,
    changes: Changes,
    provenance: Provenance,
    scores: BTreeMap<u64, Score>,
    /// Steps done of each shard, as its owner last said.
    progress: BTreeMap<ShardId, u64>,
    trust: Trust,
    connectivity: Connectivity,
    own: Own,
    /// Grows with what others have to know of this peer in order to give it work.
    own_version: u64,
    /// The step at which each shard would be taken up, as of the last look.
    starts: Vec<u64>,
    /// The first checkpoint of the feedback shard that any shard could need, as of the last look.
    tables_from: u64,
}

/// Version of everything that an assignment rests on: equal versions give equal assignments.
pub(crate) type Version = [u64; 4];

impl Known {
    pub(crate) fn new(me: NodeId, role: Role, plan: Plan, config: Config, now: Time) -> Self {
        Self {
            me,
            role,
            starts: vec![0; plan.shard_count()],
            plan,
            config,
            started: now,
            now,
            members: Members::default(),
            leases: Leases::default(),
            checkpoints: Checkpoints::default(),
            changes: Changes::default(),
            provenance: Provenance::default(),
            scores: BTreeMap::new(),
            progress: BTreeMap::new(),
            trust: Trust::default(),
            connectivity: Connectivity::default(),
            own: Own::default(),
            own_version: 0,
            tables_from: 0,
        }
    }

    pub(crate) fn me(&self) -> NodeId {
        self.me
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn now(&self) -> Time {
        self.now
    }

    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    pub(crate) fn leases(&self) -> &Leases {
        &self.leases
    }

    /// The owner of a shard, where peers own shards.
    pub(crate) fn owner(&self, shard: ShardId) -> Option<NodeId> {
        self.leases.owner(Task::Shard(shard))
    }

    pub(crate) fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    pub(crate) fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    pub(crate) fn scores(&self) -> &BTreeMap<u64, Score> {
        &self.scores
    }

    pub(crate) fn own(&self) -> &Own {
        &self.own
    }

    /// The step at which `shard` would be taken up, as of the last look.
    pub(crate) fn start(&self, shard: ShardId) -> u64 {
        self.starts.get(usize::from(shard.0)).copied().unwrap_or(0)
    }

    /// The first table that any shard could need, as of the last look.
    pub(crate) fn first_table(&self) -> u64 {
        self.tables_from
    }

    /// Whether it only listens yet: it may not be the first.
    pub(crate) fn only_listens(&self) -> bool {
        self.now < self.started.after(self.config.listen_ms)
    }

    /// Milliseconds since it was started.
    pub(crate) fn age_ms(&self) -> u64 {
        self.now.since(self.started)
    }

    /// Whether it takes work and is not to go.
    pub(crate) fn takes_work(&self) -> bool {
        self.role == Role::Worker && self.own.leaving.is_none()
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.own.leaving.is_some()
    }

    /// The version of everything that an assignment rests on.
    pub(crate) fn version(&self) -> Version {
        let (members, leases) = (self.members.version(), self.leases.version());
        [members, leases, self.own_version, self.connectivity.version()]
    }

    pub(crate) fn set_now(&mut self, now: Time) {
        self.now = now;
    }

    /// Looks again where each shard would start, and closes what is over.
    pub(crate) fn look(&mut self) {
        self.starts = self.start_points();
        if self.plan.is_by_chapter() {
            self.leases.close(self.open_chapters().start);
            self.close_changes();
        }
    }

    pub(crate) fn set_first_table(&mut self, step: u64) {
        self.tables_from = step;
    }

    /// The trainer's speed changed enough to tell others. Returns whether they may wait for it.
    pub(crate) fn set_speed(&mut self, speed: u64) -> bool {
        let before = self.own.speed;
        let (low, high) = (before.saturating_mul(9) / 10, before.saturating_mul(11) / 10);
        if (low..=high).contains(&speed) && before > 0 {
            return false;
        }
        self.own.speed = speed;
        self.own_version += 1;
        before == 0
    }

    /// This peer is to go.
    pub(crate) fn leave(&mut self) {
        self.own.leaving.get_or_insert(self.now);
        self.own_version += 1;
    }

    /// This peer holds the whole model from now on.
    pub(crate) fn complete(&mut self) {
        self.own.complete.get_or_insert(self.now);
    }

    pub(crate) fn publish_jobs(&mut self, jobs: JobsView) {
        self.own.jobs = jobs;
    }

    pub(crate) fn publish_batches(&mut self, batches: BatchesView) {
        self.own.batches = batches;
    }

    pub(crate) fn publish_lacking(&mut self, lacking: BTreeMap<ShardId, Time>) {
        self.own.lacking = lacking;
    }

    pub(crate) fn publish_moves(&mut self, moves: BTreeSet<(ShardId, u64)>) {
        self.own.moves = moves;
    }

    pub(crate) fn publish_starving(&mut self, starving: BTreeSet<ShardId>) {
        self.own.starving = starving;
    }

    pub(crate) fn publish_routes(&mut self, routes: BTreeSet<(ShardId, u64)>) {
        self.own.routes = routes;
    }

    pub(crate) fn publish_scoring(&mut self, scoring: ScoringView) {
        self.own.scoring = scoring;
    }

    /// Takes in a lease that somebody gave or announced. Returns whether it stands now and did not
    /// before.
    pub(crate) fn merge_lease(&mut self, lease: Lease, out: &mut Outbox) -> bool {
        let is_task = match lease.task {
            Task::Shard(shard) => !self.plan.is_by_chapter() && self.plan.has(shard),
            Task::Branch { chapter, branch } => {
                self.plan.is_by_chapter()
                    && chapter < self.plan.chapters()
                    && branch < self.plan.branches_of(chapter)
            }
        };
        if !is_task || !self.leases.merge(lease) {
            return false;
        }
        if let Task::Shard(shard) = lease.task {
            self.progress.insert(shard, lease.from.min(self.plan.steps));
        }
        if lease.owner != self.me {
            self.members.told_of(lease.owner, self.now, &self.config);
        }
        if self.plan.feedback_shard().is_none_or(|it| lease.task != Task::Shard(it)) {
            out.notify(Notice::Owner(lease));
        }
        true
    }

    /// The owner of `shard` says how many steps of it are done.
    pub(crate) fn note_progress(&mut self, shard: ShardId, done: u64) {
        self.progress.insert(shard, done.min(self.plan.steps));
    }

    /// A sign of life of `peer`. Returns whether it is heard at all.
    pub(crate) fn heard(&mut self, peer: NodeId) -> bool {
        self.members.heard(peer, self.now, &self.config).is_some()
    }

    /// Whether a request with this number is newer than the last one of `peer`.
    pub(crate) fn is_new_request(&mut self, peer: NodeId, seq: u64) -> bool {
        peer == self.me || self.members.is_new_request(peer, seq)
    }

    /// The connection to `peer` is lost.
    pub(crate) fn disconnected(&mut self, peer: NodeId) {
        self.connectivity.unlink(peer);
        self.members.disconnected(peer, self.now, &self.config);
    }

    /// There is a connection to `peer`.
    pub(crate) fn connected(&mut self, peer: NodeId) {
        self.connectivity.link(peer);
        self.trust.trust_again(peer);
    }

    /// `peer` said goodbye, or is not to be heard any more. Returns what it was here for.
    pub(crate) fn depart(&mut self, peer: NodeId) -> Option<Role> {
        self.members.depart(peer)
    }

    /// Removes and returns the peers that were silent for too long.
    pub(crate) fn expire(&mut self) -> Vec<(NodeId, Role)> {
        self.members.expire(self.now)
    }

    /// Forgets what only `peer` held, and what was suspected of it.
    pub(crate) fn forget_peer(&mut self, peer: NodeId) {
        self.checkpoints.forget_peer(peer);
        self.changes.forget_peer(peer);
        self.trust.trust_again(peer);
    }

    pub(crate) fn blame(&mut self, peer: NodeId, reason: &'static str, out: &mut Outbox) {
        self.trust.blame(peer, reason, out);
    }

    /// `peer` sent false bytes. Returns whether it is shut out for that.
    pub(crate) fn lied(&mut self, peer: NodeId, reason: &'static str, out: &mut Outbox) -> bool {
        self.trust.lied(peer, reason, out)
    }

    /// `from` announces batches of these shards: whatever was suspected of it is worth a try.
    pub(crate) fn announces(&mut self, from: NodeId, shards: impl Fn(ShardId) -> bool) {
        self.trust.trust_batches(from, shards);
    }
}

#[cfg(test)]
#[path = "tests/known.rs"]
mod tests;
