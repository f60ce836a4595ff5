//! The activation batches that a shard's job reads.
//!
//! Rule: a batch is known by its hash from the moment it is announced; of each, a few holders are
//! remembered. Another batch of the same shard and step is not taken in its place.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::outbox::Outbox;
use crate::{Batch, BlobRef, Hash, NodeId, ShardId};

/// Peers remembered as holders of one batch.
const MAX_HOLDERS: usize = 4;

/// An activation batch that a job will read.
#[derive(Clone, Debug)]
struct Input {
    blob: BlobRef,
    /// The peers that announced it.
    holders: Vec<NodeId>,
    /// Whether it is in the local store, held.
    here: bool,
}

/// The batches that a job will read, as far as they are known.
#[derive(Clone, Debug)]
pub(super) struct Inputs {
    /// The shards that it reads from.
    from: Vec<ShardId>,
    /// By step and by the position of the shard it reads from.
    steps: BTreeMap<u64, Vec<Option<Input>>>,
}

/// The origin of a batch that could not be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The peers that announced it.
    pub(super) senders: Vec<NodeId>,
    /// Whether this peer made it itself.
    pub(super) is_own: bool,
}

impl Inputs {
    pub(super) fn new(from: Vec<ShardId>) -> Self {
        Self { from, steps: BTreeMap::new() }
    }

    /// `sender` announces these batches; those of the steps in `room` are taken in.
    pub(super) fn announce(
        &mut self,
        (sender, me): (NodeId, NodeId),
        batches: &[Batch],
        room: &Range<u64>,
        out: &mut Outbox,
    ) {
        for &Batch { shard, step, blob } in batches.iter().filter(|it| room.contains(&it.step)) {
            let Some(position) = self.from.iter().position(|&input| input == shard) else {
                continue;
            };
            // What this peer announced to itself may be forgotten by now.
            if sender == me && !out.holds(blob.hash) {
                continue;
            }
            let inputs = self.steps.entry(step).or_insert_with(|| vec![None; self.from.len()]);
            let Some(input) = inputs.get_mut(position) else { continue };
            let input = input.get_or_insert(Input { blob, holders: Vec::new(), here: false });
            if input.blob != blob || input.here {
                continue;
            }
            if out.holds(blob.hash) {
                out.hold(blob.hash);
                input.here = true;
            } else if sender != me
                && input.holders.len() < MAX_HOLDERS
                && !input.holders.contains(&sender)
            {
                input.holders.push(sender);
            }
        }
    }

    /// A blob is here.
    pub(super) fn fetched(&mut self, hash: Hash, out: &mut Outbox) {
        let lacking = |input: &&mut Input| input.blob.hash == hash && !input.here;
        for input in self.steps.values_mut().flatten().flatten().filter(lacking) {
            input.here = true;
            out.hold(hash);
        }
    }

    /// `from` does not deliver a blob.
    pub(super) fn not_delivered(&mut self, hash: Hash, from: NodeId) {
        for entry in self.steps.values_mut().flatten() {
            let Some(input) = entry else { continue };
            if input.blob.hash == hash && !input.here {
                input.holders.retain(|holder| *holder != from);
                if input.holders.is_empty() {
                    *entry = None;
                }
            }
        }
    }

    /// The store lost a blob. Returns the steps that read it.
    pub(super) fn lost(&mut self, hash: Hash, out: &mut Outbox) -> Vec<u64> {
        let mut lost = Vec::new();
        for (&step, inputs) in &mut self.steps {
            for entry in inputs {
                let is_it = |input: &&mut Input| input.here && input.blob.hash == hash;
                let Some(input) = entry.as_mut().filter(is_it) else { continue };
                lost.push(step);
                input.here = false;
                if input.holders.is_empty() {
                    *entry = None;
                }
                out.release(hash);
            }
        }
        lost
    }

    /// Forgets the input of `step` that has this hash: it is no batch.
    pub(super) fn refuse(&mut self, step: u64, bad: Hash, out: &mut Outbox) -> Refusal {
        let is_bad =
            |input: &&mut Option<Input>| input.as_ref().is_some_and(|input| input.blob.hash == bad);
        let inputs = self.steps.get_mut(&step).into_iter().flatten().filter(is_bad);
        let mut refusal = Refusal::default();
        for input in inputs.filter_map(Option::take) {
            if input.here {
                out.release(bad);
            }
            refusal.is_own |= input.holders.is_empty();
            refusal.senders.extend(input.holders);
        }
        refusal
    }

    /// Forgets what would have been read for the steps below `until`.
    pub(super) fn discard(&mut self, until: u64, out: &mut Outbox) {
        let kept = self.steps.split_off(&until);
        let read = std::mem::replace(&mut self.steps, kept);
        let here = read.into_values().flatten().flatten().filter(|input| input.here);
        here.for_each(|input| out.release(input.blob.hash));
    }

    /// The inputs of `step`, if all of them are here.
    pub(super) fn here(&self, step: u64) -> Option<Vec<Hash>> {
        if self.from.is_empty() {
            return Some(Vec::new());
        }
        let inputs = self.steps.get(&step)?.iter();
        inputs.map(|input| input.as_ref().filter(|it| it.here).map(|it| it.blob.hash)).collect()
    }

