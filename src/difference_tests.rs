//! Runs that differ in one thing, in several, and in what follows from them.

use super::*;
use crate::{
    data::Data,
    ff::{Encoding, Objective},
    spec::{Checked, Placement, SpecBuilder},
};

/// A run as its flags give it, with its node's description of its data.
fn run(settings: SpecBuilder) -> (Spec, AboutData) {
    run_on("digits:2000+200", settings)
}

/// The same on other data.
fn run_on(data: &str, settings: SpecBuilder) -> (Spec, AboutData) {
    let checked: Checked = settings.check(Data::open(data).unwrap()).unwrap();
    let data = crate::about::about_data(&checked);
    (checked.spec, data)
}

/// The message of a node of `ours` about a node of `theirs`.
#[track_caller]
fn told(theirs: &(Spec, AboutData), ours: &(Spec, AboutData)) -> String {
    let of = |(spec, data): &'_ (Spec, AboutData)| (spec.clone(), data.clone());
    let ((their_spec, their_data), (our_spec, our_data)) = (of(theirs), of(ours));
    let theirs = Run { spec: &their_spec, data: Some(&their_data) };
    let ours = Run { spec: &our_spec, data: Some(&our_data) };
    difference(theirs, ours).to_string()
}

fn base() -> SpecBuilder {
    Spec::builder()
}

#[test]
fn one_flag_is_told_with_both_values_and_nothing_that_follows_from_it() {
    let (long, longer) = (run(base().epochs(500)), run(base().epochs(501)));
    assert_eq!(
        told(&long, &longer),
        "--epochs is 500 there, 501 here. To join that run, start again with --epochs 500"
    );
    let default = run(base());
    assert_eq!(
        told(&default, &long),
        "--epochs is 8 there, 500 here. To join that run, start again without --epochs"
    );
    // Steps of an epoch, of the run and of a chapter follow.
    let small = run(base().batch_size(50));
    assert_eq!(
        told(&small, &default),
        "--batch-size is 50 there, 100 here. To join that run, start again with --batch-size 50"
    );
    // Rates, negatives and the embedding follow.
    let softmax = run(base().objective(Objective::Softmax));
    assert_eq!(
        told(&softmax, &default),
        "--objective is softmax there, goodness here. To join that run, start again with \
         --objective softmax"
    );
    assert_eq!(
        told(&default, &softmax),
        "--objective is goodness there, softmax here. To join that run, start again without \
         --objective"
    );
}

#[test]
fn all_flags_that_differ_are_told() {
    let theirs = run(base().lr(0.1).layers([784, 50]));
    let ours = run(base().seed(2).wire(Encoding::F32));
    assert_eq!(
        told(&theirs, &ours),
        "--layers is 784,50 there, 784,500,500,500,500 here; --lr is 0.1 there, 0.01 here; --seed \
         is 1 there, 2 here; --wire is u8 there, f32 here. To join that run, start again with \
         --layers 784,50 --lr 0.1 and without --seed --wire"
    );
    // What has the same value here only because of another flag has to be typed, too.
    let theirs = run(base().lr(2.0));
    let ours = run(base().objective(Objective::Softmax));
    assert_eq!(
        told(&theirs, &ours),
        "--objective is goodness there, softmax here. To join that run, start again with --lr 2 \
         and without --objective"
    );
}

