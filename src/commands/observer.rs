//! Looking at a run from outside: find it on the LAN, join as an observer, see and fetch.
//!
//! Rule: an observer takes no work and keeps no folder, and says goodbye. Nodes that stop by
//! themselves give it some seconds to fetch the model, unless it only looks.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ffp2p_net::{About, BlobSource, Event, Handle, SurveyError, Traffic};
use ffp2p_proto::{
    Checkpoint, Config, Hash, Input, Message, NodeId, Notice, Output, Role, Snapshot, State, Time,
};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use super::{CommandError, run_info};
use crate::{
    node::{Names, NodeError, Store, heard},
    spec::Spec,
    text::shown,
};

/// Digits of a run's id that name it, at least: fewer would soon name another one as well.
const LEAST_DIGITS: usize = 4;

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
        check_digits("--run ", asked)?;
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

/// Refuses what cannot be the first digits of a run's id, typed behind `flag`.
pub(super) fn check_digits(flag: &str, asked: &str) -> Result<(), CommandError> {
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if (LEAST_DIGITS..=64).contains(&asked.len()) && asked.chars().all(is_digit) {
        return Ok(());
    }
    let text = format!(
        "{flag}{}: write at least the first {LEAST_DIGITS} digits of the run's id, 0 to 9 and a to f",
        shown(asked)
    );
    Err(CommandError::Usage(text))
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
    run: Hash,
    role: Role,
    state: State,
    net: Handle,
    events: mpsc::Receiver<Event>,
    store: Arc<Store>,
    started: Instant,
    names: Names,
    /// Questions to peers about their run and themselves, one each.
    asked: JoinSet<(NodeId, Option<About>)>,
    told: BTreeMap<NodeId, About>,
}

impl Observer {
    /// Joins the run, as somebody who takes no work.
    pub(super) async fn join(
        spec: &Spec,
        role: Role,
        mut network: ffp2p_net::Config,
    ) -> Result<Self, CommandError> {
        let (store, name) = (Arc::new(Store::default()), network.name.clone());
        let blobs: Arc<dyn BlobSource> = Arc::clone(&store) as Arc<dyn BlobSource>;
        network.run = Some(run_info(spec, None));
        let (net, events) = ffp2p_net::spawn(network, blobs).await.map_err(NodeError::from)?;
        Ok(Self {
            run: spec.run_id(),
            role,
            state: State::new(net.id(), role, spec.plan(), Config::default(), Time(0)),
            names: Names::new(net.id(), name),
            net,
            events,
            store,
            started: Instant::now(),
            asked: JoinSet::new(),
            told: BTreeMap::new(),
        })
    }

    /// Waits for the next thing to happen. Returns the last checkpoints once all are here.
    pub(super) async fn step(&mut self) -> Result<Option<Vec<Checkpoint>>, CommandError> {
        let wakeup = self.started + Duration::from_millis(self.state.next_wakeup().0);
        let input = tokio::select! {
            event = self.events.recv() => {
                self.hear(event.ok_or(NodeError::Stopped("network"))?)
            }
            Some(Ok((peer, about))) = self.asked.join_next() => {
                self.told.extend(about.map(|about| (peer, about)));
                None
            }
            () = tokio::time::sleep_until(wakeup) => Some(Input::Wakeup),
        };
        let now = Time(self.elapsed().as_millis() as u64);
        let outputs = input.map_or_else(Vec::new, |input| self.state.handle(input, now));
        Ok(self.carry_out(outputs))
    }

    fn hear(&mut self, event: Event) -> Option<Input> {
        if let Event::Connected(peer) = event
            && self.role == Role::Onlooker
        {
            let (net, run) = (self.net.clone(), self.run);
            self.asked.spawn(async move {
                let described = net.fetch_spec(peer, run).await.ok();
                (peer, described.and_then(|described| described.about))
            });
        }
        match heard(event, &self.store) {
            Ok(input) => Some(input),
            Err(event) => {
                if let Event::Greeted { peer, name } = *event {
                    self.names.learn(peer, name);
                }
                None
            }
        }
    }

    fn carry_out(&mut self, outputs: Vec<Output>) -> Option<Vec<Checkpoint>> {
        let mut complete = None;
        for output in outputs {
            match output {
                Output::Broadcast(message) => self.net.broadcast(message),
                Output::Send { to, message } => self.net.send(to, message),
                Output::Fetch { blob, from } => self.net.fetch(blob, from),
                Output::Drop(hash) => self.store.remove(hash),
                Output::Notify(Notice::Complete(checkpoints)) => complete = Some(checkpoints),
                Output::Notify(Notice::PeerJoined { peer, role: Role::Worker }) => {
                    self.names.came(peer);
                }
                Output::Load { .. }
                | Output::Train { .. }
                | Output::Refresh { .. }
                | Output::Unload { .. }
                | Output::Keep(_)
                | Output::Evaluate { .. }
                | Output::HurryScore
                | Output::Notify(_)
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

    /// What people call a node.
    pub(super) fn name(&self, node: NodeId) -> String {
        self.names.of(node)
    }

    /// What peers say of their run and of themselves; they are asked when it only looks.
    pub(super) fn told(&self) -> &BTreeMap<NodeId, About> {
        &self.told
    }

    /// Payload bytes so far.
    pub(super) fn traffic(&self) -> Traffic {
        self.net.traffic()
    }

    /// Leaves the run.
    pub(super) async fn leave(self) {
        self.net.broadcast(Message::Goodbye);
        self.net.shutdown().await;
    }
}
