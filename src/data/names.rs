//! The names of data sets, as they are written on the command line.
//!
//! Rule: a name that is not understood is answered with these.

/// The most samples of a generated half: 500,000 images take 392 MB.
pub const MOST_DIGITS: u32 = 500_000;

/// The forms in which a source can be written.
pub(super) const FORMS: [&str; 7] = [
    "digits",
    "digits:TRAIN+TEST",
    "digits:TRAIN+TEST:SEED",
    "mnist:DIR",
    "cifar10:DIR",
    "folder:PATH",
    "npz:FILE",
];
