//! Adaptive negatives: wrong labels drawn from what the network predicted.
//!
//! Rule: a sample's wrong label is drawn where its logits are known, once, from the softmax of
//! the wrong classes (Hinton 2022, ffnew.m), by a key of epoch and sample. Readers get the table
//! as it was a fixed number of chapters ago, so it does not matter which peer is ahead.

use ndarray::Array2;

use crate::rng::{Key, Purpose};
use crate::shard::Fault;
use crate::spec::NetworkSpec;

/// The entry of a sample that has no wrong label yet.
const NONE: u8 = u8::MAX;

/// The state of the feedback shard: the latest wrong label of every training sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedbackTable {
    /// One byte a sample; 255 where none was drawn yet.
    labels: Vec<u8>,
    /// Steps done.
    step: u64,
}

impl FeedbackTable {
    /// The table of `samples` training samples before the first step.
    #[must_use]
    pub fn init(samples: usize) -> Self {
        Self { labels: vec![NONE; samples], step: 0 }
    }

    /// A table from its parts; `None` if an entry is no class of the spec.
    #[must_use]
    pub fn from_parts(spec: &NetworkSpec, labels: Vec<u8>, step: u64) -> Option<Self> {
        let is_entry = |&label: &u8| label == NONE || usize::from(label) < spec.classes;
        labels.iter().all(is_entry).then_some(Self { labels, step })
    }

    /// The bytes, one a sample.
    #[must_use]
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// Steps done.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The wrong label of a sample, if one was drawn and it is not `right`, which only a
    /// false table could say.
    pub(crate) fn wrong(&self, sample: u32, right: u8) -> Option<u8> {
        let label = self.labels.get(sample as usize).copied()?;
        (label != NONE && label != right).then_some(label)
    }

    /// One step of the feedback shard: draws a wrong label for each sample of a mini-batch from its
    /// logits (B x classes) over the spec's temperature, in an epoch counted from 0. `samples` are
    /// numbers in the data set, `labels` their right labels.
    ///
    /// # Errors
    /// If a logit is not finite; then nothing is drawn.
    pub fn learn(
        &mut self,
        spec: &NetworkSpec,
        samples: &[u32],
        labels: &[u8],
        logits: &Array2<f32>,
    ) -> Result<(), Fault> {
        if !logits.iter().all(|x| x.is_finite()) {
            return Err(Fault::Head);
        }
        let epoch = self.step / spec.steps_per_epoch;
        let mut stream = Key { epoch, ..Key::new(spec.seed, Purpose::AdaptiveNegative) }.stream();
        for ((&sample, &label), logits) in samples.iter().zip(labels).zip(logits.outer_iter()) {
            stream.at(u64::from(sample));
            let logits = logits.iter().map(|x| x / spec.negative_temperature);
            let wrong = draw(logits, label, stream.unit());
            if let Some(entry) = self.labels.get_mut(sample as usize) {
                *entry = wrong;
            }
        }
        self.step += 1;
        Ok(())
    }
}

/// The wrong class at `at` (0 to 1) of the softmax over the wrong classes.
fn draw(logits: impl Iterator<Item = f32> + Clone, right: u8, at: f32) -> u8 {
    let wrong = logits.enumerate().filter(|(class, _)| *class != usize::from(right));
    let top = wrong.clone().fold(f32::NEG_INFINITY, |top, (_, x)| if x > top { x } else { top });
    let weight = |x: f32| libm::expf(x - top);
    let total = wrong.clone().fold(0.0, |sum, (_, x)| sum + weight(x));
    let mut left = at * total;
    let mut last = NONE;
    for (class, x) in wrong {
        last = class as u8;
        left -= weight(x);
        if left < 0.0 {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::Negatives;

    fn spec() -> NetworkSpec {
        NetworkSpec { negatives: Negatives::Adaptive, ..NetworkSpec::hinton(vec![20, 8], 4) }
    }

    #[test]
    fn wrong_classes_are_drawn_as_often_as_the_network_takes_them_for_right() {
        let logits = array![[3.0f32, 1.0, 0.0, -40.0]];
        let logits = logits.broadcast((8_000, 4)).unwrap().to_owned();
        let samples: Vec<u32> = (0..8_000).collect();
        let mut table = FeedbackTable::init(8_000);
        table.learn(&spec(), &samples, &[0; 8_000], &logits).unwrap();
        let count = |class| table.labels().iter().filter(|label| **label == class).count();
        let expected = 8_000.0 / (1.0 + (-1.0f64).exp());
        assert_eq!((count(0), count(3), count(NONE)), (0, 0, 0));
        assert!((count(1) as f64 - expected).abs() < 150.0, "{}", count(1));
    }

    #[test]
    fn a_high_temperature_draws_wrong_classes_alike() {
        let logits = array![[3.0f32, 4.0, 0.0, -4.0]].broadcast((6_000, 4)).unwrap().to_owned();
        let samples: Vec<u32> = (0..6_000).collect();
        let counts = |negative_temperature| {
            let spec = NetworkSpec { negative_temperature, ..spec() };
            let mut table = FeedbackTable::init(6_000);
            table.learn(&spec, &samples, &[0; 6_000], &logits).unwrap();
            [1, 2, 3].map(|class| table.labels().iter().filter(|it| **it == class).count())
        };
        assert!(counts(1e4).iter().all(|count| (1_850..2_150).contains(count)));
        let total: f64 = [4.0, 0.0, -4.0].map(|x: f64| (x / 4.0).exp()).iter().sum();
        for (count, x) in counts(4.0).into_iter().zip([4.0f64, 0.0, -4.0]) {
            assert!((count as f64 - 6_000.0 * (x / 4.0).exp() / total).abs() < 150.0, "{count}");
        }
    }

    #[test]
    fn a_draw_belongs_to_sample_and_epoch() {
        let logits = Array2::zeros((4, 4));
        let draw = |samples: &[u32], steps: u64| {
            let mut table = FeedbackTable { labels: vec![NONE; 50], step: steps };
            table.learn(&spec(), samples, &[1; 4], &logits).unwrap();
            table.labels
        };
        let (one, other) = (draw(&[7, 8, 9, 10], 0), draw(&[10, 30, 31, 32], 0));
        assert_eq!(one[10], other[10]);
        let entries = |step| draw(&[7, 8, 9, 10], step)[7..11].to_vec();
        assert!((1..9).any(|epoch| entries(epoch) != entries(0)));
        assert!(one.iter().enumerate().all(|(at, &it)| (it == NONE) != (7..11).contains(&at)));
    }

    #[test]
    fn a_label_that_is_right_or_no_class_is_not_given() {
        let table = FeedbackTable::from_parts(&spec(), vec![2, NONE, 0], 5).unwrap();
        let given = [table.wrong(0, 1), table.wrong(0, 2), table.wrong(1, 0), table.wrong(9, 0)];
        assert_eq!(given, [Some(2), None, None, None]);
        assert!(FeedbackTable::from_parts(&spec(), vec![4], 5).is_none());
    }

    #[test]
    fn logits_that_are_not_finite_still_give_a_wrong_class() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let wrong = draw([bad; 4].into_iter(), 3, 0.5);
            assert!(wrong < 3, "{bad}: {wrong}");
            let mut table = FeedbackTable::init(2);
            let refused = table.learn(&spec(), &[0, 1], &[0, 1], &array![[0.0; 4], [bad; 4]]);
            assert_eq!((refused, table), (Err(Fault::Head), FeedbackTable::init(2)));
        }
    }
}
