//! An observer of a run: joins it, and sees and fetches what it needs.
//!
//! Rule: an observer takes no work, keeps no store, and says goodbye. Nodes that stop by themselves
//! give it some seconds to fetch the model, unless it only looks.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ffp2p_net::{About, BlobSource, Event, Handle, Traffic};
use ffp2p_proto::{
    Checkpoint, Config, Hash, Input, Message, NodeId, Notice, Output, Role, Snapshot, State, Time,
};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use super::error::CommandError;
use crate::{
    about::run_info,
    node::{BlobStore, Names, NodeError, input_of},
    spec::Spec,
};

/// An observer of one run.
#[derive(Debug)]
pub(super) struct Observer {
    run: Hash,
    role: Role,
    state: State,
    net: Handle,
    events: mpsc::Receiver<Event>,
    store: Arc<BlobStore>,
    started: Instant,
    names: Names,
    /// Questions to peers about their run and themselves, one each.
    asked: JoinSet<(NodeId, Option<About>)>,
    told: BTreeMap<NodeId, About>,
}

impl Observer {
    /// Joins the run in a role that takes no work.
    pub(super) async fn join(
        spec: &Spec,
        role: Role,
        mut network: ffp2p_net::Config,
    ) -> Result<Self, CommandError> {
        let (store, name) = (Arc::new(BlobStore::default()), network.name.clone());
        let blobs: Arc<dyn BlobSource> = Arc::clone(&store) as Arc<dyn BlobSource>;
        network.run = Some(run_info(spec, None, None));
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
            Some(answer) = self.asked.join_next() => {
                let (peer, about) = answer.map_err(|error| {
                    CommandError::Failed(format!("a question to a peer failed: {error}"))
                })?;
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
        match input_of(event, &self.store) {
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
                | Output::Merge { .. }
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

    /// Time since it joined.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Everything it knows.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.state.snapshot()
    }

    /// The blobs it fetched.
    pub(super) fn store(&self) -> &BlobStore {
        &self.store
    }

    /// The display name of a node.
    pub(super) fn name(&self, node: NodeId) -> String {
        self.names.of(node)
    }

    /// The peers' descriptions of themselves; they are asked when it only looks.
    pub(super) fn told(&self) -> &BTreeMap<NodeId, About> {
        &self.told
    }

    /// Payload bytes so far.
    pub(super) fn traffic(&self) -> Traffic {
        self.net.traffic()
    }

    /// Leaves the run.
    pub(super) async fn leave(mut self) {
        self.asked.shutdown().await;
        self.net.broadcast(Message::Goodbye);
        self.net.shutdown().await;
    }
}
