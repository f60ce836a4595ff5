//! From what a person asks for to a checked spec.
//!
//! Rule: [`SpecArgs::check`] is the only door. Behind it every number is in range, the data set
//! exists and fits the layers, and equal specs have equal canonical bytes, hence equal run ids.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    data::{Data, DataError, Source},
    ff::{NetworkSpec, SpecError},
    spec::{Classifier, MAX_SPEC_BYTES, Placement, SPEC_FORMAT, SampleForm, Spec},
    text::shown_path,
};
use length::Length;

pub(crate) mod flags;
mod length;
mod network;
mod private;
#[cfg(test)]
mod tests;

/// The widths of the default run behind its input, which is as wide as the data.
const USUAL_LAYERS: [usize; 4] = [500; 4];

/// Samples of a step of the default run.
const USUAL_BATCH: usize = 100;

/// Why a spec was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecArgsError {
    /// The data set cannot be opened.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network cannot be trained.
    #[error("{0}")]
    Network(#[from] SpecError),
    /// A value that a flag does not have.
    #[error("--{}{space}{value}: {reason}", flag.replace('_', "-"), space = if value.is_empty() { "" } else { " " })]
    Value {
        /// The flag, without dashes.
        flag: &'static str,
        /// What was given.
        value: String,
        /// What is possible.
        reason: String,
    },
    /// The spec file cannot be used.
    #[error("{}: {reason}", shown_path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The spec as flags or as a TOML file, unchecked. What is not given takes its default.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[command(next_help_heading = "Spec (equal specs are the same run)")]
pub struct SpecArgs {
    /// Read the spec from a TOML file; flags override it
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub spec: Option<PathBuf>,
    /// Data set: digits, digits:TRAIN+TEST, mnist:DIR, cifar10:DIR, folder:PATH (a folder, .tar
    /// or .tar.gz of train/CLASS/*.png or *.jpg and test/...) or npz:FILE [default: digits]
    #[arg(long, value_name = "SET")]
    pub data: Option<String>,
    /// Widths, the input's first [default: the data set's width, then 500,500,500,500]
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', action = clap::ArgAction::Set)]
    pub layers: Option<Vec<usize>>,
    /// Passes over the training set [default: 8]
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,
    /// Samples of a step [default: 100]
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Steps between checkpoints [default: the largest divisor of an epoch up to 20000 samples]
    #[arg(long, value_name = "N")]
    pub chapter_steps: Option<u64>,
    /// Steps after which all peers count an epoch, with the federated placement [default: 600]
    #[arg(long, value_name = "N")]
    pub epoch_steps: Option<u64>,
    /// Classes there are, where the data has none of the last [default: those of the data]
    #[arg(long, value_name = "N")]
    pub classes: Option<usize>,
    /// How cells go to peers: single-layer, all-layers, federated (each peer on data of its own,
    /// which never leaves it) or sequential [default: single-layer]
    #[arg(long, value_name = "RULE")]
    pub placement: Option<String>,
    /// What a layer is trained for: goodness or softmax [default: goodness]
    #[arg(long, value_name = "NAME")]
    pub objective: Option<String>,
    /// Wrong labels: adaptive, random or fixed [default: random; none with the softmax objective]
    #[arg(long, value_name = "NAME")]
    pub negatives: Option<String>,
    /// Whose answer leads: softmax or goodness [default: softmax]
    #[arg(long, value_name = "NAME")]
    pub classifier: Option<String>,
    /// What is handed on: online (outputs of the training pass) or refreshed (made anew after each
    /// chapter) [default: online; refreshed with the federated placement]
    #[arg(long, value_name = "NAME")]
    pub activations: Option<String>,
    /// Activations between layers: u8, u4 (half a byte, where bandwidth is scarce) or f32
    /// [default: u8]
    #[arg(long, value_name = "TYPE")]
    pub wire: Option<String>,
    /// sgd (smoothed gradient) or adam [default: sgd]
    #[arg(long, value_name = "NAME")]
    pub optimizer: Option<String>,
    /// Learning rate of the layers [default: follows objective and optimizer]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub lr: Option<f32>,
    /// Learning rate of the heads [default: follows objective and optimizer]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub head_lr: Option<f32>,
    /// Weight decay of the layers [default: follows objective and optimizer]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub weight_decay: Option<f32>,
    /// Weight decay of the heads [default: follows objective and optimizer]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub head_weight_decay: Option<f32>,
    /// Strength of peer normalisation [default: 0.03]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub peer_normalization: Option<f32>,
    /// Share of a layer's units that each training pass leaves out [default: 0]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub dropout: Option<f32>,
    /// What predictions are divided by before adaptive negatives are drawn from them: the higher,
    /// the nearer to random ones [default: 1]
    #[arg(long, value_name = "T", allow_negative_numbers = true, verbatim_doc_comment)]
    pub negative_temperature: Option<f32>,
    /// Labels in the input: overlay (over the first pixels) or append (beside the pixels)
    /// [default: overlay; none with the softmax objective]
    #[arg(long, value_name = "NAME", verbatim_doc_comment)]
    pub label_embedding: Option<String>,
    /// Value of a label's slot, in units of a pixel [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub label_strength: Option<f32>,
    /// Shift each image by up to so many pixels each way, anew every epoch [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub shift: Option<usize>,
    /// Mirror half of the images left to right, anew every epoch [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub flip: Option<bool>,
    /// Take each image as its differences from its mean, in units of their root mean square
    /// [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", verbatim_doc_comment)]
    pub contrast_normalization: Option<bool>,
    /// Shards per layer, each with its own goodness [default: 1]
    #[arg(long, value_name = "N")]
    pub shards: Option<usize>,
    /// The seed of every random number [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,
}

/// A checked spec with its open data set.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What determines the run.
    pub spec: Spec,
    /// Where its samples come from.
    pub data: Data,
}

