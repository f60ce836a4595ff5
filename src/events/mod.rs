//! What a run tells people and scripts: one enum, one JSON object a line.
//!
//! Rule: names and meanings here are a promise to scripts; fields may be added, none changes.

use std::time::{Duration, Instant};

pub(crate) mod takeover;

use serde::{Deserialize, Serialize};

/// Between two reports of progress.
pub(crate) const PROGRESS: Duration = Duration::from_secs(1);

/// One thing that happened, as `--json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The node is up (or the training alone begins).
    Ready {
        /// The node, by the first digits of its key; empty without a network.
        peer: String,
        /// What it is called; empty without a network.
        #[serde(default)]
        name: String,
        /// The run id.
        run: String,
        /// Where other machines can reach it, as `IP:PORT`, the likeliest first; by loopback only if
        /// there is nothing else.
        listen: Vec<String>,
        /// Layers and shards of the shards, bottom first.
        shards: Vec<(usize, usize)>,
        /// Steps of the run.
        steps: u64,
        /// Steps of a chapter.
        chapter_steps: u64,
    },
    /// What the node's folder still had of the run.
    Restored {
        /// Steps done at the furthest checkpoint, per shard; 0 where there is none.
        shards: Vec<u64>,
        /// Checkpoints in all.
        checkpoints: usize,
    },
    /// A peer joined, left (said goodbye) or fell silent; those that only look or export are not told.
    Peer {
        /// The peer.
        peer: String,
        /// What people call it: its name, with the first digits of its key where another one that is
        /// here has the same, and those digits alone where it has not said it. So everywhere below.
        #[serde(default)]
        name: String,
        /// `joined`, `left` or `silent`.
        state: String,
    },
    /// A shard has a new owner.
    Owner {
        /// The shard.
        shard: u16,
        /// Its owner.
        peer: String,
        /// What people call it.
        #[serde(default)]
        name: String,
        /// Whether that is the node that tells.
        #[serde(default, skip_serializing_if = "is_false")]
        own: bool,
        /// The lease's term.
        term: u64,
    },
    /// A node took shards: those that it took from one other node, or for the first time. Comes within
    /// two seconds of their `owner` events.
    Takeover {
        /// The shards.
        shards: Vec<u16>,
        /// Their layers, with a dot and the shard where layers have several.
        places: Vec<String>,
        /// The terms of their leases.
        terms: Vec<u64>,
        /// The new owner.
        peer: String,
        /// What people call it.
        name: String,
        /// Whether that is the node that tells.
        #[serde(default, skip_serializing_if = "is_false")]
        own: bool,
        /// Who had them before; none the first time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Former>,
    },
    /// A chapter has a new owner, where peers own chapters.
    Turn {
        /// From 0.
        chapter: u64,
        /// Its owner.
        peer: String,
        /// What people call it.
        #[serde(default)]
        name: String,
        /// Whether that is the node that tells.
        #[serde(default, skip_serializing_if = "is_false")]
        own: bool,
        /// Grows with every owner of the chapter.
        term: u64,
        /// Who had it before; none the first time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Former>,
    },
    /// The node did its first training step.
    Training {
        /// The shard.
        shard: u16,
        /// The step.
        step: u64,
        /// Since the node started.
        seconds: f64,
    },
    /// The node did its first step of a shard since it took the shard up, or brought it to another
    /// step.
    Taken {
        /// The shard.
        shard: u16,
        /// The step.
        step: u64,
    },
    /// A chapter of a shard is done.
    Chapter {
        /// The shard.
        shard: u16,
        /// From 0.
        chapter: u64,
        /// Mean loss per case.
        loss: f64,
        /// Who trained it.
        peer: String,
    },
    /// How far the run is; about once a second.
    Progress {
        /// Steps done, per shard.
        shards: Vec<u64>,
        /// The node that tells; empty where no single one does.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        peer: String,
        /// Owners, per shard; empty where there is none.
        owners: Vec<String>,
        /// What people call them.
        #[serde(default)]
        names: Vec<String>,
        /// Peers that take work and are here, this one included.
        peers: usize,
        /// Steps of the slowest shard per second.
        steps_per_second: f64,
        /// Steps that this node did itself, per shard; empty where no single node tells.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        own_steps: Vec<u64>,
    },
    /// The accuracy at the end of an epoch, on the test set.
    Eval {
        /// From 1.
        epoch: u64,
        /// Test samples looked at.
        samples: u32,
        /// Fraction right by the heads, in one pass.
        softmax_accuracy: f64,
        /// Fraction right by the goodness of every label; only with the goodness objective.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        goodness_accuracy: Option<f64>,
        /// Fraction right by the last layer's head alone; only with the softmax objective.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_layer_accuracy: Option<f64>,
    },
    /// Something a person should know.
    Note {
        /// In words.
        message: String,
    },
    /// The model was written.
    Saved {
        /// The file.
        file: String,
        /// The model's hash.
        model: String,
    },
    /// The node, or the training alone, was stopped before the run was complete.
    Stopped(Stopped),
    /// The run is complete.
    Done {
        /// BLAKE3 of the model's tensors.
        model: String,
        /// Since the start.
        seconds: f64,
        /// Payload received.
        bytes_in: u64,
        /// Payload sent.
        bytes_out: u64,
        /// Of what was received, what others said to all.
        gossip_in: u64,
        /// Chapters that this process trained, per shard.
        #[serde(default)]
        trained: Vec<u64>,
        /// The folder in which the model is kept, if it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        store: Option<String>,
    },
}

