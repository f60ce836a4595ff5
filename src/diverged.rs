//! The end of a run whose numbers went out of range, in one line.
//!
//! Rule: it names where, when, and the flags that may be the cause with their values; training alone
//! and every node say the same.

use std::fmt;

use crate::ff::{Fault, NetworkSpec, Objective, Shard};

/// A shard that cannot be trained on; every node would find the same.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{place} diverged at step {step}: its {fault} {} not finite any more; {advice}", verb(*.fault))]
pub struct Diverged {
    place: Place,
    /// Steps done when it was noticed.
    step: u64,
    fault: Fault,
    /// The settings to change.
    advice: String,
}

/// The place of a shard, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    shard: Shard,
    is_sharded: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer {}", self.shard.layer)?;
        if self.is_sharded { write!(f, ", shard {}", self.shard.index) } else { Ok(()) }
    }
}

fn verb(fault: Fault) -> &'static str {
    match fault {
        Fault::Weights => "are",
        Fault::Head => "is",
    }
}

impl Diverged {
    /// `shard` has this fault after `step` steps.
    pub(crate) fn new(spec: &NetworkSpec, shard: Shard, step: u64, fault: Fault) -> Self {
        let place = Place { shard, is_sharded: spec.shards_per_layer > 1 };
        Self { place, step, fault, advice: advice(spec, fault) }
    }
}

/// The flags that may be the cause, the one furthest above its default first.
fn advice(spec: &NetworkSpec, fault: Fault) -> String {
    let (objective, optimizer) = (spec.objective, spec.optimizer);
    let default = NetworkSpec::default_for(objective, optimizer, spec.layers.clone(), spec.classes);
    type Flag = (&'static str, fn(&NetworkSpec) -> f32);
    let layers: [Flag; 3] = [
        ("--lr", |it| it.lr),
        ("--weight-decay", |it| it.weight_decay),
        ("--peer-normalization", |it| it.peer_normalization),
    ];
    let heads: [Flag; 2] =
        [("--head-lr", |it| it.head_lr), ("--head-weight-decay", |it| it.head_weight_decay)];
    let flags: Vec<Flag> = match (fault, objective) {
        (Fault::Head, _) => heads.into(),
        (Fault::Weights, Objective::Goodness) => layers.into(),
        // Their errors come through the head.
        (Fault::Weights, Objective::Softmax) => layers.into_iter().chain(heads).collect(),
    };
    let mut set: Vec<(&str, f32, f32)> =
        flags.iter().map(|(flag, of)| (*flag, of(spec), of(spec) / of(&default))).collect();
    set.retain(|(_, value, _)| *value > 0.0);
    set.sort_by(|a, b| b.2.total_cmp(&a.2));
    let named: Vec<String> =
        set.iter().map(|(flag, value, _)| format!("{flag} ({})", short(*value))).collect();
    match named.split_last() {
        None => "its data may hold numbers out of range".to_owned(),
        Some((last, [])) => format!("lower {last}"),
        Some((last, others)) => format!("lower {} or {last}", others.join(", ")),
    }
}

/// A number with few digits.
fn short(value: f32) -> String {
    if value < 1e6 { value.to_string() } else { format!("{value:e}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ff::Optimizer;

    #[test]
    fn one_line_names_the_place_and_the_flags() {
        let default = NetworkSpec::hinton(vec![20, 8, 6], 4);
        let told = |spec: &NetworkSpec, fault| {
            Diverged::new(spec, Shard { layer: 1, index: 0 }, 7, fault).to_string()
        };
        assert_eq!(
            told(&NetworkSpec { head_weight_decay: 30.0, ..default.clone() }, Fault::Head),
            "layer 1 diverged at step 7: its head is not finite any more; lower \
             --head-weight-decay (30) or --head-lr (0.1)"
        );
        assert_eq!(
            told(
                &NetworkSpec { lr: 1e6, weight_decay: 0.0, shards_per_layer: 2, ..default },
                Fault::Weights
            ),
            "layer 1, shard 0 diverged at step 7: its weights are not finite any more; lower \
             --lr (1e6) or --peer-normalization (0.03)"
        );
        let softmax = NetworkSpec::default_for(Objective::Softmax, Optimizer::Sgd, vec![20, 8], 4);
        let told = told(&softmax, Fault::Weights);
        assert!(told.ends_with("lower --lr (1) or --head-lr (0.1)"), "{told}");
    }
}
