//! What a node tells, and the work it does beside the loop: scoring and assembling the model.
//!
//! Rule: nothing here changes what is decided; results come back as inputs of the loop.

use std::{net::SocketAddr, sync::Arc};

use ffp2p_net::BlobSource;
use ffp2p_proto::{
    Checkpoint, Hash, Lease, NodeId, Notice, PeerView, Role, Score, ShardId, Snapshot, Task,
};

use super::{
    driver::Node,
    store_files::StoreError,
    takeovers::{Reason, Takeover},
    types::{Durability, Found, culprit},
};
use crate::{
    events::{Event, Former, Stopped},
    export::{Model, Stored, score},
    ff::{Objective, Shard},
    spec::Spec,
};

impl Node {
    /// A sentence for the person.
    pub(super) fn note(&mut self, message: impl Into<String>) {
        self.sink.on_event(&Event::Note { message: message.into() });
    }

    /// Where other machines can reach the node: it is up, or that has changed.
    fn on_listening(&mut self, addresses: &[SocketAddr]) {
        let listen: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        if std::mem::replace(&mut self.is_ready, true) {
            let now = if listen.is_empty() { "nowhere".to_owned() } else { listen.join(", ") };
            return self.note(format!("the network has changed: this node listens on {now}"));
        }
        let shards = self.spec.network.shards();
        self.sink.on_event(&Event::Ready {
            peer: self.net.id().to_string(),
            name: self.names.of(self.net.id()),
            run: self.spec.run_id().to_string(),
            listen,
            shards: shards.iter().map(|shard| (shard.layer, shard.index)).collect(),
            steps: self.spec.network.steps,
            chapter_steps: self.spec.chapter_steps,
        });
    }

    /// Tells what happens on the network beside the run.
    pub(super) fn tell_network(&mut self, event: ffp2p_net::Event) {
        match event {
            ffp2p_net::Event::Listening(addresses) => self.on_listening(&addresses),
            ffp2p_net::Event::Greeted { peer, name } => {
                if self.names.learn(peer, name) {
                    self.sink.on_event(&self.peer_event(peer, "joined"));
                }
            }
            ffp2p_net::Event::OtherRun { peer, run, version } => {
                self.on_other_run(peer, run, version);
            }
            ffp2p_net::Event::NotReached { address, why } => {
                self.note(format!("{address} is not reached: {why}; still trying"));
            }
            ffp2p_net::Event::Refused { peer, reason } => {
                self.note(format!("peer {peer} was sent away: {reason}"));
            }
            ffp2p_net::Event::Alone(report) => self.note(report.to_string()),
            ffp2p_net::Event::Connected(_)
            | ffp2p_net::Event::Disconnected(_)
            | ffp2p_net::Event::Received { .. }
            | ffp2p_net::Event::Fetched { .. }
            | ffp2p_net::Event::FetchFailed { .. } => {}
        }
    }

    /// Tells what the decisions want told.
    pub(super) fn tell(&mut self, notice: Notice) {
        let event = match notice {
            // Whoever only looks or exports is nobody's loss.
            Notice::PeerJoined { role: Role::Observer | Role::Onlooker, .. }
            | Notice::PeerLeft { role: Role::Observer | Role::Onlooker, .. } => return,
            Notice::PeerJoined { peer, .. } => {
                self.takeovers.came(peer);
                if !self.names.came(peer) {
                    return;
                }
                self.peer_event(peer, "joined")
            }
            Notice::PeerLeft { peer, goodbye, .. } => {
                self.takeovers.went(peer, goodbye);
                if !self.names.went(peer) {
                    return;
                }
                self.peer_event(peer, if goodbye { "left" } else { "silent" })
            }
            Notice::Owner(lease) => self.owner_event(lease),
            Notice::Chapter(checkpoint) => Event::Chapter {
                shard: checkpoint.shard.0,
                chapter: self.spec.plan().chapter_ending(checkpoint.step),
                loss: checkpoint.loss_micro as f64 / 1e6,
                peer: checkpoint.by.to_string(),
            },
            Notice::Score(score) => eval_event(&self.spec, &score),
            Notice::Blame { peer, reason } => {
                Event::Note { message: format!("{} sent {reason}; ignored", self.names.of(peer)) }
            }
            Notice::Complete(checkpoints) => {
                // Of a run that is over at once, too, it is told who trained it.
                self.tell_takeovers(&self.state.snapshot());
                return self.on_complete(checkpoints);
            }
        };
        self.sink.on_event(&event);
    }

