//! Sets in a .npz file of NumPy: `x_train`, `y_train`, `x_test` and `y_test`, as Keras names them.
//!
//! Images are bytes, shaped `[n, height, columns]`, `[n, height, columns, channels]` or `[n,
//! pixels]`; labels are whole numbers, `[n]` or `[n, 1]`.
//!
//! Rule: the samples keep the file's order, the classes are 0 to the largest training label, and
//! what does not fit is told with its array.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use zip::ZipArchive;

use super::{
    error::DataError,
    files::{self, Frame, MOST_BYTES, MOST_PIXELS, MOST_SAMPLES},
    forms, found,
    images::Images,
    npy::{Array, Flaw},
    set::{Data, Half},
};
use crate::text::shown;

/// An array's name, and what is wrong with it.
type Named = (&'static str, Flaw);

/// An open file.
type Archive = ZipArchive<BufReader<File>>;

/// The arrays of a set: images and labels of each half.
const ARRAYS: [[&str; 2]; 2] = [["x_train", "y_train"], ["x_test", "y_test"]];

/// The bytes of labels that may lie besides the pixels: eight for each of the most samples.
const LABELS: u64 = 8 * MOST_SAMPLES as u64;

/// Opens and checks the four arrays of `file`.
///
/// # Errors
/// The first array that is missing or does not fit.
pub(super) fn open(file: &Path) -> Result<Data, DataError> {
    if !file.exists() {
        return Err(DataError::Absent { path: file.to_owned() });
    }
    let form = forms::of_file(file);
    if !matches!(form.is, forms::ZIP | forms::UNKNOWN) {
        return Err(DataError::Form { path: file.to_owned(), form });
    }
    let unreadable = |source| DataError::Unreadable { file: file.to_owned(), source };
    let refused = |reason| DataError::Npz { file: file.to_owned(), reason };
    let input = File::open(file).map_err(unreadable)?;
    let length = input.metadata().map_err(unreadable)?.len();
    let mut archive = ZipArchive::new(BufReader::new(input))
        .map_err(|error| refused(format!("it is no .npz ({error})")))?;
    sizes(&mut archive, length).map_err(refused)?;
    set(&mut archive).map_err(|(name, Flaw { expected, found })| {
        refused(format!("{name}: expected {expected}, found {found}"))
    })
}

/// Checks that the arrays are there, and that they do not unpack to more than fits a file of
/// `length` bytes.
fn sizes(archive: &mut Archive, length: u64) -> Result<(), String> {
    let mut total = 0_u64;
    for name in ARRAYS.concat() {
        let Some(index) = archive.index_for_name(&format!("{name}.npy")) else {
            let names = archive.file_names().filter_map(Result::ok);
            let mut names: Vec<_> =
                names.map(|name| shown(name.trim_end_matches(".npy")).into_owned()).collect();
            names.sort_unstable();
            let names = found::listed(names.into_iter());
            let there = if names.is_empty() { "nothing".to_owned() } else { names };
            return Err(format!("it has no array {name}, but {there}"));
        };
        let member = archive.by_index(index).map_err(|error| format!("{name}: {error}"))?;
        total = total.saturating_add(member.size());
    }
    let most = files::room(length).min(2 * (MOST_BYTES as u64 + LABELS));
    match total > most {
        true => Err(format!(
            "its arrays would take {total} bytes, more than the {most} that fit its packed size"
        )),
        false => Ok(()),
    }
}

fn set(archive: &mut Archive) -> Result<Data, Named> {
    let (frame, train) = half(archive, ARRAYS[0])?;
    let (other, test) = half(archive, ARRAYS[1])?;
    if other != frame {
        return Err(("x_test", Flaw::new(format!("images of {frame} like x_train"), other)));
    }
    let classes = classes(train.labels());
    if classes < 2 {
        return Err(("y_train", Flaw::new("2 classes or more", "only label 0")));
    }
    if classes < self::classes(test.labels()) {
        let expected = format!("labels from 0 to {} like y_train", classes - 1);
        let found = self::classes(test.labels()) - 1;
        return Err(("y_test", Flaw::new(expected, found)));
    }
    Ok(Data::of_files("npz", frame, Vec::new(), classes, [train, test], Vec::new()))
}

/// One more than the largest label.
fn classes(labels: &[u8]) -> usize {
    labels.iter().max().map_or(0, |&label| usize::from(label) + 1)
}

fn half(archive: &mut Archive, [x, y]: [&'static str; 2]) -> Result<(Frame, Half), Named> {
    let (frame, images) = array(archive, x).and_then(images).map_err(|flaw| (x, flaw))?;
    let labels = array(archive, y).and_then(labels).map_err(|flaw| (y, flaw))?;
    if labels.len() != images.count() {
        let expected = format!("{} labels, one for each image of {x}", images.count());
        return Err((y, Flaw::new(expected, labels.len())));
    }
    Ok((frame, Half::read(images, labels)))
}

fn array<'a>(archive: &'a mut Archive, name: &str) -> Result<Array<impl Read + 'a>, Flaw> {
    match archive.by_name(&format!("{name}.npy")) {
        Ok(member) => {
            let size = member.size();
            Array::open(member, size)
        }
        Err(error) => Err(Flaw::new("an array", error)),
    }
}

