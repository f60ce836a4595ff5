//! Evaluation: the labels that a network gives to images it has not seen.
//!
//! Rule: evaluation reads weights only and never rounds. A group of images goes up the stack
//! layer by layer, in blocks, the neutral pass and every label hypothesis of a block as one matrix,
//! so memory stays bounded, also where only one layer is in memory at a time. Between two
//! blocks, training may take the machine.

use ndarray::Array2;

use super::Network;
use super::layers::Layers;
use crate::numerics::Buffers;
use crate::numerics::matrix::{argmax_rows, flat, flat_mut, rows};
use crate::numerics::workers::Workers;
use crate::shard::ShardState;
use crate::shard::activations::{Activations, concat_in};
use crate::shard::dropout::Dropout;
use crate::shard::first_layer::{Labels, Scales, prepare};
use crate::shard::goodness;
use crate::shard::product::product;
use crate::spec::{NetworkSpec, Objective};

/// Passes that go through a product together, if one image has no more: as many as training has.
const BLOCK: usize = 192;

/// Images that go up the stack together: a layer is asked for once for all of them, and their
/// activations are in memory meanwhile.
const GROUP: usize = 256;

/// The number of images that were classified right, in every way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// Images.
    pub samples: u32,
    /// By the largest logit of the neutral pass, over all layers (one pass per image).
    pub softmax_correct: u32,
    /// By the label whose input has the largest goodness (one pass per class); 0 with the softmax
    /// objective, whose input has no label.
    pub goodness_correct: u32,
    /// By the largest logit accumulated up to each layer, where the first layer stands alone;
    /// with the softmax objective by each layer's own.
    pub layers_correct: Vec<u32>,
}

impl Evaluation {
    /// The counts over these images and other ones of the same network.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.samples += other.samples;
        self.softmax_correct += other.softmax_correct;
        self.goodness_correct += other.goodness_correct;
        self.layers_correct.resize(other.layers_correct.len(), 0);
        self.layers_correct.iter_mut().zip(&other.layers_correct).for_each(|(a, b)| *a += b);
        self
    }
}

/// A block of N images on its way up. Its rows are the neutral pass, then hypothesis by
/// hypothesis.
struct Block {
    images: usize,
    /// The layer below.
    below: Below,
    /// Goodness so far of each row.
    goodness: Vec<f32>,
    /// N x classes for each layer so far: accumulated, or its own with the softmax objective.
    layers: Vec<Array2<f32>>,
}

/// One layer's input on the way up: images, or the layer below.
enum Below {
    Images(Array2<f32>, Scales),
    Layer(Activations),
}

/// Classifies images in every way that the objective has: `pixels` N x D as they are (label slots are
/// ignored).
///
/// # Errors
/// If a layer cannot be had.
///
/// # Panics
/// If an image is not as wide as the input.
pub fn evaluate<L: Layers>(
    layers: &mut L,
    pixels: &Array2<f32>,
    labels: &[u8],
    workers: &dyn Workers,
) -> Result<Evaluation, L::Error> {
    let spec = layers.spec();
    let hypotheses = if spec.objective == Objective::Goodness { spec.classes } else { 0 };
    let mut left = labels;
    let mut total = Evaluation::default();
    rise(layers, pixels, hypotheses, workers, |spec, block| {
        let (labels, others) = left.split_at(block.images);
        left = others;
        total = std::mem::take(&mut total).and(&Evaluation {
            samples: labels.len() as u32,
            softmax_correct: correct(&block.logits(spec), labels),
            goodness_correct: correct(&block.hypotheses(), labels),
            layers_correct: block.layers.iter().map(|it| correct(it, labels)).collect(),
        });
    })?;
    Ok(total)
}

/// Takes images up the stack, group by group; `done` gets each block, in order.
fn rise<L: Layers>(
    layers: &mut L,
    pixels: &Array2<f32>,
    hypotheses: usize,
    workers: &dyn Workers,
    mut done: impl FnMut(&NetworkSpec, &Block),
) -> Result<(), L::Error> {
    let spec = layers.spec().clone();
    let images = (BLOCK / (1 + hypotheses)).max(1);
    let block = |start: usize, end: usize| {
        let mut block = Array2::zeros((end - start, pixels.ncols()));
        block.assign(&rows(pixels, start..end));
        Block::new(&spec, prepare(&spec, block), hypotheses)
    };
    for start in (0..pixels.nrows()).step_by(GROUP) {
        let end = pixels.nrows().min(start + GROUP);
        let starts = (start..end).step_by(images);
        let mut blocks: Vec<Block> = starts.map(|it| block(it, end.min(it + images))).collect();
        for layer in 0..spec.depth() {
            let shards = layers.layer(layer)?;
            for block in &mut blocks {
                workers.turn();
                block.rise(&spec, layer, &shards, workers);
            }
        }
        blocks.iter().for_each(|block| done(&spec, block));
    }
    Ok(())
}

impl Network {
    /// [`evaluate`] of all its layers.
    ///
    /// # Panics
    /// If an image is not as wide as the input.
    #[must_use]
    pub fn evaluate(
        &self,
        pixels: &Array2<f32>,
        labels: &[u8],
        workers: &dyn Workers,
    ) -> Evaluation {
        let Ok(found) = evaluate(&mut &*self, pixels, labels, workers);
        found
    }

