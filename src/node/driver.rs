//! One loop: network, trainer, timers and the person go into the state machine; what it asks for
//! goes out.
//!
//! Rule: every arm of the loop ends in [`State::handle`], and every output is carried out at
//! once and in order. Work that takes long (training, scoring, disk) runs elsewhere.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use ffp2p_net::{AboutData, BlobSource, Handle};
use ffp2p_proto::{
    Checkpoint, Hash, Input, Message, Output, Placement, Role, ShardId, State, Time,
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    compute_gate::ComputeGate,
    disk::Disk,
    names::Names,
    others::Others,
    store::Store,
    store_files::StoreError,
    takeovers::Takeovers,
    trainer::{Command, Done, Trainer},
    types::{Durability, Ending, Found, NodeError, Settings, Stop, heard, open_store},
};
use crate::{
    about::about_data,
    data::Data,
    diverged::Diverged,
    events::{Event, EventSink, PROGRESS, StepRate},
    export::{ModelError, how_to_take},
    schedule::Schedule,
    spec::{Checked, Spec},
};

/// Answers of the trainer that can wait.
const ANSWERS: usize = 64;

/// Results of scoring and of assembling the model that can wait.
const RESULTS: usize = 8;

/// A running node.
pub struct Node {
    pub(super) spec: Spec,
    pub(super) data: Data,
    /// What is told of them.
    pub(super) about_data: AboutData,
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) net: Handle,
    events: mpsc::Receiver<ffp2p_net::Event>,
    pub(super) gate: Arc<ComputeGate>,
    trainer: Trainer,
    answers: mpsc::Receiver<Done>,
    pub(super) results: (mpsc::Sender<Found>, mpsc::Receiver<Found>),
    pub(super) store: Arc<Store>,
    pub(super) sink: Box<dyn EventSink>,
    pub(super) names: Names,
    pub(super) others: Others,
    pub(super) takeovers: Takeovers,
    /// Whether it was told that the node is up.
    pub(super) is_ready: bool,
    pub(super) started: Instant,
    pub(super) pace: StepRate,
    /// Whether it did a step at all.
    pub(super) begun: bool,
    /// The load under which each shard's last step was done here.
    pub(super) taken: BTreeMap<ShardId, u64>,
    /// Chapters trained here, per shard.
    chapters: Vec<u64>,
    /// Steps done here, per shard.
    pub(super) own_steps: Vec<u64>,
    /// The store folder, for the user, as long as it takes what is to be kept.
    pub(super) folder: Option<String>,
    /// Steps of the furthest checkpoint in it, per shard.
    pub(super) kept: Vec<u64>,
    pub(super) model: Option<Hash>,
    /// Whether the model is being put together.
    pub(super) assembling: bool,
    /// What to put together if that fails, because some of it was not here any more.
    pub(super) complete_again: Option<Vec<Checkpoint>>,
    finished: bool,
    /// Why the store folder takes no more.
    pub(super) failure: Option<StoreError>,
    /// Why the model could not be written.
    unsaved: Option<ModelError>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.net.id()).finish_non_exhaustive()
    }
}

impl Node {
    /// Starts a node: the network, the trainer, and what its folder still has.
    ///
    /// # Errors
    /// If the network cannot be used.
    pub async fn start(
        checked: Checked,
        network: ffp2p_net::Config,
        settings: Settings,
        disk: Option<Disk>,
        sink: Box<dyn EventSink>,
    ) -> Result<Self, NodeError> {
        let plan = checked.spec.plan();
        let chapters = vec![0; plan.shard_count()];
        let results = mpsc::channel(RESULTS);
        let folder = disk.as_ref().map(|disk| disk.store().display().to_string());
        let (store, restored) = open_store(disk, results.0.clone())?;
        let blobs: Arc<dyn BlobSource> = Arc::clone(&store) as Arc<dyn BlobSource>;
        let (name, about_data) = (network.name.clone(), about_data(&checked));
        let (net, events) = ffp2p_net::spawn(network, blobs).await?;
        let (sender, answers) = mpsc::channel(ANSWERS);
        let schedule = Schedule::new(&checked, settings.threads)?;
        let gate = Arc::new(ComputeGate::new(settings.threads));
        let trainer = Trainer::start(schedule, Arc::clone(&gate), sender, plan.is_by_chapter());
        let state = State::new(net.id(), Role::Worker, plan, settings.config.clone(), Time(0));
        let mut names = Names::new(net.id(), name);
        names.came(net.id());
        let mut node = Self {
            spec: checked.spec,
            data: checked.data,
            about_data,
            settings,
            state,
            names,
            others: Others::default(),
            takeovers: Takeovers::default(),
            net,
            events,
            gate,
            trainer,
            answers,
            results,
            store,
            sink,
            is_ready: false,
            started: Instant::now(),
            pace: StepRate::start(),
            begun: false,
            taken: BTreeMap::new(),
            own_steps: chapters.clone(),
            folder,
            kept: chapters.clone(),
            chapters,
            model: None,
            assembling: false,
            complete_again: None,
            finished: false,
            failure: None,
            unsaved: None,
        };
        node.restore(restored)?;
        Ok(node)
    }

