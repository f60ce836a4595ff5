//! Tests of checkpoints: training goes on from one as if nothing had happened, and no bytes do harm.

use super::*;
use crate::ff::{
    Encoding, FirstInput, Inline, Key, Network, Objective, Parameter, Purpose, negative_labels,
};

/// A network of two layers.
fn tiny(optimizer: Optimizer, shards: usize) -> NetworkSpec {
    let spec = NetworkSpec::default_for(Objective::Goodness, optimizer, vec![20, 32, 32], 4);
    NetworkSpec {
        encoding: Encoding::U8,
        shards_per_layer: shards,
        batch_size: 16,
        steps: 30,
        seed: 42,
        ..spec
    }
}

/// A mini-batch of noise.
fn batch(spec: &NetworkSpec, step: u64) -> FirstInput {
    let mut stream = Key { epoch: step, ..Key::new(spec.seed, Purpose::Data) }.stream();
    let labels: Vec<u8> = (0..spec.batch_size).map(|at| (at % spec.classes) as u8).collect();
    let samples: Vec<u32> = (0..spec.batch_size as u32).collect();
    let negatives = negative_labels(spec, step, &samples, &labels, None);
    let shape = (spec.batch_size, spec.layers[0]);
    let pixels = Array2::from_shape_simple_fn(shape, || stream.unit());
    FirstInput::new(spec, pixels, labels, negatives)
}

fn trained(optimizer: Optimizer, steps: u64) -> Network {
    let mut network = Network::init(tiny(optimizer, 2));
    for step in 0..steps {
        network.train_step(&batch(network.spec(), step), &Inline);
    }
    network
}

fn through_bytes(network: Network) -> Network {
    let spec = network.spec().clone();
    let back = |(shard, state): (&Shard, &ShardState)| {
        let bytes = encode(state, &spec, *shard);
        let state = decode(&bytes, &spec, *shard, state.step).unwrap();
        assert_eq!(decode_head(&bytes, &spec, *shard, state.step), Ok(state.head.value.clone()));
        let weights = decode_weights(&bytes, &spec, *shard, state.step);
        assert_eq!(weights, Ok(state.clone().only_weights()));
        assert_eq!(encode(&state, &spec, *shard), bytes);
        state
    };
    let shards = spec.shards().iter().zip(network.shards()).map(back).collect();
    Network::from_shards(spec.clone(), shards).unwrap()
}

#[test]
fn training_goes_on_as_if_nothing_had_happened() {
    for optimizer in [Optimizer::Sgd, Optimizer::Adam] {
        let mut stopped = through_bytes(trained(optimizer, 5));
        for step in 5..10 {
            stopped.train_step(&batch(stopped.spec(), step), &Inline);
        }
        assert_eq!(stopped, trained(optimizer, 10));
    }
}

#[test]
fn after_the_last_step_nothing_is_remembered() {
    for optimizer in [Optimizer::Sgd, Optimizer::Adam] {
        let network = trained(optimizer, 4);
        let spec = NetworkSpec { steps: 4, ..network.spec().clone() };
        for (shard, state) in spec.shards().into_iter().zip(network.shards()) {
            let bytes = encode(state, &spec, shard);
            let longer = encode(state, network.spec(), shard);
            assert!(bytes.len() <= encoded_len(&spec, shard, 4));
            assert!(bytes.len() * 2 < longer.len() + 4 * spec.width(shard) + HEADER_LIMIT);
            let back = decode(&bytes, &spec, shard, 4).unwrap();
            let weights = state.clone().only_weights();
            assert_eq!(
                back,
                ShardState {
                    step: 4,
                    running_means: state.running_means.clone(),
                    ..weights.clone()
                }
            );
            assert_eq!(decode_weights(&bytes, &spec, shard, 4), Ok(weights));
            assert_eq!(decode_head(&bytes, &spec, shard, 4), Ok(state.head.value.clone()));
            assert_eq!(encode(&back, &spec, shard), bytes);
            let refused = decode(&longer, &spec, shard, 4);
            assert!(matches!(refused, Err(CheckpointError::Length { .. })));
        }
    }
}

