//! The samples of each step: the spec's order over the data set.
//!
//! Rule: a step's samples, images, labels and negatives follow from the spec, the data set and the
//! step number alone, so every peer that has the data set sees the same, wherever it starts.

use ffp2p_proto::Plan;
use ndarray::Array2;

use crate::{
    data::{Batches, Data, Shape, gather_in},
    ff::{
        Fault, FeedbackTable, FirstInput, Frame, NetworkSpec, augment, epoch_order, negative_labels,
    },
    spec::{Checked, Spec},
};

/// The order of an epoch's samples.
type Order = Box<dyn Fn(u64) -> Vec<u32> + Send>;

/// A spec with its data set, step by step.
pub struct Schedule {
    spec: Spec,
    data: Data,
    batches: Batches<Order>,
    threads: usize,
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schedule").field("data", &self.data).finish_non_exhaustive()
    }
}

impl Schedule {
    /// The schedule of a checked spec; generated images are drawn on `threads` threads.
    ///
    /// # Errors
    /// If the batch size does not fit the data set, which a checked spec's does.
    pub fn new(checked: &Checked, threads: usize) -> Result<Self, crate::data::BatchSizeError> {
        let (seed, n) = (checked.spec.network.seed, checked.data.shape().train);
        let order: Order = Box::new(move |epoch| epoch_order(seed, epoch, n));
        let batch_size = checked.spec.network.batch_size as u32;
        let batches = Batches::new(n, batch_size, order)?;
        Ok(Self { spec: checked.spec.clone(), data: checked.data.clone(), batches, threads })
    }

    /// The mathematics.
    pub fn network(&self) -> &NetworkSpec {
        &self.spec.network
    }

    /// The run as the decisions see it.
    pub fn plan(&self) -> Plan {
        self.spec.plan()
    }

    /// Draws generated training images, which takes seconds; others are there already.
    pub fn draw(&self, threads: usize) {
        self.data.train(threads);
    }

    /// The right labels of a step.
    pub fn labels(&mut self, step: u64) -> Vec<u8> {
        let samples = self.batches.samples(step);
        labels_of(&self.data, &samples)
    }

    /// One step of the feedback shard, from the logits of the last layer.
    ///
    /// # Errors
    /// As [`FeedbackTable::learn`].
    pub fn draw_wrong_labels(
        &mut self,
        table: &mut FeedbackTable,
        logits: &Array2<f32>,
    ) -> Result<(), Fault> {
        let samples = self.batches.samples(table.step());
        let labels = labels_of(&self.data, &samples);
        table.learn(&self.spec.network, &samples, &labels, logits)
    }

    /// The feedback shard's table before its first step.
    pub fn first_table(&self) -> FeedbackTable {
        FeedbackTable::init(self.samples())
    }

    /// Number of training samples.
    pub fn samples(&self) -> usize {
        self.data.shape().train as usize
    }

    /// The input of the first layer in a step; `table` is that of the feedback shard which its chapter
    /// reads. The memory of `old` is used for the images, if it has their shape.
    pub fn first_input(
        &mut self,
        step: u64,
        table: Option<&FeedbackTable>,
        old: Array2<f32>,
    ) -> FirstInput {
        let samples = self.batches.samples(step);
        let network = &self.spec.network;
        let labels = labels_of(&self.data, &samples);
        let epoch = self.batches.epoch(step);
        let negatives = negative_labels(network, epoch, &samples, &labels, table);
        let mut pixels = gather_in(old, self.data.train(self.threads), &samples);
        augment(network, epoch, &samples, frame(self.data.shape()), &mut pixels);
        FirstInput::new(network, pixels, labels, negatives)
    }
}

/// The order of a sample's pixels.
fn frame(shape: Shape) -> Frame {
    Frame { channels: shape.channels, height: shape.height, width: shape.columns() }
}

fn labels_of(data: &Data, samples: &[u32]) -> Vec<u8> {
    let labels = data.train_labels();
    samples.iter().map(|&sample| labels[sample as usize]).collect()
}
