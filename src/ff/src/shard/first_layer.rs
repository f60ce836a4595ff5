//! The first layer, where labels enter: each label of an image costs one added row, not a product.
//! Where no label enters the input, an image is a layer's output like any other.
//!
//! Rule: an image is multiplied once. With x the image with empty label slots and s the label
//! strength, the length r of the input is the same for every label y, so the normalised input's
//! product is (x W + s W\[y\]) / r, and the neutral one's (x W + s/C sum of W\[c\]) / r0.

use ndarray::Array2;

use super::goodness::add_columns;
use crate::numerics::matrix::{columns_mut, flat, flat_mut};
use crate::numerics::reductions::{inverse_rms, sum, sum_squares};
use crate::numerics::workers::{Workers, each, share};
use crate::spec::{LabelEmbedding, NetworkSpec};

/// The input of the first layer in one step, B samples of D pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct FirstInput {
    /// B x D pixels as `prepare` leaves them, row-major.
    pub pixels: Array2<f32>,
    /// B right labels.
    pub labels: Vec<u8>,
    /// B wrong labels; empty without a negative pass.
    pub negatives: Vec<u8>,
}

impl FirstInput {
    /// A mini-batch of images as they are (B x D, about 0 to 1).
    #[must_use]
    pub fn new(
        spec: &NetworkSpec,
        pixels: Array2<f32>,
        labels: Vec<u8>,
        negatives: Vec<u8>,
    ) -> Self {
        Self { pixels: prepare(spec, pixels), labels, negatives }
    }
}

/// Images (N x D, as they are) as the first layer reads them. With labels: the first `classes`
/// columns are empty slots, and nothing is scaled, because the label counts for the scale. Without:
/// scaled to mean square 1.
pub(crate) fn prepare(spec: &NetworkSpec, mut pixels: Array2<f32>) -> Array2<f32> {
    let (images, width) = pixels.dim();
    if spec.contrast_normalization {
        flat_mut(&mut pixels).chunks_exact_mut(width).for_each(normalize_contrast);
    }
    match spec.label_embedding {
        LabelEmbedding::Overlay => columns_mut(&mut pixels, 0..spec.classes).fill(0.0),
        LabelEmbedding::Append => {
            let slots = spec.classes;
            let mut wider = Array2::zeros((images, slots + width));
            columns_mut(&mut wider, slots..slots + width).assign(&pixels);
            return wider;
        }
        LabelEmbedding::None => {
            for row in flat_mut(&mut pixels).chunks_exact_mut(width) {
                let scale = inverse_rms(sum_squares(row), width);
                row.iter_mut().for_each(|x| *x *= scale);
            }
        }
    }
    pixels
}

/// An image minus its mean, scaled to mean square 1.
fn normalize_contrast(image: &mut [f32]) {
    let mean = sum(image) / image.len() as f32;
    image.iter_mut().for_each(|x| *x -= mean);
    let scale = inverse_rms(sum_squares(image), image.len());
    image.iter_mut().for_each(|x| *x *= scale);
}

/// The part of a label in the product of an image, next to `x W`.
pub(crate) struct Labels<'a> {
    /// classes x width: the weights of the label slots.
    rows: &'a [f32],
    /// The sum of the rows, in order.
    total: Vec<f32>,
    strength: f32,
    neutral: f32,
}

/// One over the root mean square of an image's input, with one label and with the neutral one.
pub(crate) struct Scales {
    labelled: Vec<f32>,
    neutral: Vec<f32>,
}

impl<'a> Labels<'a> {
    pub(crate) fn new(spec: &NetworkSpec, weights: &'a Array2<f32>) -> Self {
        let rows = &flat(weights)[..spec.classes * weights.ncols()];
        let mut total = vec![0.0; weights.ncols()];
        add_columns(rows, &mut total);
        let neutral = spec.label_strength / spec.classes as f32;
        Self { rows, total, strength: spec.label_strength, neutral }
    }

    /// The row, its factor and the image's scale for a label, or for the neutral one.
    fn row(&self, label: Option<u8>, scales: &Scales, image: usize) -> (&[f32], f32, f32) {
        match label {
            None => (&self.total, self.neutral, scales.neutral[image]),
            Some(label) => {
                let start = usize::from(label) * self.total.len();
                let row = &self.rows[start..start + self.total.len()];
                (row, self.strength, scales.labelled[image])
            }
        }
    }

