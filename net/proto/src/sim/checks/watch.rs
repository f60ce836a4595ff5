//! The watch over one node: every input, every output, and the state between two events.
//!
//! Rule: it knows the sequential run and what this one node has asked for; nothing that is trained,
//! fetched or forgotten escapes it, whichever nodes crash and whatever is lost.

use std::collections::{BTreeMap, BTreeSet};

use crate::sim::checks::claims::{self, stored};
use crate::sim::checks::facts::{Facts, ensure};
use crate::sim::machine::store::Store;
use crate::{
    Hash, Input, MAX_FETCHES, MAX_TRAIN_IN_FLIGHT, NodeId, Notice, Output, Role, ShardId, Snapshot,
    Term,
};

/// A load that was asked for.
#[derive(Debug)]
struct Load {
    load: u64,
    next: u64,
    /// The next step to refresh.
    refreshing: u64,
    ready: bool,
}

/// The requests of one node that are still open, and the terms that it knows.
#[derive(Debug)]
pub(crate) struct Watch {
    me: NodeId,
    role: Role,
    loads: BTreeMap<ShardId, Load>,
    last_load: Option<u64>,
    training: usize,
    evaluating: bool,
    /// Shards and the steps at which they are merged.
    merging: BTreeSet<(ShardId, u64)>,
    /// Fetches not answered and not given up, with the peer that was asked.
    fetching: BTreeMap<Hash, NodeId>,
    terms: BTreeMap<ShardId, Term>,
}

impl Watch {
    pub(crate) fn new(me: NodeId, role: Role) -> Self {
        Self {
            me,
            role,
            loads: BTreeMap::new(),
            last_load: None,
            training: 0,
            evaluating: false,
            merging: BTreeSet::new(),
            fetching: BTreeMap::new(),
            terms: BTreeMap::new(),
        }
    }

    /// Notes an input before the decisions are given it.
    pub(crate) fn input(&mut self, input: &Input) {
        match input {
            Input::Loaded { shard, load, ok } => {
                if let Some(found) = self.loads.get_mut(shard).filter(|found| found.load == *load) {
                    found.ready = *ok;
                }
            }
            Input::Trained { .. } | Input::Refreshed { .. } => self.training -= 1,
            Input::Refused { shard, load, step, .. } => {
                self.training -= 1;
                // It is asked for again, and what was in flight behind it after that.
                if let Some(found) = self.loads.get_mut(shard).filter(|found| found.load == *load) {
                    found.next = found.next.min(*step);
                }
            }
            Input::Merged { shard, step, .. } => {
                self.merging.remove(&(*shard, *step));
            }
            Input::Evaluated(_) => self.evaluating = false,
            Input::Fetched { hash } => {
                self.fetching.remove(hash);
            }
            Input::FetchFailed { hash, from, .. } if self.fetching.get(hash) == Some(from) => {
                self.fetching.remove(hash);
            }
            Input::Disconnected(peer) => self.fetching.retain(|_, from| from != peer),
            Input::Wakeup
            | Input::Connected(_)
            | Input::Received { .. }
            | Input::FetchFailed { .. }
            | Input::Speed(_)
            | Input::Restored(_)
            | Input::Lost { .. }
            | Input::Unusable { .. }
            | Input::Leave => {}
        }
    }

    /// Checks an output of the decisions before it is carried out.
    pub(crate) fn output(
        &mut self,
        facts: &Facts,
        store: &Store,
        output: &Output,
    ) -> Result<(), String> {
        match output {
            Output::Broadcast(message) => claims::message(facts, store, message),
            Output::Send { to, message } => {
                ensure(*to != self.me, || "it talks to itself".to_owned())?;
                claims::message(facts, store, message)
            }
            Output::Load { .. } => self.load(facts, store, output),
            Output::Train { .. } => self.train(facts, store, output),
            Output::Refresh { .. } => self.refresh(facts, store, output),
            Output::Merge { shard, step, from, start, parts } => {
                let is_new = self.merging.insert((*shard, *step));
                ensure(is_new, || format!("shard {shard} is merged twice at {step}"))?;
                start.iter().chain(parts.hashes()).try_for_each(|hash| stored(store, hash))?;
                ensure(start.is_some() == (*from > 0), || format!("shard {shard}: a false start"))?;
                start.iter().try_for_each(|hash| facts.state(*shard, *from, *hash))?;
                facts.parts(*shard, *from..*step, parts)
            }
            Output::Unload { shard } => {
                self.loads.remove(shard);
                Ok(())
            }
            Output::Fetch { blob, from } => {
                ensure(*from != self.me, || "it fetches from itself".to_owned())?;
                ensure(!store.contains(&blob.hash), || "it fetches what it has".to_owned())?;
                let twice = self.fetching.insert(blob.hash, *from);
                ensure(twice.is_none(), || format!("{:?} is being fetched twice", blob.hash))?;
                ensure(self.fetching.len() <= MAX_FETCHES, || "too many fetches".to_owned())
            }
            Output::Drop(_) | Output::HurryScore | Output::Finished => Ok(()),
            Output::Keep(checkpoint) => {
                facts.checkpoint(checkpoint)?;
                stored(store, &checkpoint.blob.hash)
            }
            Output::Evaluate { epoch, checkpoints } => {
                ensure(!self.evaluating, || "it scores twice at once".to_owned())?;
                self.evaluating = true;
                claims::evaluate(facts, store, *epoch, checkpoints)
            }
            Output::Notify(notice) => {
                if let Notice::PeerLeft { peer, .. } = notice {
                    self.fetching.retain(|_, from| from != peer);
                }
                claims::notify(facts, notice)
            }
        }
    }

