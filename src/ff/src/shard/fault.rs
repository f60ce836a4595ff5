//! Faults: numbers of a shard from which training cannot go on.
//!
//! Rule: whatever a reader of activations or of a checkpoint would refuse is found where it is
//! made: a shard's outputs and losses at every step, all its tensors at a chapter's end. So
//! every peer that trains a cell finds the same fault at the same step.

use std::fmt;

use super::activations::Activations;
use crate::numerics::matrix::flat;
use crate::numerics::reductions;

/// The part of a shard that is out of range or NaN, or a second moment below zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its weights or biases, what its optimiser remembers of them, or its outputs.
    Weights,
    /// Its head, what its optimiser remembers of it, or its logits.
    Head,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weights => "weights",
            Self::Head => "head",
        })
    }
}

impl Activations {
    /// The reason why no reader would take them.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        // States are few, and none is above the root of the width: a sum of them does not overflow.
        let width = self.states.ncols().max(1);
        let mut rows = flat(&self.states).chunks_exact(width);
        if !rows.all(|row| reductions::sum(row).is_finite()) {
            return Some(Fault::Weights);
        }
        let are_good = self.logits.iter().all(|x| x.is_finite());
        (!are_good).then_some(Fault::Head)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::tests::{batch, tiny};
    use crate::{Encoding, Inline, Network, NetworkSpec, Optimizer, Parameter, ShardState};

    /// A network with these settings trained until one of its shards has a fault: shard, steps, fault.
    fn first_fault(change: impl Fn(&mut NetworkSpec)) -> Option<(usize, u64, Fault)> {
        let mut spec = tiny(Optimizer::Sgd, Encoding::U8, 1);
        spec.steps = 400;
        change(&mut spec);
        assert_eq!(spec.check(), Ok(()));
        let mut network = Network::init(spec.clone());
        for step in 0..spec.steps {
            let (reports, _) = network.train_step(&batch(&spec, step), &Inline);
            let reported = reports.iter().map(|report| report.fault);
            let kept = network.shards().iter().map(ShardState::fault);
            let faults = reported.chain(kept).enumerate();
            if let Some((at, fault)) = faults.filter_map(|(at, it)| Some((at, it?))).next() {
                return Some((at % spec.shards().len(), step + 1, fault));
            }
        }
        None
    }

    #[test]
    fn what_went_out_of_range_is_named() {
        let of =
            |change: fn(&mut NetworkSpec)| first_fault(change).map(|(shard, _, it)| (shard, it));
        assert_eq!(of(|_| ()), None);
        assert_eq!(of(|spec| spec.head_weight_decay = 1e3), Some((0, Fault::Head)));
        assert_eq!(of(|spec| spec.head_lr = f32::MAX), Some((0, Fault::Head)));
        assert_eq!(of(|spec| spec.lr = f32::MAX), Some((0, Fault::Weights)));
        assert_eq!(of(|spec| spec.weight_decay = 1e6), Some((0, Fault::Weights)));
        assert_eq!(of(|spec| spec.peer_normalization = f32::MAX), Some((0, Fault::Weights)));
    }

    #[test]
    fn every_tensor_is_looked_at() {
        let spec = tiny(Optimizer::Adam, Encoding::F32, 1);
        let mut network = Network::init(spec.clone());
        network.train_step(&batch(&spec, 0), &Inline);
        let good = &network.shards()[0];
        assert_eq!(good.fault(), None);
        let with = |change: &dyn Fn(&mut ShardState)| {
            let mut state = good.clone();
            change(&mut state);
            state.fault()
        };
        type Of = fn(&mut ShardState) -> &mut Parameter;
        let parameters: [(Of, Fault); 3] = [
            (|state| &mut state.weights, Fault::Weights),
            (|state| &mut state.bias, Fault::Weights),
            (|state| &mut state.head, Fault::Head),
        ];
        for (of, fault) in parameters {
            assert_eq!(with(&|state| of(state).value[[0, 1]] = f32::NAN), Some(fault));
            assert_eq!(with(&|state| of(state).first[1] = f32::INFINITY), Some(fault));
            assert_eq!(with(&|state| of(state).second[1] = f32::INFINITY), Some(fault));
            assert_eq!(with(&|state| of(state).second[1] = -1.0), Some(fault));
        }
        assert_eq!(with(&|state| state.running_means[1] = f32::NAN), Some(Fault::Weights));
    }

    #[test]
    fn what_no_reader_takes_is_a_fault() {
        let of = |state: f32, logit: f32| {
            Activations { states: array![[0.5, state], [1.0, 0.0]], logits: array![[logit, 0.0]] }
                .fault()
        };
        assert_eq!(of(1.0, -3.0), None);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!((of(bad, 0.0), of(1.0, bad)), (Some(Fault::Weights), Some(Fault::Head)));
        }
    }
}