/// How far a run was that was stopped, and what of that is not lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stopped {
    /// Steps done, per shard.
    pub shards: Vec<u64>,
    /// Of these, steps up to the furthest checkpoint that is kept on disk here, per shard.
    pub kept: Vec<u64>,
    /// Steps of the run.
    pub steps: u64,
    /// Whether nobody else goes on with it.
    pub alone: bool,
    /// The folder, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

/// Who had a shard or a chapter before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// The node.
    pub peer: String,
    /// What people call it.
    pub name: String,
    /// Whether that is the node that tells.
    #[serde(default, skip_serializing_if = "is_false")]
    pub own: bool,
    /// `silent`, `left` (said goodbye) or `leaving`; none when it stays, with less to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Event {
    /// The event, without what holds only for the node that tells it.
    #[must_use]
    pub(crate) fn for_all(mut self) -> Self {
        if let Self::Owner { own, .. } | Self::Turn { own, .. } | Self::Takeover { own, .. } =
            &mut self
        {
            *own = false;
        }
        if let Self::Turn { from: Some(from), .. } | Self::Takeover { from: Some(from), .. } =
            &mut self
        {
            from.own = false;
        }
        self
    }

    /// The event as one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// How fast the slowest shard was between two reports of progress.
#[derive(Debug)]
pub(crate) struct Pace {
    slowest: u64,
    at: Instant,
}

impl Pace {
    /// From now on, with no step done.
    pub(crate) fn start() -> Self {
        Self { slowest: 0, at: Instant::now() }
    }

    /// Since the last report.
    pub(crate) fn elapsed(&self) -> Duration {
        self.at.elapsed()
    }

    /// Steps a second since the last report; this is one.
    pub(crate) fn report(&mut self, shards: &[u64]) -> f64 {
        let slowest = shards.iter().copied().min().unwrap_or(0);
        let before = std::mem::replace(self, Self { slowest, at: Instant::now() });
        let seconds = self.at.duration_since(before.at).as_secs_f64().max(1e-3);
        slowest.saturating_sub(before.slowest) as f64 / seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_that_scripts_rely_on() {
        let owner =
            Event::Owner { shard: 1, peer: "ab".into(), name: "attic".into(), own: true, term: 2 };
        let text = r#"{"event":"owner","shard":1,"peer":"ab","name":"attic","own":true,"term":2}"#;
        assert_eq!(owner.to_json(), text);
        let text = r#"{"event":"owner","shard":1,"peer":"ab","name":"attic","term":2}"#;
        assert_eq!(owner.for_all().to_json(), text);
        let from = Former {
            peer: "cd".into(),
            name: "kitchen".into(),
            own: true,
            reason: Some("silent".into()),
        };
        let takeover = Event::Takeover {
            shards: vec![1],
            places: vec!["1".into()],
            terms: vec![2],
            peer: "ab".into(),
            name: "attic".into(),
            own: false,
            from: Some(from),
        };
        let text = r#"{"event":"takeover","shards":[1],"places":["1"],"terms":[2],"peer":"ab","name":"attic","from":{"peer":"cd","name":"kitchen","own":true,"reason":"silent"}}"#;
        assert_eq!(takeover.to_json(), text);
        assert!(!takeover.for_all().to_json().contains("own"));
        let eval = Event::Eval {
            epoch: 1,
            samples: 10,
            softmax_accuracy: 0.98,
            goodness_accuracy: Some(0.97),
            last_layer_accuracy: None,
        };
        let text = r#"{"event":"eval","epoch":1,"samples":10,"softmax_accuracy":0.98,"goodness_accuracy":0.97}"#;
        assert_eq!(eval.to_json(), text);
        let done = Event::Done {
            model: "00".into(),
            seconds: 1.5,
            bytes_in: 3,
            bytes_out: 4,
            gossip_in: 2,
            trained: vec![5],
            store: None,
        };
        let text = r#"{"event":"done","model":"00","seconds":1.5,"bytes_in":3,"bytes_out":4,"gossip_in":2,"trained":[5]}"#;
        assert_eq!(done.to_json(), text);
        assert_eq!(serde_json::from_str::<Event>(text).unwrap(), done);
    }
}