    fn load(&mut self, facts: &Facts, store: &Store, output: &Output) -> Result<(), String> {
        let Output::Load { shard, load, step, begin, checkpoint } = output else { return Ok(()) };
        ensure(self.role == Role::Worker, || "an observer loads a shard".to_owned())?;
        ensure(self.last_load < Some(*load), || format!("load {load} was there before"))?;
        ensure(*step <= facts.plan.end(*shard), || {
            format!("shard {shard} is loaded beyond its end")
        })?;
        if let Some(hash) = checkpoint {
            stored(store, hash)?;
        }
        match checkpoint {
            Some(hash) => facts.state(*shard, *step, *hash)?,
            None => {
                ensure(*step == 0, || format!("shard {shard} is loaded at {step} from nothing"))?
            }
        }
        self.last_load = Some(*load);
        self.loads
            .insert(*shard, Load { load: *load, next: *begin, refreshing: *begin, ready: false });
        Ok(())
    }

    /// Checks that a step is given to the trainer under a load that is ready.
    fn begin(&mut self, shard: ShardId, load: u64) -> Result<&mut Load, String> {
        ensure(self.role == Role::Worker, || "an observer trains".to_owned())?;
        self.training += 1;
        ensure(self.training <= MAX_TRAIN_IN_FLIGHT, || "too many steps in flight".to_owned())?;
        let loaded = self.loads.get_mut(&shard).filter(|found| found.load == load && found.ready);
        loaded.ok_or_else(|| format!("shard {shard} is not loaded by {load}"))
    }

    fn train(&mut self, facts: &Facts, store: &Store, output: &Output) -> Result<(), String> {
        let Output::Train { shard, load, step, inputs, feedback, emit, checkpoint } = output else {
            return Ok(());
        };
        let (shard, step, plan) = (*shard, *step, &facts.plan);
        let loaded = self.begin(shard, *load)?;
        ensure(loaded.next == step, || format!("shard {shard}: {step} does not follow"))?;
        loaded.next += 1;
        let refreshed = plan.is_refreshed(shard);
        let begins = !refreshed || !plan.ends_branch(step) || loaded.refreshing == step;
        ensure(begins, || format!("shard {shard}: the chapter before {step} is not handed on"))?;
        ensure(step < plan.end(shard), || format!("step {step} is beyond the end"))?;
        let due = plan.ends_branch(step + 1);
        ensure(due == *checkpoint, || {
            format!("shard {shard} step {step}: checkpoint {checkpoint}")
        })?;
        let emits = !refreshed && !plan.readers(shard).is_empty();
        ensure(emits == *emit, || format!("shard {shard} step {step}: emit {emit}"))?;
        reads(facts, store, (shard, step), inputs, *feedback)
    }

    fn refresh(&mut self, facts: &Facts, store: &Store, output: &Output) -> Result<(), String> {
        let Output::Refresh { shard, load, step, inputs, feedback } = output else { return Ok(()) };
        let (shard, step, plan) = (*shard, *step, &facts.plan);
        let loaded = self.begin(shard, *load)?;
        ensure(plan.is_refreshed(shard), || format!("shard {shard} is not to be refreshed"))?;
        ensure(loaded.next == plan.branch_end(step), || {
            format!("shard {shard}: {step} is refreshed at {}", loaded.next)
        })?;
        // A shard that was loaded at a chapter's end may refresh that chapter.
        let begins =
            loaded.refreshing == loaded.next && step == plan.chapter_start(plan.chapter_of(step));
        let follows = begins || loaded.refreshing == step;
        ensure(follows, || format!("shard {shard}: refreshing {step} does not follow"))?;
        loaded.refreshing = step + 1;
        reads(facts, store, (shard, step), inputs, *feedback)
    }

    /// Checks the state after everything was carried out.
    pub(crate) fn after(
        &mut self,
        facts: &Facts,
        store: &Store,
        snapshot: Option<&Snapshot>,
    ) -> Result<(), String> {
        ensure(store.len() <= facts.max_blobs, || {
            format!("{} blobs in the store, {} allowed", store.len(), facts.max_blobs)
        })?;
        for view in snapshot.iter().flat_map(|snapshot| &snapshot.shards) {
            let (shard, Some((owner, term))) = (view.shard, view.owner) else { continue };
            let known = self.terms.entry(shard).or_default();
            // A shard's next chapter has terms of its own.
            let rises = *known <= term || facts.plan.is_by_chapter();
            ensure(rises, || format!("shard {shard}: term {term:?} after {known:?}"))?;
            *known = term;
            let allowed = self.role == Role::Worker || owner != self.me;
            ensure(allowed, || format!("an observer owns shard {shard}"))?;
        }
        Ok(())
    }
}

/// Checks that a step reads exactly what it reads in the sequential run.
fn reads(
    facts: &Facts,
    store: &Store,
    (shard, step): (ShardId, u64),
    inputs: &[Hash],
    feedback: Option<Hash>,
) -> Result<(), String> {
    let plan = &facts.plan;
    inputs.iter().chain(&feedback).try_for_each(|hash| stored(store, hash))?;
    let sources = plan.inputs(shard);
    ensure(sources.len() == inputs.len(), || {
        format!("shard {shard} step {step} reads too little")
    })?;
    sources.iter().zip(inputs).try_for_each(|(source, hash)| facts.batch(*source, step, *hash))?;
    match plan.feedback_shard().zip(plan.table_of(shard, step)).zip(feedback) {
        Some(((shard, step), hash)) => facts.state(shard, step, hash),
        None => {
            let is_due = plan.table_of(shard, step).is_some();
            ensure(is_due == feedback.is_some(), || format!("shard {shard} step {step}: no table"))
        }
    }
}
