//! The kind of a file that is not what was asked for.
//!
//! Rule: a user who gives the wrong file or folder is told what it is and what to do with it. Only the
//! first bytes and the names in a folder are read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The bytes that are looked at: up to the magic word of a tar.
const START: u64 = 262;

const IMAGE: &str = "write folder:PATH of the folder above train/ and test/, not a single image";
const UNZIP: &str = "unzip it and write folder:PATH of the folder above train/ and test/; if it is \
                     NumPy's, write npz:FILE";
const UNPACK: &str = "unpack it and write folder:PATH of the folder above train/ and test/, or pack \
                      that as a .tar.gz";
const ARCHIVE: &str = "write folder:FILE if it is a .tar or a .tar.gz of train/ and test/; unpack it \
                       (tar xf FILE) if it is CIFAR-10 or MNIST, and write cifar10:DIR or mnist:DIR";
const ARRAYS: &str = "write npz:FILE of a file with four arrays: numpy.savez_compressed(\"set.npz\", \
                      x_train=..., y_train=..., x_test=..., y_test=...)";
const ANY: &str = "write folder:PATH of images in train/<class>/ and test/<class>/, or npz:FILE of \
                   arrays that numpy.savez_compressed wrote";

pub(super) const ZIP: &str = "a zip archive";
pub(super) const GZIP: &str = "packed with gzip";
pub(super) const TAR: &str = "a tar archive";
/// The kind of a file without telling first bytes, such as an old tar.
pub(super) const UNKNOWN: &str = "a file of another kind";

/// The kind of a file, and the way from there to a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// As the end of "it is ...".
    pub is: &'static str,
    /// The way out.
    pub way: &'static str,
}

/// First bytes, what they are of, and what to do with it.
const FORMS: [(&[u8], &str, &str); 21] = [
    (b"\x89PNG\r\n\x1a\n", "a PNG image", IMAGE),
    (b"\xff\xd8\xff", "a JPEG image", IMAGE),
    (b"GIF8", "a GIF image", IMAGE),
    (b"BM", "a BMP image", IMAGE),
    (b"II*\0", "a TIFF image", IMAGE),
    (b"MM\0*", "a TIFF image", IMAGE),
    (b"PK\x03\x04", ZIP, UNZIP),
    (b"\x1f\x8b", GZIP, ARCHIVE),
    (b"BZh", "packed with bzip2", UNPACK),
    (b"\xfd7zXZ\0", "packed with xz", UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", UNPACK),
    (b"\x1f\x9d", "packed with compress", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (b"\x93NUMPY", "a single array of NumPy", ARRAYS),
    (b"\x89HDF", "an HDF5 file", ARRAYS),
    (b"PAR1", "a Parquet file", ARRAYS),
    (b"\x80\x02", "a Python pickle", ARRAYS),
    (b"\x80\x03", "a Python pickle", ARRAYS),
    (b"\x80\x04", "a Python pickle", ARRAYS),
    (b"\x80\x05", "a Python pickle", ARRAYS),
];

/// The kind of a file with these first bytes, if it is known.
pub(super) fn of(start: &[u8]) -> Option<Form> {
    let form = |is, way| Some(Form { is, way });
    if let Some(&(_, is, way)) = FORMS.iter().find(|(magic, ..)| start.starts_with(magic)) {
        return form(is, way);
    }
    match start {
        [] => form("empty", ANY),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            form("a WebP image", IMAGE)
        }
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => form("a HEIC or AVIF image or a film", IMAGE),
        _ if start.get(257..262) == Some(b"ustar") => form(TAR, ARCHIVE),
        _ if start.trim_ascii_start().starts_with(b"<") => form("a text such as a web page", ANY),
        _ => None,
    }
}

/// The kind of the file at `path`.
pub(super) fn of_file(path: &Path) -> Form {
    let other = |is| Form { is, way: ANY };
    if path.is_dir() {
        return other("a folder");
    }
    // A pipe or a device might keep its reader waiting.
    if !path.is_file() {
        return other("neither a file nor a folder");
    }
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(START).read_to_end(&mut start));
    read.ok().and_then(|_| of(&start)).unwrap_or(other(UNKNOWN))
}

/// How the set at `path` is written, if it is one: by the first bytes of a file, or by the names
/// in a folder.
pub(super) fn kind(path: &Path) -> Option<&'static str> {
    let holds = |name: &str| path.join(name).exists();
    if path.is_dir() {
        let cifar10 = ["data_batch_1.bin", "data_batch_1", "cifar-10-batches-bin"];
        if cifar10.into_iter().any(holds) {
            return Some("cifar10");
        }
        let mnist = ["train-images-idx3-ubyte", "train-images.idx3-ubyte"];
        let is_mnist = mnist.iter().any(|name| holds(name) || holds(&format!("{name}.gz")));
        return Some(if is_mnist { "mnist" } else { "folder" });
    }
    let named = |endings: &[&str]| {
        let name = path.as_os_str().to_string_lossy().to_ascii_lowercase();
        endings.iter().any(|ending| name.ends_with(ending))
    };
    match of_file(path).is {
        ZIP if named(&[".npz"]) => Some("npz"),
        TAR => Some("folder"),
        GZIP if named(&[".tar.gz", ".tgz"]) => Some("folder"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        let mut tar = vec![0; 262];
        tar[257..].copy_from_slice(b"ustar");
        for (start, is, way) in [
            (&b"PK\x03\x04..."[..], "a zip archive", "unzip it"),
            (b"BZh91AY", "packed with bzip2", "unpack it"),
            (b"Rar!\x1a\x07\x00", "a RAR archive", "unpack it"),
            (b"\x80\x02}q\x01", "a Python pickle", "numpy.savez_compressed"),
            (b"\x93NUMPY\x01\x00", "a single array of NumPy", "numpy.savez_compressed"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP image", "folder:PATH"),
            (b"", "empty", "folder:PATH"),
            (b"\n<!DOCTYPE html>", "a text such as a web page", "folder:PATH"),
            (&tar, "a tar archive", "folder:FILE"),
        ] {
            let form = of(start).unwrap();
            assert_eq!(form.is, is);
            assert!(form.way.contains(way), "{}", form.way);
        }
        assert_eq!(of(b"anything else"), None);
    }

    #[test]
    fn sets_are_known_by_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        assert_eq!(kind(path), Some("folder"));
        fs::write(path.join("train-images-idx3-ubyte.gz"), b"?").unwrap();
        assert_eq!(kind(path), Some("mnist"));
        fs::write(path.join("data_batch_1.bin"), b"?").unwrap();
        assert_eq!(kind(path), Some("cifar10"));
        fs::write(path.join("a.NPZ"), b"PK\x03\x04").unwrap();
        assert_eq!(kind(&path.join("a.NPZ")), Some("npz"));
        assert_eq!(kind(&path.join("train-images-idx3-ubyte.gz")), None);
        assert_eq!(of_file(path).is, "a folder");
    }
}
