//! A run as the board shows it: steps, owner and loss of each shard, and the speed of the whole.
//!
//! Rule: pure; events and the time go in, lines that fit come out.

use super::{
    layout::{self, ShardLine},
    pace::{Pace, Standing},
    words,
};
use crate::{
    events::Event,
    text::{duration, thousands},
};

/// The shown state of a run.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Whether it is trained without a network.
    alone: bool,
    steps: u64,
    shards: Vec<ShardLine>,
    peers: usize,
    pace: Pace,
}

impl Board {
    /// Takes in an event at `now` seconds.
    pub(super) fn take(&mut self, event: &Event, now: f64) {
        match event {
            Event::Ready { peer, shards, steps, .. } if self.shards.is_empty() => {
                self.alone = peer.is_empty();
                self.steps = *steps;
                self.shards = opened(shards);
            }
            Event::Progress { peer, shards, owners, names, peers, .. }
                if shards.len() == self.shards.len() =>
            {
                self.pace.observe(now, shards, self.alone);
                self.peers = *peers;
                for (shard, done) in self.shards.iter_mut().zip(shards) {
                    shard.done = *done;
                }
                for ((shard, owner), name) in self.shards.iter_mut().zip(owners).zip(names) {
                    shard.owner = owner_column(name, !owner.is_empty() && owner == peer);
                }
            }
            Event::Owner { shard, name, own, .. } => {
                if let Some(shard) = self.shards.get_mut(usize::from(*shard)) {
                    shard.owner = owner_column(name, *own);
                }
            }
            Event::Chapter { shard, loss, .. } => {
                if let Some(shard) = self.shards.get_mut(usize::from(*shard)) {
                    shard.loss = Some(*loss);
                }
            }
            Event::Done { .. } => {
                let all = vec![self.steps; self.shards.len()];
                self.pace.observe(now, &all, self.alone);
            }
            Event::Ready { .. }
            | Event::Progress { .. }
            | Event::Peer { .. }
            | Event::Restored { .. }
            | Event::Taken { .. }
            | Event::Training { .. }
            | Event::ChapterOwner { .. }
            | Event::Eval { .. }
            | Event::Takeover { .. }
            | Event::Fetching { .. }
            | Event::Note { .. }
            | Event::Stopped(_)
            | Event::Saved { .. } => {}
        }
    }

    /// A line about the whole run; `None` before anything is known of it.
    pub(super) fn summary(&self, now: f64) -> Option<String> {
        self.summaries(now).into_iter().next()
    }

    /// Lines about the whole run, the longest first.
    fn summaries(&self, now: f64) -> Vec<String> {
        if self.shards.is_empty() {
            return Vec::new();
        }
        let percent = format!("{} %", self.pace.percent(self.steps));
        let of_steps = format!("{percent} of {} steps", thousands(self.steps));
        let (speed, end) = match self.pace.standing(now, self.steps) {
            Standing::Unbegun => (String::new(), ", waiting for the first steps".to_owned()),
            Standing::Unmeasured | Standing::Complete => (String::new(), String::new()),
            Standing::Going { per_second, left } => (
                format!(", {}", words::speed(per_second)),
                format!(", about {} left", duration(left)),
            ),
            Standing::Paused(seconds) => {
                (String::new(), format!(", no step for {}", duration(seconds)))
            }
        };
        let peers = match self.peers {
            _ if self.alone => String::new(),
            1 => ", 1 peer".to_owned(),
            peers => format!(", {peers} peers"),
        };
        vec![
            format!("{of_steps}{speed}{end}{peers}"),
            format!("{of_steps}{speed}{end}"),
            format!("{percent}{speed}{end}"),
            format!("{percent}{end}"),
            percent,
        ]
    }

    /// The run as bars, for a terminal of `columns` x `lines`.
    pub(super) fn lines(&self, now: f64, (columns, lines): (usize, usize)) -> Vec<String> {
        layout::fit(&self.shards, self.steps, &self.summaries(now), (columns, lines))
    }
}

