//! Data sets: what a run learns from, and what it is judged by.
//!
//! A set has an id that names its content, not its place: peers whose sets have the same id see the
//! same bytes.
//!
//! Rule: labels are at hand once a set is open, while generated images are drawn when somebody
//! first asks, so a peer without the input layer never pays for them. Pixels stay bytes; only a
//! batch becomes floating point.

mod batches;
mod cifar10;
mod digits;
mod error;
mod exif;
mod files;
mod folder;
mod forms;
mod found;
mod gallery;
mod gunzip;
mod idx;
mod mnist;
mod npy;
mod npz;
mod pen;
mod picture;
mod random;
mod source;
mod strokes;

use std::fmt;
use std::sync::{Arc, OnceLock};

use ndarray::{Array2, aview1};

use digits::Digits;
use files::Frame;

pub use batches::{BatchSizeError, Batches};
pub use error::DataError;
pub use forms::Form;
pub(crate) use found::listed_names;
pub use picture::ImageFlaw;
pub use source::{MOST_DIGITS, Source};

/// How the id of data begins that only their form is known of.
pub(crate) const PRIVATE: &str = "private:";

/// How the ids of sets begin, each as its kind is typed.
const KINDS: [&str; 6] = ["digits", "mnist", "cifar10", "folder", "npz", "private"];

/// The kind of a set of which this program knows none.
pub(crate) const UNKNOWN: &str = "unknown";

/// The kind of the set that has this id, which may come from a stranger.
pub(crate) fn kind_of(id: &str) -> &'static str {
    let kind = id.split(':').next().unwrap_or_default();
    KINDS.into_iter().find(|known| *known == kind).unwrap_or(UNKNOWN)
}

/// The measures of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Pixels of a sample: the planes of an image one after the other, each row by row.
    pub width: usize,
    /// Rows of an image.
    pub height: usize,
    /// Planes of an image: 1 for grey, 3 for colour.
    pub channels: usize,
    /// Labels run from 0 to `classes - 1`.
    pub classes: usize,
    /// Samples to learn from.
    pub train: u32,
    /// Samples to be judged by.
    pub test: u32,
}

impl Shape {
    /// Pixels of a row of an image.
    pub fn columns(&self) -> usize {
        self.width / (self.height * self.channels)
    }

    /// The form of an image, in words.
    pub(crate) fn form(&self) -> String {
        Frame::of(self).to_string()
    }
}

/// Images of one shape, a byte a pixel: 0 (background, black) to 255 (ink, full colour).
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

/// As [`gather`], in a row-major matrix of before if it has the shape.
pub fn gather_in(old: Array2<f32>, images: &Images, samples: &[u32]) -> Array2<f32> {
    let shape = (samples.len(), images.width);
    let mut batch = if old.dim() == shape { old } else { Array2::zeros(shape) };
    for (mut row, &sample) in batch.outer_iter_mut().zip(samples) {
        let pixels = aview1(images.row(sample as usize));
        row.zip_mut_with(&pixels, |to, &from| *to = f32::from(from) / 255.0);
    }
    batch
}

/// An open data set; clones share its content.
#[derive(Clone)]
pub struct Data {
    content: Arc<Content>,
}

struct Content {
    id: String,
    /// The classes' names, by label.
    names: Vec<String>,
    shape: Shape,
    train: Half,
    test: Half,
    /// What is to be said of the files.
    remarks: Vec<String>,
}

impl Data {
    /// A set whose classes are called so, or by their numbers if they have no names.
    fn new(
        id: String,
        mut names: Vec<String>,
        shape: Shape,
        [train, test]: [Half; 2],
        remarks: Vec<String>,
    ) -> Self {
        if names.is_empty() {
            names = (0..shape.classes).map(|class| class.to_string()).collect();
        }
        Self { content: Arc::new(Content { id, names, shape, train, test, remarks }) }
    }

    /// Opens the set of this name, as `--data` takes it: `digits`, `digits:TRAIN+TEST`, `mnist:DIR`, ...
    ///
    /// # Errors
    /// If the name is unknown, or the set cannot be used.
    pub fn open(name: &str) -> Result<Self, DataError> {
        name.parse::<Source>()?.open()
    }

    /// The measures of the set.
    pub fn shape(&self) -> Shape {
        self.content.shape
    }

    /// Names the content: equal ids on two machines mean equal bytes.
    pub fn id(&self) -> &str {
        &self.content.id
    }

    /// The names of the classes, by label: those of the folders, or the labels' numbers.
    pub fn names(&self) -> &[String] {
        &self.content.names
    }

