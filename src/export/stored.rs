//! A trained network in its rows' checkpoints, a layer at a time.
//!
//! Rule: at most one layer is in memory, whatever the network's depth; what a row's training
//! remembers is not.

use std::borrow::Cow;

use bytes::Bytes;
use ffp2p_proto::{Hash, RowId};
use ndarray::Array2;

use super::ModelError;
use crate::{
    checkpoint::{self, CheckpointError},
    ff::{Layers, NetworkSpec, Row, RowState, hash_layers},
    spec::Spec,
};

/// Checkpoints of a network's rows.
pub(crate) struct Stored<'a, F> {
    spec: &'a NetworkSpec,
    get: F,
}

impl<'a, F: FnMut(RowId) -> Option<Bytes>> Stored<'a, F> {
    /// The rows of `spec`, of which `get` gives the bytes.
    pub(crate) fn new(spec: &'a Spec, get: F) -> Self {
        Self { spec: &spec.network, get }
    }

    /// What `decode` makes of each row of a layer.
    fn read<T>(
        &mut self,
        layer: usize,
        decode: impl Fn(&[u8], &NetworkSpec, Row) -> Result<T, CheckpointError>,
    ) -> Result<Vec<T>, ModelError> {
        let row = |shard| {
            let row = (layer * self.spec.shards + shard) as u16;
            let bytes = (self.get)(RowId(row)).ok_or(ModelError::Missing { row, layer, shard })?;
            decode(&bytes, self.spec, Row { layer, shard })
                .map_err(|error| ModelError::Row { row, reason: error.to_string() })
        };
        (0..self.spec.shards).map(row).collect()
    }

    /// BLAKE3 of the model's tensors.
    ///
    /// # Errors
    /// If a row is missing or is not what the spec asks for.
    pub(crate) fn hash(&mut self) -> Result<Hash, ModelError> {
        Ok(Hash(*hash_layers(self)?.as_bytes()))
    }
}

impl<F: FnMut(RowId) -> Option<Bytes>> Layers for Stored<'_, F> {
    type Error = ModelError;

    fn spec(&self) -> &NetworkSpec {
        self.spec
    }

    fn layer(&mut self, layer: usize) -> Result<Cow<'_, [RowState]>, ModelError> {
        Ok(Cow::Owned(self.read(layer, checkpoint::decode_weights)?))
    }

    fn heads(&mut self, layer: usize) -> Result<Vec<Array2<f32>>, ModelError> {
        self.read(layer, checkpoint::decode_head)
    }
}
