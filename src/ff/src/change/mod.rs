//! Branches of a chapter: what each of them changed, and their mean.
//!
//! Rule: the state after a chapter follows from the state before it and the branches' changes alone, in
//! the order of the branches, whoever trained them. A change is on its grid before anybody reads it, so
//! it is the same here and where it is sent. (Local SGD: McMahan et al. 2017, Stich 2019.)

mod grid;

use std::ops::Range;

use ndarray::Array2;

use self::grid::Grid;
pub use self::grid::RowKind;
use crate::numerics::matrix::{flat, flat_mut};
use crate::shard::{Parameter, ShardState};
use crate::spec::{Delta, NetworkSpec, Optimizer};

/// The change of a shard over some steps: differences of its weights, and its optimiser's state at their
/// end. With [`Delta::F32`] the weights at the end stand in place of the differences, so that nothing
/// is rounded.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Weights, bias and head.
    pub parameters: [Parameter; 3],
    /// Running mean output of each unit at the end.
    pub running_means: Vec<f32>,
}

impl Change {
    /// The change from `start` to `end`.
    #[must_use]
    pub fn between(spec: &NetworkSpec, start: &ShardState, end: ShardState) -> Self {
        let ShardState { weights, bias, head, running_means, .. } = end;
        let mut parameters = [weights, bias, head];
        for (parameter, start) in parameters.iter_mut().zip(values(start)) {
            if !spec.sends_moments() {
                (parameter.first, parameter.second) = (Vec::new(), Vec::new());
            } else {
                parameter.remember(spec.optimizer);
            }
            if spec.delta != Delta::F32 {
                let values = flat_mut(&mut parameter.value).iter_mut();
                values.zip(flat(start)).for_each(|(x, start)| *x -= start);
            }
        }
        Self { parameters, running_means }.rounded(spec)
    }

    /// The state at the end of a chapter of these steps, cut into so many branches: `start`, changed.
    #[must_use]
    pub fn applied(
        mut self,
        spec: &NetworkSpec,
        start: &ShardState,
        steps: Range<u64>,
        branches: u16,
    ) -> ShardState {
        let step = steps.end;
        if !spec.sends_moments() {
            self.derive_moments(spec, steps, branches);
        }
        let Self { mut parameters, running_means } = self;
        if spec.delta != Delta::F32 {
            for (parameter, start) in parameters.iter_mut().zip(values(start)) {
                let values = flat_mut(&mut parameter.value).iter_mut();
                values.zip(flat(start)).for_each(|(x, start)| *x += start);
            }
        }
        let [weights, bias, head] = parameters;
        ShardState::from_parts(weights, bias, head, running_means, step)
    }

    /// Sets first moments to the mean gradient of the chapter, which the change tells: it is the sum of the
    /// smoothed gradients times their rates (but for the decay of weights, which is small).
    fn derive_moments(&mut self, spec: &NetworkSpec, steps: Range<u64>, branches: u16) {
        let Some(grid) = Grid::of(spec.delta) else { return };
        let gains: f64 = steps.map(|step| f64::from(spec.gain(step))).sum();
        let rates = [spec.lr, spec.lr, spec.head_lr];
        for (parameter, rate) in self.parameters.iter_mut().zip(rates) {
            let sum = gains * f64::from(rate) / f64::from(branches);
            let share = if sum > 0.0 { (1.0 / sum) as f32 } else { 0.0 };
            let columns = parameter.value.ncols().max(1);
            parameter.first = flat(&parameter.value).iter().map(|x| x * share).collect();
            let rows = parameter.first.chunks_mut(columns);
            rows.for_each(|row| grid.round(row, RowKind::Signed));
        }
    }

    /// Rounded to its grid.
    fn rounded(mut self, spec: &NetworkSpec) -> Self {
        let Some(grid) = Grid::of(spec.delta) else { return self };
        for Parameter { value, first, second } in &mut self.parameters {
            let columns = value.ncols().max(1);
            let signed = flat_mut(value).chunks_mut(columns).chain(first.chunks_mut(columns));
            signed.for_each(|row| grid.round(row, RowKind::Signed));
            let squares = second.chunks_mut(columns);
            squares.for_each(|row| grid.round(row, RowKind::Squares));
        }
        self
    }

    /// Every number, to write to.
    fn numbers(&mut self) -> impl Iterator<Item = &mut f32> {
        let parameters =
            self.parameters.iter_mut().flat_map(|Parameter { value, first, second }| {
                flat_mut(value).iter_mut().chain(first).chain(second)
            });
        parameters.chain(&mut self.running_means)
    }

