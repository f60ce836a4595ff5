//! `ffp2p status`: a run, its peers, what each owns, and its progress.
//!
//! Rule: looking costs a few kilobytes, whatever the size of the model.

use std::time::Duration;

use ffp2p_net::{About, AboutData, Traffic};
use ffp2p_proto::{Config, Kept, MAX_MEMBERS, NodeId, PeerView, Role, Snapshot};
use serde_json::json;

use super::{
    error::CommandError,
    found::{find, in_flags},
    observer::Observer,
    runtime::runtime,
};
use crate::{
    about,
    cli::StatusArgs,
    data::kind_of,
    export::eval_event,
    spec::{Setting, Spec, typed_settings, widths},
    text::duration,
    view::{line, sentence},
};

/// Heartbeats for which peers are listened to.
const HEARTBEATS: u64 = 3;

/// Time for which peers are listened to: some heartbeats of a node that knows many others.
fn listening() -> Duration {
    Duration::from_millis(HEARTBEATS * Config::default().heartbeat_interval_ms(MAX_MEMBERS))
}

/// A node of the run.
struct Known {
    id: NodeId,
    /// Its display name.
    name: String,
    /// For how long it has been in the run, seconds.
    age: Option<u64>,
}

/// The state of a run as its peers report it.
struct Status {
    spec: Spec,
    snapshot: Snapshot,
    /// The nodes in the snapshot, this one aside.
    nodes: Vec<Known>,
    data: Option<AboutData>,
    traffic: Traffic,
}

pub(super) fn run(args: StatusArgs) -> Result<(), CommandError> {
    let status = runtime()?.block_on(async {
        let network = args.network.visitor()?;
        let found = find(&network, args.run.as_deref()).await?;
        let spec = found.spec()?.clone();
        let mut observer = Observer::join(&spec, Role::Onlooker, network).await?;
        while observer.elapsed() < listening() {
            observer.step().await?;
        }
        let status = Status::of(spec, &observer);
        observer.leave().await;
        Ok::<_, CommandError>(status)
    })?;
    let text = if args.json { status.as_json() } else { status.as_table() };
    line(&text);
    Ok(())
}

impl Status {
    fn of(spec: Spec, observer: &Observer) -> Self {
        let (snapshot, told) = (observer.snapshot(), observer.told());
        let age = |about: &About| about.age_seconds;
        let others = snapshot.peers.iter().skip(1).map(|peer| peer.id);
        let known = |id| Known { id, name: observer.name(id), age: told.get(&id).map(age) };
        let nodes = others.map(known).collect();
        let data = told.values().find_map(|about| about.data.clone());
        Self { spec, snapshot, nodes, data, traffic: observer.traffic() }
    }

    /// The settings that have to be given to be in this run.
    fn typed(&self) -> Vec<Setting> {
        let classes = self.data.as_ref().map(|data| data.classes as usize);
        typed_settings(&self.spec, classes)
    }

    /// Age of the run, seconds: for how long its oldest worker has been in it.
    fn age(&self) -> Option<u64> {
        let is_worker = |id| {
            let mut peers = self.snapshot.peers.iter();
            peers.any(|peer| peer.id == id && peer.role == Role::Worker)
        };
        let workers = self.nodes.iter().filter(|node| is_worker(node.id));
        workers.filter_map(|node| node.age).max()
    }

    /// The display name of a node.
    fn name(&self, id: NodeId) -> String {
        let known = self.nodes.iter().find(|node| node.id == id);
        known.map_or_else(|| id.to_string(), |node| node.name.clone())
    }

    fn as_json(&self) -> String {
        let Self { spec, snapshot, .. } = self;
        let peers: Vec<_> = snapshot.peers.iter().skip(1).map(|peer| self.peer(peer)).collect();
        let shards: Vec<_> = snapshot
            .shards
            .iter()
            .map(|shard| {
                json!({
                    "shard": shard.shard.0,
                    "peer": shard.owner.map(|(peer, _)| peer.to_string()),
                    "name": shard.owner.map(|(peer, _)| self.name(peer)),
                    "term": shard.owner.map(|(_, term)| term.0),
                    "step": shard.done,
                    "checkpoint": shard.checkpoint.map(|(step, _)| step),
                    "copies": shard.checkpoint.map(|(_, copies)| copies),
                })
            })
            .collect();
        let data = self.data.as_ref();
        let samples = data.and_then(|data| data.samples);
        let typed = self.typed().into_iter().map(|flag| (flag.flag, flag.value.into()));
        json!({
            "event": "status",
            "run": spec.run_id().to_string(),
            "steps": spec.network.steps,
            "data": {
                "id": spec.data,
                "kind": kind_of(&spec.data),
                "form": data.map(|data| &data.form),
                "classes": spec.network.classes,
                "train": samples.map(|(train, _)| train),
                "test": samples.map(|(_, test)| test),
            },
            "layers": spec.network.layers,
            "objective": spec.network.objective,
            "flags": typed.collect::<serde_json::Map<_, _>>(),
            "age_seconds": self.age(),
            "peers": peers,
            "shards": shards,
            "bytes_in": self.traffic.bytes_in,
            "bytes_out": self.traffic.bytes_out,
        })
        .to_string()
    }

