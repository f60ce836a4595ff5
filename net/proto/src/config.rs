//! The timers and limits of the decisions, each with its unit.
//!
//! Rule: nothing here changes what a cell computes; peers with different settings can be in one
//! run.

/// Activation batches in one [`Announce`](crate::Message::Announce).
pub const MAX_BATCHES_PER_MESSAGE: usize = 64;

/// Fetches in flight at once, over all peers.
pub const MAX_FETCHES: usize = 16;

/// Bytes in flight beyond which no further checkpoint is fetched: both ends have what is on its way
/// in memory.
pub const MAX_FETCH_BYTES: u64 = 16 << 20;

/// Training steps handed to the trainer and not yet answered.
pub const MAX_TRAIN_IN_FLIGHT: usize = 2;

/// Peers remembered at once, the silent ones included.
pub const MAX_MEMBERS: usize = 1024;

/// Checkpoints remembered per shard.
pub const MAX_CHECKPOINTS_PER_SHARD: usize = 8;

/// Timers (milliseconds) and windows (steps) of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Between heartbeats, ms, where peers are few ([`Config::heartbeat_interval_ms`]).
    pub heartbeat_ms: u64,
    /// A peer that was silent for this long is considered dead, ms.
    pub silent_ms: u64,
    /// A lost connection leaves a peer this long to be heard by other ways, ms.
    pub disconnected_ms: u64,
    /// After its start a peer only listens for this long, ms: it may not be the first.
    pub listen_ms: u64,
    /// An unanswered request or fetch is repeated after this long, ms.
    pub retry_ms: u64,
    /// A scoring that nobody answers for this long falls to the next peer in order, ms.
    pub score_ms: u64,
    /// A leaving or finished peer waits at most this long for the others, ms.
    pub linger_ms: u64,
    /// An owner may be this many steps ahead of a reader.
    pub window: u64,
    /// Peers besides its maker that hold each checkpoint.
    pub replicas: usize,
    /// Activation batches kept for whoever takes a reader over, at most, bytes; what readers have
    /// not read yet is kept anyhow, but no more is made then.
    pub batch_bytes: u64,
    /// Checkpoints held, beyond which no copies of others' are taken, bytes.
    pub copy_bytes: u64,
    /// Whether checkpoints outlive the process: told to others, decides nothing.
    pub on_disk: bool,
    /// A shard is moved only when the slowest peer's share shrinks by more than this, percent.
    pub margin_percent: u64,
    /// After a move for balance alone, the next one waits this long, ms.
    pub settle_ms: u64,
    /// Stop by itself when the run is complete everywhere.
    pub exit_when_done: bool,
}

/// Peers that are few. Among more, each says less often how it is: all hear all others, which
/// would take a growing part of everybody's time.
const FEW: u64 = 4;

impl Config {
    /// Between two heartbeats of a peer that knows `others` other peers, ms: never so long that silence
    /// is near, or that a connection that is quiet in between counts as cut, which costs more.
    #[must_use]
    pub fn heartbeat_interval_ms(&self, others: usize) -> u64 {
        let longest = (3 * self.heartbeat_ms / 2).min(3 * self.silent_ms / 10);
        let shared = self.heartbeat_ms.saturating_mul(others as u64 + 1) / FEW;
        shared.min(longest).max(self.heartbeat_ms)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat_ms: 500,
            silent_ms: 2_500,
            disconnected_ms: 1_000,
            listen_ms: 1_300,
            retry_ms: 500,
            score_ms: 30_000,
            linger_ms: 15_000,
            window: 32,
            replicas: 2,
            batch_bytes: 512 << 20,
            copy_bytes: 4 << 30,
            on_disk: false,
            margin_percent: 10,
            settle_ms: 5_000,
            exit_when_done: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_peers_say_less_often_how_they_are_but_often_enough() {
        let default = Config::default();
        assert_eq!(
            [0, 3, 4, 5, 999].map(|it| default.heartbeat_interval_ms(it)),
            [500, 500, 625, 750, 750]
        );
        for (silent_ms, longest) in [(1_000, 500), (2_000, 600), (60_000, 750)] {
            let config = Config { silent_ms, ..default.clone() };
            assert_eq!([3, 999].map(|it| config.heartbeat_interval_ms(it)), [500, longest]);
        }
    }
}
