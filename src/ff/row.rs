//! A row of neurons with its own weights, and one step of its training.
//!
//! The rule: all passes of a step see the weights from before the step; what is handed on never
//! depends on what the step then learns.

use ndarray::{Array2, ArrayView2};

use super::activations::{Activations, FirstInput};
use super::first::{Labels, Scales};
use super::matrix::{flat, flat_mut, rows};
use super::optim::{Parameter, Rule};
use super::product::{Gradient, product, update};
use super::rng::{Key, Purpose};
use super::spec::{NetworkSpec, Row};
use super::workers::Workers;
use super::{goodness, head};

/// The running mean output of a unit before the first step (ffnew.m).
const FIRST_PEER_MEAN: f32 = 0.5;

/// The weights of a row and all that its training remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct RowState {
    /// in x out.
    pub weights: Parameter,
    /// 1 x out.
    pub bias: Parameter,
    /// out x classes: from the row's neutral outputs to logits.
    pub head: Parameter,
    /// Running mean output of each unit in the positive pass.
    pub peers: Vec<f32>,
    /// Steps done.
    pub step: u64,
    scratch: Scratch,
}

/// What one step of a row has to say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Mean of -ln p over the positive and -ln (1 - p) over the negative samples, in nats.
    pub loss: f32,
    /// Mean cross-entropy of the accumulated logits, this row's included, in nats.
    pub head_loss: f32,
    /// Samples of the mini-batch whose largest accumulated logit was the label's.
    pub correct: u32,
    /// Mean goodness of the positive pass; the threshold is the row's width.
    pub positive_goodness: f32,
    /// Mean goodness of the negative pass.
    pub negative_goodness: f32,
}

/// Buffers kept from step to step. Not part of a row's state: equal to any other.
#[derive(Debug, Default)]
struct Scratch {
    /// 3B x out: pre-activations, then outputs, then directions.
    h: Array2<f32>,
    /// First layer only, B x out: shared product, then shared directions.
    shared: Array2<f32>,
    /// First layer only, classes x out: directions of the label slots.
    slots: Array2<f32>,
    /// 3B.
    goodness: Vec<f32>,
    blocks: Vec<Array2<f32>>,
}

impl Clone for Scratch {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Scratch {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Scratch {
    fn fit(&mut self, batch: usize, width: usize) {
        if self.h.dim() != (3 * batch, width) {
            self.h = Array2::zeros((3 * batch, width));
            self.goodness = vec![0.0; 3 * batch];
        }
    }

    fn fit_first(&mut self, batch: usize, width: usize, classes: usize) {
        if self.shared.dim() != (batch, width) {
            self.shared = Array2::zeros((batch, width));
            self.slots = Array2::zeros((classes, width));
        }
    }
}

impl RowState {
    /// A row before its first step: weights N(0, 1/fan-in), biases and head 0 (ffnew.m).
    #[must_use]
    pub fn init(spec: &NetworkSpec, row: Row) -> Self {
        let (layer, shard) = (row.layer as u32, row.shard as u32);
        let mut stream = Key { layer, shard, ..Key::new(spec.seed, Purpose::Weights) }.stream();
        let (inputs, width) = (spec.input_width(row), spec.width(row));
        let spread = 1.0 / (inputs as f32).sqrt();
        let weights = Array2::from_shape_simple_fn((inputs, width), || spread * stream.normal());
        Self::new(spec, weights, Array2::zeros((1, width)), Array2::zeros((width, spec.classes)))
    }

    /// A row with given tensors (in x out, 1 x out, out x classes) and no step done.
    pub(crate) fn new(
        spec: &NetworkSpec,
        weights: Array2<f32>,
        bias: Array2<f32>,
        head: Array2<f32>,
    ) -> Self {
        let peers = vec![FIRST_PEER_MEAN; weights.ncols()];
        let parameter = |value| Parameter::new(value, spec.optimizer);
        let (weights, bias, head) = (parameter(weights), parameter(bias), parameter(head));
        Self::from_parts(weights, bias, head, peers, 0)
    }

    /// A row from its parts: for checkpoints.
    #[must_use]
    pub fn from_parts(
        weights: Parameter,
        bias: Parameter,
        head: Parameter,
        peers: Vec<f32>,
        step: u64,
    ) -> Self {
        Self { weights, bias, head, peers, step, scratch: Scratch::default() }
    }

    /// Whether every tensor has the shape that the spec asks for.
    #[must_use]
    pub fn fits(&self, spec: &NetworkSpec, row: Row) -> bool {
        let (inputs, width) = (spec.input_width(row), spec.width(row));
        self.peers.len() == width
            && self.weights.fits(spec.optimizer, inputs, width)
            && self.bias.fits(spec.optimizer, 1, width)
            && self.head.fits(spec.optimizer, width, spec.classes)
    }

    /// One step of a row of the first layer. What it returns is not rounded for the wire.
    ///
    /// # Panics
    /// If the input does not have the spec's shapes, or a label is not below `classes`.
    pub fn train_first(
        &mut self,
        spec: &NetworkSpec,
        row: Row,
        input: &FirstInput,
        workers: &dyn Workers,
    ) -> (Activations, StepReport) {
        let (batch, width) = (input.labels.len(), self.peers.len());
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.fit(batch, width);
        scratch.fit_first(batch, width, spec.classes);
        let Scratch { h, shared, .. } = &mut scratch;
        let pixels = input.pixels.view();
        product(pixels, self.weights.value.view(), shared.view_mut(), workers);
        let scales = Scales::new(spec, &input.pixels);
        let label = |pass: usize, image: usize| match pass {
            0 => Some(input.labels[image]),
            1 => Some(input.negatives[image]),
            _ => None,
        };
        let labels = Labels::new(spec, &self.weights.value);
        labels.spread(flat(shared), &scales, flat_mut(h), &label, workers);
        let nothing = Array2::zeros((batch, spec.classes));
        let done = self.passes(spec, row, (&nothing, &input.labels), &mut scratch, workers);
        let Scratch { h, shared, slots: extra, blocks, .. } = &mut scratch;
        let directions = &flat(h)[..2 * batch * width];
        scales.gather(directions, input, spec.label_strength, shared, extra);
        let extra = extra.view();
        let gradient = Gradient { inputs: pixels, directions: shared.view(), extra };
        self.learn(spec, batch, &gradient, blocks, workers);
        self.scratch = scratch;
        done
    }

