//! Byzantine machines: false messages and bytes besides those of their decisions.
//!
//! Rule: nothing here is checked to be harmless, only to be something that a stranger can send: any
//! message of the protocol with anything in it, bytes that do not have their hash, and bytes that
//! have it and are no batch. Facts that only auditing could tell from true ones (a score, a
//! checkpoint of a real cell) are left out.

use crate::sim::rng::Rng;
use crate::sim::stage::Stage;
use crate::{
    Batch, BatchRun, BlobRef, Change, Checkpoint, Hash, Heartbeat, Input, Kept, Lease, MAX_LIST,
    Message, NodeId, Plan, Role, Score, ShardId, Snapshot, Span, Task, Term,
};

/// Blobs that are served with other bytes, per mille.
const FALSE_BLOBS: u64 = 500;

/// True broadcasts that a false one follows, per mille.
const FALSE_MESSAGES: u64 = 150;

/// True broadcasts that an offer of junk follows, per mille.
const FALSE_BATCHES: u64 = 400;

/// True broadcasts that a forged checkpoint follows, while there may be more, per mille.
const FALSE_FACTS: u64 = 200;

/// All Byzantine machines of a world.
#[derive(Debug, Default)]
pub(crate) struct Byzantine {
    /// Checkpoints that were forged.
    forged: u64,
}

impl Byzantine {
    /// The messages to all that a node sends after a true one; none where it is honest.
    pub(crate) fn lies(&mut self, stage: &mut Stage, node: usize) -> Vec<Message> {
        let mut lies = Vec::new();
        if !stage.is_liar(node) || stage.is_healed {
            return lies;
        }
        if stage.rng.hit(FALSE_MESSAGES) {
            let known = stage.nodes[node].state.snapshot();
            lies.push(draw(&stage.facts.plan, &known, &mut stage.rng));
            let id = stage.nodes[node].id;
            stage.note(format_args!("{id} lies"));
        }
        if stage.rng.hit(FALSE_BATCHES) {
            lies.push(offer_junk(stage, node));
        }
        if self.forged < stage.scenario.forgeries && stage.rng.hit(FALSE_FACTS) {
            let forged = forge(stage, node);
            self.forged += u64::from(forged.is_some());
            lies.extend(forged);
        }
        lies
    }
}

/// Damages the bytes that a node is about to serve, at times, where it is Byzantine.
pub(crate) fn spoil_answer(stage: &mut Stage, node: usize, bytes: &mut Option<Vec<u8>>) {
    if stage.is_liar(node) && stage.rng.hit(FALSE_BLOBS) {
        bytes.iter_mut().for_each(|bytes| damage(bytes, &mut stage.rng));
    }
}

/// The announcement of a shard's state before its first step as its checkpoint of a chapter that is
/// not done yet. `None` where the node holds those bytes already, which it may be about to drop.
fn forge(stage: &mut Stage, node: usize) -> Option<Message> {
    let known = stage.nodes[node].state.snapshot();
    let view = &known.shards[stage.rng.below(known.shards.len() as u64) as usize];
    let (shard, plan) = (view.shard, &stage.facts.plan);
    let ahead = view.done.saturating_add(stage.rng.below(3) * plan.chapter_steps);
    let step = plan.chapter_end(ahead.min(plan.steps - 1));
    let bytes = stage.scenario.mathematics.initial(shard);
    let (blob, by) = (stage.nodes[node].trainer.name(&bytes), stage.nodes[node].id);
    if stage.nodes[node].store.contains(&blob.hash) {
        return None;
    }
    let checkpoint = Checkpoint { shard, step, blob, by, loss_micro: 0 };
    hold_junk(stage, node, blob, bytes);
    stage.note(format_args!("{by} forges {checkpoint:?}"));
    // From then on its decisions announce it themselves.
    stage.push_input(node, Input::Restored(checkpoint));
    Some(Message::Checkpoints(vec![checkpoint]))
}

/// The offer of bytes by their right hash that are no batch, for a step that a peer is about to
/// read.
fn offer_junk(stage: &mut Stage, node: usize) -> Message {
    let known = stage.nodes[node].state.snapshot();
    let view = &known.shards[stage.rng.below(known.shards.len() as u64) as usize];
    let (shard, step) = (view.shard, view.done + stage.rng.below(6));
    let bytes = stage.rng.any().to_le_bytes().to_vec();
    let (blob, id) = (stage.nodes[node].trainer.name(&bytes), stage.nodes[node].id);
    hold_junk(stage, node, blob, bytes);
    stage.note(format_args!("{id} offers junk"));
    Message::Announce(vec![Batch { shard, step, blob }])
}

/// Puts junk into a liar's store, and among the facts.
fn hold_junk(stage: &mut Stage, node: usize, blob: BlobRef, bytes: Vec<u8>) {
    stage.facts.junk.insert(blob.hash);
    stage.nodes[node].store.insert(blob.hash, bytes);
}

/// Changes some bytes, so that they no longer have their hash.
pub(crate) fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.below(bytes.len() as u64) as usize;
    match rng.below(4) {
        0 => bytes.truncate(at),
        1 => bytes.push(0),
        _ => bytes[at] ^= 1 << rng.below(8),
    }
}

