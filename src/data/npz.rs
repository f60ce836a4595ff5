//! Sets in a .npz file of NumPy: `x_train`, `y_train`, `x_test` and `y_test`, as Keras names them.
//!
//! Images are bytes, shaped `[n, height, columns]`, `[n, height, columns, channels]` or
//! `[n, pixels]`; labels are whole numbers, `[n]` or `[n, 1]`. The rule kept here: the samples keep
//! the file's order, the classes are 0 to the largest training label, and what does not fit is told
//! with its array.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use zip::ZipArchive;

use super::files::{self, Frame, MOST_PIXELS};
use super::npy::{self, Array, Flaw, Kind};
use super::{Data, DataError, Half, Images};

/// An array's name, and what is wrong with it.
type Named = (&'static str, Flaw);

/// An open file.
type Archive = ZipArchive<BufReader<File>>;

/// Opens and checks the four arrays of `file`.
///
/// # Errors
/// The first array that is missing or does not fit.
pub(super) fn open(file: &Path) -> Result<Data, DataError> {
    let input = File::open(file)
        .map_err(|source| DataError::Unreadable { file: file.to_owned(), source })?;
    let mut archive = ZipArchive::new(BufReader::new(input))
        .map_err(|error| DataError::Npz { file: file.to_owned(), reason: error.to_string() })?;
    set(&mut archive).map_err(|(name, Flaw { expected, found })| DataError::Npz {
        file: file.to_owned(),
        reason: format!("{name}: expected {expected}, found {found}"),
    })
}

fn set(archive: &mut Archive) -> Result<Data, Named> {
    let (frame, train) = half(archive, ["x_train", "y_train"])?;
    let (other, test) = half(archive, ["x_test", "y_test"])?;
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
    Ok(files::set("npz", frame, Vec::new(), classes, train, test))
}

/// One more than the largest label.
fn classes(labels: &[u8]) -> usize {
    labels.iter().max().map_or(0, |&label| usize::from(label) + 1)
}

fn half(archive: &mut Archive, [x, y]: [&'static str; 2]) -> Result<(Frame, Half), Named> {
    let (frame, images) = array(archive, x).and_then(images).map_err(|flaw| (x, flaw))?;
    let labels = array(archive, y).and_then(|array| labels(&array)).map_err(|flaw| (y, flaw))?;
    if labels.len() != images.count() {
        let expected = format!("{} labels, one for each image of {x}", images.count());
        return Err((y, Flaw::new(expected, labels.len())));
    }
    Ok((frame, Half::read(images, labels)))
}

fn array(archive: &mut Archive, name: &str) -> Result<Array, Flaw> {
    match archive.by_name(&format!("{name}.npy")) {
        Ok(member) => npy::read(member),
        Err(error) => Err(Flaw::new("an array", error)),
    }
}

fn images(array: Array) -> Result<(Frame, Images), Flaw> {
    if array.kind != Kind::U8 {
        return Err(Flaw::new("pixels of type uint8 (x.astype('uint8'))", "another type"));
    }
    let frame = match array.shape[1..] {
        [pixels] => Frame::new(1, pixels, 1),
        [height, columns] => Frame::new(height, columns, 1),
        [height, columns, channels @ (1 | 3)] => Frame::new(height, columns, channels),
        _ => None,
    };
    let frame = frame.ok_or_else(|| {
        let expected = format!(
            "(n, height, width), (n, height, width, 1 or 3) or (n, pixels), at most {MOST_PIXELS} \
             pixels each"
        );
        Flaw::new(expected, format!("the shape {:?}", array.shape))
    })?;
    let mut pixels = array.into_bytes();
    if frame.channels > 1 {
        let mut planes = Vec::with_capacity(pixels.len());
        pixels.chunks_exact(frame.width()).for_each(|image| frame.planes(image, &mut planes));
        pixels = planes;
    }
    Ok((frame, Images { width: frame.width(), pixels }))
}

fn labels(array: &Array) -> Result<Vec<u8>, Flaw> {
    if !matches!(array.shape[1..], [] | [1]) {
        let found = format!("the shape {:?}", array.shape);
        return Err(Flaw::new("one label a sample: (n) or (n, 1)", found));
    }
    array.small()
}

#[cfg(test)]
mod tests;
