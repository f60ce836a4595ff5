//! The events of a node, for its sink.
//!
//! Rule: nothing is decided here, and nothing is kept that is not reported.

mod names;
mod takeovers;

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use ffp2p_net::Traffic;
use ffp2p_proto::{Checkpoint, Hash, Lease, NodeId, Notice, Role, ShardId, Snapshot, Task};
use tokio::time::Instant;

use crate::{
    events::{Event, EventSink, Former, StepRate, Stopped},
    export::eval_event,
    ff::Shard,
    spec::Spec,
};
pub(crate) use names::Names;
use takeovers::{Reason, Takeover, Takeovers};

/// Reports the events of a node.
pub(super) struct Reporter {
    sink: Box<dyn EventSink>,
    spec: Spec,
    me: NodeId,
    names: Names,
    takeovers: Takeovers,
    started: Instant,
    rate: StepRate,
    /// Whether the node was reported to be ready.
    is_ready: bool,
    /// Whether the node did a step at all.
    has_trained: bool,
    /// The load under which each shard's last step was done here.
    loads: BTreeMap<ShardId, u64>,
    /// Steps done here, per shard.
    own_steps: Vec<u64>,
    /// Chapters trained here, per shard.
    chapters: Vec<u64>,
    /// Whether the run is complete: no more progress.
    is_complete: bool,
}

impl Reporter {
    /// Reports for the node `me`, which goes by `name`.
    pub(super) fn new(sink: Box<dyn EventSink>, spec: Spec, me: NodeId, name: String) -> Self {
        let mut names = Names::new(me, name);
        names.came(me);
        let none = vec![0; spec.plan().shard_count()];
        Self {
            sink,
            spec,
            me,
            names,
            takeovers: Takeovers::default(),
            started: Instant::now(),
            rate: StepRate::start(),
            is_ready: false,
            has_trained: false,
            loads: BTreeMap::new(),
            own_steps: none.clone(),
            chapters: none,
            is_complete: false,
        }
    }

    /// A message for the user.
    pub(super) fn note(&mut self, message: impl Into<String>) {
        self.sink.on_event(&Event::Note { message: message.into() });
    }

    /// A message for the user about a peer, whose name it begins with.
    pub(super) fn note_about(&mut self, peer: NodeId, text: &str) {
        let name = self.names.of(peer);
        self.note(format!("{name} {text}"));
    }

    /// The store had checkpoints.
    pub(super) fn restored(&mut self, kept: &[u64], checkpoints: usize) {
        self.sink.on_event(&Event::Restored { shards: kept.to_vec(), checkpoints });
    }

    /// The addresses at which other machines can reach the node: it is up, or they have changed.
    fn on_listening(&mut self, addresses: &[SocketAddr]) {
        let listen: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        if std::mem::replace(&mut self.is_ready, true) {
            let now = if listen.is_empty() { "nowhere".to_owned() } else { listen.join(", ") };
            return self.note(format!("the network has changed: this node listens on {now}"));
        }
        let shards = self.spec.network.shards();
        self.sink.on_event(&Event::Ready {
            peer: self.me.to_string(),
            name: self.names.of(self.me),
            run: self.spec.run_id().to_string(),
            listen,
            shards: shards.iter().map(|shard| (shard.layer, shard.index)).collect(),
            steps: self.spec.network.steps,
            chapter_steps: self.spec.chapter_steps,
        });
    }

    /// An event of the network that does not concern the decisions.
    pub(super) fn on_network(&mut self, event: ffp2p_net::Event) {
        match event {
            ffp2p_net::Event::Listening(addresses) => self.on_listening(&addresses),
            ffp2p_net::Event::Greeted { peer, name } => {
                if self.names.learn(peer, name) {
                    self.sink.on_event(&self.peer_event(peer, "joined"));
                }
            }
            ffp2p_net::Event::NotReached { address, why } => {
                self.note(format!("{address} is not reached: {why}; still trying"));
            }
            ffp2p_net::Event::Refused { peer, reason } => {
                self.note(format!("peer {peer} was refused: {reason}"));
            }
            ffp2p_net::Event::Alone(report) => self.note(report.to_string()),
            ffp2p_net::Event::OtherRun { .. }
            | ffp2p_net::Event::Connected(_)
            | ffp2p_net::Event::Disconnected(_)
            | ffp2p_net::Event::Received { .. }
            | ffp2p_net::Event::Fetched { .. }
            | ffp2p_net::Event::FetchFailed { .. } => {}
        }
    }

