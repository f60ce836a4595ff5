//! The same set in a folder and in archives, with all that people, systems and packers put there.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
};

use tar::EntryType;

use super::tests::{gzip, png, put, tar};
use super::*;

/// The set at a path: its id and remarks, or the error without the path.
fn answer(path: &Path) -> Result<(String, String), String> {
    let found = open(path, false)
        .map_err(|error| error.to_string().replace(&crate::text::shown_path(path), "SET"))?;
    Ok((found.id().to_owned(), found.found().unwrap()))
}

/// A folder and its archives give the same answer, which is returned.
#[track_caller]
fn same(dir: &Path) -> Result<(String, String), String> {
    let (plain, file) = (answer(dir), tempfile::NamedTempFile::new().unwrap());
    let packed = [&gzip(&tar(dir, "."))[..], &gzip(b""), &[0; 700]].concat();
    for bytes in [tar(dir, ""), packed] {
        fs::write(file.path(), bytes).unwrap();
        assert_eq!(answer(file.path()), plain);
    }
    plain
}

/// Two classes with two images each.
fn small() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for half in ["train", "test"] {
        for (name, grey) in [("a/1.png", 1), ("a/2.png", 2), ("b/1.png", 3)] {
            put(dir.path(), &format!("{half}/{name}"), &png(3, 2, &[grey]));
        }
    }
    dir
}

#[test]
fn odd_names_are_names() {
    let dir = small();
    let image = png(3, 2, &[9]);
    let long = "x".repeat(251);
    for name in ["two\nlines.png", "-rf.png", "caf\u{e9}.PNG", "cafe\u{301}.png", " .png", "*?.Jpg"]
    {
        put(dir.path(), &format!("train/\u{732b} -a\n/{name}"), &image);
    }
    put(dir.path(), &format!("train/a/{long}.png"), &image);
    put(dir.path(), &format!("train/{long}/\u{1b}[31m.jpeg"), &image);
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"train/a/caf\xe9\xff.png");
        fs::write(dir.path().join(name), &image).unwrap();
    }
    let (_, found) = same(dir.path()).unwrap();
    assert!(found.contains("4 classes: a, b, xxx") && found.contains("\u{732b} -a\\n"), "{found}");
    assert!(!found.contains("left out"), "{found}");
    put(dir.path(), "test/a/\u{202e}\u{1b}]0;.png", b"no image");
    let message = same(dir.path()).unwrap_err();
    assert!(message.contains(r"test/a/\u{202e}\u{1b}]0;.png is of another kind"), "{message}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_class_has_a_name_in_text() {
    use std::os::unix::ffi::OsStrExt;
    let dir = small();
    let class = dir.path().join(std::ffi::OsStr::from_bytes(b"train/caf\xe9"));
    fs::create_dir(&class).unwrap();
    fs::write(class.join("1.png"), png(3, 2, &[9])).unwrap();
    let message = same(dir.path()).unwrap_err();
    assert!(message.contains(r"train/caf\xe9: the name of the class is not UTF-8"), "{message}");
}

#[test]
fn stray_files_are_counted_and_hidden_ones_passed_over() {
    let dir = small();
    let (id, found) = same(dir.path()).unwrap();
    assert_eq!(found, "found 3 images to train on and 3 to test on, 3 x 2 grey, 2 classes: a, b");
    let junk = b"junk";
    for name in [
        ".git/train/c/1.png",
        ".DS_Store",
        "__MACOSX/train/a/._1.png",
        "train/.cache/1.png",
        "train/@eaDir/1.png",
        "train/a/@eaDir/1.png/THUMB.png",
        "train/__pycache__/x.pyc",
        "train/a/Thumbs.db",
        "test/b/desktop.ini",
        "test/a/._1.png",
        "$RECYCLE.BIN/x",
        "train/a/.hidden/1.png",
        "lost+found/train/a/1.png",
    ] {
        put(dir.path(), name, junk);
    }
    assert_eq!(same(dir.path()).unwrap(), (id.clone(), found.clone()));
    for name in [
        "README.md",
        "cover.png",
        "train/list.csv",
        "train/a/1.webp",
        "train/a/2.webp",
        "train/x.jpg",
        "train/a/labels.txt",
        "test/b/clip.gif",
        "val/a/1.png",
        "docs/x.md",
        "test/c/1.webp",
    ] {
        put(dir.path(), name, junk);
    }
    let (other, words) = same(dir.path()).unwrap();
    assert_eq!(other, id);
    let left = "; 9 files left out: 3 .webp, 3 not images, 2 outside of train/<class>/ and \
                test/<class>/, 1 .gif; not looked into: docs/, val/";
    assert_eq!(words, found + left);
}

