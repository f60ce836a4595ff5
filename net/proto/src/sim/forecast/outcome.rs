//! The prediction of a run.
//!
//! Rule: times count from the first step, because how long nodes take to find each other says
//! nothing of how fast they train.

/// A part of the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The time at which it was done, microseconds since the first step.
    pub us: u64,
    /// Bytes in and out until then, by machine.
    pub bytes: Vec<u64>,
}

/// The course that a run would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// From the first step done to the first node that has the whole model, microseconds.
    pub took_us: u64,
    /// Each thousandth of all work.
    pub parts: Vec<Part>,
    /// The time at which a machine was last started, microseconds since the first step.
    pub started_us: u64,
    /// Steps of the plan, over all shards.
    pub steps: u64,
    /// Steps that were trained, the repeated ones included.
    pub trained: u64,
    /// Machines that trained any.
    pub busy: usize,
    /// Nodes that crashed.
    pub crashes: u64,
    /// Bytes in and out, by machine.
    pub bytes: Vec<u64>,
    /// Time that all machines together spent on the network, microseconds.
    pub network_us: u64,
    /// Events that were simulated for it.
    pub events: u64,
}
