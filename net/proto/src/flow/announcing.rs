//! Announcing the batches that were made to their readers.
//!
//! Rule: what was made is kept at once and announced when no sibling of it is about to be made, so
//! that readers hear of a layer's step once, and ask for its bytes once. What a reader will not read
//! soon, or what is lost on the way, is announced in answer to its next request, with all that it has
//! room for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::batches::Batches;
use crate::known::Known;
use crate::known::own::BatchesView;
use crate::outbox::Outbox;
use crate::{Batch, Hash, MAX_BATCHES_PER_MESSAGE, Message, NodeId, ShardId};

/// The duty to keep and announce what was made.
#[derive(Debug, Default)]
pub(crate) struct Announcing {
    batches: Batches,
    /// Batches made lately and not announced yet: at most the shards of the layers and steps
    /// that the trainer has.
    unannounced: Vec<Batch>,
    /// Whether anything has changed since it was last published.
    changed: bool,
}

impl Announcing {
    /// Forgets what nobody can need, and tells the readers' owners of what was made. A reader needs the
    /// batches of all shards of a layer, so those of which the trainer is about to make another wait for
    /// it: one message, and one question for their bytes, for all.
    pub(crate) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        self.changed |= self.batches.forget(known, out);
        let made = std::mem::take(&mut self.unannounced);
        let (later, due): (Vec<Batch>, Vec<Batch>) =
            made.into_iter().partition(|batch| makes_sibling(batch, known));
        self.unannounced = later;
        let mut told: BTreeMap<NodeId, Vec<Batch>> = BTreeMap::new();
        for batch in due.into_iter().filter(|batch| self.batches.holds(batch)) {
            let readers = known.plan().readers(batch.shard).into_iter();
            let soon = readers.filter(|reader| reads_soon(*reader, batch.step, known));
            let owners: BTreeSet<NodeId> = soon.filter_map(|it| known.owner(it)).collect();
            for owner in owners {
                told.entry(owner).or_default().push(batch);
            }
        }
        for (reader, batches) in told {
            announce(reader, &batches, out);
        }
    }

    /// A job has made a batch, which is held.
    pub(crate) fn made(&mut self, batch: Batch, out: &mut Outbox) {
        self.changed = true;
        self.batches.put(batch, out);
        self.unannounced.push(batch);
    }

    /// `from` asks for the batches of `shards` for these steps.
    pub(crate) fn answer(
        &self,
        from: NodeId,
        shards: &BTreeSet<ShardId>,
        steps: &Range<u64>,
        out: &mut Outbox,
    ) {
        let held =
            |&shard: &ShardId| self.batches.of(shard, steps.clone()).take(MAX_BATCHES_PER_MESSAGE);
        let mut batches: Vec<Batch> = shards.iter().flat_map(held).collect();
        batches.sort_by_key(|batch| batch.step);
        announce(from, &batches, out);
    }

    /// The store lost a blob.
    pub(crate) fn lost(&mut self, hash: Hash, out: &mut Outbox) {
        self.changed = true;
        self.batches.lost(hash, out);
    }

    /// The batches held, if that has changed since the last time.
    pub(crate) fn view(&mut self) -> Option<BatchesView> {
        let changed = std::mem::take(&mut self.changed);
        changed.then(|| BatchesView { runs: self.batches.runs(), bytes: self.batches.bytes() })
    }
}

/// Whether `reader` does `step` before, or not long after, it says for the next time what it wants,
/// which it does four times in a window.
fn reads_soon(reader: ShardId, step: u64, known: &Known) -> bool {
    step < known.need(reader).saturating_add(known.config().window / 2)
}

/// Whether the trainer has the same step of another shard of the layer.
fn makes_sibling(batch: &Batch, known: &Known) -> bool {
    let layer = known.plan().layer(batch.shard);
    let mut jobs = known.own().jobs().filter(|job| known.plan().layer(job.shard) == layer);
    jobs.any(|job| known.own().jobs.in_trainer.contains(&(job.load, batch.step)))
}

