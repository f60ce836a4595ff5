//! The one task that owns the swarm.
//!
//! Rule: one `select!`, one named method per arm, and no arm waits for anything: what takes time
//! (files, names, hashes, the owner's blobs) is work outside the loop, and its end is one more event.

use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::{Instant, MissedTickBehavior};

use crate::connection::listening::EarlyEvents;
use crate::dispatch::{Duties, TICK};
use crate::handle::Commands;

/// Commands that are taken at once.
const MAX_COMMANDS: usize = 64;

/// The longest wait for messages to leave, at the end.
const FLUSH: Duration = Duration::from_millis(700);

/// The longest wait for the connections to close, and then for work outside the loop, at the end.
const CLOSE: Duration = Duration::from_millis(300);

/// Takes in the events that came while the node opened its sockets. The future it returns runs until
/// it is told to stop, or nobody is left who could tell it.
pub(crate) fn run(
    mut duties: Duties,
    mut commands: Commands,
    early: EarlyEvents,
) -> impl Future<Output = ()> + Send {
    duties.on_listening();
    early.into_iter().for_each(|event| duties.on_swarm(event));
    async move {
        work(&mut duties, &mut commands).await;
        finish(duties).await;
    }
}

/// The loop.
async fn work(duties: &mut Duties, commands: &mut Commands) {
    let mut batch = Vec::new();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks = 0;
    loop {
        let open = duties.io.outbox.has_room();
        tokio::select! {
            event = duties.io.swarm.select_next_some(), if open => duties.on_swarm(event),
            1.. = commands.queue.recv_many(&mut batch, MAX_COMMANDS), if open => {
                duties.on_commands(&mut batch);
            }
            _ = commands.stop.recv() => break,
            () = commands.shared.some_lost(), if open => {
                duties.on_lost_fetches(commands.shared.take_lost());
            }
            () = duties.io.outbox.deliver(), if !duties.io.outbox.is_empty() => {}
            Some(done) = duties.io.work.join_next() => duties.on_done(done),
            Some(entries) = duties.discovery.neighbours() => duties.on_neighbours(entries),
            _ = tick.tick() => {
                ticks += 1;
                duties.on_tick(ticks, Instant::now());
            }
        }
    }
    // Commands that were given before the end was asked for are still in the queue.
    while let Ok(command) = commands.queue.try_recv() {
        batch.push(command);
    }
    duties.on_commands(&mut batch);
}

/// Lets messages leave, closes every connection, removes this node's traces, and waits for the work
/// that was begun.
async fn finish(mut duties: Duties) {
    duties.remember();
    duties.flush();
    let deadline = Instant::now() + FLUSH;
    while duties.has_messages_on_the_way()
        && let Ok(event) =
            tokio::time::timeout_at(deadline, duties.io.swarm.select_next_some()).await
    {
        duties.on_swarm(event);
    }
    duties.io.disconnect_all();
    let deadline = Instant::now() + CLOSE;
    while duties.io.swarm.connected_peers().next().is_some()
        && tokio::time::timeout_at(deadline, duties.io.swarm.select_next_some()).await.is_ok()
    {}
    duties.discovery.stop().await;
    let deadline = Instant::now() + CLOSE;
    while let Ok(Some(done)) = tokio::time::timeout_at(deadline, duties.io.work.join_next()).await {
        duties.on_done(done);
    }
    if !duties.io.work.is_empty() {
        tracing::info!(left = duties.io.work.len(), "work outside the event loop did not end");
    }
}