#[test]
fn nested_images_belong_to_the_class() {
    let dir = small();
    put(dir.path(), "train/a/more/and/3.jpe", &png(3, 2, &[5]));
    put(dir.path(), "train/c/more/3.jfif", &png(3, 2, &[6]));
    let (_, found) = same(dir.path()).unwrap();
    assert!(found.contains("5 images") && found.contains("3 classes: a, b, c"), "{found}");
    assert_eq!(open(dir.path(), false).unwrap().train_labels(), [0, 1, 2, 0, 0]);
}

#[test]
fn a_folder_becomes_no_class_by_accident() {
    let dir = small();
    fs::create_dir(dir.path().join("train/c")).unwrap();
    put(dir.path(), "train/c/.gitkeep", b"");
    let (_, found) = same(dir.path()).unwrap();
    assert!(found.ends_with("3 classes: a, b, c; classes without an image here: c"), "{found}");
    put(dir.path(), "train/c/1.webp", b"?");
    put(dir.path(), "train/c/x.txt", b"?");
    let message = same(dir.path()).unwrap_err();
    let says = "train/c/ has no .png, .jpg or .jpeg (2 files left out: 1 .webp, 1 not images)";
    assert!(message.contains(says), "{message}");
}

#[test]
fn what_is_there_is_told_where_no_set_is() {
    let dir = tempfile::tempdir().unwrap();
    assert!(same(dir.path()).unwrap_err().contains("no folder train/; it is empty"));
    for name in ["Train/a/1.png", "Test/a/1.png", "x.csv", ".hidden/x"] {
        put(dir.path(), name, b"?");
    }
    let message = same(dir.path()).unwrap_err();
    assert!(message.contains("no folder train/; there is Test/, Train/ and 1 file"), "{message}");
    put(dir.path(), "cifar-10-batches-py/data_batch_1", b"?");
    assert!(same(dir.path()).unwrap_err().contains("these are Python's pickles"));
    let dir = small();
    fs::rename(dir.path().join("test"), dir.path().join("val")).unwrap();
    let message = same(dir.path()).unwrap_err();
    assert!(message.contains("in test/<class>/; not looked into: val/"), "{message}");
    put(dir.path(), "test/a/1.heic", b"?");
    let message = same(dir.path()).unwrap_err();
    assert!(message.contains("in test/<class>/; 1 file left out: 1 .heic; not"), "{message}");
}

#[test]
fn a_folder_of_photographs_is_not_read_whole_to_be_refused() {
    let dir = small();
    for i in 0..1500 {
        put(dir.path(), &format!("train/a/photo-{i:04}.png"), &png(400 + i % 7, 300, &[1]));
    }
    let message = answer(dir.path()).unwrap_err();
    let says = "the first 1,003 images have 8 sizes or kinds: most often 40";
    assert!(message.contains(says), "{message}");
}

