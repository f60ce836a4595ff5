//! The places of a set's images, in a folder or in an archive, and the choice of those that are used.
//!
//! Rule: one walk looks through both, so that a folder and its archive are the same set. Links are
//! followed; whatever is not used is counted; the walk ends, whatever links lead where.

use std::collections::BTreeSet;
use std::path::Path;

use super::{
    super::{
        cifar10,
        error::DataError,
        files::{MOST_CLASSES, MOST_SAMPLES},
        found::{self, LeftOut},
        picture::ImageFlaw,
    },
    tree::MOST_FOLDERS,
};
use crate::text::{shown, shown_bytes};

/// Extensions of images, in any case.
const ENDINGS: [&str; 5] = [".png", ".jpg", ".jpeg", ".jpe", ".jfif"];

/// The folders of the halves.
pub(in super::super) const HALVES: [&str; 2] = ["train", "test"];

/// Place of the training half in [`HALVES`].
pub(in super::super) const TRAIN: usize = 0;

/// The most folders below a class, one in the other.
const MOST_DEPTH: usize = 32;

/// The kinds of things under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    Folder,
    File,
    /// A link that leads nowhere.
    Dangling,
    /// A device, a pipe, a socket.
    Other,
}

/// An entry of a folder.
#[derive(Debug)]
pub(in super::super) struct Entry<S> {
    pub(in super::super) name: Vec<u8>,
    pub(super) spot: S,
    pub(super) kind: Kind,
}

/// The use of each image's bytes; they are missing where there are too many of them.
pub(in super::super) type Each<'a> =
    dyn FnMut(usize, Result<&[u8], ImageFlaw>) -> Result<(), DataError> + 'a;

/// A folder or an archive.
pub(in super::super) trait Shelf {
    /// The place of a file or a folder, links followed.
    type Spot: Clone;

    /// The folder or the archive, as it was named.
    fn path(&self) -> &Path;

    /// Its outermost folder.
    fn root(&self) -> Self::Spot;

    /// The entries of a folder, sorted by name.
    ///
    /// # Errors
    /// If it cannot be read, or holds too much.
    fn list(&self, folder: &Self::Spot) -> Result<Vec<Entry<Self::Spot>>, DataError>;

    /// Whether a folder is the other one, or has it somewhere in it.
    fn holds(&self, outer: &Self::Spot, inner: &Self::Spot) -> bool;

    /// Hands the bytes of the given files to `each`, with their places in the list, in any order.
    ///
    /// # Errors
    /// If a file cannot be read, or those of `each`.
    fn read(&self, files: &[&Self::Spot], each: &mut Each<'_>) -> Result<(), DataError>;

    /// The most bytes that the images may take.
    fn room(&self) -> u64;

    /// Remarks on the archive.
    fn remark(&self) -> Option<String>;

    /// An error about the arrangement of the set.
    fn layout(&self, reason: String) -> DataError {
        DataError::Layout { set: self.path().to_owned(), reason }
    }
}

/// An image that is used.
#[derive(Debug)]
pub(in super::super) struct Image<S> {
    pub(in super::super) label: u8,
    /// Its name, below the folder of its class.
    pub(in super::super) name: Vec<u8>,
    pub(in super::super) spot: S,
}

/// The used images of a set, and what is left out.
#[derive(Debug)]
pub(in super::super) struct Survey<S> {
    /// The names of the classes, sorted; the labels are the places in it.
    pub(in super::super) classes: Vec<String>,
    /// The images of the halves, in no order.
    pub(in super::super) halves: [Vec<Image<S>>; 2],
    /// Remarks on the set.
    pub(in super::super) remarks: Vec<String>,
}

/// An image before the classes are known.
struct Seen<S> {
    class: usize,
    name: Vec<u8>,
    spot: S,
}

struct Walk<'a, L: Shelf> {
    shelf: &'a L,
    left: LeftOut,
    folders: usize,
}

/// The names of a half's classes, sorted, and its images.
type Half<S> = (Vec<String>, Vec<Seen<S>>);

