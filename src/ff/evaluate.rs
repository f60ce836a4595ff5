//! What a network says about images it has not seen.
//!
//! The rule: evaluation reads weights only and never rounds. A block of images goes up the stack
//! once, the neutral pass and every label hypothesis as one matrix, so memory stays bounded.

use ndarray::Array2;

use super::activations::{Activations, concat_owned};
use super::dropout::Dropout;
use super::first::{Labels, Scales, prepare};
use super::goodness;
use super::matrix::{argmax_rows, flat, flat_mut, rows};
use super::network::Network;
use super::product::product;
use super::row::RowState;
use super::spec::Objective;
use super::workers::Workers;

/// Images that go up the stack together.
const BLOCK: usize = 128;

/// How many images were classified right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// Images.
    pub samples: u32,
    /// By the largest logit of the neutral pass, over all layers (one pass per image).
    pub softmax_correct: u32,
    /// By the label whose input has the largest goodness (one pass per class); 0 with the softmax
    /// objective, whose input has no label.
    pub goodness_correct: u32,
    /// By the largest logit accumulated up to each layer, where the first layer speaks for itself;
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

/// What a block of N images gives.
struct Scores {
    /// N x classes for each layer: accumulated, or its own with the softmax objective.
    layers: Vec<Array2<f32>>,
    /// N x classes: all layers together.
    logits: Array2<f32>,
    /// N x hypotheses: goodness of each label.
    goodness: Array2<f32>,
}

/// One layer's input on the way up: images, or the layer below.
enum Below {
    Images(Array2<f32>, Scales),
    Layer(Activations),
}

impl Network {
    /// Classifies images in every way that the objective has: `pixels` N x D as they are (label
    /// slots are ignored).
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
        let hypotheses = match self.spec().objective {
            Objective::Goodness => self.spec().classes,
            Objective::Softmax => 0,
        };
        let mut start = 0;
        let mut total = Evaluation::default();
        self.blocks(pixels, hypotheses, workers, |scores| {
            let labels = &labels[start..start + scores.logits.nrows()];
            start += labels.len();
            total = std::mem::take(&mut total).and(&Evaluation {
                samples: labels.len() as u32,
                softmax_correct: correct(&scores.logits, labels),
                goodness_correct: correct(&scores.goodness, labels),
                layers_correct: scores.layers.iter().map(|it| correct(it, labels)).collect(),
            });
        });
        total
    }

    /// The label of each image by its logits over all layers: one neutral pass.
    ///
    /// # Panics
    /// If an image is not as wide as the input.
    #[must_use]
    pub fn predict_softmax(&self, pixels: &Array2<f32>, workers: &dyn Workers) -> Vec<u8> {
        let mut labels = Vec::with_capacity(pixels.nrows());
        self.blocks(pixels, 0, workers, |scores| labels.extend(argmax_rows(&scores.logits)));
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
            done(&self.scores(prepare(self.spec(), block), hypotheses, workers));
        }
    }

    /// One block up the stack. Rows of every layer: the neutral pass, then hypothesis by
    /// hypothesis.
    fn scores(&self, pixels: Array2<f32>, hypotheses: usize, workers: &dyn Workers) -> Scores {
        let spec = self.spec();
        let images = pixels.nrows();
        let mut total = vec![0.0; images * (hypotheses + 1)];
        let mut layers = Vec::with_capacity(spec.depth());
        let nothing = Array2::zeros((images, spec.classes));
        let mut below = match spec.objective {
            Objective::Goodness => {
                let scales = Scales::new(spec, &pixels);
                Below::Images(pixels, scales)
            }
            Objective::Softmax => {
                Below::Layer(Activations { states: pixels, logits: nothing.clone() })
            }
        };
        for (layer, shards_of) in self.rows().chunks(spec.shards).enumerate() {
            let mut shards = Vec::with_capacity(shards_of.len());
            for state in shards_of {
                let mut h = self.pre_activations(state, &below, total.len(), workers);
                let mut squares = vec![0.0; total.len()];
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
                    total.iter_mut().zip(&squares).for_each(|(total, g)| *total += g);
                }
                let neutral = rows(&states, 0..images);
                let said = match (&below, spec.objective) {
                    (Below::Layer(below), Objective::Goodness) if spec.counts(layer - 1) => {
                        &below.logits
                    }
                    _ => &nothing,
                };
                let logits = state.logits(neutral, said, workers);
                shards.push(Activations { states, logits });
            }
            let layer = concat_owned(shards);
            layers.push(layer.logits.clone());
            below = Below::Layer(layer);
        }
        let logits = match spec.objective {
            Objective::Goodness => layers[spec.depth() - 1].clone(),
            Objective::Softmax => layers.iter().fold(nothing, |sum, own| sum + own),
        };
        let hypothesis = |(image, label)| total[(label + 1) * images + image];
        let goodness = Array2::from_shape_fn((images, hypotheses), hypothesis);
        Scores { layers, logits, goodness }
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

/// How often the largest score is the label's; never where there are no scores.
fn correct(scores: &Array2<f32>, labels: &[u8]) -> u32 {
    if scores.is_empty() {
        return 0;
    }
    let said = argmax_rows(scores);
    said.iter().zip(labels).filter(|(said, label)| said == label).count() as u32
}
