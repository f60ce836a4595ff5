//! Images moved and mirrored, so that a sample is not the same in every epoch.
//!
//! Rule: what is done to a sample follows from the seed, the epoch and the sample's number, so
//! it is the same wherever the sample is trained. Labels are written afterwards, and all passes of
//! a step see the same image.

use ndarray::Array2;

use crate::numerics::matrix::flat_mut;
use crate::rng::{Key, Purpose, Stream};
use crate::spec::NetworkSpec;

/// The layout of the pixels of an image: plane after plane, each row by row from the top left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Planes: 1 for grey, 3 for colour.
    pub channels: usize,
    /// Rows of a plane.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
}

/// A shift and a mirroring of one image.
struct Change {
    /// Pixels to the right and down.
    shift: (isize, isize),
    /// Left becomes right, before the shift.
    flip: bool,
}

impl Change {
    /// Each shift from -n to n and both directions alike; a sample's own draws in this order.
    fn draw(spec: &NetworkSpec, stream: &mut Stream, sample: u32) -> Self {
        stream.at(u64::from(sample));
        let mut shift = || stream.below(2 * spec.shift as u32 + 1) as isize - spec.shift as isize;
        let shift = (shift(), shift());
        Self { shift, flip: spec.flip && stream.below(2) == 1 }
    }

    /// The changed `from`, with zeros where nothing came from.
    fn apply(&self, frame: Frame, from: &[f32], to: &mut [f32]) {
        let (width, plane) = (frame.width, frame.width * frame.height);
        to.fill(0.0);
        for (from, to) in from.chunks_exact(plane).zip(to.chunks_exact_mut(plane)) {
            for (y, row) in from.chunks_exact(width).enumerate() {
                let Some(y) = moved(y, self.shift.1, frame.height) else { continue };
                let to = &mut to[y * width..(y + 1) * width];
                for (x, &value) in row.iter().enumerate() {
                    let x = if self.flip { width - 1 - x } else { x };
                    if let Some(x) = moved(x, self.shift.0, width) {
                        to[x] = value;
                    }
                }
            }
        }
    }
}

/// A place moved by `by`, where it is still inside.
fn moved(place: usize, by: isize, size: usize) -> Option<usize> {
    place.checked_add_signed(by).filter(|&place| place < size)
}

/// Changes the images of samples (N x D, as they are) as the spec asks in an epoch.
///
/// # Panics
/// If the images do not fill the frame, or there are not as many as samples.
pub fn augment(
    spec: &NetworkSpec,
    epoch: u64,
    samples: &[u32],
    frame: Frame,
    pixels: &mut Array2<f32>,
) {
    if spec.shift == 0 && !spec.flip {
        return;
    }
    let width = pixels.ncols();
    assert_eq!((samples.len(), frame.channels * frame.height * frame.width), pixels.dim());
    let mut stream = Key { epoch, ..Key::new(spec.seed, Purpose::Augment) }.stream();
    let mut copy = vec![0.0; width];
    for (image, &sample) in flat_mut(pixels).chunks_exact_mut(width).zip(samples) {
        copy.copy_from_slice(image);
        Change::draw(spec, &mut stream, sample).apply(frame, &copy, image);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame { channels: 2, height: 2, width: 3 };

    fn spec(shift: usize, flip: bool) -> NetworkSpec {
        NetworkSpec { shift, flip, seed: 0, ..NetworkSpec::hinton(vec![12, 4], 2) }
    }

    #[test]
    fn pixels_move_within_their_plane_and_zeros_follow() {
        let from: Vec<f32> = (1..=12u8).map(f32::from).collect();
        let apply = |shift, flip| {
            let mut to = vec![9.0; 12];
            Change { shift, flip }.apply(FRAME, &from, &mut to);
            to
        };
        assert_eq!(apply((0, 0), false), from);
        assert_eq!(apply((1, 1), false), [0., 0., 0., 0., 1., 2., 0., 0., 0., 0., 7., 8.]);
        assert_eq!(apply((-2, 0), false), [3., 0., 0., 6., 0., 0., 9., 0., 0., 12., 0., 0.]);
        assert_eq!(apply((0, 0), true), [3., 2., 1., 6., 5., 4., 9., 8., 7., 12., 11., 10.]);
        assert_eq!(apply((1, -1), true), [0., 6., 5., 0., 0., 0., 0., 12., 11., 0., 0., 0.]);
        assert_eq!(apply((5, 0), false), [0.; 12]);
    }

    #[test]
    fn a_change_belongs_to_the_sample_and_the_epoch() {
        let spec = spec(2, true);
        let images = |samples: &[u32], epoch| {
            let value = |(row, pixel)| (samples[row] as usize * 12 + pixel) as f32 + 1.0;
            let mut pixels = Array2::from_shape_fn((samples.len(), 12), value);
            augment(&spec, epoch, samples, FRAME, &mut pixels);
            pixels
        };
        let samples: Vec<u32> = (0..50).collect();
        let whole = images(&samples, 1);
        for (row, &sample) in samples.iter().enumerate() {
            assert_eq!(images(&[sample], 1).row(0), whole.row(row));
        }
        assert_ne!(images(&samples, 2), whole);
    }

    #[test]
    fn the_first_changes_are_pinned() {
        let spec = spec(2, true);
        let mut stream = Key::new(spec.seed, Purpose::Augment).stream();
        let changes = [0, 1, 2].map(|sample| {
            let change = Change::draw(&spec, &mut stream, sample);
            (change.shift, change.flip)
        });
        assert_eq!(changes, [((2, 1), false), ((1, 0), false), ((1, 1), false)]);
    }

    #[test]
    fn every_change_is_as_likely_as_any_other() {
        let spec = spec(1, true);
        let mut stream = Key::new(spec.seed, Purpose::Augment).stream();
        let mut counts = std::collections::BTreeMap::new();
        for sample in 0..18_000 {
            let change = Change::draw(&spec, &mut stream, sample);
            *counts.entry((change.shift, change.flip)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 18);
        assert!(counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
    }
}
