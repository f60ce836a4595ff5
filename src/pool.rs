//! Training threads.
//!
//! Rule: their number changes how long a step takes, never its result.

use std::num::NonZeroUsize;

use crate::ff::{Task, Workers};

/// A pool of training threads.
#[derive(Debug)]
pub struct Pool(Option<rayon::ThreadPool>);

impl Pool {
    /// A pool of `threads` threads; one thread means the caller's own.
    ///
    /// When the system refuses threads, the caller's own does all the work.
    #[must_use]
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

    /// Runs `work` on one of the threads, from where [`Workers::run`] hands tasks to the others without
    /// the system: for work that calls it often.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.0 {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// The number of cores, divided among `nodes` nodes.
    #[must_use]
    pub fn default_threads(nodes: usize) -> usize {
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
