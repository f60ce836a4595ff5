//! Things that happen to a peer, and the duty that each is for.
//!
//! Rule: an input changes what is known, or the one duty that waits for it; nothing is decided here.
//! A fact that a duty has found out comes the same way.

use std::collections::BTreeSet;

use super::State;
use crate::jobs::Answered;
use crate::outbox::Fact;
use crate::{
    Hash, Heartbeat, Input, Lease, MAX_LIST, Message, NodeId, Notice, Output, Role, ShardId,
};

/// The reproach to a peer whose batch a trainer cannot read.
const FALSE_BATCH: &str = "an activation batch of the wrong shape or with numbers out of range";

/// The reproach to a peer that sent other bytes than it was asked for.
const FALSE_BYTES: &str = "bytes that do not have the hash they were asked for by";

impl State {
    /// Changes what is known, and tells the duty that waits for it.
    pub(super) fn take_in(&mut self, input: Input) {
        let Self { known, jobs, out, .. } = self;
        match input {
            Input::Wakeup => {}
            Input::Connected(peer) => self.on_connected(peer),
            Input::Disconnected(peer) => {
                known.disconnected(peer);
                self.abandon_fetches(peer);
            }
            Input::Received { from, message } => self.on_message(from, message),
            Input::Loaded { load, ok, .. } => jobs.loaded(load, ok, out),
            Input::Trained { load, step, batch, checkpoint, .. } => {
                jobs.trained(Answered { load, step }, batch, checkpoint, known, out);
            }
            Input::Refreshed { load, step, batch, .. } => {
                jobs.refreshed(Answered { load, step }, batch, known, out);
            }
            Input::Refused { load, step, bad, .. } => {
                jobs.refused(Answered { load, step }, bad, known, out);
            }
            Input::Merged { shard, step, outcome } => {
                jobs.merged((shard, step), outcome, known, out);
            }
            Input::Fetched { hash } => self.on_fetched(hash),
            Input::FetchFailed { hash, from, lied } => {
                self.on_fetch_failed(hash, from);
                if lied {
                    self.on_lie(from, FALSE_BYTES);
                }
            }
            Input::Lost { hash } => self.on_lost(hash),
            Input::Unusable { shard, step } => {
                known.unreadable(shard, step, out);
                known.lacks_model(step);
            }
            Input::Evaluated(score) => self.scoring.scored(score, known, out),
            Input::Speed(speed) => {
                if known.set_speed(speed) {
                    self.timers.beat_now(known.now());
                }
            }
            Input::Restored(checkpoint) => known.restore(checkpoint, out),
            Input::Leave => {
                known.leave();
                self.timers.beat_now(known.now());
            }
        }
    }

    /// Takes in what a duty has found out.
    pub(super) fn on_fact(&mut self, fact: Fact) {
        let Self { known, out, .. } = self;
        match fact {
            Fact::Leases(leases) => self.merge_leases(&leases),
            Fact::Made(checkpoint) => {
                // It is kept before anybody is told of it.
                known.made(checkpoint, out);
                out.say(Message::Checkpoints(vec![checkpoint]));
            }
            Fact::MadeChange(change) => {
                known.made_change(change, out);
                out.say(Message::Changes(vec![change]));
            }
            Fact::Merged(checkpoint, mean) => {
                known.made_change(mean, out);
                known.made(checkpoint, out);
                out.say(Message::Merged { checkpoint, mean });
            }
            Fact::Settled(change) => known.settle_change(&change, out),
            Fact::FalseChange(hash) => known.refuse_change(hash, out),
            Fact::MadeBatch(batch) => self.announcing.made(batch, out),
            Fact::Ended(shard) => {
                let steps = known.plan().steps;
                known.note_progress(shard, steps);
                self.flow_control.request(shard, steps, known, out);
            }
            Fact::TakenUp(shard) => self.starvation.forget(shard),
            Fact::AskLater(shard, step) => self.flow_control.ask_later(shard, step, known),
            Fact::AskAgain(shard) => self.flow_control.ask_again(shard),
            Fact::Unreadable(shard, step) => known.unreadable(shard, step, out),
            Fact::Forgettable(shard, step) => known.lose_own_copy(shard, step, out),
            Fact::FirstTable(step) => known.set_first_table(step),
            Fact::Undelivered(shard, step) => known.suspect_holders(shard, step),
            Fact::Retry(shard) => known.retry(shard),
            Fact::Here(hash) => self.on_fetched(hash),
            Fact::Spoiled(hash) => self.on_lost(hash),
            Fact::FalseBatch(peer) => self.on_lie(peer, FALSE_BATCH),
            Fact::Scored(score) => known.learn_score(score, out),
            Fact::Complete => known.complete(),
        }
    }

    fn on_connected(&mut self, peer: NodeId) {
        self.known.connected(peer);
        let heartbeat = self.heartbeat();
        self.out.send(peer, heartbeat);
        for spans in self.known.provenance().spans().chunks(MAX_LIST) {
            self.out.send(peer, Message::Provenance(spans.to_vec()));
        }
    }

