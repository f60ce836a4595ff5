//! Handwritten-looking digits, made on the spot: a data set that needs no download.
//!
//! A sample takes a skeleton, bends it with a smooth random field and a trembling hand, stretches,
//! slants and turns it, and inks it with a pen of random width.
//!
//! Rule: a sample's bytes are a function of (seed, split, index) alone, equal on every machine, and
//! its label can be had without drawing it. Changing any number below changes the data set: raise
//! `VERSION`.

use super::{
    images::Images,
    pen::{Canvas, Nib, PIXELS, Point, SIDE, blur},
    random::Stream,
    strokes::{Style, styles},
};

/// The labels are 0 to 9.
pub(super) const CLASSES: usize = 10;

/// Names the exact way digits are drawn; part of the data set's id.
pub(super) const VERSION: &str = "v1";

/// Threads that may draw at once, whatever a caller asks for.
const MOST_THREADS: usize = 64;

/// The half of the data set that a sample belongs to; the halves share no random number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// Samples to learn from.
    Train,
    /// Samples to be scored on.
    Test,
}

/// The generated digits of one seed and split.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digits {
    pub(super) seed: u64,
    pub(super) split: Split,
}

impl Digits {
    fn stream(self, index: u32) -> Stream {
        Stream::new(self.seed, self.split as u8, index)
    }

    /// The label of sample `index`; costs one hash and draws nothing.
    pub(super) fn label(self, index: u32) -> u8 {
        self.stream(index).below(CLASSES) as u8
    }

    /// Draws sample `index`: ink 255 on 0, row by row from the top left.
    pub(super) fn draw(self, index: u32) -> [u8; PIXELS] {
        let mut random = self.stream(index);
        let digit = random.below(CLASSES) as u8;
        let choices = styles(digit);
        let style = choices[random.below(choices.len())];
        let strokes = write(style, &mut random);
        let mut ink = paint(&strokes, &mut random);
        blur(&mut ink, random.unit() * 0.5);
        develop(&ink, &mut random)
    }

    /// The labels of samples `0..count`.
    pub(super) fn labels(self, count: u32) -> Vec<u8> {
        (0..count).map(|index| self.label(index)).collect()
    }

    /// The images of samples `0..count`, drawn by `threads` threads (1 to [`MOST_THREADS`]).
    pub(super) fn images(self, count: u32, threads: usize) -> Images {
        let mut pixels = vec![0; count as usize * PIXELS];
        let share = (count as usize).div_ceil(threads.clamp(1, MOST_THREADS)).max(1);
        std::thread::scope(|scope| {
            for (part, rows) in pixels.chunks_mut(share * PIXELS).enumerate() {
                scope.spawn(move || {
                    for (i, row) in rows.chunks_exact_mut(PIXELS).enumerate() {
                        row.copy_from_slice(&self.draw((part * share + i) as u32));
                    }
                });
            }
        });
        Images { width: PIXELS, pixels }
    }
}

/// A smooth wave that pushes points aside: a low-frequency displacement.
struct Wave {
    across: f32,
    down: f32,
    phase: f32,
    push: f32,
}

impl Wave {
    /// At most about one period over the digit's box.
    fn new(random: &mut Stream, push: f32) -> Self {
        Self {
            across: random.between(-6.0, 6.0),
            down: random.between(-6.0, 6.0),
            phase: random.between(0.0, std::f32::consts::TAU),
            push: random.around(push),
        }
    }

    fn at(&self, x: f32, y: f32) -> f32 {
        self.push * libm::sinf(self.across * x + self.down * y + self.phase)
    }
}

/// One writer's hand: how it bends, sizes, slants and turns a skeleton.
struct Hand {
    waves_x: [Wave; 2],
    waves_y: [Wave; 2],
    width: f32,
    height: f32,
    slant: f32,
    turn: (f32, f32),
    tremble: f32,
}

