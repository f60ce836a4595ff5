//! What a node tells, and the work it does beside the loop: scoring and assembling the model.
//!
//! Rule: nothing here changes what is decided; results come back as inputs of the loop.

use std::{net::SocketAddr, sync::Arc};

use ffp2p_net::BlobSource;
use ffp2p_proto::{Checkpoint, Hash, Notice, PeerView, Role, RowId, Score};

use super::{
    driver::Node,
    store_files::StoreError,
    terms::{Found, culprit},
};
use crate::{
    export::{Model, Stored, score},
    ff::Objective,
    report::{Event, Stopped},
    spec::Spec,
};

impl Node {
    /// A sentence for the person.
    pub(super) fn note(&mut self, message: impl Into<String>) {
        self.view.show(&Event::Note { message: message.into() });
    }

    /// Where other machines can reach the node: it is up, or that has changed.
    fn on_listening(&mut self, addresses: &[SocketAddr]) {
        let listen: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        if std::mem::replace(&mut self.is_ready, true) {
            let now = if listen.is_empty() { "nowhere".to_owned() } else { listen.join(", ") };
            return self.note(format!("the network has changed: this node listens on {now}"));
        }
        let rows = self.spec.network.rows();
        self.view.show(&Event::Ready {
            peer: self.net.id().to_string(),
            run: self.spec.run_id().to_string(),
            listen,
            rows: rows.iter().map(|row| (row.layer, row.shard)).collect(),
            steps: self.spec.network.steps,
            chapter_steps: self.spec.chapter_steps,
        });
    }

    /// Tells what happens on the network beside the run.
    pub(super) fn tell_network(&mut self, event: ffp2p_net::Event) {
        match event {
            ffp2p_net::Event::Listening(addresses) => self.on_listening(&addresses),
            ffp2p_net::Event::Greeted { peer, name } => self.names.learn(peer, name),
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
                self.names.came(peer);
                Event::Peer { peer: peer.to_string(), state: "joined".to_owned() }
            }
            Notice::PeerLeft { peer, goodbye, .. } => {
                self.names.went(peer);
                let state = if goodbye { "left" } else { "silent" };
                Event::Peer { peer: peer.to_string(), state: state.to_owned() }
            }
            Notice::Owner(lease) => {
                Event::Owner { row: lease.row.0, peer: lease.owner.to_string(), term: lease.term.0 }
            }
            Notice::Turn(turn) => Event::Turn {
                chapter: turn.chapter,
                peer: turn.owner.to_string(),
                term: turn.term.0,
            },
            Notice::Chapter(checkpoint) => Event::Chapter {
                row: checkpoint.row.0,
                chapter: self.spec.plan().chapter_ending(checkpoint.step),
                loss: checkpoint.loss_micro as f64 / 1e6,
                peer: checkpoint.by.to_string(),
            },
            Notice::Score(score) => eval_event(&self.spec, &score),
            Notice::Blame { peer, reason } => {
                Event::Note { message: format!("peer {peer} sent {reason}; ignored") }
            }
            Notice::Complete(checkpoints) => return self.on_complete(checkpoints),
        };
        self.view.show(&event);
    }

    /// Tells how far the run is.
    pub(super) fn report_progress(&mut self) {
        if self.model.is_some() {
            return;
        }
        let snapshot = self.state.snapshot();
        let rows: Vec<u64> = snapshot.rows.iter().map(|row| row.done).collect();
        let owner = |owner: Option<_>| {
            owner.map_or_else(String::new, |(id, _): (ffp2p_proto::NodeId, _)| id.to_string())
        };
        self.view.show(&Event::Progress {
            steps_per_second: self.pace.report(&rows),
            rows,
            owners: snapshot.rows.iter().map(|row| owner(row.owner)).collect(),
            peers: snapshot.peers.iter().filter(|peer| peer.role == Role::Worker).count(),
            own_steps: self.own_steps.clone(),
        });
    }

    /// A checkpoint is, or will soon be, in the store folder.
    pub(super) fn note_kept(&mut self, checkpoint: &Checkpoint) {
        if self.folder.is_some()
            && let Some(step) = self.kept.get_mut(usize::from(checkpoint.row.0))
        {
            *step = checkpoint.step.max(*step);
        }
    }

    /// The store folder takes no more: the node goes on in memory, unless it must not.
    pub(super) fn on_unkept(&mut self, error: StoreError) {
        self.folder = None;
        if self.settings.must_keep {
            self.note(format!("{error}; until then this node hands over its rows and stops"));
            self.failure = Some(error);
        } else {
            self.note(format!("{error}; from here on this node keeps its work in memory only"));
        }
    }

    /// Tells how far the run was when the node was stopped, and what of that is kept.
    pub(super) fn report_stopped(&mut self) {
        let snapshot = self.state.snapshot();
        let is_worker = |peer: &PeerView| peer.role == Role::Worker;
        self.view.show(&Event::Stopped(Stopped {
            rows: snapshot.rows.iter().map(|row| row.done).collect(),
            kept: self.kept.clone(),
            steps: self.spec.network.steps,
            alone: !snapshot.peers.iter().skip(1).any(is_worker),
            store: self.folder.clone(),
        }));
    }

    /// Scores the network made of these checkpoints; the result comes back to the loop.
    pub(super) fn score(&self, epoch: u64, checkpoints: Vec<Hash>) {
        let (spec, data, store) = (self.spec.clone(), self.data.clone(), self.store.clone());
        // Not when the other thread begins: the decisions may have hurried it by then.
        self.machine.hurry(false);
        let (results, machine) = (self.results.0.clone(), Arc::clone(&self.machine));
        tokio::task::spawn_blocking(move || {
            let get = |row: RowId| store.get(checkpoints.get(usize::from(row.0))?);
            let scorer = machine.scorer();
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
        let ledger = self.state.snapshot().ledger;
        let results = self.results.0.clone();
        let checkpoints: Vec<Hash> = checkpoints.iter().map(|it| it.blob.hash).collect();
        tokio::task::spawn_blocking(move || {
            let get = |row: RowId| store.get(checkpoints.get(usize::from(row.0))?);
            let model = match out {
                // Nobody asked for all of it.
                None => Stored::new(&spec, get).hash().map(|hash| (hash, Ok(()))),
                Some(path) => Model::assemble(&spec, ledger, get).map(|model| {
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