    fn peer(&self, peer: &PeerView) -> serde_json::Value {
        let node = self.nodes.iter().find(|node| node.id == peer.id);
        json!({
            "peer": peer.id.to_string(),
            "name": node.map(|node| &node.name),
            "role": if peer.role == Role::Worker { "worker" } else { "observer" },
            "leaving": peer.leaving,
            "age_seconds": node.and_then(|node| node.age),
            "mmacs_per_second": peer.speed,
            "batch_bytes": peer.kept.batches,
            "checkpoint_bytes": peer.kept.checkpoints,
            "on_disk": peer.kept.on_disk,
            "full": peer.kept.full,
        })
    }

    fn as_table(&self) -> String {
        let Self { spec, snapshot, .. } = self;
        let mut lines = self.what_it_is();
        let workers = snapshot.peers.iter().filter(|peer| peer.role == Role::Worker);
        let width = self.nodes.iter().map(|node| node.name.chars().count()).max();
        let width = width.unwrap_or(0).max("nobody".len());
        for peer in workers {
            let role = if peer.leaving { "leaving" } else { "worker" };
            let (name, speed) = (self.name(peer.id), peer.speed as f64 / 500.0);
            lines.push(format!(
                "node {name:width$}  {role:7}  {speed:6.1} GFLOP/s{}",
                keeps(&peer.kept)
            ));
        }
        for shard in &snapshot.shards {
            let owner = shard.owner.map_or_else(|| "nobody".to_owned(), |(id, _)| self.name(id));
            let checkpoint = shard.checkpoint.map_or_else(
                || "no checkpoint yet".to_owned(),
                |(step, holders)| match holders {
                    1 => format!("checkpoint at {step}, one holder"),
                    holders => format!("checkpoint at {step}, {holders} holders"),
                },
            );
            let (shard, done, steps) = (shard.shard, shard.done, spec.network.steps);
            lines.push(format!(
                "shard {shard:3}  {owner:width$}  step {done:>6}/{steps}  {checkpoint}"
            ));
        }
        if let Some(score) = snapshot.scores.last() {
            lines.extend(sentence(&eval_event(spec, score)));
        }
        lines.join("\n")
    }

    /// The run in words.
    fn what_it_is(&self) -> Vec<String> {
        let Self { spec, data, snapshot, .. } = self;
        let age =
            self.age().map_or_else(String::new, |age| format!(", up for {}", duration(age as f64)));
        let steps = spec.network.steps.max(1);
        let done = snapshot.shards.iter().map(|shard| shard.done.min(steps)).sum::<u64>();
        let percent = done * 100 / (steps * snapshot.shards.len().max(1) as u64);
        let progress =
            if percent == 100 { "complete".to_owned() } else { format!("{percent} % done") };
        let data = data.as_ref().map_or_else(|| kind_of(&spec.data).to_owned(), about::in_words);
        let objective = json!(spec.network.objective);
        let objective = objective.as_str().unwrap_or_default();
        let typed = self.typed();
        let typed =
            if typed.is_empty() { "all at their defaults".to_owned() } else { in_flags(&typed) };
        vec![
            format!("run {}, {progress}{age}", spec.run_id().short()),
            format!("data {data}"),
            format!("layers {}, trained for {objective}", widths(&spec.network.layers)),
            format!("flags {typed}"),
        ]
    }
}

/// The space that a peer uses for the others, in words.
fn keeps(kept: &Kept) -> String {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let (batches, checkpoints) = (megabytes(kept.batches), megabytes(kept.checkpoints));
    let place = if kept.on_disk { ", also in its store" } else { "" };
    let full = if kept.full { ", no room for more" } else { "" };
    format!("  keeps {batches:.1} MB of batches, {checkpoints:.1} MB of checkpoints{place}{full}")
}