    /// The shards whose batches of `step` were not announced.
    pub(super) fn missing(&self, step: u64) -> Vec<ShardId> {
        let inputs = self.steps.get(&step);
        let lacks =
            |at: usize| inputs.is_none_or(|inputs| inputs.get(at).is_none_or(Option::is_none));
        let from = self.from.iter().enumerate();
        from.filter(|(at, _)| lacks(*at)).map(|(_, shard)| *shard).collect()
    }

    /// The batches that were announced and are not here, each with a peer that has it.
    pub(super) fn announced(&self) -> impl Iterator<Item = (u64, BlobRef, NodeId)> + '_ {
        let inputs = self.steps.iter();
        let inputs = inputs.flat_map(|(&step, it)| it.iter().flatten().map(move |it| (step, it)));
        let lacking = inputs.filter(|(_, input)| !input.here);
        lacking.filter_map(|(step, input)| Some((step, input.blob, *input.holders.first()?)))
    }

    /// The batches that `peer` announced.
    pub(super) fn announced_by(&self, peer: NodeId) -> impl Iterator<Item = Hash> + '_ {
        let inputs = self.steps.values().flatten().flatten();
        inputs.filter(move |it| it.holders.contains(&peer)).map(|input| input.blob.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId([1; 32]);
    const A: NodeId = NodeId([2; 32]);
    const B: NodeId = NodeId([3; 32]);

    fn batch(shard: u16, step: u64) -> Batch {
        let hash = Hash::of(&[shard as u8, step as u8]);
        Batch { shard: ShardId(shard), step, blob: BlobRef { hash, size: 2 } }
    }

    fn inputs() -> (Inputs, Outbox) {
        (Inputs::new(vec![ShardId(0), ShardId(1)]), Outbox::new(ME))
    }

    #[test]
    fn a_step_can_be_read_when_all_of_it_is_here() {
        let (mut inputs, mut out) = inputs();
        let all = [batch(0, 3), batch(1, 3), batch(0, 9), batch(7, 3)];
        inputs.announce((A, ME), &all, &(3..9), &mut out);
        assert_eq!(inputs.announced().count(), 2, "one is too far ahead, one nobody reads");
        assert_eq!((inputs.missing(3).len(), inputs.missing(4).len()), (0, 2));
        inputs.fetched(all[0].blob.hash, &mut out);
        assert_eq!(inputs.here(3), None);
        inputs.fetched(all[1].blob.hash, &mut out);
        assert_eq!(inputs.here(3), Some(vec![all[0].blob.hash, all[1].blob.hash]));
        inputs.discard(4, &mut out);
        assert!(!out.holds(all[0].blob.hash), "what was read is not held any more");
        assert_eq!(Inputs::new(Vec::new()).here(0), Some(Vec::new()), "the lowest read nothing");
    }

    #[test]
    fn the_first_announcement_of_a_batch_stands_until_nobody_delivers_it() {
        let (mut inputs, mut out) = inputs();
        let (one, other) = (batch(0, 3), Batch { blob: batch(5, 5).blob, ..batch(0, 3) });
        inputs.announce((A, ME), &[one], &(0..9), &mut out);
        inputs.announce((B, ME), &[other], &(0..9), &mut out);
        assert_eq!(inputs.announced().collect::<Vec<_>>(), [(3, one.blob, A)]);
        inputs.not_delivered(one.blob.hash, B);
        assert_eq!(inputs.announced_by(A).count(), 1);
        inputs.not_delivered(one.blob.hash, A);
        inputs.announce((B, ME), &[other], &(0..9), &mut out);
        assert_eq!(inputs.announced().collect::<Vec<_>>(), [(3, other.blob, B)]);
    }

    #[test]
    fn what_this_peer_made_itself_is_read_where_it_is() {
        let (mut inputs, mut out) = inputs();
        let own = batch(1, 3);
        inputs.announce((ME, ME), &[own], &(0..9), &mut out);
        assert_eq!(inputs.missing(3).len(), 2, "it is forgotten already");
        out.hold(own.blob.hash);
        inputs.announce((ME, ME), &[own], &(0..9), &mut out);
        out.release(own.blob.hash);
        assert!(out.holds(own.blob.hash), "the reader holds it, too");
        let refusal = inputs.refuse(3, own.blob.hash, &mut out);
        assert_eq!(refusal, Refusal { senders: Vec::new(), is_own: true });
        assert!(!out.holds(own.blob.hash));
    }

    #[test]
    fn a_lost_or_false_batch_is_asked_for_again() {
        let (mut inputs, mut out) = inputs();
        let it = batch(0, 3);
        inputs.announce((A, ME), &[it], &(0..9), &mut out);
        inputs.announce((B, ME), &[it], &(0..9), &mut out);
        inputs.fetched(it.blob.hash, &mut out);
        assert_eq!(inputs.lost(it.blob.hash, &mut out), [3]);
        assert_eq!(inputs.announced().count(), 1);
        let refusal = inputs.refuse(3, it.blob.hash, &mut out);
        assert_eq!(refusal, Refusal { senders: vec![A, B], is_own: false });
        assert_eq!(inputs.missing(3), [ShardId(0), ShardId(1)]);
    }
}
