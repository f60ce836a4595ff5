//! Images by class, put into an order that only their names decide.
//!
//! A class is the name of a folder of `train/`, with images or without; its label is the name's
//! rank among the sorted names.
//!
//! Rule: the samples are the first image of each class, then the second of each, and so on, an
//! image's place in its class being its name's rank. So neither the file system nor an archive has
//! a say, and any first part of a half shows all classes. Every image goes to its place as soon as
//! it is decoded, so that no pixel is kept twice.

use std::collections::BTreeMap;

use super::{
    error::DataError,
    files::{Frame, MOST_BYTES},
    folder::shelf::{HALVES, Image, Shelf, Survey},
    found::counted,
    images::Images,
    picture::{self, ImageFlaw, Picture},
    set::{Data, Half},
};
use crate::text::{shown, shown_bytes, thousands};

/// The most images that cannot be used, or differ from the first: then the search for more ends, so
/// that a folder of photographs is not read whole only to be refused.
const MOST_FLAWS: usize = 1000;

/// The images so far.
#[derive(Default)]
struct Seen {
    /// The order of all images' pixels, while they have one.
    frame: Option<Frame>,
    /// Columns, rows and planes of the images; how many there are, and the first of them.
    sizes: BTreeMap<(usize, usize, usize), (usize, String)>,
    /// The images that cannot be used: how many, and the first of them by its path.
    flawed: usize,
    /// The images that cannot be used or differ from the first.
    unfit: usize,
    first: Option<(String, ImageFlaw)>,
    turned: usize,
}

/// The images of a survey as a set.
///
/// # Errors
/// If an image cannot be used, they differ in size or kind, or there are too many of them.
pub(super) fn hang<L: Shelf>(shelf: &L, found: Survey<L::Spot>) -> Result<Data, DataError> {
    let Survey { classes, halves, mut remarks } = found;
    let mut seen = Seen::default();
    let [train, test] = halves.map(ordered);
    let train = (decode(shelf, 0, &train, &classes, &mut seen)?, labels(&train));
    let test = (decode(shelf, 1, &test, &classes, &mut seen)?, labels(&test));
    let frame = seen.verdict(shelf)?;
    if seen.turned > 0 {
        let turned = counted(seen.turned, "image");
        remarks.push(format!("{turned} turned upright as the Exif orientation says"));
    }
    let [train, test] = [train, test]
        .map(|(pixels, labels)| Half::read(Images { width: frame.width(), pixels }, labels));
    let count = classes.len();
    Ok(Data::of_files("folder", frame, classes, count, [train, test], remarks))
}

/// The images in the order of the samples.
fn ordered<S>(mut images: Vec<Image<S>>) -> Vec<Image<S>> {
    images.sort_unstable_by(|a, b| (a.label, &a.name).cmp(&(b.label, &b.name)));
    let mut last = None;
    // (place in the class, image); the labels are in order, and stay so within a place.
    let ranked = images.into_iter().map(|image| {
        let rank = match last {
            Some((label, rank)) if label == image.label => rank + 1,
            _ => 0_usize,
        };
        last = Some((image.label, rank));
        (rank, image)
    });
    let mut ranked: Vec<_> = ranked.collect();
    ranked.sort_by_key(|&(rank, _)| rank);
    ranked.into_iter().map(|(_, image)| image).collect()
}

fn labels<S>(images: &[Image<S>]) -> Vec<u8> {
    images.iter().map(|image| image.label).collect()
}

/// The pixels of a half's images, if they can be used.
fn decode<L: Shelf>(
    shelf: &L,
    half: usize,
    images: &[Image<L::Spot>],
    classes: &[String],
    seen: &mut Seen,
) -> Result<Vec<u8>, DataError> {
    let spots: Vec<_> = images.iter().map(|image| &image.spot).collect();
    let mut pixels = Vec::new();
    shelf.read(&spots, &mut |i, bytes| {
        let Image { label, name, .. } = &images[i];
        let class = shown(&classes[usize::from(*label)]);
        let path = format!("{}/{class}/{}", HALVES[half], shown_bytes(name));
        let Some(Picture { frame, pixels: image, .. }) = seen.look(path, bytes) else {
            return if seen.is_enough() { seen.verdict(shelf).map(drop) } else { Ok(()) };
        };
        if pixels.is_empty() {
            pixels = room(shelf, half, frame, images.len())?;
        }
        pixels[i * frame.width()..][..frame.width()].copy_from_slice(&image);
        Ok(())
    })?;
    Ok(pixels)
}

