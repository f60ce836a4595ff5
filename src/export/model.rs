//! A trained network: assembled from shards, written, read and scored.
//!
//! Rule: a model is complete or it is an error; its hash is that of its tensors, wherever it is computed.

use std::{collections::BTreeMap, fs, path::Path};

use ::safetensors::SafeTensors;
use bytes::Bytes;
use ffp2p_proto::{Hash, ShardId, Span};
use serde::Serialize;

use super::{
    error::ModelError,
    labels::{MismatchError, labels_in},
    safetensors::{from_safetensors, to_safetensors},
    scoring::evaluate,
    stored::Stored,
};
use crate::{
    atomic_file,
    checkpoint::encoded_len,
    data::Data,
    ff::{Evaluation, Layers as _, Network, Workers, model_hash},
    spec::{MAX_SPEC_BYTES, Spec},
};

/// Length of a model file that is read, at most, bytes.
const MAX_MODEL_BYTES: u64 = 8 << 30;

/// Length of the file of a run's model, bytes; it may be a little shorter.
pub(crate) fn model_size(spec: &Spec) -> u64 {
    let network = &spec.network;
    let shards = network.shards();
    let tensors = shards.iter().map(|shard| encoded_len(network, *shard, network.steps) as u64);
    tensors.sum::<u64>() + MAX_SPEC_BYTES as u64
}

/// A trained network with its spec.
///
/// ```
/// use ffp2p::{data::Data, export::Model, pool::Pool, spec::Spec, train::{TrainOptions, train}};
///
/// let data = Data::open("digits:200+50")?;
/// let run = Spec::builder().layers([784, 32]).epochs(1).batch_size(20).check(data.clone())?;
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("model.safetensors");
/// let out = Some(file.clone());
/// train(&run, TrainOptions { out, ..TrainOptions::default() }, &mut |_: &_| ())?;
///
/// let model = Model::load(&file)?;
/// let score = model.evaluate(&data, &Pool::new(1))?;
/// assert_eq!(score.samples, 50);
/// println!("{} of 50 right, model {}", score.softmax_correct, model.hash());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Model {
    /// The spec of its run.
    pub spec: Spec,
    /// The network.
    pub network: Network,
    /// The trainers of the chapters, as far as they are known.
    pub provenance: Vec<Span>,
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
    pub(crate) fn assemble(
        spec: &Spec,
        provenance: Vec<Span>,
        get: impl FnMut(ShardId) -> Option<Bytes>,
    ) -> Result<Self, ModelError> {
        let mut stored = Stored::new(spec, get);
        let mut shards = Vec::new();
        for layer in 0..spec.network.depth() {
            shards.extend(stored.layer(layer)?.into_owned());
        }
        let network = Network::from_shards(spec.network.clone(), shards)?;
        Ok(Self { spec: spec.clone(), network, provenance })
    }

    /// BLAKE3 of the tensors.
    #[must_use]
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

    /// Writes the model as a safetensors file, completely or not at all.
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

    /// The metadata of the file: nothing in which two peers with the same model could differ, so that
    /// equal models are equal files.
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
    pub(crate) fn save_trained_by(&self, path: &Path) -> Result<(), ModelError> {
        let trained: Vec<Trained> = self
            .provenance
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
        Ok(Self { spec, network, provenance: Vec::new() })
    }
}
