//! Data sets: what a run learns from, and what it is judged by.
//!
//! Pixels stay bytes; only a batch becomes floating point.

mod batches;
mod digits;
mod idx;
mod pen;
mod random;
mod strokes;

use std::fmt;

use ndarray::{Array2, aview1};

pub use batches::{BatchSizeError, Batches};

/// Grey images of one width, 0 (background) to 255 (ink).
pub struct Images {
    width: usize,
    pixels: Vec<u8>,
}

impl Images {
    /// How many images there are.
    pub fn count(&self) -> usize {
        self.pixels.len() / self.width
    }

    /// Pixels of an image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The pixels of image `i`, row by row from the top left.
    ///
    /// # Panics
    /// If there is no image `i`.
    pub fn row(&self, i: usize) -> &[u8] {
        &self.pixels[i * self.width..(i + 1) * self.width]
    }
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Images({} x {})", self.count(), self.width)
    }
}

/// The given images as rows of a batch, [samples, width], scaled to [0, 1]; the first `blank`
/// pixels of every row are zero, which leaves room for a label.
///
/// # Panics
/// If `samples` names an image that is not there.
pub fn gather(images: &Images, samples: &[u32], blank: usize) -> Array2<f32> {
    let mut batch = Array2::zeros((samples.len(), images.width));
    for (mut row, &sample) in batch.outer_iter_mut().zip(samples) {
        let pixels = aview1(images.row(sample as usize));
        row.zip_mut_with(&pixels, |to, &from| *to = f32::from(from) / 255.0);
        row.iter_mut().take(blank).for_each(|to| *to = 0.0);
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_scaled_and_leaves_room_for_the_label() {
        let images = Images { width: 4, pixels: vec![0, 51, 102, 255, 255, 255, 0, 51] };
        let batch = gather(&images, &[1, 0, 1], 1);
        let expected =
            ndarray::array![[0.0, 1.0, 0.0, 0.2], [0.0, 0.2, 0.4, 1.0], [0.0, 1.0, 0.0, 0.2]];
        assert_eq!(batch, expected);
        assert_eq!(gather(&images, &[1], 9).sum(), 0.0);
        assert_eq!(gather(&images, &[], 0).dim(), (0, 4));
    }
}
