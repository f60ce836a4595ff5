//! The trained network as one thing: assembled from shards, scored, written, read.
//!
//! Rule: a model is complete or it is an error that names the shard that is missing; its hash is
//! that of its tensors, wherever it is computed.

use std::{collections::BTreeMap, fs, path::Path};

use ::safetensors::SafeTensors;
use bytes::Bytes;
use ffp2p_proto::{Hash, Score, ShardId, Span};
use serde::Serialize;

use crate::{
    atomic_file,
    checkpoint::encoded_len,
    data::{Data, gather},
    ff::{self, Evaluation, Layers, Network, NetworkError, Objective, Workers, model_hash},
    spec::{ForeignSpecError, MAX_SPEC_BYTES, Spec},
};

mod labels;
mod safetensors;
mod stored;

pub use self::labels::MismatchError;
use self::labels::labels_in;
use self::safetensors::{from_safetensors, to_safetensors};
pub(crate) use self::stored::Stored;

/// Test samples looked at after an epoch; the last epoch looks at all of them.
const PROGRESS_SAMPLES: usize = 2_000;

/// Test samples in memory as floating point at once.
const BLOCK: usize = 1_000;

/// The largest model file that is read, bytes.
const MAX_MODEL_BYTES: u64 = 8 << 30;

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A shard's last checkpoint is not there.
    #[error(
        "shard {shard} (layer {layer}, part {index}) is missing: its last chapter is not trained yet \
         or nobody here holds it; let the run finish"
    )]
    Missing {
        /// The shard.
        shard: u16,
        /// Its layer.
        layer: usize,
        /// Its place in the layer.
        index: usize,
    },
    /// A shard's bytes are not what the spec asks for.
    #[error("shard {shard}: {reason}")]
    Shard {
        /// The shard.
        shard: u16,
        /// What is wrong.
        reason: String,
    },
    /// The shards do not make a network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a model of this program.
    #[error("{path}: not a model written by ffp2p: {reason}")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The file's spec is not one that this program runs.
    #[error(transparent)]
    Spec(#[from] ForeignSpecError),
    /// The file says it has another hash than it has.
    #[error("{path}: the tensors have hash {found}, the file says {said}; it is damaged")]
    Hash {
        /// The file.
        path: String,
        /// Computed.
        found: String,
        /// In the metadata.
        said: String,
    },
}

/// How long the file of a run's model gets, in bytes; a little less is possible.
pub(crate) fn model_size(spec: &Spec) -> u64 {
    let network = &spec.network;
    let shards = network.shards();
    let tensors = shards.iter().map(|shard| encoded_len(network, *shard, network.steps) as u64);
    tensors.sum::<u64>() + MAX_SPEC_BYTES as u64
}