/// Looks through a set. With `test_only` it may lack `train/`, and the classes are those of `test/`.
///
/// # Errors
/// If it is not arranged as a set is.
pub(in super::super) fn survey<L: Shelf>(
    shelf: &L,
    test_only: bool,
) -> Result<Survey<L::Spot>, DataError> {
    let mut walk = Walk { shelf, left: LeftOut::default(), folders: 0 };
    let Top { spot: top, first, next_to } = walk.top(test_only)?;
    let mut halves = [(); 2].map(|()| (Vec::new(), Vec::new()));
    let mut others: Vec<Vec<u8>> = Vec::new();
    for (name, kind) in next_to {
        if kind == Kind::Folder && !found::is_passed_over(&name) {
            others.push(name);
        } else {
            walk.outside(&name, kind);
        }
    }
    for Entry { name, spot, kind } in shelf.list(&top)? {
        match (HALVES.iter().position(|half| half.as_bytes() == name), kind) {
            (Some(half), Kind::Folder) => halves[half] = walk.half(half, &spot)?,
            (_, Kind::Folder) if !found::is_passed_over(&name) => others.push(name),
            _ => walk.outside(&name, kind),
        }
    }
    // A folder without images to train on can be evaluated as well.
    let needed = if test_only { 1 } else { TRAIN };
    for (half, (_, images)) in HALVES.iter().zip(&halves).skip(needed) {
        if images.is_empty() {
            let there = walk.there(&others).map(|there| format!("; {there}"));
            let there = there.unwrap_or_default();
            return Err(shelf.layout(format!("no .png, .jpg or .jpeg in {half}/<class>/{there}")));
        }
    }
    let mut remarks = Vec::new();
    let [(trained, _), (tested, _)] = &halves;
    let classes = if first == TRAIN { trained.clone() } else { tested.clone() };
    // One class can be told from those that a model knows, but not be learned alone.
    let least = if first == TRAIN { 2 } else { 1 };
    if !(least..=MOST_CLASSES).contains(&classes.len()) {
        let (found, half) = (found::counted(classes.len(), "class"), HALVES[first]);
        let reason = format!("{found} in {half}/, where {least} to {MOST_CLASSES} are needed");
        return Err(shelf.layout(reason));
    }
    remarks.extend(lacking(&classes, &halves[first].1));
    remarks.extend(walk.there(&others));
    remarks.extend(shelf.remark());
    let mut labelled = [(); 2].map(|()| Vec::new());
    for (i, (names, images)) in halves.into_iter().enumerate() {
        labelled[i] = label(shelf, &classes, names, images)?;
    }
    Ok(Survey { classes, halves: labelled, remarks })
}

/// The classes without an image, in words.
fn lacking<S>(classes: &[String], images: &[Seen<S>]) -> Option<String> {
    let used: BTreeSet<usize> = images.iter().map(|image| image.class).collect();
    let empty = classes.iter().enumerate().filter(|(i, _)| !used.contains(i));
    let names: Vec<_> = empty.map(|(_, name)| shown(name).into_owned()).collect();
    (!names.is_empty())
        .then(|| format!("classes without an image here: {}", found::listed(names.into_iter())))
}

/// The images with their classes' places among all.
fn label<L: Shelf>(
    shelf: &L,
    classes: &[String],
    names: Vec<String>,
    images: Vec<Seen<L::Spot>>,
) -> Result<Vec<Image<L::Spot>>, DataError> {
    let places: Vec<_> = names.iter().map(|name| classes.binary_search(name).ok()).collect();
    images
        .into_iter()
        .map(|Seen { class, name, spot }| match places[class] {
            Some(label) => Ok(Image { label: label as u8, name, spot }),
            None => {
                let class = shown(&names[class]);
                Err(shelf.layout(format!("the class {class} is only in test/")))
            }
        })
        .collect()
}

/// The place of a set's halves.
struct Top<S> {
    spot: S,
    /// The first half that it must have.
    first: usize,
    /// The entries next to the folder that holds them.
    next_to: Vec<(Vec<u8>, Kind)>,
}

