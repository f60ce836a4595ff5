//! Specs as people write them: what is one run, and what is refused in which words.

use super::*;
use crate::{ff::Negatives, spec::HandedOn};

fn small() -> SpecArgs {
    SpecArgs { data: Some("digits:400+50".to_owned()), ..SpecArgs::default() }
}

#[test]
fn equal_specs_are_the_same_run_and_others_are_not() {
    let spec = small().check().unwrap().spec;
    assert_eq!(spec.run_id(), small().check().unwrap().spec.run_id());
    let other = SpecArgs { seed: Some(2), ..small() }.check().unwrap().spec;
    assert_ne!(spec.run_id(), other.run_id());
    assert_eq!(Spec::from_canonical(&spec.canonical()).unwrap(), spec);
}

#[test]
fn a_wire_type_goes_by_its_name_in_the_canonical_bytes() {
    for name in ["f32", "u8", "u4"] {
        let spec = SpecArgs { wire: Some(name.to_owned()), ..small() }.check().unwrap().spec;
        let bytes = spec.canonical();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.contains(&format!(r#""wire":"{name}","#)), "{text}");
        assert_eq!(Spec::from_canonical(&bytes).unwrap(), spec);
    }
}

#[test]
fn a_wrong_value_names_the_flag_and_what_is_possible() {
    let text = |args: SpecArgs| args.check().unwrap_err().to_string();
    let wire = text(SpecArgs { wire: Some("u7".to_owned()), ..small() });
    assert!(wire.contains("--wire u7") && wire.contains("f32") && wire.contains("u8"), "{wire}");
    let layers = text(SpecArgs { layers: Some(vec![700, 10]), ..small() });
    assert!(layers.contains("--layers 700,10") && layers.contains("784"), "{layers}");
    let batch = text(SpecArgs { batch_size: Some(401), ..small() });
    assert!(batch.contains("--batch-size 401") && batch.contains("400"), "{batch}");
    for args in [
        SpecArgs { epochs: Some(0), ..small() },
        SpecArgs { batch_size: Some(0), ..small() },
        SpecArgs { chapter_steps: Some(5), ..small() },
        SpecArgs { shards: Some(3), ..small() },
        SpecArgs { shards: Some(50), ..small() },
        SpecArgs { layers: Some(vec![784]), ..small() },
        SpecArgs { lr: Some(f32::NAN), ..small() },
        SpecArgs { shift: Some(28), ..small() },
        SpecArgs { shift: Some(usize::MAX), ..small() },
    ] {
        assert!(args.clone().check().is_err(), "{args:?}");
    }
}

#[test]
fn the_softmax_objective_refuses_what_it_does_not_have() {
    let softmax = || SpecArgs { objective: Some("softmax".to_owned()), ..small() };
    let spec = softmax().check().unwrap().spec;
    assert_eq!((spec.network.negatives, spec.classifier), (Negatives::None, Classifier::Softmax));
    assert_eq!(Spec::from_canonical(&spec.canonical()).unwrap(), spec);
    let some = |text: &str| Some(text.to_owned());
    for (args, flag) in [
        (SpecArgs { negatives: some("random"), ..softmax() }, "--negatives random"),
        (SpecArgs { classifier: some("goodness"), ..softmax() }, "--classifier goodness"),
        (SpecArgs { label_strength: Some(1.0), ..softmax() }, "--label-strength"),
        (SpecArgs { label_embedding: some("append"), ..softmax() }, "--label-embedding append"),
        (SpecArgs { label_embedding: some("none"), ..small() }, "--label-embedding none"),
        (SpecArgs { peer_normalization: Some(0.1), ..softmax() }, "--peer-normalization"),
        (SpecArgs { negatives: some("none"), ..small() }, "--negatives none"),
    ] {
        let text = args.check().unwrap_err().to_string();
        assert!(text.contains(flag) && text.contains("objective"), "{text}");
    }
    let stranger = Spec { classifier: Classifier::Goodness, ..spec };
    assert!(Spec::from_canonical(&stranger.canonical()).is_err());
}

#[test]
fn flags_override_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, "data = \"digits:400+50\"\nepochs = 3\nbatch-size = 50\n").unwrap();
    let args = SpecArgs { spec: Some(path.clone()), epochs: Some(2), ..SpecArgs::default() };
    let spec = args.check().unwrap().spec;
    assert_eq!((spec.epochs, spec.network.batch_size), (2, 50));
    std::fs::write(&path, "epoch = 3\n").unwrap();
    let args = SpecArgs { spec: Some(path), ..SpecArgs::default() };
    assert!(args.check().unwrap_err().to_string().contains("epoch"));
}

