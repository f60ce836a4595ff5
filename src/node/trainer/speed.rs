//! The training speed of this machine.
//!
//! Rule: training steps count; a machine without work runs a short benchmark instead, so that one
//! that was slow once does not stay slow for ever. One busy second moves nothing.

use std::time::{Duration, Instant};

use ndarray::Array2;

use crate::ff::{Activations, Buffers, FirstInput, NetworkSpec, Shard, ShardState, Workers};

/// Steps between two reports.
const STEPS: u32 = 32;

/// Share of the newest measurement in the reported speed, at least; the first ones weigh as much as
/// each other and as a benchmark.
const SHARE: f64 = 0.2;

/// Idle time before a trainer's first benchmark.
const FIRST_IDLE: Duration = Duration::from_secs(1);

/// Idle time before each later benchmark.
const IDLE: Duration = Duration::from_secs(10);

/// Rounds of a benchmark; the best counts, because other programs may be busy, too.
const ROUNDS: u32 = 4;

/// Time of a round, at least.
const ROUND: Duration = Duration::from_millis(20);

/// Multiply-accumulates of a benchmarked step, at most: on a slow machine a whole one takes seconds,
/// so that everything else a start does meanwhile would count, too.
const MAX_STEP_MACS: u64 = 500_000_000;

/// No round of a benchmark begins after this long: other nodes may wait for the result.
const LONG_BENCHMARK: Duration = Duration::from_secs(1);

/// The speed, and what was done since it was last reported.
#[derive(Debug, Default)]
pub(super) struct Speed {
    steps: u32,
    /// Multiply-accumulates.
    work: u64,
    seconds: f64,
    /// Multiply-accumulates a second, smoothed; 0 before the first measurement.
    smoothed: f64,
    /// Measurements in it: the last benchmark and the training after it.
    measured: u32,
    /// Whether it trained or ran a benchmark yet.
    is_known: bool,
}

impl Speed {
    /// Counts a step of `work` multiply-accumulates that began at `begin`.
    pub(super) fn trained(&mut self, work: u64, begin: Instant) {
        self.steps += 1;
        self.work += work;
        self.seconds += begin.elapsed().as_secs_f64();
    }

    /// Idle time before the next [`Speed::benchmark`].
    pub(super) fn patience(&mut self) -> Duration {
        if std::mem::replace(&mut self.is_known, true) { IDLE } else { FIRST_IDLE }
    }

    /// Millions of multiply-accumulates a second, every [`STEPS`] steps.
    pub(super) fn report(&mut self) -> Option<u64> {
        if self.steps < STEPS || self.seconds <= 0.0 {
            return None;
        }
        let measured = self.work as f64 / self.seconds;
        let count = self.measured.saturating_add(1);
        let share = SHARE.max(1.0 / f64::from(count));
        Some(self.renew(self.smoothed + share * (measured - self.smoothed), count))
    }

    /// Millions of multiply-accumulates a second, measured by steps of a shard of the last layer on
    /// made-up numbers. Matrix products alone would be up to twice as fast.
    pub(super) fn benchmark(
        &mut self,
        spec: &NetworkSpec,
        buffers: &mut Buffers,
        workers: &dyn Workers,
    ) -> u64 {
        let shard = Shard { layer: spec.depth() - 1, index: 0 };
        let spec = &shortened(spec, shard);
        let mut state = ShardState::init(spec, shard);
        let step = made_up_step(spec, shard);
        let mut train = || step(&mut state, buffers, workers);
        // Memory that is used for the first time is slow.
        train();
        let mut round = || {
            let (begin, mut work) = (Instant::now(), 0);
            while begin.elapsed() < ROUND {
                train();
                work += spec.step_macs(shard);
            }
            work as f64 / begin.elapsed().as_secs_f64()
        };
        let (begin, mut best) = (Instant::now(), round());
        for _ in 1..ROUNDS {
            if begin.elapsed() > LONG_BENCHMARK {
                break;
            }
            best = best.max(round());
        }
        self.renew(best, 1)
    }

    fn renew(&mut self, smoothed: f64, measured: u32) -> u64 {
        *self = Self { smoothed, measured, is_known: true, ..Self::default() };
        (smoothed / 1e6) as u64
    }
}

