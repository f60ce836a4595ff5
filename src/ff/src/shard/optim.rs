//! Parameters and how a gradient changes them.
//!
//! Rule: one pass over memory per tensor, element by element, so that a tensor may be cut
//! anywhere. Gradients are ascent directions, summed over the mini-batch.

use ndarray::Array2;

use crate::numerics::matrix::flat_mut;
use crate::spec::{NetworkSpec, Optimizer};

/// The largest weight of a run that goes on, 2^60: what a chapter changes still has an encoding then.
const LARGEST: f32 = (1u64 << 60) as f32;

/// Smoothing of the gradient, and Adam's beta 1.
const FIRST: f32 = 0.9;
/// Adam's beta 2.
const SECOND: f32 = 0.999;
/// Adam's epsilon.
const EPSILON: f32 = 1e-8;

/// A tensor and what its optimiser remembers of it, which is nothing until the first gradient, and in
/// a model that only answers: then both are empty, and the same as zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// The tensor itself, row-major.
    pub value: Array2<f32>,
    /// Smoothed gradient (both optimisers), as long as the tensor.
    pub first: Vec<f32>,
    /// Smoothed square of the gradient (Adam), as long as the tensor; with SGD empty.
    pub second: Vec<f32>,
}

/// Some rows of a parameter.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) first_row: usize,
    pub(crate) columns: usize,
    pub(crate) value: &'a mut [f32],
    pub(crate) first: &'a mut [f32],
    pub(crate) second: &'a mut [f32],
}

impl Parameter {
    /// A parameter that no gradient has touched yet.
    #[must_use]
    pub fn new(value: Array2<f32>) -> Self {
        Self { value, first: Vec::new(), second: Vec::new() }
    }

    /// Whether every number is within [`LARGEST`] and no second moment below zero.
    pub(crate) fn is_sound(&self) -> bool {
        let Self { value, first, second } = self;
        value.iter().chain(first).all(|x| x.abs() <= LARGEST)
            && second.iter().all(|x| x.is_finite() && *x >= 0.0)
    }

    /// Whether the tensor is `rows` x `columns` in row-major order and its memory goes with it.
    pub(crate) fn fits(&self, optimizer: Optimizer, rows: usize, columns: usize) -> bool {
        let size = rows * columns;
        self.value.dim() == (rows, columns)
            && self.value.is_standard_layout()
            && (self.is_untouched()
                || self.first.len() == size && self.second.len() == optimizer.second_len(size))
    }

    /// Gives it an optimiser's state, all zeros, if it has none.
    pub(crate) fn remember(&mut self, optimizer: Optimizer) {
        if self.is_untouched() {
            let size = self.value.len();
            self.first = vec![0.0; size];
            self.second = vec![0.0; optimizer.second_len(size)];
        }
    }

    fn is_untouched(&self) -> bool {
        self.first.is_empty() && self.second.is_empty()
    }

    /// The optimiser's state, in the order of a checkpoint: `first`, then `second`, zeros where
    /// no gradient has come yet.
    pub fn moments(&self, optimizer: Optimizer) -> impl Iterator<Item = f32> {
        let size = self.value.len();
        let zeros = if self.is_untouched() { size + optimizer.second_len(size) } else { 0 };
        let known = self.first.iter().chain(&self.second).copied();
        known.chain(std::iter::repeat_n(0.0, zeros))
    }

    /// The whole, cut into parts of `rows` rows, for a rule to be applied; the last may be shorter.
    pub(crate) fn parts(&mut self, rule: &Rule, rows: usize) -> Vec<Part<'_>> {
        self.remember(rule.optimizer);
        let columns = self.value.ncols();
        let value = flat_mut(&mut self.value);
        let (first, second) = (&mut self.first[..], &mut self.second[..]);
        Part { first_row: 0, columns, value, first, second }.split(rows)
    }
}

impl Optimizer {
    /// How many second moments a tensor of `size` values has.
    #[must_use]
    pub fn second_len(self, size: usize) -> usize {
        match self {
            Self::Sgd => 0,
            Self::Adam => size,
        }
    }
}

impl<'a> Part<'a> {
    /// Cuts this part into parts of `rows` rows; the last may be shorter.
    pub(crate) fn split(self, rows: usize) -> Vec<Self> {
        let Part { first_row, columns, value, first, mut second } = self;
        let size = rows * columns;
        let part = |(index, (value, first)): (usize, (&'a mut [f32], &'a mut [f32]))| {
            let taken = std::mem::take(&mut second);
            let (head, tail) = taken.split_at_mut(value.len().min(taken.len()));
            second = tail;
            Self { first_row: first_row + index * rows, columns, value, first, second: head }
        };
        value.chunks_mut(size).zip(first.chunks_mut(size)).enumerate().map(part).collect()
    }
}

