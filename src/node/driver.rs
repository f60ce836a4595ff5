//! One loop: network, trainer, timers and the user go into the state machine; what it asks for is
//! carried out.
//!
//! Rule: every arm of the loop ends in [`State::handle`], and every output is carried out at once and
//! in order. Work that takes long (training, scoring, disk) runs elsewhere, and is joined at the end.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use ffp2p_net::BlobSource;
use ffp2p_proto::{Checkpoint, Input, Output, Role, State, Time};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until},
};

use super::{
    blobs::{BlobStore, News},
    completion::Completion,
    error::NodeError,
    other_runs::OtherRuns,
    persistence::Persistence,
    reporting::Reporter,
    shell::Shell,
    trainer::{ComputeGate, Done, Trainer},
    types::{Ending, Settings, Stop},
};
use crate::{
    about::{about_data, run_info},
    events::{EventSink, PROGRESS},
    schedule::Schedule,
    sharing::Serving,
    spec::Checked,
};

/// Answers of the trainer that can wait.
const ANSWERS: usize = 64;

/// News of the store that can wait.
const NEWS: usize = 8;

/// A running node.
///
/// One node is a run on its own; others that can reach it share the work.
///
/// ```
/// use ffp2p::{
///     data::Data,
///     events::Event,
///     node::{Ending, Listen, Network, Node, Settings},
///     spec::Spec,
/// };
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let data = Data::open("digits:200+50")?;
/// let run = Spec::builder().layers([784, 32]).epochs(1).batch_size(20).check(data)?;
/// let listen = Listen::At(vec!["127.0.0.1:0".parse()?]);
/// let network = Network { listen, mdns: false, ..Network::default() };
/// let sink = Box::new(|event: &Event| println!("{}", event.to_json()));
/// let node = Node::start(run, network, Settings::default(), sink).await?;
/// let (_stop, stops) = tokio::sync::mpsc::channel(1);
/// assert!(matches!(node.run(stops).await?, Ending::Done(_)));
/// # Ok(())
/// # }
/// ```
pub struct Node {
    state: State,
    shell: Shell,
    events: mpsc::Receiver<ffp2p_net::Event>,
    answers: mpsc::Receiver<Done>,
    news: mpsc::Receiver<News>,
    started: Instant,
    finished: bool,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.shell.net.id()).finish_non_exhaustive()
    }
}

impl Node {
    /// Starts a node: the network, the trainer, and what its store has of the run. To be called inside
    /// a tokio runtime.
    ///
    /// # Errors
    /// If the network or the store cannot be used.
    pub async fn start(
        checked: Checked,
        network: ffp2p_net::Config,
        settings: Settings,
        sink: Box<dyn EventSink>,
    ) -> Result<Self, NodeError> {
        let Settings { threads, name, config, out, disk, durability } = settings;
        let (plan, about) = (checked.spec.plan(), about_data(&checked));
        let persistence = Persistence::new(disk.as_ref(), durability, plan.shard_count());
        let run = Some(run_info(&checked.spec, name, Some(about.clone())));
        let remembered = disk.as_ref().map(|disk| disk.store().join("peers"));
        let network = ffp2p_net::Config { run, remembered, ..network };
        let name = network.name.clone();
        let (tell, news) = mpsc::channel(NEWS);
        let (store, restored) = BlobStore::open(disk, tell)?;
        let store = Arc::new(store);
        let schedule = Schedule::new(&checked, threads)?;
        let own = Arc::clone(&store) as Arc<dyn BlobSource>;
        let blobs: Arc<dyn BlobSource> = Arc::new(Serving::new(own, &checked));
        let (net, events) = ffp2p_net::spawn(network, blobs).await?;
        let (sender, answers) = mpsc::channel(ANSWERS);
        let gate = Arc::new(ComputeGate::new(threads));
        let trainer = Trainer::start(schedule, Arc::clone(&gate), sender, plan.is_by_chapter())
            .map_err(NodeError::NoThread)?;
        let Checked { spec, data } = checked;
        let state = State::new(net.id(), Role::Worker, plan, config, Time(0));
        let shell = Shell {
            completion: Completion::new(spec.clone(), data, out.clone(), Arc::clone(&store), gate),
            other_runs: OtherRuns::new(spec.clone(), about),
            reporter: Reporter::new(sink, spec.clone(), net.id(), name),
            spec,
            out,
            net,
            trainer,
            store,
            persistence,
        };
        let (started, finished) = (Instant::now(), false);
        let mut node = Self { state, shell, events, answers, news, started, finished };
        node.restore(restored)?;
        Ok(node)
    }

