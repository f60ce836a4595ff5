//! `ffp2p status`: what the peers of a run know: who is here, who owns what, how far it is.

use std::time::Duration;

use ffp2p_proto::{Kept, Role, Snapshot};

use super::{
    CommandError,
    observer::{Observer, find},
    runtime,
};
use crate::{
    cli::StatusArgs,
    node::eval_event,
    spec::Spec,
    view::{in_words, line},
};

/// How long peers get to say how they are: three heartbeats.
const LISTEN: Duration = Duration::from_millis(1_600);

pub(super) fn run(args: StatusArgs) -> Result<(), CommandError> {
    let (spec, snapshot) = runtime()?.block_on(async {
        let network = args.network.config(None)?;
        let spec = find(&network, args.run.as_deref()).await?;
        let mut observer = Observer::join(&spec, network).await?;
        while observer.elapsed() < LISTEN {
            observer.step().await?;
        }
        let snapshot = observer.snapshot();
        observer.leave().await;
        Ok::<_, CommandError>((spec, snapshot))
    })?;
    let text = if args.json { as_json(&spec, &snapshot) } else { as_table(&spec, &snapshot) };
    line(&text);
    Ok(())
}

fn as_json(spec: &Spec, snapshot: &Snapshot) -> String {
    let peers: Vec<_> = snapshot
        .peers
        .iter()
        .skip(1)
        .map(|peer| {
            serde_json::json!({
                "peer": peer.id.to_string(),
                "role": if peer.role == Role::Worker { "worker" } else { "observer" },
                "leaving": peer.leaving,
                "mmacs_per_second": peer.speed,
                "batch_bytes": peer.kept.batches,
                "checkpoint_bytes": peer.kept.checkpoints,
                "on_disk": peer.kept.on_disk,
                "full": peer.kept.full,
            })
        })
        .collect();
    let rows: Vec<_> = snapshot
        .rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "row": row.row.0,
                "peer": row.owner.map(|(peer, _)| peer.to_string()),
                "term": row.owner.map(|(_, term)| term.0),
                "step": row.done,
                "checkpoint": row.checkpoint.map(|(step, _)| step),
                "copies": row.checkpoint.map(|(_, copies)| copies),
            })
        })
        .collect();
    serde_json::json!({
        "event": "status",
        "run": spec.run_id().to_string(),
        "steps": spec.network.steps,
        "peers": peers,
        "rows": rows,
    })
    .to_string()
}

/// How much a peer keeps for the others.
fn keeps(kept: &Kept) -> String {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let (batches, checkpoints) = (megabytes(kept.batches), megabytes(kept.checkpoints));
    let place = if kept.on_disk { ", also in its store" } else { "" };
    let full = if kept.full { ", no room for more" } else { "" };
    format!("  keeps {batches:.1} MB of batches, {checkpoints:.1} MB of checkpoints{place}{full}")
}

fn as_table(spec: &Spec, snapshot: &Snapshot) -> String {
    let mut lines = vec![format!("run {} on {}", spec.run_id().short(), spec.data)];
    for peer in snapshot.peers.iter().skip(1) {
        let role = match (peer.role, peer.leaving) {
            (_, true) => "leaving",
            (Role::Worker, _) => "worker",
            (Role::Observer, _) => "observer",
        };
        let speed = peer.speed as f64 / 500.0;
        let mut line = format!("peer {}  {role:8}  {speed:6.1} GFLOP/s", peer.id);
        if peer.role == Role::Worker {
            line += &keeps(&peer.kept);
        }
        lines.push(line);
    }
    for row in &snapshot.rows {
        let owner = row.owner.map_or_else(|| "nobody  ".to_owned(), |(peer, _)| peer.to_string());
        let checkpoint = row.checkpoint.map_or_else(
            || "no checkpoint yet".to_owned(),
            |(step, copies)| format!("checkpoint at {step}, {copies} copies"),
        );
        let steps = spec.network.steps;
        lines.push(format!(
            "row {:3}  {owner}  step {:>6}/{steps}  {checkpoint}",
            row.row, row.done
        ));
    }
    if let Some(score) = snapshot.scores.last() {
        lines.extend(in_words(&eval_event(spec, score)));
    }
    lines.join("\n")
}
