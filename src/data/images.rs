//! Images as bytes, and as rows of a batch.
//!
//! Rule: pixels stay bytes; only a batch becomes floating point.

use std::fmt;

use ndarray::{Array2, aview1};

/// Images of one shape, a byte a pixel: 0 (background, black) to 255 (ink, full colour).
pub struct Images {
    pub(super) width: usize,
    pub(super) pixels: Vec<u8>,
}

impl Images {
    /// The number of images.
    pub fn count(&self) -> usize {
        self.pixels.len() / self.width
    }

    /// Pixels of an image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The pixels of image `i`: its planes one after the other, each row by row from the top left.
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

/// The given images as rows of a batch, [samples, width], scaled to [0, 1].
///
/// # Panics
/// If `samples` names an image that is not there.
pub fn gather(images: &Images, samples: &[u32]) -> Array2<f32> {
    gather_in(Array2::default((0, 0)), images, samples)
}

/// As [`gather`], in the memory of an older row-major matrix if it has the shape.
pub fn gather_in(old: Array2<f32>, images: &Images, samples: &[u32]) -> Array2<f32> {
    let shape = (samples.len(), images.width);
    let mut batch = if old.dim() == shape { old } else { Array2::zeros(shape) };
    for (mut row, &sample) in batch.outer_iter_mut().zip(samples) {
        let pixels = aview1(images.row(sample as usize));
        row.zip_mut_with(&pixels, |to, &from| *to = f32::from(from) / 255.0);
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_scaled() {
        let images = Images { width: 4, pixels: vec![0, 51, 102, 255, 255, 255, 0, 51] };
        let batch = gather(&images, &[1, 0, 1]);
        let expected =
            ndarray::array![[1.0, 1.0, 0.0, 0.2], [0.0, 0.2, 0.4, 1.0], [1.0, 1.0, 0.0, 0.2]];
        assert_eq!(batch, expected);
        assert_eq!(gather(&images, &[]).dim(), (0, 4));
    }
}
