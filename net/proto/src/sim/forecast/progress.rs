//! The progress of a predicted run: when each part of its work was done, and the traffic until then.
//!
//! Rule: work that is done again is no progress.

use crate::Plan;
use crate::sim::clock::Moment;
use crate::sim::forecast::outcome::Part;

/// Parts into which all work is cut.
const PARTS: u64 = 1_000;

/// Work done so far.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The moment of the first step.
    began: Option<Moment>,
    /// The work of the steps done, and of all steps.
    work: (u64, u64),
    /// The moment at which each part was done, and the bytes of each machine until then.
    parts: Vec<(Moment, Vec<u64>)>,
}

impl Progress {
    /// No progress yet.
    pub(crate) fn new(plan: &Plan) -> Self {
        let all = plan.shards().map(|shard| plan.cost(shard) * plan.end(shard)).sum();
        Self { began: None, work: (0, all), parts: Vec::new() }
    }

    /// The moment of the first step.
    pub(crate) fn began(&self) -> Option<Moment> {
        self.began
    }

    /// Adds a step that costs `work`; `bytes` is the traffic of each machine so far.
    pub(crate) fn add(&mut self, work: u64, now: Moment, bytes: &[u64]) {
        self.began.get_or_insert(now);
        self.work.0 += work;
        while self.work.0 * PARTS >= (self.parts.len() as u64 + 1) * self.work.1 {
            self.parts.push((now, bytes.to_vec()));
        }
    }

    /// The parts, timed from `begin`.
    pub(crate) fn parts(self, begin: Moment) -> Vec<Part> {
        let part = |(at, bytes): (Moment, _)| Part { us: at.us_since(begin), bytes };
        self.parts.into_iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_timed_when_their_last_step_is_done() {
        let plan = Plan::example(&[1], 4, 2);
        let mut progress = Progress::new(&plan);
        for step in 1..=4 {
            progress.add(plan.cost(crate::ShardId(0)), Moment::from_ms(10 * step), &[step]);
        }
        let parts = progress.parts(Moment::from_ms(10));
        assert_eq!(parts.len(), 1_000);
        assert_eq!(parts[249], Part { us: 0, bytes: vec![1] });
        assert_eq!(parts[250], Part { us: 10_000, bytes: vec![2] });
        assert_eq!(parts[999], Part { us: 30_000, bytes: vec![4] });
    }
}
