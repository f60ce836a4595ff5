//! The names of data sets, as they are written on the command line and in a spec.
//!
//! Rule: what a name can demand is bounded before anything is made, and a name that is not
//! understood is answered with the ones that are.

use std::{fmt, path::PathBuf, str::FromStr};

use super::{
    cifar10,
    digits::{CLASSES, Digits, Split, VERSION},
    error::DataError,
    folder, forms, mnist,
    names::{FORMS, MOST_DIGITS},
    npz,
    pen::{PIXELS, SIDE},
    set::{Data, Half},
    shape::Shape,
};
use crate::text::shown;

/// The source of samples.
///
/// Written as [`Source::FORMS`] say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Digits drawn by this program.
    Digits {
        /// Samples to learn from, 1 to [`MOST_DIGITS`].
        train: u32,
        /// Samples to be judged by, 1 to [`MOST_DIGITS`].
        test: u32,
        /// Another seed, other samples.
        seed: u64,
    },
    /// The four files of MNIST, or of a set in its form, packed or not.
    Mnist {
        /// The folder they lie in.
        dir: PathBuf,
    },
    /// The six binary files of CIFAR-10.
    Cifar10 {
        /// The folder they lie in, or the one around `cifar-10-batches-bin`.
        dir: PathBuf,
    },
    /// Image files by half and class.
    Folder {
        /// The folder, .tar or .tar.gz that `train/` and `test/` are in.
        path: PathBuf,
    },
    /// Arrays of NumPy.
    Npz {
        /// The .npz file.
        file: PathBuf,
    },
}

impl Source {
    /// The digits of the plain name `digits`: as many as MNIST has.
    pub const DIGITS: Self = Self::Digits { train: 60_000, test: 10_000, seed: 0 };

    /// The forms in which a source can be written.
    pub const FORMS: [&'static str; 7] = FORMS;

    /// The generated set that has this id; `None` for what lies in files, or is of another version.
    pub(crate) fn of_id(id: &str) -> Option<Self> {
        parse_digits(id.strip_prefix("digits:")?.strip_prefix(VERSION)?.strip_prefix(':')?)
    }

    /// Checks the set, reads or works out its labels, and makes it ready for use. Files are read
    /// whole; generated images are left for [`Data::train`] and [`Data::test`].
    ///
    /// # Errors
    /// [`DataError::Sizes`] for sizes out of bounds; for files whatever is wrong with the first
    /// bad one.
    pub fn open(&self) -> Result<Data, DataError> {
        self.open_for(false)
    }

    /// As [`Source::open`], for evaluation: a folder or an archive may lack `train/`. Then the
    /// training half is empty, and the classes are the folders of `test/` with images.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn open_test(&self) -> Result<Data, DataError> {
        self.open_for(true)
    }

    fn open_for(&self, test_only: bool) -> Result<Data, DataError> {
        match self {
            Self::Digits { train, test, seed } => {
                if ![train, test].iter().all(|size| (1..=MOST_DIGITS).contains(*size)) {
                    return Err(DataError::Sizes { given: self.to_string() });
                }
                Ok(digits(*train, *test, *seed))
            }
            Self::Mnist { dir } => mnist::open(dir),
            Self::Cifar10 { dir } => cifar10::open(dir),
            Self::Folder { path } => folder::open(path, test_only),
            Self::Npz { file } => npz::open(file),
        }
    }
}

impl Data {
    /// Opens the set of this name, as `--data` takes it: `digits`, `digits:TRAIN+TEST`, `mnist:DIR`, ...
    ///
    /// # Errors
    /// If the name is unknown, or the set cannot be used.
    pub fn open(name: &str) -> Result<Self, DataError> {
        name.parse::<Source>()?.open()
    }
}

