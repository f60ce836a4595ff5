//! The pen: smooth curves through points, drawn as soft round strokes on a grey canvas.
//!
//! A pixel keeps how deep it lies inside the nearest stroke, so strokes that cross do not add up
//! and drawing order is irrelevant.
//!
//! Rule: plain IEEE single precision in a written order (add, multiply, divide, square root), so
//! every machine draws the same canvas.

/// Pixels along each side of an image.
pub(super) const SIDE: usize = 28;

/// Pixels of an image.
pub(super) const PIXELS: usize = SIDE * SIDE;

/// A place on the canvas in pixels; the centre of the top left pixel is (0, 0).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

impl Point {
    fn distance(self, other: Self) -> f32 {
        let (dx, dy) = (self.x - other.x, self.y - other.y);
        (dx * dx + dy * dy).sqrt()
    }
}

/// Half of the pen's width in pixels, where a stroke begins and where it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nib {
    pub(super) first: f32,
    pub(super) last: f32,
}

/// Depth of a pixel that no stroke came near.
const FAR: f32 = -1.0e3;

/// A curve is drawn as straight pieces of about this many pixels ...
const PIECE: f32 = 1.5;

/// ... but never of more than this many pieces between two of its points.
const MOST_PIECES: usize = 12;

/// The depth of every pixel inside the strokes: positive inside, negative outside, in pixels.
pub(super) struct Canvas {
    depth: [f32; PIXELS],
    softness: f32,
}

impl Canvas {
    /// An empty canvas whose strokes fade out over `2 * softness` pixels.
    pub(super) fn new(softness: f32) -> Self {
        Self { depth: [FAR; PIXELS], softness }
    }

    /// Draws a smooth stroke through `points`; two equal points in a row are a corner.
    pub(super) fn stroke(&mut self, points: &[Point], nib: Nib) {
        let spans = points.len().saturating_sub(1);
        for i in 0..spans {
            let (from, to) = (points[i], points[i + 1]);
            if from == to {
                continue;
            }
            let before = if i > 0 { points[i - 1] } else { from };
            let after = if i + 2 < points.len() { points[i + 2] } else { to };
            let width =
                |step: usize| nib.first + (nib.last - nib.first) * step as f32 / spans as f32;
            self.span([before, from, to, after], width(i), width(i + 1));
        }
    }

    /// One Catmull-Rom span, from the second to the third of `p`.
    fn span(&mut self, p: [Point; 4], first: f32, last: f32) {
        let length = p[1].distance(p[2]);
        let pieces = ((length / PIECE) as usize + 1).min(MOST_PIECES);
        let mut from = p[1];
        for piece in 1..=pieces {
            let t = piece as f32 / pieces as f32;
            let to = Point {
                x: spline([p[0].x, p[1].x, p[2].x, p[3].x], t),
                y: spline([p[0].y, p[1].y, p[2].y, p[3].y], t),
            };
            self.segment(from, to, first + (last - first) * t);
            from = to;
        }
    }

    /// A straight piece with round ends, `radius` pixels to each side.
    pub(super) fn segment(&mut self, a: Point, b: Point, radius: f32) {
        let reach = radius + self.softness;
        let (dx, dy) = (b.x - a.x, b.y - a.y);
        let squared = dx * dx + dy * dy;
        let inverse = if squared > 0.0 { 1.0 / squared } else { 0.0 };
        for y in covered(a.y, b.y, reach) {
            let py = y as f32 - a.y;
            let columns = covered(a.x, b.x, reach);
            let start = columns.start;
            let row = &mut self.depth[y * SIDE..(y + 1) * SIDE][columns];
            for (x, depth) in row.iter_mut().enumerate() {
                let px = (start + x) as f32 - a.x;
                let t = ((px * dx + py * dy) * inverse).clamp(0.0, 1.0);
                let (ex, ey) = (px - t * dx, py - t * dy);
                *depth = depth.max(radius - (ex * ex + ey * ey).sqrt());
            }
        }
    }

    /// The ink of every pixel, 0 to 1, with edges that fade smoothly.
    pub(super) fn ink(&self) -> [f32; PIXELS] {
        self.depth.map(|depth| {
            let t = ((depth + self.softness) / (2.0 * self.softness)).clamp(0.0, 1.0);
            t * t * (3.0 - 2.0 * t)
        })
    }
}

