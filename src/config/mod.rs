//! A spec as flags or as a TOML file: the command line's way to [`SpecBuilder`].
//!
//! Rule: nothing is checked and no default is known here; that is the builder's.

mod choices;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use crate::{
    data::{Data, DataError},
    ff::{Delta, Encoding, LabelEmbedding, Negatives, Objective, Optimizer},
    spec::{ActivationKind, Checked, Classifier, Placement, SpecBuilder, SpecError},
    text::shown_path,
};
use choices::choice;

/// The name of the default data set.
const DEFAULT_DATA: &str = "digits";

/// The reason why flags and file give no spec.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecArgsError {
    /// The data set cannot be opened.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A setting is wrong.
    #[error("--{}{}{}: {}", .0.setting.replace('_', "-"), if .0.value.is_empty() { "" } else { " " }, .0.value, .0.problem)]
    Spec(SpecError),
    /// The spec file cannot be used.
    #[error("{}: {reason}", shown_path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
}

/// The spec as flags or as a TOML file, unchecked. What is not given takes its default.
#[derive(Args, Clone, Debug, Default, Deserialize)]
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
    /// Parts of a chapter that are trained from the same state and averaged, by as many machines at
    /// once [default: 4 with the softmax objective and the all-layers placement; otherwise 1]
    #[arg(long, value_name = "M")]
    pub branches: Option<u16>,
    /// Encoding of what a chapter changes: one byte a number (u8), half a byte (u4), or as it is
    /// [default: u8; f32 with the federated placement, and with refreshed activations]
    #[arg(long, value_name = "TYPE", value_parser = choice::<Delta>())]
    pub delta: Option<Delta>,
    /// Steps of an epoch, with the federated placement only [default: 600]
    #[arg(long, value_name = "N")]
    pub epoch_steps: Option<u64>,
    /// Number of classes, where the data lack the last ones [default: those of the data]
    #[arg(long, value_name = "N")]
    pub classes: Option<usize>,
    /// Rule by which tasks go to peers; federated is for private data, which never leave their peer
    /// [default: all-layers]
    #[arg(long, value_name = "RULE", value_parser = choice::<Placement>())]
    pub placement: Option<Placement>,
    /// What a layer is trained for [default: goodness]
    #[arg(long, value_name = "NAME", value_parser = choice::<Objective>())]
    pub objective: Option<Objective>,
    /// Source of wrong labels [default: random; none with the softmax objective]
    #[arg(long, value_name = "NAME", value_parser = choice::<Negatives>())]
    pub negatives: Option<Negatives>,
    /// Classifier whose answer comes first [default: softmax]
    #[arg(long, value_name = "NAME", value_parser = choice::<Classifier>())]
    pub classifier: Option<Classifier>,
    /// Activations that layers output: those of the training pass, or computed again after each
    /// chapter [default: online; refreshed with the federated placement]
    #[arg(long, value_name = "NAME", value_parser = choice::<ActivationKind>())]
    pub activations: Option<ActivationKind>,
    /// Encoding of activations between layers; u4 (half a byte) where bandwidth is scarce
    /// [default: u8]
    #[arg(long, value_name = "TYPE", value_parser = choice::<Encoding>())]
    pub wire: Option<Encoding>,
    /// Rule by which gradients change weights; sgd is a smoothed gradient [default: sgd]
    #[arg(long, value_name = "NAME", value_parser = choice::<Optimizer>())]
    pub optimizer: Option<Optimizer>,
    /// Learning rate of the layers [default: follows objective and optimizer; with the softmax
    /// objective times the root of the number of branches]
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
    /// Strength of peer normalisation [default: 0.03; 0 with the softmax objective]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub peer_normalization: Option<f32>,
    /// Share of a layer's units that each training pass leaves out [default: 0]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub dropout: Option<f32>,
    /// Divisor of predictions before adaptive negatives are drawn from them; the higher, the nearer
    /// to random ones [default: 1]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub negative_temperature: Option<f32>,
    /// How labels enter the input: over the first pixels, or appended to the pixels
    /// [default: overlay; none with the softmax objective]
    #[arg(long, value_name = "NAME", value_parser = choice::<LabelEmbedding>())]
    pub label_embedding: Option<LabelEmbedding>,
    /// Value of a label's slot, in units of a pixel [default: 1; 0 with the softmax objective]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub label_strength: Option<f32>,
    /// Shift each image by up to N pixels each way, drawn again every epoch [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub shift: Option<usize>,
    /// Mirror half of the images left to right, drawn again every epoch [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub flip: Option<bool>,
    /// Take each image as its differences from its mean, in units of their root mean square
    /// [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub contrast_normalization: Option<bool>,
    /// Shards of a layer, each with a goodness of its own [default: 1]
    #[arg(long, value_name = "N")]
    pub shards: Option<usize>,
    /// Seed of every random number [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,
}

