//! The parts of a node next to the decisions, and the way between the two.
//!
//! Rule: an output of the decisions is carried out by one part, and an event of a part becomes one input
//! at most; which part knows what is decided here and nowhere else.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use ffp2p_net::Handle;
use ffp2p_proto::{Checkpoint, Hash, Input, Merge, Message, Notice, Output, Placement, State};
use tokio::task::JoinError;

use super::{
    blobs::{BlobStore, News},
    completion::{Assembled, Completion, Finding},
    error::NodeError,
    inputs::input_of,
    jobs,
    other_runs::{Answer, OtherRuns},
    persistence::Persistence,
    reporting::{Reporter, is_alone},
    trainer::{Command, Done, Trainer},
    types::Ending,
};
use crate::{diverged::Diverged, export::how_to_export, spec::Spec, store::StoreError};

/// All parts of a node but its decisions.
pub(super) struct Shell {
    pub(super) spec: Spec,
    /// File for the trained model.
    pub(super) out: Option<PathBuf>,
    pub(super) net: Handle,
    pub(super) trainer: Trainer,
    pub(super) store: Arc<BlobStore>,
    pub(super) completion: Completion,
    pub(super) persistence: Persistence,
    pub(super) other_runs: OtherRuns,
    pub(super) reporter: Reporter,
}

impl Shell {
    /// Takes in the checkpoints that the store had.
    pub(super) fn restore(&mut self, restored: &[Checkpoint]) {
        if restored.is_empty() {
            return;
        }
        restored.iter().for_each(|checkpoint| self.persistence.note_kept(checkpoint));
        self.reporter.restored(self.persistence.kept(), restored.len());
    }

    /// Carries out what the decisions in `state` ask for; returns what has failed already.
    pub(super) fn carry_out(
        &mut self,
        output: Output,
        state: &State,
    ) -> Result<Vec<Input>, NodeError> {
        match output {
            Output::Broadcast(message) => self.net.broadcast(message),
            Output::Send { to, message } => self.net.send(to, message),
            Output::Load { .. }
            | Output::Train { .. }
            | Output::Refresh { .. }
            | Output::Merge { .. } => match jobs::command(output, &self.store) {
                Ok(command) => command.map_or(Ok(()), |command| self.command(command))?,
                Err(inputs) => return Ok(inputs),
            },
            Output::Unload { shard } => self.command(Command::Unload { shard })?,
            Output::Fetch { blob, from } => self.net.fetch(blob, from),
            Output::Drop(hash) => self.store.remove(hash),
            Output::Keep(checkpoint) => {
                self.persistence.note_kept(&checkpoint);
                self.store.keep(checkpoint);
            }
            Output::Evaluate { epoch, checkpoints } => self.completion.score(epoch, checkpoints),
            Output::HurryScore => self.completion.hurry(),
            Output::Notify(Notice::Complete(checkpoints)) => {
                let snapshot = state.snapshot();
                // The takeovers of a run that is over at once are reported, too.
                self.reporter.takeovers(&snapshot);
                self.completion.complete(checkpoints, snapshot.provenance);
            }
            Output::Notify(notice) => self.reporter.on_notice(notice),
            // The loop ends by itself.
            Output::Finished => {}
        }
        Ok(Vec::new())
    }

    fn command(&self, command: Command) -> Result<(), NodeError> {
        if self.trainer.command(command) { Ok(()) } else { Err(NodeError::Stopped("trainer")) }
    }

    /// Stores activations, for other peers as well unless they would learn something of private data.
    fn put_batch(&self, hash: Hash, bytes: Bytes) {
        if self.spec.placement == Placement::Federated {
            self.store.insert_private(hash, bytes);
        } else {
            self.store.insert(hash, bytes);
        }
    }

    /// The input that an answer of the trainer is.
    pub(super) fn on_trainer(&mut self, answer: Done) -> Result<Input, NodeError> {
        Ok(match answer {
            Done::Loaded { shard, load, ok } => Input::Loaded { shard, load, ok },
            Done::Refused { shard, load, step, bad } => Input::Refused { shard, load, step, bad },
            Done::Speed(speed) => Input::Speed(speed),
            Done::Refreshed { shard, load, step, batch: (batch, bytes) } => {
                self.put_batch(batch.hash, bytes);
                Input::Refreshed { shard, load, step, batch }
            }
            Done::Merged { shard, step, outcome } => {
                let outcome = match outcome {
                    Ok(((checkpoint, bytes), (mean, mean_bytes))) => {
                        self.store.insert(checkpoint.hash, bytes);
                        self.store.insert(mean.hash, mean_bytes);
                        Merge::Made { checkpoint, mean }
                    }
                    Err(bad) => Merge::Refused(Some(bad)),
                };
                Input::Merged { shard, step, outcome }
            }
            Done::Diverged { place, step, fault } => {
                // The others need not wait until it is silent: they take over and find the same.
                self.net.broadcast(Message::Goodbye);
                return Err(Diverged::new(&self.spec.network, place, step, fault).into());
            }
            Done::Trained { shard, load, step, batch, checkpoint } => {
                self.reporter.step(shard, load, step);
                let batch = batch.map(|(blob, bytes)| {
                    self.put_batch(blob.hash, bytes);
                    blob
                });
                let checkpoint = checkpoint.map(|((blob, bytes), loss)| {
                    self.store.insert(blob.hash, bytes);
                    self.reporter.chapter(shard);
                    (blob, loss)
                });
                Input::Trained { shard, load, step, batch, checkpoint }
            }
        })
    }

