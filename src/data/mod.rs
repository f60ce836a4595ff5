//! Data sets: the samples that a run learns from, and those that it is scored on.
//!
//! A set has an id that names its content, not its place: peers whose sets have the same id see the
//! same bytes.
//!
//! Rule: this folder knows nothing of the rest of the program but how text is written. No length or
//! count in a file is believed before it is compared with a bound.

pub(crate) mod assembly;
mod batches;
mod cifar10;
mod digits;
mod error;
mod exif;
mod files;
mod folder;
mod forms;
mod found;
mod gallery;
mod gunzip;
mod idx;
mod images;
pub(crate) mod manifest;
mod mnist;
mod names;
mod npy;
mod npz;
mod pen;
mod picture;
mod random;
mod set;
mod shape;
mod source;
mod strokes;

pub use batches::{BatchSizeError, Batches};
pub use error::DataError;
pub use forms::Form;
pub(crate) use found::listed_names;
pub use images::{Images, gather, gather_in};
pub use names::MOST_DIGITS;
pub use picture::ImageFlaw;
pub use set::Data;
pub use shape::Shape;
pub(crate) use shape::{PRIVATE, UNKNOWN, kind_of};
pub use source::Source;
