//! The thread that owns the mathematics.
//!
//! Rule: it does one command after the other and answers each exactly once; it decides nothing and
//! knows no peer.

mod commands;
mod compute_gate;
mod loaded;
mod merging;
mod reads;
mod speed;
mod worker;

use std::{
    io,
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use ffp2p_proto::MAX_SHARDS;
use tokio::sync::mpsc;

use crate::schedule::Schedule;
pub(super) use commands::{Command, Done};
pub(super) use compute_gate::ComputeGate;
use worker::Worker;

/// Commands that can wait; more than the decisions ever have outstanding.
const QUEUE: usize = 8 * MAX_SHARDS;

/// The trainer thread, and the queue to it.
#[derive(Debug)]
pub(super) struct Trainer {
    /// `None` when no more commands come.
    commands: Option<SyncSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Trainer {
    /// Starts the thread; its answers go to `answers`. It measures its speed before any command,
    /// because shards are given out by that; with `by_chapter` it also makes the images ready: where
    /// peers own chapters, each owner waits for the one before.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(
        schedule: Schedule,
        gate: Arc<ComputeGate>,
        answers: mpsc::Sender<Done>,
        by_chapter: bool,
    ) -> io::Result<Self> {
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
        let thread = std::thread::Builder::new().name("train".to_owned()).spawn(work)?;
        Ok(Self { commands: Some(commands), thread: Some(thread) })
    }

    /// Hands over a command. Returns false when the trainer is gone or stuck.
    pub(super) fn command(&self, command: Command) -> bool {
        let Some(commands) = &self.commands else { return false };
        match commands.try_send(command) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// Waits for the end of the thread, after the command that it is at. Nobody else may wait for its
    /// answers.
    ///
    /// # Errors
    /// If it panicked.
    pub(super) async fn close(&mut self) -> std::thread::Result<()> {
        self.commands = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        joined.unwrap_or_else(|error| Err(Box::new(error)))
    }
}