/// The spec with mini-batches so small that a step of `shard` is no larger than [`MAX_STEP_MACS`].
fn shortened(spec: &NetworkSpec, shard: Shard) -> NetworkSpec {
    let sample = spec.step_macs(shard) / spec.batch_size.max(1) as u64;
    let most = (MAX_STEP_MACS / sample.max(1)).max(1);
    let batch_size = spec.batch_size.min(usize::try_from(most).unwrap_or(usize::MAX));
    NetworkSpec { batch_size, ..spec.clone() }
}

/// Trains a shard by a step, each time it is called.
type Step = Box<dyn Fn(&mut ShardState, &mut Buffers, &dyn Workers)>;

/// A step of a shard on made-up numbers.
fn made_up_step(spec: &NetworkSpec, shard: Shard) -> Step {
    let numbers = |rows, width| {
        Array2::from_shape_fn((rows, width), |(i, j): (usize, usize)| ((i + 7 * j) % 3) as f32)
    };
    let (spec, batch) = (spec.clone(), spec.batch_size);
    let labels = vec![0; batch];
    if shard.layer == 0 {
        let images = numbers(batch, spec.layers[0]);
        let input = FirstInput::new(&spec, images, labels, vec![1; batch]);
        return Box::new(move |state, buffers, workers| {
            let (made, _) = state.train_first(&spec, shard, &input, buffers, workers);
            buffers.give(made.states);
        });
    }
    let states = numbers(spec.objective.passes() * batch, spec.input_width(shard));
    let logits = Array2::zeros((batch, spec.output_logits()));
    let input = Activations { states, logits };
    Box::new(move |state, buffers, workers| {
        let (made, _) = state.train(&spec, shard, &input, &labels, buffers, workers);
        buffers.give(made.states);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ff::{Inline, Objective, Optimizer};

    #[test]
    fn a_machine_knows_its_speed_with_work_and_without() {
        let spec =
            NetworkSpec::default_for(Objective::Goodness, Optimizer::Sgd, vec![20, 30, 30], 4);
        let mut speed = Speed::default();
        assert_eq!((speed.report(), speed.patience()), (None, FIRST_IDLE));
        assert!(speed.benchmark(&spec, &mut Buffers::default(), &Inline) > 0);
        assert_eq!(speed.patience(), IDLE);
        let begin = Instant::now();
        (1..STEPS).for_each(|_| speed.trained(1_000_000_000_000, begin));
        assert_eq!(speed.report(), None);
        speed.trained(1_000_000_000_000, begin);
        assert!(speed.report().is_some_and(|found| found > 0));
        assert_eq!(speed.report(), None);
    }

    #[test]
    fn a_benchmark_counts_no_more_than_training_after_it() {
        let mut speed = Speed::default();
        speed.renew(4e9, 1);
        let mut told = |thousands: u64| {
            let work = thousands * 1_000_000_000;
            speed = Speed { steps: STEPS, work, seconds: 1.0, ..std::mem::take(&mut speed) };
            speed.report()
        };
        assert_eq!([8, 9, 7, 7, 2].map(&mut told), [6, 7, 7, 7, 6].map(|it| Some(1000 * it)));
    }

    #[test]
    fn a_benchmark_of_large_shards_is_short() {
        let wide = |batch_size, width| {
            let layers = vec![784, width, width];
            let default = NetworkSpec::default_for(Objective::Goodness, Optimizer::Sgd, layers, 10);
            NetworkSpec { batch_size, ..default }
        };
        let shard = Shard { layer: 1, index: 0 };
        for (batch, width, seen) in [(500, 2000, 24), (64, 200, 64), (2, 60_000, 1)] {
            assert_eq!(shortened(&wide(batch, width), shard).batch_size, seen);
        }
    }

    #[test]
    fn a_network_of_one_layer_can_be_benchmarked() {
        for objective in [Objective::Goodness, Objective::Softmax] {
            let spec = NetworkSpec::default_for(objective, Optimizer::Sgd, vec![20, 30], 4);
            assert!(Speed::default().benchmark(&spec, &mut Buffers::default(), &Inline) > 0);
        }
    }
}
