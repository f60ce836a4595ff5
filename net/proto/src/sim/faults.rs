//! Faults: what can happen to a machine or to the network, and when.
//!
//! Rule: a fault waits for a time or for a part of the work to be done, so that one "in mid-run" is
//! in mid-run for every plan.

use crate::sim::network::weather::Weather;

/// The moment of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// This many milliseconds after the start of the run.
    At(u64),
    /// This many milliseconds after the previous fault of the schedule.
    After(u64),
    /// As soon as this part of all cells' steps was done by any node, per mille.
    Done(u64),
}

/// One thing that happens to a machine or to the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A node starts, with a fresh key; nothing when one is running.
    Start {
        /// The machine it starts on.
        machine: usize,
        /// Whether it finds what an earlier node of the machine kept on disk.
        disk: bool,
    },
    /// The user wants the node of this machine to leave.
    Leave(usize),
    /// The node of this machine ends without a goodbye.
    Crash(usize),
    /// The node of this machine does nothing for this long (a closed laptop), ms.
    Stall(usize, u64),
    /// Nothing passes from the first machines to the second.
    Cut(Vec<usize>, Vec<usize>),
    /// All cuts end.
    Heal,
    /// The network gets better or worse.
    Weather(Weather),
}
