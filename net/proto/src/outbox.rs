//! The duties' results: outputs for the shell, and facts for what is known.
//!
//! Rule: a duty changes nothing but itself. What it finds out goes here and is taken in, in the
//! order in which it was put, before the next duty looks. A blob is held for as long as somebody
//! has a reason to, and dropped with the last.

use std::collections::VecDeque;

use crate::replication::blobs::Blobs;
use crate::{
    Batch, Change, Checkpoint, Hash, Lease, Message, NodeId, Notice, Output, Score, ShardId,
};

/// A finding or decision of a duty, for those that keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// This peer took these leases, or gave them away.
    Leases(Vec<Lease>),
    /// The trainer made this checkpoint; the store has it, held.
    Made(Checkpoint),
    /// The trainer made this change of a branch; the store has it, held.
    MadeChange(Change),
    /// The trainer made this checkpoint, and this mean; the store has both, held.
    Merged(Checkpoint, Change),
    /// This peer does not need its copy of that change any more.
    Settled(Change),
    /// The bytes of that blob have its hash and are no change.
    FalseChange(Hash),
    /// The trainer made this batch for the readers of its shard; the store has it, held.
    MadeBatch(Batch),
    /// A job has ended its shard: those below need not wait for it.
    Ended(ShardId),
    /// A job is taken up again or given up: the readers of its shard will be fed by others.
    TakenUp(ShardId),
    /// Inputs of a job in this step are asked for again after a while.
    AskLater(ShardId, u64),
    /// Inputs of a job are asked for again at once.
    AskAgain(ShardId),
    /// The bytes of that checkpoint have its hash and are none.
    Unreadable(ShardId, u64),
    /// This peer does not need its copy of that checkpoint any more.
    Forgettable(ShardId, u64),
    /// The first table that any shard could need.
    FirstTable(u64),
    /// Peers that say they hold the batch, or the table, of that shard and step do not deliver it.
    Undelivered(ShardId, u64),
    /// Tables that could not be read may be tried again.
    Retry(ShardId),
    /// A blob that was to be fetched is here already.
    Here(Hash),
    /// A blob of this peer's own making is no good.
    Spoiled(Hash),
    /// A peer sent a batch that is none.
    FalseBatch(NodeId),
    /// This peer found the score of an epoch.
    Scored(Score),
    /// This peer holds the whole model.
    Complete,
}

/// One thing that a duty wants, in order.
#[derive(Debug)]
pub(crate) enum Effect {
    /// For the shell.
    Output(Output),
    /// For what is known, and for other duties.
    Fact(Fact),
    /// A heartbeat ahead of its time, to these peers and then to all.
    Heartbeat(Vec<NodeId>),
}

/// The wishes of the duties, in order, and the blobs that are held.
#[derive(Debug)]
pub(crate) struct Outbox {
    me: NodeId,
    blobs: Blobs,
    effects: VecDeque<Effect>,
    /// Messages of this peer to itself: it may own neighbouring shards.
    inbox: Vec<Message>,
}

impl Outbox {
    pub(crate) fn new(me: NodeId) -> Self {
        Self { me, blobs: Blobs::default(), effects: VecDeque::new(), inbox: Vec::new() }
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.effects.push_back(Effect::Output(output));
    }

    pub(crate) fn notify(&mut self, notice: Notice) {
        self.push(Output::Notify(notice));
    }

    /// Says something to all others.
    pub(crate) fn say(&mut self, message: Message) {
        self.push(Output::Broadcast(message));
    }

    /// Says something to one peer, which may be this one.
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        if to == self.me {
            self.inbox.push(message);
        } else {
            self.push(Output::Send { to, message });
        }
    }

    pub(crate) fn fact(&mut self, fact: Fact) {
        self.effects.push_back(Effect::Fact(fact));
    }

    /// Says to these, and then to all, how this peer is now.
    pub(crate) fn heartbeat(&mut self, to: Vec<NodeId>) {
        self.effects.push_back(Effect::Heartbeat(to));
    }

    /// One more reason to hold a blob.
    pub(crate) fn hold(&mut self, hash: Hash) {
        self.blobs.hold(hash);
    }

    /// One reason less to hold a blob.
    pub(crate) fn release(&mut self, hash: Hash) {
        if self.blobs.release(hash) {
            self.push(Output::Drop(hash));
        }
    }

    /// Whether anybody has a reason to hold a blob.
    pub(crate) fn holds(&self, hash: Hash) -> bool {
        self.blobs.contains(hash)
    }

    /// The next thing that is wanted.
    pub(crate) fn next(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The messages of this peer to itself since the last look.
    pub(crate) fn said_to_self(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.inbox)
    }
}

#[cfg(test)]
impl Outbox {
    /// All that is wanted: outputs and facts, in order, apart.
    pub(crate) fn drain(&mut self) -> (Vec<Output>, Vec<Fact>) {
        let (mut outputs, mut facts) = (Vec::new(), Vec::new());
        while let Some(effect) = self.next() {
            match effect {
                Effect::Output(output) => outputs.push(output),
                Effect::Fact(fact) => facts.push(fact),
                Effect::Heartbeat(_) => {}
            }
        }
        (outputs, facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId([1; 32]);

    #[test]
    fn what_a_peer_says_to_itself_stays_here() {
        let mut out = Outbox::new(ME);
        out.send(ME, Message::Goodbye);
        out.send(NodeId([2; 32]), Message::Goodbye);
        assert_eq!(out.said_to_self(), [Message::Goodbye]);
        assert!(out.said_to_self().is_empty());
        let to = NodeId([2; 32]);
        assert_eq!(out.drain().0, [Output::Send { to, message: Message::Goodbye }]);
    }

    #[test]
    fn a_blob_is_dropped_with_the_last_reason() {
        let (mut out, hash) = (Outbox::new(ME), Hash([7; 32]));
        (0..2).for_each(|_| out.hold(hash));
        out.release(hash);
        assert!(out.holds(hash) && out.drain().0.is_empty());
        out.release(hash);
        assert!(!out.holds(hash));
        assert_eq!(out.drain().0, [Output::Drop(hash)]);
    }

    #[test]
    fn what_is_wanted_comes_out_in_the_order_in_which_it_was_put_in() {
        let mut out = Outbox::new(ME);
        out.fact(Fact::Complete);
        out.say(Message::Goodbye);
        out.heartbeat(vec![NodeId([2; 32])]);
        out.push(Output::Finished);
        let said = Output::Broadcast(Message::Goodbye);
        assert!(matches!(out.next(), Some(Effect::Fact(Fact::Complete))));
        assert!(matches!(out.next(), Some(Effect::Output(it)) if it == said));
        assert!(matches!(out.next(), Some(Effect::Heartbeat(to)) if to == [NodeId([2; 32])]));
        assert!(matches!(out.next(), Some(Effect::Output(Output::Finished))));
        assert!(out.next().is_none());
    }

    #[test]
    fn what_nobody_held_is_not_dropped() {
        let (mut out, hash) = (Outbox::new(ME), Hash([7; 32]));
        out.release(hash);
        assert!(out.drain().0.is_empty() && !out.holds(hash));
    }
}
