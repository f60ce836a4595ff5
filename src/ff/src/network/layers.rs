//! A network layer by layer, so that not all of it has to be in memory.
//!
//! Rule: a layer that is asked for twice is the same both times.

use std::borrow::Cow;
use std::convert::Infallible;

use ndarray::Array2;

use super::Network;
use crate::shard::ShardState;
use crate::spec::NetworkSpec;

/// A source of the layers of a network.
pub trait Layers {
    /// The reason why a layer cannot be had.
    type Error;

    /// The spec that the network was made from.
    fn spec(&self) -> &NetworkSpec;

    /// The shards of one layer, in order.
    ///
    /// # Errors
    /// If it cannot be had; no other layer is asked for then.
    fn layer(&mut self, layer: usize) -> Result<Cow<'_, [ShardState]>, Self::Error>;

    /// The heads of one layer's shards, H x classes each, in order.
    ///
    /// # Errors
    /// As [`Layers::layer`].
    fn heads(&mut self, layer: usize) -> Result<Vec<Array2<f32>>, Self::Error> {
        Ok(self.layer(layer)?.iter().map(|shard| shard.head.value.clone()).collect())
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
