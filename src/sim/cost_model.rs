//! The cost of the work of a run, on any machine whose speed is known.
//!
//! Rule: everything is counted in floating point operations of whole training steps, as
//! `ffp2p bench step` counts them, so that one number describes a machine: one that trains twice as
//! fast also encodes and encrypts twice as fast.

use ffp2p_proto::{Plan, ShardId, sim::Costs};

use crate::{
    bench::StepCost,
    checkpoint,
    ff::{NetworkSpec, Objective, Shard, encoded_len},
};

/// Operations, in thousands of millions.
type Gflop = f64;

/// Thousands of multiply-accumulates, the simulator's unit, in a GFLOP.
const KILOMACS: f64 = 5e5;

/// Millions of multiply-accumulates per second of a machine of `gflops`.
pub(super) fn macs(gflops: f64) -> u64 {
    (gflops * 500.0).max(1.0) as u64
}

fn kilomacs(work: Gflop) -> u64 {
    (work * KILOMACS).max(0.0) as u64
}

/// The cost of each kind of work.
#[derive(Clone, Debug, PartialEq)]
pub struct CostModel {
    /// Cost of a step by layer, in operations of its products.
    pub layers: Vec<f64>,
    /// Drawing one generated training image.
    pub drawing: Gflop,
    /// Encoding and hashing a megabyte of activations.
    pub encoding: Gflop,
    /// Decoding a megabyte of activations.
    pub decoding: Gflop,
    /// Work of the decisions and the store for a step of a shard.
    pub handling: Gflop,
    /// Sending or receiving a megabyte.
    pub megabyte: Gflop,
    /// Sending or receiving a message or a request; receiving a gossiped message.
    pub message: Gflop,
    /// Sending a gossiped message to one peer of many, or receiving it once more.
    pub copy: Gflop,
}

/// Costs measured on one core of 50 to 100 GFLOP/s (docs/PERFORMANCE.md), those of the network and the
/// decisions next to shards of infinite width.
const MEASURED: CostModel = CostModel {
    layers: Vec::new(),
    drawing: 0.0008,
    encoding: 0.05,
    decoding: 0.035,
    handling: 0.0065,
    megabyte: 0.34,
    message: 0.034,
    copy: 0.007,
};

/// Units of shards with which a machine trains half as fast, in operations, as with infinite ones.
const HALF_SPEED_UNITS: f64 = 112.0;

/// Cost of a step of the first layer, in operations of its products: it gathers and rounds as well, and
/// has the fewest products to hide that behind.
const FIRST_LAYER: f64 = 1.0;

/// The part of its full speed at which a machine trains such shards: in narrow ones their products hide
/// less of the rest. Its network work does not get slower with them.
fn reach(network: &NetworkSpec) -> f64 {
    let shards = network.shards();
    let units: usize = shards.iter().map(|&shard| network.width(shard)).sum();
    let mean = units as f64 / shards.len().max(1) as f64;
    mean / (mean + HALF_SPEED_UNITS)
}

impl CostModel {
    /// These costs of layers and of drawing, and the measured ones of everything else.
    fn with_layers(network: &NetworkSpec, layers: Vec<f64>, drawing: Gflop) -> Self {
        let reach = reach(network);
        let [handling, megabyte, message, copy] =
            [MEASURED.handling, MEASURED.megabyte, MEASURED.message, MEASURED.copy]
                .map(|work| work * reach);
        Self { layers, drawing, handling, megabyte, message, copy, ..MEASURED }
    }

    /// The default costs, where nothing was measured. `gflops` count whole steps, so the layers share
    /// out the cost of the steps.
    #[must_use]
    pub fn default_for(network: &NetworkSpec, is_drawn: bool) -> Self {
        let first = Shard { layer: 0, index: 0 };
        let all: f64 =
            network.shards().into_iter().map(|shard| network.step_macs(shard) as f64).sum();
        let share = (network.step_macs(first) * network.shards_per_layer as u64) as f64 / all;
        let others = (1.0 - FIRST_LAYER * share) / (1.0 - share).max(1e-9);
        let layer = |layer| if layer == 0 { FIRST_LAYER } else { others };
        let is_alone = network.depth() == 1;
        let layers = (0..network.depth()).map(|it| if is_alone { 1.0 } else { layer(it) });
        let drawing = if is_drawn { MEASURED.drawing } else { 0.0 };
        Self::with_layers(network, layers.collect(), drawing)
    }

