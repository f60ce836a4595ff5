//! Tests of jobs: from a lease to what the trainer is asked for, and back.

mod branch;
mod ending;
mod feedback;
mod refusing;
mod shard;

use super::*;
use crate::testing::{Scene, answer};
use crate::{Config, Input, Output, Plan, Role, ShardId};

/// The duty, and what is known and wanted. What the trainer makes is learned at once.
struct Bench {
    scene: Scene,
    jobs: Jobs,
    facts: Vec<Fact>,
}

impl Bench {
    fn new(plan: Plan) -> Self {
        Self::with(plan, Config::default())
    }

    fn with(plan: Plan, config: Config) -> Self {
        let scene = Scene::with(Role::Worker, plan, config);
        Self { scene, jobs: Jobs::default(), facts: Vec::new() }
    }

    /// These leases come to stand.
    fn lease(&mut self, leases: &[Lease]) -> Vec<Output> {
        let Self { scene, jobs, .. } = self;
        for &lease in leases {
            assert!(scene.known.merge_lease(lease, &mut scene.out));
            jobs.on_lease(lease, &scene.known, &mut scene.out);
        }
        self.wanted()
    }

    /// Outputs for the shell; facts are put by.
    fn wanted(&mut self) -> Vec<Output> {
        let (mut outputs, facts) = self.scene.drain();
        for fact in facts {
            if let Fact::Made(checkpoint) = fact {
                self.scene.known.made(checkpoint, &mut self.scene.out);
            } else if let Fact::MadeChange(change) = fact {
                self.scene.known.made_change(change, &mut self.scene.out);
            }
            self.facts.push(fact);
        }
        outputs.extend(self.scene.outputs());
        self.publish();
        outputs.retain(|output| !matches!(output, Output::Notify(_)));
        outputs
    }

    fn publish(&mut self) {
        if let Some(view) = self.jobs.view() {
            self.scene.known.publish_jobs(view);
        }
    }

    /// Lets the duty look at what is known, and hand out steps; returns what it wants.
    fn settle(&mut self) -> Vec<Output> {
        self.scene.look();
        let Self { scene, jobs, .. } = self;
        if scene.known.plan().is_by_chapter() {
            jobs.follow(&scene.known, &mut scene.out);
        }
        jobs.settle(&scene.known, &mut scene.out);
        let mut outputs = self.wanted();
        let Self { scene, jobs, .. } = self;
        jobs.hand_out(&scene.known, &mut scene.out);
        outputs.extend(self.wanted());
        outputs
    }

    /// The shell says so; returns what is wanted then.
    fn say(&mut self, input: Input) -> Vec<Output> {
        let Self { scene: Scene { known, out, .. }, jobs, .. } = self;
        if let Input::Loaded { load, ok, .. } = input {
            jobs.loaded(load, ok, out);
        } else if let Input::Trained { load, step, batch, checkpoint, .. } = input {
            jobs.trained(Answered { load, step }, batch, checkpoint, known, out);
        } else if let Input::Refreshed { load, step, batch, .. } = input {
            jobs.refreshed(Answered { load, step }, batch, known, out);
        } else if let Input::Refused { load, step, bad, .. } = input {
            jobs.refused(Answered { load, step }, bad, known, out);
        } else if let Input::Merged { shard, step, outcome } = input {
            jobs.merged((shard, step), outcome, known, out);
        } else if let Input::Fetched { hash } = input {
            jobs.fetched(hash, out);
            known.fetched(hash, out);
        } else if let Input::Lost { hash } = input {
            jobs.lost(hash, known, out);
            known.lose_change(hash, known.me(), out);
            known.lost(hash, out);
        }
        self.wanted()
    }

    /// The trainer does all that it is told, until there is nothing left to do; returns all that was
    /// wanted, in order.
    fn run(&mut self) -> Vec<Output> {
        let mut all = self.settle();
        let mut next = 0;
        while next < all.len() {
            assert!(next < 2_000, "this has no end: {:?}", &all[next - 4..next]);
            if let Some(input) = answer(&all[next]) {
                all.extend(self.say(input));
                all.extend(self.settle());
            }
            next += 1;
        }
        all
    }

    /// The facts found out since the last time.
    fn facts(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts)
    }

    /// Whether a blob is held.
    fn holds(&self, blob: BlobRef) -> bool {
        self.scene.out.holds(blob.hash)
    }
}

/// Shard and step of each load in these.
fn loads(outputs: &[Output]) -> Vec<(u16, u64)> {
    let load = |output: &Output| {
        let Output::Load { shard, step, .. } = output else { return None };
        Some((shard.0, *step))
    };
    outputs.iter().filter_map(load).collect()
}

/// Shard and step of each training step in these.
fn trains(outputs: &[Output]) -> Vec<(u16, u64)> {
    let train = |output: &Output| {
        let Output::Train { shard, step, .. } = output else { return None };
        Some((shard.0, *step))
    };
    outputs.iter().filter_map(train).collect()
}

/// Shard and step of each step in these that is handed on.
fn refreshes(outputs: &[Output]) -> Vec<(u16, u64)> {
    let refresh = |output: &Output| {
        let Output::Refresh { shard, step, .. } = output else { return None };
        Some((shard.0, *step))
    };
    outputs.iter().filter_map(refresh).collect()
}

/// The answer that a load was read, or not.
fn loaded(load: u64, ok: bool) -> Input {
    Input::Loaded { shard: ShardId(0), load, ok }
}

fn refused(load: u64, step: u64, bad: Option<Hash>) -> Input {
    Input::Refused { shard: ShardId(0), load, step, bad }
}