    /// A new owner of a shard, or of a chapter.
    fn owner_event(&mut self, lease: Lease) -> Event {
        let (peer, term) = (lease.owner.to_string(), lease.term.0);
        let (name, own) = (self.names.of(lease.owner), self.names.is_own(lease.owner));
        match lease.task {
            Task::Shard(shard) => {
                self.takeovers.took(shard, lease);
                Event::Owner { shard: shard.0, peer, name, own, term }
            }
            Task::Branch { chapter, .. } => {
                let from = self.takeovers.took_chapter(chapter, lease.owner);
                let from = from.map(|(peer, reason)| self.former(peer, reason));
                Event::ChapterOwner { chapter, peer, name, own, term, from }
            }
        }
    }

    /// That a peer came or went.
    fn peer_event(&self, peer: NodeId, state: &str) -> Event {
        Event::Peer { peer: peer.to_string(), name: self.names.of(peer), state: state.to_owned() }
    }

    /// Who had something, as it is told.
    fn former(&self, peer: NodeId, reason: Reason) -> Former {
        Former {
            peer: peer.to_string(),
            name: self.names.of(peer),
            own: self.names.is_own(peer),
            reason: reason.map(str::to_owned),
        }
    }

    /// Tells who took which shards from whom.
    fn tell_takeovers(&mut self, snapshot: &Snapshot) {
        let is_leaving = |id| snapshot.peers.iter().any(|peer| peer.id == id && peer.leaving);
        let is_sharded = self.spec.network.shards_per_layer > 1;
        let all = self.spec.network.shards();
        let place = |shard: ShardId| {
            let shard = all.get(usize::from(shard.0));
            shard.map_or_else(String::new, |it| place_name(*it, is_sharded))
        };
        for Takeover { shards, by, from } in self.takeovers.due(is_leaving) {
            self.sink.on_event(&Event::Takeover {
                shards: shards.iter().map(|(shard, _)| shard.0).collect(),
                places: shards.iter().map(|(shard, _)| place(*shard)).collect(),
                terms: shards.iter().map(|(_, term)| term.0).collect(),
                peer: by.to_string(),
                name: self.names.of(by),
                own: self.names.is_own(by),
                from: from.map(|(peer, reason)| self.former(peer, reason)),
            });
        }
    }

    /// Tells how far the run is.
    pub(super) fn report_progress(&mut self) {
        for peer in self.names.overdue() {
            self.sink.on_event(&self.peer_event(peer, "joined"));
        }
        if self.model.is_some() {
            return;
        }
        let snapshot = self.state.snapshot();
        self.tell_takeovers(&snapshot);
        let shards: Vec<u64> = snapshot.shards.iter().map(|shard| shard.done).collect();
        let owners = || snapshot.shards.iter().map(|shard| shard.owner.map(|(owner, _)| owner));
        let id = |owner: Option<NodeId>| owner.map_or_else(String::new, |id| id.to_string());
        let name = |owner: Option<NodeId>| owner.map_or_else(String::new, |id| self.names.of(id));
        let names = owners().map(name).collect();
        self.sink.on_event(&Event::Progress {
            steps_per_second: self.pace.report(&shards),
            shards,
            peer: self.net.id().to_string(),
            owners: owners().map(id).collect(),
            names,
            peers: snapshot.peers.iter().filter(|peer| peer.role == Role::Worker).count(),
            own_steps: self.own_steps.clone(),
        });
    }

    /// A step is done; the first one ever, and the first since a shard was loaded, are told.
    pub(super) fn tell_step(&mut self, shard: ShardId, load: u64, step: u64) {
        if let Some(count) = self.own_steps.get_mut(usize::from(shard.0)) {
            *count += 1;
        }
        if !std::mem::replace(&mut self.begun, true) {
            let seconds = self.started.elapsed().as_secs_f64();
            self.sink.on_event(&Event::Training { shard: shard.0, step, seconds });
        }
        let is_model = usize::from(shard.0) < self.spec.network.shards().len();
        if is_model && self.taken.insert(shard, load) != Some(load) {
            self.sink.on_event(&Event::Taken { shard: shard.0, step });
        }
    }

    /// A checkpoint is, or will soon be, in the store folder.
    pub(super) fn note_kept(&mut self, checkpoint: &Checkpoint) {
        if self.folder.is_some()
            && let Some(step) = self.kept.get_mut(usize::from(checkpoint.shard.0))
        {
            *step = checkpoint.step.max(*step);
        }
    }

    /// The store folder takes no more: the node goes on in memory, unless it must not.
    pub(super) fn on_unkept(&mut self, error: StoreError) {
        self.folder = None;
        if self.settings.durability == Durability::Required {
            self.note(format!("{error}; this node hands over its shards and stops"));
            self.failure = Some(error);
        } else {
            self.note(format!("{error}; from here on this node keeps its work in memory only"));
        }
    }

