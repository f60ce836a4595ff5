//! A network as named tensors, the way PyTorch's linear layers hold them, and its hash.
//!
//! The rule: the model is the weights that classify, and nothing a placement or an optimiser left
//! behind. Shards lie side by side; the mean over shards is folded into the heads.

use ndarray::Array2;

use super::network::{Network, NetworkError};
use super::row::RowState;
use super::spec::{NetworkSpec, Row};

/// A named tensor in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Such as `layers.0.weight`.
    pub name: String,
    /// Extents, the slowest first.
    pub shape: Vec<usize>,
    /// As many values as the shape asks for.
    pub data: Vec<f32>,
}

/// Names and shapes of a layer's tensors.
struct Names {
    weight: (String, [usize; 2]),
    bias: (String, [usize; 1]),
    head: (String, [usize; 2]),
}

impl Names {
    fn new(spec: &NetworkSpec, layer: usize) -> Self {
        let (inputs, outputs) = (spec.input_width(Row { layer, shard: 0 }), spec.layers[layer + 1]);
        Self {
            weight: (format!("layers.{layer}.weight"), [outputs, inputs]),
            bias: (format!("layers.{layer}.bias"), [outputs]),
            head: (format!("heads.{layer}.weight"), [spec.classes, outputs]),
        }
    }
}

/// The hash of a model. Plain BLAKE3 over the number of tensors and then, for every tensor in the
/// order of their names' bytes, its name, its shape and its values as f32: all little-endian,
/// each list with its length before it, lengths and extents as u64, the values' length in bytes.
#[must_use]
pub fn model_hash(tensors: &[Tensor]) -> blake3::Hash {
    let mut sorted: Vec<&Tensor> = tensors.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let mut hasher = blake3::Hasher::new();
    let number = |n: usize| (n as u64).to_le_bytes();
    hasher.update(&number(sorted.len()));
    for tensor in sorted {
        hasher.update(&number(tensor.name.len())).update(tensor.name.as_bytes());
        hasher.update(&number(tensor.shape.len()));
        for extent in &tensor.shape {
            hasher.update(&number(*extent));
        }
        let bytes: Vec<u8> = tensor.data.iter().flat_map(|x| x.to_le_bytes()).collect();
        hasher.update(&number(bytes.len())).update(&bytes);
    }
    hasher.finalize()
}

impl Network {
    /// The model: for each layer l `layers.l.weight` (out x in; label slots before pixels), `layers.l.bias` (out) and
    /// `heads.l.weight` (classes x out), shards side by side along `out`. A head is divided by the
    /// number of shards, so that one product with the whole layer's outputs gives the mean.
    #[must_use]
    pub fn tensors(&self) -> Vec<Tensor> {
        let (spec, mut tensors) = (self.spec(), Vec::with_capacity(3 * self.spec().depth()));
        for (layer, rows) in self.rows().chunks(spec.shards).enumerate() {
            let Names { weight, bias, head } = Names::new(spec, layer);
            let mut push = |name: String, shape: &[usize], data: Vec<f32>| {
                tensors.push(Tensor { name, shape: shape.to_vec(), data });
            };
            let data = rows
                .iter()
                .flat_map(|row| row.weights.value.t().iter().copied().collect::<Vec<_>>());
            push(weight.0, &weight.1, data.collect());
            let data = rows.iter().flat_map(|row| row.bias.value.iter().copied());
            push(bias.0, &bias.1, data.collect());
            let shards = spec.shards as f32;
            let of_class = |class| {
                let units = move |row: &RowState| row.head.value.column(class).to_vec();
                rows.iter().flat_map(units).map(move |x| x / shards)
            };
            push(head.0, &head.1, (0..spec.classes).flat_map(of_class).collect());
        }
        tensors
    }

    /// A network that classifies as the model says. What training left behind starts anew.
    ///
    /// # Errors
    /// If the spec is wrong, or a tensor is missing, mis-shaped or not finite.
    pub fn from_tensors(spec: NetworkSpec, tensors: &[Tensor]) -> Result<Self, NetworkError> {
        spec.check()?;
        let mut rows = Vec::with_capacity(spec.rows().len());
        for layer in 0..spec.depth() {
            let Names { weight, bias, head } = Names::new(&spec, layer);
            let weight = find(tensors, &weight.0, &weight.1)?;
            let bias = find(tensors, &bias.0, &bias.1)?;
            let head = find(tensors, &head.0, &head.1)?;
            let inputs = spec.input_width(Row { layer, shard: 0 });
            let outputs = spec.layers[layer + 1];
            for shard in 0..spec.shards {
                let width = spec.width(Row { layer, shard });
                let unit = |k: usize| shard * width + k;
                rows.push(RowState::new(
                    &spec,
                    Array2::from_shape_fn((inputs, width), |(i, k)| weight[unit(k) * inputs + i]),
                    Array2::from_shape_fn((1, width), |(_, k)| bias[unit(k)]),
                    Array2::from_shape_fn((width, spec.classes), |(k, class)| {
                        head[class * outputs + unit(k)] * spec.shards as f32
                    }),
                ));
            }
        }
        Self::from_rows(spec, rows)
    }
}

fn find<'a>(tensors: &'a [Tensor], name: &str, shape: &[usize]) -> Result<&'a [f32], NetworkError> {
    let fits = |tensor: &&Tensor| {
        tensor.name == name
            && tensor.shape == shape
            && tensor.data.len() == shape.iter().product::<usize>()
            && tensor.data.iter().all(|x| x.is_finite())
    };
    let error = || NetworkError::Tensor { name: name.to_owned(), shape: shape.to_vec() };
    Ok(&tensors.iter().find(fits).ok_or_else(error)?.data)
}
