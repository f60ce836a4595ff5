//! The passes of a mini-batch through a shard, between its product and its weight gradient.
//!
//! Rule: pre-activations come in, activations and directions go out. Each objective has one
//! method here; what they share is in [`ShardState::passes`], once.

use ndarray::{Array2, ArrayView2};

use super::activations::Activations;
use super::dropout::Dropout;
use super::fault::Fault;
use super::optim::Rule;
use super::product::{Gradient, product, update};
use super::state::{LogitsBelow, ShardState, StepReport};
use super::{goodness, head};
use crate::numerics::Buffers;
use crate::numerics::matrix::{flat, flat_mut, rows};
use crate::numerics::workers::{Mark, Phase, Workers};
use crate::spec::{NetworkSpec, Objective, Shard};

impl ShardState {
    /// From pre-activations (without bias) in `buffers.h` to the outputs, and to directions of the
    /// cases in `buffers.h`. Bias and head learn on the way.
    pub(crate) fn passes(
        &mut self,
        spec: &NetworkSpec,
        shard: Shard,
        below: LogitsBelow<'_>,
        buffers: &mut Buffers,
        workers: &dyn Workers,
    ) -> (Activations, StepReport) {
        let dropout = Dropout::new(spec, shard, self.step);
        let states = self.outputs(&dropout, buffers, workers);
        let slope = dropout.scale();
        let (logits, mut report) = match spec.objective {
            Objective::Goodness => self.contrast(spec, slope, below, &states, buffers, workers),
            Objective::Softmax => self.classify(spec, slope, below, &states, buffers, workers),
        };
        let logits = if spec.counts(shard.layer) { logits } else { below.logits.clone() };
        workers.mark(Mark::Phase(Phase::Directions));
        self.train_bias(spec, below.labels.len(), flat(&buffers.h));
        let outputs = Activations { states, logits };
        report.fault = report.fault_with(spec, &outputs);
        (outputs, report)
    }

    /// From pre-activations (without bias) in `buffers.h` to the outputs in a step, with the weights
    /// as they are.
    pub(crate) fn forward_outputs(
        &self,
        spec: &NetworkSpec,
        shard: Shard,
        step: u64,
        below: &Array2<f32>,
        buffers: &mut Buffers,
        workers: &dyn Workers,
    ) -> Activations {
        let states = self.outputs(&Dropout::new(spec, shard, step), buffers, workers);
        let adds = spec.counts(shard.layer) && spec.objective == Objective::Goodness;
        let batch = below.nrows();
        let logits = if adds {
            self.logits(rows(&states, 2 * batch..3 * batch), below, workers)
        } else {
            below.clone()
        };
        Activations { states, logits }
    }

    /// Turns pre-activations (without bias) in `buffers.h` into outputs, finds their goodness, and
    /// returns them scaled to mean square 1.
    fn outputs(
        &self,
        dropout: &Dropout,
        buffers: &mut Buffers,
        workers: &dyn Workers,
    ) -> Array2<f32> {
        workers.mark(Mark::Phase(Phase::Normalization));
        let mut states = buffers.take(buffers.h.dim());
        let Buffers { h, goodness, .. } = buffers;
        goodness::activate(flat_mut(h), flat(&self.bias.value), dropout, goodness, workers);
        goodness::normalize(flat(h), goodness, flat_mut(&mut states), workers);
        states
    }

    /// The goodness objective: towards more for the positive, less for the negative pass. The head
    /// reads the neutral pass, and nothing learns from it but itself.
    fn contrast(
        &mut self,
        spec: &NetworkSpec,
        slope: f32,
        LogitsBelow { logits: below, labels }: LogitsBelow<'_>,
        states: &Array2<f32>,
        buffers: &mut Buffers,
        workers: &dyn Workers,
    ) -> (Array2<f32>, StepReport) {
        let (batch, width) = (labels.len(), self.running_means.len());
        workers.mark(Mark::Phase(Phase::Directions));
        let h = flat_mut(&mut buffers.h);
        let strength = spec.peer_normalization;
        let peers = goodness::peer_term(&mut self.running_means, &h[..batch * width], strength);
        let cases = &buffers.goodness[..2 * batch];
        goodness::directions(&mut h[..2 * batch * width], cases, slope, &peers, workers);
        let neutral = rows(states, 2 * batch..3 * batch);
        let logits = self.logits(neutral, below, workers);
        let mut errors = logits.clone();
        let outcome = head::directions(&mut errors, labels);
        self.train_head(spec, neutral, &errors, &mut buffers.blocks, workers);
        let report = StepReport {
            loss: goodness::loss(cases, width),
            head_loss: outcome.loss,
            correct: outcome.correct,
            positive_goodness: goodness::mean(&cases[..batch]),
            negative_goodness: goodness::mean(&cases[batch..]),
            fault: None,
        };
        (logits, report)
    }

