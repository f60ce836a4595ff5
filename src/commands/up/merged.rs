//! The events of several nodes of one run, each shown once.
//!
//! Rule: of two nodes' progress the further counts, and what all of them report is shown once.

use std::{collections::BTreeSet, io::Write, time::Instant};

use super::super::error::CommandError;
use crate::{
    events::{Event, EventSink, PROGRESS, StepRate, Stopped},
    view::Log,
};

/// Keeps the items that are marked.
fn keep<T>(list: &mut Vec<T>, marked: &[bool]) {
    let mut marks = marked.iter();
    list.retain(|_| marks.next().copied().unwrap_or(false));
}

/// The events of all nodes, merged.
pub(super) struct Merged {
    sink: Box<dyn EventSink>,
    shown: BTreeSet<String>,
    started: Instant,
    shards: Vec<u64>,
    pace: StepRate,
    models: BTreeSet<String>,
    /// Bytes in, bytes out, and those in of broadcast messages.
    traffic: [u64; 3],
    /// Chapters trained, per shard.
    trained: Vec<u64>,
    /// A node's store with the model.
    store: Option<String>,
    /// Whether some node wrote the model to the file.
    is_saved: bool,
    /// The progress of the nodes that were stopped, together.
    stopped: Option<Stopped>,
}

impl Merged {
    pub(super) fn new(sink: Box<dyn EventSink>) -> Self {
        Self {
            sink,
            shown: BTreeSet::new(),
            started: Instant::now(),
            shards: Vec::new(),
            pace: StepRate::start(),
            models: BTreeSet::new(),
            traffic: [0; 3],
            trained: Vec::new(),
            store: None,
            is_saved: false,
            stopped: None,
        }
    }

    pub(super) fn show(&mut self, event: Event) {
        let mut event = event.for_all();
        if let Event::Takeover { shards, places, terms, .. } = &mut event {
            self.keep_new(shards, places, terms);
            if shards.is_empty() {
                return;
            }
        }
        let key = match &event {
            Event::Progress { shards, owners, names, peers, .. } => {
                return self.progress(shards, owners, names, *peers);
            }
            Event::Stopped(stopped) => return self.stop(stopped.clone()),
            Event::Done { model, bytes_in, bytes_out, gossip_in, trained, store, .. } => {
                self.store = self.store.take().or_else(|| store.clone());
                self.trained.resize(trained.len(), 0);
                self.trained.iter_mut().zip(trained).for_each(|(sum, more)| *sum += more);
                self.models.insert(model.clone());
                let more = [bytes_in, bytes_out, gossip_in];
                self.traffic.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
                return;
            }
            // Each node does its own first step.
            Event::Training { .. }
            | Event::Taken { .. }
            | Event::Takeover { .. }
            | Event::Ready { .. } => None,
            // What each store had concerns its node alone.
            Event::Restored { .. } => return,
            Event::Chapter { shard, chapter, .. } => Some(format!("chapter {shard} {chapter}")),
            Event::Eval { epoch, .. } => Some(format!("eval {epoch}")),
            Event::Saved { .. } => {
                self.is_saved = true;
                Some(event.to_json())
            }
            // Nodes may call others differently, until all have met.
            Event::Peer { peer, name, .. } if name == peer => return,
            Event::Peer { peer, state, .. } => Some(format!("peer {peer} {state}")),
            Event::Owner { shard, peer, term, .. } => Some(format!("owner {shard} {peer} {term}")),
            Event::ChapterOwner { chapter, peer, term, .. } => {
                Some(format!("chapter-owner {chapter} {peer} {term}"))
            }
            Event::Note { .. } | Event::Fetching { .. } => Some(event.to_json()),
        };
        if key.is_none_or(|key| self.shown.insert(key)) {
            self.sink.on_event(&event);
        }
    }

