//! The time of a training step, next to that of the matrix products in it.
//!
//! Rule: both are timed in turn within one run, and the median of the rounds counts, so that a busy
//! machine slows both. The step is that of `train`.

mod clock;

use std::time::{Duration, Instant};

use ndarray::Array2;

use crate::{
    data::BatchSizeError,
    ff::{
        Activations, FirstInput, Network, NetworkSpec, Phase, ProductBaseline, Shard, Workers,
        decode, encode,
    },
    schedule::Schedule,
    spec::Checked,
};
use clock::Clocked;

/// Time of one turn of a round, at least, for the clock's sake.
const TURN: Duration = Duration::from_millis(250);

/// The cost of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepCost {
    /// Steps of one turn of a round.
    pub steps: u32,
    /// Seconds of a whole step, images, labels and rounding included.
    pub step: f64,
    /// Seconds of its matrix products alone.
    pub products: f64,
    /// Floating point operations of these, two for each multiply-accumulate.
    pub operations: u64,
    /// Seconds to make a step's images and labels ready.
    pub input: f64,
    /// Time of a step by layer and phase.
    pub phases: Vec<PhaseCost>,
    /// The cost of activation batches, by layer.
    pub activation_batches: Vec<BatchCost>,
}

/// The time of a phase of a layer in a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhaseCost {
    /// The layer.
    pub layer: usize,
    /// The phase.
    pub phase: Phase,
    /// Thread-seconds.
    pub seconds: f64,
}

/// The cost of an activation batch of a shard of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchCost {
    /// Bytes.
    pub bytes: usize,
    /// Seconds to encode them.
    pub encode: f64,
    /// Seconds to decode them.
    pub decode: f64,
}

impl StepCost {
    /// The part of the whole step's time that its products would take alone.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.products / self.step
    }
}

/// Times steps of a spec on its own data, in `rounds` rounds.
///
/// # Errors
/// If the data set is smaller than a mini-batch.
pub fn step(
    checked: &Checked,
    threads: usize,
    rounds: usize,
    workers: &dyn Workers,
) -> Result<StepCost, BatchSizeError> {
    let mut schedule = Schedule::new(checked, threads)?;
    schedule.draw(threads);
    let spec = checked.spec.network.clone();
    let (network, pixels) = (Network::init(spec.clone()), Array2::default((0, 0)));
    let mut bench = Bench { network, schedule: &mut schedule, at: 0, pixels };
    let mut baseline = ProductBaseline::new(&spec);
    baseline.run(workers);
    let began = Instant::now();
    bench.steps(2, workers);
    let steps = (2.0 * TURN.as_secs_f64() / began.elapsed().as_secs_f64()).ceil() as u32;
    let (mut whole, mut products, mut input) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        whole.push(timed(steps, || bench.steps(steps, workers)));
        products.push(timed(steps, || (0..steps).for_each(|_| baseline.run(workers))));
        input.push(timed(steps, || (0..steps).for_each(|_| bench.pixels = bench.input().pixels)));
    }
    let clock = Clocked::new(workers);
    bench.steps(steps, &clock);
    let a_step = |spent: Duration| spent.as_secs_f64() / f64::from(steps);
    let phases = clock.spent().into_iter();
    Ok(StepCost {
        steps,
        step: median(whole),
        products: median(products),
        operations: 2 * baseline.macs(),
        input: median(input),
        phases: phases
            .map(|((layer, phase), spent)| PhaseCost { layer, phase, seconds: a_step(spent) })
            .collect(),
        activation_batches: activation_batches(&spec),
    })
}

/// A run that repeats its steps.
struct Bench<'a> {
    network: Network,
    schedule: &'a mut Schedule,
    at: u64,
    /// Memory for the next step's images.
    pixels: Array2<f32>,
}

impl Bench<'_> {
    fn input(&mut self) -> FirstInput {
        let step = self.at % self.network.spec().steps;
        self.at += 1;
        self.schedule.first_input(step, None, std::mem::take(&mut self.pixels))
    }

    fn steps(&mut self, count: u32, workers: &dyn Workers) {
        for _ in 0..count {
            let input = self.input();
            self.network.train_step(&input, workers);
            self.pixels = input.pixels;
        }
    }
}

/// Times the activation batches, layer by layer; the time does not depend on the values.
fn activation_batches(spec: &NetworkSpec) -> Vec<BatchCost> {
    let shards = (0..spec.depth()).map(|layer| Shard { layer, index: 0 });
    let time = |shard| {
        let shape = (spec.objective.passes() * spec.batch_size, spec.width(shard));
        let states = Array2::from_shape_fn(shape, |(i, j)| ((i + 7 * j) % 256) as f32);
        let logits = Array2::zeros((spec.batch_size, spec.output_logits()));
        let activations = Activations { states, logits };
        let bytes = encode(&activations, spec, shard);
        BatchCost {
            bytes: bytes.len(),
            encode: timed(ENCODINGS, || {
                (0..ENCODINGS).for_each(|_| drop(encode(&activations, spec, shard)));
            }),
            decode: timed(ENCODINGS, || {
                (0..ENCODINGS).for_each(|_| drop(decode(&bytes, spec, shard)));
            }),
        }
    };
    shards.map(time).collect()
}

/// Encodings and decodings that are timed.
const ENCODINGS: u32 = 20;

/// Seconds of one of `count` equal pieces of work.
fn timed(count: u32, work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64() / f64::from(count)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The peak memory of this process, bytes, where the system tells.
#[must_use]
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kibibytes * 1024)
}
