//! Tensors as a safetensors file, the form that PyTorch and numpy users read.
//!
//! Rule: f32 only, little-endian, under the names the network gives them. Equal tensors and metadata
//! are equal bytes.

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::ff::Tensor;

/// Bytes of the header's length, which comes first and is a multiple of them.
const LENGTH: usize = 8;

/// The bytes of a file with these tensors and metadata.
///
/// # Errors
/// The violation of the format, in words.
pub(super) fn to_safetensors(
    tensors: &[Tensor],
    metadata: &BTreeMap<String, String>,
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
    let file = safetensors::serialize(views, None).map_err(|error| error.to_string())?;
    with_metadata(file, metadata)
}

/// Adds metadata to the header of a file that has none. The library takes it in a hash map, and
/// writes it in the order of that, which differs each time.
fn with_metadata(
    mut file: Vec<u8>,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, String> {
    let end = file
        .first_chunk::<LENGTH>()
        .and_then(|length| usize::try_from(u64::from_le_bytes(*length)).ok())
        .and_then(|length| length.checked_add(LENGTH))
        .filter(|end| file.get(LENGTH) == Some(&b'{') && *end <= file.len())
        .ok_or("the header has no length")?;
    let metadata = serde_json::to_string(metadata).map_err(|error| error.to_string())?;
    let old = file[LENGTH + 1..end].trim_ascii_end();
    let comma = if old == b"}" { "" } else { "," };
    let mut header = format!("{{\"__metadata__\":{metadata}{comma}").into_bytes();
    header.extend(old);
    header.resize(header.len().next_multiple_of(LENGTH), b' ');
    let length = (header.len() as u64).to_le_bytes();
    file.splice(..end, length.into_iter().chain(header));
    Ok(file)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_models_are_equal_files() {
        let tensor =
            |name: &str| Tensor { name: name.to_owned(), shape: vec![2, 1], data: vec![1.0, -2.5] };
        let tensors = [tensor("b"), tensor("a")];
        let words = (0..20).map(|i| (format!("key {i}"), format!("\"value\" {i}\n")));
        let metadata: BTreeMap<_, _> = words.collect();
        let file = to_safetensors(&tensors, &metadata).unwrap();
        for _ in 0..5 {
            assert_eq!(to_safetensors(&tensors, &metadata).unwrap(), file);
        }
        let read = SafeTensors::deserialize(&file).unwrap();
        let mut back = from_safetensors(&read).unwrap();
        back.sort_by(|a, b| b.name.cmp(&a.name));
        assert_eq!(back, tensors);
        let (_, header) = SafeTensors::read_metadata(&file).unwrap();
        let found = header.metadata().clone().unwrap();
        assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), metadata);
    }

    #[test]
    fn a_file_without_tensors_has_its_metadata() {
        let metadata = BTreeMap::from([("key".to_owned(), "value".to_owned())]);
        let file = to_safetensors(&[], &metadata).unwrap();
        let (_, header) = SafeTensors::read_metadata(&file).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["key"], "value");
    }
}