impl<L: Shelf> Walk<'_, L> {
    /// The folder that holds the halves: the outermost one, or the only one in it that does; and
    /// the first half that it must have.
    fn top(&self, test_only: bool) -> Result<Top<L::Spot>, DataError> {
        let root = self.shelf.root();
        let entries = self.shelf.list(&root)?;
        let holds = |entries: &[Entry<L::Spot>], half: &str| {
            let name = half.as_bytes();
            entries.iter().any(|entry| entry.name == name && entry.kind == Kind::Folder)
        };
        let folders: Vec<_> = entries
            .iter()
            .filter(|entry| entry.kind == Kind::Folder && !found::is_passed_over(&entry.name))
            .collect();
        for (half, name) in HALVES.iter().enumerate().take(1 + usize::from(test_only)) {
            if holds(&entries, name) {
                return Ok(Top { spot: root, first: half, next_to: Vec::new() });
            }
            let mut tops = Vec::new();
            for folder in &folders {
                // One that cannot be read is none of the set's.
                if self.shelf.list(&folder.spot).is_ok_and(|inner| holds(&inner, name)) {
                    tops.push((folder.name.clone(), folder.spot.clone()));
                }
            }
            match (tops.pop(), tops.len()) {
                (Some((name, spot)), 0) => {
                    let others = entries.iter().filter(|entry| entry.name != name);
                    let next_to = others.map(|entry| (entry.name.clone(), entry.kind)).collect();
                    return Ok(Top { spot, first: half, next_to });
                }
                (Some(_), _) => {
                    return Err(self.shelf.layout(format!("more than one folder with a {name}/")));
                }
                (None, _) => {}
            }
        }
        let names: Vec<_> = folders.iter().map(|folder| folder.name.as_slice()).collect();
        let shown = |entry: &&Entry<_>| !found::is_passed_over(&entry.name);
        let files = entries.iter().filter(shown).count() - names.len();
        let mut there = found::contents(&names, files);
        if let Some(way) = entries.iter().find_map(|entry| cifar10::way_with(&entry.name)) {
            there = format!("{there}; {way}");
        }
        let wanted = if test_only { "train/ or test/" } else { "train/" };
        Err(self.shelf.layout(format!("no folder {wanted}; {there}")))
    }

    /// Everything besides the set: files that are left out, and other folders than its halves.
    fn there(&self, others: &[Vec<u8>]) -> Option<String> {
        let names = others.iter().map(|name| format!("{}/", shown_bytes(name)));
        let folders = format!("not looked into: {}", found::listed(names));
        let folders = (!others.is_empty()).then_some(folders);
        let parts: Vec<_> = self.left.in_words().into_iter().chain(folders).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// A file that is in no class.
    fn outside(&mut self, name: &[u8], kind: Kind) {
        match kind {
            _ if found::is_passed_over(name) => {}
            Kind::File if is_image(name) => {
                self.left.count("outside of train/<class>/ and test/<class>/");
            }
            Kind::File | Kind::Folder => self.left.count_by_ending(name),
            Kind::Dangling => self.left.count("behind broken links"),
            Kind::Other => self.left.count("neither file nor folder"),
        }
    }

    /// The classes and the images of a half.
    fn half(&mut self, half: usize, spot: &L::Spot) -> Result<Half<L::Spot>, DataError> {
        let (mut classes, mut images) = (Vec::new(), Vec::new());
        for Entry { name, spot, kind } in self.shelf.list(spot)? {
            if kind != Kind::Folder {
                self.outside(&name, kind);
            } else if !found::is_passed_over(&name) {
                let path = format!("{}/{}", HALVES[half], shown_bytes(&name));
                let (before, left) = (images.len(), self.left.total());
                let mut above = vec![spot];
                let class = classes.len();
                self.folder(&mut above, &[], class, &mut images)?;
                let (found, left) = (images.len() > before, self.left.total() > left);
                if half == TRAIN && left && !found {
                    let left = self.left.in_words().unwrap_or_default();
                    let way = "convert its images, or take it away if it is no class";
                    let reason = format!("{path}/ has no .png, .jpg or .jpeg ({left}): {way}");
                    return Err(self.shelf.layout(reason));
                }
                if found || half == TRAIN {
                    let text = String::from_utf8(name);
                    let way = "the name of the class is not UTF-8: rename it";
                    classes.push(text.map_err(|_| self.shelf.layout(format!("{path}: {way}")))?);
                }
            }
        }
        Ok((classes, images))
    }

    /// Adds the images of the last of the folders `above`, whose names begin with `prefix`.
    fn folder(
        &mut self,
        above: &mut Vec<L::Spot>,
        prefix: &[u8],
        class: usize,
        images: &mut Vec<Seen<L::Spot>>,
    ) -> Result<(), DataError> {
        // Links can make few folders look like many.
        self.folders += 1;
        if self.folders > MOST_FOLDERS {
            return Err(self.shelf.layout(format!("more than {MOST_FOLDERS} folders")));
        }
        let Some(folder) = above.last() else { return Ok(()) };
        for Entry { name, spot, kind } in self.shelf.list(folder)? {
            match kind {
                _ if found::is_passed_over(&name) => {}
                Kind::File if is_image(&name) => {
                    if images.len() == MOST_SAMPLES {
                        let reason = format!("more than {MOST_SAMPLES} images of a half");
                        return Err(self.shelf.layout(reason));
                    }
                    images.push(Seen { class, name: [prefix, &name].concat(), spot });
                }
                Kind::Folder if above.iter().any(|inner| self.shelf.holds(&spot, inner)) => {
                    self.left.count("behind links to a folder above");
                }
                Kind::Folder if above.len() == MOST_DEPTH => self.left.count("in folders too deep"),
                Kind::Folder => {
                    above.push(spot);
                    let prefix = [prefix, &name, b"/"].concat();
                    self.folder(above, &prefix, class, images)?;
                    above.pop();
                }
                Kind::File | Kind::Dangling | Kind::Other => self.outside(&name, kind),
            }
        }
        Ok(())
    }
}

fn is_image(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| lower.ends_with(ending.as_bytes()))
}