/// What to type for the model of a run that is kept: in the folder that the user named, or where runs
/// are if nothing is said.
pub(crate) fn how_to_take(spec: &Spec, named: Option<&str>) -> String {
    let from = named.map_or_else(
        || format!("--run {}", spec.run_id().short()),
        |folder| format!("--store {}", quoted(folder)),
    );
    format!("to take it: ffp2p export {from} --out model.safetensors")
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if path.chars().all(is_plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

/// A trained network with its spec.
#[derive(Debug)]
pub struct Model {
    /// What it was trained by.
    pub spec: Spec,
    /// What answers.
    pub network: Network,
    /// Who trained which chapters.
    pub ledger: Vec<Span>,
}

/// One line of the record of who trained what.
#[derive(Serialize)]
struct Trained {
    shard: u16,
    first_chapter: u64,
    last_chapter: u64,
    peer: String,
}

impl Model {
    /// Assembles the shards' last checkpoints; `get` gives each shard's bytes.
    ///
    /// # Errors
    /// If a shard is missing or is not what the spec asks for.
    pub fn assemble(
        spec: &Spec,
        ledger: Vec<Span>,
        get: impl FnMut(ShardId) -> Option<Bytes>,
    ) -> Result<Self, ModelError> {
        let mut stored = Stored::new(spec, get);
        let mut shards = Vec::new();
        for layer in 0..spec.network.depth() {
            shards.extend(stored.layer(layer)?.into_owned());
        }
        let network = Network::from_shards(spec.network.clone(), shards)?;
        Ok(Self { spec: spec.clone(), network, ledger })
    }

    /// BLAKE3 of the tensors.
    pub fn hash(&self) -> Hash {
        Hash(*self.network.model_hash().as_bytes())
    }

    /// Scores the classifiers on the test samples of `data`, whose labels stand for the classes of
    /// the same names.
    ///
    /// # Errors
    /// If its images are not like those that the model was trained on, or a class is unknown to it.
    pub fn evaluate(
        &self,
        data: &Data,
        workers: &dyn Workers,
    ) -> Result<Evaluation, MismatchError> {
        let labels = labels_in(&self.spec, data)?;
        let Ok(found) = evaluate(&mut &self.network, data, &labels, usize::MAX, workers);
        Ok(found)
    }

    /// Writes the model as a safetensors file, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        let tensors = self.network.tensors();
        let hash = model_hash(&tensors);
        let bytes = to_safetensors(&tensors, &self.metadata(&hash.to_string()))
            .map_err(|reason| ModelError::File { path: path.display().to_string(), reason })?;
        atomic_file::replace(path, &bytes)
            .map_err(|source| ModelError::Io { path: path.display().to_string(), source })
    }

    /// What the file says of the model: nothing that two peers with the same model could see
    /// differently, so that equal models are equal files.
    fn metadata(&self, hash: &str) -> BTreeMap<String, String> {
        let spec = String::from_utf8_lossy(&self.spec.canonical()).into_owned();
        let form = &self.spec.form;
        let names = form.names(self.spec.network.classes);
        let entries = [
            ("format", "pt".to_owned()),
            ("ffp2p.spec", spec),
            ("ffp2p.run", self.spec.run_id().to_string()),
            ("ffp2p.model", hash.to_owned()),
            ("ffp2p.image", format!("{}x{}x{}", form.channels, form.height, form.width)),
            ("ffp2p.classes", serde_json::to_string(&names).unwrap_or_default()),
        ];
        entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Writes who trained which chapters, as far as it is known here, as JSON.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_trained_by(&self, path: &Path) -> Result<(), ModelError> {
        let trained: Vec<Trained> = self
            .ledger
            .iter()
            .map(|span| Trained {
                shard: span.shard.0,
                first_chapter: span.first,
                last_chapter: span.last,
                peer: span.by.to_hex(),
            })
            .collect();
        let text = serde_json::to_string(&trained).unwrap_or_else(|_| "[]".to_owned());
        atomic_file::replace(path, text.as_bytes())
            .map_err(|source| ModelError::Io { path: path.display().to_string(), source })
    }

    /// Reads a model that [`Model::save`] wrote, and checks its hash.
    ///
    /// # Errors
    /// If the file is not such a model, or is damaged.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        let io = |source| ModelError::Io { path: name.clone(), source };
        let wrong = |reason: String| ModelError::File { path: name.clone(), reason };
        let found = fs::metadata(path).map_err(io)?;
        if !found.is_file() {
            return Err(wrong("it is not a file".to_owned()));
        }
        let length = found.len();
        if length > MAX_MODEL_BYTES {
            return Err(wrong(format!("{length} bytes are more than {MAX_MODEL_BYTES}")));
        }
        let bytes =
            fs::read(path).map_err(|source| ModelError::Io { path: name.clone(), source })?;
        let (_, header) =
            SafeTensors::read_metadata(&bytes).map_err(|error| wrong(error.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let entry = |key: &str| {
            metadata.get(key).ok_or_else(|| wrong(format!("its metadata have no {key}")))
        };
        let spec = Spec::from_canonical(entry("ffp2p.spec")?.as_bytes())?;
        let said = entry("ffp2p.model")?.clone();
        let file = SafeTensors::deserialize(&bytes).map_err(|error| wrong(error.to_string()))?;
        let tensors = from_safetensors(&file).map_err(wrong)?;
        let found = model_hash(&tensors).to_string();
        if found != said {
            return Err(ModelError::Hash { path: name, found, said });
        }
        let network = Network::from_tensors(spec.network.clone(), &tensors)?;
        Ok(Self { spec, network, ledger: Vec::new() })
    }
}

/// Scores a network at the end of `epoch`, on a part of the test set; after the last epoch, on all.
///
/// # Errors
/// If a layer cannot be had.
pub(crate) fn score<L: Layers>(
    layers: &mut L,
    spec: &Spec,
    data: &Data,
    epoch: u64,
    workers: &dyn Workers,
) -> Result<Score, L::Error> {
    let found = evaluate(layers, data, data.test_labels(), scored_samples(spec, epoch), workers)?;
    Ok(Score {
        epoch,
        samples: found.samples,
        softmax_correct: found.softmax_correct,
        other_correct: other_correct(spec, &found),
    })
}

/// How many test samples are looked at after an epoch, if there are so many.
pub(crate) fn scored_samples(spec: &Spec, epoch: u64) -> usize {
    if epoch == spec.epochs { usize::MAX } else { PROGRESS_SAMPLES }
}

/// Right answers of the classifier beside softmax: goodness, or the last layer alone where the
/// objective has no goodness to compare.
#[must_use]
pub fn other_correct(spec: &Spec, found: &Evaluation) -> u32 {
    match spec.network.objective {
        Objective::Goodness => found.goodness_correct,
        Objective::Softmax => found.layers_correct.last().copied().unwrap_or(0),
    }
}

/// Scores a network on the first `samples` test samples of `data`, of which these are the labels.
fn evaluate<L: Layers>(
    layers: &mut L,
    data: &Data,
    labels: &[u8],
    samples: usize,
    workers: &dyn Workers,
) -> Result<Evaluation, L::Error> {
    let (images, _) = data.test(workers.count());
    let count = samples.min(labels.len());
    let mut total = Evaluation::default();
    for start in (0..count).step_by(BLOCK) {
        let end = (start + BLOCK).min(count);
        let samples: Vec<u32> = (start as u32..end as u32).collect();
        let pixels = gather(images, &samples);
        total = total.and(&ff::evaluate(layers, &pixels, &labels[start..end], workers)?);
    }
    Ok(total)
}