/// Announces batches to a reader's owner.
fn announce(to: NodeId, batches: &[Batch], out: &mut Outbox) {
    for batches in batches.chunks(MAX_BATCHES_PER_MESSAGE) {
        out.send(to, Message::Announce(batches.to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::own::JobsView;
    use crate::testing::{A, ME, Scene, batch_blob, checkpoint, heartbeat, job, shard_lease};
    use crate::{Config, Heartbeat, Output, Plan, Role};

    /// ME owns the two lower shards, and `upper` those that read them; shards may run so far ahead.
    fn two_layers(upper: [NodeId; 2], window: u64) -> (Scene, Announcing) {
        let config = Config { window, ..Config::default() };
        let mut scene = Scene::with(Role::Worker, Plan::example(&[2, 2], 200, 50), config);
        scene.meet_all(&[A]);
        let owners = [ME, ME, upper[0], upper[1]].into_iter().zip(0..);
        owners.for_each(|(owner, shard)| scene.lease(&[shard_lease(shard, 1, owner, 0)]));
        scene.work([job(0, 0), job(1, 0)]);
        scene.look();
        scene.drain();
        (scene, Announcing::default())
    }

    fn batch(shard: u16, step: u64) -> Batch {
        Batch { shard: ShardId(shard), step, blob: batch_blob(shard, step) }
    }

    fn make(announcing: &mut Announcing, scene: &mut Scene, cells: &[(u16, u64)]) {
        for &(shard, step) in cells {
            scene.out.hold(batch_blob(shard, step).hash);
            announcing.made(batch(shard, step), &mut scene.out);
        }
    }

    /// The trainer has that step of these shards.
    fn in_trainer(scene: &mut Scene, shards: &[u16], step: u64) {
        let jobs = [job(0, step), job(1, step)];
        let steps = jobs.iter().filter(|job| shards.contains(&job.shard.0));
        let in_trainer = steps.map(|job| (job.load, step)).collect();
        let jobs = jobs.iter().map(|job| (job.task, *job)).collect();
        scene.known.publish_jobs(JobsView { jobs, in_trainer, ..JobsView::default() });
    }

    fn cells(message: &Message) -> Vec<(u16, u64)> {
        let Message::Announce(batches) = message else { return Vec::new() };
        batches.iter().map(|batch| (batch.shard.0, batch.step)).collect()
    }

    /// Announced batches, and the peers that were told.
    fn announced(scene: &mut Scene) -> Vec<(NodeId, Vec<(u16, u64)>)> {
        let to = |output: Output| {
            let Output::Send { to, message } = output else { return None };
            Some((to, cells(&message)))
        };
        scene.outputs().into_iter().filter_map(to).collect()
    }

    #[test]
    fn a_layers_step_is_announced_once() {
        let (mut scene, mut announcing) = two_layers([A, A], 32);
        in_trainer(&mut scene, &[1], 0);
        make(&mut announcing, &mut scene, &[(0, 0)]);
        announcing.settle(&scene.known, &mut scene.out);
        assert_eq!(announced(&mut scene), [], "its sibling is about to be made");
        in_trainer(&mut scene, &[], 0);
        make(&mut announcing, &mut scene, &[(1, 0)]);
        announcing.settle(&scene.known, &mut scene.out);
        assert_eq!(announced(&mut scene), [(A, vec![(0, 0), (1, 0)])]);
        announcing.settle(&scene.known, &mut scene.out);
        assert_eq!(announced(&mut scene), []);
    }

    #[test]
    fn what_is_read_later_is_announced_in_answer_to_a_request() {
        let (mut scene, mut announcing) = two_layers([A, A], 2);
        make(&mut announcing, &mut scene, &[(0, 0), (1, 0), (0, 1), (1, 1)]);
        announcing.settle(&scene.known, &mut scene.out);
        let first = [(A, vec![(0, 0), (1, 0)])];
        assert_eq!(announced(&mut scene), first, "step 1 is half a window away");
        let shards = BTreeSet::from([ShardId(0), ShardId(1)]);
        announcing.answer(A, &shards, &(1..3), &mut scene.out);
        assert_eq!(announced(&mut scene), [(A, vec![(0, 1), (1, 1)])]);
    }

    #[test]
    fn an_answer_comes_step_by_step_in_messages_that_keep_their_bound() {
        let (mut scene, mut announcing) = two_layers([A, A], 32);
        let all = (0..100).flat_map(|step| [(0, step), (1, step)]);
        make(&mut announcing, &mut scene, &all.collect::<Vec<_>>());
        let shards = BTreeSet::from([ShardId(0), ShardId(1)]);
        announcing.answer(A, &shards, &(10..200), &mut scene.out);
        let answers = announced(&mut scene);
        assert_eq!(answers.iter().map(|(_, it)| it.len()).collect::<Vec<_>>(), [64, 64]);
        assert_eq!(answers[0].1[..3], [(0, 10), (1, 10), (0, 11)]);
        assert_eq!(answers[1].1.last(), Some(&(1, 73)), "the rest is asked for later");
        let backwards = Range { start: 150, end: 20 };
        announcing.answer(A, &shards, &backwards, &mut scene.out);
        announcing.answer(A, &BTreeSet::new(), &(0..200), &mut scene.out);
        assert_eq!(announced(&mut scene), []);
    }

    #[test]
    fn each_owner_of_a_reader_hears_of_a_batch_and_this_peer_does_by_itself() {
        let (mut scene, mut announcing) = two_layers([A, ME], 32);
        make(&mut announcing, &mut scene, &[(0, 0)]);
        announcing.settle(&scene.known, &mut scene.out);
        assert_eq!(announced(&mut scene), [(A, vec![(0, 0)])]);
        let said = scene.out.said_to_self();
        assert_eq!(said.iter().map(cells).collect::<Vec<_>>(), [[(0, 0)]]);
    }

    #[test]
    fn what_is_lost_before_it_was_announced_is_not_announced() {
        let (mut scene, mut announcing) = two_layers([A, A], 32);
        in_trainer(&mut scene, &[1], 0);
        make(&mut announcing, &mut scene, &[(0, 0)]);
        announcing.settle(&scene.known, &mut scene.out);
        announcing.lost(batch_blob(0, 0).hash, &mut scene.out);
        assert_eq!(scene.outputs(), [Output::Drop(batch_blob(0, 0).hash)]);
        in_trainer(&mut scene, &[], 0);
        announcing.settle(&scene.known, &mut scene.out);
        announcing.answer(A, &BTreeSet::from([ShardId(0)]), &(0..9), &mut scene.out);
        assert_eq!(announced(&mut scene), []);
    }

    #[test]
    fn what_is_held_is_published_when_it_has_changed() {
        let (mut scene, mut announcing) = two_layers([A, A], 32);
        assert!(announcing.view().is_none());
        make(&mut announcing, &mut scene, &[(0, 0), (0, 1), (0, 5)]);
        let view = announcing.view().unwrap_or_default();
        assert_eq!((view.runs[&ShardId(0)].clone(), view.bytes), (vec![0..2, 5..6], 3));
        assert!(announcing.view().is_none());
        announcing.lost(batch_blob(0, 0).hash, &mut scene.out);
        let view = announcing.view().unwrap_or_default();
        assert_eq!((view.runs[&ShardId(0)].clone(), view.bytes), (vec![1..2, 5..6], 2));
        scene.hold([2, 3].map(|shard| checkpoint(shard, 50)));
        let progress = vec![(ShardId(2), 60), (ShardId(3), 60)];
        let held = [2, 3].map(|shard| checkpoint(shard, 50)).to_vec();
        scene.hear(A, Heartbeat { progress, held, ..heartbeat() });
        scene.look();
        announcing.settle(&scene.known, &mut scene.out);
        let view = announcing.view().map(|view| (view.runs.len(), view.bytes));
        assert_eq!(view, Some((0, 0)), "nobody needs them any more");
    }
}
