//! A network layer by layer, for whoever need not have all of it in memory.
//!
//! The rule: a layer that is asked for twice is the same both times.

use std::borrow::Cow;
use std::convert::Infallible;

use ndarray::Array2;

use super::Network;
use crate::shard::ShardState;
use crate::spec::NetworkSpec;

/// Where the layers of a network come from.
pub trait Layers {
    /// Why a layer cannot be had.
    type Error;

    /// What the network was made from.
    fn spec(&self) -> &NetworkSpec;

    /// The rows of one layer, in the order of their shards.
    ///
    /// # Errors
    /// If it cannot be had; no other layer is asked for then.
    fn layer(&mut self, layer: usize) -> Result<Cow<'_, [ShardState]>, Self::Error>;

    /// The heads of one layer's rows, H x classes each, in the order of their shards.
    ///
    /// # Errors
    /// As [`Layers::layer`].
    fn heads(&mut self, layer: usize) -> Result<Vec<Array2<f32>>, Self::Error> {
        Ok(self.layer(layer)?.iter().map(|row| row.head.value.clone()).collect())
    }
}

impl Layers for &Network {
    type Error = Infallible;

    fn spec(&self) -> &NetworkSpec {
        Network::spec(self)
    }

    fn layer(&mut self, layer: usize) -> Result<Cow<'_, [ShardState]>, Infallible> {
        let shards = Network::spec(self).shards_per_layer;
        Ok(Cow::Borrowed(&self.shards()[layer * shards..][..shards]))
    }
}