/// The conversion of numbers of a type to pixels.
fn pixels_of(descr: &str) -> &'static str {
    match descr.trim_start_matches(['<', '>', '|', '=']).as_bytes() {
        [b'f', ..] => "(x * 255).round().astype('uint8') makes them of numbers from 0 to 1",
        b"u2" => "(x // 257).astype('uint8') makes them of 16 bits",
        b"b1" => "x.astype('uint8') * 255 makes them of truth values",
        _ => "x.astype('uint8') makes them of numbers from 0 to 255",
    }
}

fn images(array: Array<impl Read>) -> Result<(Frame, Images), Flaw> {
    if array.descr != "|u1" {
        let expected = format!("pixels of type uint8 ({})", pixels_of(&array.descr));
        return Err(Flaw::new(expected, format!("'{}'", shown(&array.descr))));
    }
    let frame = match array.shape[1..] {
        [pixels] => Frame::new(1, pixels, 1),
        [height, columns] => Frame::new(height, columns, 1),
        [height, columns, channels @ (1 | 3)] => Frame::new(height, columns, channels),
        _ => None,
    };
    let frame = frame.ok_or_else(|| {
        let turn = match array.shape[1..] {
            [1 | 3, _, _] => "; x.transpose(0, 2, 3, 1) puts the channels last",
            _ => "",
        };
        let expected = format!(
            "(n, height, width), (n, height, width, 1 or 3) or (n, pixels), at most {MOST_PIXELS} \
             pixels each{turn}"
        );
        Flaw::new(expected, format!("the shape {:?}", array.shape))
    })?;
    // The sizes are checked; what is not written to takes no memory.
    let mut pixels = Vec::with_capacity(array.shape[0] * frame.width());
    array.bytes(|image| frame.planes(image, &mut pixels))?;
    Ok((frame, Images { width: frame.width(), pixels }))
}

/// The conversion of an array to labels.
fn labels_of(descr: &str) -> &'static str {
    match descr.trim_start_matches(['<', '>', '|', '=']).as_bytes() {
        [b'U' | b'S', ..] => "numpy.unique(y, return_inverse=True)[1] numbers names",
        _ => "y.astype('int64') makes them",
    }
}

fn labels(array: Array<impl Read>) -> Result<Vec<u8>, Flaw> {
    if !matches!(array.shape[1..], [] | [1]) {
        let found = format!("the shape {:?}", array.shape);
        let expected = "one label a sample: (n) or (n, 1); y.argmax(1) makes them of one-hot rows";
        return Err(Flaw::new(expected, found));
    }
    if !array.is_whole() {
        let expected = format!("labels in whole numbers ({})", labels_of(&array.descr));
        return Err(Flaw::new(expected, format!("'{}'", shown(&array.descr))));
    }
    array.small()
}

#[cfg(test)]
mod tests;
