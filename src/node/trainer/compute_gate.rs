//! The gate to the processor, which training and scoring pass in turn.
//!
//! Rule: only one of them computes at a time, each on all threads. Scoring gets all of the time while
//! there is nothing to train, and a small part of it while there is. So peers wait for a node that
//! scores hardly longer than for any other, and the time of a step tells how fast the machine is.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    ff::{Task, Workers},
    pool::Pool,
};

/// Parts of the time that training gets for each one that scoring gets, while there is something to
/// train.
const TRAINING_PARTS: f64 = 8.0;

/// Unused time that scoring may still take, seconds, at most: no step waits longer.
const MAX_SPARE: f64 = 0.1;

/// Time until scoring looks again whether it is its turn, seconds, where only time makes it so.
const SOON: f64 = 0.001;

/// The same where it is notified.
const LONG: f64 = 1.0;

/// The state of the gate.
#[derive(Debug, Default)]
struct Turns {
    /// Begin of the turn that scoring has.
    scores: Option<Instant>,
    trains: bool,
    /// Whether scoring waits for its turn.
    waits: bool,
    /// Whether training comes first no longer.
    hurries: bool,
    /// Begin of the time without anything to train.
    idle: Option<Instant>,
    /// Time that scoring may take, seconds; below zero where it took more.
    spare: f64,
}

impl Turns {
    /// Something was trained for `seconds`.
    fn trained(&mut self, seconds: f64) {
        let parts = if self.hurries { 1.0 } else { TRAINING_PARTS };
        self.rested(seconds / parts);
    }

    /// There was nothing to train for `seconds`.
    fn rested(&mut self, seconds: f64) {
        self.spare = (self.spare + seconds).min(MAX_SPARE);
    }

    /// Scoring had a turn of `seconds`.
    fn scored(&mut self, seconds: f64) {
        self.spare -= seconds;
    }

    /// Time until the turn of scoring if nothing is trained meanwhile, seconds; it is its turn when that
    /// is not above zero. There was nothing to train for the last `rested` seconds.
    fn wait(&self, rested: f64) -> f64 {
        -self.spare - rested
    }

    /// The same, with the present time of rest.
    fn wait_now(&self) -> f64 {
        self.wait(self.idle.map_or(0.0, |since| since.elapsed().as_secs_f64()))
    }
}

/// The training threads, which training and scoring share.
#[derive(Debug)]
pub(crate) struct ComputeGate {
    pool: Pool,
    turns: Mutex<Turns>,
    changed: Condvar,
}

impl ComputeGate {
    /// A gate to `threads` threads.
    pub(crate) fn new(threads: usize) -> Self {
        let turns = Mutex::new(Turns::default());
        Self { pool: Pool::new(threads), turns, changed: Condvar::new() }
    }

    /// The threads.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Does some training, after the turn of scoring that is under way.
    pub(crate) fn train<T>(&self, work: impl FnOnce() -> T) -> T {
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
    pub(crate) fn rest<T>(&self, wait: impl FnOnce() -> T) -> T {
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
    pub(crate) fn leave(&self) {
        let mut turns = self.turns();
        // After a panic, too: scoring must not wait for a thread that is gone.
        (turns.trains, turns.idle) = (false, Some(Instant::now()));
        drop(turns);
        self.changed.notify_all();
    }

    /// Says whether training comes first no longer, because many epochs wait for their scores.
    pub(crate) fn hurry(&self, hurries: bool) {
        self.turns().hurries = hurries;
    }

    /// For scoring an epoch; only one at a time.
    pub(crate) fn scorer(&self) -> Scorer<'_> {
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
            // Where nothing is trained only time makes it the turn of scoring; otherwise training notifies.
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
pub(crate) struct Scorer<'a>(&'a ComputeGate);

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
    use std::{
        sync::{
            atomic::{AtomicBool, Ordering::SeqCst},
            mpsc,
        },
        thread,
    };

    use super::*;

    /// `turns` turns of scoring; one is always under way or waited for.
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

    /// Turns of a second that scoring gets next to `training` seconds of training.
    fn turns_next_to(training: u32, hurries: bool) -> u32 {
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
        assert_eq!((turns_next_to(800, false), turns_next_to(800, true)), (100, 800));
        let mut turns = Turns::default();
        turns.scored(0.5);
        turns.rested(0.2);
        assert!(turns.wait(0.2) > 0.0 && turns.wait(0.3) <= 1e-9);
        turns.rested(1_000.0);
        turns.scored(MAX_SPARE + 0.01);
        assert!(turns.wait(0.0) > 0.0, "time that was not taken long ago is lost");
    }
}
