//! The content of a view: a copy of the facts, free of any decision.

use crate::known::Known;
use crate::known::members::Member;
use crate::known::own::JobStatus;
use crate::{Kept, NodeId, Role, Score, ShardId, Span, Task, Term};

/// One peer, for a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// Who.
    pub id: NodeId,
    /// Whether it takes work.
    pub role: Role,
    /// Whether it is about to go.
    pub leaving: bool,
    /// Millions of multiply-accumulates a second; 0 when unknown.
    pub speed: u64,
    /// Data that it keeps so that nothing is lost.
    pub kept: Kept,
}

/// One shard, for a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardView {
    /// Which.
    pub shard: ShardId,
    /// Its owner and the lease's term.
    pub owner: Option<(NodeId, Term)>,
    /// Steps done, as far as known here.
    pub done: u64,
    /// The furthest checkpoint, in steps, and how many peers hold it.
    pub checkpoint: Option<(u64, usize)>,
    /// Whether this peer owns the shard and is ready to train it.
    pub is_ready: bool,
}

/// Knowledge of one peer at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// This peer first, then the others.
    pub peers: Vec<PeerView>,
    /// The shards of the model, bottom first.
    pub shards: Vec<ShardView>,
    /// By epoch.
    pub scores: Vec<Score>,
    /// The trainer of each chapter.
    pub provenance: Vec<Span>,
    /// Whether this peer holds the whole trained model.
    pub complete: bool,
    /// Activation batches held for readers.
    pub batches: usize,
    /// Blobs on their way here.
    pub fetching: usize,
}

impl Snapshot {
    /// A copy of what is known, and the number of blobs on their way.
    pub(crate) fn of(known: &Known, fetching: usize) -> Self {
        let own = known.own();
        let myself = PeerView {
            id: known.me(),
            role: known.role(),
            leaving: known.is_leaving(),
            speed: own.speed,
            kept: known.kept(),
        };
        let others = known.members().iter().filter(|(_, member)| member.heard);
        let others = others.map(|(id, member)| {
            let &Member { role, leaving, speed, kept, .. } = member;
            PeerView { id, role, leaving, speed, kept }
        });
        let runs = own.batches.runs.values().flatten();
        Self {
            peers: std::iter::once(myself).chain(others).collect(),
            shards: known.plan().model_shards().map(|it| ShardView::of(it, known)).collect(),
            scores: known.scores().values().copied().collect(),
            provenance: known.provenance().spans(),
            complete: own.complete.is_some(),
            batches: runs.map(|run| (run.end - run.start) as usize).sum(),
            fetching,
        }
    }
}

impl ShardView {
    fn of(shard: ShardId, known: &Known) -> Self {
        let latest = known.checkpoints().latest(shard);
        let checkpoint = latest.map(|entry| (entry.checkpoint.step, entry.holders.len()));
        let kept = checkpoint.map_or(0, |(step, _)| step);
        let task = match known.plan().is_by_chapter() {
            true => Task::chapter(known.plan().chapter_of(kept)),
            false => Task::Shard(shard),
        };
        let lease = known.leases().get(task);
        let mut jobs = known.own().jobs().filter(|job| job.shard == shard);
        Self {
            shard,
            owner: lease.map(|lease| (lease.owner, lease.term)),
            done: known.position(shard).max(kept),
            checkpoint,
            is_ready: jobs.any(JobStatus::is_ready),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Heartbeat;
    use crate::testing::*;

    #[test]
    fn this_peer_is_shown_first_and_nobody_who_was_only_told_of() {
        let mut scene = Scene::new(chain(2, 40, 10));
        scene.meet(B, Heartbeat { role: Role::Observer, leaving: true, speed: 0, ..heartbeat() });
        scene.lease(&[shard_lease(0, 1, A, 0)]);
        scene.known.leave();
        let seen = Snapshot::of(&scene.known, 3);
        let peer =
            |id, role, speed| PeerView { id, role, leaving: true, speed, kept: Kept::default() };
        assert_eq!(seen.peers, [peer(ME, Role::Worker, SPEED), peer(B, Role::Observer, 0)]);
        assert_eq!((seen.fetching, seen.batches, seen.complete), (3, 0, false));
    }

    #[test]
    fn a_shard_is_shown_with_its_owner_and_its_furthest_checkpoint() {
        let mut scene = Scene::new(with_feedback(chain(3, 40, 10)));
        scene.lease(&[shard_lease(0, 4, ME, 0), shard_lease(1, 2, A, 5)]);
        scene.work([job(0, 13)]);
        scene.hold([checkpoint(0, 10)]);
        scene.learn(A, [checkpoint(0, 10), checkpoint(1, 20)]);
        scene.keep(&[run_of(0, 2, 9), run_of(0, 11, 13)]);
        scene.known.complete();
        let seen = Snapshot::of(&scene.known, 0);
        let [lower, upper] = &seen.shards[..] else { panic!("the feedback shard is no part") };
        let own = ShardView {
            shard: ShardId(0),
            owner: Some((ME, Term(4))),
            done: 13,
            checkpoint: Some((10, 2)),
            is_ready: true,
        };
        assert_eq!(*lower, own);
        assert_eq!((upper.owner, upper.done), (Some((A, Term(2))), 20), "a checkpoint proves it");
        assert!(!upper.is_ready && seen.complete && seen.batches == 9);
    }

    #[test]
    fn where_peers_own_chapters_the_owner_of_the_chapter_in_hand_is_shown() {
        let plan = by_chapter(chain(2, 40, 10));
        let mut scene = Scene::new(plan.clone());
        scene.lease(&[chapter_lease(&plan, 0, 1, A), chapter_lease(&plan, 1, 1, B)]);
        scene.learn(A, [checkpoint(0, 10)]);
        let owners = Snapshot::of(&scene.known, 0).shards;
        let owners: Vec<_> = owners.iter().filter_map(|it| it.owner).map(|it| it.0).collect();
        assert_eq!(owners, [B, A]);
    }

    #[test]
    fn who_trained_what_and_how_well_it_does_is_shown() {
        let mut scene = Scene::new(chain(1, 40, 10));
        scene.learn(A, [checkpoint(0, 10), checkpoint(0, 20)]);
        scene.known.learn_score(score(1), &mut scene.out);
        let seen = Snapshot::of(&scene.known, 0);
        let span = Span { shard: ShardId(0), first: 0, last: 1, by: A };
        assert_eq!((seen.provenance, seen.scores), (vec![span], vec![score(1)]));
    }
}
