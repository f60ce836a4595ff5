//! The state of a shard, and one step of its training.
//!
//! Rule: all passes of a step see the weights from before the step; its outputs never depend on
//! what the step then learns.

use ndarray::Array2;

use super::activations::Activations;
use super::fault::Fault;
use super::first_layer::{FirstInput, Labels, Scales};
use super::optim::{Parameter, Rule};
use super::product::{Gradient, product, update};
use crate::numerics::Buffers;
use crate::numerics::matrix::{flat, flat_mut, rows};
use crate::numerics::workers::{Mark, Phase, Workers};
use crate::rng::{Key, Purpose};
use crate::spec::{NetworkSpec, Objective, Shard};

/// The running mean output of a unit before the first step (ffnew.m).
const FIRST_PEER_MEAN: f32 = 0.5;

/// The weights of a shard and all that its training remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardState {
    /// in x out.
    pub weights: Parameter,
    /// 1 x out.
    pub bias: Parameter,
    /// out x classes: from the shard's neutral outputs to logits.
    pub head: Parameter,
    /// Running mean output of each unit in the positive pass; unchanged where there is none.
    pub running_means: Vec<f32>,
    /// Steps done.
    pub step: u64,
}

/// The measurements of one step of a shard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// The loss of the weights, in nats. Goodness: mean of -ln p over the positive and
    /// -ln (1 - p) over the negative samples. Softmax: `head_loss`. Not finite once outputs are not.
    pub loss: f32,
    /// Mean cross-entropy of the head, in nats: of the accumulated logits, this shard's included, or
    /// with the softmax objective of its own.
    pub head_loss: f32,
    /// Samples of the mini-batch whose largest such logit was the label's.
    pub correct: u32,
    /// Mean goodness of the positive pass (the neutral one where there is no other); the threshold
    /// is the shard's width.
    pub positive_goodness: f32,
    /// Mean goodness of the negative pass; 0 where there is none.
    pub negative_goodness: f32,
    /// The reason why training cannot go on from the step.
    pub fault: Option<Fault>,
}

/// The logits of the layers below, and the right labels.
#[derive(Clone, Copy)]
pub(crate) struct LogitsBelow<'a> {
    /// B x [`NetworkSpec::output_logits`].
    pub(crate) logits: &'a Array2<f32>,
    /// B right labels.
    pub(crate) labels: &'a [u8],
}

impl ShardState {
    /// A shard before its first step: weights N(0, 1/fan-in), biases and head 0 (ffnew.m).
    #[must_use]
    pub fn init(spec: &NetworkSpec, shard: Shard) -> Self {
        let (inputs, width) = (spec.input_width(shard), spec.width(shard));
        let (layer, shard) = (shard.layer as u32, shard.index as u32);
        let mut stream = Key { layer, shard, ..Key::new(spec.seed, Purpose::Weights) }.stream();
        let spread = 1.0 / (inputs as f32).sqrt();
        let weights = Array2::from_shape_simple_fn((inputs, width), || spread * stream.normal());
        Self::new(weights, Array2::zeros((1, width)), Array2::zeros((width, spec.classes)))
    }

    /// A shard with given tensors (in x out, 1 x out, out x classes) and no step done.
    #[must_use]
    pub fn new(weights: Array2<f32>, bias: Array2<f32>, head: Array2<f32>) -> Self {
        let running_means = vec![FIRST_PEER_MEAN; weights.ncols()];
        let [weights, bias, head] = [weights, bias, head].map(Parameter::new);
        Self::from_parts(weights, bias, head, running_means, 0)
    }

    /// The shard as if it had begun with its weights: what its training remembers is dropped.
    #[must_use]
    pub fn only_weights(self) -> Self {
        Self::new(self.weights.value, self.bias.value, self.head.value)
    }

    /// A shard from its parts, as a checkpoint has them.
    #[must_use]
    pub fn from_parts(
        weights: Parameter,
        bias: Parameter,
        head: Parameter,
        running_means: Vec<f32>,
        step: u64,
    ) -> Self {
        Self { weights, bias, head, running_means, step }
    }

    /// Whether every tensor has the shape that the spec asks for.
    #[must_use]
    pub fn fits(&self, spec: &NetworkSpec, shard: Shard) -> bool {
        let (inputs, width) = (spec.input_width(shard), spec.width(shard));
        self.running_means.len() == width
            && self.weights.fits(spec.optimizer, inputs, width)
            && self.bias.fits(spec.optimizer, 1, width)
            && self.head.fits(spec.optimizer, width, spec.classes)
    }

