//! Events of a run, and the sinks that take them.
//!
//! Rule: names and meanings of events are a promise to scripts; fields may be added, none changes. A
//! sink shows, stores or counts events; it decides nothing, and a run goes on the same without it.

mod rate;

use serde::{Deserialize, Serialize};

pub(crate) use rate::{PROGRESS, StepRate};

/// Takes the events of a run, in the order in which they happen.
///
/// Any closure over `&Event` is a sink, so a channel is one as well. `view` has the
/// sinks of the command line.
///
/// ```
/// use ffp2p::events::{Event, EventSink};
///
/// let (sender, receiver) = std::sync::mpsc::sync_channel(8);
/// let mut sink: Box<dyn EventSink> = Box::new(move |event: &Event| {
///     // A program that listens no more stops nothing.
///     let _ = sender.send(event.clone());
/// });
/// sink.on_event(&Event::Note { message: "hello".to_owned() });
/// let event = receiver.recv()?;
/// assert_eq!(event.to_json(), r#"{"event":"note","message":"hello"}"#);
/// # Ok::<_, std::sync::mpsc::RecvError>(())
/// ```
pub trait EventSink: Send {
    /// Takes one event. The run waits until this returns, so it should not block for long.
    fn on_event(&mut self, event: &Event);
}

impl<F: FnMut(&Event) + Send> EventSink for F {
    fn on_event(&mut self, event: &Event) {
        self(event);
    }
}

/// Something that happened in a run, as `--json` prints it: one JSON object with its name, in
/// kebab-case, under `event`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The node is up, or training without a network begins.
    Ready {
        /// First digits of the node's key; empty without a network.
        peer: String,
        /// Name of the node; empty without a network.
        #[serde(default)]
        name: String,
        /// The run id.
        run: String,
        /// Addresses at which other machines can reach it, as `IP:PORT`, the likeliest first;
        /// loopback only if there is nothing else.
        listen: Vec<String>,
        /// Layer and index within the layer of each shard, bottom first.
        shards: Vec<(usize, usize)>,
        /// Steps of the run.
        steps: u64,
        /// Steps of a chapter.
        chapter_steps: u64,
    },
    /// The node's store had checkpoints of the run.
    Restored {
        /// Steps done at the furthest checkpoint, per shard; 0 where there is none.
        shards: Vec<u64>,
        /// Number of checkpoints.
        checkpoints: usize,
    },
    /// A peer joined, left (said goodbye) or fell silent; observers are not reported.
    Peer {
        /// First digits of the peer's key.
        peer: String,
        /// Its display name: its name, with the first digits of its key where another peer that is
        /// here has the same, and those digits alone where its name is not known. So everywhere below.
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
        /// Its display name.
        #[serde(default)]
        name: String,
        /// Whether that is the node that reports it.
        #[serde(default, skip_serializing_if = "is_false")]
        own: bool,
        /// The lease's term.
        term: u64,
    },
    /// A node took shards over from one other node, or took them first. Comes within two seconds of
    /// their `owner` events.
    Takeover {
        /// The shards.
        shards: Vec<u16>,
        /// Their layers, with a dot and the index where layers have several shards.
        places: Vec<String>,
        /// The terms of their leases.
        terms: Vec<u64>,
        /// The new owner.
        peer: String,
        /// Its display name.
        name: String,
        /// Whether that is the node that reports it.
        #[serde(default, skip_serializing_if = "is_false")]
        own: bool,
        /// Their former owner; none the first time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Former>,
    },
    /// A chapter has a new owner, in placements where peers own chapters.
    ChapterOwner {
        /// The chapter, from 0.
        chapter: u64,
        /// Its owner.
        peer: String,
        /// Its display name.
        #[serde(default)]
        name: String,
        /// Whether that is the node that reports it.
        #[serde(default, skip_serializing_if = "is_false")]
        own: bool,
        /// The lease's term.
        term: u64,
        /// Its former owner; none the first time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Former>,
    },
    /// The node did its first training step.
    Training {
        /// The shard.
        shard: u16,
        /// The step.
        step: u64,
        /// Seconds since the node started.
        seconds: f64,
    },
    /// The node did its first step of a shard since it loaded it.
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
        /// The chapter, from 0.
        chapter: u64,
        /// Mean loss per case.
        loss: f64,
        /// The peer that trained it.
        peer: String,
    },
    /// Progress of the run, about once a second.
    Progress {
        /// Steps done, per shard.
        shards: Vec<u64>,
        /// The node that reports it; empty where no single one does.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        peer: String,
        /// Owners, per shard; an empty string where there is none.
        owners: Vec<String>,
        /// Their display names.
        #[serde(default)]
        names: Vec<String>,
        /// Number of peers that take work and are here, this one included.
        peers: usize,
        /// Steps of the slowest shard per second.
        steps_per_second: f64,
        /// Steps that this node did itself, per shard; empty where no single node reports.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        own_steps: Vec<u64>,
    },
    /// The accuracy at the end of an epoch, on the test set.
    Eval {
        /// The epoch, from 1.
        epoch: u64,
        /// Number of test samples scored.
        samples: u32,
        /// Fraction right by the heads, in one neutral pass.
        softmax_accuracy: f64,
        /// Fraction right by the goodness of every label; only with the goodness objective.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        goodness_accuracy: Option<f64>,
        /// Fraction right by the last layer's head alone; only with the softmax objective.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_layer_accuracy: Option<f64>,
    },
    /// A data set is being fetched from peers, about twice a second.
    Fetching {
        /// Its kind, as it is typed.
        data: String,
        /// Bytes that are here.
        bytes: u64,
        /// Bytes of all.
        of: u64,
        /// Bytes per second since it began.
        bytes_per_second: u64,
        /// Peers that give it.
        peers: usize,
    },
    /// A message for the user.
    Note {
        /// The message, in English.
        message: String,
    },
    /// The model was written.
    Saved {
        /// The file.
        file: String,
        /// The model's hash.
        model: String,
    },
    /// The node, or training without a network, was stopped before the run was complete.
    Stopped(Stopped),
    /// The run is complete.
    Done {
        /// BLAKE3 of the model's tensors.
        model: String,
        /// Seconds since the start.
        seconds: f64,
        /// Payload bytes received.
        bytes_in: u64,
        /// Payload bytes sent.
        bytes_out: u64,
        /// Of the bytes received, those of broadcast messages.
        gossip_in: u64,
        /// Number of chapters that this process trained, per shard.
        #[serde(default)]
        trained: Vec<u64>,
        /// The store that holds the model, if one does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        store: Option<String>,
    },
}

/// Progress of a run that was stopped, and what of it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stopped {
    /// Steps done, per shard.
    pub shards: Vec<u64>,
    /// Steps at the furthest checkpoint that is kept on disk here, per shard.
    pub kept: Vec<u64>,
    /// Steps of the run.
    pub steps: u64,
    /// Whether no other peer continues it.
    pub alone: bool,
    /// The store, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

/// The former owner of a shard or a chapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// First digits of the node's key.
    pub peer: String,
    /// Its display name.
    pub name: String,
    /// Whether that is the node that reports it.
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
    /// The event without what holds only for the node that reports it.
    #[must_use]
    pub(crate) fn for_all(mut self) -> Self {
        if let Self::Owner { own, .. }
        | Self::ChapterOwner { own, .. }
        | Self::Takeover { own, .. } = &mut self
        {
            *own = false;
        }
        if let Self::ChapterOwner { from: Some(from), .. }
        | Self::Takeover { from: Some(from), .. } = &mut self
        {
            from.own = false;
        }
        self
    }

    /// The event as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_that_scripts_rely_on() {
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