#[test]
fn a_table_reads_back_and_others_are_refused() {
    let spec = tiny(Optimizer::Sgd, 1);
    let table = FeedbackTable::from_parts(&spec, vec![0, 3, 255, 1], 7).unwrap();
    let bytes = encode_table(&table, &spec);
    assert_eq!(decode_table(&bytes, &spec, 4, 7), Ok(table));
    assert_eq!(decode_table(&bytes, &spec, 5, 7), Err(CheckpointError::Other));
    for end in 0..bytes.len() {
        assert!(decode_table(&bytes[..end], &spec, 4, 7).is_err());
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(matches!(decode_table(&longer, &spec, 4, 7), Err(CheckpointError::Length { .. })));
    let mut damaged = bytes;
    *damaged.last_mut().unwrap() = 4;
    assert_eq!(decode_table(&damaged, &spec, 4, 7), Err(CheckpointError::Number));
}

#[test]
fn another_shard_or_spec_is_refused() {
    let network = trained(Optimizer::Adam, 1);
    let (spec, shards) = (network.spec(), network.spec().shards());
    let bytes = encode(&network.shards()[0], spec, shards[0]);
    assert_eq!(decode(&bytes, spec, shards[1], 1), Err(CheckpointError::Other));
    let other = NetworkSpec { classes: 5, ..spec.clone() };
    assert_eq!(decode(&bytes, &other, shards[0], 1), Err(CheckpointError::Other));
    let other = NetworkSpec { optimizer: Optimizer::Sgd, ..spec.clone() };
    assert_eq!(decode(&bytes, &other, shards[0], 1), Err(CheckpointError::Other));
    let other = NetworkSpec { steps: 1, ..spec.clone() };
    let longer = decode(&bytes, &other, shards[0], 1);
    assert!(matches!(longer, Err(CheckpointError::Length { .. })), "moments after the last step");
}

#[test]
fn another_step_than_was_announced_is_refused() {
    let network = trained(Optimizer::Sgd, 2);
    let (spec, shard) = (network.spec(), network.spec().shards()[0]);
    let bytes = encode(&network.shards()[0], spec, shard);
    let table = encode_table(&FeedbackTable::from_parts(spec, vec![0; 4], 2).unwrap(), spec);
    for expected in [0, 1, 3, spec.steps, u64::MAX] {
        let wrong = CheckpointError::Step { expected, found: 2 };
        assert_eq!(decode(&bytes, spec, shard, expected), Err(wrong));
        assert_eq!(decode_weights(&bytes, spec, shard, expected), Err(wrong));
        assert_eq!(decode_head(&bytes, spec, shard, expected), Err(wrong));
        assert_eq!(decode_table(&table, spec, 4, expected), Err(wrong));
    }
}

#[test]
fn damaged_bytes_are_refused_or_harmless() {
    let network = trained(Optimizer::Adam, 2);
    let (spec, shard) = (network.spec(), network.spec().shards()[0]);
    let bytes = encode(&network.shards()[0], spec, shard);
    for end in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
        assert!(decode(&bytes[..end], spec, shard, 2).is_err());
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(matches!(decode(&longer, spec, shard, 2), Err(CheckpointError::Length { .. })));
    for at in (0..64).chain((64..bytes.len()).step_by(13)) {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            let state = decode(&damaged, spec, shard, 2);
            let weights = decode_weights(&damaged, spec, shard, 2);
            assert_eq!(weights, state.clone().map(ShardState::only_weights));
            if let Ok(state) = state {
                assert_eq!(encode(&state, spec, shard), damaged);
            }
        }
    }
    let mut damaged = bytes;
    let end = damaged.len();
    damaged[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(decode(&damaged, spec, shard, 2), Err(CheckpointError::Number));
}

/// The bytes of a fixture, which is never written by the code that it pins.
fn fixture(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn a_checkpoint_has_these_bytes() {
    let expected = fixture(include_str!("../../tests/fixtures/checkpoint.hex"));
    let layers = vec![3, 2];
    let spec = NetworkSpec::default_for(Objective::Goodness, Optimizer::Adam, layers, 2);
    let spec = NetworkSpec { steps: 30, ..spec };
    // Numbers counted up by quarters, in the order of the file.
    let mut quarters = (0..).map(|number: u16| f32::from(number) / 4.0);
    let mut parameter = |shape: (usize, usize)| {
        let mut next = || quarters.by_ref().take(shape.0 * shape.1).collect::<Vec<_>>();
        let value = Array2::from_shape_vec(shape, next()).unwrap();
        Parameter { value, first: next(), second: next() }
    };
    let [weights, bias, head] = [(3, 2), (1, 2), (2, 2)].map(&mut parameter);
    let state = ShardState::from_parts(weights, bias, head, quarters.take(2).collect(), 7);
    let shard = Shard { layer: 0, index: 0 };
    assert_eq!(encode(&state, &spec, shard), expected);
    assert_eq!(decode(&expected, &spec, shard, 7), Ok(state));

    let expected = fixture(include_str!("../../tests/fixtures/feedback-table.hex"));
    let table = FeedbackTable::from_parts(&spec, vec![0, 1, 1], 7).unwrap();
    assert_eq!(encode_table(&table, &spec), expected);
    assert_eq!(decode_table(&expected, &spec, 3, 7), Ok(table));
}
