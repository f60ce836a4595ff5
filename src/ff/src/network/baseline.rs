//! The baseline that a step is measured against: its matrix products and nothing else.
//!
//! Rule: the shapes are those of the step, each product in one piece a thread, so that what the
//! step does differently (blocks, updates between them) counts for or against it.

use std::ops::Range;

use ndarray::Array2;

use crate::numerics::matrix::rows;
use crate::numerics::workers::Workers;
use crate::rng::{Key, Purpose};
use crate::shard::product::product;
use crate::spec::{NetworkSpec, Objective, Shard};

/// The matrix products of every shard of a network, on random numbers.
#[derive(Debug)]
pub struct ProductBaseline(Vec<ShardProducts>);

/// The operands of one shard.
#[derive(Debug)]
struct ShardProducts {
    /// Rows read x in: states of the layer below, or images.
    inputs: Array2<f32>,
    /// In x rows learned from: the transposed inputs, as a gradient reads them.
    transposed: Array2<f32>,
    /// In x out.
    weights: Array2<f32>,
    /// Rows read x out.
    outputs: Array2<f32>,
    /// In x out.
    gradient: Array2<f32>,
    /// Out x classes.
    head: Array2<f32>,
    /// Rows of the outputs that the head reads.
    classified: Range<usize>,
    /// Samples x classes.
    logits: Array2<f32>,
    /// Whether the error goes back through the head.
    through_head: bool,
}

impl ShardProducts {
    fn new(spec: &NetworkSpec, shard: Shard) -> Self {
        let (inputs, width, batch) = (spec.input_width(shard), spec.width(shard), spec.batch_size);
        let contrasts = spec.objective == Objective::Goodness;
        // The first layer multiplies an image once for all passes.
        let (read, learned) = match (contrasts, shard.layer) {
            (true, 1..) => (3 * batch, 2 * batch),
            (true, 0) | (false, _) => (batch, batch),
        };
        let mut stream = Key::new(spec.seed, Purpose::Data).stream();
        let mut random = |shape| Array2::from_shape_simple_fn(shape, || stream.normal());
        Self {
            inputs: random((read, inputs)),
            transposed: random((learned, inputs)).reversed_axes(),
            weights: random((inputs, width)),
            outputs: random((read, width)),
            gradient: random((inputs, width)),
            head: random((width, spec.classes)),
            classified: read - batch..read,
            logits: random((batch, spec.classes)),
            through_head: !contrasts,
        }
    }

    fn run(&mut self, workers: &dyn Workers) {
        let Self { inputs, transposed, weights, outputs, gradient, head, logits, .. } = self;
        product(inputs.view(), weights.view(), outputs.view_mut(), workers);
        product(rows(outputs, self.classified.clone()), head.view(), logits.view_mut(), workers);
        if self.through_head {
            product(logits.view(), head.t(), outputs.view_mut(), workers);
        }
        let read = rows(outputs, self.classified.clone());
        product(read.t(), logits.view(), head.view_mut(), workers);
        let directions = rows(outputs, 0..transposed.ncols().min(outputs.nrows()));
        product(transposed.view(), directions, gradient.view_mut(), workers);
        // Keeps the numbers from growing from run to run.
        head.fill(1.0);
    }

    fn macs(&self) -> u64 {
        let (read, learned) = (self.inputs.nrows(), self.transposed.ncols());
        let (inputs, width) = self.weights.dim();
        let head = 2 + usize::from(self.through_head);
        (width * (inputs * (read + learned) + head * self.logits.len())) as u64
    }
}

impl ProductBaseline {
    /// The products of a step of this network.
    #[must_use]
    pub fn new(spec: &NetworkSpec) -> Self {
        Self(spec.shards().into_iter().map(|shard| ShardProducts::new(spec, shard)).collect())
    }

    /// Computes every product once.
    pub fn run(&mut self, workers: &dyn Workers) {
        self.0.iter_mut().for_each(|shard| shard.run(workers));
    }

    /// Multiply-accumulates of one [`ProductBaseline::run`].
    #[must_use]
    pub fn macs(&self) -> u64 {
        self.0.iter().map(ShardProducts::macs).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Inline, Optimizer};

    #[test]
    fn the_same_work_as_the_step() {
        for objective in [Objective::Goodness, Objective::Softmax] {
            let default = NetworkSpec::default_for(objective, Optimizer::Sgd, vec![20, 8, 6], 4);
            for spec in [NetworkSpec { shards_per_layer: 2, ..default.clone() }, default] {
                let mut baseline = ProductBaseline::new(&spec);
                let macs: u64 = spec.shards().into_iter().map(|shard| spec.step_macs(shard)).sum();
                assert_eq!(baseline.macs(), macs);
                baseline.run(&Inline);
            }
        }
    }
}
