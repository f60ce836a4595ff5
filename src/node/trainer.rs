//! The thread that owns the mathematics, what it is told, and what it answers.
//!
//! Rule: it does one command after the other and answers each exactly once; it decides nothing and
//! knows no peer.

use std::{
    sync::Arc,
    sync::mpsc::{SyncSender, TrySendError, sync_channel},
};

use bytes::Bytes;
use ffp2p_proto::{BlobRef, Hash, MAX_SHARDS, ShardId};
use tokio::sync::mpsc;

use super::{compute_gate::ComputeGate, training::Worker};
use crate::{
    ff::{Fault, Shard},
    schedule::Schedule,
};

/// Commands that can wait; more than the decisions ever have outstanding.
const QUEUE: usize = 8 * MAX_SHARDS;

/// What the trainer is to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Bring a shard in at a step, from a checkpoint's bytes or as it is initialised.
    Load { shard: ShardId, load: u64, step: u64, checkpoint: Option<Bytes> },
    /// Do one step.
    Train {
        shard: ShardId,
        load: u64,
        step: u64,
        inputs: Vec<Bytes>,
        /// The feedback shard's table, for a shard of the first layer.
        feedback: Option<Bytes>,
        emit: bool,
        checkpoint: bool,
    },
    /// Hand on a step of the chapter just trained, with the weights at its end.
    Refresh { shard: ShardId, load: u64, step: u64, inputs: Vec<Bytes>, feedback: Option<Bytes> },
    /// Forget a shard.
    Unload { shard: ShardId },
}

/// A blob just made.
pub(super) type Made = (BlobRef, Bytes);

/// What the trainer answers.
#[derive(Debug)]
pub(super) enum Done {
    Loaded {
        shard: ShardId,
        load: u64,
        ok: bool,
    },
    Trained {
        shard: ShardId,
        load: u64,
        step: u64,
        batch: Option<Made>,
        checkpoint: Option<(Made, u64)>,
    },
    Refreshed {
        shard: ShardId,
        load: u64,
        step: u64,
        batch: Made,
    },
    /// The step is not the shard's next, or something that it reads is not of this run.
    Refused {
        shard: ShardId,
        load: u64,
        step: u64,
        bad: Option<Hash>,
    },
    /// The shard cannot be trained on.
    Diverged {
        place: Shard,
        /// Steps done.
        step: u64,
        fault: Fault,
    },
    /// Millions of multiply-accumulates a second while training.
    Speed(u64),
}

/// The way to the trainer thread.
#[derive(Debug)]
pub(super) struct Trainer {
    commands: SyncSender<Command>,
}

impl Trainer {
    /// Starts the thread; its answers go to `answers`. It looks how fast it is before it is asked for
    /// anything, because shards are given out by that; with `by_chapter` it also makes the images ready:
    /// where chapters are owned whole, each owner waits for the one before.
    pub(super) fn start(
        schedule: Schedule,
        gate: Arc<ComputeGate>,
        answers: mpsc::Sender<Done>,
        by_chapter: bool,
    ) -> Self {
        let (commands, queue) = sync_channel(QUEUE);
        let work = move || {
            let gate = &gate;
            gate.pool().inside(move || {
                let mut worker = Worker::new(schedule, gate);
                if worker.prepare(&answers, by_chapter) {
                    worker.run(queue, &answers);
                }
            });
        };
        // Without it no command is taken, and the node says that it cannot train.
        if let Err(error) = std::thread::Builder::new().name("train".to_owned()).spawn(work) {
            tracing::error!(%error, "the system gives no thread to train on");
        }
        Self { commands }
    }

    /// Hands over a command. Returns false when the trainer is gone or stuck.
    pub(super) fn command(&self, command: Command) -> bool {
        match self.commands.try_send(command) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}