/// A message that no honest peer would send now.
fn draw(plan: &Plan, known: &Snapshot, rng: &mut Rng) -> Message {
    match rng.below(10) {
        0 | 1 => Message::Leases(vec![old_lease(known, rng)]),
        2 => Message::Leases(vec![forged_lease(known, rng)]),
        3 => oversize(rng),
        4 => heartbeat(plan, known, rng),
        5 => Message::Request {
            seq: rng.below(9),
            reader: any_shard(rng),
            shards: vec![any_shard(rng)],
            from: rng.any(),
            until: rng.below(1_000),
        },
        6 => {
            let (shard, step, blob) = (any_shard(rng), rng.any(), any_blob(rng));
            Message::Announce(vec![Batch { shard, step, blob }])
        }
        7 => Message::Provenance(vec![Span {
            shard: any_shard(rng),
            first: 0,
            last: u64::MAX,
            by: any_node(rng),
        }]),
        8 => Message::Leases(vec![forged_chapter(plan, known, rng)]),
        _ => Message::Score(Score {
            epoch: plan.epochs() + 1 + rng.below(9),
            samples: 10,
            softmax_correct: 11,
            other_correct: 0,
        }),
    }
}

fn any_shard(rng: &mut Rng) -> ShardId {
    ShardId(rng.below(80) as u16)
}

fn any_node(rng: &mut Rng) -> NodeId {
    NodeId([rng.below(256) as u8; 32])
}

fn any_blob(rng: &mut Rng) -> BlobRef {
    BlobRef { hash: Hash([rng.below(256) as u8; 32]), size: rng.any() }
}

/// A peer that is here.
fn peer(known: &Snapshot, rng: &mut Rng) -> NodeId {
    known.peers[rng.below(known.peers.len() as u64) as usize].id
}

/// A lease whose term is long over, or that never was.
fn old_lease(known: &Snapshot, rng: &mut Rng) -> Lease {
    let view = &known.shards[rng.below(known.shards.len() as u64) as usize];
    let term = view.owner.map_or(0, |(_, term)| rng.below(term.0));
    Lease {
        task: Task::Shard(view.shard),
        term: Term(term),
        owner: peer(known, rng),
        from: rng.any(),
    }
}

/// A lease that takes a shard from its owner: for nobody, for a peer that is here, or by a term that
/// leaves hardly any after it.
fn forged_lease(known: &Snapshot, rng: &mut Rng) -> Lease {
    let view = &known.shards[rng.below(known.shards.len() as u64) as usize];
    let term = view.owner.map_or(0, |(_, term)| term.0);
    let step = if rng.hit(300) { u64::MAX / 2 } else { 1 + rng.below(1_000) };
    let owner = if rng.hit(500) { any_node(rng) } else { peer(known, rng) };
    Lease {
        task: Task::Shard(view.shard),
        term: Term(term.saturating_add(step)),
        owner,
        from: rng.any(),
    }
}

/// A lease for nobody or for a peer that is here, on a chapter that may be over or not exist.
fn forged_chapter(plan: &Plan, known: &Snapshot, rng: &mut Rng) -> Lease {
    let term = if rng.hit(300) { u64::MAX / 2 } else { rng.below(1_000) };
    let owner = if rng.hit(500) { any_node(rng) } else { peer(known, rng) };
    let task = Task::chapter(rng.below(plan.chapters() + 3));
    Lease { task, term: Term(term), owner, from: 0 }
}

/// A list longer than any may be.
fn oversize(rng: &mut Rng) -> Message {
    let by = any_node(rng);
    let blob = any_blob(rng);
    let checkpoint = Checkpoint { shard: ShardId(0), step: 1, blob, by, loss_micro: 0 };
    let lease = Lease { task: Task::Shard(ShardId(0)), term: Term(1), owner: by, from: 0 };
    match rng.below(4) {
        0 => Message::Checkpoints(vec![checkpoint; MAX_LIST + 1]),
        1 => Message::Leases(vec![lease; MAX_LIST + 1]),
        2 => Message::Announce(vec![Batch { shard: ShardId(0), step: 0, blob }; MAX_LIST + 1]),
        _ => Message::Provenance(vec![
            Span { shard: ShardId(0), first: 0, last: 0, by };
            MAX_LIST + 1
        ]),
    }
}

/// A heartbeat with everything out of range; its number silences the true ones after it.
fn heartbeat(plan: &Plan, known: &Snapshot, rng: &mut Rng) -> Message {
    let cell = Checkpoint {
        shard: any_shard(rng),
        step: plan.steps + 1 + rng.below(9),
        blob: any_blob(rng),
        by: any_node(rng),
        loss_micro: rng.any(),
    };
    let change = Change {
        shard: any_shard(rng),
        chapter: rng.below(plan.chapters() + 3),
        branch: if rng.hit(300) {
            None
        } else {
            Some(rng.below(u64::from(plan.branches) + 1) as u16)
        },
        blob: any_blob(rng),
        by: any_node(rng),
        loss_micro: rng.any(),
    };
    let run = BatchRun { shard: any_shard(rng), from: rng.below(9), until: rng.any() };
    let mut heartbeat = Heartbeat {
        seq: if rng.hit(100) { u64::MAX } else { 0 },
        role: Role::Worker,
        leaving: rng.hit(500),
        complete: rng.hit(500),
        speed: rng.any(),
        leases: vec![old_lease(known, rng)],
        progress: vec![(any_shard(rng), rng.any())],
        held: vec![cell],
        changes: vec![change],
        batches: vec![run],
        scores: Vec::new(),
        evaluating: rng.below(9),
        kept: Kept { batches: rng.any(), checkpoints: u64::MAX, on_disk: true, full: false },
        avoids: vec![peer(known, rng)],
    };
    heartbeat.leases.push(forged_chapter(plan, known, rng));
    Message::Heartbeat(heartbeat)
}
