//! Completion: noticing that the whole model is here, and telling the user.
//!
//! Rule: a run is complete for a peer when it holds every shard's last checkpoint, and told when the
//! last epoch is scored. If some of it is lost, it is not complete any more, and is told again.

use crate::known::Known;
use crate::outbox::{Fact, Outbox};
use crate::{Notice, Role, Time};

/// The duty to notice completion.
#[derive(Debug, Default)]
pub(crate) struct Completion {
    /// The completion that was told, by when it was.
    told: Option<Time>,
}

impl Completion {
    pub(crate) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        let (plan, complete) = (known.plan(), known.own().complete);
        if complete.is_none() {
            self.told = None;
        }
        if self.told.is_some() {
            return;
        }
        let Some(model) = known.held_at(plan.steps) else { return };
        if complete.is_none() {
            out.fact(Fact::Complete);
            out.heartbeat(Vec::new());
        }
        if known.scores().contains_key(&plan.epochs()) || known.role() == Role::Observer {
            self.told = Some(complete.unwrap_or_else(|| known.now()));
            out.notify(Notice::Complete(model));
        }
    }

    /// Whether the user was told.
    pub(crate) fn is_told(&self) -> bool {
        self.told.is_some()
    }
}
