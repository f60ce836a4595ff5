//! A set of files, put together from its pieces.
//!
//! Rule: every piece is compared with the manifest, and a label without a class makes no set.

use super::{
    images::Images,
    manifest::{Manifest, PieceHash},
    set::{Data, Half},
    shape::Shape,
};

/// A set that is put together from its pieces, one after the other.
#[derive(Debug)]
pub(crate) struct Assembly {
    manifest: Manifest,
    hashes: Vec<PieceHash>,
    /// Pieces so far.
    count: usize,
    /// The parts of the content, and the length of each in the end.
    parts: [(Vec<u8>, usize); 4],
}

impl Assembly {
    /// Nothing yet of the set of this manifest.
    pub(crate) fn new(manifest: &Manifest) -> Self {
        let Shape { width, train, test, .. } = manifest.shape();
        let (train, test) = (train as usize, test as usize);
        let part = |len: usize| (Vec::with_capacity(len), len);
        Self {
            hashes: manifest.hashes().collect(),
            manifest: manifest.clone(),
            count: 0,
            parts: [part(train), part(test), part(train * width), part(test * width)],
        }
    }

    /// The next piece. Whether it is the right one.
    pub(crate) fn push(&mut self, piece: &[u8]) -> bool {
        let hash = self.hashes.get(self.count).copied().map(blake3::Hash::from);
        if hash != Some(blake3::hash(piece)) {
            return false;
        }
        self.count += 1;
        let mut rest = piece;
        for (part, len) in &mut self.parts {
            let (own, others) = rest.split_at(rest.len().min(*len - part.len()));
            part.extend_from_slice(own);
            rest = others;
        }
        rest.is_empty()
    }

    /// The set, once all pieces were pushed; `None` before, and if a label has no class.
    pub(crate) fn finish(self, kind: &str) -> Option<Data> {
        let Self { manifest, hashes, count, parts: [train, test, train_pixels, test_pixels] } =
            self;
        let Shape { width, classes, .. } = manifest.shape();
        let is_label = |label: &u8| usize::from(*label) < classes;
        let is_sound = count == hashes.len() && train.0.iter().chain(&test.0).all(is_label);
        let half = |labels: Vec<u8>, pixels| Half::read(Images { width, pixels }, labels);
        let halves = [half(train.0, train_pixels.0), half(test.0, test_pixels.0)];
        is_sound.then(|| Data::of_manifest(kind, manifest, halves, Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::manifest::Content, *};

    const SHAPE: Shape = Shape { width: 6, height: 2, channels: 3, classes: 2, train: 3, test: 1 };

    #[test]
    fn a_set_is_put_together_from_the_right_pieces_only() {
        let parts = [vec![0, 1, 1], vec![1], vec![7; 18], vec![9; 6]];
        let content = Content(parts.each_ref().map(Vec::as_slice));
        let manifest = Manifest::of(&SHAPE, &[], &content);
        let mut assembly = Assembly::new(&manifest);
        let mut piece = parts.concat();
        piece[5] ^= 1;
        assert!(!assembly.push(&piece) && assembly.push(&parts.concat()));
        let data = assembly.finish("npz").unwrap();
        assert_eq!(data.id(), format!("npz:{}", blake3::hash(&manifest.to_bytes())));
        assert_eq!((data.train_labels(), data.test_labels()), (&parts[0][..], &parts[1][..]));
        assert_eq!((data.train(1).row(2), data.test(1).0.row(0)), (&[7; 6][..], &[9; 6][..]));
        assert_eq!(data.piece(0, 2, 3), Some(vec![1, 1, 7]));
        assert_eq!((data.piece(0, 2, 99), data.piece(1, 0, 1)), (None, None));
        assert!(Assembly::new(&manifest).finish("npz").is_none());
        let wrong = [vec![0, 1, 2], vec![1], vec![7; 18], vec![9; 6]];
        let content = Content(wrong.each_ref().map(Vec::as_slice));
        let manifest = Manifest::of(&SHAPE, &[], &content);
        let mut assembly = Assembly::new(&manifest);
        assert!(assembly.push(&wrong.concat()) && assembly.finish("npz").is_none());
    }
}
