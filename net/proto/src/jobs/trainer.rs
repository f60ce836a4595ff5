//! The requests made of the trainer that it has not answered.
//!
//! Rule: at most [`MAX_TRAIN_IN_FLIGHT`] steps are with the trainer. What it reads is held until it
//! has answered, whatever becomes of the job meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use crate::outbox::Outbox;
use crate::{Hash, MAX_TRAIN_IN_FLIGHT};

/// Loads and steps handed to the trainer.
#[derive(Debug, Default)]
pub(super) struct InTrainer {
    /// Steps not answered, by load and step, with the blobs that each reads: the trainer may not
    /// have begun.
    steps: BTreeMap<(u64, u64), Vec<Hash>>,
    /// Loads not answered, with the checkpoint that each reads.
    loads: BTreeMap<u64, Hash>,
    last_load: u64,
}

impl InTrainer {
    /// Whether it takes another step.
    pub(super) fn has_room(&self) -> bool {
        self.steps.len() < MAX_TRAIN_IN_FLIGHT
    }

    /// The number of the next load, which reads this checkpoint.
    pub(super) fn load(&mut self, checkpoint: Option<Hash>, out: &mut Outbox) -> u64 {
        self.last_load += 1;
        if let Some(hash) = checkpoint {
            out.hold(hash);
            self.loads.insert(self.last_load, hash);
        }
        self.last_load
    }

    /// A load was answered.
    pub(super) fn loaded(&mut self, load: u64, out: &mut Outbox) {
        if let Some(hash) = self.loads.remove(&load) {
            out.release(hash);
        }
    }

    /// A step is handed to it, and reads these blobs.
    pub(super) fn begin(&mut self, load: u64, step: u64, reads: Vec<Hash>, out: &mut Outbox) {
        reads.iter().for_each(|hash| out.hold(*hash));
        self.steps.insert((load, step), reads);
    }

    /// A step was answered; what it read is not needed for that any more.
    pub(super) fn end(&mut self, load: u64, step: u64, out: &mut Outbox) {
        let read = self.steps.remove(&(load, step)).unwrap_or_default();
        read.into_iter().for_each(|hash| out.release(hash));
    }

    /// Whether it has that step.
    pub(super) fn has(&self, load: u64, step: u64) -> bool {
        self.steps.contains_key(&(load, step))
    }

    /// Load and step of all it has.
    pub(super) fn steps(&self) -> BTreeSet<(u64, u64)> {
        self.steps.keys().copied().collect()
    }

    /// The store lost a blob: what reads it may be answered as not done. Returns the loads that read it.
    pub(super) fn lost(&mut self, hash: Hash, out: &mut Outbox) -> Vec<u64> {
        for reads in self.steps.values_mut() {
            let before = reads.len();
            reads.retain(|it| *it != hash);
            (reads.len()..before).for_each(|_| out.release(hash));
        }
        let lost: Vec<u64> =
            self.loads.iter().filter(|(_, it)| **it == hash).map(|(load, _)| *load).collect();
        lost.iter().for_each(|load| self.loaded(*load, out));
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;

    #[test]
    fn what_is_read_is_held_until_the_answer() {
        let (mut trainer, mut out) = (InTrainer::default(), Outbox::new(NodeId([1; 32])));
        let (a, b) = (Hash::of(b"a"), Hash::of(b"b"));
        let load = trainer.load(Some(a), &mut out);
        assert!(out.holds(a) && trainer.load(None, &mut out) == load + 1);
        trainer.loaded(load, &mut out);
        assert!(!out.holds(a));
        (0..MAX_TRAIN_IN_FLIGHT as u64)
            .for_each(|step| trainer.begin(7, step, vec![a, b], &mut out));
        assert!(!trainer.has_room() && trainer.has(7, 0) && !trainer.has(8, 0));
        trainer.end(7, 0, &mut out);
        trainer.end(7, 0, &mut out);
        assert!(out.holds(a) && trainer.has_room());
        assert!(trainer.lost(a, &mut out).is_empty() && !out.holds(a) && out.holds(b));
        trainer.end(7, 1, &mut out);
        assert!(!out.holds(b), "each reason ends once");
    }

    #[test]
    fn a_lost_checkpoint_ends_its_loads() {
        let (mut trainer, mut out) = (InTrainer::default(), Outbox::new(NodeId([1; 32])));
        let hash = Hash::of(b"a");
        let loads = [trainer.load(Some(hash), &mut out), trainer.load(Some(hash), &mut out)];
        assert_eq!(trainer.lost(hash, &mut out), loads);
        assert!(!out.holds(hash));
    }
}
