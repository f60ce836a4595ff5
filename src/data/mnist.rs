//! MNIST and data sets of its shape (Fashion-MNIST, KMNIST), read from a folder of four files.
//!
//! A set has ten classes, or more if there are labels above 9, as in EMNIST.
//!
//! Rule: a set is what its four decoded contents are. Folder, file names and packing differ between
//! machines; the set does not.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::{
    digits::CLASSES,
    error::DataError,
    files::Frame,
    idx::{self, Idx, Layout},
    images::Images,
    pen::{PIXELS, SIDE},
    set::{Data, Half},
};
use crate::text::shown_path;

/// Offset of the labels in an unpacked file.
const LABELS_START: usize = 8;

/// Advice where a file is missing.
const WAY: &str = "put the file there under such a name (of EMNIST, rename the four files of one \
                   split: ...-train-images... to train-images..., ...-test-images... to \
                   t10k-images..., and so on), or use `digits`, which needs no files";

/// Advice for a file where a folder should be.
const FOLDER: &str = "unpack it if it is an archive, and write mnist:DIR of the folder with the four \
                      files train-images-idx3-ubyte and so on, each packed with gzip or not";

/// A half as it was read.
struct Files {
    half: Half,
    labels_file: PathBuf,
    remarks: Vec<String>,
}

/// Opens and checks the four files under `dir`.
///
/// # Errors
/// The first file that is missing, unreadable or malformed, or a half whose counts differ.
pub(super) fn open(dir: &Path) -> Result<Data, DataError> {
    if !dir.is_dir() {
        return Err(DataError::no_folder(dir, FOLDER));
    }
    let train = half(dir, "train")?;
    let test = half(dir, "t10k")?;
    let most = train.half.labels().iter().max().copied().unwrap_or_default();
    let classes = CLASSES.max(usize::from(most) + 1);
    if let Some(i) = test.half.labels().iter().position(|&label| usize::from(label) >= classes) {
        return Err(DataError::Malformed {
            file: test.labels_file,
            at: (LABELS_START + i) as u64,
            expected: format!("a label from 0 to {}, as those to train on", classes - 1),
            found: test.half.labels()[i].to_string(),
        });
    }
    let frame = Frame { height: SIDE, columns: SIDE, channels: 1 };
    let remarks = [train.remarks, test.remarks].concat();
    Ok(Data::of_files("mnist", frame, Vec::new(), classes, [train.half, test.half], remarks))
}

/// Images and labels of one half.
fn half(dir: &Path, stem: &str) -> Result<Files, DataError> {
    let images_file = find(dir, &format!("{stem}-images"), 3)?;
    let labels_file = find(dir, &format!("{stem}-labels"), 1)?;
    let images = load(&images_file, &idx::IMAGES)?;
    let labels = load(&labels_file, &idx::LABELS)?;
    let garbage = [(&images_file, images.garbage), (&labels_file, labels.garbage)];
    let garbage = garbage.into_iter().filter(|(_, garbage)| *garbage);
    let ignored = "bytes after the end of its gzip stream were ignored, as gunzip does";
    let remarks = garbage.map(|(file, _)| format!("{}: {ignored}", shown_path(file))).collect();
    let images = Images { width: PIXELS, pixels: images.body };
    if images.count() != labels.body.len() {
        return Err(DataError::Uneven {
            images: images_file,
            image_count: images.count(),
            labels: labels_file,
            label_count: labels.body.len(),
        });
    }
    Ok(Files { half: Half::read(images, labels.body), labels_file, remarks })
}

/// The file of the given stem and number of axes, under whichever known name it has.
fn find(dir: &Path, stem: &str, axes: u8) -> Result<PathBuf, DataError> {
    let plain = [format!("{stem}-idx{axes}-ubyte"), format!("{stem}.idx{axes}-ubyte")];
    let names: Vec<_> = plain.into_iter().flat_map(|name| [format!("{name}.gz"), name]).collect();
    let found = names.iter().map(|name| dir.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| DataError::Missing {
        dir: dir.to_owned(),
        names: names.join(", "),
        way: WAY,
    })
}

