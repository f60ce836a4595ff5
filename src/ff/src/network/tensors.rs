//! A network as named tensors, the way PyTorch's linear layers hold them, and its hash.
//!
//! Rule: the model is the weights that classify, and nothing that a placement or an optimiser left
//! behind. Shards lie side by side; the mean over shards is folded into the heads.

use ndarray::Array2;

use super::layers::Layers;
use super::{Network, NetworkError};
use crate::shard::ShardState;
use crate::spec::{NetworkSpec, Shard};

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

/// Values that are turned into bytes at once.
const BLOCK: usize = 1 << 14;

/// The tensors of a layer.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Weight,
    Bias,
    Head,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Weight, Self::Bias, Self::Head];

    /// The name and the shape.
    fn of(self, spec: &NetworkSpec, layer: usize) -> (String, Vec<usize>) {
        let (inputs, outputs) =
            (spec.input_width(Shard { layer, index: 0 }), spec.layers[layer + 1]);
        match self {
            Self::Weight => (format!("layers.{layer}.weight"), vec![outputs, inputs]),
            Self::Bias => (format!("layers.{layer}.bias"), vec![outputs]),
            Self::Head => (format!("heads.{layer}.weight"), vec![spec.classes, outputs]),
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
    let mut hasher = begin(sorted.len());
    for tensor in sorted {
        add(&mut hasher, &tensor.name, &tensor.shape, tensor.data.iter().copied());
    }
    hasher.finalize()
}

/// The hash of `count` tensors, before the first of them.
fn begin(count: usize) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number(count));
    hasher
}

/// One more tensor: as many values as the shape asks for.
fn add(
    hasher: &mut blake3::Hasher,
    name: &str,
    shape: &[usize],
    values: impl Iterator<Item = f32>,
) {
    hasher.update(&number(name.len())).update(name.as_bytes());
    hasher.update(&number(shape.len()));
    for extent in shape {
        hasher.update(&number(*extent));
    }
    hasher.update(&number(size_of::<f32>() * shape.iter().product::<usize>()));
    let mut bytes = Vec::with_capacity(size_of::<f32>() * BLOCK);
    for value in values {
        bytes.extend_from_slice(&value.to_le_bytes());
        if bytes.len() >= size_of::<f32>() * BLOCK {
            hasher.update(&bytes);
            bytes.clear();
        }
    }
    hasher.update(&bytes);
}

fn number(n: usize) -> [u8; 8] {
    (n as u64).to_le_bytes()
}

/// The hash of a model, which is [`model_hash`] of its tensors, from its layers: heads come first, by
/// their names, then each layer is asked for once.
///
/// # Errors
/// If a layer cannot be had.
pub fn hash_layers<L: Layers>(layers: &mut L) -> Result<blake3::Hash, L::Error> {
    let spec = layers.spec().clone();
    let mut order: Vec<usize> = (0..spec.depth()).collect();
    order.sort_by_key(|layer| Kind::Weight.of(&spec, *layer).0);
    let mut hasher = begin(Kind::ALL.len() * spec.depth());
    for &layer in &order {
        let heads = layers.heads(layer)?;
        let (name, shape) = Kind::Head.of(&spec, layer);
        add(&mut hasher, &name, &shape, head(&spec, heads.iter()));
    }
    for &layer in &order {
        let shards = layers.layer(layer)?;
        let (name, shape) = Kind::Bias.of(&spec, layer);
        add(&mut hasher, &name, &shape, bias(&shards));
        let (name, shape) = Kind::Weight.of(&spec, layer);
        add(&mut hasher, &name, &shape, weight(&shards));
    }
    Ok(hasher.finalize())
}

/// The values of a layer's weights, from its shards.
fn weight(shards: &[ShardState]) -> impl Iterator<Item = f32> {
    shards.iter().flat_map(|shard| shard.weights.value.t()).copied()
}

/// The values of a layer's bias, from its shards.
fn bias(shards: &[ShardState]) -> impl Iterator<Item = f32> {
    shards.iter().flat_map(|shard| &shard.bias.value).copied()
}

/// The values of a layer's head, from those of its shards.
fn head<'a>(
    spec: &NetworkSpec,
    heads: impl Iterator<Item = &'a Array2<f32>> + Clone,
) -> impl Iterator<Item = f32> {
    let count = spec.shards_per_layer as f32;
    let of_class = move |class| heads.clone().flat_map(move |head| head.column(class));
    (0..spec.classes).flat_map(of_class).map(move |x| x / count)
}

fn tensor(spec: &NetworkSpec, layer: usize, shards: &[ShardState], kind: Kind) -> Tensor {
    let (name, shape) = kind.of(spec, layer);
    let data = match kind {
        Kind::Weight => weight(shards).collect(),
        Kind::Bias => bias(shards).collect(),
        Kind::Head => head(spec, shards.iter().map(|shard| &shard.head.value)).collect(),
    };
    Tensor { name, shape, data }
}

impl Network {
    /// The model: for each layer l `layers.l.weight` (out x in; label slots before pixels), `layers.l.bias` (out) and
    /// `heads.l.weight` (classes x out), shards side by side along `out`. A head is divided by the
    /// number of shards, so that one product with the whole layer's outputs gives the mean.
    #[must_use]
    pub fn tensors(&self) -> Vec<Tensor> {
        let of_layer = |(layer, shards): (usize, &[ShardState])| {
            Kind::ALL.map(|kind| tensor(self.spec(), layer, shards, kind))
        };
        self.shards().chunks(self.spec().shards_per_layer).enumerate().flat_map(of_layer).collect()
    }

    /// The hash of the model: [`hash_layers`] of it.
    #[must_use]
    pub fn model_hash(&self) -> blake3::Hash {
        let Ok(hash) = hash_layers(&mut &*self);
        hash
    }

    /// A network that classifies as the model says. What training left behind starts again.
    ///
    /// # Errors
    /// If the spec is wrong, or a tensor is missing, mis-shaped or not finite.
    pub fn from_tensors(spec: NetworkSpec, tensors: &[Tensor]) -> Result<Self, NetworkError> {
        spec.check()?;
        let mut shards = Vec::with_capacity(spec.shards().len());
        for layer in 0..spec.depth() {
            let [weight, bias, head] = Kind::ALL.map(|kind| {
                let (name, shape) = kind.of(&spec, layer);
                find(tensors, &name, &shape)
            });
            let (weight, bias, head) = (weight?, bias?, head?);
            let inputs = spec.input_width(Shard { layer, index: 0 });
            let outputs = spec.layers[layer + 1];
            for index in 0..spec.shards_per_layer {
                let width = spec.width(Shard { layer, index });
                let unit = |k: usize| index * width + k;
                shards.push(ShardState::new(
                    Array2::from_shape_fn((inputs, width), |(i, k)| weight[unit(k) * inputs + i]),
                    Array2::from_shape_fn((1, width), |(_, k)| bias[unit(k)]),
                    Array2::from_shape_fn((width, spec.classes), |(k, class)| {
                        head[class * outputs + unit(k)] * spec.shards_per_layer as f32
                    }),
                ));
            }
        }
        Self::from_shards(spec, shards)
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
