//! The reasons why an image cannot be used.
//!
//! Rule: each ends with the way out.

use super::super::files::{MOST_FILE, MOST_PIXELS};

/// The reason why an image cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageFlaw {
    /// Its first bytes are of another format.
    #[error("is {0}, neither a PNG nor a JPEG; convert it to one of these")]
    Format(&'static str),
    /// It has an alpha channel or inks for print.
    #[error("is {0}, neither grey nor RGB; save it as grey or RGB, without transparency")]
    Colours(&'static str),
    /// It is empty or too large.
    #[error(
        "is {columns} x {height} pixels, where width x height x planes may be {MOST_PIXELS}; scale \
         it down, in a copy of the folder, as with `mogrify -resize '128x128!' FILES`"
    )]
    Large {
        /// Pixels of a row.
        columns: usize,
        /// Rows.
        height: usize,
    },
    /// It has more bytes than any image of that many pixels needs.
    #[error(
        "has more than {MOST_FILE} bytes; scale it down, in a copy of the folder, as with `mogrify -resize \
         '128x128!' FILES`"
    )]
    Heavy,
    /// The decoder gave up.
    #[error("is cut or damaged ({0}); replace it with a fresh copy")]
    Damaged(String),
}