    /// The label of each image by its logits over all layers: one neutral pass.
    ///
    /// # Panics
    /// If an image is not as wide as the input.
    #[must_use]
    pub fn predict_softmax(&self, pixels: &Array2<f32>, workers: &dyn Workers) -> Vec<u8> {
        let mut labels = Vec::with_capacity(pixels.nrows());
        let Ok(()) = rise(&mut &*self, pixels, 0, workers, |spec, block| {
            labels.extend(argmax_rows(&block.logits(spec)));
        });
        labels
    }

    /// The label of each image by goodness, summed over the layers that count: one pass per class.
    ///
    /// # Panics
    /// If an image is not as wide as the input, or the objective is not goodness.
    #[must_use]
    pub fn predict_goodness(&self, pixels: &Array2<f32>, workers: &dyn Workers) -> Vec<u8> {
        let mut labels = Vec::with_capacity(pixels.nrows());
        let classes = self.spec().classes;
        let Ok(()) = rise(&mut &*self, pixels, classes, workers, |_, block| {
            labels.extend(argmax_rows(&block.hypotheses()));
        });
        labels
    }
}

impl Block {
    fn new(spec: &NetworkSpec, pixels: Array2<f32>, hypotheses: usize) -> Self {
        let images = pixels.nrows();
        let below = match spec.objective {
            Objective::Goodness => {
                let scales = Scales::new(spec, &pixels);
                Below::Images(pixels, scales)
            }
            Objective::Softmax => {
                let logits = Array2::zeros((images, spec.classes));
                Below::Layer(Activations { states: pixels, logits })
            }
        };
        let goodness = vec![0.0; images * (hypotheses + 1)];
        Self { images, below, goodness, layers: Vec::with_capacity(spec.depth()) }
    }

    /// Through one layer.
    fn rise(
        &mut self,
        spec: &NetworkSpec,
        layer: usize,
        shards_of: &[ShardState],
        workers: &dyn Workers,
    ) {
        let nothing = Array2::zeros((self.images, spec.classes));
        let mut shards = Vec::with_capacity(shards_of.len());
        for state in shards_of {
            let mut h = self.pre_activations(spec, state, workers);
            let mut squares = vec![0.0; self.goodness.len()];
            goodness::activate(
                flat_mut(&mut h),
                flat(&state.bias.value),
                &Dropout::none(),
                &mut squares,
                workers,
            );
            let mut states = Array2::zeros(h.dim());
            goodness::normalize(flat(&h), &squares, flat_mut(&mut states), workers);
            if spec.counts(layer) {
                self.goodness.iter_mut().zip(&squares).for_each(|(total, g)| *total += g);
            }
            let neutral = rows(&states, 0..self.images);
            let below = match (&self.below, spec.objective) {
                (Below::Layer(below), Objective::Goodness) if spec.counts(layer - 1) => {
                    &below.logits
                }
                _ => &nothing,
            };
            let logits = state.logits(neutral, below, workers);
            shards.push(Activations { states, logits });
        }
        let layer = concat_in(shards, &mut Buffers::default());
        self.layers.push(layer.logits.clone());
        self.below = Below::Layer(layer);
    }

    fn pre_activations(
        &self,
        spec: &NetworkSpec,
        state: &ShardState,
        workers: &dyn Workers,
    ) -> Array2<f32> {
        let weights = &state.weights.value;
        let mut z = Array2::zeros((self.goodness.len(), weights.ncols()));
        match &self.below {
            Below::Layer(below) => {
                product(below.states.view(), weights.view(), z.view_mut(), workers);
            }
            Below::Images(pixels, scales) => {
                let mut shared = Array2::zeros((pixels.nrows(), weights.ncols()));
                product(pixels.view(), weights.view(), shared.view_mut(), workers);
                let label = |pass: usize, _: usize| pass.checked_sub(1).map(|label| label as u8);
                let labels = Labels::new(spec, weights);
                labels.spread(flat(&shared), scales, flat_mut(&mut z), &label, workers);
            }
        }
        z
    }

    /// N x classes: all layers together, once the block is at the top.
    fn logits(&self, spec: &NetworkSpec) -> Array2<f32> {
        match spec.objective {
            Objective::Goodness => self.layers[spec.depth() - 1].clone(),
            Objective::Softmax => {
                let nothing = Array2::zeros((self.images, spec.classes));
                self.layers.iter().fold(nothing, |sum, own| sum + own)
            }
        }
    }

    /// N x hypotheses: goodness of each label.
    fn hypotheses(&self) -> Array2<f32> {
        let hypotheses = self.goodness.len() / self.images.max(1) - 1;
        let of = |(image, label)| self.goodness[(label + 1) * self.images + image];
        Array2::from_shape_fn((self.images, hypotheses), of)
    }
}

/// How often the largest score is the label's; never where there are no scores, or one is NaN or
/// infinite.
fn correct(scores: &Array2<f32>, labels: &[u8]) -> u32 {
    if scores.is_empty() {
        return 0;
    }
    let predicted = argmax_rows(scores);
    let finite = scores.outer_iter().map(|scores| scores.iter().all(|x| x.is_finite()));
    let cases = predicted.iter().zip(labels).zip(finite);
    cases.filter(|((predicted, label), is_finite)| predicted == label && *is_finite).count() as u32
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn scores_that_are_not_finite_are_never_right() {
        let scores = array![[0.0, 1.0], [f32::NAN, f32::NAN], [f32::INFINITY, 0.0], [2.0, 1.0]];
        assert_eq!(correct(&scores, &[1, 0, 0, 0]), 2);
        assert_eq!(correct(&Array2::zeros((2, 0)), &[0, 0]), 0);
    }
}
