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
    /// The name of the run, if somebody gave it one.
    pub run: Option<String>,
    /// Time since it joined the run, seconds.
    pub age_seconds: u64,
    /// How far the run is.
    pub progress: Progress,
    /// The data set it has; `None` for a peer that has none.
    pub data: Option<AboutData>,
}

/// How far a run is, as a peer sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done, in thousandths of all.
    pub permille: u16,
    /// Peers that take work and are here, itself included.
    pub workers: u16,
    /// Steps of the slowest shard in a thousand seconds.
    pub millisteps: u64,
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
    /// Bytes of the set's manifest, where the peer gives the set to others; 0 where it does not.
    pub manifest: u32,
}

impl About {
    /// Whether every text in it may be shown.
    pub(crate) fn is_sound(&self) -> bool {
        let texts = self.data.iter().flat_map(|data| [&data.kind, &data.form]);
        let names = [Some(&self.node), self.run.as_ref()];
        names.into_iter().flatten().all(|name| is_node_name(name))
            && texts.into_iter().all(|text| is_plain(text))
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
            run: None,
            age_seconds: u64::MAX,
            progress: Progress::default(),
            data: Some(AboutData {
                kind: kind.to_owned(),
                form: form.to_owned(),
                classes: 10,
                samples: None,
                manifest: 0,
            }),
        };
        assert!(about("attic", "mnist", "28 x 28 grey").is_sound());
        assert!(About { data: None, ..about("attic", "", "") }.is_sound());
        let named = |run: &str| About { run: Some(run.to_owned()), ..about("attic", "a", "b") };
        assert!(named("cats").is_sound() && !named("my cats").is_sound());
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