/// The lines of shards before anything is known of them.
fn opened(shards: &[(usize, usize)]) -> Vec<ShardLine> {
    let sharded = shards.iter().any(|(_, shard)| *shard > 0);
    let name = |layer: usize, shard: usize| {
        if sharded { format!("layer {layer}.{shard}") } else { format!("layer {layer}") }
    };
    let shard = |&(layer, shard): &(usize, usize)| ShardLine {
        name: name(layer, shard),
        ..ShardLine::default()
    };
    shards.iter().map(shard).collect()
}

/// The owner of a shard, as shown next to its bar.
fn owner_column(name: &str, own: bool) -> String {
    if own { "this node".to_owned() } else { words::escaped(name).into_owned() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A run of `shards` shards and `steps` steps; alone if `peer` is empty.
    pub(in crate::view) fn ready(peer: &str, shards: usize, steps: u64) -> Event {
        Event::Ready {
            peer: peer.into(),
            name: peer.into(),
            run: "00".into(),
            listen: Vec::new(),
            shards: (0..shards).map(|layer| (layer, 0)).collect(),
            steps,
            chapter_steps: steps,
        }
    }

    pub(in crate::view) fn progress(shards: &[u64], peers: usize) -> Event {
        Event::Progress {
            shards: shards.to_vec(),
            peer: String::new(),
            owners: vec!["15d27e6d".into(); shards.len()],
            names: vec!["15d27e6d".into(); shards.len()],
            peers,
            steps_per_second: 0.0,
            own_steps: Vec::new(),
        }
    }

    #[test]
    fn a_run_is_summed_up() {
        let mut board = Board::default();
        assert_eq!(board.summary(0.0), None);
        board.take(&ready("ab", 2, 4800), 0.0);
        board.take(&progress(&[0, 0], 3), 0.0);
        let said = "0 % of 4,800 steps, waiting for the first steps, 3 peers";
        assert_eq!(board.summary(0.0).as_deref(), Some(said));
        board.take(&progress(&[1600, 1600], 4), 1.0);
        assert_eq!(board.summary(1.0).as_deref(), Some("33 % of 4,800 steps, 4 peers"));
        board.take(&progress(&[1910, 1910], 1), 2.0);
        let said = "39 % of 4,800 steps, 310 steps/s, about 10 s left, 1 peer";
        assert_eq!(board.summary(2.0).as_deref(), Some(said));
        let said = "39 % of 4,800 steps, no step for 3 min, 1 peer";
        assert_eq!(board.summary(182.0).as_deref(), Some(said));
        board.take(&progress(&[4800, 4800], 1), 183.0);
        assert_eq!(board.summary(190.0).as_deref(), Some("100 % of 4,800 steps, 1 peer"));
    }

    #[test]
    fn a_slow_run_alone_says_when_it_ends() {
        let mut board = Board::default();
        board.take(&ready("", 2, 26_000), 0.0);
        (0..40).for_each(|at| board.take(&progress(&[at, at], 1), at as f64 * 5.0));
        let said = "0 % of 26,000 steps, 12 steps/min, about 36 h 3 min left";
        assert_eq!(board.summary(195.0).as_deref(), Some(said));
    }

    #[test]
    fn nonsense_changes_nothing() {
        let mut board = Board::default();
        board.take(&progress(&[1, 2], 1), 0.0);
        assert_eq!(board.summary(0.0), None);
        board.take(&ready("ab", 1, 10), 0.0);
        board.take(&progress(&[1, 2], 1), 0.0);
        let owner = |shard, name: &str| Event::Owner {
            shard,
            peer: "ab".into(),
            name: name.into(),
            own: false,
            term: 1,
        };
        board.take(&owner(7, "x"), 0.0);
        board.take(&owner(0, "a\x1b[2J"), 0.0);
        let lines = board.lines(0.0, (80, 24));
        assert!(lines[0].contains("a\\u001b[2J") && lines.len() == 2, "{lines:?}");
    }
}
