//! A trained network in its shards' checkpoints, a layer at a time.
//!
//! Rule: at most one layer is in memory, whatever the network's depth, and without the part that only
//! training needs.

use std::borrow::Cow;

use bytes::Bytes;
use ffp2p_proto::{Hash, ShardId};
use ndarray::Array2;

use super::error::ModelError;
use crate::{
    checkpoint::{self, CheckpointError},
    ff::{Layers, NetworkSpec, Shard, ShardState, hash_layers},
    spec::Spec,
};

/// Checkpoints of a network's shards after `step` steps.
pub(crate) struct Stored<'a, F> {
    spec: &'a NetworkSpec,
    step: u64,
    get: F,
}

impl<'a, F: FnMut(ShardId) -> Option<Bytes>> Stored<'a, F> {
    /// The shards of `spec` after its last step, of which `get` gives the bytes.
    pub(crate) fn new(spec: &'a Spec, get: F) -> Self {
        Self::at(spec, spec.network.steps, get)
    }

    /// The shards of `spec` after `step` steps, of which `get` gives the bytes.
    pub(crate) fn at(spec: &'a Spec, step: u64, get: F) -> Self {
        Self { spec: &spec.network, step, get }
    }

    /// The shards of a layer, each as `decode` returns it.
    fn read<T>(
        &mut self,
        layer: usize,
        decode: impl Fn(&[u8], &NetworkSpec, Shard, u64) -> Result<T, CheckpointError>,
    ) -> Result<Vec<T>, ModelError> {
        let shard = |index| {
            let shard = (layer * self.spec.shards_per_layer + index) as u16;
            let bytes =
                (self.get)(ShardId(shard)).ok_or(ModelError::Missing { shard, layer, index })?;
            decode(&bytes, self.spec, Shard { layer, index }, self.step)
                .map_err(|error| ModelError::Shard { shard, reason: error.to_string() })
        };
        (0..self.spec.shards_per_layer).map(shard).collect()
    }

    /// BLAKE3 of the model's tensors.
    ///
    /// # Errors
    /// If a shard is missing or is not what the spec asks for.
    pub(crate) fn hash(&mut self) -> Result<Hash, ModelError> {
        Ok(Hash(*hash_layers(self)?.as_bytes()))
    }
}

impl<F: FnMut(ShardId) -> Option<Bytes>> Layers for Stored<'_, F> {
    type Error = ModelError;

    fn spec(&self) -> &NetworkSpec {
        self.spec
    }

    fn layer(&mut self, layer: usize) -> Result<Cow<'_, [ShardState]>, ModelError> {
        Ok(Cow::Owned(self.read(layer, checkpoint::decode_weights)?))
    }

    fn heads(&mut self, layer: usize) -> Result<Vec<Array2<f32>>, ModelError> {
        self.read(layer, checkpoint::decode_head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::{Data, gather},
        ff::{Inline, Network, evaluate},
    };

    #[test]
    fn a_stored_network_is_the_one_that_was_stored() {
        let data = Data::open("digits:200+300").unwrap();
        let checked = Spec::builder().layers([784, 30, 20]).shards(2).check(data).unwrap();
        let spec = &checked.spec;
        let network = Network::init(spec.network.clone());
        let encode = |(shard, state): (&Shard, &ShardState)| {
            Bytes::from(checkpoint::encode(state, &spec.network, *shard))
        };
        let shards = spec.network.shards();
        let bytes: Vec<Bytes> = shards.iter().zip(network.shards()).map(encode).collect();
        let mut stored = Stored::at(spec, 0, |shard| bytes.get(usize::from(shard.0)).cloned());
        assert_eq!(stored.hash().unwrap().0, *network.model_hash().as_bytes());
        let (images, labels) = checked.data.test(1);
        let pixels = gather(images, &(0..300).collect::<Vec<_>>());
        let found = evaluate(&mut stored, &pixels, labels, &Inline).unwrap();
        assert_eq!(found, network.evaluate(&pixels, labels, &Inline));
        let mut without_last =
            Stored::at(spec, 0, |shard| bytes[..3].get(usize::from(shard.0)).cloned());
        let missing = without_last.hash();
        assert!(matches!(missing, Err(ModelError::Missing { shard: 3, layer: 1, index: 1 })));
        let unfinished = Stored::new(spec, |shard| bytes.get(usize::from(shard.0)).cloned()).hash();
        assert!(matches!(unfinished, Err(ModelError::Shard { shard: 0, .. })), "{unfinished:?}");
    }
}
