//! The state machine of one peer: what it knows, and the one way in.
//!
//! Rule: [`State::handle`] is total. Every input first changes what is known; then `settle` looks
//! at all that is known and does whatever is due, so that no duty hangs on a particular message
//! having arrived. The duties live in the files beside this one: `ownership` (who shall own what),
//! `work` (bringing shards to a step and training them), `flow` (activation batches), `fetching` and
//! `spread` (what is fetched, and when), `keep` (copying, forgetting), `finish` (scores, completion,
//! leaving).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    Config, Hash, Input, MAX_LIST, Message, NodeId, Notice, Offer, Output, Plan, Role, Score,
    ShardId, Time,
    archive::Archive,
    blobs::Blobs,
    columns::Column,
    fetching::InFlight,
    flow::Hunger,
    leases::Leases,
    ledger::Ledger,
    members::Members,
    reach::Reach,
    spread::Spread,
    trust::Trust,
    turns::Turns,
    work::{Batches, Owned},
};

/// Duties are looked at no less often than this, ms.
const TICK_MS: u64 = 100;

/// One peer's view of a run, and its share in it.
#[derive(Debug)]
pub struct State {
    pub(crate) me: NodeId,
    pub(crate) role: Role,
    pub(crate) plan: Plan,
    pub(crate) config: Config,
    pub(crate) started: Time,
    /// The time of the input being handled.
    pub(crate) now: Time,
    pub(crate) members: Members,
    pub(crate) leases: Leases,
    pub(crate) archive: Archive,
    pub(crate) ledger: Ledger,
    pub(crate) scores: BTreeMap<u64, Score>,
    /// Steps done per shard, as its owner last said.
    pub(crate) progress: BTreeMap<ShardId, u64>,
    /// The shards this peer owns and has not finished.
    pub(crate) owned: BTreeMap<ShardId, Owned>,
    /// Who owns which chapter, where peers own chapters.
    pub(crate) turns: Turns,
    /// The chapters this peer owns and has not finished.
    pub(crate) columns: BTreeMap<u64, Column>,
    /// Since when each chapter could be taken and was not.
    pub(crate) untaken: BTreeMap<u64, Time>,
    /// For each shard, the step at which it would be taken up, as of the last look.
    pub(crate) starts: Vec<u64>,
    /// The shards that need an owner, as of the last look.
    pub(crate) vacant: BTreeSet<ShardId>,
    /// The activation batches this peer made and still holds.
    pub(crate) retained: BTreeMap<ShardId, Batches>,
    /// Their bytes, as of the last look.
    pub(crate) batches_kept: u64,
    /// What was made of late and no reader was told of: at most the shards of the layers and steps
    /// that the trainer has.
    pub(crate) unannounced: Vec<Offer>,
    pub(crate) hunger: Hunger,
    /// The shards whose batches a peer says it holds and does not deliver.
    pub(crate) doubts: BTreeSet<(ShardId, NodeId)>,
    /// The first checkpoint of the feedback shard that any shard could need, as of the last look.
    pub(crate) tables_from: u64,
    pub(crate) blobs: Blobs,
    pub(crate) in_flight: InFlight,
    pub(crate) spread: Spread,
    /// Steps handed to the trainer and not answered, by load and step, with the blobs that each
    /// reads: the trainer may not have begun.
    pub(crate) training: BTreeMap<(u64, u64), Vec<Hash>>,
    /// Loads handed out and not answered, with the checkpoint that each reads.
    pub(crate) loading: BTreeMap<u64, Hash>,
    pub(crate) speed: u64,
    pub(crate) leaving: Option<Time>,
    /// Since when this peer holds the whole model.
    pub(crate) complete: Option<Time>,
    pub(crate) is_told: bool,
    pub(crate) is_finished: bool,
    /// The epoch this peer is to score, from the moment its turn comes.
    pub(crate) evaluating: Option<u64>,
    /// Epochs that this peer tried to score and could not.
    pub(crate) unscored: BTreeSet<u64>,
    /// The checkpoints being scored, and whether that was hurried.
    pub(crate) scoring: Option<Vec<Hash>>,
    pub(crate) is_hurried: bool,
    /// Since when each epoch could be scored.
    pub(crate) scorable: BTreeMap<u64, Time>,
    /// When this peer last gave a shard away for balance alone, and at which step that shard stood.
    pub(crate) balanced: Option<(Time, u64)>,
    /// When shards were last given to a peer for balance, and how often.
    pub(crate) given: BTreeMap<NodeId, (Time, u32)>,
    /// When the last owners fell silent.
    pub(crate) losses: VecDeque<Time>,
    /// When the first lease was heard of.
    pub(crate) begun: Option<Time>,
    /// Since when each vacant shard is.
    pub(crate) vacant_since: BTreeMap<ShardId, Time>,
    /// The assignment, for which margin (percent), until something it rests on changes.
    pub(crate) targets: Option<(u64, Vec<NodeId>)>,
    pub(crate) loads: u64,
    pub(crate) wants: u64,
    pub(crate) beats: u64,
    pub(crate) next_beat: Time,
    next_tick: Time,
    pub(crate) trust: Trust,
    pub(crate) reach: Reach,
    /// Whether this peer rests, because another one avoids it.
    pub(crate) rests: bool,
    /// What this peer says to itself: it may own neighbouring shards.
    inbox: VecDeque<Message>,
    out: Vec<Output>,
}

