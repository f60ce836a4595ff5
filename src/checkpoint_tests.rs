//! Tests of checkpoints: training goes on from one as if nothing had happened, and no bytes do harm.

use super::*;
use crate::ff::tests::{batch, tiny};
use crate::ff::{Inline, Network, Wire};

fn trained(optimizer: Optimizer, steps: u64) -> Network {
    let mut network = Network::init(tiny(optimizer, Wire::U8, 2));
    for step in 0..steps {
        network.train_step(&batch(network.spec(), step), &Inline);
    }
    network
}

fn through_bytes(network: Network) -> Network {
    let spec = network.spec().clone();
    let back = |(row, state): (&Row, &RowState)| {
        let bytes = encode(state, &spec, *row);
        let state = decode(&bytes, &spec, *row, state.step).unwrap();
        assert_eq!(decode_head(&bytes, &spec, *row, state.step), Ok(state.head.value.clone()));
        let weights = decode_weights(&bytes, &spec, *row, state.step);
        assert_eq!(weights, Ok(state.clone().only_weights()));
        assert_eq!(encode(&state, &spec, *row), bytes);
        state
    };
    let rows = spec.rows().iter().zip(network.rows()).map(back).collect();
    Network::from_rows(spec.clone(), rows).unwrap()
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
        for (row, state) in spec.rows().into_iter().zip(network.rows()) {
            let bytes = encode(state, &spec, row);
            let longer = encode(state, network.spec(), row);
            assert!(bytes.len() <= encoded_len(&spec, row, 4));
            assert!(bytes.len() * 2 < longer.len() + 4 * spec.width(row) + HEADER_LIMIT);
            let back = decode(&bytes, &spec, row, 4).unwrap();
            let weights = state.clone().only_weights();
            assert_eq!(back, RowState { step: 4, peers: state.peers.clone(), ..weights.clone() });
            assert_eq!(decode_weights(&bytes, &spec, row, 4), Ok(weights));
            assert_eq!(decode_head(&bytes, &spec, row, 4), Ok(state.head.value.clone()));
            assert_eq!(encode(&back, &spec, row), bytes);
            let refused = decode(&longer, &spec, row, 4);
            assert!(matches!(refused, Err(CheckpointError::Length { .. })));
        }
    }
}

#[test]
fn a_table_reads_back_and_others_are_refused() {
    let spec = tiny(Optimizer::Sgd, Wire::U8, 1);
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
fn another_row_or_spec_is_refused() {
    let network = trained(Optimizer::Adam, 1);
    let (spec, rows) = (network.spec(), network.spec().rows());
    let bytes = encode(&network.rows()[0], spec, rows[0]);
    assert_eq!(decode(&bytes, spec, rows[1], 1), Err(CheckpointError::Other));
    let other = NetworkSpec { classes: 5, ..spec.clone() };
    assert_eq!(decode(&bytes, &other, rows[0], 1), Err(CheckpointError::Other));
    let other = NetworkSpec { optimizer: Optimizer::Sgd, ..spec.clone() };
    assert_eq!(decode(&bytes, &other, rows[0], 1), Err(CheckpointError::Other));
    let other = NetworkSpec { steps: 1, ..spec.clone() };
    let longer = decode(&bytes, &other, rows[0], 1);
    assert!(matches!(longer, Err(CheckpointError::Length { .. })), "moments after the last step");
}

#[test]
fn another_step_than_was_announced_is_refused() {
    let network = trained(Optimizer::Sgd, 2);
    let (spec, row) = (network.spec(), network.spec().rows()[0]);
    let bytes = encode(&network.rows()[0], spec, row);
    let table = encode_table(&FeedbackTable::from_parts(spec, vec![0; 4], 2).unwrap(), spec);
    for expected in [0, 1, 3, spec.steps, u64::MAX] {
        let wrong = CheckpointError::Step { expected, found: 2 };
        assert_eq!(decode(&bytes, spec, row, expected), Err(wrong));
        assert_eq!(decode_weights(&bytes, spec, row, expected), Err(wrong));
        assert_eq!(decode_head(&bytes, spec, row, expected), Err(wrong));
        assert_eq!(decode_table(&table, spec, 4, expected), Err(wrong));
    }
}

#[test]
fn damaged_bytes_are_refused_or_harmless() {
    let network = trained(Optimizer::Adam, 2);
    let (spec, row) = (network.spec(), network.spec().rows()[0]);
    let bytes = encode(&network.rows()[0], spec, row);
    for end in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
        assert!(decode(&bytes[..end], spec, row, 2).is_err());
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(matches!(decode(&longer, spec, row, 2), Err(CheckpointError::Length { .. })));
    for at in (0..64).chain((64..bytes.len()).step_by(13)) {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            let state = decode(&damaged, spec, row, 2);
            let weights = decode_weights(&damaged, spec, row, 2);
            assert_eq!(weights, state.clone().map(RowState::only_weights));
            if let Ok(state) = state {
                assert_eq!(encode(&state, spec, row), damaged);
            }
        }
    }
    let mut damaged = bytes;
    let end = damaged.len();
    damaged[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(decode(&damaged, spec, row, 2), Err(CheckpointError::Number));
}