    /// Runs until the run is complete or `stop` says so.
    ///
    /// # Errors
    /// If a part of the node stops working, or the model cannot be written.
    pub async fn run(mut self, stop: mpsc::Receiver<Stop>) -> Result<Ending, NodeError> {
        let worked = self.work(stop).await;
        self.report_progress();
        self.net.clone().shutdown().await;
        self.store.close();
        worked?;
        while let Ok(found) = self.results.1.try_recv() {
            if let Found::Unkept(error) = found {
                self.on_unkept(error);
            }
        }
        if let Some(error) = self.unsaved {
            return Err(error.into());
        }
        match (self.failure.take(), self.model) {
            (Some(error), _) => Err(error.into()),
            (None, Some(_)) if self.is_nowhere() => Err(NodeError::Nowhere),
            (None, Some(_)) => Ok(Ending::Done),
            (None, None) => {
                self.report_stopped();
                Ok(Ending::Interrupted)
            }
        }
    }

    async fn work(&mut self, mut stop: mpsc::Receiver<Stop>) -> Result<(), NodeError> {
        let mut progress = tokio::time::interval(PROGRESS);
        progress.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut asked = 0;
        while !self.finished || self.assembling {
            let wakeup = self.started + Duration::from_millis(self.state.next_wakeup().0);
            tokio::select! {
                Some(stop) = stop.recv() => {
                    asked += u32::from(stop == Stop::Asked);
                    if asked > 1 {
                        break;
                    }
                    self.note("leaving: handing over shards; press Ctrl-C again to go at once");
                    self.handle(Input::Leave)?;
                }
                answer = self.answers.recv() => {
                    let answer = answer.ok_or(NodeError::Stopped("trainer"))?;
                    self.on_trainer(answer)?;
                }
                event = self.events.recv() => {
                    let event = event.ok_or(NodeError::Stopped("network"))?;
                    self.on_network(event)?;
                }
                Some(found) = self.results.1.recv() => self.on_found(found)?,
                () = tokio::time::sleep_until(wakeup) => self.handle(Input::Wakeup)?,
                _ = progress.tick() => self.report_progress(),
            }
        }
        Ok(())
    }

    /// Takes in what the folder still had.
    fn restore(&mut self, restored: Vec<Checkpoint>) -> Result<(), NodeError> {
        if restored.is_empty() {
            return Ok(());
        }
        restored.iter().for_each(|checkpoint| self.note_kept(checkpoint));
        let shards = self.kept.clone();
        self.sink.on_event(&Event::Restored { shards, checkpoints: restored.len() });
        restored.into_iter().try_for_each(|checkpoint| self.handle(Input::Restored(checkpoint)))
    }

    /// The time as the decisions see it.
    fn now(&self) -> Time {
        Time(self.started.elapsed().as_millis() as u64)
    }