impl State {
    /// A peer that has just started, at `now`.
    pub fn new(me: NodeId, role: Role, plan: Plan, mut config: Config, now: Time) -> Self {
        if plan.refreshed {
            // A chapter is handed on at its end, and the next one is trained while it is read.
            config.window = config.window.max(plan.chapter_steps.saturating_mul(2));
        }
        Self {
            me,
            role,
            plan,
            config,
            started: now,
            now,
            members: Members::default(),
            leases: Leases::default(),
            archive: Archive::default(),
            ledger: Ledger::default(),
            scores: BTreeMap::new(),
            progress: BTreeMap::new(),
            owned: BTreeMap::new(),
            turns: Turns::default(),
            columns: BTreeMap::new(),
            untaken: BTreeMap::new(),
            starts: Vec::new(),
            vacant: BTreeSet::new(),
            retained: BTreeMap::new(),
            batches_kept: 0,
            unannounced: Vec::new(),
            hunger: Hunger::new(),
            doubts: BTreeSet::new(),
            tables_from: 0,
            blobs: Blobs::default(),
            in_flight: InFlight::default(),
            spread: Spread::new(now),
            training: BTreeMap::new(),
            loading: BTreeMap::new(),
            speed: 0,
            leaving: None,
            complete: None,
            is_told: false,
            is_finished: false,
            evaluating: None,
            unscored: BTreeSet::new(),
            scoring: None,
            is_hurried: false,
            scorable: BTreeMap::new(),
            balanced: None,
            given: BTreeMap::new(),
            losses: VecDeque::new(),
            begun: None,
            vacant_since: BTreeMap::new(),
            targets: None,
            loads: 0,
            wants: 0,
            beats: 0,
            next_beat: now,
            next_tick: now,
            trust: Trust::default(),
            reach: Reach::default(),
            rests: false,
            inbox: VecDeque::new(),
            out: Vec::new(),
        }
    }

    /// Takes one thing that happened at `now`; returns what must be done, in order.
    ///
    /// Never fails: what makes no sense is ignored, and blamed on its sender.
    pub fn handle(&mut self, input: Input, now: Time) -> Vec<Output> {
        self.now = now;
        match input {
            Input::Wakeup => {}
            Input::Connected(peer) => self.on_connected(peer),
            Input::Disconnected(peer) => {
                self.unlink(peer);
                self.members.disconnected(peer, now, &self.config);
                self.abandon_fetches(peer);
            }
            Input::Received { from, message } => self.on_message(from, message, now),
            Input::Loaded { shard, load, ok } => self.on_loaded(shard, load, ok),
            Input::Trained { shard, load, step, batch, checkpoint } => {
                self.on_trained(shard, load, step, batch, checkpoint);
                if self.plan.is_by_chapter() && checkpoint.is_none() && now < self.next_wakeup() {
                    // Nobody else reads it. What else may be due can wait until then.
                    self.train_columns();
                    return std::mem::take(&mut self.out);
                }
            }
            Input::Refreshed { shard, load, step, batch } => {
                self.on_refreshed(shard, load, step, batch);
            }
            Input::Refused { shard, load, step, bad } => self.on_refused((shard, load, step), bad),
            Input::Fetched { hash } => self.on_fetched(hash),
            Input::FetchFailed { hash, from, lied } => {
                self.on_fetch_failed(hash, from);
                if lied {
                    self.on_lie(from, "bytes that do not have the hash they were asked for by");
                }
            }
            Input::Lost { hash } => self.on_lost(hash),
            Input::Unusable { shard, step } => self.on_unusable(shard, step),
            Input::Evaluated(score) => self.on_evaluated(score),
            Input::Speed(speed) => self.on_speed(speed),
            Input::Restored(checkpoint) => self.on_restored(checkpoint),
            Input::Leave => {
                self.leaving.get_or_insert(now);
                self.targets = None;
                self.next_beat = now;
            }
        }
        self.settle(now);
        while !self.inbox.is_empty() {
            // Looking at everything costs more than hearing something: once for all that it said.
            for message in std::mem::take(&mut self.inbox) {
                self.on_message(self.me, message, now);
            }
            self.settle(now);
        }
        std::mem::take(&mut self.out)
    }

