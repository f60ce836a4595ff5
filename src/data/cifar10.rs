//! CIFAR-10 in its official binary form: records of one label byte and 3072 pixels.
//!
//! A record's pixels are the red plane, the green plane and the blue plane, each 32 rows of 32;
//! they are kept in this order.
//!
//! Rule: a file is a whole number of records with labels 0 to 9, within bounds, or it is refused at
//! the byte where it is not.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{
    error::DataError,
    files::Frame,
    images::Images,
    set::{Data, Half},
};

/// The order of its pixels.
const FRAME: Frame = Frame { height: 32, columns: 32, channels: 3 };

/// Pixels of an image.
const PIXELS: usize = 3072;

/// Bytes of a record: the label and the pixels.
const RECORD: usize = 1 + PIXELS;

/// The labels are 0 to 9.
const CLASSES: usize = 10;

/// The most records of one file: five times what the official ones hold.
const MOST_RECORDS: usize = 50_000;

/// The folder that the official archive unpacks to.
const FOLDER: &str = "cifar-10-batches-bin";

/// The files to learn from, in the order of the samples.
const TRAIN: [&str; 5] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
];

/// The file to be judged by.
const TEST: [&str; 1] = ["test_batch.bin"];

/// Advice where a file is missing.
const WAY: &str = "put the six files of the binary version (cifar-10-binary.tar.gz) there, or use \
                   `digits`, which needs no files";

/// Advice for other versions.
const PICKLES: &str = "these are Python's pickles: take the binary version \
                       (cifar-10-binary.tar.gz), or save the arrays with \
                       numpy.savez_compressed(\"set.npz\", x_train=..., y_train=..., x_test=..., \
                       y_test=...) and write npz:set.npz";
const CIFAR100: &str = "this is CIFAR-100: save its arrays with \
                        numpy.savez_compressed(\"set.npz\", x_train=..., y_train=..., x_test=..., \
                        y_test=...) and write npz:set.npz";

/// Advice for a file where a folder should be.
const UNPACK: &str = "unpack it (tar xf FILE) if it is cifar-10-binary.tar.gz, and write cifar10:DIR \
                      of the folder that it made";

/// Files and folders that tell another version, and what to do with it.
const OTHERS: [(&str, &str); 7] = [
    ("data_batch_1", PICKLES),
    ("cifar-10-batches-py", PICKLES),
    ("cifar-10-python.tar.gz", PICKLES),
    ("cifar-100-binary", CIFAR100),
    ("cifar-100-python", CIFAR100),
    ("train.bin", CIFAR100),
    ("cifar-10-binary.tar.gz", "unpack it first: tar xf cifar-10-binary.tar.gz"),
];

/// Advice for a file or a folder of this name, if it is one of CIFAR's.
pub(super) fn way_with(name: &[u8]) -> Option<&'static str> {
    let known = OTHERS.iter().find(|(other, _)| other.as_bytes() == name);
    let way = "this is CIFAR-10: unpack it, and write cifar10:DIR of the folder";
    known.map(|(_, way)| *way).or((name == FOLDER.as_bytes()).then_some(way))
}

/// Opens and checks the six files under `dir`, or under the official folder in it.
///
/// # Errors
/// The first file that is missing, unreadable or malformed.
pub(super) fn open(dir: &Path) -> Result<Data, DataError> {
    if !dir.is_dir() {
        let python = dir.file_name().is_some_and(|name| name == "cifar-10-python.tar.gz");
        return Err(DataError::no_folder(dir, if python { PICKLES } else { UNPACK }));
    }
    let inner = dir.join(FOLDER);
    let dir = if inner.is_dir() { inner } else { dir.to_owned() };
    let train = half(&dir, &TRAIN)?;
    let test = half(&dir, &TEST)?;
    Ok(Data::of_files("cifar10", FRAME, Vec::new(), CLASSES, [train, test], Vec::new()))
}

fn half(dir: &Path, names: &[&str]) -> Result<Half, DataError> {
    let (mut labels, mut pixels) = (Vec::new(), Vec::new());
    for name in names {
        let file = dir.join(name);
        if !file.is_file() {
            let other = OTHERS.iter().find(|(other, _)| dir.join(other).exists());
            let way = other.map_or(WAY, |(_, way)| way);
            return Err(DataError::Missing { dir: dir.to_owned(), names: (*name).to_owned(), way });
        }
        for record in read(&file)?.chunks_exact(RECORD) {
            labels.push(record[0]);
            pixels.extend_from_slice(&record[1..]);
        }
    }
    Ok(Half::read(Images { width: PIXELS, pixels }, labels))
}