    /// Keeps those shards of a takeover that no node reported yet.
    fn keep_new(&mut self, shards: &mut Vec<u16>, places: &mut Vec<String>, terms: &mut Vec<u64>) {
        let shown = &mut self.shown;
        let is_new: Vec<bool> = shards
            .iter()
            .zip(&*terms)
            .map(|(shard, term)| shown.insert(format!("takeover {shard} {term}")))
            .collect();
        keep(shards, &is_new);
        keep(places, &is_new);
        keep(terms, &is_new);
    }

    /// A node has ended before anybody asked it to.
    pub(super) fn note_early_end(&mut self, number: usize, status: &str) {
        let message = format!("node {number} of this host ended early ({status})");
        self.show(Event::Note { message });
    }

    /// A shard is as far as the best informed node reports.
    fn progress(&mut self, shards: &[u64], owners: &[String], names: &[String], peers: usize) {
        self.shards.resize(shards.len(), 0);
        for (known, &said) in self.shards.iter_mut().zip(shards) {
            *known = said.max(*known);
        }
        if self.pace.elapsed() < PROGRESS.mul_f64(0.9) {
            return;
        }
        self.sink.on_event(&Event::Progress {
            shards: self.shards.clone(),
            peer: String::new(),
            owners: owners.to_vec(),
            names: names.to_vec(),
            peers,
            steps_per_second: self.pace.report(&self.shards),
            own_steps: Vec::new(),
        });
    }

    /// A line of a node's standard error. The reason of their end is the same for all, and shown once.
    pub(super) fn pass_on(&mut self, line: String) {
        if !line.starts_with("ffp2p: ") || self.shown.insert(line.clone()) {
            // Nobody may be there to read it.
            let _ = Log.write_all((line + "\n").as_bytes());
        }
    }

    /// A node was stopped. The furthest of them counts, and nobody goes on.
    fn stop(&mut self, said: Stopped) {
        let Some(known) = &mut self.stopped else {
            self.stopped = Some(Stopped { alone: true, ..said });
            return;
        };
        let further = |known: &mut [u64], said: &[u64]| {
            known.iter_mut().zip(said).for_each(|(known, said)| *known = *said.max(known));
        };
        further(&mut known.shards, &said.shards);
        further(&mut known.kept, &said.kept);
        known.store = known.store.take().or(said.store);
    }

    /// Shows the end. False when no node completed the run.
    pub(super) fn finish(mut self) -> Result<bool, CommandError> {
        let Some(model) = self.models.pop_first() else {
            if let Some(stopped) = self.stopped.take() {
                self.sink.on_event(&Event::Stopped(stopped));
            }
            return Ok(false);
        };
        if let Some(other) = self.models.pop_first() {
            let text = format!("the nodes disagree on the model: {model} and {other}");
            return Err(CommandError::Failed(text));
        }
        let [bytes_in, bytes_out, gossip_in] = self.traffic;
        let seconds = self.started.elapsed().as_secs_f64();
        let (trained, store) = (self.trained, self.store);
        let done = Event::Done { model, seconds, bytes_in, bytes_out, gossip_in, trained, store };
        self.sink.on_event(&done);
        if self.is_saved {
            return Ok(true);
        }
        let text = "no node could write the model; `ffp2p export --out FILE` writes what is kept";
        Err(CommandError::Failed(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_takeover_that_several_nodes_report_is_shown_once() {
        let mut merged = Merged::new(Box::new(|_: &Event| ()));
        let mut told = |shards: &[u16], term: u64| {
            let (mut shards, mut terms) = (shards.to_vec(), vec![term; shards.len()]);
            let mut places = shards.iter().map(ToString::to_string).collect();
            merged.keep_new(&mut shards, &mut places, &mut terms);
            assert_eq!(places, shards.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(terms, vec![term; shards.len()]);
            shards
        };
        assert_eq!(told(&[1, 2], 1), [1, 2]);
        assert_eq!(told(&[0, 1, 2, 3], 1), [0, 3]);
        assert!(told(&[1, 2], 1).is_empty());
        assert_eq!(told(&[1, 2], 2), [1, 2]);
    }
}
