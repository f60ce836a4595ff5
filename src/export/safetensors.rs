//! Tensors as a safetensors file, the form that PyTorch and numpy users read.
//!
//! Rule: f32 only, little-endian, under the names the network gives them.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::ff::Tensor;

/// The bytes of a file with these tensors and metadata.
///
/// # Errors
/// What the format does not allow, in words.
pub(super) fn to_safetensors(
    tensors: &[Tensor],
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>, String> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|tensor| tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|(tensor, bytes)| {
            TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)
                .map(|view| (tensor.name.clone(), view))
                .map_err(|error| error.to_string())
        })
        .collect::<Result<Vec<_>, _>>()?;
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

/// The tensors of a file that was read.
///
/// # Errors
/// If a tensor is not f32.
pub(super) fn from_safetensors(file: &SafeTensors<'_>) -> Result<Vec<Tensor>, String> {
    file.iter()
        .map(|(name, view)| {
            if view.dtype() != Dtype::F32 {
                return Err(format!("tensor {name} is {:?}, not F32", view.dtype()));
            }
            let values = view.data().as_chunks::<4>().0;
            let data = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            Ok(Tensor { name: name.to_owned(), shape: view.shape().to_vec(), data })
        })
        .collect()
}