fn digits(train: u32, test: u32, seed: u64) -> Data {
    let half = |split, count| Half::drawn(Digits { seed, split }, count);
    Data::new(
        format!("digits:{VERSION}:{train}+{test}:{seed}"),
        Vec::new(),
        Shape { width: PIXELS, height: SIDE, channels: 1, classes: CLASSES, train, test },
        [half(Split::Train, train), half(Split::Test, test)],
        Vec::new(),
    )
}

impl FromStr for Source {
    type Err = DataError;

    fn from_str(given: &str) -> Result<Self, DataError> {
        let (kind, rest) = given.split_once(':').map_or((given, None), |(k, r)| (k, Some(r)));
        match (kind, rest) {
            ("digits", None) => Ok(Self::DIGITS),
            ("digits", Some(sizes)) => {
                parse_digits(sizes).ok_or_else(|| DataError::Sizes { given: given.to_owned() })
            }
            ("mnist", rest) => Ok(Self::Mnist { dir: path("mnist", rest)? }),
            ("cifar10", rest) => Ok(Self::Cifar10 { dir: path("cifar10", rest)? }),
            ("folder", rest) => Ok(Self::Folder { path: path("folder", rest)? }),
            ("npz", rest) => Ok(Self::Npz { file: path("npz", rest)? }),
            _ => Err(unknown(given)),
        }
    }
}

/// The path of a set's files. A shell expands `~` only at the beginning of a word.
fn path(kind: &'static str, rest: Option<&str>) -> Result<PathBuf, DataError> {
    let text = rest.filter(|text| !text.is_empty()).ok_or(DataError::NoPath { kind })?;
    Ok(at_home(text, std::env::home_dir()))
}

/// The path, with the home folder for a `~` at its beginning.
fn at_home(text: &str, home: Option<PathBuf>) -> PathBuf {
    match (text.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home,
        (Some(rest), Some(home)) if rest.starts_with('/') => {
            home.join(rest.trim_start_matches('/'))
        }
        _ => PathBuf::from(text),
    }
}

/// The error about a text that names no kind of set: it may be a path.
fn unknown(given: &str) -> DataError {
    let path = at_home(given, std::env::home_dir());
    if path.exists() {
        let form = forms::of_file(&path);
        let way = match forms::kind(&path) {
            Some(kind) => format!("write {kind}:{}", shown(given)),
            None => form.way.to_owned(),
        };
        return DataError::Bare { given: given.to_owned(), form, way };
    }
    // No kind of set has a name with these.
    let is_path = given.starts_with(['.', '~']) || given.contains(['/', '\\']);
    match is_path && !given.contains(':') {
        true => DataError::Absent { path },
        false => DataError::Unknown { given: given.to_owned() },
    }
}

