//! The record of a run, as lines for a reader and as one hash for a comparison.
//!
//! Rule: nothing is written unless asked for; a run that failed is simply run again with the trace
//! on, because the same seed gives the same run.

use std::collections::VecDeque;
use std::fmt;

use crate::sim::clock::Moment;
use crate::{Hash, NodeId};

/// The record of a run, when asked for.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    written: Option<Written>,
}

#[derive(Debug, Default)]
struct Written {
    hasher: blake3::Hasher,
    /// Lines to keep.
    keep: usize,
    last: VecDeque<String>,
}

impl Trace {
    /// A trace that keeps the last `keep` lines; `None` is no trace at all.
    pub(crate) fn new(keep: Option<usize>) -> Self {
        Self { written: keep.map(|keep| Written { keep, ..Written::default() }) }
    }

    /// Writes one line; `what` is only made into text when the trace is on.
    pub(crate) fn line(
        &mut self,
        now: Moment,
        node: Option<(usize, NodeId)>,
        what: fmt::Arguments,
    ) {
        let Some(written) = &mut self.written else { return };
        let line = match node {
            Some((machine, id)) => format!("{now} m{machine} {id} {what}"),
            None => format!("{now} {what}"),
        };
        written.hasher.update(line.as_bytes());
        written.last.push_back(line);
        if written.last.len() > written.keep {
            written.last.pop_front();
        }
    }

    /// The hash of every line there was; `None` when the trace is off.
    pub(crate) fn hash(&self) -> Option<Hash> {
        self.written.as_ref().map(|written| Hash(*written.hasher.finalize().as_bytes()))
    }

    /// The last lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.written.iter().flat_map(|written| written.last.iter().cloned()).collect()
    }
}
