//! The whole network in one place: the sequential reference.
//!
//! Rule: a step of the network is a step of every shard in order, with activations rounded
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

/// The shards of a network, with memory for their steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    spec: NetworkSpec,
    shards: Vec<ShardState>,
    buffers: Buffers,
}

/// The reason why parts do not make a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The spec cannot be trained.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Too few or too many shards.
    #[error("the network has {expected} shards, not {found}")]
    Shards {
        /// Shards of the spec.
        expected: usize,
        /// Shards given.
        found: usize,
    },
    /// A shard of another shape.
    #[error("shard {index} of layer {layer} does not have the shape of the spec", layer = .0.layer, index = .0.index)]
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
        let shards =
            spec.shards().into_iter().map(|shard| ShardState::init(&spec, shard)).collect();
        Self { spec, shards, buffers: Buffers::default() }
    }

    /// A network of shards trained elsewhere, in the order of [`NetworkSpec::shards`].
    ///
    /// # Errors
    /// If the spec is wrong, or the shards are not those of the spec.
    pub fn from_shards(spec: NetworkSpec, shards: Vec<ShardState>) -> Result<Self, NetworkError> {
        spec.check()?;
        let expected = spec.shards();
        if shards.len() != expected.len() {
            return Err(NetworkError::Shards { expected: expected.len(), found: shards.len() });
        }
        match expected.iter().zip(&shards).find(|(shard, state)| !state.fits(&spec, **shard)) {
            Some((shard, _)) => Err(NetworkError::Shape(*shard)),
            None => Ok(Self { spec, shards, buffers: Buffers::default() }),
        }
    }

    /// The spec that the network was made from.
    #[must_use]
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// Its shards, in the order of [`NetworkSpec::shards`].
    #[must_use]
    pub fn shards(&self) -> &[ShardState] {
        &self.shards
    }

    /// Its shards, in the order of [`NetworkSpec::shards`].
    #[must_use]
    pub fn into_shards(self) -> Vec<ShardState> {
        self.shards
    }

    /// Takes other shards of the same shapes in place of its own, which it returns.
    #[must_use]
    pub fn replace_shards(&mut self, shards: Vec<ShardState>) -> Vec<ShardState> {
        std::mem::replace(&mut self.shards, shards)
    }

    /// One step of every shard, from the first layer up. The reports are in shard order; the
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

    /// Takes back what [`Network::train_layer`] or [`Network::forward`] returned, to use its memory again.
    pub fn give(&mut self, shards: Vec<Activations>) {
        shards.into_iter().for_each(|shard| self.buffers.give(shard.states));
    }

    fn rounded(&self, mut shards: Vec<Activations>, workers: &dyn Workers) -> Vec<Activations> {
        workers.mark(Mark::Phase(Phase::Encoding));
        shards.iter_mut().for_each(|shard| round(shard, self.spec.encoding, workers));
        shards
    }

    /// One step of the shards of one layer: the outputs of each, not rounded, and its report.
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
        let Self { spec, shards, buffers } = self;
        let train = |(index, state): (usize, &mut ShardState)| {
            let shard = Shard { layer, index };
            match below {
                Below::Images(input) => state.train_first(spec, shard, input, buffers, workers),
                Below::Layer(below, labels) => {
                    state.train(spec, shard, below, labels, buffers, workers)
                }
            }
        };
        let shards =
            shards.iter_mut().skip(layer * spec.shards_per_layer).take(spec.shards_per_layer);
        shards.enumerate().map(train).unzip()
    }

    /// The outputs of the shards of one layer in a step with their weights as they are, not rounded.
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
        let Self { spec, shards, buffers } = self;
        let forward = |(index, state): (usize, &mut ShardState)| {
            let shard = Shard { layer, index };
            match below {
                Below::Images(input) => {
                    state.forward_first(spec, shard, step, input, buffers, workers)
                }
                Below::Layer(below, _) => state.forward(spec, shard, step, below, buffers, workers),
            }
        };
        let shards =
            shards.iter_mut().skip(layer * spec.shards_per_layer).take(spec.shards_per_layer);
        shards.enumerate().map(forward).collect()
    }
}

/// The input of a layer in one step.
#[derive(Debug)]
pub enum Below<'a> {
    /// The first layer reads images.
    Images(&'a FirstInput),
    /// An upper layer reads the outputs of the layer below, and the right labels.
    Layer(&'a Activations, &'a [u8]),
}
