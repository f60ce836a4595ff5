//! Tiny .npz files: the forms that are read, and those that are refused.

use std::io::Write;

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::*;

/// An array in the .npy form.
fn array(kind: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), bytes]
        .concat()
}

fn save(arrays: &[(&str, Vec<u8>)]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = ZipWriter::new(file.reopen().unwrap());
    for (i, (name, bytes)) in arrays.iter().enumerate() {
        let method = [CompressionMethod::Stored, CompressionMethod::Deflated][i % 2];
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(format!("{name}.npy"), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap();
    file
}

/// Three images of 1 x 2 to learn from, two to test, with 8-byte labels.
fn small() -> [(&'static str, Vec<u8>); 4] {
    let labels = |labels: &[u64]| labels.iter().flat_map(|l| l.to_le_bytes()).collect::<Vec<_>>();
    [
        ("x_train", array("|u1", "(3, 1, 2)", &[1, 2, 3, 4, 5, 6])),
        ("y_train", array("<i8", "(3,)", &labels(&[0, 2, 1]))),
        ("x_test", array("|u1", "(2, 1, 2)", &[7, 8, 9, 10])),
        ("y_test", array("<i8", "(2,)", &labels(&[1, 1]))),
    ]
}

/// The small set with one array replaced.
fn with(name: &str, bytes: Vec<u8>) -> tempfile::NamedTempFile {
    let arrays = small().map(|(n, old)| (n, if n == name { bytes.clone() } else { old }));
    save(&arrays)
}

#[track_caller]
fn refused(name: &str, bytes: Vec<u8>, says: &str) {
    let message = open(with(name, bytes).path()).unwrap_err().to_string();
    assert!(message.contains(name) && message.contains(says), "{message}");
    assert!(message.contains("numpy.savez_compressed"), "{message}");
}

#[test]
fn samples_keep_their_order() {
    let data = open(save(&small()).path()).unwrap();
    let shape = data.shape();
    assert_eq!((shape.height, shape.columns(), shape.channels, shape.classes), (1, 2, 1, 3));
    assert_eq!((data.train_labels(), data.train(1).row(1)), (&[0, 2, 1][..], &[3, 4][..]));
    assert_eq!((data.test(1).1, data.test(1).0.row(1)), (&[1, 1][..], &[9, 10][..]));
    // Another type of labels is the same content.
    for (kind, bytes) in [("|u1", vec![0, 2, 1]), (">i2", vec![0, 0, 0, 2, 0, 1])] {
        let other = with("y_train", array(kind, "(3, 1)", &bytes));
        assert_eq!(open(other.path()).unwrap().id(), data.id());
    }
    let flat = with("x_train", array("|u1", "(3, 2)", &[1, 2, 3, 4, 5, 6]));
    assert_eq!(open(flat.path()).unwrap().id(), data.id());
}

#[test]
fn colours_become_planes() {
    let mut arrays = small();
    arrays[0].1 = array("|u1", "(3, 1, 2, 3)", &(0..18).collect::<Vec<_>>());
    arrays[2].1 = array("|u1", "(2, 1, 2, 3)", &(0..12).collect::<Vec<_>>());
    let data = open(save(&arrays).path()).unwrap();
    assert_eq!((data.shape().width, data.shape().channels), (6, 3));
    assert_eq!(data.train(1).row(1), [6, 9, 7, 10, 8, 11]);
}

#[test]
fn an_array_that_does_not_fit_is_named() {
    refused("x_train", array("<f4", "(1, 1, 2)", &[0; 8]), "(x * 255).round()");
    refused("x_train", array("<u2", "(1, 1, 2)", &[0; 4]), "(x // 257).astype");
    refused("x_train", array("<i8", "(1, 1, 2)", &[0; 16]), "x.astype('uint8')");
    refused("x_train", array("|b1", "(1, 1, 2)", &[0; 2]), "* 255 makes");
    refused("x_train", array("|O", "(1, 1, 2)", &[0; 2]), "type uint8");
    refused("x_train", array("|u1", "(2, 3, 4, 4)", &[0; 96]), "x.transpose(0, 2, 3, 1)");
    refused("x_train", array("|u1", "(1, 1, 1, 2)", &[0; 2]), "(n, height, width)");
    refused("x_train", array("|u1", "(2, 1, 2)", &[0; 4]), "found 3");
    refused(
        "x_train",
        array("|u1", "(3, 1, 2)", &[0; 5]),
        "expected 3 samples of 2 bytes, found 2",
    );
    refused(
        "x_train",
        array("|u1", "(3, 1, 2)", &[0; 7]),
        "expected 3 samples of 2 bytes, found more",
    );
    refused("x_train", b"no array at all".to_vec(), "other bytes");
    refused("x_test", array("|u1", "(2, 2, 1)", &[0; 4]), "images of 2 x 1 grey like x_train");
    refused("y_train", array("|u1", "(3, 2)", &[0; 6]), "one label a sample");
    refused("y_train", array("|u1", "(3, 2)", &[0; 6]), "y.argmax(1)");
    refused("y_train", array("<f4", "(3,)", &[0; 12]), "y.astype('int64')");
    refused("y_train", array("<U3", "(3,)", &[0; 36]), "numpy.unique(y");
    let fortran = |bytes: Vec<u8>| {
        let at = bytes.windows(5).position(|word| word == b"False").unwrap();
        let mut bytes = bytes;
        bytes[at..at + 5].copy_from_slice(b"True ");
        bytes
    };
    refused("x_train", fortran(array("|u1", "(3, 1, 2)", &[0; 6])), "numpy.ascontiguousarray");
    refused("y_train", array("|u1", "(3,)", &[0; 3]), "2 classes or more");
    refused("y_train", array("|i1", "(3,)", &[0, 255, 1]), "another at index 1");
    refused("y_train", array("<i2", "(3,)", &[0, 0, 1, 0, 0, 1]), "another at index 2");
    refused("y_test", array("|u1", "(2,)", &[1, 3]), "labels from 0 to 2 like y_train, found 3");
}

#[test]
fn a_huge_declared_shape_is_refused_before_there_is_room_for_it() {
    for shape in ["(18446744073709551615, 2)", "(1000000, 65536)", "(1000001, 1)", "(0, 1, 2)"] {
        refused("x_train", array("|u1", shape, &[]), "1 to 1000000 samples");
    }
    refused("x_train", array("|u1", "(18446744073709551616,)", &[]), "descr");
    refused("x_train", array("|u1", "(3, 1, -2)", &[]), "descr");
    refused("x_train", array("|u1", "(2, 65537)", &[0; 131_074]), "at most 65536");
    let mut long = array("|u1", "(3, 1, 2)", &[]);
    long[6] = 2;
    long[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    refused("x_train", long, "a header of up to 4096 bytes");
}

#[test]
fn a_file_that_is_no_archive_or_lacks_an_array_is_refused() {
    let message = |file: &Path| open(file).unwrap_err().to_string();
    let lacking = save(&small()[..3]);
    assert!(message(lacking.path()).contains("no array y_test, but x_test, x_train, y_train"));
    let file = save(&small());
    let bytes = std::fs::read(file.path()).unwrap();
    for length in (0..bytes.len()).step_by(7) {
        std::fs::write(file.path(), &bytes[..length]).unwrap();
        assert!(message(file.path()).contains("savez"));
    }
    assert!(message(Path::new("/nowhere.npz")).contains("/nowhere.npz"));
}

#[test]
fn what_is_no_npz_is_told_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let message = |name: &str, bytes: &[u8]| {
        let file = dir.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        open(&file).unwrap_err().to_string()
    };
    for (name, bytes, says) in [
        ("x.npy", &array("|u1", "(1,)", &[0])[..], "it is a single array of NumPy"),
        ("x.tar.gz", b"\x1f\x8b\x08", "it is packed with gzip"),
        ("x.pkl", b"\x80\x04\x95", "it is a Python pickle"),
        ("x.npz", b"", "it is empty"),
        ("y.npz", b"PK\x03\x04", "it is no .npz"),
    ] {
        assert!(message(name, bytes).contains(says), "{}", message(name, bytes));
    }
    let folder = open(dir.path()).unwrap_err().to_string();
    assert!(folder.contains("it is a folder; write folder:PATH"), "{folder}");
}

#[test]
fn a_small_file_that_unpacks_to_much_is_refused_before_there_is_room_for_it() {
    let count = 100 << 20;
    let mut arrays = small();
    arrays[0].1 = array("|u1", &format!("({}, 1024)", count / 1024), &[]);
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = ZipWriter::new(file.reopen().unwrap());
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (i, (name, bytes)) in arrays.iter().enumerate() {
        writer.start_file(format!("{name}.npy"), options).unwrap();
        writer.write_all(bytes).unwrap();
        if i == 0 {
            std::io::copy(&mut std::io::repeat(0).take(count), &mut writer).unwrap();
        }
    }
    writer.finish().unwrap();
    let message = open(file.path()).unwrap_err().to_string();
    assert!(message.contains("that fit its packed size"), "{message}");
}

#[test]
fn no_damage_makes_the_reader_panic() {
    let whole = std::fs::read(save(&small()).path()).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    for place in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[place] ^= flip;
            std::fs::write(file.path(), bytes).unwrap();
            // Some damage changes nothing that is read.
            let _: Result<Data, DataError> = open(file.path());
        }
    }
}
