//! The manifest of a set of files: its measures, and the hash of each piece of its content.
//!
//! Rule: the hash of the manifest is in the set's id. Who knows the id can tell of every piece that a
//! stranger gives whether it is a part of the set, before the others are there. A manifest from a
//! stranger is within the bounds of [`files`](super::files) before anything is allocated for it.

use serde::{Deserialize, Serialize};

use super::{
    files::{Frame, MOST_BYTES, MOST_CLASSES, MOST_SAMPLES},
    shape::Shape,
};

/// Bytes of a piece of the content; the last one may be shorter.
pub(crate) const PIECE: usize = 1 << 20;

/// Bytes of a manifest, at most.
pub(crate) const MOST_MANIFEST: usize = 1 << 20;

/// The version of manifests.
const FORMAT: u32 = 1;

/// The hash of a piece.
pub(crate) type PieceHash = [u8; 32];

/// The measures and the pieces of a set. Its canonical bytes are its JSON in this order of fields.
///
/// The content is the labels to learn from, those to be scored on, and then the pixels of both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    format: u32,
    channels: usize,
    height: usize,
    columns: usize,
    classes: usize,
    /// Names of the classes; empty where they go by their numbers.
    names: Vec<String>,
    train: u32,
    test: u32,
    /// BLAKE3 of each piece, in hexadecimal digits.
    pieces: Vec<String>,
}

impl Manifest {
    /// The manifest of a set with this content.
    pub(super) fn of(shape: &Shape, names: &[String], content: &Content<'_>) -> Self {
        let mut pieces = Vec::new();
        for number in 0..content.len().div_ceil(PIECE) {
            let mut hasher = blake3::Hasher::new();
            for part in content.piece(number) {
                hasher.update(part);
            }
            pieces.push(hasher.finalize().to_hex().to_string());
        }
        Self {
            format: FORMAT,
            channels: shape.channels,
            height: shape.height,
            columns: shape.columns(),
            classes: shape.classes,
            names: names.to_vec(),
            train: shape.train,
            test: shape.test,
            pieces,
        }
    }

    /// Reads a manifest, which may come from a stranger; `None` if it is none, or out of bounds.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MOST_MANIFEST {
            return None;
        }
        let read: Self = serde_json::from_slice(bytes).ok()?;
        let frame = Frame::new(read.height, read.columns, read.channels)?;
        let half = |samples: u32| {
            let samples = samples as usize;
            samples <= MOST_SAMPLES && samples * frame.width() <= MOST_BYTES
        };
        let sound = read.format == FORMAT
            && [1, 3].contains(&read.channels)
            && (1..=MOST_CLASSES).contains(&read.classes)
            && (read.names.is_empty() || read.names.len() == read.classes)
            && read.train > 0
            && [read.train, read.test].into_iter().all(half)
            && read.pieces.len() == read.content_len().div_ceil(PIECE)
            && read.hashes().count() == read.pieces.len();
        sound.then_some(read)
    }

    /// The canonical bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The measures of the set.
    pub(super) fn shape(&self) -> Shape {
        let Self { channels, height, columns, classes, train, test, .. } = *self;
        Shape { width: channels * height * columns, height, channels, classes, train, test }
    }

    /// The names of the classes, empty where they go by their numbers.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Bytes of the content.
    pub(crate) fn content_len(&self) -> usize {
        (self.train as usize + self.test as usize)
            * (1 + self.channels * self.height * self.columns)
    }

    /// The hash of each piece, in order.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = PieceHash> {
        let hash = |text: &String| blake3::Hash::from_hex(text).ok().map(PieceHash::from);
        self.pieces.iter().filter_map(hash)
    }

    /// Bytes of piece `number`.
    pub(crate) fn piece_len(&self, number: usize) -> usize {
        self.content_len().saturating_sub(number * PIECE).min(PIECE)
    }
}

/// The content of a set, in the order of its pieces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content<'a>(pub(super) [&'a [u8]; 4]);

impl<'a> Content<'a> {
    fn len(&self) -> usize {
        self.0.iter().map(|part| part.len()).sum()
    }

    /// The parts that piece `number` is made of.
    pub(super) fn piece(&self, number: usize) -> Vec<&'a [u8]> {
        let (from, until) = (number * PIECE, (number + 1) * PIECE);
        let mut begin = 0;
        let parts = self.0.iter().map(|part| {
            let (start, end) = (begin, begin + part.len());
            begin = end;
            let cut = |at: usize| at.clamp(start, end) - start;
            &part[cut(from)..cut(until)]
        });
        parts.filter(|part| !part.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(train: u32, test: u32) -> Shape {
        Shape { width: 6, height: 2, channels: 3, classes: 2, train, test }
    }

    fn manifest(train: usize, test: usize) -> (Manifest, Vec<u8>) {
        let part = |bytes: usize, seed: usize| -> Vec<u8> {
            (0..bytes).map(|n| ((n * 7 + seed) % 251) as u8).collect()
        };
        let parts = [part(train, 1), part(test, 2), part(train * 6, 3), part(test * 6, 4)];
        let content = Content(parts.each_ref().map(Vec::as_slice));
        let names = ["cat".to_owned(), "dog".to_owned()];
        (Manifest::of(&shape(train as u32, test as u32), &names, &content), parts.concat())
    }

    #[test]
    fn pieces_cover_the_content_once_and_in_order() {
        for (train, test) in [(1, 0), (10, 3), (200_000, 0), (160_000, 150_000)] {
            let (manifest, all) = manifest(train, test);
            assert_eq!(manifest.content_len(), all.len());
            let hashes: Vec<_> = manifest.hashes().collect();
            let expected: Vec<_> =
                all.chunks(PIECE).map(|piece| PieceHash::from(blake3::hash(piece))).collect();
            assert_eq!(hashes, expected);
            let lengths: Vec<_> = (0..hashes.len()).map(|n| manifest.piece_len(n)).collect();
            assert_eq!(lengths, all.chunks(PIECE).map(<[u8]>::len).collect::<Vec<_>>());
            assert_eq!(Manifest::read(&manifest.to_bytes()), Some(manifest));
        }
    }

    #[test]
    fn a_strangers_manifest_is_within_bounds() {
        let (good, _) = manifest(300_000, 10);
        let changed = |change: fn(&mut Manifest)| {
            let mut bad = good.clone();
            change(&mut bad);
            Manifest::read(&bad.to_bytes())
        };
        assert!(changed(|_| {}).is_some());
        assert_eq!(changed(|it| it.format = 2), None);
        assert_eq!(changed(|it| it.channels = 2), None);
        assert_eq!(changed(|it| it.channels = usize::MAX), None);
        assert_eq!(changed(|it| (it.height, it.columns) = (1 << 40, 1 << 40)), None);
        assert_eq!(changed(|it| it.height = 0), None);
        assert_eq!(changed(|it| it.classes = 0), None);
        assert_eq!(changed(|it| it.classes = 257), None);
        assert_eq!(changed(|it| it.names.truncate(1)), None);
        assert_eq!(changed(|it| it.train = 0), None);
        assert_eq!(changed(|it| it.test = u32::MAX), None);
        assert_eq!(changed(|it| it.pieces.truncate(1)), None);
        assert_eq!(changed(|it| it.pieces.truncate(0)), None);
        assert_eq!(changed(|it| it.pieces[0] = "x".repeat(64)), None);
        for bytes in [&b""[..], b"{}", b"null", &[b' '; MOST_MANIFEST + 1]] {
            assert_eq!(Manifest::read(bytes), None);
        }
    }
}
