//! Looking at a run from outside: find it on the LAN, join as an observer, see and fetch.
//!
//! Rule: an observer takes no work and keeps no folder. Nodes that stop by themselves give it some
//! seconds to fetch the model.

use std::{sync::Arc, time::Duration};

use ffp2p_net::{BlobSource, Handle, SurveyError};
use ffp2p_proto::{Checkpoint, Config, Input, Notice, Output, Role, Snapshot, State, Time};
use tokio::{sync::mpsc, time::Instant};

use super::{CommandError, run_info};
use crate::{
    node::{NodeError, Store, heard},
    spec::Spec,
};

/// How long peers are looked for.
const SEARCH: Duration = Duration::from_secs(6);

/// The run whose id begins with `asked`, or the only one.
pub(super) fn choose<T>(
    mut runs: Vec<T>,
    id: impl Fn(&T) -> String,
    asked: Option<&str>,
) -> Result<T, CommandError> {
    let known: Vec<String> = runs.iter().map(|run| id(run).chars().take(16).collect()).collect();
    if let Some(asked) = asked {
        runs.retain(|run| id(run).starts_with(asked));
    }
    match (runs.pop(), runs.is_empty()) {
        (Some(run), true) => Ok(run),
        (Some(_), false) => Err(CommandError::Usage(format!(
            "there are several runs; choose one with --run: {}",
            known.join(", ")
        ))),
        (None, _) => Err(CommandError::NothingYet(match asked {
            Some(asked) => format!("no run begins with {asked}; there are: {}", known.join(", ")),
            None => "no run was found".to_owned(),
        })),
    }
}

/// Finds a run on this host or LAN.
pub(super) async fn find(
    network: &ffp2p_net::Config,
    asked: Option<&str>,
) -> Result<Spec, CommandError> {
    let found = match ffp2p_net::survey(network.clone(), SEARCH).await {
        Ok(found) => found,
        Err(SurveyError::Start(error)) => return Err(NodeError::from(error).into()),
        Err(error) => {
            return Err(CommandError::NothingYet(format!(
                "{error}\nstart a node with `ffp2p join`, or name one with --peer HOST:PORT"
            )));
        }
    };
    let found = choose(found, |found| found.run.to_string(), asked)?;
    let spec = Spec::from_canonical(&found.spec)
        .map_err(|error| CommandError::Failed(format!("run {}: {error}", found.run.short())))?;
    if spec.run_id() != found.run {
        let text = format!("peer {} gave a spec of another run", found.peer);
        return Err(CommandError::Failed(text));
    }
    Ok(spec)
}

/// An observer of one run.
#[derive(Debug)]
pub(super) struct Observer {
    state: State,
    net: Handle,
    events: mpsc::Receiver<ffp2p_net::Event>,
    store: Arc<Store>,
    started: Instant,
}

impl Observer {
    /// Joins the run.
    pub(super) async fn join(
        spec: &Spec,
        mut network: ffp2p_net::Config,
    ) -> Result<Self, CommandError> {
        let store = Arc::new(Store::default());
        let blobs: Arc<dyn BlobSource> = Arc::clone(&store) as Arc<dyn BlobSource>;
        network.run = Some(run_info(spec, None));
        let (net, events) = ffp2p_net::spawn(network, blobs).await.map_err(NodeError::from)?;
        let state = State::new(net.id(), Role::Observer, spec.plan(), Config::default(), Time(0));
        Ok(Self { state, net, events, store, started: Instant::now() })
    }

    /// Waits for the next thing to happen. Returns the last checkpoints once all are here.
    pub(super) async fn step(&mut self) -> Result<Option<Vec<Checkpoint>>, CommandError> {
        let wakeup = self.started + Duration::from_millis(self.state.next_wakeup().0);
        let input = tokio::select! {
            event = self.events.recv() => {
                let event = event.ok_or(NodeError::Stopped("network"))?;
                heard(event, &self.store).ok()
            }
            () = tokio::time::sleep_until(wakeup) => Some(Input::Wakeup),
        };
        let now = Time(self.elapsed().as_millis() as u64);
        let outputs = input.map_or_else(Vec::new, |input| self.state.handle(input, now));
        Ok(self.carry_out(outputs))
    }

    fn carry_out(&self, outputs: Vec<Output>) -> Option<Vec<Checkpoint>> {
        let mut complete = None;
        for output in outputs {
            match output {
                Output::Broadcast(message) => self.net.broadcast(message),
                Output::Send { to, message } => self.net.send(to, message),
                Output::Fetch { blob, from } => self.net.fetch(blob, from),
                Output::Drop(hash) => self.store.remove(hash),
                Output::Notify(notice) => {
                    if let Notice::Complete(checkpoints) = notice {
                        complete = Some(checkpoints);
                    }
                }
                Output::Load { .. }
                | Output::Train { .. }
                | Output::Refresh { .. }
                | Output::Unload { .. }
                | Output::Keep(_)
                | Output::Evaluate { .. }
                | Output::HurryScore
                | Output::Finished => {}
            }
        }
        complete
    }

    /// Since it joined.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// What it knows.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.state.snapshot()
    }

    /// The blobs it fetched.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Leaves the run.
    pub(super) async fn leave(self) {
        self.net.shutdown().await;
    }
}