fn load(file: &Path, layout: &Layout) -> Result<Idx, DataError> {
    let unreadable = |source| DataError::Unreadable { file: file.to_owned(), source };
    let input = File::open(file).map_err(unreadable)?;
    let length = input.metadata().map_err(unreadable)?.len();
    idx::read(BufReader::new(input), length, layout).map_err(|flaw| DataError::Malformed {
        file: file.to_owned(),
        at: flaw.at,
        expected: flaw.expected,
        found: flaw.found,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::{super::shape::Shape, *};

    fn header(rank: u8, sizes: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, rank];
        sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
        bytes
    }

    fn images(count: u32) -> Vec<u8> {
        let mut bytes = header(3, &[count, 28, 28]);
        bytes.extend((0..count as usize * PIXELS).map(|i| (i / PIXELS * 40) as u8));
        bytes
    }

    fn labels(count: u32) -> Vec<u8> {
        let mut bytes = header(1, &[count]);
        bytes.extend((0..count).map(|i| (i % 10) as u8));
        bytes
    }

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A folder of a tiny set: five training samples, two to test.
    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: Vec<u8>| fs::write(dir.path().join(name), bytes).unwrap();
        put("train-images-idx3-ubyte", images(5));
        put("train-labels-idx1-ubyte", labels(5));
        put("t10k-images-idx3-ubyte", images(2));
        put("t10k-labels-idx1-ubyte", labels(2));
        dir
    }

    fn message(dir: &Path) -> String {
        open(dir).unwrap_err().to_string()
    }

    #[test]
    fn a_folder_opens_as_a_data_set() {
        let dir = folder();
        let data = open(dir.path()).unwrap();
        let Shape { width, classes, train, test, .. } = data.shape();
        assert_eq!((width, classes, train, test), (784, 10, 5, 2));
        assert_eq!(data.train_labels(), [0, 1, 2, 3, 4]);
        assert_eq!(data.train(1).row(3), [120; PIXELS]);
        let (images, labels) = data.test(1);
        assert_eq!((images.count(), labels), (2, &[0, 1][..]));
    }

    #[test]
    fn the_id_follows_the_contents_and_not_names_or_packing() {
        let (plain, packed) = (folder(), tempfile::tempdir().unwrap());
        for name in
            ["train-images.idx3", "train-labels.idx1", "t10k-images.idx3", "t10k-labels.idx1"]
        {
            let from = plain.path().join(format!("{}-ubyte", name.replace('.', "-")));
            let bytes = pack(&fs::read(from).unwrap());
            fs::write(packed.path().join(format!("{name}-ubyte")), bytes).unwrap();
        }
        let id = open(plain.path()).unwrap().id().to_owned();
        assert_eq!(id, open(packed.path()).unwrap().id());
        assert!(id.starts_with("mnist:") && id.len() == 6 + 64, "{id}");
        let file = plain.path().join("t10k-labels-idx1-ubyte");
        let mut changed = fs::read(&file).unwrap();
        changed[8] = 7;
        fs::write(&file, changed).unwrap();
        assert_ne!(id, open(plain.path()).unwrap().id());
    }

    #[test]
    fn a_missing_file_is_named_with_the_names_it_could_have() {
        let dir = folder();
        fs::remove_file(dir.path().join("t10k-labels-idx1-ubyte")).unwrap();
        let message = message(dir.path());
        assert!(message.contains("t10k-labels-idx1-ubyte.gz, t10k-labels-idx1-ubyte"), "{message}");
        assert!(open(Path::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn a_cut_file_is_named_with_the_byte() {
        let dir = folder();
        let file = dir.path().join("train-images-idx3-ubyte");
        fs::write(&file, &images(5)[..1016]).unwrap();
        let expected =
            "train-images-idx3-ubyte: at byte 16: expected 3920 bytes of pixels, found 1000";
        assert!(message(dir.path()).contains(expected), "{}", message(dir.path()));
    }

    #[test]
    fn unequal_counts_are_refused() {
        let dir = folder();
        fs::write(dir.path().join("train-labels-idx1-ubyte"), labels(4)).unwrap();
        let message = message(dir.path());
        assert!(
            message.contains("holds 5 images") && message.contains("holds 4 labels"),
            "{message}"
        );
    }

    #[test]
    fn labels_above_nine_are_more_classes() {
        let dir = folder();
        let put = |name: &str, labels: &[u8]| {
            let bytes = [header(1, &[labels.len() as u32]), labels.to_vec()].concat();
            fs::write(dir.path().join(name), bytes).unwrap();
        };
        put("train-labels-idx1-ubyte", &[1, 2, 26, 4, 5]);
        let data = open(dir.path()).unwrap();
        assert_eq!((data.shape().classes, data.names().len()), (27, 27));
        put("t10k-labels-idx1-ubyte", &[1, 27]);
        let says = "at byte 9: expected a label from 0 to 26, as those to train on, found 27";
        assert!(message(dir.path()).contains(says), "{}", message(dir.path()));
    }

    #[test]
    fn what_is_no_folder_is_told() {
        let dir = folder();
        let file = dir.path().join("train-images-idx3-ubyte");
        for says in ["a file of another kind", "unpack it", "mnist:DIR"] {
            assert!(message(&file).contains(says), "{}", message(&file));
        }
        assert!(message(&dir.path().join("x")).contains("no such file or folder"));
    }

    #[test]
    fn the_published_mnist_opens() {
        let Some(dir) = std::env::var_os("FFP2P_MNIST") else {
            println!("skipped: set FFP2P_MNIST to the folder of the four MNIST files to run this");
            return;
        };
        let data = open(Path::new(&dir)).unwrap();
        let Shape { width, classes, train, test, .. } = data.shape();
        assert_eq!((width, classes, train, test), (784, 10, 60_000, 10_000));
        assert_eq!(data.train_labels()[..8], [5, 0, 4, 1, 9, 2, 1, 3]);
        assert_eq!(data.test(1).1[..8], [7, 2, 1, 0, 4, 1, 4, 9]);
    }
}
