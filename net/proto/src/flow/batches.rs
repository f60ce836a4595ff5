//! The activation batches that this peer made and still holds.
//!
//! Rule: what is kept for recovery is bounded in bytes, and the bound never stops the run. What a
//! reader has still to read is always kept; of what it has read the oldest goes first, which makes
//! recovery dearer, never wrong.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::known::Known;
use crate::outbox::Outbox;
use crate::replication::retention::needed_steps;
use crate::{Batch, BlobRef, Hash, ShardId};

/// Batches by shard and step, each held.
#[derive(Debug, Default)]
pub(super) struct Batches {
    made: BTreeMap<ShardId, BTreeMap<u64, BlobRef>>,
    bytes: u64,
}

impl Batches {
    /// Keeps a batch that was just made and is held.
    pub(super) fn put(&mut self, Batch { shard, step, blob }: Batch, out: &mut Outbox) {
        self.bytes = self.bytes.saturating_add(blob.size);
        if let Some(old) = self.made.entry(shard).or_default().insert(step, blob) {
            self.bytes = self.bytes.saturating_sub(old.size);
            out.release(old.hash);
        }
    }

    /// Whether that very batch is still held.
    pub(super) fn holds(&self, batch: &Batch) -> bool {
        self.made.get(&batch.shard).and_then(|it| it.get(&batch.step)) == Some(&batch.blob)
    }

    /// The batches of `shard` for these steps.
    pub(super) fn of(&self, shard: ShardId, steps: Range<u64>) -> impl Iterator<Item = Batch> {
        let held = self.made.get(&shard).into_iter();
        let held = held.flat_map(move |it| it.range(steps.start..steps.end.max(steps.start)));
        held.map(move |(&step, &blob)| Batch { shard, step, blob })
    }

