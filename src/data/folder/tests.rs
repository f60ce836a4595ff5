//! Sets of tiny images, in a folder and packed, whole and broken.

use std::{
    fs,
    io::{self, Read as _, Write},
};

use flate2::{Compression, write::GzEncoder};

use super::{super::files::MOST_FILE, bounded::Bounded, *};

/// Opens a set to train on.
fn open(path: &Path) -> Result<Data, DataError> {
    super::open(path, false)
}

/// A PNG of `columns` x `rows` pixels, all of this colour: one number for grey, three for RGB.
pub(super) fn png(columns: u32, rows: u32, colour: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, columns, rows);
    encoder.set_color(match colour.len() {
        1 => png::ColorType::Grayscale,
        3 => png::ColorType::Rgb,
        _ => png::ColorType::Rgba,
    });
    let pixels = colour.repeat((columns * rows) as usize);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&pixels).unwrap();
    writer.finish().unwrap();
    bytes
}

pub(super) fn put(dir: &Path, name: &str, bytes: &[u8]) {
    let file = dir.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, bytes).unwrap();
}

/// Two classes: cats 10, 11, 12 and dogs 20, 21; to test a cat 13 and a dog 22.
fn small() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, grey) in [
        ("train/dog/b.PNG", 21),
        ("train/cat/3.png", 12),
        ("train/cat/1.png", 10),
        ("train/dog/a.png", 20),
        ("train/cat/2.jpeg", 11),
        ("test/dog/x.png", 22),
        ("test/cat/y.jpg", 13),
    ] {
        put(dir.path(), name, &png(3, 2, &[grey]));
    }
    // None of these is an image of a class.
    for name in ["README.md", "train/cat/._1.png", "train/cat/notes.txt", "train/.git/x.png"] {
        put(dir.path(), name, b"?");
    }
    dir
}

