//! The order of the samples in an epoch, and their wrong labels.
//!
//! Rule: a function of the seed, the epoch and the sample's number; never of the batch a
//! sample happens to sit in, and never the right label.

use super::feedback::FeedbackTable;
use crate::rng::{Key, Purpose};
use crate::spec::{Negatives, NetworkSpec};

/// A wrong label for each of a batch's samples; empty where there is no negative pass. The entry of
/// a sample in `table` comes first, the rest is uniform over the wrong classes. `samples` are numbers
/// in the data set, `labels` their right labels (below `classes`).
#[must_use]
pub fn negative_labels(
    spec: &NetworkSpec,
    epoch: u64,
    samples: &[u32],
    labels: &[u8],
    table: Option<&FeedbackTable>,
) -> Vec<u8> {
    let key = match spec.negatives {
        Negatives::Fixed => Key::new(spec.seed, Purpose::FixedNegative),
        Negatives::Random | Negatives::Adaptive => {
            Key { epoch, ..Key::new(spec.seed, Purpose::RandomNegative) }
        }
        Negatives::None => return Vec::new(),
    };
    let mut stream = key.stream();
    let wrong = |(&sample, &label): (&u32, &u8)| {
        if let Some(wrong) = table.and_then(|table| table.wrong(sample, label)) {
            return wrong;
        }
        stream.at(u64::from(sample));
        let other = stream.below(spec.classes as u32 - 1) as u8;
        other + u8::from(other >= label)
    };
    samples.iter().zip(labels).map(wrong).collect()
}

/// The order of `n` samples in an epoch (Fisher and Yates, from the last to the first).
#[must_use]
pub fn epoch_order(seed: u64, epoch: u64, n: u32) -> Vec<u32> {
    let mut stream = Key { epoch, ..Key::new(seed, Purpose::Order) }.stream();
    let mut order: Vec<u32> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last as usize, stream.below(last + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(negatives: Negatives) -> NetworkSpec {
        NetworkSpec { negatives, ..NetworkSpec::hinton(vec![20, 8], 10) }
    }

    #[test]
    fn negatives_are_wrong_and_even() {
        let samples: Vec<u32> = (0..9000).collect();
        for label in [0, 4, 9] {
            let labels = vec![label; samples.len()];
            for kind in [Negatives::Fixed, Negatives::Random] {
                let mut counts = [0; 10];
                for wrong in negative_labels(&spec(kind), 3, &samples, &labels, None) {
                    counts[usize::from(wrong)] += 1;
                }
                let right = usize::from(label);
                assert_eq!(counts[right], 0);
                let even = |k: usize| (850..1150).contains(&counts[k]);
                assert!((0..10).all(|k| k == right || even(k)), "{counts:?}");
            }
        }
        let wide = NetworkSpec { classes: 256, ..spec(Negatives::Random) };
        let wrong = negative_labels(&wide, 0, &samples, &vec![255; samples.len()], None);
        assert!(wrong.iter().all(|&label| label != 255));
    }

    #[test]
    fn negatives_belong_to_the_sample() {
        let labels = [1; 100];
        let samples: Vec<u32> = (0..100).collect();
        let (fixed, random) = (spec(Negatives::Fixed), spec(Negatives::Random));
        let whole = negative_labels(&random, 2, &samples, &labels, None);
        assert_eq!(
            negative_labels(&random, 2, &samples[40..60], &labels[40..60], None),
            whole[40..60]
        );
        assert_ne!(negative_labels(&random, 3, &samples, &labels, None), whole);
        assert_eq!(
            negative_labels(&fixed, 2, &samples, &labels, None),
            negative_labels(&fixed, 3, &samples, &labels, None)
        );
    }

    #[test]
    fn an_epoch_visits_every_sample_once() {
        for n in [0, 1, 2, 1000] {
            let mut order = epoch_order(5, 1, n);
            order.sort_unstable();
            assert_eq!(order, (0..n).collect::<Vec<u32>>());
        }
        assert_ne!(epoch_order(5, 1, 100), epoch_order(5, 2, 100));
        assert_ne!(epoch_order(5, 1, 100), epoch_order(6, 1, 100));
    }
}
