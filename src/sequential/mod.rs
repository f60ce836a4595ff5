//! The sequential reference: every cell of a run in one process, chapter by chapter.
//!
//! Rule: this is the definition: every placement has to give these bytes.

mod saved;

pub(crate) use saved::NO_NODE;

use std::collections::VecDeque;
use std::ops::Range;

use ffp2p_proto::Plan;
use ndarray::Array2;

use crate::{
    diverged::Diverged,
    ff::{
        Activations, Below, Change, Fault, FeedbackTable, FirstInput, Mean, Network, Shard,
        ShardState, StepReport, Workers, concat, decode, encode,
    },
    schedule::Schedule,
    spec::{ActivationKind, Spec},
};

/// The outputs of a layer in a chapter: encoded, by step and shard.
type Encoded = Vec<Vec<Vec<u8>>>;

/// A run that is trained in one process.
#[derive(Debug)]
pub struct Sequential {
    spec: Spec,
    plan: Plan,
    schedule: Schedule,
    network: Network,
    /// The feedback shard, where there is one.
    table: Option<FeedbackTable>,
    /// Its table at the ends of as many chapters as there are layers, the oldest first.
    tables: VecDeque<FeedbackTable>,
    /// Memory for the next step's images.
    pixels: Array2<f32>,
}

/// The course of a chapter, by shard.
struct Tally<'a> {
    /// Summed losses.
    losses: Vec<f64>,
    /// Steps of the run that are done.
    done: Vec<u64>,
    go_on: &'a mut dyn FnMut(&[u64]) -> bool,
}

impl Tally<'_> {
    /// Takes note of a step of the shards from `first` on. False when the chapter is to end there.
    fn add(&mut self, first: usize, step: u64, reports: &[StepReport]) -> bool {
        for (shard, report) in (first..).zip(reports) {
            self.losses[shard] += f64::from(report.loss);
            self.done[shard] = step + 1;
        }
        (self.go_on)(&self.done)
    }
}

impl Sequential {
    /// The run before its first step.
    pub fn new(spec: Spec, schedule: Schedule) -> Self {
        let network = Network::init(spec.network.clone());
        let table = spec.network.feedback_shard().map(|_| schedule.first_table());
        let (tables, pixels) = (VecDeque::new(), Array2::default((0, 0)));
        Self { plan: spec.plan(), spec, schedule, network, table, tables, pixels }
    }

    /// Steps done; `None` where it was stopped while a layer is ahead of another, as in the middle
    /// of a refreshed chapter.
    pub fn step(&self) -> Option<u64> {
        let mut steps = self.network.shards().iter().map(|shard| shard.step);
        let first = steps.next()?;
        let is_one = steps.all(|step| step == first);
        (is_one && self.may_begin_at(first)).then_some(first)
    }

    /// Whether a run can be continued after `step` steps.
    fn may_begin_at(&self, step: u64) -> bool {
        !self.spec.network.is_merged() && self.spec.activations == ActivationKind::Online
            || self.plan.is_boundary(step)
    }

    /// The network as trained so far.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The network as trained so far.
    pub fn into_network(self) -> Network {
        self.network
    }

    /// Continues with another schedule, that of the next peer where each has private data. Returns the
    /// one before.
    pub fn take_up(&mut self, schedule: Schedule) -> Schedule {
        std::mem::replace(&mut self.schedule, schedule)
    }

    /// Trains a chapter, the one after the last. Returns the mean loss of each shard.
    ///
    /// # Errors
    /// If a shard has a fault: at the step that shows it, or at the chapter's end.
    pub fn chapter(&mut self, chapter: u64, workers: &dyn Workers) -> Result<Vec<f64>, Diverged> {
        let losses = self.chapter_while(chapter, workers, &mut |_| true)?;
        Ok(losses.unwrap_or_default())
    }