    /// Runs until the run is complete or `stop` says so.
    ///
    /// # Errors
    /// If a part of the node stops working or panics, or the model cannot be written.
    pub async fn run(mut self, stop: mpsc::Receiver<Stop>) -> Result<Ending, NodeError> {
        let worked = self.work(stop).await;
        self.report_progress();
        self.shell.net.clone().shutdown().await;
        // The trainer must not wait until its answers are taken.
        self.answers.close();
        let closed = self.shell.close().await;
        while let Ok(news) = self.news.try_recv() {
            // What is lost is lost, but a failure to keep something counts.
            self.shell.on_news(news);
        }
        closed.and(worked)?;
        self.shell.ending(&self.state)
    }

    async fn work(&mut self, mut stop: mpsc::Receiver<Stop>) -> Result<(), NodeError> {
        let (mut progress, mut asked) = (ticks(), 0);
        while !self.finished || self.shell.completion.is_assembling() {
            let wakeup = self.started + Duration::from_millis(self.state.next_wakeup().0);
            tokio::select! {
                Some(stop) = stop.recv() => {
                    asked += u32::from(stop == Stop::Asked);
                    if asked > 1 {
                        break;
                    }
                    let note = "leaving: handing over shards; press Ctrl-C again to go at once";
                    self.shell.reporter.note(note);
                    self.handle([Input::Leave])?;
                }
                answer = self.answers.recv() => {
                    let answer = answer.ok_or(NodeError::Stopped("trainer"))?;
                    let input = self.shell.on_trainer(answer)?;
                    self.handle([input])?;
                }
                event = self.events.recv() => {
                    let event = event.ok_or(NodeError::Stopped("network"))?;
                    let input = self.shell.on_network(event);
                    self.handle(input)?;
                }
                Some(news) = self.news.recv() => {
                    let input = self.shell.on_news(news);
                    self.handle(input)?;
                }
                Some(found) = self.shell.completion.next() => {
                    let inputs = self.shell.on_findings(found, &self.state)?;
                    self.handle(inputs)?;
                }
                Some(answer) = self.shell.other_runs.next() => self.shell.on_answer(answer)?,
                () = sleep_until(wakeup) => self.handle([Input::Wakeup])?,
                _ = progress.tick() => self.report_progress(),
            }
        }
        Ok(())
    }

    fn report_progress(&mut self) {
        let progress = self.shell.reporter.progress(&self.state.snapshot());
        self.shell.net.describe(progress);
    }

    /// Takes in what the store had.
    fn restore(&mut self, restored: Vec<Checkpoint>) -> Result<(), NodeError> {
        self.shell.restore(&restored);
        for checkpoint in restored {
            // Forged ones can share their bytes, and go with the first that is given up.
            if self.shell.store.has(&checkpoint.blob.hash) {
                self.handle([Input::Restored(checkpoint)])?;
            }
        }
        Ok(())
    }

    /// The time as the decisions see it.
    fn now(&self) -> Time {
        Time(self.started.elapsed().as_millis() as u64)
    }

    /// Gives the decisions inputs, and what follows at once from what they ask for.
    fn handle(&mut self, inputs: impl IntoIterator<Item = Input>) -> Result<(), NodeError> {
        let mut inputs = VecDeque::from_iter(inputs);
        while let Some(input) = inputs.pop_front() {
            let now = self.now();
            for output in self.state.handle(input, now) {
                self.finished |= matches!(output, Output::Finished);
                inputs.extend(self.shell.carry_out(output, &self.state)?);
            }
        }
        Ok(())
    }
}

/// The times at which progress is reported.
fn ticks() -> Interval {
    let mut ticks = interval(PROGRESS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