/// `TRAIN+TEST` or `TRAIN+TEST:SEED`; `None` if a number is malformed or a size out of bounds.
fn parse_digits(text: &str) -> Option<Source> {
    let (sizes, seed) = text.split_once(':').unwrap_or((text, "0"));
    let (train, test) = sizes.split_once('+')?;
    let size = |text: &str| text.parse().ok().filter(|size| (1..=MOST_DIGITS).contains(size));
    Some(Source::Digits { train: size(train)?, test: size(test)?, seed: seed.parse().ok()? })
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digits { train, test, seed } => write!(f, "digits:{train}+{test}:{seed}"),
            Self::Mnist { dir } => write!(f, "mnist:{}", dir.display()),
            Self::Cifar10 { dir } => write!(f, "cifar10:{}", dir.display()),
            Self::Folder { path } => write!(f, "folder:{}", path.display()),
            Self::Npz { file } => write!(f, "npz:{}", file.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        text.parse::<Source>().unwrap_err().to_string()
    }

    #[test]
    fn names_are_understood_and_written_back() {
        let parse = |text: &str| text.parse::<Source>().unwrap();
        assert_eq!(parse("digits"), Source::DIGITS);
        let few = Source::Digits { train: 6000, test: 1000, seed: 0 };
        assert_eq!(parse("digits:6000+1000"), few);
        let seeded = Source::Digits { train: 1, test: MOST_DIGITS, seed: 42 };
        assert_eq!(parse("digits:1+500000:42"), seeded);
        assert_eq!(parse("mnist:C:/data"), Source::Mnist { dir: PathBuf::from("C:/data") });
        let files = ["mnist:some dir", "cifar10:x:y", "folder:a.tar.gz", "npz:mnist.npz"];
        for source in [few, seeded].into_iter().chain(files.map(parse)) {
            assert_eq!(parse(&source.to_string()), source);
        }
    }

    #[test]
    fn unknown_kinds_list_the_known_ones() {
        for text in ["", "cats", "Digits", "mnits:dir"] {
            let message = message(text);
            assert!(Source::FORMS.iter().all(|form| message.contains(form)), "{message}");
        }
        for text in ["mnist", "mnist:", "cifar10:", "folder", "npz:"] {
            assert!(message(text).contains("does not say where"), "{}", message(text));
        }
    }

    #[test]
    fn a_tilde_is_the_home_folder_at_the_beginning_only() {
        let home = || Some(PathBuf::from("/home/me"));
        for (text, path) in [
            ("~", "/home/me"),
            ("~/", "/home/me/"),
            ("~/a b", "/home/me/a b"),
            ("~//x", "/home/me/x"),
            ("~you/x", "~you/x"),
            ("./~", "./~"),
            ("a/~/b", "a/~/b"),
        ] {
            assert_eq!(at_home(text, home()), PathBuf::from(path), "{text}");
        }
        assert_eq!(at_home("~/x", None), PathBuf::from("~/x"));
        let Some(home) = std::env::home_dir() else { return };
        for kind in ["mnist", "cifar10", "folder", "npz"] {
            let source: Source = format!("{kind}:~/set").parse().unwrap();
            assert_eq!(source.to_string(), format!("{kind}:{}/set", home.display()));
        }
    }

    #[test]
    fn a_bare_path_is_answered_with_what_to_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        for (name, bytes) in [
            ("set.npz", &b"PK\x03\x04"[..]),
            ("set.tar.gz", b"\x1f\x8b"),
            ("set.zip", b"PK\x03\x04"),
            ("a.png", b"\x89PNG\r\n\x1a\n"),
        ] {
            std::fs::write(path(name), bytes).unwrap();
        }
        for (name, says) in [
            ("", "is a folder: write folder:"),
            ("set.npz", "is a zip archive: write npz:"),
            ("set.tar.gz", "is packed with gzip: write folder:"),
            ("set.zip", "is a zip archive: unzip it"),
            ("a.png", "is a PNG image: write folder:PATH"),
            ("nothing", "there is no such file or folder"),
        ] {
            let message = message(&path(name));
            assert!(message.contains(says), "{message}");
        }
        let message = message("./no\x1b[31mthing");
        assert!(message.contains("no\\u{1b}[31mthing: there is no"), "{message}");
    }

    #[test]
    fn sizes_are_bounded_however_they_are_given() {
        let bad =
            ["", "5", "5+", "0+5", "5+0", "500001+5", "-1+5", "5+5:", "5+5:x", "5+5:1:2", "5+9e9"];
        for sizes in bad {
            let message = message(&format!("digits:{sizes}"));
            assert!(message.contains("1 to 500000"), "{message}");
        }
        let huge = Source::Digits { train: u32::MAX, test: 1, seed: 0 };
        assert!(matches!(huge.open(), Err(DataError::Sizes { .. })));
    }

    #[test]
    fn the_id_tells_version_sizes_and_seed() {
        let data = Source::Digits { train: 12, test: 3, seed: 9 }.open().unwrap();
        assert_eq!(data.id(), "digits:v1:12+3:9");
        let (width, height, channels) = (784, 28, 1);
        let shape = Shape { width, height, channels, classes: 10, train: 12, test: 3 };
        assert_eq!((data.shape(), data.shape().columns()), (shape, 28));
    }
}