    /// The costs measured on this machine, and its GFLOP/s.
    #[must_use]
    pub fn measured(network: &NetworkSpec, cost: &StepCost, drawing_seconds: f64) -> (Self, f64) {
        let gflops = cost.operations as f64 / cost.step / 1e9;
        let spent = |layer: usize| {
            let phases = cost.phases.iter().filter(|it| it.layer == layer).map(|it| it.seconds);
            phases.sum::<f64>() + if layer == 0 { cost.input } else { 0.0 }
        };
        let layers = 0..network.depth();
        let all: f64 = layers.clone().map(spent).sum();
        let factor = |layer: usize| {
            let macs =
                network.step_macs(Shard { layer, index: 0 }) * network.shards_per_layer as u64;
            spent(layer) / all * cost.operations as f64 / (2.0 * macs as f64)
        };
        let layers = layers.map(factor).collect();
        (Self::with_layers(network, layers, drawing_seconds * gflops), gflops)
    }

    /// The cost of a step of a shard in `ffp2p train`.
    pub(super) fn step(&self, network: &NetworkSpec, shard: Shard) -> Gflop {
        let factor = self.layers.get(shard.layer).copied().unwrap_or(1.0);
        2.0 * network.step_macs(shard) as f64 / 1e9 * factor
    }

    /// The cost of scoring test samples: the neutral pass, and one for each label where labels enter the
    /// input; there the first layer's passes share one product.
    pub(super) fn scoring(&self, network: &NetworkSpec, samples: u32) -> Gflop {
        let passes = match network.objective {
            Objective::Goodness => 1 + network.classes,
            Objective::Softmax => 1,
        };
        let macs = |shard: Shard| {
            let passes = if shard.layer == 0 { 1 } else { passes };
            (network.input_width(shard) * network.width(shard) * passes) as f64
        };
        let all: f64 = network.shards().into_iter().map(macs).sum();
        2.0 * all * f64::from(samples) / 1e9
    }

    /// All costs for the simulator; `scored` test samples are scored after an epoch.
    pub(super) fn costs(
        &self,
        network: &NetworkSpec,
        plan: &Plan,
        train_samples: u32,
        scored: u32,
    ) -> Costs {
        let layers = || (0..network.depth()).map(|layer| Shard { layer, index: 0 });
        let megabytes = |shard| encoded_len(network, shard) as f64 / 1e6;
        // A layer's shards that do a step one after the other decode what they read once. Where a shard
        // does a whole chapter before the next one does, each decodes all of it.
        let batches = if plan.is_by_chapter() { network.shards_per_layer as f64 } else { 1.0 };
        let read = |shard: Shard| {
            let below = shard.layer.checked_sub(1).map(|layer| Shard { layer, index: 0 });
            below.map_or(0.0, |below| batches * megabytes(below))
        };
        let made = |shard: Shard| {
            let is_read =
                !plan.readers(ShardId((shard.layer * network.shards_per_layer) as u16)).is_empty();
            if is_read { megabytes(shard) } else { 0.0 }
        };
        let exchanging =
            |shard| self.handling + self.encoding * made(shard) + self.decoding * read(shard);
        let refreshing = |shard: Shard| {
            let forward = 2.0 * (network.input_width(shard) * network.width(shard)) as f64 / 1e9;
            let passes = if shard.layer == 0 { 1 } else { network.objective.passes() };
            forward * (passes * network.batch_size) as f64 + exchanging(shard)
        };
        let table = self.encoding * f64::from(train_samples) / 1e6;
        let state = |shard| self.encoding * checkpoint::encoded_len(network, shard, 0) as f64 / 1e6;
        // Its numbers are rounded, whatever bytes they are sent in.
        let change = |shard: Shard| {
            let numbers = network.input_width(shard) * network.width(shard);
            self.encoding * 4.0 * numbers as f64 / 1e6
        };
        let top = network.feedback_shard().map_or(0.0, |shard| {
            self.decoding * megabytes(Shard { layer: shard.layer - 1, index: 0 })
        });
        let list = |work: &dyn Fn(Shard) -> Gflop, feedback: Gflop| {
            layers().map(|shard| kilomacs(work(shard))).chain([kilomacs(feedback)]).collect()
        };
        Costs {
            train: list(&|shard| self.step(network, shard) + exchanging(shard), top),
            refresh: list(&refreshing, 0.0),
            checkpoint: list(&state, table),
            change: list(&change, 0.0),
            evaluate: kilomacs(self.scoring(network, scored)),
            prepare: kilomacs(self.drawing * f64::from(train_samples)),
            message: kilomacs(self.message),
            copy: kilomacs(self.copy),
            megabyte: kilomacs(self.megabyte),
            spread: SPREAD,
            least_us: 1,
        }
    }
}

/// Random deviation of the time of a step, at most, per mille.
const SPREAD: u64 = 30;
