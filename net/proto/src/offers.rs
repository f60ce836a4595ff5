//! Telling readers of the batches that were made.
//!
//! Rule: what was made is kept at once and told of when no sibling of it is about to be made, so
//! that readers hear of a layer's step once, and ask for its bytes once. What a reader will not read
//! soon, or what is lost on the way, is told of in answer to its next want, with all that it has room
//! for.

use std::collections::{BTreeMap, BTreeSet};

use crate::{BlobRef, MAX_BATCHES_PER_HAVE, Message, NodeId, Offer, ShardId, state::State};

impl State {
    /// Keeps the batch just made; `announce` tells of it.
    pub(crate) fn offer(&mut self, shard: ShardId, step: u64, blob: BlobRef) {
        let old = self.retained.entry(shard).or_default().insert(step, blob);
        if let Some(old) = old {
            self.release(old.hash);
        }
        self.unannounced.push(Offer { shard, step, blob });
    }

    /// Tells the readers' owners of what was made. A reader needs the batches of all shards of a
    /// layer, so those of which the trainer is about to make another wait for it: one message,
    /// and one question for their bytes, for all.
    pub(crate) fn announce(&mut self) {
        let made = std::mem::take(&mut self.unannounced);
        let (later, due): (Vec<Offer>, Vec<Offer>) =
            made.into_iter().partition(|offer| self.makes_sibling(offer));
        self.unannounced = later;
        let mut told: BTreeMap<NodeId, Vec<Offer>> = BTreeMap::new();
        for offer in due {
            let held = self.retained.get(&offer.shard).and_then(|it| it.get(&offer.step));
            if held != Some(&offer.blob) {
                continue;
            }
            let readers = self.plan.readers(offer.shard).into_iter();
            let soon = readers.filter(|reader| self.reads_soon(*reader, offer.step));
            let owners: BTreeSet<NodeId> = soon.filter_map(|it| self.leases.owner(it)).collect();
            for owner in owners {
                told.entry(owner).or_default().push(offer);
            }
        }
        for (reader, offers) in told {
            self.tell(reader, &offers);
        }
    }

    /// Whether `reader` does `step` before, or not long after, it says for the next time what it wants,
    /// which it does four times in a window.
    fn reads_soon(&self, reader: ShardId, step: u64) -> bool {
        step < self.need(reader, &self.starts).saturating_add(self.config.window / 2)
    }

    /// Whether the trainer has the same step of another shard of the layer.
    fn makes_sibling(&self, offer: &Offer) -> bool {
        let layer = self.plan.layer(offer.shard);
        let mut shards = self.owned.iter().filter(|(shard, _)| self.plan.layer(**shard) == layer);
        shards.any(|(_, owned)| self.training.contains_key(&(owned.load, offer.step)))
    }

    /// Tells a reader's owner of batches.
    pub(crate) fn tell(&mut self, to: NodeId, offers: &[Offer]) {
        for offers in offers.chunks(MAX_BATCHES_PER_HAVE) {
            self.send(to, Message::Have(offers.to_vec()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Hash, Input, Output, Plan, Role, Time};

    /// A peer that has just become the owner of two shards of the lowest of two layers, what it does
    /// then, and the owner of the rest; shards may run so far ahead.
    fn two_shards(window: u64) -> (State, Vec<Output>, NodeId) {
        let plan = Plan::example(&[2, 2], 8, 4);
        let (me, other) = (NodeId([1; 32]), NodeId([2; 32]));
        let config = Config { window, ..Config::default() };
        let mut state = State::new(me, Role::Worker, plan, config, Time(0));
        state.handle(Input::Connected(other), Time(0));
        let lease = |shard, owner| crate::Lease {
            shard: ShardId(shard),
            term: crate::Term(9),
            owner,
            from: 0,
        };
        let leases = [lease(0, me), lease(1, me), lease(2, other), lease(3, other)];
        let message = Message::Leases(leases.to_vec());
        let jobs = state.handle(Input::Received { from: other, message }, Time(900));
        (state, jobs, other)
    }

    /// Answers what the trainer is asked to do, one thing at a time; returns what was told to whom.
    fn told(state: &mut State, mut jobs: Vec<Output>) -> Vec<(NodeId, Vec<(u16, u64)>)> {
        let mut told = Vec::new();
        while !jobs.is_empty() {
            let job = jobs.remove(0);
            if let Output::Send { to, message: Message::Have(offers) } = &job {
                told.push((*to, offers.iter().map(|it| (it.shard.0, it.step)).collect()));
            }
            let input = if let Output::Load { shard, load, .. } = job {
                Input::Loaded { shard, load, ok: true }
            } else if let Output::Train { shard, load, step: step @ 0..2, .. } = job {
                let batch = BlobRef { hash: Hash::of(&[shard.0 as u8, step as u8]), size: 2 };
                Input::Trained { shard, load, step, batch: Some(batch), checkpoint: None }
            } else {
                continue;
            };
            jobs.extend(state.handle(input, Time(1_000)));
        }
        told
    }

    #[test]
    fn a_layers_step_is_told_of_once() {
        let (mut state, jobs, other) = two_shards(32);
        let steps = |step| (other, vec![(0, step), (1, step)]);
        assert_eq!(told(&mut state, jobs), [steps(0), steps(1)]);
    }

    #[test]
    fn what_is_read_later_is_told_of_in_answer_to_a_want() {
        let (mut state, jobs, other) = two_shards(2);
        let first = (other, vec![(0, 0), (1, 0)]);
        assert_eq!(told(&mut state, jobs), [first], "step 1 is half a window away");
        let shards = vec![ShardId(0), ShardId(1)];
        let message = Message::Want { seq: 1, reader: ShardId(2), shards, from: 1, until: 3 };
        let answer = state.handle(Input::Received { from: other, message }, Time(1_100));
        let said: Vec<_> =
            answer.into_iter().filter(|it| matches!(it, Output::Send { .. })).collect();
        assert_eq!(told(&mut state, said), [(other, vec![(0, 1), (1, 1)])]);
    }
}
