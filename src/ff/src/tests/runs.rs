//! Whole runs: same bits on any number of threads and as bytes, pinned, and learning.

use ndarray::{Array2, Axis, concatenate};

use super::{Scoped, batch, images, tiny, trained};
use crate::{
    Buffers, Encoding, FirstInput, Inline, LabelEmbedding, Network, NetworkError, NetworkSpec,
    Optimizer, Shard, ShardState, concat, decode, encode, model_hash,
};

const OPTIMIZERS: [Optimizer; 2] = [Optimizer::Sgd, Optimizer::Adam];
const ENCODINGS: [Encoding; 3] = [Encoding::F32, Encoding::U8, Encoding::U4];

#[test]
fn threads_change_no_bit() {
    for optimizer in OPTIMIZERS {
        for shards in [1, 2] {
            let layers = vec![150, 272, 300];
            let steps = 5;
            let default = tiny(optimizer, Encoding::U8, shards);
            let spec = NetworkSpec { layers, steps, dropout: 0.2, ..default };
            let alone = trained(&spec, &Inline);
            let (pixels, labels) = images(&spec, 99);
            let score = alone.evaluate(&pixels, &labels, &Inline);
            for count in [1, 2, 3] {
                let together = trained(&spec, &Scoped(count));
                assert_eq!(together, alone, "{optimizer:?}, {shards} shards, {count} workers");
                assert_eq!(together.evaluate(&pixels, &labels, &Scoped(count)), score);
            }
        }
    }
}

#[test]
fn a_run_is_pinned() {
    let mut hashes = Vec::new();
    for optimizer in OPTIMIZERS {
        for encoding in ENCODINGS {
            for shards in [1, 2] {
                let network = trained(&tiny(optimizer, encoding, shards), &Inline);
                hashes.push(model_hash(&network.tensors()).to_hex()[..16].to_owned());
            }
        }
    }
    assert_eq!(hashes, PINNED);
}

/// Optimiser by optimiser, encoding by encoding, 1 and 2 shards. On processors with fused multiply-add.
const PINNED: [&str; 12] = [
    "bae42eea600827e5",
    "037b942a3a817857",
    "55d4d60920e231b4",
    "30a54b4ccbd78276",
    "d74dbdb4dc5f9a18",
    "f1d89196ffcc94a8",
    "a1d0ec1263315829",
    "2f2975c87fecfe43",
    "1d23e582c14203d0",
    "692addc3dc1b48f8",
    "386c6bc4cf8e1280",
    "aab6f0f2679b81cf",
];

#[test]
fn shards_that_talk_in_bytes_are_the_network() {
    for (encoding, shards) in
        ENCODINGS.into_iter().flat_map(|encoding| [(encoding, 1), (encoding, 2)])
    {
        let spec = tiny(Optimizer::Sgd, encoding, shards);
        let mut buffers = Buffers::default();
        let mut states: Vec<ShardState> =
            spec.shards().into_iter().map(|shard| ShardState::init(&spec, shard)).collect();
        for step in 0..spec.steps {
            let input = batch(&spec, step);
            let mut lower = Vec::new();
            for (shard, state) in spec.shards().into_iter().zip(&mut states) {
                if shard.layer == 0 {
                    let (out, _) = state.train_first(&spec, shard, &input, &mut buffers, &Inline);
                    let bytes = encode(&out, &spec, shard);
                    lower.push(decode(&bytes, &spec, shard).unwrap());
                    buffers.give(out.states);
                } else {
                    state.train(
                        &spec,
                        shard,
                        &concat(&lower),
                        &input.labels,
                        &mut buffers,
                        &Inline,
                    );
                }
            }
        }
        let network = trained(&spec, &Inline);
        assert_eq!(states, network.shards());
        assert_eq!(Network::from_shards(spec, states).unwrap(), network);
    }
}