    /// The unbroken runs of steps, by shard.
    pub(super) fn runs(&self) -> BTreeMap<ShardId, Vec<Range<u64>>> {
        let runs = |batches: &BTreeMap<u64, BlobRef>| {
            let mut runs: Vec<Range<u64>> = Vec::new();
            for &step in batches.keys() {
                match runs.last_mut() {
                    Some(run) if run.end == step => run.end = step + 1,
                    _ => runs.push(step..step + 1),
                }
            }
            runs
        };
        self.made.iter().map(|(&shard, batches)| (shard, runs(batches))).collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Forgets the batches whose readers have a checkpoint beyond them; and beyond the bounds those
    /// that every reader has read, the oldest first.
    ///
    /// Returns whether there were any.
    pub(super) fn forget(&mut self, known: &Known, out: &mut Outbox) -> bool {
        if self.made.is_empty() {
            return false;
        }
        let before = self.bytes;
        let (plan, config) = (known.plan(), known.config());
        let needed = needed_steps(known, known.wanted_holders());
        let kept = self.bytes.saturating_add(known.own().jobs.bytes);
        let mut excess = kept.saturating_sub(config.batch_bytes);
        // More would only serve a reader that takes no checkpoints.
        let most = config.window.saturating_add(3 * plan.chapter_steps);
        for (&shard, batches) in &mut self.made {
            let readers = plan.readers(shard);
            let safe = readers.iter().map(|reader| needed[usize::from(reader.0)]).min();
            let read = readers.iter().map(|reader| known.need(*reader)).min();
            let (safe, read) = (safe.unwrap_or(0), read.unwrap_or(0));
            while let Some((&step, &blob)) = batches.first_key_value() {
                let is_over = excess > 0 || batches.len() as u64 > most;
                if step >= safe && !(is_over && step < read) {
                    break;
                }
                batches.remove(&step);
                excess = excess.saturating_sub(blob.size);
                self.bytes = self.bytes.saturating_sub(blob.size);
                out.release(blob.hash);
            }
        }
        self.made.retain(|_, batches| !batches.is_empty());
        self.bytes < before
    }

    /// The store lost a blob: it is not announced any more.
    pub(super) fn lost(&mut self, hash: Hash, out: &mut Outbox) {
        for batches in self.made.values_mut() {
            batches.retain(|_, blob| {
                let stays = blob.hash != hash;
                if !stays {
                    self.bytes = self.bytes.saturating_sub(blob.size);
                    out.release(hash);
                }
                stays
            });
        }
        self.made.retain(|_, batches| !batches.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::own::JobsView;
    use crate::testing::{A, B, ME, Scene, batch_blob, chain, checkpoint, heartbeat, shard_lease};
    use crate::{Config, Heartbeat, Output, Plan, Role};

    /// ME owns a shard and has made so many batches; A reads them and is at step 15. B is here, too.
    fn read_by_a(made: u64, config: Config) -> (Scene, Batches) {
        let mut scene = Scene::with(Role::Worker, chain(2, 100, 10), config);
        scene.meet_all(&[A, B]);
        scene.lease(&[shard_lease(0, 1, ME, 0), shard_lease(1, 1, A, 0)]);
        scene.hear(A, Heartbeat { progress: vec![(ShardId(1), 15)], ..heartbeat() });
        scene.look();
        let mut batches = Batches::default();
        for step in 0..made {
            scene.out.hold(batch_blob(0, step).hash);
            batches.put(batch(step), &mut scene.out);
        }
        scene.drain();
        (scene, batches)
    }

    fn batch(step: u64) -> Batch {
        Batch { shard: ShardId(0), step, blob: batch_blob(0, step) }
    }

    /// The steps whose batches are still there after what can be forgotten was, all of which are held,
    /// and no others.
    fn left(scene: &mut Scene, batches: &mut Batches, made: u64) -> Range<u64> {
        let before = batches.bytes();
        let forgets = batches.forget(&scene.known, &mut scene.out);
        assert_eq!(forgets, batches.bytes() < before);
        let run = batches.runs().remove(&ShardId(0)).map_or(0..0, |runs| runs[0].clone());
        assert_eq!(batches.bytes(), run.end - run.start);
        let is_held = |step: u64| scene.out.holds(batch_blob(0, step).hash);
        assert!((0..made).all(|step| is_held(step) == run.contains(&step)));
        run
    }

    #[test]
    fn a_batch_is_kept_until_enough_peers_hold_a_checkpoint_of_its_reader_beyond_it() {
        let (mut scene, mut batches) = read_by_a(20, Config::default());
        scene.learn(A, [checkpoint(1, 10)]);
        scene.learn(B, [checkpoint(1, 10)]);
        scene.look();
        assert_eq!(left(&mut scene, &mut batches, 20), 0..20, "this peer has no copy of it");
        scene.hold([checkpoint(1, 10)]);
        scene.look();
        assert_eq!(left(&mut scene, &mut batches, 20), 10..20);
    }

    #[test]
    fn beyond_the_bound_the_oldest_that_were_read_are_forgotten() {
        for (batch_bytes, left_from) in [(20, 0), (12, 8), (0, 15)] {
            let config = Config { batch_bytes, ..Config::default() };
            let (mut scene, mut batches) = read_by_a(20, config);
            assert_eq!(left(&mut scene, &mut batches, 20), left_from..20);
        }
        let config = Config { batch_bytes: 20, ..Config::default() };
        let (mut scene, mut batches) = read_by_a(20, config);
        scene.known.publish_jobs(JobsView { bytes: 3, ..JobsView::default() });
        assert_eq!(left(&mut scene, &mut batches, 20), 3..20, "jobs keep batches, too");
    }

    #[test]
    fn the_slowest_of_several_readers_decides() {
        let config = Config { batch_bytes: 0, replicas: 0, ..Config::default() };
        let mut scene = Scene::with(Role::Worker, Plan::example(&[1, 2], 100, 10), config);
        scene.meet_all(&[A, B]);
        scene.lease(&[(0, ME), (1, A), (2, B)].map(|(shard, id)| shard_lease(shard, 1, id, 0)));
        let b_is_at = |scene: &mut Scene, done| {
            scene.hear(B, Heartbeat { progress: vec![(ShardId(2), done)], ..heartbeat() });
            scene.look();
        };
        let held = vec![checkpoint(1, 10)];
        let progress = vec![(ShardId(1), 15)];
        scene.hear(A, Heartbeat { progress, held, ..heartbeat() });
        b_is_at(&mut scene, 4);
        let mut batches = Batches::default();
        for step in 0..20 {
            scene.out.hold(batch_blob(0, step).hash);
            batches.put(batch(step), &mut scene.out);
        }
        assert_eq!(left(&mut scene, &mut batches, 20), 4..20, "B has still to read the others");
        b_is_at(&mut scene, 9);
        assert_eq!(left(&mut scene, &mut batches, 20), 9..20);
    }

    #[test]
    fn a_reader_that_takes_no_checkpoints_does_not_have_all_kept_for_it() {
        let config = Config { window: 0, ..Config::default() };
        let (mut scene, mut batches) = read_by_a(40, config);
        assert_eq!(left(&mut scene, &mut batches, 40), 10..40, "three chapters are enough");
        let (mut scene, mut batches) = read_by_a(60, Config { window: 0, ..Config::default() });
        assert_eq!(left(&mut scene, &mut batches, 60), 15..60, "the others have still to be read");
    }

    #[test]
    fn once_this_peer_holds_the_model_batches_go_with_their_readers_checkpoints() {
        let (mut scene, mut batches) = read_by_a(40, Config::default());
        scene.known.complete();
        scene.hold([checkpoint(1, 100)]);
        scene.learn(A, [checkpoint(1, 100)]);
        scene.learn(B, [checkpoint(1, 100)]);
        scene.look();
        assert_eq!(left(&mut scene, &mut batches, 40), 0..0);
        assert!(!batches.forget(&scene.known, &mut scene.out) && batches.runs().is_empty());
    }

    #[test]
    fn a_batch_that_is_made_again_takes_the_place_of_the_first() {
        let (mut scene, mut batches) = read_by_a(3, Config::default());
        let again = Batch { blob: BlobRef { size: 5, ..batch_blob(7, 1) }, ..batch(1) };
        scene.out.hold(again.blob.hash);
        batches.put(again, &mut scene.out);
        assert_eq!(scene.outputs(), [Output::Drop(batch(1).blob.hash)]);
        assert!(batches.holds(&again) && !batches.holds(&batch(1)));
        assert_eq!((batches.bytes(), batches.of(ShardId(0), 1..2).next()), (7, Some(again)));
        batches.lost(again.blob.hash, &mut scene.out);
        assert!(!scene.out.holds(again.blob.hash) && batches.bytes() == 2);
        assert_eq!(batches.runs()[&ShardId(0)], [0..1, 2..3]);
        [0, 2].iter().for_each(|step| batches.lost(batch_blob(0, *step).hash, &mut scene.out));
        assert!(batches.runs().is_empty());
    }
}
