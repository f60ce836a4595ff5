//! The threads that the mathematics is given.
//!
//! Rule: how many there are changes how long a step takes, never what it gives.

use std::num::NonZeroUsize;

use crate::ff::{Task, Workers};

/// A pool of training threads.
#[derive(Debug)]
pub struct Pool(Option<rayon::ThreadPool>);

impl Pool {
    /// `threads` threads; one thread means the caller's own.
    ///
    /// When the system refuses threads, the caller's own does all the work.
    pub fn new(threads: usize) -> Self {
        if threads <= 1 {
            return Self(None);
        }
        let builder = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|n| format!("train-{n}"));
        match builder.build() {
            Ok(pool) => Self(Some(pool)),
            Err(error) => {
                tracing::warn!(%error, threads, "no extra threads; training with one");
                Self(None)
            }
        }
    }

    /// Does something on one of the threads, where the others are given their share of the work
    /// without a word through the system: for whatever calls [`Workers::run`] often.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.0 {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// As many threads as there are cores, divided among `nodes` nodes.
    pub fn usual_threads(nodes: usize) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        (cores / nodes.max(1)).max(1)
    }
}

impl Workers for Pool {
    fn count(&self) -> usize {
        self.0.as_ref().map_or(1, rayon::ThreadPool::current_num_threads)
    }

    fn run<'a>(&self, tasks: Vec<Task<'a>>) {
        match &self.0 {
            // The calling thread does its share, which may be none of the pool's.
            Some(pool) => pool.in_place_scope(|scope| {
                let mut tasks = tasks.into_iter();
                let own = tasks.next();
                for task in tasks {
                    scope.spawn(move |_| task());
                }
                own.into_iter().for_each(|task| task());
            }),
            None => tasks.into_iter().for_each(|task| task()),
        }
    }
}