    /// `z` = (product + factor * label row) * scale for every pass and image, pass by pass, without
    /// the bias. `label(pass, image)` says which label, None for the neutral one.
    pub(crate) fn spread<F>(
        &self,
        product: &[f32],
        scales: &Scales,
        z: &mut [f32],
        label: &F,
        workers: &dyn Workers,
    ) where
        F: Fn(usize, usize) -> Option<u8> + Sync,
    {
        let (width, images) = (self.total.len(), scales.labelled.len());
        let rows = share(z.len() / width, 1, workers);
        let parts = z.chunks_mut(rows * width).enumerate();
        each(workers, parts, &|(part, z): (usize, &mut [f32])| {
            for (k, z) in z.chunks_exact_mut(width).enumerate() {
                let k = part * rows + k;
                let image = k % images;
                let (row, factor, scale) = self.row(label(k / images, image), scales, image);
                let product = &product[image * width..(image + 1) * width];
                for ((z, p), w) in z.iter_mut().zip(product).zip(row) {
                    *z = (p + factor * w) * scale;
                }
            }
        });
    }
}

impl Scales {
    /// Of images (N x D) with empty label slots.
    pub(crate) fn new(spec: &NetworkSpec, pixels: &Array2<f32>) -> Self {
        let width = pixels.ncols();
        let energy = spec.label_strength * spec.label_strength;
        let squares: Vec<f32> = flat(pixels).chunks_exact(width).map(sum_squares).collect();
        let scale = |energy: f32| {
            squares.iter().map(|square| inverse_rms(energy + square, width)).collect()
        };
        Self { labelled: scale(energy), neutral: scale(energy / spec.classes as f32) }
    }

    /// The weight gradient of both passes as one product: with d+ and d- the directions (2B x
    /// width), `shared` = (d+ + d-) / r goes with the pixels, and each label's slot gets s d / r of
    /// the samples that carry it, in batch order, positives first.
    pub(crate) fn gather(
        &self,
        directions: &[f32],
        input: &FirstInput,
        strength: f32,
        shared: &mut Array2<f32>,
        slots: &mut Array2<f32>,
    ) {
        let width = shared.ncols();
        let (positive, negative) = directions.split_at(directions.len() / 2);
        let pairs = positive.chunks_exact(width).zip(negative.chunks_exact(width));
        let rows = flat_mut(shared).chunks_exact_mut(width);
        for ((row, (p, n)), scale) in rows.zip(pairs).zip(&self.labelled) {
            for ((x, p), n) in row.iter_mut().zip(p).zip(n) {
                *x = (p + n) * scale;
            }
        }
        slots.fill(0.0);
        for (directions, labels) in [(positive, &input.labels), (negative, &input.negatives)] {
            let rows = directions.chunks_exact(width).zip(labels).zip(&self.labelled);
            for ((row, &label), scale) in rows {
                let slot = usize::from(label) * width;
                let slot = &mut flat_mut(slots)[slot..slot + width];
                for (x, d) in slot.iter_mut().zip(row) {
                    *x += strength * scale * d;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::{Objective, Optimizer};

    #[test]
    fn images_are_prepared_for_their_labels() {
        let spec = |objective| NetworkSpec::default_for(objective, Optimizer::Sgd, vec![4, 2], 2);
        let pixels = array![[1.0, 1.0, 3.0, 1.0], [0.0, 0.0, 0.0, 0.0]];
        let slots = prepare(&spec(Objective::Goodness), pixels.clone());
        assert_eq!(slots, array![[0.0, 0.0, 3.0, 1.0], [0.0, 0.0, 0.0, 0.0]]);
        let label_embedding = LabelEmbedding::Append;
        let append = NetworkSpec { label_embedding, ..spec(Objective::Goodness) };
        let appended = array![[0.0, 0.0, 1.0, 1.0, 3.0, 1.0], [0.0; 6]];
        assert_eq!(prepare(&append, pixels.clone()), appended);
        let scaled = prepare(&spec(Objective::Softmax), pixels.clone());
        assert!((scaled - pixels / 3f32.sqrt()).iter().all(|x| x.abs() < 1e-6));
    }

    #[test]
    fn contrast_is_normalized_before_labels_are_written() {
        let default = NetworkSpec::default_for(Objective::Goodness, Optimizer::Sgd, vec![4, 2], 2);
        let spec = NetworkSpec { contrast_normalization: true, ..default };
        let pixels = array![[0.2, 0.4, 0.2, 0.4], [0.0, 0.0, 0.0, 1.0], [0.7, 0.7, 0.7, 0.7]];
        let far = 3f32.sqrt();
        let expected: Array2<f32> =
            array![[0.0, 0.0, -1.0, 1.0], [0.0, 0.0, -1.0 / far, far], [0.0; 4]];
        let prepared = prepare(&spec, pixels);
        assert!((prepared - expected).iter().all(|x| x.abs() < 1e-5));
    }
}