impl Hand {
    fn new(random: &mut Stream) -> Self {
        let angle = 0.04 + random.around(0.28);
        Self {
            waves_x: [Wave::new(random, 0.16), Wave::new(random, 0.16)],
            waves_y: [Wave::new(random, 0.12), Wave::new(random, 0.12)],
            width: 13.0 + random.around(4.0),
            height: 18.5 + random.around(3.0),
            slant: 0.12 + random.around(0.4),
            turn: (libm::cosf(angle), libm::sinf(angle)),
            tremble: random.between(0.01, 0.055),
        }
    }

    /// The place of a skeleton point (percent of the box), in pixels around the box's centre.
    fn place(&self, point: (i8, i8), random: &mut Stream) -> Point {
        let x = f32::from(point.0) / 100.0 - 0.5;
        let y = f32::from(point.1) / 100.0 - 0.5;
        let bent_x = x + self.waves_x[0].at(x, y) + self.waves_x[1].at(x, y);
        let bent_y = y + self.waves_y[0].at(x, y) + self.waves_y[1].at(x, y);
        let across = (bent_x + random.around(self.tremble)) * self.width;
        let down = (bent_y + random.around(self.tremble)) * self.height;
        let slanted = across - self.slant * down;
        let (cos, sin) = self.turn;
        Point { x: slanted * cos - down * sin, y: slanted * sin + down * cos }
    }
}

/// The strokes of one sample on the canvas, in pixels.
fn write(style: Style, random: &mut Stream) -> Vec<Vec<Point>> {
    let hand = Hand::new(random);
    let mut strokes = Vec::with_capacity(style.len());
    for skeleton in style {
        let mut points: Vec<Point> = Vec::with_capacity(skeleton.len());
        for (i, &point) in skeleton.iter().enumerate() {
            match points.last() {
                Some(&corner) if skeleton[i - 1] == point => points.push(corner),
                _ => points.push(hand.place(point, random)),
            }
        }
        strokes.push(points);
    }
    settle(&mut strokes, random);
    strokes
}

/// Pixels kept free at each side for the pen's width.
const MARGIN: f32 = 2.5;

/// Centres the strokes' bounding box, then shifts it a little where there is room.
fn settle(strokes: &mut [Vec<Point>], random: &mut Stream) {
    let (mut low, mut high) = (Point { x: 1e3, y: 1e3 }, Point { x: -1e3, y: -1e3 });
    for point in strokes.iter().flatten() {
        low = Point { x: low.x.min(point.x), y: low.y.min(point.y) };
        high = Point { x: high.x.max(point.x), y: high.y.max(point.y) };
    }
    let middle = (SIDE - 1) as f32 / 2.0;
    let mut shift = |low: f32, high: f32| {
        let room = (middle - MARGIN - (high - low) / 2.0).max(0.0);
        middle - (low + high) / 2.0 + random.around(3.0).clamp(-room, room)
    };
    let (dx, dy) = (shift(low.x, high.x), shift(low.y, high.y));
    for point in strokes.iter_mut().flatten() {
        *point = Point { x: point.x + dx, y: point.y + dy };
    }
}

/// One sample in this many has stray specks of ink.
const SPECKS_IN: usize = 16;

/// Inks the strokes, and now and then a stray speck.
fn paint(strokes: &[Vec<Point>], random: &mut Stream) -> [f32; PIXELS] {
    let mut canvas = Canvas::new(random.between(0.5, 0.9));
    let radius = 1.35 + random.around(0.65);
    for points in strokes {
        let first = radius * random.between(0.85, 1.15);
        let last = radius * random.between(0.7, 1.1);
        canvas.stroke(points, Nib { first, last });
    }
    if random.below(SPECKS_IN) == 0 {
        for _ in 0..=random.below(2) {
            let speck = Point { x: random.between(0.0, 27.0), y: random.between(0.0, 27.0) };
            canvas.segment(speck, speck, random.between(0.2, 0.7));
        }
    }
    canvas.ink()
}