impl SpecArgs {
    /// Opens the data set, fills in the defaults, and checks everything.
    ///
    /// # Errors
    /// The first thing that is wrong, with what would be right.
    pub fn check(self) -> Result<Checked, SpecArgsError> {
        let args = self.with_file()?;
        let source: Source = args.data.as_deref().unwrap_or("digits").parse()?;
        let data = source.open()?;
        let spec = args.spec_for(&data)?;
        Ok(Checked { spec, data })
    }

    /// The flags over what the spec file says.
    ///
    /// # Errors
    /// If the file cannot be read or says something unknown.
    pub fn with_file(mut self) -> Result<Self, SpecArgsError> {
        let Some(path) = self.spec.take() else { return Ok(self) };
        let file = read_toml(&path)?;
        macro_rules! over {
            ($($field:ident),*) => { Self { spec: None, $($field: self.$field.or(file.$field)),* } };
        }
        Ok(over!(
            data,
            layers,
            epochs,
            batch_size,
            chapter_steps,
            epoch_steps,
            classes,
            placement,
            objective,
            negatives,
            classifier,
            activations,
            wire,
            optimizer,
            lr,
            head_lr,
            weight_decay,
            head_weight_decay,
            peer_normalization,
            dropout,
            label_embedding,
            label_strength,
            shift,
            flip,
            contrast_normalization,
            negative_temperature,
            shards,
            seed
        ))
    }

    /// The same spec as flags for another process.
    pub fn to_flags(&self) -> Vec<String> {
        let pairs = self.pairs().into_iter();
        pairs.flat_map(|(flag, value)| [format!("--{flag}"), value]).collect()
    }

    /// The flags that are given, by name, each with its value as it is typed.
    fn pairs(&self) -> Vec<(String, String)> {
        let Ok(serde_json::Value::Object(flags)) = serde_json::to_value(self) else {
            return Vec::new();
        };
        let text = |value: &serde_json::Value| match (value.as_str(), value.as_f64()) {
            (Some(text), _) => text.to_owned(),
            // A flag's fractions are f32: as such they are short.
            (None, Some(number)) if value.is_f64() => (number as f32).to_string(),
            (None, _) => value.to_string(),
        };
        let typed = |value: &serde_json::Value| match value.as_array() {
            Some(list) => list.iter().map(text).collect::<Vec<_>>().join(","),
            None => text(value),
        };
        let given = flags.iter().filter(|(_, value)| !value.is_null());
        given.map(|(flag, value)| (flag.clone(), typed(value))).collect()
    }

    fn spec_for(&self, data: &Data) -> Result<Spec, SpecArgsError> {
        let shape = data.shape();
        let usual = || [&[shape.width], &USUAL_LAYERS[..]].concat();
        let layers = self.layers.clone().unwrap_or_else(usual);
        let placement = named("placement", &self.placement, "single-layer")?;
        let batch_size = self.batch_size.unwrap_or(USUAL_BATCH);
        let Length { epochs, steps_per_epoch, chapter_steps } =
            self.length(placement, shape.train, batch_size)?;
        let classes = self.classes_of(&shape)?;
        let network = NetworkSpec {
            batch_size,
            steps: epochs.saturating_mul(steps_per_epoch),
            steps_per_epoch,
            ..self.network_for(layers, classes)?
        };
        self.check_network(&network, data)?;
        let classifier: Classifier = named("classifier", &self.classifier, "softmax")?;
        if !classifier.suits(network.objective) {
            let reason = "the softmax objective has no goodness classifier; leave it out";
            return Err(value("classifier", "goodness", reason.to_owned()));
        }
        let form = SampleForm::of(data);
        let (data, activations) = if placement == Placement::Federated {
            self.private(&network, data)?
        } else {
            (data.id().to_owned(), named("activations", &self.activations, "online")?)
        };
        let spec = Spec {
            format: SPEC_FORMAT,
            data,
            form,
            placement,
            activations,
            classifier,
            epochs,
            chapter_steps,
            network,
        };
        if spec.canonical().len() > MAX_SPEC_BYTES {
            let reason = "the names of its classes are too long; rename the folders";
            return Err(value("data", self.data.as_deref().unwrap_or("digits"), reason.to_owned()));
        }
        Ok(spec)
    }
}

fn value(flag: &'static str, value: impl ToString, reason: String) -> SpecArgsError {
    SpecArgsError::Value { flag, value: value.to_string(), reason }
}

/// The value that `text` names, or what could have been named.
fn named<T: DeserializeOwned>(
    flag: &'static str,
    text: &Option<String>,
    usual: &str,
) -> Result<T, SpecArgsError> {
    parsed(flag, text.as_deref().unwrap_or(usual))
}

/// As [`named`], where there is no usual value.
fn given<T: DeserializeOwned>(
    flag: &'static str,
    text: &Option<String>,
) -> Result<Option<T>, SpecArgsError> {
    text.as_deref().map(|text| parsed(flag, text)).transpose()
}

fn parsed<T: DeserializeOwned>(flag: &'static str, text: &str) -> Result<T, SpecArgsError> {
    let json = serde_json::Value::String(text.to_owned());
    serde_json::from_value(json).map_err(|error| value(flag, text, error.to_string()))
}

fn read_toml(path: &Path) -> Result<SpecArgs, SpecArgsError> {
    let error = |reason: String| SpecArgsError::File { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| error(e.to_string()))?;
    toml::from_str(&text).map_err(|e| error(e.to_string().trim().replace('\n', " ")))
}
