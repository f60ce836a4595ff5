//! One simulated node: the decisions and a shell of maps and queues around them.
//!
//! Rule: like a real shell it answers everything exactly once and decides nothing; and its clock
//! agrees with no other node's.

use std::collections::BTreeMap;

use crate::sim::checks::facts::Facts;
use crate::sim::checks::watch::Watch;
use crate::sim::clock::Moment;
use crate::sim::machine::store::Store;
use crate::sim::machine::trainer::Trainer;
use crate::sim::rng::Rng;
use crate::sim::scenario::{Machine, Scenario};
use crate::{
    BlobRef, Checkpoint, Hash, Input, NodeId, Notice, Output, Score, ShardId, State, Time,
};

/// The checkpoints that survive a crash: those that were kept and not dropped, by shard and step.
pub(crate) type Disk = BTreeMap<(ShardId, u64), (Checkpoint, Vec<u8>)>;

/// A fetch that was asked for and not yet answered.
#[derive(Debug)]
struct Pending {
    blob: BlobRef,
    from: NodeId,
    /// The moment at which it will be here, once it is under way.
    arrives: Moment,
}

/// A moment of the simulation on a clock that showed `begin` at its start.
fn on_clock(now: Moment, begin: u64, rate: u64) -> Time {
    Time(begin + now.0 * rate / 1_000_000)
}

/// One process.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) machine: usize,
    pub(crate) state: State,
    pub(crate) alive: bool,
    /// It does nothing until then.
    pub(crate) stalled: Moment,
    /// Its own time at the simulation's start.
    clock: u64,
    /// Milliseconds that its clock counts in a second.
    clock_rate: u64,
    pub(crate) store: Store,
    pub(crate) disk: Disk,
    pub(crate) trainer: Trainer,
    fetches: BTreeMap<u64, Pending>,
    next_fetch: u64,
    /// The moment at which it will be woken.
    pub(crate) wake: Option<Moment>,
    /// Checks it; a run that is predicted is not checked.
    watch: Option<Watch>,
    /// The moment at which it was asked to leave.
    pub(crate) leaving: Option<Moment>,
    /// Whether it ended because the run was done, and not because it was asked to.
    pub(crate) is_done: bool,
    /// The whole model, once it has it.
    pub(crate) complete: Option<Vec<Hash>>,
    /// The scores that it was notified of, by epoch.
    pub(crate) scores: BTreeMap<u64, Score>,
}

impl Node {
    /// A process that starts now on a machine with `disk`.
    pub(crate) fn new(
        scenario: &Scenario,
        (number, machine): (usize, usize),
        what: &Machine,
        disk: Disk,
        now: Moment,
    ) -> Self {
        let mut rng = Rng::new(scenario.seed, &format!("node {number}"));
        let mut key = [0; 32];
        for part in key.chunks_mut(8) {
            part.copy_from_slice(&rng.any().to_le_bytes());
        }
        let (id, clock) = (NodeId(key), rng.below(1_000_000));
        let plan = scenario.plan.clone();
        let config = scenario.config_of(what);
        let own = on_clock(now, clock, what.clock_rate);
        let state = State::new(id, what.role, plan, config, own);
        let mathematics = scenario.mathematics_of(machine);
        let trainer = Trainer::new(scenario, what.speed, rng, mathematics);
        let store = disk.values().map(|(it, bytes)| (it.blob.hash, bytes.clone())).collect();
        Self {
            id,
            machine,
            state,
            alive: true,
            stalled: Moment(0),
            clock,
            clock_rate: what.clock_rate,
            store,
            disk,
            trainer,
            fetches: BTreeMap::new(),
            next_fetch: 0,
            wake: None,
            watch: scenario.costs.is_none().then(|| Watch::new(id, what.role)),
            leaving: None,
            is_done: false,
            complete: None,
            scores: BTreeMap::new(),
        }
    }

    /// The moment at which its decisions want to be woken, on the simulation's clock.
    pub(crate) fn next_wakeup(&self) -> Moment {
        let ticks = self.state.next_wakeup().0.saturating_sub(self.clock);
        Moment((ticks * 1_000_000).div_ceil(self.clock_rate))
    }

    /// Hands an input to the decisions; returns their outputs, neither checked nor carried out.
    pub(crate) fn handle(&mut self, input: Input, now: Moment) -> Vec<Output> {
        if let Some(watch) = &mut self.watch {
            watch.input(&input);
        }
        if let Input::Lost { hash } = &input {
            self.store.lose(*hash);
        }
        self.state.handle(input, on_clock(now, self.clock, self.clock_rate))
    }

    /// Checks one output and carries it out as far as it concerns this node alone.
    pub(crate) fn carry_out(&mut self, facts: &Facts, output: &Output) -> Result<(), String> {
        if let Some(watch) = &mut self.watch {
            watch.output(facts, &self.store, output)?;
        }
        if let Output::Drop(hash) = output {
            self.store.remove(hash);
            self.disk.retain(|_, (checkpoint, _)| checkpoint.blob.hash != *hash);
        } else if let Output::Keep(checkpoint) = output
            && let Some(bytes) = self.store.get(&checkpoint.blob.hash)
        {
            let cell = (checkpoint.shard, checkpoint.step);
            self.disk.insert(cell, (*checkpoint, bytes.clone()));
        } else if let Output::Notify(Notice::Complete(list)) = output
            && !list.iter().any(|it| facts.junk.contains(&it.blob.hash))
        {
            self.complete = Some(list.iter().map(|it| it.blob.hash).collect());
        } else if let Output::Notify(Notice::Score(score)) = output {
            self.scores.insert(score.epoch, *score);
        }
        Ok(())
    }

    /// Checks what must hold between two events; with `looks`, also what a view shows.
    pub(crate) fn after(&mut self, facts: &Facts, looks: bool) -> Result<(), String> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        let snapshot = looks.then(|| self.state.snapshot());
        watch.after(facts, &self.store, snapshot.as_ref())
    }

    /// Notes a fetch; its number names it until it is answered.
    pub(crate) fn begin_fetch(&mut self, blob: BlobRef, from: NodeId) -> u64 {
        self.next_fetch += 1;
        self.fetches.insert(self.next_fetch, Pending { blob, from, arrives: Moment(0) });
        self.next_fetch
    }

    /// Answers a fetch with what arrived; `None` when it was answered before.
    pub(crate) fn end_fetch(&mut self, token: u64, bytes: Option<Vec<u8>>) -> Option<Input> {
        let Pending { blob, from, .. } = self.fetches.remove(&token)?;
        match bytes {
            Some(bytes) if self.trainer.name(&bytes) == blob => {
                self.store.insert(blob.hash, bytes);
                Some(Input::Fetched { hash: blob.hash })
            }
            found => Some(Input::FetchFailed { hash: blob.hash, from, lied: found.is_some() }),
        }
    }

    /// The blob of a fetch is under way and will be here at `arrives`.
    pub(crate) fn expect_blob(&mut self, token: u64, arrives: Moment) {
        if let Some(pending) = self.fetches.get_mut(&token) {
            pending.arrives = arrives;
        }
    }

    /// The moment at which the blob of a fetch will be here; `None` when it was answered before.
    pub(crate) fn blob_arrives(&self, token: u64) -> Option<Moment> {
        self.fetches.get(&token).map(|pending| pending.arrives)
    }

    /// The numbers of the fetches that `peer` was asked for.
    pub(crate) fn fetches_from(&self, peer: NodeId) -> Vec<u64> {
        let from = self.fetches.iter().filter(|(_, pending)| pending.from == peer);
        from.map(|(&token, _)| token).collect()
    }
}