    /// The same, or what is left of the chapter that was stopped, while `go_on` says so: it is asked
    /// after each step of a layer and told how many steps of the run each shard has done. Returns
    /// nothing when it stopped the chapter before its end; losses are over the steps done now.
    ///
    /// # Errors
    /// As [`Sequential::chapter`].
    pub fn chapter_while(
        &mut self,
        chapter: u64,
        workers: &dyn Workers,
        go_on: &mut dyn FnMut(&[u64]) -> bool,
    ) -> Result<Option<Vec<f64>>, Diverged> {
        let steps = self.plan.chapter_start(chapter)..self.plan.chapter_start(chapter + 1);
        let begun = self.step().filter(|step| steps.contains(step)).unwrap_or(steps.start);
        let (steps, end, count) = (begun..steps.end, steps.end, steps.end - begun);
        let shards = self.network.shards().len();
        let mut tally = Tally { losses: vec![0.0; shards], done: vec![begun; shards], go_on };
        let is_through = if self.spec.network.is_merged() {
            self.branches(chapter, &mut tally, workers)?
        } else {
            self.steps(steps, &mut tally, workers)?
        };
        self.check(0, self.network.shards().iter().map(ShardState::fault), end)?;
        if !is_through {
            return Ok(None);
        }
        if let Some(table) = &self.table {
            self.tables.push_back(table.clone());
            if self.tables.len() > self.spec.network.depth() {
                self.tables.pop_front();
            }
        }
        Ok(Some(tally.losses.iter().map(|sum| sum / count.max(1) as f64).collect()))
    }

    /// Trains steps, one after the other. False when it was stopped.
    fn steps(
        &mut self,
        steps: Range<u64>,
        tally: &mut Tally<'_>,
        workers: &dyn Workers,
    ) -> Result<bool, Diverged> {
        match self.spec.activations {
            ActivationKind::Online => self.online(steps, tally, workers),
            ActivationKind::Refreshed => self.refreshed(steps, tally, workers),
        }
    }

    /// Trains each branch of a chapter from the chapter's start, and takes the mean of what they changed.
    /// False when it was stopped; then the network is as it was at the start.
    fn branches(
        &mut self,
        chapter: u64,
        tally: &mut Tally<'_>,
        workers: &dyn Workers,
    ) -> Result<bool, Diverged> {
        let start = self.network.shards().to_vec();
        let mut means: Vec<Mean> = Vec::new();
        for branch in 0..self.plan.branches_of(chapter) {
            let steps = self.plan.branch_steps(chapter, branch);
            let begin = |state: &ShardState| ShardState { step: steps.start, ..state.clone() };
            drop(self.network.replace_shards(start.iter().map(begin).collect()));
            if !self.steps(steps.clone(), tally, workers)? {
                drop(self.network.replace_shards(start));
                return Ok(false);
            }
            self.check(0, self.network.shards().iter().map(ShardState::fault), steps.end)?;
            let ends = self.network.replace_shards(Vec::new());
            let spec = &self.spec.network;
            let changes =
                start.iter().zip(ends).map(|(start, end)| Change::between(spec, start, end));
            if means.is_empty() {
                means = changes.map(Mean::of).collect();
            } else {
                means.iter_mut().zip(changes).for_each(|(mean, change)| mean.add(&change));
            }
        }
        let steps = self.plan.chapter_start(chapter)..self.plan.chapter_start(chapter + 1);
        let (spec, branches) = (&self.spec.network, self.plan.branches_of(chapter));
        let merged = start.iter().zip(means);
        let merged = merged
            .map(|(start, mean)| mean.finish(spec).applied(spec, start, steps.clone(), branches));
        let merged = merged.collect();
        drop(self.network.replace_shards(merged));
        Ok(true)
    }

    /// Whether the shards from layer `first` on have none of these faults after `step` steps.
    fn check(
        &self,
        first: usize,
        faults: impl Iterator<Item = Option<Fault>>,
        step: u64,
    ) -> Result<(), Diverged> {
        let spec = &self.spec.network;
        let shards = spec.shards().into_iter().skip(first * spec.shards_per_layer);
        match shards.zip(faults).find_map(|(shard, fault)| Some((shard, fault?))) {
            Some((shard, fault)) => Err(Diverged::new(spec, shard, step, fault)),
            None => Ok(()),
        }
    }

    /// The input of the first layer in a step: wrong labels are as many chapters old as there are layers.
    fn images(&mut self, step: u64) -> FirstInput {
        let is_old = self.tables.len() == self.spec.network.depth();
        let table = self.tables.front().filter(|_| is_old);
        self.schedule.first_input(step, table, std::mem::take(&mut self.pixels))
    }

    fn learn(&mut self, logits: &Array2<f32>, step: u64) -> Result<(), Diverged> {
        let (spec, Some(table)) = (&self.spec.network, &mut self.table) else { return Ok(()) };
        let drawn = self.schedule.draw_wrong_labels(table, logits);
        drawn.map_err(|fault| Diverged::new(spec, spec.top_shard(), step + 1, fault))
    }