/// Room for the images of a half. Pages of it that nobody writes to take no memory.
fn room<L: Shelf>(
    shelf: &L,
    half: usize,
    frame: Frame,
    count: usize,
) -> Result<Vec<u8>, DataError> {
    let total = count * frame.width();
    let half = HALVES[half];
    if total > MOST_BYTES {
        let most = MOST_BYTES / frame.width();
        return Err(shelf.layout(format!("more than {most} images of {frame} in {half}/")));
    }
    if total as u64 > shelf.room() {
        let most = shelf.room();
        let reason = format!("{half}/ takes more than the {most} bytes that fit its packed size");
        return Err(shelf.layout(reason));
    }
    Ok(vec![0; total])
}

/// A size and a kind; without a kind, it is of an image that is too large for all kinds.
fn words((columns, height, channels): (usize, usize, usize)) -> String {
    match channels {
        0 => format!("{columns} x {height}"),
        _ => Frame { height, columns, channels }.to_string(),
    }
}

impl Seen {
    /// Decodes an image and takes note of it. The picture, if it is like all before.
    fn look(&mut self, path: String, bytes: Result<&[u8], ImageFlaw>) -> Option<Picture> {
        let found = bytes.and_then(picture::decode);
        let size = match &found {
            Ok(Picture { frame, turned, .. }) => {
                self.turned += usize::from(*turned);
                (frame.columns, frame.height, frame.channels)
            }
            Err(ImageFlaw::Large { columns, height }) => (*columns, *height, 0),
            Err(flaw) => {
                self.flawed += 1;
                self.unfit += 1;
                if self.first.as_ref().is_none_or(|(first, _)| path < *first) {
                    self.first = Some((path, flaw.clone()));
                }
                return None;
            }
        };
        let (count, first) = self.sizes.entry(size).or_insert_with(|| (0, path.clone()));
        *count += 1;
        if path < *first {
            *first = path;
        }
        let fits = |picture: &Picture| *self.frame.get_or_insert(picture.frame) == picture.frame;
        let picture = found.ok().filter(fits);
        self.unfit += usize::from(picture.is_none());
        picture
    }

    /// Whether enough is known to refuse the set.
    fn is_enough(&self) -> bool {
        self.unfit >= MOST_FLAWS
    }

    /// The order of all images' pixels.
    ///
    /// # Errors
    /// If some cannot be used, or they differ.
    fn verdict<L: Shelf>(&self, shelf: &L) -> Result<Frame, DataError> {
        let set = shelf.path().to_owned();
        if let Some((name, flaw)) = self.first.clone() {
            return Err(DataError::Image { set, name, flaw, more: self.flawed - 1 });
        }
        let all: usize = self.sizes.values().map(|(count, _)| count).sum();
        let commonest = self.sizes.iter().max_by_key(|(_, (count, _))| *count);
        match (self.frame, self.sizes.len(), commonest) {
            (Some(frame), 1, _) => Ok(frame),
            (_, 1, Some((&(columns, height, _), (count, name)))) => {
                let flaw = ImageFlaw::Large { columns, height };
                Err(DataError::Image { set, name: name.clone(), flaw, more: count - 1 })
            }
            (_, sizes, Some((common, (count, _)))) => {
                let other = self.sizes.iter().find(|(size, _)| *size != common);
                let other = other.map(|(size, (_, name))| format!("{name} is {}", words(*size)));
                let seen = if self.is_enough() { "the first " } else { "" };
                let reason = format!(
                    "{seen}{} have {sizes} sizes or kinds: most often {} ({} of them), but {}",
                    counted(all, "image"),
                    words(*common),
                    thousands(*count as u64),
                    other.unwrap_or_default(),
                );
                Err(DataError::Mixed { set, reason })
            }
            (_, _, None) => Err(shelf.layout("no image".to_owned())),
        }
    }
}
