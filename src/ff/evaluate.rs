//! What a network says about images it has not seen.
//!
//! The rule: evaluation reads weights only and never rounds. A block of images goes up the stack
//! once, the neutral pass and every label hypothesis as one matrix, so memory stays bounded.

use ndarray::Array2;

use super::activations::{Activations, concat_owned};
use super::first::{Labels, Scales};
use super::goodness;
use super::matrix::{argmax_rows, columns_mut, flat, flat_mut, rows};
use super::network::Network;
use super::product::product;
use super::row::RowState;
use super::workers::Workers;

/// Images that go up the stack together.
const BLOCK: usize = 128;

/// How many images were classified right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// Images.
    pub samples: u32,
    /// By the largest accumulated logit of the neutral pass (one pass per image).
    pub softmax_correct: u32,
    /// By the label whose input has the largest goodness (one pass per class).
    pub goodness_correct: u32,
    /// By the largest logit accumulated up to each layer; the first layer speaks for itself.
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

/// What a block of N images gives.
struct Scores {
    /// N x classes for each layer.
    logits: Vec<Array2<f32>>,
    /// N x classes: goodness of each label hypothesis.
    goodness: Array2<f32>,
}

/// One layer's input on the way up: images, or the layer below.
enum Below {
    Images(Array2<f32>, Scales),
    Layer(Activations),
}

impl Network {
    /// Classifies images in both ways: `pixels` N x D as they are (label slots are ignored).
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
        let depth = self.spec().depth();
        let mut layers = vec![0; depth];
        let (mut by_goodness, mut start) = (0, 0);
        self.blocks(pixels, self.spec().classes, workers, |scores| {
            let labels = &labels[start..start + scores.goodness.nrows()];
            for (layer, logits) in layers.iter_mut().zip(&scores.logits) {
                *layer += count(&argmax_rows(logits), labels);
            }
            by_goodness += count(&argmax_rows(&scores.goodness), labels);
            start += labels.len();
        });
        Evaluation {
            samples: start as u32,
            softmax_correct: layers[depth - 1],
            goodness_correct: by_goodness,
            layers_correct: layers,
        }
    }

    /// The label of each image by its accumulated logits: one neutral pass.
    ///
    /// # Panics
    /// If an image is not as wide as the input.
    #[must_use]
    pub fn predict_softmax(&self, pixels: &Array2<f32>, workers: &dyn Workers) -> Vec<u8> {
        let mut labels = Vec::with_capacity(pixels.nrows());
        let top = self.spec().depth() - 1;
        self.blocks(pixels, 0, workers, |scores| labels.extend(argmax_rows(&scores.logits[top])));
        labels
    }

    /// The label of each image by goodness, summed over the layers that count: one pass per class.
    ///
    /// # Panics
    /// If an image is not as wide as the input.
    #[must_use]
    pub fn predict_goodness(&self, pixels: &Array2<f32>, workers: &dyn Workers) -> Vec<u8> {
        let mut labels = Vec::with_capacity(pixels.nrows());
        let classes = self.spec().classes;
        self.blocks(pixels, classes, workers, |scores| {
            labels.extend(argmax_rows(&scores.goodness));
        });
        labels
    }

    fn blocks(
        &self,
        pixels: &Array2<f32>,
        hypotheses: usize,
        workers: &dyn Workers,
        mut done: impl FnMut(&Scores),
    ) {
        for start in (0..pixels.nrows()).step_by(BLOCK) {
            let end = pixels.nrows().min(start + BLOCK);
            let mut block = Array2::zeros((end - start, pixels.ncols()));
            block.assign(&rows(pixels, start..end));
            columns_mut(&mut block, 0..self.spec().classes).fill(0.0);
            done(&self.scores(block, hypotheses, workers));
        }
    }

    /// One block up the stack. Rows of every layer: the neutral pass, then hypothesis by
    /// hypothesis.
    fn scores(&self, pixels: Array2<f32>, hypotheses: usize, workers: &dyn Workers) -> Scores {
        let spec = self.spec();
        let images = pixels.nrows();
        let mut total = vec![0.0; images * (hypotheses + 1)];
        let mut logits = Vec::with_capacity(spec.depth());
        let nothing = Array2::zeros((images, spec.classes));
        let scales = Scales::new(spec, &pixels);
        let mut below = Below::Images(pixels, scales);
        for (layer, shards_of) in self.rows().chunks(spec.shards).enumerate() {
            let mut shards = Vec::with_capacity(shards_of.len());
            for state in shards_of {
                let mut h = self.pre_activations(state, &below, total.len(), workers);
                let mut squares = vec![0.0; total.len()];
                goodness::activate(
                    flat_mut(&mut h),
                    flat(&state.bias.value),
                    &mut squares,
                    workers,
                );
                let mut states = Array2::zeros(h.dim());
                goodness::normalize(flat(&h), &squares, flat_mut(&mut states), workers);
                if spec.counts(layer) {
                    total.iter_mut().zip(&squares).for_each(|(total, g)| *total += g);
                }
                let said = match &below {
                    Below::Layer(below) if spec.counts(layer - 1) => &below.logits,
                    Below::Layer(_) | Below::Images(..) => &nothing,
                };
                let neutral = rows(&states, 0..images);
                let logits = state.logits(neutral, said, workers);
                shards.push(Activations { states, logits });
            }
            let layer = concat_owned(shards);
            logits.push(layer.logits.clone());
            below = Below::Layer(layer);
        }
        let hypothesis = |(image, label)| total[(label + 1) * images + image];
        Scores { logits, goodness: Array2::from_shape_fn((images, hypotheses), hypothesis) }
    }

    fn pre_activations(
        &self,
        state: &RowState,
        below: &Below,
        count: usize,
        workers: &dyn Workers,
    ) -> Array2<f32> {
        let weights = &state.weights.value;
        let mut z = Array2::zeros((count, weights.ncols()));
        match below {
            Below::Layer(below) => {
                product(below.states.view(), weights.view(), z.view_mut(), workers);
            }
            Below::Images(pixels, scales) => {
                let mut shared = Array2::zeros((pixels.nrows(), weights.ncols()));
                product(pixels.view(), weights.view(), shared.view_mut(), workers);
                let label = |pass: usize, _: usize| pass.checked_sub(1).map(|label| label as u8);
                let labels = Labels::new(self.spec(), weights);
                labels.spread(flat(&shared), scales, flat_mut(&mut z), &label, workers);
            }
        }
        z
    }
}

fn count(said: &[u8], labels: &[u8]) -> u32 {
    said.iter().zip(labels).filter(|(said, label)| said == label).count() as u32
}