    /// The input that an event of the network is, if it concerns the decisions.
    pub(super) fn on_network(&mut self, event: ffp2p_net::Event) -> Option<Input> {
        match input_of(event, &self.store).map_err(|event| *event) {
            Ok(input) => return Some(input),
            Err(ffp2p_net::Event::OtherRun { peer, run, version }) => {
                self.other_runs.ask(&self.net, peer, run, version);
            }
            Err(event) => self.reporter.on_network(event),
        }
        None
    }

    /// The input that news of the store are, if they concern the decisions.
    pub(super) fn on_news(&mut self, news: News) -> Option<Input> {
        match news {
            News::Unkept(error) => {
                self.on_unkept(error);
                self.persistence.has_failed().then_some(Input::Leave)
            }
            News::Lost(hash) => self.on_lost(hash),
        }
    }

    fn on_unkept(&mut self, error: StoreError) {
        let message = self.persistence.on_failure(error);
        self.reporter.note(message);
    }

    /// A blob that was fetched again meanwhile is not lost any more.
    fn on_lost(&self, hash: Hash) -> Option<Input> {
        (!self.store.has(&hash)).then_some(Input::Lost { hash })
    }

    /// A peer described the run that it trains.
    pub(super) fn on_answer(&mut self, answer: Result<Answer, JoinError>) -> Result<(), NodeError> {
        let answer = answer.map_err(|error| failed("question to a peer", &error))?;
        if let Some((peer, text)) = self.other_runs.describe(answer) {
            self.reporter.note_about(peer, &text);
        }
        Ok(())
    }

    /// The inputs that a task's findings are.
    pub(super) fn on_findings(
        &mut self,
        found: Result<Vec<Finding>, JoinError>,
        state: &State,
    ) -> Result<Vec<Input>, NodeError> {
        let found = found.map_err(|error| failed("scoring", &error))?;
        let inputs = found.into_iter().map(|finding| self.on_finding(finding, state));
        Ok(inputs.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    fn on_finding(&mut self, finding: Finding, state: &State) -> Result<Option<Input>, NodeError> {
        Ok(match finding {
            Finding::Score(score) => Some(Input::Evaluated(score)),
            Finding::Lost(hash) => self.on_lost(hash),
            Finding::Unusable(shard, step) => Some(Input::Unusable { shard, step }),
            Finding::Model(Ok(assembled)) => {
                self.on_assembled(assembled);
                Some(Input::Wakeup)
            }
            Finding::Model(Err(error)) => {
                let message = self.completion.on_failure(error, state.snapshot().provenance)?;
                self.reporter.note(message);
                None
            }
        })
    }

    /// The run is complete.
    fn on_assembled(&mut self, assembled: Assembled) {
        let model = assembled.model;
        match (self.completion.on_assembled(assembled), &self.out) {
            (Some(error), _) => {
                self.reporter.note(format!("the model could not be written: {error}"));
            }
            (None, Some(path)) => self.reporter.saved(path, model),
            (None, None) => {}
        }
        let folder = self.persistence.folder();
        self.reporter.done(model, self.net.traffic(), folder);
        if self.out.is_none() {
            self.reporter.note(match folder {
                Some(_) => how_to_export(&self.spec, self.persistence.named_folder()),
                None => "the model is in memory only, as long as a node has it".to_owned(),
            });
        }
    }

    /// The end of the node, if all its parts ended well.
    pub(super) fn ending(&mut self, state: &State) -> Result<Ending, NodeError> {
        if let Some(error) = self.completion.take_unsaved() {
            return Err(error.into());
        }
        if let Some(error) = self.persistence.take_failure() {
            return Err(error.into());
        }
        let snapshot = state.snapshot();
        // In no file, no store, and no other node.
        let is_nowhere = self.out.is_none() && self.persistence.is_missing() && is_alone(&snapshot);
        match self.completion.model() {
            Some(_) if is_nowhere => Err(NodeError::Nowhere),
            Some(model) => Ok(Ending::Done(model)),
            None => {
                let (kept, folder) = (self.persistence.kept(), self.persistence.folder());
                self.reporter.stopped(&snapshot, kept, folder);
                Ok(Ending::Interrupted)
            }
        }
    }

    /// Waits for the end of all that runs next to the loop, the network aside. Nobody takes answers of
    /// the trainer any more.
    pub(super) async fn close(&mut self) -> Result<(), NodeError> {
        let trained = self.trainer.close().await.map_err(|_| NodeError::Panicked("trainer"));
        let completed = self.completion.close().await;
        let completed = completed.map_err(|error| failed("scoring", &error));
        self.other_runs.close().await;
        trained.and(completed).and(self.store.close().map_err(NodeError::from))
    }
}

/// A task of the node that panicked.
fn failed(task: &'static str, error: &JoinError) -> NodeError {
    tracing::error!(%error, task, "a task of the node failed");
    NodeError::Panicked(task)
}
