//! The spec of a run: everything that determines its mathematics, and the run's name.
//!
//! Rule: there are two ways to a spec, and both check everything. [`Spec::builder`] fills in the
//! defaults and checks the settings against a data set; [`Spec::from_canonical`] takes the bytes of a
//! stranger, within the same bounds, before anything is allocated for it.

mod bounds;
mod branches;
mod build;
mod builder;
mod canonical;
mod checked;
mod choices;
mod defaults;
mod error;
mod form;
mod length;
mod network;
mod private;
mod settings;
#[cfg(test)]
mod tests;

pub(crate) use bounds::MAX_SPEC_BYTES;
pub use builder::SpecBuilder;
pub(crate) use builder::widths;
pub use canonical::Spec;
pub use checked::Checked;
pub use choices::{ActivationKind, Classifier, Placement};
pub use error::{ForeignSpecError, Problem, SpecError, UnfitError};
pub use form::SampleForm;
pub(crate) use settings::{Setting, data_setting, settings, typed_settings};