/// Turns ink into bytes: the pen's darkness, and the grain of the paper on every pixel.
fn develop(ink: &[f32; PIXELS], random: &mut Stream) -> [u8; PIXELS] {
    let darkness = 255.0 * random.between(0.8, 1.1);
    let grain = 255.0 * random.between(0.0, 0.12);
    let mut bytes = [0; PIXELS];
    random.bytes(&mut bytes);
    for (byte, &ink) in bytes.iter_mut().zip(ink) {
        let noise = (f32::from(*byte) - 127.5) / 255.0;
        *byte = (ink * darkness + noise * grain + 0.5) as u8;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Axis};

    use super::super::images::gather;
    use super::*;

    const TRAIN: Digits = Digits { seed: 0, split: Split::Train };
    const TEST: Digits = Digits { seed: 0, split: Split::Test };

    #[test]
    fn the_first_images_are_pinned() {
        let images = TRAIN.images(200, 1);
        let pin = "400ca0711cc7631c97057ec3b783fa4a63763f6086b9c1624df118e91ce9742f";
        assert_eq!(blake3::hash(&images.pixels).to_hex().as_str(), pin);
        assert_eq!(TRAIN.labels(8), [3, 7, 1, 3, 8, 4, 6, 4]);
    }

    #[test]
    fn a_sample_is_the_same_alone_and_on_any_number_of_threads() {
        let one = TRAIN.images(50, 1);
        for threads in [0, 2, 7, usize::MAX] {
            assert_eq!(one.pixels, TRAIN.images(50, threads).pixels);
        }
        assert_eq!(one.row(49), TRAIN.draw(49));
    }

    #[test]
    fn seeds_and_halves_share_no_sample() {
        assert_ne!(TRAIN.draw(0), TEST.draw(0));
        assert_ne!(TRAIN.draw(0), Digits { seed: 1, ..TRAIN }.draw(0));
        assert_ne!(TRAIN.labels(50), TEST.labels(50));
    }

    #[test]
    fn every_class_is_about_as_frequent() {
        let mut counts = [0; CLASSES];
        TRAIN.labels(10_000).iter().for_each(|&label| counts[usize::from(label)] += 1);
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }

    #[test]
    fn digits_are_inked_and_stay_off_the_border() {
        for index in 0..500 {
            let pixels = TRAIN.draw(index);
            let ink = pixels.iter().filter(|&&pixel| pixel > 128).count();
            assert!((12..350).contains(&ink), "sample {index} has {ink} dark pixels");
            let border = pixels[..SIDE].iter().filter(|&&pixel| pixel > 128).count();
            assert!(border < 4, "sample {index} runs into the border");
        }
    }

    /// Softmax regression by plain gradient descent: how far a linear model gets.
    fn linear_accuracy(train: u32, test: u32) -> f64 {
        let all = |count: u32| (0..count).collect::<Vec<_>>();
        let inputs = gather(&TRAIN.images(train, 2), &all(train));
        let labels = TRAIN.labels(train);
        let mut weights = Array2::<f32>::zeros((PIXELS, CLASSES));
        let batch = 100;
        for epoch in 0..20 {
            let rate = 0.2 / (1.0 + epoch as f32 / 5.0);
            for (x, y) in inputs.axis_chunks_iter(Axis(0), batch).zip(labels.chunks(batch)) {
                let mut error = x.dot(&weights);
                for (mut row, &label) in error.outer_iter_mut().zip(y) {
                    let peak = row.fold(f32::MIN, |a, &b| a.max(b));
                    row.mapv_inplace(|logit| libm::expf(logit - peak));
                    row /= row.sum();
                    row[usize::from(label)] -= 1.0;
                }
                weights.scaled_add(-rate / batch as f32, &x.t().dot(&error));
            }
        }
        let logits = gather(&TEST.images(test, 2), &all(test)).dot(&weights);
        let right = logits
            .outer_iter()
            .zip(TEST.labels(test))
            .filter(|(row, label)| row.iter().all(|&logit| logit <= row[usize::from(*label)]));
        right.count() as f64 / f64::from(test)
    }

    /// All 60,000 samples take a linear model to 91 %, and two hidden layers to 99 %.
    #[test]
    fn a_linear_model_learns_much_but_not_all() {
        let accuracy = linear_accuracy(4000, 1000);
        println!("softmax regression, 4000 samples: {accuracy}");
        assert!((0.75..0.92).contains(&accuracy), "{accuracy}");
    }
}
