//! Blobs that the store lost: a disk that cannot be read, a file that somebody removed.
//!
//! Rule: from then on it is as if this peer had never had the blob. So it is fetched again where
//! others have it and made again where nobody has, by the same ways as what a dead peer held; and
//! nobody is blamed.

use crate::{Hash, ShardId, state::State, work::Phase};

impl State {
    /// A blob cannot be read any more. Every reason to hold it ends here.
    pub(crate) fn on_lost(&mut self, hash: Hash) {
        let ended = self.spoil_jobs(hash) + self.spoil_inputs(hash) + self.lose_batches(hash);
        (0..ended).for_each(|_| self.release(hash));
        let spoiled = self.columns.iter().filter(|(_, column)| column.needs(hash));
        for chapter in spoiled.map(|(&chapter, _)| chapter).collect::<Vec<u64>>() {
            self.restart(chapter);
        }
        let held = self.archive.held_by(self.me).filter(|it| it.blob.hash == hash);
        let cells: Vec<(ShardId, u64)> = held.map(|it| (it.shard, it.step)).collect();
        for (shard, step) in cells {
            self.lose_copy(shard, step, self.me);
            self.lacks_model(step);
            self.unscored.retain(|epoch| self.plan.epoch_end(*epoch) != step);
        }
    }

    /// What the trainer and the scorer have and reads it may be answered as not done. Returns how
    /// many reasons to hold it ended.
    fn spoil_jobs(&mut self, hash: Hash) -> usize {
        let mut ended = 0;
        for read in self.training.values_mut().chain(&mut self.scoring) {
            let before = read.len();
            read.retain(|it| *it != hash);
            ended += before - read.len();
        }
        let loads = self.loading.iter().filter(|(_, it)| **it == hash);
        for load in loads.map(|(&load, _)| load).collect::<Vec<u64>>() {
            self.loading.remove(&load);
            ended += 1;
            let owned = self.owned.values_mut().map(|it| (it.load, &mut it.phase));
            let columns = self.columns.values_mut().map(|it| (it.load, &mut it.phase));
            let of_it = owned.chain(columns).filter(|(of, _)| *of == load);
            of_it.for_each(|(_, phase)| *phase = Phase::Seeking);
        }
        ended
    }

    /// Shards of this peer lack it. A shard that was trained with it and has not handed that on yet is
    /// taken up again from a checkpoint. Returns how many reasons to hold it ended.
    fn spoil_inputs(&mut self, hash: Hash) -> usize {
        let mut ended = 0;
        for (&shard, owned) in &mut self.owned {
            let hands_on = self.plan.is_refreshed(shard);
            let mut again = false;
            for (&step, slots) in &mut owned.inputs {
                for entry in slots {
                    let is_it = |slot: &&mut crate::work::Slot| slot.here && slot.blob.hash == hash;
                    let Some(slot) = entry.as_mut().filter(is_it) else { continue };
                    ended += 1;
                    again |= hands_on && step < owned.done;
                    slot.here = false;
                    owned.wanted = None;
                    if slot.holders.is_empty() {
                        *entry = None;
                    }
                }
            }
            if owned.table.take_if(|(_, table)| *table == hash).is_some() {
                ended += 1;
                again |= hands_on && owned.handed < owned.done;
            }
            if again && owned.phase == Phase::Ready {
                owned.take_up_again();
            }
        }
        ended
    }

    /// It is not offered any more. Returns how many reasons to hold it ended.
    fn lose_batches(&mut self, hash: Hash) -> usize {
        let mut ended = 0;
        for batches in self.retained.values_mut() {
            let before = batches.len();
            batches.retain(|_, blob| blob.hash != hash);
            ended += before - batches.len();
        }
        self.retained.retain(|_, batches| !batches.is_empty());
        ended
    }
}

#[cfg(test)]
#[path = "lost_tests.rs"]
mod tests;
