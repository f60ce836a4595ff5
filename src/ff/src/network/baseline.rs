//! The matrix products of a step and nothing else: what a whole step is measured against.
//!
//! The rule: the shapes are those of the step, each product in one piece a thread, so that what the
//! step does differently (blocks, updates between them) counts for or against it.

use std::ops::Range;

use ndarray::Array2;

use crate::numerics::matrix::rows;
use crate::numerics::workers::Workers;
use crate::rng::{Key, Purpose};
use crate::shard::product::product;
use crate::spec::{NetworkSpec, Objective, Shard};

/// The products of every row of a network, on made-up numbers.
#[derive(Debug)]
pub struct ProductBaseline(Vec<ShardProducts>);

/// What one row multiplies.
#[derive(Debug)]
struct ShardProducts {
    /// Passes read x in: states of the layer below, or images.
    inputs: Array2<f32>,
    /// In x passes that teach: the same turned, as a gradient reads it.
    turned: Array2<f32>,
    /// In x out.
    weights: Array2<f32>,
    /// Passes read x out.
    outputs: Array2<f32>,
    /// In x out.
    gradient: Array2<f32>,
    /// Out x classes.
    head: Array2<f32>,
    /// Samples that the head reads among the outputs.
    heard: Range<usize>,
    /// Samples x classes.
    logits: Array2<f32>,
    /// Whether the error goes back through the head.
    through_head: bool,
}

impl ShardProducts {
    fn new(spec: &NetworkSpec, row: Shard) -> Self {
        let (inputs, width, batch) = (spec.input_width(row), spec.width(row), spec.batch_size);
        let contrasts = spec.objective == Objective::Goodness;
        // The first layer multiplies an image once for all passes.
        let (read, taught) = match (contrasts, row.layer) {
            (true, 1..) => (3 * batch, 2 * batch),
            (true, 0) | (false, _) => (batch, batch),
        };
        let mut stream = Key::new(spec.seed, Purpose::Data).stream();
        let mut some = |shape| Array2::from_shape_simple_fn(shape, || stream.normal());
        Self {
            inputs: some((read, inputs)),
            turned: some((taught, inputs)).reversed_axes(),
            weights: some((inputs, width)),
            outputs: some((read, width)),
            gradient: some((inputs, width)),
            head: some((width, spec.classes)),
            heard: read - batch..read,
            logits: some((batch, spec.classes)),
            through_head: !contrasts,
        }
    }

    fn run(&mut self, workers: &dyn Workers) {
        let Self { inputs, turned, weights, outputs, gradient, head, logits, .. } = self;
        product(inputs.view(), weights.view(), outputs.view_mut(), workers);
        product(rows(outputs, self.heard.clone()), head.view(), logits.view_mut(), workers);
        if self.through_head {
            product(logits.view(), head.t(), outputs.view_mut(), workers);
        }
        let read = rows(outputs, self.heard.clone());
        product(read.t(), logits.view(), head.view_mut(), workers);
        let directions = rows(outputs, 0..turned.ncols().min(outputs.nrows()));
        product(turned.view(), directions, gradient.view_mut(), workers);
        // Numbers that never grow: what is multiplied next time is as at first.
        head.fill(1.0);
    }

    fn macs(&self) -> u64 {
        let (read, taught) = (self.inputs.nrows(), self.turned.ncols());
        let (inputs, width) = self.weights.dim();
        let head = 2 + usize::from(self.through_head);
        (width * (inputs * (read + taught) + head * self.logits.len())) as u64
    }
}

impl ProductBaseline {
    /// Everything that a step of this network multiplies.
    #[must_use]
    pub fn new(spec: &NetworkSpec) -> Self {
        Self(spec.shards().into_iter().map(|row| ShardProducts::new(spec, row)).collect())
    }

    /// Multiplies everything once.
    pub fn run(&mut self, workers: &dyn Workers) {
        self.0.iter_mut().for_each(|row| row.run(workers));
    }

    /// Multiply-accumulates of a run, by layer.
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
            let usual = NetworkSpec::default_for(objective, Optimizer::Sgd, vec![20, 8, 6], 4);
            for spec in [NetworkSpec { shards_per_layer: 2, ..usual.clone() }, usual] {
                let mut bare = ProductBaseline::new(&spec);
                let macs: u64 = spec.shards().into_iter().map(|row| spec.step_macs(row)).sum();
                assert_eq!(bare.macs(), macs);
                bare.run(&Inline);
            }
        }
    }
}