/// The settings that flags and file give, and the name of the data set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    /// The data set, as it is typed; the default one if it is not given.
    pub data: Option<String>,
    /// Everything else.
    pub settings: SpecBuilder,
}

impl SpecArgs {
    /// Reads the spec file, if there is one, below the flags.
    ///
    /// # Errors
    /// If the file cannot be read or has something unknown in it.
    pub fn read(mut self) -> Result<Given, SpecArgsError> {
        let below = match self.spec.take() {
            Some(path) => read_toml(&path)?.given(),
            None => Given::default(),
        };
        let own = self.given();
        Ok(Given { data: own.data.or(below.data), settings: own.settings.or(below.settings) })
    }

    /// Opens the data set and builds the spec.
    ///
    /// # Errors
    /// The first thing that is wrong, with what would be right.
    pub fn check(self) -> Result<Checked, SpecArgsError> {
        self.read()?.check()
    }

    /// The flags that are given here, the file aside, in alphabetical order.
    #[must_use]
    pub fn to_flags(&self) -> Vec<String> {
        self.clone().given().to_flags()
    }

    /// The settings given here, the file aside.
    fn given(self) -> Given {
        let settings = SpecBuilder {
            layers: self.layers,
            epochs: self.epochs,
            batch_size: self.batch_size,
            chapter_steps: self.chapter_steps,
            branches: self.branches,
            delta: self.delta,
            epoch_steps: self.epoch_steps,
            classes: self.classes,
            placement: self.placement,
            objective: self.objective,
            negatives: self.negatives,
            classifier: self.classifier,
            activations: self.activations,
            wire: self.wire,
            optimizer: self.optimizer,
            lr: self.lr,
            head_lr: self.head_lr,
            weight_decay: self.weight_decay,
            head_weight_decay: self.head_weight_decay,
            peer_normalization: self.peer_normalization,
            dropout: self.dropout,
            negative_temperature: self.negative_temperature,
            label_embedding: self.label_embedding,
            label_strength: self.label_strength,
            shift: self.shift,
            flip: self.flip,
            contrast_normalization: self.contrast_normalization,
            shards: self.shards,
            seed: self.seed,
        };
        Given { data: self.data, settings }
    }
}

impl Given {
    /// Opens the data set and builds the spec.
    ///
    /// # Errors
    /// The first thing that is wrong, with what would be right.
    pub fn check(&self) -> Result<Checked, SpecArgsError> {
        let name = self.data.as_deref().unwrap_or(DEFAULT_DATA);
        self.settings.check(Data::open(name)?).map_err(SpecArgsError::Spec)
    }

    /// The same as flags for another process.
    #[must_use]
    pub fn to_flags(&self) -> Vec<String> {
        let data = self.data.iter().flat_map(|data| ["--data".to_owned(), data.clone()]);
        data.chain(self.settings.to_flags()).collect()
    }
}

fn read_toml(path: &Path) -> Result<SpecArgs, SpecArgsError> {
    let error = |reason: String| SpecArgsError::File { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| error(e.to_string()))?;
    toml::from_str(&text).map_err(|e| error(e.to_string().trim().replace('\n', " ")))
}
