//! The whole network in one place: the sequential reference.
//!
//! The rule: a step of the network is a step of every row in order, with activations rounded
//! between layers exactly as their encoding rounds them. Whatever peers do must equal this.

mod baseline;
mod evaluate;
mod layers;
mod tensors;

pub use baseline::ProductBaseline;
pub use evaluate::{Evaluation, evaluate};
pub use layers::Layers;
pub use tensors::{Tensor, hash_layers, model_hash};

use ndarray::Array2;

use crate::encoding::round;
use crate::numerics::Buffers;
use crate::numerics::workers::{Mark, Phase, Workers};
use crate::shard::activations::{Activations, concat_in};
use crate::shard::first_layer::FirstInput;
use crate::shard::{ShardState, StepReport};
use crate::spec::SpecError;
use crate::spec::{NetworkSpec, Shard};

/// Every row of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    spec: NetworkSpec,
    rows: Vec<ShardState>,
    buffers: Buffers,
}

/// Why parts do not make a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The spec itself is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Too few or too many rows.
    #[error("the network has {expected} rows, not {found}")]
    Shards {
        /// Shards of the spec.
        expected: usize,
        /// Shards there are.
        found: usize,
    },
    /// A row of another shape.
    #[error("the row of layer {layer}, shard {shard} does not have the shape of the spec", layer = .0.layer, shard = .0.index)]
    Shape(Shard),
    /// A tensor is missing, or has another shape, or holds a number that is not finite.
    #[error("there is no tensor {name} of shape {shape:?} with finite values")]
    Tensor {
        /// Name looked for.
        name: String,
        /// Shape looked for.
        shape: Vec<usize>,
    },
}

impl Network {
    /// A network before its first step. The spec has to be one that passes its check.
    #[must_use]
    pub fn init(spec: NetworkSpec) -> Self {
        let rows = spec.shards().into_iter().map(|row| ShardState::init(&spec, row)).collect();
        Self { spec, rows, buffers: Buffers::default() }
    }

    /// A network of rows trained elsewhere, in the order of [`NetworkSpec::rows`].
    ///
    /// # Errors
    /// If the spec is wrong, or the rows are not those of the spec.
    pub fn from_shards(spec: NetworkSpec, rows: Vec<ShardState>) -> Result<Self, NetworkError> {
        spec.check()?;
        let expected = spec.shards();
        if rows.len() != expected.len() {
            return Err(NetworkError::Shards { expected: expected.len(), found: rows.len() });
        }
        match expected.iter().zip(&rows).find(|(row, state)| !state.fits(&spec, **row)) {
            Some((row, _)) => Err(NetworkError::Shape(*row)),
            None => Ok(Self { spec, rows, buffers: Buffers::default() }),
        }
    }

    /// What the network was made from.
    #[must_use]
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// Its rows, in the order of [`NetworkSpec::rows`].
    #[must_use]
    pub fn shards(&self) -> &[ShardState] {
        &self.rows
    }

    /// Its rows, in the order of [`NetworkSpec::rows`].
    #[must_use]
    pub fn into_rows(self) -> Vec<ShardState> {
        self.rows
    }

    /// One step of every row, from the first layer up. The reports are in row order; the
    /// logits (B x [`NetworkSpec::output_logits`]) are those of the last layer.
    ///
    /// # Panics
    /// If the input does not have the spec's shapes, or a label is not below `classes`.
    pub fn train_step(
        &mut self,
        input: &FirstInput,
        workers: &dyn Workers,
    ) -> (Vec<StepReport>, Array2<f32>) {
        let (mut shards, mut reports) = self.train_layer(0, &Below::Images(input), workers);
        for layer in 1..self.spec.depth() {
            let shards_below = self.rounded(shards, workers);
            let below = concat_in(shards_below, &mut self.buffers);
            let read = Below::Layer(&below, &input.labels);
            let (above, more) = self.train_layer(layer, &read, workers);
            self.buffers.give(below.states);
            shards = above;
            reports.extend(more);
        }
        let Activations { states, logits } = concat_in(shards, &mut self.buffers);
        self.buffers.give(states);
        (reports, logits)
    }

    /// Nobody reads what [`Network::train_layer`] or [`Network::forward`] gave any more.
    pub fn give(&mut self, shards: Vec<Activations>) {
        shards.into_iter().for_each(|shard| self.buffers.give(shard.states));
    }

    fn rounded(&self, mut shards: Vec<Activations>, workers: &dyn Workers) -> Vec<Activations> {
        workers.mark(Mark::Phase(Phase::Encoding));
        shards.iter_mut().for_each(|shard| round(shard, self.spec.encoding, workers));
        shards
    }

    /// One step of the rows of one layer: what each hands on, not rounded, and its report.
    ///
    /// # Panics
    /// As [`Network::train_step`].
    pub fn train_layer(
        &mut self,
        layer: usize,
        below: &Below<'_>,
        workers: &dyn Workers,
    ) -> (Vec<Activations>, Vec<StepReport>) {
        workers.mark(Mark::Layer(layer));
        let Self { spec, rows, buffers } = self;
        let train = |(shard, state): (usize, &mut ShardState)| {
            let row = Shard { layer, index: shard };
            match below {
                Below::Images(input) => state.train_first(spec, row, input, buffers, workers),
                Below::Layer(below, labels) => {
                    state.train(spec, row, below, labels, buffers, workers)
                }
            }
        };
        let rows = rows.iter_mut().skip(layer * spec.shards_per_layer).take(spec.shards_per_layer);
        rows.enumerate().map(train).unzip()
    }

    /// What the rows of one layer hand on for a step with their weights as they are, not rounded.
    ///
    /// # Panics
    /// As [`Network::train_step`].
    pub fn forward(
        &mut self,
        layer: usize,
        step: u64,
        below: &Below<'_>,
        workers: &dyn Workers,
    ) -> Vec<Activations> {
        let Self { spec, rows, buffers } = self;
        let forward = |(shard, state): (usize, &mut ShardState)| {
            let row = Shard { layer, index: shard };
            match below {
                Below::Images(input) => {
                    state.forward_first(spec, row, step, input, buffers, workers)
                }
                Below::Layer(below, _) => state.forward(spec, row, step, below, buffers, workers),
            }
        };
        let rows = rows.iter_mut().skip(layer * spec.shards_per_layer).take(spec.shards_per_layer);
        rows.enumerate().map(forward).collect()
    }
}

/// What a layer reads in one step.
#[derive(Debug)]
pub enum Below<'a> {
    /// The first one.
    Images(&'a FirstInput),
    /// An upper one: what the layer below hands on, and the right labels.
    Layer(&'a Activations, &'a [u8]),
}