    /// When `handle(Input::Wakeup, …)` must be called next, at the latest.
    pub fn next_wakeup(&self) -> Time {
        self.next_beat.min(self.next_tick)
    }

    /// Does whatever is due.
    fn settle(&mut self, now: Time) {
        self.next_tick = now.after(TICK_MS);
        if self.is_finished {
            // Nothing is due any more, and no beat either.
            self.next_beat = self.next_tick;
            return;
        }
        for (peer, role) in self.members.expire(now) {
            self.on_gone(peer, role, false);
        }
        self.note_apart(now);
        self.starts = self.start_points();
        if self.plan.is_by_chapter() {
            self.take_turns(now);
            self.walk_columns();
        } else {
            self.claim(now);
            self.hand_over(now);
            self.note_lost_tables(now);
            self.place_shards(now);
        }
        self.forget();
        self.ask_for_batches(now);
        self.fetch();
        self.train();
        self.announce();
        self.train_columns();
        self.evaluate(now);
        self.finish(now);
        if now >= self.next_beat && !self.is_finished {
            self.next_beat = now.after(self.beat_ms());
            let beat = self.heartbeat();
            self.say(Message::Heartbeat(beat));
        }
    }

    fn on_connected(&mut self, peer: NodeId) {
        self.link(peer);
        let beat = self.heartbeat();
        self.send(peer, Message::Heartbeat(beat));
        for spans in self.ledger.spans().chunks(MAX_LIST) {
            self.send(peer, Message::Ledger(spans.to_vec()));
        }
    }

    fn on_message(&mut self, from: NodeId, message: Message, now: Time) {
        if !message.is_bounded() {
            return self.blame(from, "a message with a list longer than any honest one");
        }
        if from != self.me && message != Message::Goodbye {
            let known = self.members.contains(from);
            if self.members.heard(from, now, &self.config).is_none() {
                return;
            }
            if !known {
                self.targets = None;
            }
        }
        match message {
            Message::Heartbeat(beat) => self.on_heartbeat(from, beat, now),
            Message::Leases(leases) => self.merge_leases(&leases, now),
            Message::Turns(turns) => self.merge_turns(&turns, now),
            Message::Checkpoints(list) => {
                for checkpoint in list {
                    self.learn_from(checkpoint, from);
                }
            }
            Message::Score(score) => self.learn_score(score),
            Message::Goodbye => {
                if let Some(role) = self.members.depart(from) {
                    self.on_gone(from, role, true);
                }
            }
            Message::Want { seq, reader, shards, from: step, until } => {
                self.on_want(from, seq, (reader, &shards), step..until, now);
            }
            Message::Have(offers) => self.on_have(from, &offers),
            Message::Ledger(spans) => {
                for span in spans {
                    self.ledger.learn_span(span, &self.plan);
                }
            }
        }
    }

    /// `peer` is not here any more.
    pub(crate) fn on_gone(&mut self, peer: NodeId, role: Role, goodbye: bool) {
        if !goodbye {
            self.note_loss(peer);
        }
        self.archive.forget_peer(peer);
        self.abandon_fetches(peer);
        self.doubts.retain(|(_, id)| *id != peer);
        self.targets = None;
        self.notify(Notice::PeerLeft { peer, role, goodbye });
    }

    pub(crate) fn notify(&mut self, notice: Notice) {
        self.out.push(Output::Notify(notice));
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.out.push(output);
    }

    /// Says something to all others.
    pub(crate) fn say(&mut self, message: Message) {
        self.out.push(Output::Broadcast(message));
    }

    /// Says something to one peer, which may be this one.
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        if to == self.me {
            self.inbox.push_back(message);
        } else {
            self.out.push(Output::Send { to, message });
        }
    }

    /// One reason less to hold a blob.
    pub(crate) fn release(&mut self, hash: Hash) {
        if self.blobs.release(hash) {
            self.out.push(Output::Drop(hash));
        }
    }
}
