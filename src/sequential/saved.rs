//! A run that is trained in one process as checkpoints, and back.
//!
//! Rule: a run that is continued gives the same bytes as one that was never stopped. So it is continued
//! only at a step at which everything is there that the next step needs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use ffp2p_proto::{Checkpoint, Hash, NodeId, ShardId};

use super::Sequential;
use crate::{
    checkpoint,
    ff::{FeedbackTable, Network, ShardState},
};

/// Stands for the peer of checkpoints that were trained without a network.
pub(crate) const NO_NODE: NodeId = NodeId([0; 32]);

/// The bytes of checkpoints, by shard and steps done.
type Stored<'a> = BTreeMap<(ShardId, u64), &'a Bytes>;

impl Sequential {
    /// Everything from which the run can go on where it is now; empty where it cannot go on from
    /// here.
    pub fn checkpoints(&self) -> Vec<(Checkpoint, Bytes)> {
        let Some(step) = self.step() else { return Vec::new() };
        let network = &self.spec.network;
        let shards = network.shards().into_iter().zip(self.network.shards());
        let shards = shards.map(|(shard, state)| checkpoint::encode(state, network, shard));
        let shards = self.plan.model_shards().zip(shards);
        let shards = shards.map(|(shard, bytes)| made(shard, step, bytes));
        let tables = self.plan.feedback_shard().into_iter().flat_map(|shard| {
            let tables = self.table.iter().chain(&self.tables);
            let tables: BTreeMap<u64, _> = tables.map(|table| (table.step(), table)).collect();
            let encode = |table| checkpoint::encode_table(table, network);
            tables.into_iter().map(move |(step, table)| made(shard, step, encode(table)))
        });
        shards.chain(tables).collect()
    }

    /// Goes on at the furthest step for which `stored` has everything. Returns that step; 0 where
    /// there is none.
    pub fn resume(&mut self, stored: &[(Checkpoint, Bytes)]) -> u64 {
        let stored: Stored<'_> =
            stored.iter().map(|(it, bytes)| ((it.shard, it.step), bytes)).collect();
        let steps: BTreeSet<u64> = stored.keys().map(|(_, step)| *step).collect();
        let mut steps = steps.into_iter().rev().filter(|step| *step > 0);
        steps.find(|step| self.take_up_at(*step, &stored).is_some()).unwrap_or(0)
    }

    /// Takes the run up at `step`, if all is there and is what the spec asks for.
    fn take_up_at(&mut self, step: u64, stored: &Stored<'_>) -> Option<()> {
        if step > self.spec.network.steps || !self.may_begin_at(step) {
            return None;
        }
        let network = &self.spec.network;
        let state = |(number, shard): (ShardId, _)| -> Option<ShardState> {
            checkpoint::decode(stored.get(&(number, step))?, network, shard, step).ok()
        };
        let shards: Option<Vec<ShardState>> =
            self.plan.model_shards().zip(network.shards()).map(state).collect();
        let shards = Network::from_shards(network.clone(), shards?).ok()?;
        let (table, tables) = match self.plan.feedback_shard() {
            Some(shard) => self.tables_at(shard, step, stored)?,
            None => (None, VecDeque::new()),
        };
        (self.network, self.table, self.tables) = (shards, table, tables);
        Some(())
    }

    /// The table at `step`, and those of the ends of as many chapters before as are read again.
    fn tables_at(
        &self,
        shard: ShardId,
        step: u64,
        stored: &Stored<'_>,
    ) -> Option<(Option<FeedbackTable>, VecDeque<FeedbackTable>)> {
        let network = &self.spec.network;
        let table = |step: u64| {
            let (bytes, samples) = (stored.get(&(shard, step))?, self.schedule.samples());
            checkpoint::decode_table(bytes, network, samples, step).ok()
        };
        let ended = (0..self.plan.chapters()).map(|chapter| self.plan.chapter_start(chapter + 1));
        let ended: Vec<u64> = ended.take_while(|end| *end <= step).collect();
        let first = ended.len().saturating_sub(network.depth());
        let tables: Option<VecDeque<_>> = ended[first..].iter().map(|end| table(*end)).collect();
        Some((Some(table(step)?), tables?))
    }
}