/// The pixels within `reach` of the interval between `a` and `b`, as far as the canvas goes.
fn covered(a: f32, b: f32, reach: f32) -> std::ops::Range<usize> {
    let end = (a.max(b) + reach + 1.0).clamp(0.0, SIDE as f32) as usize;
    let start = (a.min(b) - reach).max(0.0) as usize;
    start.min(end)..end
}

/// A Catmull-Rom spline through `p[1]` (at `t` = 0) and `p[2]` (at `t` = 1).
fn spline(p: [f32; 4], t: f32) -> f32 {
    let a = 2.0 * p[1];
    let b = p[2] - p[0];
    let c = 2.0 * p[0] - 5.0 * p[1] + 4.0 * p[2] - p[3];
    let d = 3.0 * p[1] - p[0] - 3.0 * p[2] + p[3];
    0.5 * (a + t * (b + t * (c + t * d)))
}

/// Mixes each pixel with its eight neighbours (weights 1, 2, 1 each way): `amount` 0 leaves the
/// picture alone, 1 blurs it fully. Beyond the border there is no ink.
pub(super) fn blur(ink: &mut [f32; PIXELS], amount: f32) {
    let mut across = [0.0; PIXELS];
    for (out, row) in across.chunks_exact_mut(SIDE).zip(ink.chunks_exact(SIDE)) {
        for x in 0..SIDE {
            let left = if x > 0 { row[x - 1] } else { 0.0 };
            let right = if x + 1 < SIDE { row[x + 1] } else { 0.0 };
            out[x] = 0.25 * left + 0.5 * row[x] + 0.25 * right;
        }
    }
    for i in 0..PIXELS {
        let above = if i >= SIDE { across[i - SIDE] } else { 0.0 };
        let below = if i + SIDE < PIXELS { across[i + SIDE] } else { 0.0 };
        let blurred = 0.25 * above + 0.5 * across[i] + 0.25 * below;
        ink[i] += amount * (blurred - ink[i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NIB: Nib = Nib { first: 1.5, last: 1.5 };

    fn at(ink: &[f32; PIXELS], x: usize, y: usize) -> f32 {
        ink[y * SIDE + x]
    }

    #[test]
    fn a_stroke_inks_its_path_and_nothing_far_away() {
        let mut canvas = Canvas::new(0.5);
        canvas.stroke(&[Point { x: 4.0, y: 10.0 }, Point { x: 20.0, y: 10.0 }], NIB);
        let ink = canvas.ink();
        assert_eq!(at(&ink, 4, 10), 1.0);
        assert_eq!(at(&ink, 12, 11), 1.0);
        assert_eq!(at(&ink, 12, 13), 0.0);
        assert_eq!(at(&ink, 24, 10), 0.0);
    }

    #[test]
    fn strokes_beyond_the_canvas_are_cut_off() {
        let mut canvas = Canvas::new(0.5);
        canvas.stroke(&[Point { x: -90.0, y: -90.0 }, Point { x: -60.0, y: -80.0 }], NIB);
        canvas.stroke(&[Point { x: 70.0, y: 10.0 }, Point { x: 90.0, y: 300.0 }], NIB);
        assert!(canvas.ink().iter().all(|&ink| ink == 0.0));
    }

    #[test]
    fn curves_pass_through_their_points_and_turn_at_corners() {
        let p = [3.0, 5.0, 11.0, 4.0];
        assert_eq!((spline(p, 0.0), spline(p, 1.0)), (5.0, 11.0));
        let (low, high) = (Point { x: 5.0, y: 20.0 }, Point { x: 20.0, y: 20.0 });
        let mut canvas = Canvas::new(0.5);
        canvas.stroke(&[Point { x: 5.0, y: 5.0 }, low, low, high], NIB);
        let ink = canvas.ink();
        assert_eq!((at(&ink, 5, 20), at(&ink, 20, 20)), (1.0, 1.0));
        assert_eq!(at(&ink, 12, 24), 0.0);
    }

    #[test]
    fn blur_spreads_ink_and_keeps_its_sum() {
        let mut ink = [0.0; PIXELS];
        ink[14 * SIDE + 14] = 1.0;
        blur(&mut ink, 1.0);
        assert_eq!((at(&ink, 14, 14), at(&ink, 13, 14), at(&ink, 15, 15)), (0.25, 0.125, 0.0625));
        assert_eq!(ink.iter().sum::<f32>(), 1.0);
    }
}