    /// Adds the numbers of another change.
    fn add(&mut self, other: &Self) {
        let others = other.parameters.iter().flat_map(|Parameter { value, first, second }| {
            flat(value).iter().chain(first).chain(second)
        });
        let others = others.chain(&other.running_means);
        self.numbers().zip(others).for_each(|(x, y)| *x += y);
    }
}

impl NetworkSpec {
    /// Whether a chapter's end is made of what its branches changed, and is not as its last step leaves it.
    #[must_use]
    pub fn is_merged(&self) -> bool {
        self.branches > 1 || !self.delta.is_exact()
    }

    /// Whether changes bring the optimiser's state with them. That of the smoothed gradient follows from
    /// what it changed, unless that is not to be rounded.
    #[must_use]
    pub fn sends_moments(&self) -> bool {
        self.optimizer == Optimizer::Adam || self.delta.is_exact()
    }
}

/// The mean of the changes of a chapter's branches, which come in their order.
#[derive(Debug, Clone)]
pub struct Mean {
    sum: Change,
    count: u16,
}

impl Mean {
    /// That of one branch.
    #[must_use]
    pub fn of(first: Change) -> Self {
        Self { sum: first, count: 1 }
    }

    /// Takes in the next branch.
    pub fn add(&mut self, next: &Change) {
        self.sum.add(next);
        self.count += 1;
    }

    /// The mean, on its grid.
    #[must_use]
    pub fn finish(self, spec: &NetworkSpec) -> Change {
        let Self { mut sum, count } = self;
        if count == 1 {
            return sum;
        }
        let share = 1.0 / f32::from(count);
        sum.numbers().for_each(|x| *x *= share);
        sum.rounded(spec)
    }
}

/// The values of a shard's parameters.
fn values(state: &ShardState) -> [&Array2<f32>; 3] {
    [&state.weights.value, &state.bias.value, &state.head.value]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Objective, Shard};

    const SHARD: Shard = Shard { layer: 0, index: 0 };

    fn spec(optimizer: Optimizer, delta: Delta) -> NetworkSpec {
        let spec = NetworkSpec::default_for(Objective::Softmax, optimizer, vec![6, 5], 3);
        NetworkSpec { delta, branches: 2, steps: 40, ..spec }
    }

    /// The initial state, and one in which every number is `by` more.
    fn states(spec: &NetworkSpec, by: f32) -> (ShardState, ShardState) {
        let start = ShardState::init(spec, SHARD);
        let moved = |parameter: &Parameter| {
            let mut parameter = Parameter::new(parameter.value.mapv(|x| x + by));
            parameter.remember(spec.optimizer);
            parameter.first.fill(by);
            parameter
        };
        let [weights, bias, head] = [&start.weights, &start.bias, &start.head].map(moved);
        let end = ShardState::from_parts(weights, bias, head, vec![0.25; 5], 10);
        (start, end)
    }

    #[test]
    fn one_branch_as_it_is_changes_nothing() {
        for optimizer in [Optimizer::Sgd, Optimizer::Adam] {
            let spec = spec(optimizer, Delta::F32);
            let (start, end) = states(&spec, 0.1);
            let change = Mean::of(Change::between(&spec, &start, end.clone())).finish(&spec);
            assert_eq!(change.applied(&spec, &start, 0..10, 1), end);
        }
    }

    #[test]
    fn the_mean_of_branches_is_between_them() {
        for delta in [Delta::F32, Delta::U8, Delta::U4] {
            let spec = spec(Optimizer::Sgd, delta);
            let change = |by| {
                let (start, end) = states(&spec, by);
                Change::between(&spec, &start, end)
            };
            let mut mean = Mean::of(change(0.25));
            mean.add(&change(0.75));
            let (start, _) = states(&spec, 0.0);
            let state = mean.finish(&spec).applied(&spec, &start, 0..10, 2);
            let moved = flat(&state.weights.value).iter().zip(flat(&start.weights.value));
            let far = moved.map(|(x, start)| (x - start - 0.5).abs()).fold(0.0, f32::max);
            assert!(far < 0.05, "{delta:?}: {far}");
            assert_eq!((state.step, state.running_means), (10, vec![0.25; 5]));
        }
    }

    #[test]
    fn the_smoothed_gradient_follows_from_the_change() {
        let spec = NetworkSpec { lr: 0.5, ..spec(Optimizer::Sgd, Delta::U8) };
        let (start, end) = states(&spec, 0.25);
        let change = Change::between(&spec, &start, end);
        assert!(change.parameters.iter().all(|it| it.first.is_empty()), "it is not sent");
        // Each of two branches took five steps at a rate of one half.
        let state = change.applied(&spec, &start, 0..10, 2);
        assert!(state.weights.first.iter().all(|first| (first - 0.1).abs() < 0.001));
    }
}
