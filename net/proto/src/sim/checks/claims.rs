//! The claims of a node: what it tells its peers, its user and its trainer.
//!
//! Rule: a claim is true in the sequential run, and whatever it says is held is in the store.

use crate::sim::checks::facts::{Facts, ensure};
use crate::sim::machine::store::Store;
use crate::{Change, Checkpoint, Hash, Heartbeat, Message, Notice};

/// Checks that a message says nothing false, and claims to hold only what is held.
pub(crate) fn message(facts: &Facts, store: &Store, message: &Message) -> Result<(), String> {
    ensure(message.is_bounded(), || "a list is too long".to_owned())?;
    let streams = matches!(message, Message::Request { .. } | Message::Announce(_));
    ensure(!streams || !facts.plan.is_by_chapter(), || {
        "activation batches are offered where they stay with their maker".to_owned()
    })?;
    match message {
        Message::Heartbeat(it) => heartbeat(facts, store, it),
        Message::Checkpoints(list) => list.iter().try_for_each(|it| held(facts, store, it)),
        Message::Changes(list) => list.iter().try_for_each(|it| has_change(facts, store, it)),
        Message::Merged { checkpoint, mean } => {
            has_change(facts, store, mean)?;
            held(facts, store, checkpoint)
        }
        Message::Score(score) => facts.score(score),
        Message::Announce(batches) => batches.iter().try_for_each(|it| {
            facts.batch(it.shard, it.step, it.blob.hash)?;
            stored(store, &it.blob.hash)
        }),
        Message::Request { from, until, .. } => {
            ensure(from <= until && *until <= facts.plan.steps, || {
                format!("a request from {from} until {until}")
            })
        }
        Message::Provenance(spans) => spans.iter().try_for_each(|span| {
            let end = facts.plan.chapter_ending(facts.plan.steps);
            ensure(span.first <= span.last && span.last <= end, || format!("{span:?}"))
        }),
        Message::Leases(_) | Message::Goodbye => Ok(()),
    }
}

/// Checks that a blob is in the store.
pub(crate) fn stored(store: &Store, hash: &Hash) -> Result<(), String> {
    ensure(store.contains(hash), || format!("{hash:?} is not in the store"))
}

fn held(facts: &Facts, store: &Store, checkpoint: &Checkpoint) -> Result<(), String> {
    facts.checkpoint(checkpoint)?;
    stored(store, &checkpoint.blob.hash)
}

fn has_change(facts: &Facts, store: &Store, change: &Change) -> Result<(), String> {
    facts.change(change)?;
    stored(store, &change.blob.hash)
}

fn heartbeat(facts: &Facts, store: &Store, heartbeat: &Heartbeat) -> Result<(), String> {
    heartbeat.held.iter().try_for_each(|it| held(facts, store, it))?;
    heartbeat.changes.iter().try_for_each(|it| has_change(facts, store, it))?;
    heartbeat.scores.iter().try_for_each(|score| facts.score(score))?;
    for (shard, step) in &heartbeat.progress {
        ensure(*step <= facts.plan.steps, || format!("shard {shard} has done {step} steps"))?;
    }
    heartbeat.batches.iter().try_for_each(|kept| {
        let Some(run) = &facts.reference else { return Err(format!("{kept:?} is offered")) };
        (kept.from..kept.until).try_for_each(|step| {
            let batch = run.batch(kept.shard, step);
            let batch = batch.ok_or_else(|| format!("{kept:?} is beyond the end"))?;
            stored(store, &batch.hash)
        })
    })
}

/// Checks that an epoch is scored with the right checkpoints.
pub(crate) fn evaluate(
    facts: &Facts,
    store: &Store,
    epoch: u64,
    found: &[Hash],
) -> Result<(), String> {
    let step = facts.plan.epoch_end(epoch);
    let shards = facts.plan.model_shards();
    let fits = facts.plan.model_shards().count() == found.len();
    ensure(fits, || format!("epoch {epoch} is scored with {} checkpoints", found.len()))?;
    shards.zip(found).try_for_each(|(shard, hash)| facts.state(shard, step, *hash))?;
    found.iter().try_for_each(|hash| stored(store, hash))
}

/// Checks that the user is told nothing false.
pub(crate) fn notify(facts: &Facts, notice: &Notice) -> Result<(), String> {
    match notice {
        Notice::Complete(list) => {
            let found: Vec<Hash> = list.iter().map(|it| it.blob.hash).collect();
            let forged = found.iter().any(|hash| facts.junk.contains(hash));
            ensure(forged || facts.is(&found, |run| Some(run.finals())), || {
                "complete with another model than the sequential run".to_owned()
            })
        }
        Notice::Chapter(checkpoint) => facts.checkpoint(checkpoint),
        Notice::Score(score) => facts.score(score),
        Notice::Blame { peer, reason } => {
            // Until it is tried, a forged checkpoint looks as good as the right one.
            let is_odd = reason.contains("unlike another's") && !facts.junk.is_empty();
            let is_fair = facts.liars.contains(peer) || is_odd;
            ensure(is_fair, || format!("honest {peer} is blamed: {reason}"))
        }
        Notice::PeerJoined { .. } | Notice::PeerLeft { .. } | Notice::Owner(_) => Ok(()),
    }
}