/// The bytes of a file: a whole number of records, at least one. Memory grows with what is there.
fn read(file: &Path) -> Result<Vec<u8>, DataError> {
    let unreadable = |source| DataError::Unreadable { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    // One byte more than may be there, to see that it is not.
    let most = (MOST_RECORDS * RECORD) as u64 + 1;
    File::open(file)
        .and_then(|input| input.take(most).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    check(&bytes).map_err(|(at, expected, found)| DataError::Malformed {
        file: PathBuf::from(file),
        at: at as u64,
        expected,
        found,
    })?;
    Ok(bytes)
}

/// The place where the bytes are no records, what should be there and what is.
fn check(bytes: &[u8]) -> Result<(), (usize, String, String)> {
    let whole = bytes.len() - bytes.len() % RECORD;
    if bytes.len() > MOST_RECORDS * RECORD {
        return Err((whole, format!("at most {MOST_RECORDS} records"), "more".to_owned()));
    }
    if bytes.is_empty() || whole != bytes.len() {
        let found = format!("{} bytes", bytes.len() - whole);
        return Err((whole, format!("a record of {RECORD} bytes"), found));
    }
    let wrong = bytes.iter().step_by(RECORD).position(|&label| usize::from(label) >= CLASSES);
    wrong.map_or(Ok(()), |record| {
        let at = record * RECORD;
        Err((at, format!("a label from 0 to {}", CLASSES - 1), bytes[at].to_string()))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Records whose planes have the values label, label + 100 and label + 200.
    fn records(labels: &[u8]) -> Vec<u8> {
        let record = |&label: &u8| {
            let planes = [label, label + 100, label + 200].map(|value| vec![value; 1024]);
            [vec![label], planes.concat()].concat()
        };
        labels.iter().flat_map(record).collect()
    }

    /// A tiny set: batch `i` holds the labels `i` and `i + 1`.
    fn fill(dir: &Path) {
        for (i, name) in TRAIN.iter().enumerate() {
            fs::write(dir.join(name), records(&[i as u8, i as u8 + 1])).unwrap();
        }
        fs::write(dir.join(TEST[0]), records(&[9, 8, 7])).unwrap();
    }

    fn message(dir: &Path) -> String {
        open(dir).unwrap_err().to_string()
    }

    #[test]
    fn planes_stay_in_order_and_batches_follow_each_other() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path());
        let data = open(dir.path()).unwrap();
        let shape = data.shape();
        assert_eq!((shape.width, shape.height, shape.columns(), shape.channels), (3072, 32, 32, 3));
        assert_eq!((shape.classes, shape.train, shape.test), (10, 10, 3));
        assert_eq!(data.train_labels(), [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]);
        let row = data.train(1).row(3);
        assert_eq!((row[0], row[1023], row[1024], row[2048], row[3071]), (2, 2, 102, 202, 202));
        assert_eq!(data.test(1).1, [9, 8, 7]);
    }

    #[test]
    fn the_official_folder_is_found_and_the_id_follows_the_contents() {
        let (plain, around) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fill(plain.path());
        fs::create_dir(around.path().join(FOLDER)).unwrap();
        fill(&around.path().join(FOLDER));
        let id = open(plain.path()).unwrap().id().to_owned();
        assert_eq!(id, open(around.path()).unwrap().id());
        assert!(id.starts_with("cifar10:") && id.len() == 8 + 64, "{id}");
        fs::write(plain.path().join("test_batch.bin"), records(&[9, 8])).unwrap();
        assert_ne!(id, open(plain.path()).unwrap().id());
    }

    #[test]
    fn what_is_missing_cut_or_out_of_range_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path());
        let file = dir.path().join("data_batch_4.bin");
        fs::write(&file, &records(&[1, 2])[..RECORD + 5]).unwrap();
        let cut = "data_batch_4.bin: at byte 3073: expected a record of 3073 bytes, found 5 bytes";
        assert!(message(dir.path()).contains(cut), "{}", message(dir.path()));
        fs::write(&file, []).unwrap();
        assert!(message(dir.path()).contains("found 0 bytes"), "{}", message(dir.path()));
        let mut wrong = records(&[1, 2]);
        wrong[RECORD] = 10;
        fs::write(&file, wrong).unwrap();
        let label = "at byte 3073: expected a label from 0 to 9, found 10";
        assert!(message(dir.path()).contains(label), "{}", message(dir.path()));
        fs::remove_file(&file).unwrap();
        assert!(message(dir.path()).contains("found none of data_batch_4.bin"));
    }

    #[test]
    fn other_versions_are_told_with_the_way_out() {
        for (name, says) in [
            ("data_batch_1", "Python's pickles"),
            ("cifar-10-batches-py", "cifar-10-binary.tar.gz"),
            ("cifar-100-binary", "CIFAR-100"),
            ("cifar-10-binary.tar.gz", "unpack it first"),
            ("other", "binary version"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(name), b"?").unwrap();
            assert!(message(dir.path()).contains(says), "{}", message(dir.path()));
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cifar-10-python.tar.gz");
        assert!(message(&file).contains("no such file or folder"));
        fs::write(&file, b"\x1f\x8b").unwrap();
        assert!(message(&file).contains("it is packed with gzip; these are Python's pickles"));
    }

    #[test]
    fn a_file_of_any_length_is_read_no_further_than_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path());
        let file = File::create(dir.path().join("data_batch_1.bin")).unwrap();
        file.set_len((MOST_RECORDS * RECORD) as u64 + 9).unwrap();
        assert!(message(dir.path()).contains("at most 50000 records, found more"));
    }
}
