//! Specs that are one run, specs that are not, and those that are refused.

use super::*;
use crate::{
    data::Data,
    ff::{Delta, Encoding, LabelEmbedding, Negatives, Objective},
};

fn small() -> SpecBuilder {
    Spec::builder()
}

fn data() -> Data {
    Data::open("digits:400+50").unwrap()
}

fn spec(settings: &SpecBuilder) -> Spec {
    settings.build(&data()).unwrap()
}

/// The setting that is wrong, and the whole error.
fn wrong(settings: &SpecBuilder) -> (&'static str, String) {
    let error = settings.build(&data()).unwrap_err();
    (error.setting, error.to_string())
}

#[test]
fn equal_specs_are_the_same_run_and_others_are_not() {
    let one = spec(&small());
    assert_eq!(one.run_id(), spec(&small()).run_id());
    assert_ne!(one.run_id(), spec(&small().seed(2)).run_id());
    assert_eq!(Spec::from_canonical(&one.canonical()).unwrap(), one);
}

#[test]
fn an_encoding_goes_by_its_name_in_the_canonical_bytes() {
    for (encoding, name) in [(Encoding::F32, "f32"), (Encoding::U8, "u8"), (Encoding::U4, "u4")] {
        let spec = spec(&small().wire(encoding));
        let bytes = spec.canonical();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.contains(&format!(r#""wire":"{name}","#)), "{text}");
        assert_eq!(Spec::from_canonical(&bytes).unwrap(), spec);
    }
}

#[test]
fn a_wrong_setting_is_named() {
    for (settings, setting) in [
        (small().epochs(0), "epochs"),
        (small().batch_size(0), "batch_size"),
        (small().batch_size(401), "batch_size"),
        (small().chapter_steps(5), "chapter_steps"),
        (small().epoch_steps(9), "epoch_steps"),
        (small().shards(3), "shards"),
        (small().layers([784]), "layers"),
        (small().layers([700, 10]), "layers"),
        (small().lr(f32::NAN), "lr"),
        (small().shift(28), "shift"),
        (small().shift(usize::MAX), "shift"),
        (small().dropout(0.95), "dropout"),
        (small().classes(9), "classes"),
        (small().classes(257), "classes"),
    ] {
        assert_eq!(wrong(&settings).0, setting, "{settings:?}");
    }
    assert_eq!(wrong(&small().batch_size(401)).1.split(':').next(), Some("batch_size 401"));
}

#[test]
fn the_softmax_objective_refuses_what_it_does_not_have() {
    let softmax = || small().objective(Objective::Softmax);
    let valid = spec(&softmax());
    assert_eq!((valid.network.negatives, valid.classifier), (Negatives::None, Classifier::Softmax));
    assert_eq!(Spec::from_canonical(&valid.canonical()).unwrap(), valid);
    for (settings, setting) in [
        (softmax().negatives(Negatives::Random), "negatives"),
        (softmax().classifier(Classifier::Goodness), "classifier"),
        (softmax().label_strength(1.0), "label_strength"),
        (softmax().label_embedding(LabelEmbedding::Append), "label_embedding"),
        (small().label_embedding(LabelEmbedding::None), "label_embedding"),
        (softmax().peer_normalization(0.1), "peer_normalization"),
        (small().negatives(Negatives::None), "negatives"),
    ] {
        let (found, text) = wrong(&settings);
        assert!(found == setting && text.contains("objective"), "{text}");
    }
    let stranger = Spec { classifier: Classifier::Goodness, ..valid };
    assert!(Spec::from_canonical(&stranger.canonical()).is_err());
}

#[test]
fn the_form_of_private_data_is_the_run_and_not_the_content() {
    let federated = || small().placement(Placement::Federated);
    let build = |name: &str| federated().build(&Data::open(name).unwrap()).unwrap();
    let one = build("digits:400+50:1");
    assert_eq!(one.run_id(), build("digits:900+20:2").run_id());
    assert_eq!((one.network.steps_per_epoch, one.activations), (600, ActivationKind::Refreshed));
    assert_eq!(Spec::from_canonical(&one.canonical()).unwrap(), one);
    for (settings, setting) in [
        (federated().activations(ActivationKind::Online), "activations"),
        (federated().negatives(Negatives::Adaptive), "negatives"),
        (federated().epoch_steps(0), "epoch_steps"),
        (federated().batch_size(401), "batch_size"),
    ] {
        assert_eq!(wrong(&settings).0, setting);
    }
    let open = Spec { data: spec(&small()).data, ..one.clone() };
    let online = Spec { activations: ActivationKind::Online, ..one };
    for stranger in [open, online] {
        assert!(Spec::from_canonical(&stranger.canonical()).is_err(), "{stranger:?}");
    }
}

#[test]
fn a_strangers_spec_is_checked() {
    let mut spec = spec(&small());
    spec.chapter_steps = 0;
    assert!(Spec::from_canonical(&spec.canonical()).is_err());
    assert!(Spec::from_canonical(b"{}").is_err());
}

#[test]
fn an_error_about_a_strangers_spec_can_be_shown() {
    let strange = format!("{{\"\u{1b}[2J{}\": 1}}", "x".repeat(10_000));
    let text = Spec::from_canonical(strange.as_bytes()).unwrap_err().to_string();
    assert!(text.len() < 400 && !text.contains('\u{1b}'), "{text:?}");
    // Its format is told, whatever else is new in it.
    let next = bounds::SPEC_FORMAT + 1;
    let newer = format!("{{\"format\":{next},\"new\":1}}");
    let text = Spec::from_canonical(newer.as_bytes()).unwrap_err().to_string();
    assert!(text.contains(&format!("format {next}")) && text.contains("same version"), "{text}");
}

#[test]
fn branches_are_for_whoever_owns_chapters_and_has_that_many_steps() {
    let by_chapter = || small().placement(Placement::AllLayers).batch_size(50).chapter_steps(8);
    let four = by_chapter().objective(Objective::Softmax).branches(4).delta(Delta::U8);
    let one = spec(&four);
    assert_eq!((one.plan().branches, one.plan().merged), (4, true));
    assert_eq!(Spec::from_canonical(&one.canonical()).unwrap(), one);
    let merged = |settings: &SpecBuilder| spec(settings).plan().merged;
    assert!(!merged(&by_chapter().delta(Delta::F32)) && merged(&by_chapter()));
    for (settings, setting, says) in [
        (four.clone().placement(Placement::SingleLayer), "branches", "all-layers"),
        (four.clone().branches(9), "branches", "choose 1 to 8"),
        (four.clone().branches(0), "branches", "1 to 64"),
        (by_chapter().negatives(Negatives::Adaptive).branches(2), "branches", "mean"),
        (small().placement(Placement::Federated).delta(Delta::U8), "delta", "f32"),
        (
            small()
                .placement(Placement::SingleLayer)
                .activations(ActivationKind::Refreshed)
                .delta(Delta::U8),
            "delta",
            "all-layers",
        ),
    ] {
        let (wrong, error) = wrong(&settings);
        assert!(wrong == setting && error.contains(says), "{error}");
    }
    // A stranger's is refused by the same rule.
    let (placement, activations) = (Placement::SingleLayer, ActivationKind::Refreshed);
    let rounded = Spec { placement, ..spec(&by_chapter()) };
    assert!(Spec::from_canonical(&rounded.canonical()).is_ok());
    assert!(Spec::from_canonical(&Spec { activations, ..rounded }.canonical()).is_err());
    assert!(Spec::from_canonical(&Spec { placement, ..one }.canonical()).is_err());
}