    /// Lets the decisions hear something, and what comes of what they want at once.
    fn handle(&mut self, input: Input) -> Result<(), NodeError> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = self.now();
            for output in self.state.handle(input, now) {
                inputs.extend(self.carry_out(output)?);
            }
        }
        Ok(())
    }

    /// Does what the decisions want; returns what has failed already.
    fn carry_out(&mut self, output: Output) -> Result<Vec<Input>, NodeError> {
        match output {
            Output::Broadcast(message) => self.net.broadcast(message),
            Output::Send { to, message } => self.net.send(to, message),
            Output::Load { .. } | Output::Train { .. } | Output::Refresh { .. } => {
                return self.hand_over(output);
            }
            Output::Unload { shard } => self.command(Command::Unload { shard })?,
            Output::Fetch { blob, from } => self.net.fetch(blob, from),
            Output::Drop(hash) => self.store.remove(hash),
            Output::Keep(checkpoint) => {
                self.note_kept(&checkpoint);
                self.store.keep(checkpoint);
            }
            Output::Evaluate { epoch, checkpoints } => self.score(epoch, checkpoints),
            Output::HurryScore => self.gate.hurry(true),
            Output::Notify(notice) => self.tell(notice),
            Output::Finished => self.finished = true,
        }
        Ok(Vec::new())
    }

    /// Puts activations away, where other peers can have them unless they tell of private data.
    fn put_batch(&self, hash: Hash, bytes: Bytes) {
        if self.spec.placement == Placement::Federated {
            self.store.insert_own(hash, bytes);
        } else {
            self.store.insert(hash, bytes);
        }
    }

    pub(super) fn command(&self, command: Command) -> Result<(), NodeError> {
        if self.trainer.command(command) { Ok(()) } else { Err(NodeError::Stopped("trainer")) }
    }

    fn on_trainer(&mut self, answer: Done) -> Result<(), NodeError> {
        let input = match answer {
            Done::Loaded { shard, load, ok } => Input::Loaded { shard, load, ok },
            Done::Refused { shard, load, step, bad } => Input::Refused { shard, load, step, bad },
            Done::Speed(speed) => Input::Speed(speed),
            Done::Refreshed { shard, load, step, batch: (batch, bytes) } => {
                self.put_batch(batch.hash, bytes);
                Input::Refreshed { shard, load, step, batch }
            }
            Done::Diverged { place, step, fault } => {
                // Others need not wait until it is silent: they take over and find the same.
                self.net.broadcast(Message::Goodbye);
                return Err(Diverged::new(&self.spec.network, place, step, fault).into());
            }
            Done::Trained { shard, load, step, batch, checkpoint } => {
                self.tell_step(shard, load, step);
                let batch = batch.map(|(blob, bytes)| {
                    self.put_batch(blob.hash, bytes);
                    blob
                });
                let checkpoint = checkpoint.map(|((blob, bytes), loss)| {
                    self.store.insert(blob.hash, bytes);
                    (blob, loss)
                });
                if let (Some(_), Some(count)) =
                    (checkpoint, self.chapters.get_mut(usize::from(shard.0)))
                {
                    *count += 1;
                }
                Input::Trained { shard, load, step, batch, checkpoint }
            }
        };
        self.handle(input)
    }

    fn on_network(&mut self, event: ffp2p_net::Event) -> Result<(), NodeError> {
        match heard(event, &self.store) {
            Ok(input) => self.handle(input),
            Err(event) => {
                self.tell_network(*event);
                Ok(())
            }
        }
    }

    fn on_found(&mut self, found: Found) -> Result<(), NodeError> {
        match found {
            Found::Score(score) => self.handle(Input::Evaluated(score)),
            Found::OtherRun { peer, run, version, answer } => {
                self.tell_other_run(peer, run, &version, answer);
                Ok(())
            }
            Found::Unkept(error) => {
                self.on_unkept(error);
                if self.failure.is_some() { self.handle(Input::Leave) } else { Ok(()) }
            }
            // What was fetched again meanwhile is not lost any more.
            Found::Lost(hash) if self.store.has(&hash) => Ok(()),
            Found::Lost(hash) => self.handle(Input::Lost { hash }),
            Found::Unusable(shard, step) => self.handle(Input::Unusable { shard, step }),
            Found::Model(Err(error)) => {
                self.assembling = false;
                let (ModelError::Shard { .. } | ModelError::Missing { .. }) = &error else {
                    return Err(error.into());
                };
                self.note(format!("{error}; waiting for another"));
                if let Some(checkpoints) = self.complete_again.take() {
                    self.assemble(checkpoints);
                }
                Ok(())
            }
            Found::Model(Ok((model, saved))) => {
                self.assembling = false;
                self.model = Some(model);
                match (&self.settings.out, saved) {
                    (Some(path), Ok(())) => {
                        let file = path.display().to_string();
                        self.sink.on_event(&Event::Saved { file, model: model.to_string() });
                    }
                    (_, Err(error)) => {
                        self.note(format!("the model could not be written: {error}"));
                        self.unsaved = Some(error);
                    }
                    (None, Ok(())) => {}
                }
                let traffic = self.net.traffic();
                self.sink.on_event(&Event::Done {
                    model: model.to_string(),
                    seconds: self.started.elapsed().as_secs_f64(),
                    bytes_in: traffic.bytes_in,
                    bytes_out: traffic.bytes_out,
                    gossip_in: traffic.gossip_in,
                    trained: self.chapters[..self.spec.network.shards().len()].to_vec(),
                    store: self.folder.clone(),
                });
                if self.settings.out.is_none() {
                    let named = self
                        .folder
                        .as_deref()
                        .filter(|_| self.settings.durability == Durability::Required);
                    self.note(match &self.folder {
                        Some(_) => how_to_take(&self.spec, named),
                        None => "the model is in memory only, as long as a node has it".to_owned(),
                    });
                }
                self.handle(Input::Wakeup)
            }
        }
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
