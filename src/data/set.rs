//! An open data set: its labels, its images and its measures.
//!
//! Rule: labels are at hand once a set is open, while generated images are drawn when they are first
//! asked for, so a peer without the input layer never pays for them.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::{
    digits::Digits,
    files::Frame,
    found,
    images::Images,
    manifest::{Content as Pieces, Manifest},
    shape::{PRIVATE, Shape},
};

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
    /// Remarks on the files.
    remarks: Vec<String>,
    /// The manifest of a set of files.
    manifest: Option<Manifest>,
}

impl Data {
    /// A set with names of classes, or with classes that go by their numbers.
    pub(super) fn new(
        id: String,
        names: Vec<String>,
        shape: Shape,
        [train, test]: [Half; 2],
        remarks: Vec<String>,
    ) -> Self {
        let names = named(names, shape.classes);
        let content = Content { id, names, shape, train, test, remarks, manifest: None };
        Self { content: Arc::new(content) }
    }

    /// A set of two halves whose images all lie as `frame` says. Its id is the hash of its manifest: of
    /// what a run depends on, its measures, classes, labels and pixels, in the order of the samples.
    /// Paths, file names and packing differ between machines; the id does not.
    pub(super) fn of_files(
        kind: &str,
        frame: Frame,
        names: Vec<String>,
        classes: usize,
        [train, test]: [Half; 2],
        remarks: Vec<String>,
    ) -> Self {
        let count = |half: &Half| half.labels().len() as u32;
        let shape = Shape {
            width: frame.width(),
            height: frame.height,
            channels: frame.channels,
            classes,
            train: count(&train),
            test: count(&test),
        };
        let manifest = Manifest::of(&shape, &names, &pieces(&train, &test));
        Self::of_manifest(kind, manifest, [train, test], remarks)
    }

    /// The set of a manifest, of which the halves are the content.
    pub(super) fn of_manifest(
        kind: &str,
        manifest: Manifest,
        [train, test]: [Half; 2],
        remarks: Vec<String>,
    ) -> Self {
        let id = format!("{kind}:{}", blake3::hash(&manifest.to_bytes()).to_hex());
        let shape = manifest.shape();
        let names = named(manifest.names().to_vec(), shape.classes);
        let manifest = Some(manifest);
        let content = Content { id, names, shape, train, test, remarks, manifest };
        Self { content: Arc::new(content) }
    }

    /// The manifest of a set of files; `None` for one that is generated.
    pub(crate) fn manifest(&self) -> Option<&Manifest> {
        self.content.manifest.as_ref()
    }

    /// `len` bytes of piece `number` of the content, from `offset` on; `None` where there are fewer.
    pub(crate) fn piece(&self, number: usize, offset: usize, len: usize) -> Option<Vec<u8>> {
        let mut piece = pieces(&self.content.train, &self.content.test).piece(number).concat();
        let end = offset.checked_add(len).filter(|end| *end <= piece.len())?;
        piece.truncate(end);
        piece.drain(..offset);
        Some(piece)
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

    /// The used and the left-out files, in a line; `None` for a generated set.
    pub fn found(&self) -> Option<String> {
        let Content { names, shape, remarks, .. } = &*self.content;
        (!self.is_drawn()).then(|| found::in_words(shape, names, remarks))
    }

    /// The form of this set with `classes` classes; a network can learn from sets of one form: the
    /// measures of an image, the number of classes, and their names.
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
        let frame = self.shape().frame();
        let classes = self.shape().classes;
        Self::of_files("part", frame, names.clone(), classes, [train, test], Vec::new())
    }

    /// The labels to learn from, one for each sample.
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

    /// The labels to be scored on, one for each sample.
    pub fn test_labels(&self) -> &[u8] {
        self.content.test.labels()
    }

    /// The images and labels to be scored on; the first call draws generated images on `threads`
    /// threads.
    pub fn test(&self, threads: usize) -> (&Images, &[u8]) {
        (self.content.test.images(threads), self.content.test.labels())
    }
}

/// The names of `classes` classes, which go by their numbers where they have none.
fn named(names: Vec<String>, classes: usize) -> Vec<String> {
    match names.is_empty() {
        true => (0..classes).map(|class| class.to_string()).collect(),
        false => names,
    }
}

/// The content of two halves that are read.
fn pieces<'a>(train: &'a Half, test: &'a Half) -> Pieces<'a> {
    // Read halves are there already: no thread is needed to draw them.
    let pixels = |half: &'a Half| half.images(1).pixels.as_slice();
    Pieces([train.labels(), test.labels(), pixels(train), pixels(test)])
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Data").field("id", &self.content.id).finish_non_exhaustive()
    }
}

/// The training or the test samples of a set.
pub(super) struct Half {
    labels: Vec<u8>,
    pixels: Pixels,
}

enum Pixels {
    Read(Images),
    Drawn { digits: Digits, images: OnceLock<Images> },
}

impl Half {
    /// Samples read from files.
    pub(super) fn read(images: Images, labels: Vec<u8>) -> Self {
        Self { labels, pixels: Pixels::Read(images) }
    }

    /// The first `count` generated digits, whose images are drawn when they are asked for.
    pub(super) fn drawn(digits: Digits, count: u32) -> Self {
        let pixels = Pixels::Drawn { digits, images: OnceLock::new() };
        Self { labels: digits.labels(count), pixels }
    }

    pub(super) fn labels(&self) -> &[u8] {
        &self.labels
    }

    pub(super) fn images(&self, threads: usize) -> &Images {
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
    use super::{super::source::Source, *};

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
