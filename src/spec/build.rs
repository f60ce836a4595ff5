//! From settings to a checked spec.
//!
//! Rule: behind this every number is in range and the data set fits the layers.

use super::{
    bounds::{MAX_SPEC_BYTES, SPEC_FORMAT},
    branches,
    builder::SpecBuilder,
    canonical::Spec,
    checked::Checked,
    choices::{Placement, name},
    defaults,
    error::{Problem, SpecError},
    form::SampleForm,
    length::length,
    network, private,
};
use crate::{data::Data, ff::NetworkSpec};

impl SpecBuilder {
    /// Fills in the defaults, and checks everything against the data set.
    ///
    /// # Errors
    /// The first setting that is wrong, with what would be right.
    pub fn build(&self, data: &Data) -> Result<Spec, SpecError> {
        let shape = data.shape();
        let placement = self.placement.unwrap_or(defaults::PLACEMENT);
        let classes = network::classes(self, &shape)?;
        let network = network::with_defaults(self, shape.width, classes);
        let length = length(self, placement, shape.train, network.batch_size)?;
        let activations = self.activations.unwrap_or(defaults::activations(placement));
        let rules = (placement, activations);
        let network = network::with_branches(self, network, rules, length.chapter_steps);
        let network = NetworkSpec {
            steps: length.epochs.saturating_mul(length.steps_per_epoch),
            steps_per_epoch: length.steps_per_epoch,
            ..network
        };
        network::check(self, &network, data)?;
        branches::check(&network, rules, length.chapter_steps)?;
        let classifier = self.classifier.unwrap_or(defaults::CLASSIFIER);
        if !classifier.suits(network.objective) {
            return Err(SpecError::new("classifier", name(&classifier), Problem::NoGoodness));
        }
        let id = if placement == Placement::Federated {
            private::check(&network, activations)?;
            data.form(network.classes)
        } else {
            data.id().to_owned()
        };
        let spec = Spec {
            format: SPEC_FORMAT,
            data: id,
            form: SampleForm::of(data),
            placement,
            activations,
            classifier,
            epochs: length.epochs,
            chapter_steps: length.chapter_steps,
            network,
        };
        if spec.canonical().len() > MAX_SPEC_BYTES {
            return Err(SpecError::new("data", data.id(), Problem::ClassNames));
        }
        Ok(spec)
    }

    /// As [`SpecBuilder::build`], and keeps the data set with the spec.
    ///
    /// # Errors
    /// As [`SpecBuilder::build`].
    pub fn check(&self, data: Data) -> Result<Checked, SpecError> {
        Ok(Checked { spec: self.build(&data)?, data })
    }
}