#[test]
fn a_test_half_alone_can_be_evaluated() {
    let dir = small();
    let whole = open(dir.path(), true).unwrap();
    assert_eq!(whole.id(), open(dir.path(), false).unwrap().id());
    fs::remove_dir_all(dir.path().join("train")).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), tar(dir.path(), "above")).unwrap();
    for path in [dir.path(), file.path()] {
        let data = open(path, true).unwrap();
        assert_eq!((data.names().concat().as_str(), data.shape().train), ("ab", 0));
        assert_eq!((data.train(1).count(), data.test(1).1), (0, &[0, 1, 0][..]));
        assert!(data.found().unwrap().contains("3 images to test on, none to train on"));
        assert!(open(path, false).unwrap_err().to_string().contains("no folder train/"));
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed() {
    use std::os::unix::fs::symlink;
    let dir = small();
    let link = |to: &str, from: &str| symlink(to, dir.path().join(from)).unwrap();
    fs::create_dir(dir.path().join("all")).unwrap();
    put(dir.path(), "all/7.png", &png(3, 2, &[7]));
    link("../../all/7.png", "train/a/7.png");
    link("../all", "train/c");
    link("../train/c", "test/c");
    link("..", "train/a/up");
    link("nowhere", "train/a/8.png");
    link("self", "train/a/self");
    link("/nothing/there.png", "train/b/9.png");
    let (_, found) = same(dir.path()).unwrap();
    let says = "found 5 images to train on and 4 to test on, 3 x 2 grey, 3 classes: a, b, c; 4 files \
                left out: 3 behind broken links, 1 behind links to a folder above; not \
                looked into: all/";
    assert_eq!(found, says);
}

/// An archive with these entries: path, kind, and the grey of an image or the target of a link.
fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        let grey: Option<u8> = content.parse().ok();
        let bytes = grey.map(|grey| png(3, 2, &[grey])).unwrap_or_default();
        header.set_size(bytes.len() as u64);
        // The library refuses some names.
        let old = header.as_old_mut();
        old.name[..path.len()].copy_from_slice(path.as_bytes());
        if grey.is_none() {
            old.linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
        header.set_cksum();
        builder.append(&header, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn archives_are_unpacked_as_tar_does() {
    use EntryType::{Char, Directory, Link, Regular, Symlink};
    let file = tempfile::NamedTempFile::new().unwrap();
    let rest = [
        ("train/b/1.png", Regular, "3"),
        ("./test//a/1.png", Regular, "4"),
        ("/test/b/1.png", Regular, "5"),
    ];
    let read = |entries: &[(&str, EntryType, &str)]| {
        fs::write(file.path(), archive(&[entries, &rest[..]].concat())).unwrap();
        let data = open(file.path(), false).map_err(|error| error.to_string())?;
        let train = data.train(1);
        let greys = (0..train.count()).map(|i| train.row(i)[0]).collect::<Vec<_>>();
        Ok::<_, String>((greys, data.found().unwrap()))
    };
    let greys = |entries: &[_]| read(entries).unwrap().0;
    let one = ("train/a/1.png", Regular, "1");
    let two = ("train/a/2.png", Regular, "2");
    assert_eq!(greys(&[one, ("train/a/1.png", Regular, "9")]), [9, 3], "the last one counts");
    assert_eq!(greys(&[one, ("train/a/2.png", Link, "train/a/1.png")]), [1, 3, 1]);
    assert_eq!(greys(&[one, ("train/a/0.png", Symlink, "1.png"), two]), [1, 3, 1, 2]);
    assert_eq!(greys(&[two, ("train/a/3.png/", Regular, "")]), [2, 3], "a slash makes a folder");
    assert_eq!(greys(&[("train/a", Directory, ""), one]), [1, 3]);
    let (_, found) = read(&[one, ("train/a/2.png", Char, "")]).unwrap();
    assert!(found.ends_with("1 file left out: 1 neither file nor folder"), "{found}");
    for (entry, says) in [
        (("train/a/2.png", Link, "train/a/9.png"), "is a hard link to what is not in the archive"),
        (("train/../2.png", Regular, "1"), "train/../2.png has .. in it"),
        (("train/a/1.png/2.png", Regular, "1"), "lies in what is no folder"),
        (("train/a", Regular, "1"), "train/a was a folder"),
    ] {
        let message = read(&[one, entry]).unwrap_err();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn what_frames_an_archive_changes_nothing() {
    let dir = small();
    let (id, _) = answer(dir.path()).unwrap();
    let whole = tar(dir.path(), "");
    let end = whole.len() - 1024;
    let file = tempfile::NamedTempFile::new().unwrap();
    let without = whole[..end].to_vec();
    let garbage = [&whole[..], b"garbage"].concat();
    let remark = "bytes after the end of the gzip stream were ignored";
    for (name, bytes, remarks) in [
        ("no end", without.clone(), false),
        ("one zero block", [&without[..], &[0; 512]].concat(), false),
        ("more zeros", [&whole[..], &[0; 99_999]].concat(), false),
        ("garbage behind the end", garbage.clone(), false),
        ("packed garbage", gzip(&garbage), false),
        ("members", [gzip(&whole[..700]), gzip(&whole[700..])].concat(), false),
        ("garbage behind gzip", [&gzip(&whole)[..], b"garbage"].concat(), true),
    ] {
        fs::write(file.path(), bytes).unwrap();
        let (other, found) = answer(file.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((other, found.contains(remark)), (id.clone(), remarks), "{name}");
    }
}

#[test]
fn what_an_archive_demands_is_bounded() {
    let dir = small();
    let (file, whole) = (tempfile::NamedTempFile::new().unwrap(), tar(dir.path(), ""));
    let message = |bytes: &[u8]| {
        fs::write(file.path(), bytes).unwrap();
        answer(file.path()).unwrap_err()
    };
    // A name of the next entry, and records of it.
    // A size that is not the header's.
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("size", &b"9000000000"[..])]).unwrap();
    // Without the end that the builder writes.
    let bytes = [&builder.into_inner().unwrap()[..1024], &whole].concat();
    assert!(message(&bytes).contains("a file is too long (9000000000 bytes)"));
    for (kind, size) in [(EntryType::GNULongName, 4097), (EntryType::XHeader, 1 << 20 | 1)] {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        builder.append(&header, io::repeat(b'x').take(size)).unwrap();
        let bytes = [builder.into_inner().unwrap(), whole.clone()].concat();
        assert!(message(&bytes).contains("too long"), "{}", message(&bytes));
    }
    // Far more than it has bytes.
    let packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mut builder = tar::Builder::new(packed);
    let mut header = tar::Header::new_gnu();
    header.set_size(100 << 20);
    builder.append_data(&mut header, "zeros", io::repeat(0).take(100 << 20)).unwrap();
    let message = message(&builder.into_inner().unwrap().finish().unwrap());
    assert!(message.contains("it unpacks to more than"), "{message}");
}

#[test]
fn no_damage_makes_the_reader_panic_or_wait() {
    let dir = small();
    put(dir.path(), &format!("train/a/{}.png", "x".repeat(150)), &png(3, 2, &[1]));
    #[cfg(unix)]
    std::os::unix::fs::symlink("1.png", dir.path().join("train/a/0.png")).unwrap();
    let whole = tar(dir.path(), "");
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut random = super::super::random::Stream::new(3, 0, 0);
    let mut answers = BTreeMap::new();
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        // A header somewhere, with the right sum.
        let block = random.below(bytes.len() / 512) * 512;
        for _ in 0..=random.below(3) {
            let places = [random.below(100), 100 + random.below(57), 157 + random.below(100), 156];
            bytes[block + places[random.below(4)]] = random.below(256) as u8;
        }
        let header = &mut bytes[block..block + 512];
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        fs::write(file.path(), &bytes).unwrap();
        *answers.entry(answer(file.path()).is_ok()).or_insert(0) += 1;
    }
    assert!(answers.len() == 2, "some damage matters and some does not: {answers:?}");
}
