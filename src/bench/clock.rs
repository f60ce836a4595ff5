//! The time of a step by phase: workers that watch the clock.
//!
//! Rule: the mathematics only marks its phases ([`Mark`]); they are timed here, and each thread on its
//! own, so times are thread-seconds.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::ThreadId,
    time::{Duration, Instant},
};

use crate::ff::{Mark, Phase, Task, Workers};

/// The work of a thread: a layer's phase, once it is marked.
type Work = (usize, Option<Phase>);

/// Thread time by layer and phase.
pub(super) type Spent = BTreeMap<(usize, Phase), Duration>;

/// Workers that time what their threads do.
pub(super) struct Clocked<'a> {
    inner: &'a dyn Workers,
    times: Mutex<Times>,
}

#[derive(Default)]
struct Times {
    now: HashMap<ThreadId, (Work, Instant)>,
    spent: Spent,
}

impl Times {
    /// Ends the work of this thread, and returns it.
    fn end(&mut self) -> Work {
        let Some((work, since)) = self.now.remove(&std::thread::current().id()) else {
            return (0, None);
        };
        if let (layer, Some(phase)) = work {
            *self.spent.entry((layer, phase)).or_default() += since.elapsed();
        }
        work
    }

    fn begin(&mut self, work: Work) {
        self.now.insert(std::thread::current().id(), (work, Instant::now()));
    }
}

impl<'a> Clocked<'a> {
    pub(super) fn new(inner: &'a dyn Workers) -> Self {
        Self { inner, times: Mutex::default() }
    }

    /// The times up to now.
    pub(super) fn spent(&self) -> Spent {
        let mut times = self.times();
        times.end();
        times.spent.clone()
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Workers for Clocked<'_> {
    fn mark(&self, mark: Mark) {
        let mut times = self.times();
        let (layer, _) = times.end();
        times.begin(match mark {
            Mark::Layer(layer) => (layer, None),
            Mark::Phase(phase) => (layer, Some(phase)),
        });
    }

    fn count(&self) -> usize {
        self.inner.count()
    }

    fn run<'a>(&self, tasks: Vec<Task<'a>>) {
        let work = self.times().end();
        let counted = |task: Task<'a>| {
            // Tasks may outlive the borrow of a closure, never this call.
            move |times: &Mutex<Times>| {
                let times = || times.lock().unwrap_or_else(PoisonError::into_inner);
                times().begin(work);
                task();
                times().end();
            }
        };
        let times = &self.times;
        let tasks = tasks.into_iter().map(|task| {
            let task = counted(task);
            Box::new(move || task(times)) as Task<'_>
        });
        self.inner.run(tasks.collect());
        self.times().begin(work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;

    #[test]
    fn every_thread_is_counted_for_what_it_says() {
        for threads in [1, 3] {
            let pool = Pool::new(threads);
            let clock = Clocked::new(&pool);
            clock.mark(Mark::Layer(2));
            clock.mark(Mark::Phase(Phase::Forward));
            let gradient = || clock.mark(Mark::Phase(Phase::Gradient));
            clock.run((0..4).map(|_| Box::new(gradient) as Task<'_>).collect());
            clock.mark(Mark::Phase(Phase::Head));
            let spent: Vec<_> = clock.spent().into_keys().collect();
            assert_eq!(spent, [(2, Phase::Forward), (2, Phase::Head), (2, Phase::Gradient)]);
        }
    }
}