#[test]
fn it_learns() {
    for optimizer in OPTIMIZERS {
        for encoding in ENCODINGS {
            let default = tiny(optimizer, encoding, 2);
            let (lr, head_lr) = (4.0 * default.lr, 10.0 * default.head_lr);
            let spec = NetworkSpec { lr, head_lr, steps: 300, ..default };
            let mut network = Network::init(spec.clone());
            let (first, _) = network.train_step(&batch(&spec, 0), &Inline);
            let mut last = first.clone();
            for step in 1..spec.steps {
                (last, _) = network.train_step(&batch(&spec, step), &Inline);
            }
            for (first, last) in first.iter().zip(&last) {
                assert!(last.loss < 0.6 * first.loss, "{first:?} {last:?}");
                assert!(last.head_loss < 0.8 * first.head_loss, "{first:?} {last:?}");
                assert!(last.positive_goodness > last.negative_goodness);
            }
            let sets: Vec<_> = (1000..1010).map(|step| images(&spec, step)).collect();
            let views: Vec<_> = sets.iter().map(|(pixels, _)| pixels.view()).collect();
            let pixels = concatenate(Axis(0), &views).unwrap();
            let labels: Vec<u8> = sets.iter().flat_map(|(_, labels)| labels.clone()).collect();
            let score = network.evaluate(&pixels, &labels, &Inline);
            assert_eq!(score.samples, 160);
            assert!(score.softmax_correct > 140 && score.goodness_correct > 140, "{score:?}");
            assert_eq!(score.layers_correct[1], score.softmax_correct);
            let right = |said: Vec<u8>| said.iter().zip(&labels).filter(|(a, b)| a == b).count();
            let softmax = right(network.predict_softmax(&pixels, &Inline));
            let goodness = right(network.predict_goodness(&pixels, &Inline));
            assert_eq!(
                (softmax as u32, goodness as u32),
                (score.softmax_correct, score.goodness_correct)
            );
        }
    }
}

/// Evaluation must say what a training pass with that label would have said.
#[test]
fn evaluation_is_the_training_pass() {
    for (depth, label_embedding) in [(1, LabelEmbedding::Append), (2, LabelEmbedding::Overlay)] {
        for shards in [1, 2] {
            let default = tiny(Optimizer::Sgd, Encoding::F32, shards);
            let mut spec = NetworkSpec { label_embedding, ..default };
            spec.layers.truncate(depth + 1);
            let network = trained(&spec, &Inline);
            let (pixels, _) = images(&spec, 500);
            let softmax = network.predict_softmax(&pixels, &Inline);
            let goodness = network.predict_goodness(&pixels, &Inline);
            for image in 0..pixels.nrows() {
                let one = pixels.select(Axis(0), &[image]);
                let total = |label: u8| {
                    let input = FirstInput::new(&spec, one.clone(), vec![label], vec![label]);
                    let (reports, _) = network.clone().train_step(&input, &Inline);
                    let counted = &reports[reports.len() - shards..];
                    let said = counted.iter().all(|report| report.correct == 1);
                    (counted.iter().map(|report| report.positive_goodness).sum::<f32>(), said)
                };
                let totals: Vec<(f32, bool)> = (0..4).map(total).collect();
                let best = totals.iter().map(|total| total.0).fold(0.0, f32::max);
                assert!(totals[usize::from(goodness[image])].0 >= best * 0.99999);
                if shards == 1 {
                    assert!(totals[usize::from(softmax[image])].1);
                }
            }
        }
    }
}

#[test]
fn a_model_goes_through_its_tensors() {
    for (shards, inputs) in [(1, 20), (2, 24)] {
        let mut spec = tiny(Optimizer::Adam, Encoding::F32, shards);
        if inputs == 24 {
            spec.label_embedding = LabelEmbedding::Append;
        }
        let network = trained(&spec, &Inline);
        let mut tensors = network.tensors();
        let shapes: Vec<_> = tensors.iter().map(|t| (t.name.as_str(), t.shape.clone())).collect();
        assert_eq!(shapes[0], ("layers.0.weight", vec![32, inputs]));
        assert_eq!(shapes[4], ("layers.1.bias", vec![32]));
        assert_eq!(shapes[5], ("heads.1.weight", vec![4, 32]));
        let hash = model_hash(&tensors);
        assert_eq!(network.model_hash(), hash);
        tensors.reverse();
        assert_eq!(model_hash(&tensors), hash);
        let copy = Network::from_tensors(spec.clone(), &tensors).unwrap();
        assert_eq!(model_hash(&copy.tensors()), hash);
        let (pixels, labels) = images(&spec, 77);
        assert_eq!(
            copy.evaluate(&pixels, &labels, &Inline),
            network.evaluate(&pixels, &labels, &Inline)
        );
        tensors[0].data[0] = f32::NAN;
        let refused = Network::from_tensors(spec.clone(), &tensors);
        assert!(matches!(refused, Err(NetworkError::Tensor { .. })));
        tensors[0].data[0] = 0.0;
        assert_ne!(model_hash(&tensors), hash);
    }
}

#[test]
fn parts_of_another_network_are_refused() {
    let spec = tiny(Optimizer::Sgd, Encoding::F32, 1);
    let mut states = Network::init(spec.clone()).into_shards();
    states[1].head.value = Array2::zeros((32, 5));
    let refused = Network::from_shards(spec.clone(), states.clone());
    assert_eq!(refused, Err(NetworkError::Shape(Shard { layer: 1, index: 0 })));
    states.pop();
    let refused = Network::from_shards(spec, states);
    assert_eq!(refused, Err(NetworkError::Shards { expected: 2, found: 1 }));
}