    /// A step of every shard, then the next step. False when it was stopped.
    fn online(
        &mut self,
        steps: Range<u64>,
        tally: &mut Tally<'_>,
        workers: &dyn Workers,
    ) -> Result<bool, Diverged> {
        for step in steps.clone() {
            let input = self.images(step);
            let (reports, logits) = self.network.train_step(&input, workers);
            self.check(0, reports.iter().map(|report| report.fault), step + 1)?;
            self.learn(&logits, step)?;
            self.pixels = input.pixels;
            if !tally.add(0, step, &reports) {
                return Ok(step + 1 == steps.end);
            }
        }
        Ok(true)
    }

    /// All steps of a layer, then all its outputs, then the next layer. False when it was stopped.
    fn refreshed(
        &mut self,
        steps: Range<u64>,
        tally: &mut Tally<'_>,
        workers: &dyn Workers,
    ) -> Result<bool, Diverged> {
        let mut below: Encoded = Vec::new();
        for layer in 0..self.spec.network.depth() {
            let first = layer * self.spec.network.shards_per_layer;
            for (at, step) in steps.clone().enumerate() {
                let train = |network: &mut Network, below: &Below<'_>| {
                    let (shards, reports) = network.train_layer(layer, below, workers);
                    network.give(shards);
                    reports
                };
                let reports = self.on_input(layer, step, below.get(at), train)?;
                self.check(layer, reports.iter().map(|report| report.fault), step + 1)?;
                if !tally.add(first, step, &reports) {
                    return Ok(false);
                }
            }
            let is_read = layer + 1 < self.spec.network.depth() || self.table.is_some();
            let mut handed_on = Vec::new();
            for (at, step) in steps.clone().enumerate().filter(|_| is_read) {
                let hand_on = |network: &mut Network, below: &Below<'_>| {
                    network.forward(layer, step, below, workers)
                };
                let shards = self.on_input(layer, step, below.get(at), hand_on)?;
                self.check(layer, shards.iter().map(Activations::fault), step + 1)?;
                handed_on.push(self.encoded(layer, &shards));
                self.network.give(shards);
            }
            below = handed_on;
        }
        for (at, step) in steps.enumerate().filter(|_| self.table.is_some()).collect::<Vec<_>>() {
            let depth = self.spec.network.depth();
            let top = self.decoded(depth, step, below.get(at))?;
            self.learn(&top.logits, step)?;
        }
        Ok(true)
    }

    /// Runs `work` on the network and the input of a layer in a step.
    fn on_input<T>(
        &mut self,
        layer: usize,
        step: u64,
        below: Option<&Vec<Vec<u8>>>,
        work: impl Fn(&mut Network, &Below<'_>) -> T,
    ) -> Result<T, Diverged> {
        if layer == 0 {
            let input = self.images(step);
            let done = work(&mut self.network, &Below::Images(&input));
            self.pixels = input.pixels;
            return Ok(done);
        }
        let read = self.decoded(layer, step, below)?;
        let labels = self.schedule.labels(step);
        Ok(work(&mut self.network, &Below::Layer(&read, &labels)))
    }

    fn encoded(&self, layer: usize, shards: &[Activations]) -> Vec<Vec<u8>> {
        let spec = &self.spec.network;
        let encode = |(shard, it)| encode(it, spec, Shard { layer, index: shard });
        shards.iter().enumerate().map(encode).collect()
    }

    /// The input of `layer` in a step; outputs without a fault can be decoded.
    fn decoded(
        &self,
        layer: usize,
        step: u64,
        below: Option<&Vec<Vec<u8>>>,
    ) -> Result<Activations, Diverged> {
        let below = below.into_iter().flatten();
        let shard = |index| Shard { layer: layer - 1, index };
        let decode =
            |(index, bytes): (usize, &Vec<u8>)| decode(bytes, &self.spec.network, shard(index));
        let shards: Result<Vec<Activations>, _> = below.enumerate().map(decode).collect();
        let (spec, below) = (&self.spec.network, Shard { layer: layer - 1, index: 0 });
        let overflown = |_| Diverged::new(spec, below, step + 1, Fault::Weights);
        shards.map(|shards| concat(&shards)).map_err(overflown)
    }
}