#[test]
fn other_data_are_told_by_what_is_known_of_them() {
    let ours = run(base());
    let more = run_on("digits:2001+200", base());
    assert_eq!(
        told(&more, &ours),
        "same flags, other data: 2,001 images there, 2,000 here. To join that run, start again \
         with --data digits:2001+200"
    );
    let tests = run_on("digits:2000+199", base());
    assert!(told(&tests, &ours).contains("199 test images there, 200 here"));
    let both = run_on("digits:1900+199", base());
    assert!(told(&both, &ours).contains("1,900 + 199 images there, 2,000 + 200 here"));
    let seeded = run_on("digits:2000+200:7", base());
    assert!(told(&seeded, &ours).contains("2,000 + 200 images on both sides, but not the same"));
    let default = run_on("digits", base());
    assert!(told(&default, &ours).ends_with("start again without --data"));
    // Its chapters and steps are others, too: they follow.
    let theirs = run_on("digits:1900+200", base().epochs(9));
    assert_eq!(
        told(&theirs, &ours),
        "--epochs is 9 there, 8 here; other data: 1,900 images there, 2,000 here. To join that \
         run, start again with --data digits:1900+200 --epochs 9"
    );
}

#[test]
fn another_kind_of_data_brings_its_own_width_and_classes() {
    let narrow = run(base().layers([784, 50]));
    let (mut spec, mut data) = narrow.clone();
    spec.data = format!("cifar10:{}", "0".repeat(64));
    spec.network.layers[0] = 3_072;
    spec.network.classes = 7;
    data = AboutData { form: "32 x 32 RGB".to_owned(), kind: "cifar10".to_owned(), ..data };
    data.classes = 7;
    assert_eq!(
        told(&(spec.clone(), data.clone()), &narrow),
        "other data: cifar10, 2,000 + 200 images of 32 x 32 RGB, 7 classes there; \
         digits, 2,000 + 200 images of 28 x 28 grey, 10 classes here. To join that run, start \
         again with --layers 3072,50 and with --data cifar10:PATH of the same files"
    );
    // Where the other one tells nothing of its data, their ids tell their kinds.
    let silent =
        difference(Run { spec: &spec, data: None }, Run { spec: &narrow.0, data: Some(&narrow.1) });
    assert!(silent.to_string().contains("other data: cifar10 there, digits here"), "{silent}");
    // A kind that nobody knows is not shown as it is written.
    spec.data = "\u{1b}[2J:7".to_owned();
    let shown = told(&(spec, data), &narrow);
    assert!(shown.chars().all(|c| !c.is_control()), "{shown:?}");
    assert!(shown.ends_with("and with the same data as there"), "{shown}");
}

#[test]
fn a_lie_about_data_hides_no_flag() {
    let ours = run(base());
    let theirs = run(base().classes(12));
    let lie = AboutData { classes: 12, ..theirs.1.clone() };
    assert!(told(&theirs, &ours).contains("--classes is 12 there, 10 here"));
    assert!(told(&(theirs.0, lie), &ours).contains("--classes is 12 there, 10 here"));
}

#[test]
fn where_each_has_data_of_its_own_the_form_is_told() {
    let federated = |settings: SpecBuilder| run(settings.placement(Placement::Federated));
    let (ours, default) = (federated(base()), run(base()));
    let theirs = federated(base().epoch_steps(30).classes(11));
    assert_eq!(
        told(&theirs, &ours),
        "--epoch-steps is 30 there, 600 here; other data: private, \
         images of 28 x 28 grey, 11 classes there; private, images of 28 x 28 grey, 10 classes \
         here. To join that run, start again with --classes 11 --epoch-steps 30 and with data of \
         that form"
    );
    assert_eq!(
        told(&default, &theirs),
        "--placement is all-layers there, federated here. To join that run, start again with \
         --data digits:2000+200 and without --epoch-steps --placement"
    );
    assert_eq!(
        told(&ours, &default),
        "--placement is federated there, all-layers here. To join that run, start again with \
         --placement federated"
    );
}

#[test]
fn classes_of_other_names_are_told() {
    let (mut theirs, ours) = (run(base()), run(base()));
    theirs.0.form.classes = ["cat", "dog\u{1b}[2J"].map(str::to_owned).to_vec();
    let text = told(&theirs, &ours);
    assert!(
        text.contains("same flags, other data: the classes cat, dog\\u{1b}[2J, 2, 3"),
        "{text}"
    );
}
