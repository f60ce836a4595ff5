//! The gate to the processor, which training and scoring pass in turn.
//!
//! Rule: only one of them computes at a time, each on all threads. Scoring takes turns: while there is
//! nothing to train, and for a small part of the time while there is. So the others wait for a node
//! that scores hardly longer than for any other, and what a step takes tells how fast the machine is.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::workers::Pool;
use crate::ff::{Task, Workers};

/// While there is something to train, scoring gets one part of the time and training so many.
const TRAINING_PARTS: f64 = 8.0;

/// Time that scoring did not take and may still take, seconds, at most: no step waits longer.
const MAX_SPARE: f64 = 0.1;

/// Scoring looks again so soon whether it is its turn, seconds: where only time makes it so, and where
/// it is told.
const SOON: f64 = 0.001;
const LONG: f64 = 1.0;

/// Who computes, and what scoring may take.
#[derive(Debug, Default)]
struct Turns {
    /// Since when scoring has its turn.
    scores: Option<Instant>,
    trains: bool,
    /// Whether scoring waits for its turn.
    waits: bool,
    /// Whether training comes first no longer.
    hurries: bool,
    /// Since when there is nothing to train.
    idle: Option<Instant>,
    /// What scoring may take, seconds; below zero where it took more.
    spare: f64,
}

impl Turns {
    /// Something was trained for so long, seconds.
    fn trained(&mut self, seconds: f64) {
        let parts = if self.hurries { 1.0 } else { TRAINING_PARTS };
        self.rested(seconds / parts);
    }

    /// There was nothing to train for so long, seconds.
    fn rested(&mut self, seconds: f64) {
        self.spare = (self.spare + seconds).min(MAX_SPARE);
    }

    /// Scoring had a turn of so long, seconds.
    fn scored(&mut self, seconds: f64) {
        self.spare -= seconds;
    }

    /// For how long scoring waits yet if nothing is trained meanwhile, seconds; it is its turn when
    /// that is not above zero. So far there is nothing to train for `rested` seconds.
    fn wait(&self, rested: f64) -> f64 {
        -self.spare - rested
    }

    /// The same now.
    fn wait_now(&self) -> f64 {
        self.wait(self.idle.map_or(0.0, |since| since.elapsed().as_secs_f64()))
    }
}

/// The training threads, which training and scoring share.
#[derive(Debug)]
pub(super) struct ComputeGate {
    pool: Pool,
    turns: Mutex<Turns>,
    changed: Condvar,
}

impl ComputeGate {
    /// A gate to `threads` threads.
    pub(super) fn new(threads: usize) -> Self {
        let turns = Mutex::new(Turns::default());
        Self { pool: Pool::new(threads), turns, changed: Condvar::new() }
    }

    /// Its threads.
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Does some training, after the turn of scoring that is under way.
    pub(super) fn train<T>(&self, work: impl FnOnce() -> T) -> T {
        let mut turns = self.turns();
        while turns.scores.is_some() || (turns.waits && turns.wait_now() <= 0.0) {
            turns = self.changed.wait(turns).unwrap_or_else(PoisonError::into_inner);
        }
        turns.trains = true;
        drop(turns);
        let begin = Instant::now();
        let made = work();
        let mut turns = self.turns();
        turns.trains = false;
        turns.trained(begin.elapsed().as_secs_f64());
        drop(turns);
        self.changed.notify_all();
        made
    }