/// The folder as an archive, below `top` if that is not empty.
pub(super) fn tar(dir: &Path, top: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.follow_symlinks(false);
    builder.append_dir_all(top, dir).unwrap();
    builder.into_inner().unwrap()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn message(path: &Path) -> String {
    open(path).unwrap_err().to_string()
}

/// The remarks on the small set with one more file.
#[track_caller]
fn refused(name: &str, bytes: &[u8], says: &[&str]) {
    let dir = small();
    put(dir.path(), name, bytes);
    let packed = dir.path().join("set.tar.gz");
    fs::write(&packed, gzip(&tar(dir.path(), ""))).unwrap();
    for path in [dir.path(), &packed] {
        let message = message(path);
        assert!(says.iter().all(|word| message.contains(word)), "{message}");
    }
}

#[test]
fn samples_are_ordered_by_their_names() {
    let dir = small();
    let data = open(dir.path()).unwrap();
    let shape = data.shape();
    assert_eq!((shape.width, shape.height, shape.columns(), shape.channels), (6, 2, 3, 1));
    assert_eq!((shape.classes, shape.train, shape.test), (2, 5, 2));
    let first = |i| data.train(1).row(i)[0];
    // The first of each class, the second of each, and so on.
    assert_eq!(data.train_labels(), [0, 1, 0, 1, 0]);
    assert_eq!([0, 1, 2, 3, 4].map(first), [10, 20, 11, 21, 12]);
    let (images, labels) = data.test(1);
    assert_eq!((images.row(0)[0], images.row(1)[0], labels), (13, 22, &[0, 1][..]));
}

#[test]
fn a_folder_and_its_archives_are_one_set() {
    let dir = small();
    let packed = tempfile::tempdir().unwrap();
    let data = open(dir.path()).unwrap();
    for (name, bytes) in [
        ("plain.tar", tar(dir.path(), "")),
        ("packed.tar.gz", gzip(&tar(dir.path(), ""))),
        ("one above.tgz", gzip(&tar(dir.path(), "animals-1.0"))),
    ] {
        let file = packed.path().join(name);
        fs::write(&file, bytes).unwrap();
        let archive = open(&file).unwrap();
        assert_eq!(archive.id(), data.id(), "{name}");
        assert_eq!(archive.train(1).row(3), data.train(1).row(3));
        assert_eq!(archive.train_labels(), data.train_labels());
    }
    let around = tempfile::tempdir().unwrap();
    fs::rename(dir.path(), around.path().join("animals-1.0")).unwrap();
    assert_eq!(open(around.path()).unwrap().id(), data.id());
    put(&around.path().join("animals-1.0"), "train/cat/3.png", &png(3, 2, &[99]));
    assert_ne!(open(around.path()).unwrap().id(), data.id());
}

#[test]
fn a_class_may_have_no_image_here() {
    let [all, few] = [small(), small()];
    fs::remove_dir_all(few.path().join("train/cat")).unwrap();
    fs::create_dir(few.path().join("train/cat")).unwrap();
    let packed = all.path().join("set.tar");
    fs::write(&packed, tar(few.path(), "")).unwrap();
    let whole = open(all.path()).unwrap();
    for path in [few.path(), &packed] {
        let data = open(path).unwrap();
        assert_eq!((data.shape().classes, data.train_labels()), (2, &[1, 1][..]));
        assert_eq!(data.form(2), whole.form(2), "a network can learn from both");
    }
    fs::rename(few.path().join("train/cat"), few.path().join("train/cow")).unwrap();
    fs::remove_dir_all(few.path().join("test/cat")).unwrap();
    assert_ne!(open(few.path()).unwrap().form(2), whole.form(2), "a cow is no cat");
}

#[test]
fn colours_become_planes() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["train/a/1.png", "train/b/1.png", "test/a/1.png"] {
        put(dir.path(), name, &png(2, 2, &[1, 2, 3]));
    }
    let data = open(dir.path()).unwrap();
    assert_eq!((data.shape().channels, data.shape().width), (3, 12));
    assert_eq!(data.train(1).row(0), [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
}

#[test]
fn an_image_that_cannot_be_used_is_named() {
    let whole = png(3, 2, &[7]);
    let name = "train/dog/c.png";
    refused(name, &whole[..whole.len() - 20], &[name, "cut or damaged"]);
    refused(name, b"GIF89a", &[name, "is a GIF image, neither a PNG nor a JPEG"]);
    refused(name, b"", &[name, "is empty, neither a PNG nor a JPEG"]);
    refused(name, &png(3, 2, &[7, 7, 7, 200]), &[name, "without transparency"]);
    refused(name, &vec![0; MOST_FILE as usize + 1], &[name, "more than 4194304 bytes"]);
}

#[test]
fn a_huge_declared_size_is_refused_before_there_is_room_for_it() {
    let mut huge = png(3, 2, &[7]);
    huge[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    // The header's own sum, or the decoder would stop at it.
    let mut sum = flate2::Crc::new();
    sum.update(&huge[12..29]);
    huge[29..33].copy_from_slice(&sum.sum().to_be_bytes());
    for (image, size) in [(&huge, "2147483647 x 2147483647"), (&png(257, 256, &[7]), "257 x 256")] {
        let differs = format!("train/dog/c.png is {size}");
        refused("train/dog/c.png", image, &["2 sizes or kinds", &differs, "mogrify"]);
        let dir = tempfile::tempdir().unwrap();
        for name in ["train/a/1.png", "train/b/1.png", "test/a/1.png"] {
            put(dir.path(), name, image);
        }
        let message = message(dir.path());
        let says = format!("test/a/1.png is {size} pixels, where width x");
        assert!(message.contains(&says) && message.contains("(2 other images"), "{message}");
    }
}

#[test]
fn images_of_different_sizes_are_counted() {
    let dir = small();
    put(dir.path(), "train/cat/4.png", &png(4, 2, &[7]));
    put(dir.path(), "test/dog/4.png", &png(3, 2, &[7, 7, 7]));
    let packed = dir.path().join("set.tar.gz");
    fs::write(&packed, gzip(&tar(dir.path(), ""))).unwrap();
    for path in [dir.path(), &packed] {
        let message = message(path);
        let says = "9 images have 3 sizes or kinds: most often 3 x 2 grey (7 of them), but \
                    test/dog/4.png is 3 x 2 RGB; make all of one size and kind";
        assert!(message.contains(says) && message.contains("mogrify -resize"), "{message}");
    }
}

#[test]
fn a_set_that_is_not_arranged_as_it_should_is_refused() {
    refused("test/bird/1.png", &png(3, 2, &[7]), &["the class bird is only in test/"]);
    let dir = small();
    fs::remove_dir_all(dir.path().join("test")).unwrap();
    assert!(message(dir.path()).contains("no .png, .jpg or .jpeg in test/<class>/"));
    let dir = small();
    fs::remove_dir_all(dir.path().join("train/dog")).unwrap();
    assert!(message(dir.path()).contains("1 class in train/, where 2 to 256 are needed"));
    assert!(message(&dir.path().join("train")).contains("no folder train/"));
    assert!(message(&dir.path().join("nothing")).contains("nothing: there is no such file"));
    for class in 0..300 {
        put(dir.path(), &format!("train/{class}/1.png"), &png(3, 2, &[7]));
    }
    assert!(message(dir.path()).contains("301 classes"));
}

#[test]
fn an_archive_that_is_none_or_cut_is_refused() {
    let dir = small();
    let file = dir.path().join("set.tar.gz");
    let plain = tar(dir.path(), "");
    let packed = gzip(&plain);
    for bytes in [&packed[..packed.len() / 2], &packed[..packed.len() - 3], &plain[..3000]] {
        fs::write(&file, bytes).unwrap();
        assert!(message(&file).contains("set.tar.gz"), "{}", message(&file));
    }
    fs::write(&file, [7; 5000]).unwrap();
    assert!(message(&file).contains("pack train/ and test/ again"), "{}", message(&file));
}

#[test]
fn two_sets_in_one_place_are_refused() {
    let (dir, file) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    for top in ["x", "y"] {
        put(dir.path(), &format!("{top}/train/a/1.png"), &png(3, 2, &[7]));
    }
    fs::write(file.path(), tar(dir.path(), "")).unwrap();
    for path in [dir.path(), file.path()] {
        assert!(message(path).contains("more than one folder with a train/"), "{}", message(path));
    }
}

#[test]
fn an_endless_archive_ends_at_the_bound() {
    let mut input = Bounded::new(io::repeat(0), 10_000);
    let error = input.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("more than 10000 bytes"), "{error}");
}