    /// What was found in the files and what was left out, in a line; `None` for a generated set.
    pub fn found(&self) -> Option<String> {
        let Content { names, shape, remarks, .. } = &*self.content;
        (!self.is_drawn()).then(|| found::in_words(shape, names, remarks))
    }

    /// What a set of `classes` classes must have in common with this one so that a network can
    /// learn from both: the measures of an image, the number of classes, and their names.
    pub fn form(&self, classes: usize) -> String {
        let Shape { height, channels, .. } = self.shape();
        let columns = self.shape().columns();
        let numbered = self.names().iter().enumerate().all(|(i, name)| *name == i.to_string());
        let names = match numbered {
            true => String::new(),
            false => format!(":{}", blake3::hash(self.content.names.join("/").as_bytes())),
        };
        format!("{PRIVATE}{channels}x{height}x{columns}:{classes}{names}")
    }

    /// The same set with these of its training samples only, in this order.
    ///
    /// # Panics
    /// If there is no such sample.
    pub fn part(&self, samples: &[u32], threads: usize) -> Self {
        let Content { names, test, .. } = &*self.content;
        let images = self.train(threads);
        let of = |images: &Images, samples: &[u32]| {
            let rows = samples.iter().flat_map(|&sample| images.row(sample as usize));
            Images { width: images.width, pixels: rows.copied().collect() }
        };
        let labels = self.train_labels();
        let labels = samples.iter().map(|&sample| labels[sample as usize]).collect();
        let train = Half::read(of(images, samples), labels);
        let all: Vec<u32> = (0..self.shape().test).collect();
        let test = Half::read(of(test.images(threads), &all), test.labels().to_vec());
        let frame = Frame::of(&self.shape());
        let classes = self.shape().classes;
        files::set("part", frame, names.clone(), classes, [train, test], Vec::new())
    }

    /// The labels to learn from, one a sample.
    pub fn train_labels(&self) -> &[u8] {
        self.content.train.labels()
    }

    /// The images to learn from; the first call draws generated ones on `threads` threads.
    pub fn train(&self, threads: usize) -> &Images {
        self.content.train.images(threads)
    }

    /// Whether the images are generated, which takes a node some time when it begins.
    pub fn is_drawn(&self) -> bool {
        matches!(self.content.train.pixels, Pixels::Drawn { .. })
    }

    /// The labels to be judged by, one a sample.
    pub fn test_labels(&self) -> &[u8] {
        self.content.test.labels()
    }

    /// The images and labels to be judged by; the first call draws generated images on `threads`
    /// threads.
    pub fn test(&self, threads: usize) -> (&Images, &[u8]) {
        (self.content.test.images(threads), self.content.test.labels())
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Data").field("id", &self.content.id).finish_non_exhaustive()
    }
}

/// The training or the test samples of a set.
struct Half {
    labels: Vec<u8>,
    pixels: Pixels,
}

enum Pixels {
    Read(Images),
    Drawn { digits: Digits, images: OnceLock<Images> },
}

impl Half {
    /// Samples read from files.
    fn read(images: Images, labels: Vec<u8>) -> Self {
        Self { labels, pixels: Pixels::Read(images) }
    }

    /// The first `count` generated digits, whose images are drawn when they are asked for.
    fn drawn(digits: Digits, count: u32) -> Self {
        let pixels = Pixels::Drawn { digits, images: OnceLock::new() };
        Self { labels: digits.labels(count), pixels }
    }

    fn labels(&self) -> &[u8] {
        &self.labels
    }

    fn images(&self, threads: usize) -> &Images {
        match &self.pixels {
            Pixels::Read(images) => images,
            Pixels::Drawn { digits, images } => {
                images.get_or_init(|| digits.images(self.labels.len() as u32, threads))
            }
        }
    }
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

    #[test]
    fn images_are_drawn_when_asked_for_and_shared_by_clones() {
        let data = Source::Digits { train: 30, test: 20, seed: 3 }.open().unwrap();
        let undrawn = |half: &Half| match &half.pixels {
            Pixels::Drawn { images, .. } => images.get().is_none(),
            Pixels::Read(_) => false,
        };
        assert_eq!((data.train_labels().len(), data.test_labels().len()), (30, 20));
        assert!(undrawn(&data.content.train) && undrawn(&data.content.test));
        let clone = data.clone();
        assert_eq!(clone.train(2).count(), 30);
        assert!(!undrawn(&data.content.train) && undrawn(&data.content.test));
        assert!(std::ptr::eq(data.train(1), clone.train(1)));
        assert_eq!(data.test(1).0.count(), data.test(1).1.len());
    }

    #[test]
    fn a_set_can_be_shared_between_threads() {
        fn shared<T: Send + Sync + Clone>() {}
        shared::<Data>();
    }
}
