//! A peer's description of its run and of itself, for users to read.
//!
//! Rule: nothing is decided by it, and nothing in it can be proved. It is a stranger's text: short,
//! and nothing in it moves a terminal's cursor.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::wire::greeting::is_node_name;

/// Characters of one text in a description.
const MAX_TEXT: usize = 64;

/// A run's spec, with the description by the peer that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The canonical spec, as the peer says; not verified.
    pub spec: Bytes,
    /// The description; `None` when it could not be read.
    pub about: Option<About>,
}

/// A peer's description of its run and of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The name of the node.
    pub node: String,
    /// Time since it joined the run, seconds.
    pub age_seconds: u64,
    /// The data set it has; `None` for a peer that has none.
    pub data: Option<AboutData>,
}

/// A data set in words and numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboutData {
    /// Its kind, as the user types it: `mnist`, `folder`.
    pub kind: String,
    /// The form of a sample, in words.
    pub form: String,
    /// Number of classes.
    pub classes: u32,
    /// Numbers of training and test samples; `None` where each peer has data of its own.
    pub samples: Option<(u32, u32)>,
}

impl About {
    /// Whether every text in it may be shown.
    pub(crate) fn is_sound(&self) -> bool {
        let texts = self.data.iter().flat_map(|data| [&data.kind, &data.form]);
        is_node_name(&self.node) && texts.into_iter().all(|text| is_plain(text))
    }
}

/// Whether a text is short and made of visible ASCII characters and spaces.
fn is_plain(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && text.bytes().all(|c| matches!(c, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_shown_is_short_and_plain() {
        let about = |node: &str, kind: &str, form: &str| About {
            node: node.to_owned(),
            age_seconds: u64::MAX,
            data: Some(AboutData {
                kind: kind.to_owned(),
                form: form.to_owned(),
                classes: 10,
                samples: None,
            }),
        };
        assert!(about("attic", "mnist", "28 x 28 grey").is_sound());
        assert!(About { data: None, ..about("attic", "", "") }.is_sound());
        for (node, kind, form) in [
            ("", "mnist", "28 x 28 grey"),
            ("an attic", "mnist", "28 x 28 grey"),
            ("attic", "", "28 x 28 grey"),
            ("attic", "mn\u{1b}[2Jist", "28 x 28 grey"),
            ("attic", "mnist", "28 x 28\ngrey"),
            ("attic", "mnist", &"x".repeat(MAX_TEXT + 1)),
        ] {
            assert!(!about(node, kind, form).is_sound(), "{node} {kind} {form}");
        }
    }
}
