//! The softmax head of a shard: the label that its neutral outputs speak for.
//!
//! Rule: no gradient ever travels down to another shard. With the goodness objective only the head's
//! own weights learn from it, and it corrects the logits of the layers below; with the softmax
//! objective it stands alone and its shard learns with it.

use ndarray::Array2;

use crate::numerics::matrix::flat_mut;
use crate::numerics::reductions::argmax;

/// The classification of a mini-batch.
pub(crate) struct Outcome {
    /// Mean cross-entropy, in nats.
    pub(crate) loss: f32,
    /// Samples whose largest logit was the label's.
    pub(crate) correct: u32,
}

/// Turns accumulated logits (B x classes) into ascent directions of the log-likelihood: one-hot
/// label minus softmax.
pub(crate) fn directions(logits: &mut Array2<f32>, labels: &[u8]) -> Outcome {
    let classes = logits.ncols();
    let (mut loss, mut correct) = (0.0f64, 0);
    for (row, &label) in flat_mut(logits).chunks_exact_mut(classes).zip(labels) {
        let (label, best) = (usize::from(label), argmax(row));
        correct += u32::from(best == label);
        let (top, own) = (row[best], row[label]);
        let mut total = 0.0;
        for x in row.iter_mut() {
            *x = libm::expf(*x - top);
            total += *x;
        }
        loss += f64::from(libm::logf(total) - (own - top));
        for x in row.iter_mut() {
            *x = -(*x / total);
        }
        row[label] += 1.0;
    }
    Outcome { loss: (loss / labels.len() as f64) as f32, correct }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn directions_are_the_gradient_of_the_log_likelihood() {
        let logits = array![[0.3f32, -1.2, 2.0], [40.0, 0.0, -900.0]];
        let labels = [1, 0];
        let loss = |logits: &Array2<f32>| f64::from(directions(&mut logits.clone(), &labels).loss);
        let mut exact = logits.clone();
        let outcome = directions(&mut exact, &labels);
        assert_eq!(outcome.correct, 1);
        for k in 0..3 {
            let (mut more, mut less) = (logits.clone(), logits.clone());
            more[[0, k]] += 1e-2;
            less[[0, k]] -= 1e-2;
            let slope = (loss(&more) - loss(&less)) / 2e-2;
            let expected = -f64::from(exact[[0, k]]) / 2.0;
            assert!((slope - expected).abs() < 1e-4, "{slope} {expected}");
        }
        assert!(exact.iter().all(|x| x.is_finite()));
    }
}
