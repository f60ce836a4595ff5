//! Merging a chapter: its checkpoint, made of what its branches changed.
//!
//! Rule: the result depends on the bytes and on their order only, so all who merge have the same.

use bytes::Bytes;
use ffp2p_proto::Plan;

use super::{commands::Made, loaded::made};
use crate::{
    checkpoint::{self, decode_change, encode_change},
    ff::{Fault, Mean, NetworkSpec, Shard, ShardState},
};

/// The reason why nothing was made.
pub(super) enum Unmerged<'a> {
    /// These bytes are no change, or no checkpoint, of the shard.
    Bad(&'a Bytes),
    /// The shard cannot be trained on.
    Fault(Fault),
}

/// What a checkpoint is made of.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    /// Steps done at the earlier checkpoint.
    pub(super) from: u64,
    /// That checkpoint; `None` for the initial state.
    pub(super) start: Option<&'a Bytes>,
    /// Those of the branches of a chapter, or the means of several chapters.
    pub(super) changes: &'a [Bytes],
    pub(super) are_means: bool,
}

/// The checkpoint of a shard after `step` steps, where a chapter ends, and the mean of its changes.
pub(super) fn merge<'a>(
    spec: &NetworkSpec,
    plan: &Plan,
    (shard, step): (Shard, u64),
    parts: Parts<'a>,
) -> Result<(Made, Made), Unmerged<'a>> {
    let begin = match parts.start {
        Some(bytes) => checkpoint::decode_weights(bytes, spec, shard, parts.from)
            .map_err(|error| refused(&error, bytes))?,
        None => ShardState::init(spec, shard),
    };
    let (state, mean) = if parts.are_means {
        follow(spec, plan, shard, begin, parts)?
    } else {
        mean_of(spec, plan, (shard, step), &begin, parts)?
    };
    match state.fault() {
        Some(fault) => Err(Unmerged::Fault(fault)),
        None => Ok((made(checkpoint::encode(&state, spec, shard)), made(mean))),
    }
}

/// The state after a chapter, by what its branches changed, and their mean.
fn mean_of<'a>(
    spec: &NetworkSpec,
    plan: &Plan,
    (shard, step): (Shard, u64),
    begin: &ShardState,
    parts: Parts<'a>,
) -> Result<(ShardState, Bytes), Unmerged<'a>> {
    let chapter = plan.chapter_ending(step);
    let mut mean: Option<Mean> = None;
    for (branch, bytes) in (0..).zip(parts.changes) {
        let end = plan.branch_steps(chapter, branch).end;
        let change =
            decode_change(bytes, spec, shard, end, step).map_err(|error| refused(&error, bytes))?;
        match &mut mean {
            Some(mean) => mean.add(&change),
            None => mean = Some(Mean::of(change)),
        }
    }
    let Some(mean) = mean else { return Err(Unmerged::Fault(Fault::Weights)) };
    let mean = mean.finish(spec);
    let bytes = match parts.changes {
        [one] => one.clone(),
        _ => Bytes::from(encode_change(&mean, spec, shard, step, step)),
    };
    let branches = plan.branches_of(chapter);
    Ok((mean.applied(spec, begin, parts.from..step, branches), bytes))
}

/// The state after the chapters of these means, and the last of them.
fn follow<'a>(
    spec: &NetworkSpec,
    plan: &Plan,
    shard: Shard,
    begin: ShardState,
    parts: Parts<'a>,
) -> Result<(ShardState, Bytes), Unmerged<'a>> {
    let (mut state, mut last) = (begin, Bytes::new());
    for (chapter, bytes) in (plan.chapter_of(parts.from)..).zip(parts.changes) {
        let steps = plan.chapter_start(chapter)..plan.chapter_start(chapter + 1);
        let mean = decode_change(bytes, spec, shard, steps.end, steps.end)
            .map_err(|error| refused(&error, bytes))?;
        state = mean.applied(spec, &state, steps, plan.branches_of(chapter));
        last = bytes.clone();
    }
    Ok((state, last))
}

fn refused<'a>(error: &checkpoint::CheckpointError, bytes: &'a Bytes) -> Unmerged<'a> {
    tracing::warn!(%error, "what a chapter is merged from was not usable");
    Unmerged::Bad(bytes)
}