fn made(shard: ShardId, step: u64, bytes: Vec<u8>) -> (Checkpoint, Bytes) {
    let blob = ffp2p_proto::BlobRef { hash: Hash::of(&bytes), size: bytes.len() as u64 };
    (Checkpoint { shard, step, blob, by: NO_NODE, loss_micro: 0 }, Bytes::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::Data,
        ff::{Delta, Inline, Negatives, Optimizer},
        schedule::Schedule,
        spec::{ActivationKind, Spec, SpecBuilder},
    };

    fn run(settings: SpecBuilder) -> Sequential {
        let settings = settings.layers([784, 16, 16]).batch_size(20).epochs(3).chapter_steps(5);
        let checked = settings.check(Data::open("digits:200+20").unwrap()).unwrap();
        let schedule = Schedule::new(&checked, 1).unwrap();
        Sequential::new(checked.spec, schedule)
    }

    fn adaptive() -> SpecBuilder {
        Spec::builder().negatives(Negatives::Adaptive)
    }

    /// Trains from where `run` is to the end; the model's hash.
    fn finish(mut run: Sequential) -> blake3::Hash {
        let first = run.plan.chapter_of(run.step().unwrap());
        for chapter in first..run.plan.chapters() {
            run.chapter(chapter, &Inline).unwrap();
        }
        run.network().model_hash()
    }

    #[test]
    fn a_run_goes_on_wherever_it_was_stopped() {
        let all = [
            Spec::builder(),
            adaptive(),
            Spec::builder().optimizer(Optimizer::Adam),
            adaptive().activations(ActivationKind::Refreshed),
        ];
        for settings in all {
            let whole = finish(run(settings.clone()));
            for chapters in 1..=6 {
                let mut stopped = run(settings.clone());
                (0..chapters).for_each(|chapter| drop(stopped.chapter(chapter, &Inline).unwrap()));
                let kept = stopped.checkpoints();
                let mut next = run(settings.clone());
                assert_eq!(next.resume(&kept), 5 * chapters);
                if chapters < 6 {
                    assert_eq!(finish(next), whole, "{settings:?} after {chapters} chapters");
                }
            }
        }
    }

    #[test]
    fn a_run_goes_on_in_the_middle_of_a_chapter() {
        let exact = || adaptive().delta(Delta::F32);
        let whole = finish(run(exact()));
        let mut stopped = run(exact());
        (0..3).for_each(|chapter| drop(stopped.chapter(chapter, &Inline).unwrap()));
        // Two steps of the next chapter.
        let losses = stopped.chapter_while(3, &Inline, &mut |done| done[0] < 17).unwrap();
        assert_eq!((losses, stopped.step()), (None, Some(17)));
        let mut next = run(exact());
        assert_eq!(next.resume(&stopped.checkpoints()), 17);
        assert_eq!(finish(next), whole);
    }

    #[test]
    fn a_step_of_which_something_is_missing_is_no_place_to_go_on() {
        let mut stopped = run(adaptive());
        let mut kept = Vec::new();
        for chapter in 0..4 {
            stopped.chapter(chapter, &Inline).unwrap();
            kept.extend(stopped.checkpoints());
        }
        for (shard, step, left) in [(0, 20, 15), (2, 20, 15), (2, 15, 10)] {
            let mut some = kept.clone();
            some.retain(|(it, _)| (it.shard, it.step) != (ShardId(shard), step));
            assert_eq!(run(adaptive()).resume(&some), left, "without shard {shard} at step {step}");
        }
        for (_, bytes) in &mut kept {
            *bytes = Bytes::copy_from_slice(&bytes[..bytes.len() - 1]);
        }
        assert_eq!(run(adaptive()).resume(&kept), 0);
        assert_eq!(run(adaptive()).resume(&[]), 0);
    }
}