/// How a gradient changes a parameter at one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    optimizer: Optimizer,
    /// Learning rate times cool-down.
    rate: f32,
    decay: f32,
    /// One over the batch size.
    scale: f32,
    /// Adam's bias corrections: 1 / (1 - beta^t), t from 1.
    corrections: [f32; 2],
}

impl Rule {
    /// The rule of a step (counted from 0) for a mini-batch of `batch` samples.
    pub(crate) fn new(spec: &NetworkSpec, step: u64, batch: usize, lr: f32, decay: f32) -> Self {
        let correction = |beta: f32| {
            let power = libm::pow(f64::from(beta), (step + 1) as f64);
            (1.0 / (1.0 - power)) as f32
        };
        Self {
            optimizer: spec.optimizer,
            rate: spec.gain(step) * lr,
            decay,
            scale: 1.0 / batch as f32,
            corrections: [correction(FIRST), correction(SECOND)],
        }
    }

    /// Changes a part by its share of the gradient.
    pub(crate) fn apply(&self, part: Part<'_>, gradient: &[f32]) {
        match self.optimizer {
            Optimizer::Sgd => self.sgd(part, gradient),
            Optimizer::Adam => self.adam(part, gradient),
        }
    }

    /// ffnew.m: g <- 0.9 g + 0.1 gradient / batch; w += gain lr (g - wd w).
    fn sgd(&self, part: Part<'_>, gradient: &[f32]) {
        let scale = (1.0 - FIRST) * self.scale;
        for ((w, g), d) in part.value.iter_mut().zip(part.first).zip(gradient) {
            *g = FIRST * *g + scale * d;
            *w += self.rate * (*g - self.decay * *w);
        }
    }

    /// Kingma and Ba 2015, algorithm 1, with the weight decay of Loshchilov and Hutter 2019,
    /// algorithm 2: w += gain lr (m' / (sqrt(v') + eps) - wd w).
    fn adam(&self, part: Part<'_>, gradient: &[f32]) {
        let [c1, c2] = self.corrections;
        let moments = part.first.iter_mut().zip(part.second);
        for ((w, (m, v)), d) in part.value.iter_mut().zip(moments).zip(gradient) {
            let d = self.scale * d;
            *m = FIRST * *m + (1.0 - FIRST) * d;
            *v = SECOND * *v + (1.0 - SECOND) * (d * d);
            let step = *m * c1 / ((*v * c2).sqrt() + EPSILON);
            *w += self.rate * (step - self.decay * *w);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn one_step(optimizer: Optimizer, decay: f32) -> Parameter {
        let spec = NetworkSpec { optimizer, ..NetworkSpec::hinton(vec![20, 8], 4) };
        let mut parameter = Parameter::new(array![[1.0, -2.0]]);
        let rule = Rule::new(&spec, 0, 4, 0.5, decay);
        for part in parameter.parts(&rule, 1) {
            rule.apply(part, &[8.0, -4.0]);
        }
        parameter
    }

    #[test]
    fn smoothed_gradient() {
        let after = one_step(Optimizer::Sgd, 0.1);
        let expected = [1.0 + 0.5 * (0.2 - 0.1), -2.0 + 0.5 * (-0.1 + 0.2)];
        assert!(after.value.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{after:?}");
        assert!((after.first[0] - 0.2).abs() < 1e-6 && after.second.is_empty());
    }

    #[test]
    fn adam_starts_with_the_sign() {
        let after = one_step(Optimizer::Adam, 0.0);
        let expected = [1.0 + 0.5, -2.0 - 0.5];
        assert!(after.value.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{after:?}");
    }

    #[test]
    fn parts_cover_the_whole() {
        for optimizer in [Optimizer::Sgd, Optimizer::Adam] {
            let spec = NetworkSpec { optimizer, ..NetworkSpec::hinton(vec![20, 8], 4) };
            let rule = Rule::new(&spec, 0, 4, 0.5, 0.0);
            let mut parameter = Parameter::new(Array2::ones((7, 3)));
            let untouched: Vec<f32> = parameter.moments(optimizer).collect();
            let parts = parameter.parts(&rule, 3);
            let shape = |p: &Part<'_>| (p.first_row, p.value.len(), p.first.len(), p.second.len());
            let adam = usize::from(optimizer == Optimizer::Adam);
            let expected = [(0, 9, 9, 9 * adam), (3, 9, 9, 9 * adam), (6, 3, 3, 3 * adam)];
            assert_eq!(parts.iter().map(shape).collect::<Vec<_>>(), expected);
            assert_eq!(parameter.moments(optimizer).collect::<Vec<_>>(), untouched);
            assert_eq!(untouched, vec![0.0; 21 * (1 + adam)]);
        }
    }
}
