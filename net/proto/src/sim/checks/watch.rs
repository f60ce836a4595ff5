//! The rules that hold after every event, whoever crashed and whatever got lost.
//!
//! Rule: a check knows the sequential run and what this one node was told; nothing that is
//! announced, trained, fetched or forgotten gets past it unseen.

use std::collections::BTreeMap;

use crate::sim::checks::facts::{Facts, ensure};
use crate::sim::machine::store::Store;
use crate::{
    Checkpoint, Hash, Heartbeat, Input, MAX_FETCHES, MAX_TRAIN_IN_FLIGHT, Message, NodeId, Notice,
    Output, Role, ShardId, Snapshot, Term,
};

/// A load that was asked for.
#[derive(Debug)]
struct Load {
    load: u64,
    next: u64,
    /// The next step to refresh.
    handing: u64,
    ready: bool,
}

/// What one node has asked for and was told.
#[derive(Debug)]
pub(crate) struct Watch {
    me: NodeId,
    role: Role,
    loads: BTreeMap<ShardId, Load>,
    last_load: Option<u64>,
    training: usize,
    evaluating: bool,
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
            fetching: BTreeMap::new(),
            terms: BTreeMap::new(),
        }
    }

    /// Before the decisions hear something.
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

    /// One thing that the decisions want, before it is carried out.
    pub(crate) fn output(
        &mut self,
        facts: &Facts,
        store: &Store,
        output: &Output,
    ) -> Result<(), String> {
        match output {
            Output::Broadcast(message) => self.message(facts, store, message),
            Output::Send { to, message } => {
                ensure(*to != self.me, || "it talks to itself".to_owned())?;
                self.message(facts, store, message)
            }
            Output::Load { .. } => self.load(facts, store, output),
            Output::Train { .. } => self.train(facts, store, output),
            Output::Refresh { .. } => self.refresh(facts, store, output),
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
                evaluate(facts, store, *epoch, checkpoints)
            }
            Output::Notify(notice) => {
                if let Notice::PeerLeft { peer, .. } = notice {
                    self.fetching.retain(|_, from| from != peer);
                }
                notify(facts, notice)
            }
        }
    }

    fn load(&mut self, facts: &Facts, store: &Store, output: &Output) -> Result<(), String> {
        let Output::Load { shard, load, step, checkpoint } = output else { return Ok(()) };
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
        self.loads.insert(*shard, Load { load: *load, next: *step, handing: *step, ready: false });
        Ok(())
    }

    /// A step is handed to the trainer, of a load that is ready.
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
        let begins = !refreshed || !plan.is_boundary(step) || loaded.handing == step;
        ensure(begins, || format!("shard {shard}: the chapter before {step} is not handed on"))?;
        ensure(step < plan.end(shard), || format!("step {step} is beyond the end"))?;
        let due = plan.is_boundary(step + 1);
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
        ensure(loaded.next == plan.chapter_end(step), || {
            format!("shard {shard}: {step} is refreshed at {}", loaded.next)
        })?;
        // A shard that was loaded at a chapter's end may hand that chapter on.
        let begins =
            loaded.handing == loaded.next && step == plan.chapter_start(plan.chapter_of(step));
        let follows = begins || loaded.handing == step;
        ensure(follows, || format!("shard {shard}: refreshing {step} does not follow"))?;
        loaded.handing = step + 1;
        reads(facts, store, (shard, step), inputs, *feedback)
    }

    /// Says nothing false, and claims to hold only what it holds.
    fn message(&self, facts: &Facts, store: &Store, message: &Message) -> Result<(), String> {
        ensure(message.is_bounded(), || "a list is too long".to_owned())?;
        let streams = matches!(message, Message::Request { .. } | Message::Announce(_));
        ensure(!streams || !facts.plan.is_by_chapter(), || {
            "activation batches are offered where they stay with their maker".to_owned()
        })?;
        match message {
            Message::Heartbeat(beat) => heartbeat(facts, store, beat),
            Message::Checkpoints(list) => list.iter().try_for_each(|it| held(facts, store, it)),
            Message::Score(score) => facts.score(score),
            Message::Announce(batches) => batches.iter().try_for_each(|it| {
                facts.batch(it.shard, it.step, it.blob.hash)?;
                stored(store, &it.blob.hash)
            }),
            Message::Request { from, until, .. } => {
                ensure(from <= until && *until <= facts.plan.steps, || {
                    format!("a request from {from} until {until}")
                })
            }
            Message::Provenance(spans) => spans.iter().try_for_each(|span| {
                let end = facts.plan.chapter_ending(facts.plan.steps);
                ensure(span.first <= span.last && span.last <= end, || format!("{span:?}"))
            }),
            Message::Leases(_) | Message::Goodbye => Ok(()),
        }
    }

    /// After everything was carried out.
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

/// A step is given exactly what it reads in the sequential run.
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

fn stored(store: &Store, hash: &Hash) -> Result<(), String> {
    ensure(store.contains(hash), || format!("{hash:?} is not in the store"))
}

fn held(facts: &Facts, store: &Store, checkpoint: &Checkpoint) -> Result<(), String> {
    facts.checkpoint(checkpoint)?;
    stored(store, &checkpoint.blob.hash)
}

fn heartbeat(facts: &Facts, store: &Store, beat: &Heartbeat) -> Result<(), String> {
    beat.held.iter().try_for_each(|it| held(facts, store, it))?;
    beat.scores.iter().try_for_each(|score| facts.score(score))?;
    for (shard, step) in &beat.progress {
        ensure(*step <= facts.plan.steps, || format!("shard {shard} has done {step} steps"))?;
    }
    beat.batches.iter().try_for_each(|kept| {
        let Some(run) = &facts.reference else { return Err(format!("{kept:?} is offered")) };
        (kept.from..kept.until).try_for_each(|step| {
            let batch = run.batch(kept.shard, step);
            let batch = batch.ok_or_else(|| format!("{kept:?} is beyond the end"))?;
            stored(store, &batch.hash)
        })
    })
}

fn evaluate(facts: &Facts, store: &Store, epoch: u64, found: &[Hash]) -> Result<(), String> {
    let step = facts.plan.epoch_end(epoch);
    let shards = facts.plan.model_shards();
    let fits = facts.plan.model_shards().count() == found.len();
    ensure(fits, || format!("epoch {epoch} is scored with {} checkpoints", found.len()))?;
    shards.zip(found).try_for_each(|(shard, hash)| facts.state(shard, step, *hash))?;
    found.iter().try_for_each(|hash| stored(store, hash))
}

fn notify(facts: &Facts, notice: &Notice) -> Result<(), String> {
    match notice {
        Notice::Complete(list) => {
            let found: Vec<Hash> = list.iter().map(|it| it.blob.hash).collect();
            let forged = found.iter().any(|hash| facts.junk.contains(hash));
            ensure(forged || facts.is(&found, |run| Some(run.finals())), || {
                "complete with another model than the sequential run".to_owned()
            })
        }
        Notice::Chapter(checkpoint) => facts.checkpoint(checkpoint),
        Notice::Score(score) => facts.score(score),
        Notice::Blame { peer, reason } => {
            // Until it is tried, a forged checkpoint looks as good as the right one.
            let is_odd = reason.contains("unlike another's") && !facts.junk.is_empty();
            let is_fair = facts.liars.contains(peer) || is_odd;
            ensure(is_fair, || format!("honest {peer} is blamed: {reason}"))
        }
        Notice::PeerJoined { .. } | Notice::PeerLeft { .. } | Notice::Owner(_) => Ok(()),
    }
}