    /// The softmax objective: the head's error goes through the head, as it was before the step,
    /// into this shard's weights, and no further.
    fn classify(
        &mut self,
        spec: &NetworkSpec,
        slope: f32,
        LogitsBelow { logits: below, labels }: LogitsBelow<'_>,
        states: &Array2<f32>,
        buffers: &mut Buffers,
        workers: &dyn Workers,
    ) -> (Array2<f32>, StepReport) {
        let Buffers { h, goodness, blocks, .. } = buffers;
        let nothing = Array2::zeros((labels.len(), spec.classes));
        let mut errors = self.logits(states.view(), &nothing, workers);
        let outcome = head::directions(&mut errors, labels);
        product(errors.view(), self.head.value.t(), h.view_mut(), workers);
        workers.mark(Mark::Phase(Phase::Directions));
        goodness::unnormalize(flat(states), goodness, slope, flat_mut(h), workers);
        self.train_head(spec, states.view(), &errors, blocks, workers);
        let mean = goodness::mean(goodness);
        let report = StepReport {
            // Outputs that overflow are normalised to zero, for which the head is merely unsure.
            loss: if mean.is_finite() { outcome.loss } else { f32::INFINITY },
            head_loss: outcome.loss,
            correct: outcome.correct,
            positive_goodness: mean,
            negative_goodness: 0.0,
            fault: None,
        };
        (below.clone(), report)
    }

    /// The bias follows the sum of the directions over the cases, without decay.
    fn train_bias(&mut self, spec: &NetworkSpec, batch: usize, h: &[f32]) {
        let mut sums = vec![0.0; self.running_means.len()];
        let directions = &h[..spec.objective.cases() * batch * sums.len()];
        goodness::add_columns(directions, &mut sums);
        let rule = Rule::new(spec, self.step, batch, spec.lr, 0.0);
        for part in self.bias.parts(&rule, 1) {
            rule.apply(part, &sums);
        }
    }

    /// The head follows the errors of what it read.
    fn train_head(
        &mut self,
        spec: &NetworkSpec,
        read: ArrayView2<'_, f32>,
        errors: &Array2<f32>,
        blocks: &mut Vec<Vec<f32>>,
        workers: &dyn Workers,
    ) {
        let extra = rows(errors, 0..0);
        let gradient = Gradient { inputs: read, directions: errors.view(), extra };
        let (lr, decay) = (spec.head_lr, spec.head_weight_decay);
        let rule = Rule::new(spec, self.step, errors.nrows(), lr, decay);
        update(&mut self.head, &gradient, &rule, blocks, workers);
    }

    /// The logits of the layers below plus those of this shard: N x classes.
    pub(crate) fn logits(
        &self,
        read: ArrayView2<'_, f32>,
        below: &Array2<f32>,
        workers: &dyn Workers,
    ) -> Array2<f32> {
        workers.mark(Mark::Phase(Phase::Head));
        let mut logits = Array2::zeros(below.dim());
        product(read, self.head.value.view(), logits.view_mut(), workers);
        logits + below
    }
}

impl StepReport {
    /// The fault of the step that it reports, which had these outputs.
    fn fault_with(&self, spec: &NetworkSpec, outputs: &Activations) -> Option<Fault> {
        let goodness = [self.positive_goodness, self.negative_goodness];
        let contrasts = spec.objective == Objective::Goodness;
        let is_sound =
            goodness.iter().all(|x| x.is_finite()) && (!contrasts || self.loss.is_finite());
        let losses = self.loss.is_finite() && self.head_loss.is_finite();
        let of_outputs = (!is_sound).then_some(Fault::Weights);
        let of_losses = (!losses).then_some(Fault::Head);
        of_outputs.or_else(|| outputs.fault()).or(of_losses)
    }
}