    /// Waits for something to train.
    pub(super) fn rest<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.turns().idle = Some(Instant::now());
        self.changed.notify_all();
        let found = wait();
        let mut turns = self.turns();
        if let Some(since) = turns.idle.take() {
            turns.rested(since.elapsed().as_secs_f64());
        }
        found
    }

    /// Nothing will be trained any more.
    pub(super) fn leave(&self) {
        let mut turns = self.turns();
        // Whatever ended it, a panic too: scoring does not wait for what is gone.
        (turns.trains, turns.idle) = (false, Some(Instant::now()));
        drop(turns);
        self.changed.notify_all();
    }

    /// Whether training comes first no longer, because many epochs wait for their scores.
    pub(super) fn hurry(&self, hurries: bool) {
        self.turns().hurries = hurries;
    }

    /// For scoring an epoch; only one at a time.
    pub(super) fn scorer(&self) -> Scorer<'_> {
        Scorer(self)
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn of scoring.
    fn begin_turn(&self) {
        let mut turns = self.turns();
        turns.waits = true;
        loop {
            let wait = turns.wait_now();
            if wait <= 0.0 && !turns.trains {
                break;
            }
            // Where nothing is trained only time makes it this one's turn; otherwise training tells.
            let wait = if turns.idle.is_some() { wait.max(SOON) } else { LONG };
            let wait = Duration::from_secs_f64(wait);
            let waited = self.changed.wait_timeout(turns, wait);
            turns = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        (turns.waits, turns.scores) = (false, Some(Instant::now()));
    }

    /// Ends the turn of scoring that is under way, if any.
    fn end_turn(&self) {
        let mut turns = self.turns();
        if let Some(begun) = turns.scores.take() {
            turns.scored(begun.elapsed().as_secs_f64());
        }
        drop(turns);
        self.changed.notify_all();
    }
}

/// All threads behind a gate, for the turns of scoring.
#[derive(Debug)]
pub(super) struct Scorer<'a>(&'a ComputeGate);

impl Workers for Scorer<'_> {
    fn turn(&self) {
        self.0.end_turn();
        self.0.begin_turn();
    }

    fn count(&self) -> usize {
        self.0.pool.count()
    }

    fn run<'a>(&self, tasks: Vec<Task<'a>>) {
        self.0.pool.run(tasks);
    }
}

impl Drop for Scorer<'_> {
    fn drop(&mut self) {
        self.0.end_turn();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// So many turns of scoring; one is always under way or waited for.
    fn score(gate: &ComputeGate, turns: u32, each: impl Fn()) {
        let scorer = gate.scorer();
        for _ in 0..turns {
            scorer.turn();
            each();
        }
    }

    #[test]
    fn only_one_computes_at_a_time() {
        let (gate, busy) = (ComputeGate::new(1), AtomicBool::new(false));
        let alone = || {
            assert!(!busy.swap(true, SeqCst));
            thread::yield_now();
            busy.store(false, SeqCst);
        };
        thread::scope(|scope| {
            scope.spawn(|| score(&gate, 200, alone));
            (0..2_000).for_each(|_| gate.train(alone));
            gate.leave();
        });
    }

    #[test]
    fn scoring_goes_on_where_nothing_is_trained() {
        let gate = ComputeGate::new(1);
        let (sender, receiver) = mpsc::sync_channel(1);
        thread::scope(|scope| {
            scope.spawn(|| {
                score(&gate, 50, || ());
                sender.send(()).unwrap();
            });
            gate.rest(|| receiver.recv()).unwrap();
        });
    }

    /// Turns of a second that scoring gets beside so many seconds of training.
    fn turns_beside(training: u32, hurries: bool) -> u32 {
        let mut turns = Turns { hurries, ..Turns::default() };
        let mut count = 0;
        for _ in 0..training {
            if turns.wait(0.0) <= 0.0 {
                turns.scored(1.0);
                count += 1;
            }
            turns.trained(1.0);
        }
        count
    }

    #[test]
    fn scoring_gets_a_small_part_unless_others_wait_for_it() {
        assert_eq!((turns_beside(800, false), turns_beside(800, true)), (100, 800));
        let mut turns = Turns::default();
        turns.scored(0.5);
        turns.rested(0.2);
        assert!(turns.wait(0.2) > 0.0 && turns.wait(0.3) <= 1e-9);
        turns.rested(1_000.0);
        turns.scored(MAX_SPARE + 0.01);
        assert!(turns.wait(0.0) > 0.0, "what was not taken long ago is lost");
    }
}