    pub(super) fn on_message(&mut self, from: NodeId, message: Message) {
        let Self { known, out, .. } = self;
        if !message.is_bounded() {
            return known.blame(from, "a message with a list longer than any honest one", out);
        }
        let is_other = from != known.me() && message != Message::Goodbye;
        if is_other && !known.heard(from) {
            return;
        }
        match message {
            Message::Heartbeat(heartbeat) => self.on_heartbeat(from, heartbeat),
            Message::Leases(leases) => self.merge_leases(&leases),
            Message::Checkpoints(list) => {
                list.into_iter().for_each(|it| known.learn_from(it, from, out));
            }
            Message::Changes(list) => {
                list.into_iter().for_each(|it| known.learn_change(it, from, out));
            }
            Message::Merged { checkpoint, mean } => {
                known.learn_change(mean, from, out);
                known.learn_from(checkpoint, from, out);
            }
            Message::Score(score) => known.learn_score(score, out),
            Message::Goodbye => {
                if let Some(role) = known.depart(from) {
                    self.on_gone(from, role, true);
                }
            }
            Message::Request { seq, reader, shards, from: step, until } => {
                if known.is_new_request(from, seq) {
                    self.on_request(from, (reader, &shards), (step, until));
                }
            }
            Message::Announce(batches) => {
                known.announces(from, |shard| batches.iter().any(|it| it.shard == shard));
                self.jobs.announced(from, &batches, known, out);
            }
            Message::Provenance(spans) => known.learn_provenance(spans),
        }
    }

    fn on_heartbeat(&mut self, from: NodeId, mut heartbeat: Heartbeat) {
        let Some(is_new) = self.known.on_heartbeat(from, &mut heartbeat) else { return };
        if is_new {
            self.out.notify(Notice::PeerJoined { peer: from, role: heartbeat.role });
            self.timers.beat_now(self.known.now());
        }
        self.merge_leases(&std::mem::take(&mut heartbeat.leases));
        self.known.learn_status(from, heartbeat, &mut self.out);
    }

    /// Takes in leases that somebody announced, or that this peer took or gave.
    fn merge_leases(&mut self, leases: &[Lease]) {
        for &lease in leases {
            if self.known.merge_lease(lease, &mut self.out) {
                self.jobs.on_lease(lease, &self.known, &mut self.out);
            }
        }
    }

    /// `from` asks for batches of `shards`, which `reader` reads, from one step on up to another.
    fn on_request(
        &mut self,
        from: NodeId,
        (reader, shards): (ShardId, &[ShardId]),
        (step, until): (u64, u64),
    ) {
        let Self { known, starvation, out, .. } = self;
        let inputs = known.plan().inputs(reader);
        let shards: BTreeSet<ShardId> =
            shards.iter().copied().filter(|shard| inputs.contains(shard)).collect();
        if known.owner(reader) == Some(from) && !shards.is_empty() {
            known.note_progress(reader, step);
            for &shard in &shards {
                starvation.on_request((shard, reader), step, known, out);
            }
        }
        self.announcing.answer(from, &shards, &(step..until), out);
    }

    /// `peer` is not here any more.
    pub(super) fn on_gone(&mut self, peer: NodeId, role: Role, goodbye: bool) {
        if !goodbye {
            self.placement.lost(peer, &self.known);
        }
        self.known.forget_peer(peer);
        self.abandon_fetches(peer);
        self.out.notify(Notice::PeerLeft { peer, role, goodbye });
    }

    /// A blob is here.
    fn on_fetched(&mut self, hash: Hash) {
        self.fetching.fetched(hash, self.known.now());
        self.jobs.fetched(hash, &mut self.out);
        self.known.fetched(hash, &mut self.out);
        self.known.fetched_change(hash, &mut self.out);
        if !self.out.holds(hash) {
            self.out.push(Output::Drop(hash));
        }
    }

    /// `from` did not deliver a blob.
    fn on_fetch_failed(&mut self, hash: Hash, from: NodeId) {
        self.fetching.failed(hash, from, self.known.now());
        self.jobs.not_delivered(hash, from);
        self.known.not_delivered(hash, from);
        self.known.lose_change(hash, from, &mut self.out);
    }

    /// `peer` cannot deliver any more.
    fn abandon_fetches(&mut self, peer: NodeId) {
        for hash in self.fetching.asked_of(peer) {
            self.on_fetch_failed(hash, peer);
        }
    }

    /// A blob cannot be read any more, because a disk failed or somebody removed a file. From now on it
    /// is as if this peer had never had it: it is fetched again where others have it and made again
    /// where nobody has, and nobody is blamed.
    fn on_lost(&mut self, hash: Hash) {
        let Self { known, out, .. } = self;
        self.jobs.lost(hash, known, out);
        self.announcing.lost(hash, out);
        known.lose_change(hash, known.me(), out);
        let steps = known.lost(hash, out);
        self.scoring.lost(hash, &steps, known, out);
    }

    /// `peer` sent false bytes. If that is once too often, it is as if it had gone for good: its shards
    /// are free, and nothing it says is heard.
    fn on_lie(&mut self, peer: NodeId, reason: &'static str) {
        if !self.known.lied(peer, reason, &mut self.out) {
            return;
        }
        if let Some(role) = self.known.depart(peer) {
            self.on_gone(peer, role, false);
        }
        for hash in self.jobs.announced_by(peer) {
            self.on_fetch_failed(hash, peer);
        }
    }
}
