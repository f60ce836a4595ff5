//! Images by class, gathered in any order, put into an order that only their names decide.
//!
//! A class is the name of a folder of `train/`, with images or without; its label is the name's
//! rank among the sorted names. The rule kept here: the samples are the first image of each class, then the second of each, and so on, an
//! image's place in its class being its name's rank. So neither the file system nor an archive
//! has a say, and any first part of a half shows all classes.

use std::collections::BTreeSet;
use std::path::Path;

use super::error::DataError;
use super::files::{self, Frame, MOST_BYTES, MOST_CLASSES, MOST_SAMPLES};
use super::picture::{self, ImageFlaw, Picture};
use super::{Data, Half, Images};

/// The most bytes that the name of a class or an image may have.
const MOST_NAME: usize = 255;

/// How the names of images end, in any case.
const ENDINGS: [&str; 3] = [".png", ".jpg", ".jpeg"];

/// The folders of the halves.
pub(super) const HALVES: [&str; 2] = ["train", "test"];

/// Where an image belongs: `train/CLASS/NAME` or `test/CLASS/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Which of [`HALVES`].
    half: usize,
    class: String,
    name: String,
}

/// Whether a folder or file is one of the set's: hidden ones are not.
fn is_shown(name: &str) -> bool {
    !name.starts_with('.') && name.len() <= MOST_NAME
}

impl Place {
    /// The place that a path names, and the folder above it if it has one; `None` if the path is
    /// of no image of a class. Names that begin with a dot are not shown by `ls` and not used.
    pub(super) fn of(path: &str) -> Option<(Option<&str>, Self)> {
        let parts: Vec<_> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        let (top, half, class, name) = match parts[..] {
            [half, class, name] => (None, half, class, name),
            [top, half, class, name] => (Some(top), half, class, name),
            _ => return None,
        };
        let half = HALVES.iter().position(|&known| known == half)?;
        let lower = name.to_ascii_lowercase();
        let shown = [class, name].into_iter().all(is_shown);
        let image = shown && ENDINGS.iter().any(|ending| lower.ends_with(ending));
        let place = || Self { half, class: class.to_owned(), name: name.to_owned() };
        image.then(|| (top, place()))
    }

    /// The place as a path.
    pub(super) fn path(&self) -> String {
        format!("{}/{}/{}", HALVES[self.half], self.class, self.name)
    }
}

/// The images gathered so far.
#[derive(Debug)]
pub(super) struct Gallery<'a> {
    set: &'a Path,
    /// What all images must be like, and the first of them.
    first: Option<(Frame, String)>,
    walls: [Wall; 2],
    /// The names of the folders in `train/`.
    classes: BTreeSet<String>,
}

/// The images of a half in the order they came.
#[derive(Debug, Default)]
struct Wall {
    places: Vec<Place>,
    pixels: Vec<u8>,
}

impl<'a> Gallery<'a> {
    /// An empty one for the set at `set`.
    pub(super) fn new(set: &'a Path) -> Self {
        let walls = [Wall::default(), Wall::default()];
        Self { set, first: None, walls, classes: BTreeSet::new() }
    }

    /// An error about the arrangement of the set.
    pub(super) fn layout(&self, reason: String) -> DataError {
        DataError::Layout { set: self.set.to_owned(), reason }
    }

    /// There is a folder `path`, a class of its own if it lies in `train/`. One too many is none,
    /// and is found when the set is made.
    pub(super) fn add_folder(&mut self, path: &str) {
        let parts: Vec<_> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if let [half, class] | [_, half, class] = parts[..]
            && half == HALVES[0]
            && is_shown(class)
            && self.classes.len() <= MOST_CLASSES
        {
            self.classes.insert(class.to_owned());
        }
    }

    /// Decodes an image and adds it.
    ///
    /// # Errors
    /// If it cannot be used, differs from the images before it, or is one too many.
    pub(super) fn add(&mut self, place: Place, bytes: &[u8]) -> Result<(), DataError> {
        let flawed = |flaw| DataError::Image { set: self.set.to_owned(), name: place.path(), flaw };
        let Picture { frame, pixels } = picture::decode(bytes).map_err(flawed)?;
        let (wanted, first) = self.first.get_or_insert_with(|| (frame, place.path()));
        if *wanted != frame {
            let (found, wanted) = (frame.to_string(), wanted.to_string());
            return Err(flawed(ImageFlaw::Other { found, first: first.clone(), wanted }));
        }
        let wall = &mut self.walls[place.half];
        if wall.places.len() == MOST_SAMPLES || wall.pixels.len() + pixels.len() > MOST_BYTES {
            let most = MOST_SAMPLES.min(MOST_BYTES / frame.width());
            let half = HALVES[place.half];
            return Err(self.layout(format!("more than {most} images of {frame} in {half}/")));
        }
        wall.pixels.extend_from_slice(&pixels);
        wall.places.push(place);
        Ok(())
    }

    /// The gathered images as a set.
    ///
    /// # Errors
    /// If a half has no image, the classes are fewer than 2 or too many, a class is only in
    /// `test/`, or an image came twice.
    pub(super) fn set(self) -> Result<Data, DataError> {
        let empty = self.walls.iter().position(|wall| wall.places.is_empty());
        let (Some(frame), None) = (self.first.as_ref().map(|first| first.0), empty) else {
            let half = HALVES[empty.unwrap_or_default()];
            return Err(self.layout(format!("no .png, .jpg or .jpeg in {half}/<class>/")));
        };
        let used = self.walls[0].places.iter().map(|place| place.class.clone());
        let names: BTreeSet<String> = self.classes.iter().cloned().chain(used).collect();
        let classes: Vec<String> = names.into_iter().collect();
        if !(2..=MOST_CLASSES).contains(&classes.len()) {
            let found = classes.len();
            let reason = format!("{found} classes in train/, where 2 to {MOST_CLASSES} are needed");
            return Err(self.layout(reason));
        }
        let set = self.set;
        let layout = |reason| DataError::Layout { set: set.to_owned(), reason };
        let [train, test] = self.walls.map(|wall| wall.half(&classes).map_err(layout));
        let (train, test) = (train?, test?);
        let count = classes.len();
        Ok(files::set("folder", frame, classes, count, train, test))
    }
}

impl Wall {
    /// The images in their order, with their labels; or why there is none.
    fn half(self, classes: &[String]) -> Result<Half, String> {
        let Self { places, pixels } = self;
        let width = pixels.len() / places.len();
        let mut sorted: Vec<usize> = (0..places.len()).collect();
        sorted.sort_unstable_by_key(|&i| &places[i]);
        if let Some(pair) = sorted.windows(2).find(|pair| places[pair[0]] == places[pair[1]]) {
            return Err(format!("{} is there twice", places[pair[0]].path()));
        }
        // (place in the class, label, where it is)
        let mut hung: Vec<(usize, u8, usize)> = Vec::with_capacity(places.len());
        for i in sorted {
            let class = &places[i].class;
            let label = classes.binary_search(class);
            let label = label.map_err(|_| format!("the class {class} is only in test/"))? as u8;
            let rank =
                hung.last().map_or(0, |&(rank, last, _)| if last == label { rank + 1 } else { 0 });
            hung.push((rank, label, i));
        }
        hung.sort_unstable();
        let mut ordered = Vec::with_capacity(pixels.len());
        for &(_, _, i) in &hung {
            ordered.extend_from_slice(&pixels[i * width..(i + 1) * width]);
        }
        let labels = hung.iter().map(|&(_, label, _)| label).collect();
        Ok(Half::read(Images { width, pixels: ordered }, labels))
    }
}