    /// The reason why it cannot be a checkpoint.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        let is_finite = self.running_means.iter().all(|x| x.is_finite());
        if !(is_finite && self.weights.is_sound() && self.bias.is_sound()) {
            return Some(Fault::Weights);
        }
        (!self.head.is_sound()).then_some(Fault::Head)
    }

    /// One step of a shard of the first layer. Its outputs are not rounded.
    ///
    /// # Panics
    /// If the input does not have the spec's shapes, or a label is not below `classes`.
    pub fn train_first(
        &mut self,
        spec: &NetworkSpec,
        shard: Shard,
        input: &FirstInput,
        buffers: &mut Buffers,
        workers: &dyn Workers,
    ) -> (Activations, StepReport) {
        let nothing = Array2::zeros((input.labels.len(), spec.output_logits()));
        let below = LogitsBelow { logits: &nothing, labels: &input.labels };
        match spec.objective {
            Objective::Goodness => self.train_labelled(spec, shard, input, below, buffers, workers),
            Objective::Softmax => {
                self.train_on(spec, shard, &input.pixels, below, buffers, workers)
            }
        }
    }

    /// One step of a shard of an upper layer, on the outputs of the layer below (3B x in, or B x in
    /// with the softmax objective). Its own are not rounded.
    ///
    /// # Panics
    /// If the input does not have the spec's shapes, or a label is not below `classes`.
    pub fn train(
        &mut self,
        spec: &NetworkSpec,
        shard: Shard,
        input: &Activations,
        labels: &[u8],
        buffers: &mut Buffers,
        workers: &dyn Workers,
    ) -> (Activations, StepReport) {
        let below = LogitsBelow { logits: &input.logits, labels };
        self.train_on(spec, shard, &input.states, below, buffers, workers)
    }

    /// A step on images that carry labels.
    fn train_labelled(
        &mut self,
        spec: &NetworkSpec,
        shard: Shard,
        input: &FirstInput,
        below: LogitsBelow<'_>,
        buffers: &mut Buffers,
        workers: &dyn Workers,
    ) -> (Activations, StepReport) {
        let (batch, width) = (input.labels.len(), self.running_means.len());
        let scales = self.read_labelled(spec, input, buffers, workers);
        let done = self.passes(spec, shard, below, buffers, workers);
        workers.mark(Mark::Phase(Phase::Directions));
        let Buffers { h, shared, slots: extra, blocks, .. } = buffers;
        let pixels = input.pixels.view();
        let directions = &flat(h)[..2 * batch * width];
        scales.gather(directions, input, spec.label_strength, shared, extra);
        let extra = extra.view();
        let gradient = Gradient { inputs: pixels, directions: shared.view(), extra };
        self.learn(spec, batch, &gradient, blocks, workers);
        done
    }

    /// A step on states of mean square 1, all passes in one matrix.
    fn train_on(
        &mut self,
        spec: &NetworkSpec,
        shard: Shard,
        states: &Array2<f32>,
        below: LogitsBelow<'_>,
        buffers: &mut Buffers,
        workers: &dyn Workers,
    ) -> (Activations, StepReport) {
        let batch = below.labels.len();
        self.read(states, buffers, workers);
        let done = self.passes(spec, shard, below, buffers, workers);
        let Buffers { h, blocks, .. } = buffers;
        let cases = 0..spec.objective.cases() * batch;
        let gradient = Gradient {
            inputs: rows(states, cases.clone()),
            directions: rows(h, cases),
            extra: rows(h, 0..0),
        };
        self.learn(spec, batch, &gradient, blocks, workers);
        done
    }

    /// The outputs of a shard of the first layer in a step with the weights as they are; nothing
    /// learns. They are not rounded.
    ///
    /// # Panics
    /// If the input does not have the spec's shapes, or a label is not below `classes`.
    pub fn forward_first(
        &mut self,
        spec: &NetworkSpec,
        shard: Shard,
        step: u64,
        input: &FirstInput,
        buffers: &mut Buffers,
        workers: &dyn Workers,
    ) -> Activations {
        match spec.objective {
            Objective::Goodness => _ = self.read_labelled(spec, input, buffers, workers),
            Objective::Softmax => self.read(&input.pixels, buffers, workers),
        }
        let nothing = Array2::zeros((input.labels.len(), spec.output_logits()));
        self.forward_outputs(spec, shard, step, &nothing, buffers, workers)
    }

    /// As [`ShardState::forward_first`], for a shard of an upper layer.
    ///
    /// # Panics
    /// If the input does not have the spec's shapes.
    pub fn forward(
        &mut self,
        spec: &NetworkSpec,
        shard: Shard,
        step: u64,
        input: &Activations,
        buffers: &mut Buffers,
        workers: &dyn Workers,
    ) -> Activations {
        self.read(&input.states, buffers, workers);
        self.forward_outputs(spec, shard, step, &input.logits, buffers, workers)
    }

    /// Pre-activations, without bias, of all passes over states of mean square 1.
    fn read(&self, states: &Array2<f32>, buffers: &mut Buffers, workers: &dyn Workers) {
        workers.mark(Mark::Phase(Phase::Forward));
        buffers.fit(states.nrows(), self.running_means.len());
        product(states.view(), self.weights.value.view(), buffers.h.view_mut(), workers);
    }

    /// Pre-activations, without bias, of all passes over images that carry labels.
    fn read_labelled(
        &self,
        spec: &NetworkSpec,
        input: &FirstInput,
        buffers: &mut Buffers,
        workers: &dyn Workers,
    ) -> Scales {
        workers.mark(Mark::Phase(Phase::Forward));
        let (batch, width) = (input.labels.len(), self.running_means.len());
        buffers.fit(spec.objective.passes() * batch, width);
        buffers.fit_first(batch, width, spec.classes);
        let Buffers { h, shared, .. } = buffers;
        product(input.pixels.view(), self.weights.value.view(), shared.view_mut(), workers);
        let scales = Scales::new(spec, &input.pixels);
        let label = |pass: usize, image: usize| match pass {
            0 => Some(input.labels[image]),
            1 => Some(input.negatives[image]),
            _ => None,
        };
        let labels = Labels::new(spec, &self.weights.value);
        labels.spread(flat(shared), &scales, flat_mut(h), &label, workers);
        scales
    }

    /// The end of a step: the weights follow their directions.
    fn learn(
        &mut self,
        spec: &NetworkSpec,
        batch: usize,
        gradient: &Gradient<'_>,
        blocks: &mut Vec<Vec<f32>>,
        workers: &dyn Workers,
    ) {
        let rule = Rule::new(spec, self.step, batch, spec.lr, spec.weight_decay);
        update(&mut self.weights, gradient, &rule, blocks, workers);
        self.step += 1;
    }
}