    /// Whether no other node is here that trains.
    pub(super) fn is_alone(&self) -> bool {
        let is_worker = |peer: &PeerView| peer.role == Role::Worker;
        !self.state.snapshot().peers.iter().skip(1).any(is_worker)
    }

    /// Whether the model is in no file, no folder, and no other node.
    pub(super) fn is_nowhere(&self) -> bool {
        let nothing_here = self.folder.is_none() && self.settings.out.is_none();
        nothing_here && self.settings.durability == Durability::BestEffort && self.is_alone()
    }

    /// Tells how far the run was when the node was stopped, and what of that is kept.
    pub(super) fn report_stopped(&mut self) {
        let (snapshot, alone) = (self.state.snapshot(), self.is_alone());
        self.sink.on_event(&Event::Stopped(Stopped {
            shards: snapshot.shards.iter().map(|shard| shard.done).collect(),
            kept: self.kept.clone(),
            steps: self.spec.network.steps,
            alone,
            store: self.folder.clone(),
        }));
    }

    /// Scores the network made of these checkpoints; the result comes back to the loop.
    pub(super) fn score(&self, epoch: u64, checkpoints: Vec<Hash>) {
        let (spec, data, store) = (self.spec.clone(), self.data.clone(), self.store.clone());
        // Not when the other thread begins: the decisions may have hurried it by then.
        self.gate.hurry(false);
        let (results, gate) = (self.results.0.clone(), Arc::clone(&self.gate));
        tokio::task::spawn_blocking(move || {
            let get = |shard: ShardId| store.get(checkpoints.get(usize::from(shard.0))?);
            let scorer = gate.scorer();
            let step = spec.plan().epoch_end(epoch);
            let mut stored = Stored::at(&spec, step, get);
            let found = score(&mut stored, &spec, &data, epoch, &scorer);
            let (culprit, score) = match found {
                Ok(score) => (None, score),
                Err(error) => {
                    tracing::warn!(%error, epoch, "an epoch could not be scored");
                    let score = Score { epoch, samples: 0, softmax_correct: 0, other_correct: 0 };
                    (culprit(&error, &checkpoints, step), score)
                }
            };
            for found in culprit.into_iter().chain([Found::Score(score)]) {
                // The loop is gone when the node stops; then nobody wants the score.
                let _ = results.blocking_send(found);
            }
        });
    }

    /// All of the model is here, for the first time or again.
    fn on_complete(&mut self, checkpoints: Vec<Checkpoint>) {
        if self.assembling {
            self.complete_again = Some(checkpoints);
        } else if self.model.is_none() {
            self.assemble(checkpoints);
        }
    }

    /// Puts the trained model together, and writes it where that was asked for.
    pub(super) fn assemble(&mut self, checkpoints: Vec<Checkpoint>) {
        self.assembling = true;
        let (spec, store, out) = (self.spec.clone(), self.store.clone(), self.settings.out.clone());
        let provenance = self.state.snapshot().provenance;
        let results = self.results.0.clone();
        let checkpoints: Vec<Hash> = checkpoints.iter().map(|it| it.blob.hash).collect();
        tokio::task::spawn_blocking(move || {
            let get = |shard: ShardId| store.get(checkpoints.get(usize::from(shard.0))?);
            let model = match out {
                // Nobody asked for all of it.
                None => Stored::new(&spec, get).hash().map(|hash| (hash, Ok(()))),
                Some(path) => Model::assemble(&spec, provenance, get).map(|model| {
                    let saved = model.save(&path);
                    (model.hash(), saved)
                }),
            };
            // Whoever hears that the run is done may kill the node and export from its folder.
            store.flush();
            let steps = spec.network.steps;
            let culprit = model.as_ref().err().and_then(|it| culprit(it, &checkpoints, steps));
            for found in culprit.into_iter().chain([Found::Model(model)]) {
                let _ = results.blocking_send(found);
            }
        });
    }
}

/// The name of a shard's place: its layer, and its index where layers have several shards.
fn place_name(shard: Shard, is_sharded: bool) -> String {
    let Shard { layer, index } = shard;
    if is_sharded { format!("{layer}.{index}") } else { layer.to_string() }
}

/// A score as scripts see it.
pub(crate) fn eval_event(spec: &Spec, score: &Score) -> Event {
    let fraction = |correct: u32| f64::from(correct) / f64::from(score.samples.max(1));
    let other =
        |objective| (spec.network.objective == objective).then(|| fraction(score.other_correct));
    Event::Eval {
        epoch: score.epoch,
        samples: score.samples,
        softmax_accuracy: fraction(score.softmax_correct),
        goodness_accuracy: other(Objective::Goodness),
        last_layer_accuracy: other(Objective::Softmax),
    }
}
