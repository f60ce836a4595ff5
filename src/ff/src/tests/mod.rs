//! Tests of the mathematics as a whole: generated data, and helpers the other test modules share.

mod definition;
mod local;
mod runs;

use ndarray::Array2;

use crate::shard::dropout::Dropout;
use crate::{
    Encoding, FirstInput, Key, Network, NetworkSpec, Objective, Optimizer, Purpose, Shard, Task,
    Workers, negative_labels,
};

/// Threads in this number, started again for every call.
pub(crate) struct Scoped(pub(crate) usize);

#[expect(clippy::disallowed_methods, reason = "tests bring the threads")]
impl Workers for Scoped {
    fn count(&self) -> usize {
        self.0
    }

    fn run<'a>(&self, tasks: Vec<Task<'a>>) {
        std::thread::scope(|scope| {
            for task in tasks {
                scope.spawn(task);
            }
        });
    }
}

/// A network of two layers for four classes.
pub(crate) fn tiny(optimizer: Optimizer, encoding: Encoding, shards: usize) -> NetworkSpec {
    tiny_for(Objective::Goodness, optimizer, encoding, shards)
}

/// As [`tiny`], with any objective.
pub(crate) fn tiny_for(
    objective: Objective,
    optimizer: Optimizer,
    encoding: Encoding,
    shards: usize,
) -> NetworkSpec {
    NetworkSpec {
        encoding,
        shards_per_layer: shards,
        batch_size: 16,
        steps: 30,
        steps_per_epoch: 10,
        seed: 42,
        ..NetworkSpec::default_for(objective, optimizer, vec![20, 32, 32], 4)
    }
}

/// Generated images of a step and their labels: a class lights its own share of the pixels.
pub(crate) fn images(spec: &NetworkSpec, step: u64) -> (Array2<f32>, Vec<u8>) {
    let mut stream = Key { epoch: step, ..Key::new(spec.seed, Purpose::Data) }.stream();
    let labels: Vec<u8> =
        (0..spec.batch_size).map(|_| stream.below(spec.classes as u32) as u8).collect();
    let shape = (spec.batch_size, spec.layers[0]);
    let pixel = |(image, pixel): (usize, usize)| {
        let lit = pixel % spec.classes == usize::from(labels[image]);
        0.5 * stream.unit() + if lit { 0.4 } else { 0.0 }
    };
    (Array2::from_shape_fn(shape, pixel), labels)
}

/// A mini-batch of generated images.
pub(crate) fn batch(spec: &NetworkSpec, step: u64) -> FirstInput {
    let (pixels, labels) = images(spec, step);
    let samples: Vec<u32> = (0..spec.batch_size as u32).collect();
    let negatives = negative_labels(spec, step / spec.steps_per_epoch, &samples, &labels, None);
    FirstInput::new(spec, pixels, labels, negatives)
}

/// The dropout of the first step of a shard: the factor of each unit.
pub(crate) fn mask(spec: &NetworkSpec, shard: Shard) -> Array2<f64> {
    let mut mask = Dropout::new(spec, shard, 0).mask(spec.width(shard));
    let mut ones = Array2::ones((spec.objective.passes() * spec.batch_size, spec.width(shard)));
    for (index, mut row) in ones.outer_iter_mut().enumerate() {
        mask.apply(index, row.as_slice_mut().unwrap());
    }
    ones.mapv(f64::from)
}

/// The network of a spec after all its steps.
pub(crate) fn trained(spec: &NetworkSpec, workers: &dyn Workers) -> Network {
    let mut network = Network::init(spec.clone());
    for step in 0..spec.steps {
        network.train_step(&batch(spec, step), workers);
    }
    network
}
