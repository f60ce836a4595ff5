//! The form of a sample: what its image looks like and what its label means.
//!
//! Rule: it holds nothing of a sample's content, so that it may be told where data are private.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{data::Data, ff::NetworkSpec};

/// The form of the samples of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleForm {
    /// Planes of an image: 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// Rows of an image, pixels.
    pub height: usize,
    /// Columns of an image, pixels.
    pub width: usize,
    /// Names of the classes, by label; empty where they go by their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
}

impl SampleForm {
    /// The form of a data set.
    pub(crate) fn of(data: &Data) -> Self {
        let shape = data.shape();
        let is_numbered = data.names().iter().enumerate().all(|(i, name)| *name == i.to_string());
        let classes = if is_numbered { Vec::new() } else { data.names().to_vec() };
        let (channels, height, width) = (shape.channels, shape.height, shape.columns());
        Self { channels, height, width, classes }
    }

    /// The names of `count` classes, by label; a class without a name goes by its number.
    #[must_use]
    pub fn names(&self, count: usize) -> Vec<String> {
        let number = |label: usize| label.to_string();
        let name = |label| self.classes.get(label).cloned().unwrap_or_else(|| number(label));
        (0..count).map(name).collect()
    }

    /// Whether such samples fit the network's input and number of classes.
    pub(super) fn fits(&self, network: &NetworkSpec) -> bool {
        let pixels = self.height.checked_mul(self.width).and_then(|n| n.checked_mul(self.channels));
        let mut names: Vec<_> = self.classes.iter().filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        pixels.is_some_and(|pixels| network.layers.first() == Some(&pixels))
            && names.len() == self.classes.len()
            && names.len() <= network.classes
    }
}

impl fmt::Display for SampleForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.channels == 1 { "grey" } else { "RGB" };
        write!(f, "{} x {} {kind}", self.width, self.height)
    }
}
