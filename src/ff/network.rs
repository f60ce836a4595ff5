//! The whole network in one place: the sequential reference.
//!
//! The rule: a step of the network is a step of every row in order, with activations rounded
//! between layers exactly as the wire rounds them. Whatever peers do must equal this.

use super::activations::{Activations, FirstInput, concat_owned};
use super::check::SpecError;
use super::row::{RowState, StepReport};
use super::spec::{NetworkSpec, Row};
use super::wire::round;
use super::workers::Workers;

/// Every row of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    spec: NetworkSpec,
    rows: Vec<RowState>,
}

/// Why parts do not make a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The spec itself is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Too few or too many rows.
    #[error("the network has {expected} rows, not {found}")]
    Rows {
        /// Rows of the spec.
        expected: usize,
        /// Rows there are.
        found: usize,
    },
    /// A row of another shape.
    #[error("the row of layer {layer}, shard {shard} does not have the shape of the spec", layer = .0.layer, shard = .0.shard)]
    Shape(Row),
    /// A tensor is missing, or has another shape, or holds a number that is not finite.
    #[error("there is no tensor {name} of shape {shape:?} with finite values")]
    Tensor {
        /// Name looked for.
        name: String,
        /// Shape looked for.
        shape: Vec<usize>,
    },
}

impl Network {
    /// A network before its first step. The spec has to be one that passes its check.
    #[must_use]
    pub fn init(spec: NetworkSpec) -> Self {
        let rows = spec.rows().into_iter().map(|row| RowState::init(&spec, row)).collect();
        Self { spec, rows }
    }

    /// A network of rows trained elsewhere, in the order of [`NetworkSpec::rows`].
    ///
    /// # Errors
    /// If the spec is wrong, or the rows are not those of the spec.
    pub fn from_rows(spec: NetworkSpec, rows: Vec<RowState>) -> Result<Self, NetworkError> {
        spec.check()?;
        let expected = spec.rows();
        if rows.len() != expected.len() {
            return Err(NetworkError::Rows { expected: expected.len(), found: rows.len() });
        }
        match expected.iter().zip(&rows).find(|(row, state)| !state.fits(&spec, **row)) {
            Some((row, _)) => Err(NetworkError::Shape(*row)),
            None => Ok(Self { spec, rows }),
        }
    }

    /// What the network was made from.
    #[must_use]
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// Its rows, in the order of [`NetworkSpec::rows`].
    #[must_use]
    pub fn rows(&self) -> &[RowState] {
        &self.rows
    }

    /// Its rows, in the order of [`NetworkSpec::rows`].
    #[must_use]
    pub fn into_rows(self) -> Vec<RowState> {
        self.rows
    }

    /// One step of every row, from the first layer up; the reports are in row order.
    ///
    /// # Panics
    /// If the input does not have the spec's shapes, or a label is not below `classes`.
    pub fn train_step(&mut self, input: &FirstInput, workers: &dyn Workers) -> Vec<StepReport> {
        let spec = &self.spec;
        let mut reports = Vec::with_capacity(self.rows.len());
        let mut below: Option<Activations> = None;
        for (layer, rows) in self.rows.chunks_mut(spec.shards).enumerate() {
            let mut shards = Vec::with_capacity(rows.len());
            for (shard, state) in rows.iter_mut().enumerate() {
                let row = Row { layer, shard };
                let (mut handed_on, report) = match &below {
                    None => state.train_first(spec, row, input, workers),
                    Some(below) => state.train(spec, row, below, &input.labels, workers),
                };
                round(&mut handed_on, spec.wire);
                shards.push(handed_on);
                reports.push(report);
            }
            below = Some(concat_owned(shards));
        }
        reports
    }
}