    /// One step of a row of an upper layer, on what the layer below hands on (3B x in). What it
    /// returns is not rounded for the wire.
    ///
    /// # Panics
    /// If the input does not have the spec's shapes, or a label is not below `classes`.
    pub fn train(
        &mut self,
        spec: &NetworkSpec,
        row: Row,
        input: &Activations,
        labels: &[u8],
        workers: &dyn Workers,
    ) -> (Activations, StepReport) {
        let batch = labels.len();
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.fit(batch, self.peers.len());
        let states = input.states.view();
        product(states, self.weights.value.view(), scratch.h.view_mut(), workers);
        let done = self.passes(spec, row, (&input.logits, labels), &mut scratch, workers);
        let Scratch { h, blocks, .. } = &mut scratch;
        let gradient = Gradient {
            inputs: rows(&states, 0..2 * batch),
            directions: rows(h, 0..2 * batch),
            extra: rows(h, 0..0),
        };
        self.learn(spec, batch, &gradient, blocks, workers);
        self.scratch = scratch;
        done
    }

    /// From pre-activations (without bias) in `scratch.h` to what is handed on, and to directions
    /// of the positive and negative pass in `scratch.h`. The head learns on the way.
    fn passes(
        &mut self,
        spec: &NetworkSpec,
        row: Row,
        (below, labels): (&Array2<f32>, &[u8]),
        scratch: &mut Scratch,
        workers: &dyn Workers,
    ) -> (Activations, StepReport) {
        let (batch, width) = (labels.len(), self.peers.len());
        let Scratch { h, goodness, .. } = scratch;
        let mut states = Array2::zeros(h.dim());
        let h = flat_mut(h);
        goodness::activate(h, flat(&self.bias.value), goodness, workers);
        goodness::normalize(h, goodness, flat_mut(&mut states), workers);
        let strength = spec.peer_normalization;
        let peers = goodness::peer_term(&mut self.peers, &h[..batch * width], strength);
        let (cases, _) = goodness.split_at(2 * batch);
        let directions = &mut h[..2 * batch * width];
        goodness::directions(directions, cases, &peers, workers);
        self.train_bias(spec, batch, directions);
        let neutral = rows(&states, 2 * batch..3 * batch);
        let (logits, outcome) = self.train_head(spec, neutral, below, labels, workers);
        let report = StepReport {
            loss: goodness::loss(cases, width),
            head_loss: outcome.loss,
            correct: outcome.correct,
            positive_goodness: goodness::mean(&cases[..batch]),
            negative_goodness: goodness::mean(&cases[batch..]),
        };
        let logits = if spec.counts(row.layer) { logits } else { below.clone() };
        (Activations { states, logits }, report)
    }

    /// The bias follows the sum of the directions over both passes, without decay.
    fn train_bias(&mut self, spec: &NetworkSpec, batch: usize, directions: &[f32]) {
        let mut sums = vec![0.0; self.peers.len()];
        goodness::add_columns(directions, &mut sums);
        let rule = Rule::new(spec, self.step, batch, spec.lr, 0.0);
        for part in self.bias.parts(1) {
            rule.apply(part, &sums);
        }
    }

    /// The accumulated logits, this row's included, from before the head learns from them.
    fn train_head(
        &mut self,
        spec: &NetworkSpec,
        neutral: ArrayView2<'_, f32>,
        below: &Array2<f32>,
        labels: &[u8],
        workers: &dyn Workers,
    ) -> (Array2<f32>, head::Outcome) {
        let logits = self.logits(neutral, below, workers);
        let mut directions = logits.clone();
        let outcome = head::directions(&mut directions, labels);
        let extra = rows(&directions, 0..0);
        let gradient = Gradient { inputs: neutral, directions: directions.view(), extra };
        let (lr, decay) = (spec.head_lr, spec.head_weight_decay);
        let rule = Rule::new(spec, self.step, labels.len(), lr, decay);
        update(&mut self.head, &gradient, &rule, &mut Vec::new(), workers);
        (logits, outcome)
    }

    /// What the layers below say plus what this row says: N x classes.
    pub(crate) fn logits(
        &self,
        neutral: ArrayView2<'_, f32>,
        below: &Array2<f32>,
        workers: &dyn Workers,
    ) -> Array2<f32> {
        let mut logits = Array2::zeros(below.dim());
        product(neutral, self.head.value.view(), logits.view_mut(), workers);
        logits + below
    }

    /// The end of a step: the weights follow their directions.
    fn learn(
        &mut self,
        spec: &NetworkSpec,
        batch: usize,
        gradient: &Gradient<'_>,
        blocks: &mut Vec<Array2<f32>>,
        workers: &dyn Workers,
    ) {
        let rule = Rule::new(spec, self.step, batch, spec.lr, spec.weight_decay);
        update(&mut self.weights, gradient, &rule, blocks, workers);
        self.step += 1;
    }
}