    /// A notice of the decisions, that of the complete run aside.
    pub(super) fn on_notice(&mut self, notice: Notice) {
        let event = match notice {
            // An observer that comes or goes makes no difference to the run.
            Notice::PeerJoined { role: Role::Observer | Role::Onlooker, .. }
            | Notice::PeerLeft { role: Role::Observer | Role::Onlooker, .. }
            | Notice::Complete(_) => return,
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
            Notice::Chapter(checkpoint) => self.chapter_event(checkpoint),
            Notice::Score(score) => eval_event(&self.spec, &score),
            Notice::Blame { peer, reason } => {
                return self.note_about(peer, &format!("sent {reason}; ignored"));
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

    fn chapter_event(&self, checkpoint: Checkpoint) -> Event {
        Event::Chapter {
            shard: checkpoint.shard.0,
            chapter: self.spec.plan().chapter_ending(checkpoint.step),
            loss: checkpoint.loss_micro as f64 / 1e6,
            peer: checkpoint.by.to_string(),
        }
    }

    /// A peer came or went.
    fn peer_event(&self, peer: NodeId, state: &str) -> Event {
        Event::Peer { peer: peer.to_string(), name: self.names.of(peer), state: state.to_owned() }
    }

    /// The former owner of something.
    fn former(&self, peer: NodeId, reason: Reason) -> Former {
        Former {
            peer: peer.to_string(),
            name: self.names.of(peer),
            own: self.names.is_own(peer),
            reason: reason.map(str::to_owned),
        }
    }

    /// The takeovers of shards that are due.
    pub(super) fn takeovers(&mut self, snapshot: &Snapshot) {
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

    /// Tells the progress of the run, and returns it for peers that ask.
    pub(super) fn progress(&mut self, snapshot: &Snapshot) -> ffp2p_net::Progress {
        for peer in self.names.overdue() {
            self.sink.on_event(&self.peer_event(peer, "joined"));
        }
        let shards: Vec<u64> = snapshot.shards.iter().map(|shard| shard.done).collect();
        let peers = snapshot.peers.iter().filter(|peer| peer.role == Role::Worker).count();
        let workers = u16::try_from(peers).unwrap_or(u16::MAX);
        if self.is_complete {
            return ffp2p_net::Progress { permille: 1000, workers, millisteps: 0 };
        }
        self.takeovers(snapshot);
        let steps_per_second = self.rate.report(&shards);
        let all = (self.spec.network.steps * shards.len() as u64).max(1);
        let permille = (shards.iter().sum::<u64>() * 1000 / all).min(1000) as u16;
        let owners = || snapshot.shards.iter().map(|shard| shard.owner.map(|(owner, _)| owner));
        let id = |owner: Option<NodeId>| owner.map_or_else(String::new, |id| id.to_string());
        let name = |owner: Option<NodeId>| owner.map_or_else(String::new, |id| self.names.of(id));
        let names = owners().map(name).collect();
        self.sink.on_event(&Event::Progress {
            steps_per_second,
            shards,
            peer: self.me.to_string(),
            owners: owners().map(id).collect(),
            names,
            peers,
            own_steps: self.own_steps.clone(),
        });
        let millisteps = (steps_per_second * 1e3) as u64;
        ffp2p_net::Progress { permille, workers, millisteps }
    }

    /// A step was done here; the first one ever is reported, and the first of each load of a shard.
    pub(super) fn step(&mut self, shard: ShardId, load: u64, step: u64) {
        if let Some(count) = self.own_steps.get_mut(usize::from(shard.0)) {
            *count += 1;
        }
        if !std::mem::replace(&mut self.has_trained, true) {
            let seconds = self.started.elapsed().as_secs_f64();
            self.sink.on_event(&Event::Training { shard: shard.0, step, seconds });
        }
        let is_model = usize::from(shard.0) < self.spec.network.shards().len();
        if is_model && self.loads.insert(shard, load) != Some(load) {
            self.sink.on_event(&Event::Taken { shard: shard.0, step });
        }
    }

    /// A chapter of a shard was trained here.
    pub(super) fn chapter(&mut self, shard: ShardId) {
        if let Some(count) = self.chapters.get_mut(usize::from(shard.0)) {
            *count += 1;
        }
    }

    /// The model was written to a file.
    pub(super) fn saved(&mut self, file: &Path, model: Hash) {
        let (file, model) = (file.display().to_string(), model.to_string());
        self.sink.on_event(&Event::Saved { file, model });
    }

    /// The run is complete; its model is in `store`, if there is one.
    pub(super) fn done(&mut self, model: Hash, traffic: Traffic, store: Option<&str>) {
        self.is_complete = true;
        self.sink.on_event(&Event::Done {
            model: model.to_string(),
            seconds: self.started.elapsed().as_secs_f64(),
            bytes_in: traffic.bytes_in,
            bytes_out: traffic.bytes_out,
            gossip_in: traffic.gossip_in,
            trained: self.chapters[..self.spec.network.shards().len()].to_vec(),
            store: store.map(str::to_owned),
        });
    }

    /// The node was stopped before the run was complete, with `kept` steps of each shard in `store`.
    pub(super) fn stopped(&mut self, snapshot: &Snapshot, kept: &[u64], store: Option<&str>) {
        self.sink.on_event(&Event::Stopped(Stopped {
            shards: snapshot.shards.iter().map(|shard| shard.done).collect(),
            kept: kept.to_vec(),
            steps: self.spec.network.steps,
            alone: is_alone(snapshot),
            store: store.map(str::to_owned),
        }));
    }
}

/// Whether no other node trains.
pub(super) fn is_alone(snapshot: &Snapshot) -> bool {
    !snapshot.peers.iter().skip(1).any(|peer| peer.role == Role::Worker)
}

/// The name of a shard's place: its layer, and its index where layers have several shards.
fn place_name(shard: Shard, is_sharded: bool) -> String {
    let Shard { layer, index } = shard;
    if is_sharded { format!("{layer}.{index}") } else { layer.to_string() }
}