#[test]
fn with_data_of_its_own_the_form_is_the_run_and_not_the_content() {
    let federated = |data: &str| SpecArgs {
        data: Some(data.to_owned()),
        placement: Some("federated".to_owned()),
        ..SpecArgs::default()
    };
    let spec = |args: SpecArgs| args.check().unwrap().spec;
    let one = spec(federated("digits:400+50:1"));
    assert_eq!(one.run_id(), spec(federated("digits:900+20:2")).run_id());
    assert_eq!((one.network.steps_per_epoch, one.activations), (600, HandedOn::Refreshed));
    assert_eq!(Spec::from_canonical(&one.canonical()).unwrap(), one);
    let some = |text: &str| Some(text.to_owned());
    let usual = || federated("digits:400+50");
    for (args, flag) in [
        (SpecArgs { activations: some("online"), ..usual() }, "--activations online"),
        (SpecArgs { negatives: some("adaptive"), ..usual() }, "--negatives adaptive"),
        (SpecArgs { epoch_steps: Some(0), ..usual() }, "--epoch-steps 0"),
        (SpecArgs { batch_size: Some(401), ..usual() }, "--batch-size 401"),
        (SpecArgs { epoch_steps: Some(9), ..small() }, "--epoch-steps 9"),
        (SpecArgs { classes: Some(9), ..small() }, "--classes 9"),
        (SpecArgs { classes: Some(257), ..small() }, "--classes 257"),
    ] {
        let text = args.check().unwrap_err().to_string();
        assert!(text.contains(flag), "{text}");
    }
    let open = Spec { data: small().check().unwrap().spec.data, ..one.clone() };
    let online = Spec { activations: HandedOn::Online, ..one };
    for stranger in [open, online] {
        assert!(Spec::from_canonical(&stranger.canonical()).is_err(), "{stranger:?}");
    }
}

#[test]
fn a_strangers_spec_is_checked() {
    let mut spec = small().check().unwrap().spec;
    spec.chapter_steps = 0;
    assert!(Spec::from_canonical(&spec.canonical()).is_err());
    assert!(Spec::from_canonical(b"{}").is_err());
}

#[test]
fn flags_are_as_short_as_a_person_would_type_them() {
    let args = SpecArgs { dropout: Some(0.3), layers: Some(vec![784, 10]), ..SpecArgs::default() };
    assert_eq!(args.to_flags(), ["--dropout", "0.3", "--layers", "784,10"]);
}

#[test]
fn what_is_wrong_with_a_strangers_spec_can_be_shown() {
    let strange = format!("{{\"\u{1b}[2J{}\": 1}}", "x".repeat(10_000));
    let text = Spec::from_canonical(strange.as_bytes()).unwrap_err().to_string();
    assert!(text.len() < 400 && !text.contains('\u{1b}'), "{text:?}");
    // Its format is told, whatever else is new in it.
    let newer = format!("{{\"format\":{},\"new\":1}}", SPEC_FORMAT + 1);
    let text = Spec::from_canonical(newer.as_bytes()).unwrap_err().to_string();
    assert!(
        text.contains(&format!("format {}", SPEC_FORMAT + 1)) && text.contains("same version"),
        "{text}"
    );
}
