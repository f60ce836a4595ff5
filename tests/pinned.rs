//! Pinned bytes: a change of them changes the meaning of old runs, stores and models, and has to say so.
//!
//! Rule: a fixture is never written by the code that it pins.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use ffp2p::{
    data::Data,
    ff::{Delta, Encoding, Objective, Optimizer},
    spec::{Placement, Spec, SpecBuilder},
};

/// The canonical bytes of the default spec.
const DEFAULT_SPEC: &str = include_str!("fixtures/default-spec.json");

#[test]
fn the_default_spec_has_these_bytes() {
    let spec = Spec::builder().build(&Data::open("digits").unwrap()).unwrap();
    assert_eq!(String::from_utf8(spec.canonical()).unwrap(), DEFAULT_SPEC.trim_end());
    assert_eq!(Spec::from_canonical(DEFAULT_SPEC.trim_end().as_bytes()).unwrap(), spec);
}

#[test]
fn runs_have_these_ids() {
    let id = |settings: SpecBuilder| {
        settings.build(&Data::open("digits").unwrap()).unwrap().run_id().to_string()
    };
    let run = Spec::builder;
    let default = "31689b5fc5064fbea9266f748058540c03818ff52fab028229c1b2d7b1f7d566";
    assert_eq!(id(run()), default);
    let exact = || run().branches(1).delta(Delta::F32);
    let by_shard = "74d3d1463d1eb9430301179ef69cd874251dfcf3fd3ccbf80ccab778344b8672";
    assert_eq!(id(exact().placement(Placement::SingleLayer)), by_shard);
    let by_chapter = "560d14f6783ae6d0cbb8a4c46edd3180f78d7891f4b8ca7172297171ded656ae";
    assert_eq!(id(exact().placement(Placement::AllLayers).epochs(3)), by_chapter);
    let private = "63e2258904e71eaac0986b56af47482d12c08e3199cb5c7e0fed294a24f34536";
    assert_eq!(id(run().placement(Placement::Federated).epochs(3)), private);
    let softmax = exact().objective(Objective::Softmax).optimizer(Optimizer::Adam);
    let softmax = softmax.placement(Placement::SingleLayer).wire(Encoding::F32).lr(0.3).shards(2);
    assert_eq!(id(softmax), "90b0e73b86b5e6a549fde5774af3ad180c4f1f41ce0308bcd8767ca40dd92f4f");
}
