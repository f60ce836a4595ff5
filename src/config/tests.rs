//! Specs as users write them: what is one run, and what is refused in which words.

use clap::{Args as _, FromArgMatches as _};

use super::*;
use crate::spec::{Problem, Spec, settings};

/// The arguments that these flags give.
fn parse(flags: &[(&str, &str)]) -> SpecArgs {
    let words = flags.iter().map(|(flag, value)| format!("--{flag}={value}"));
    let words = ["test".to_owned()].into_iter().chain(words);
    let matches = SpecArgs::augment_args(clap::Command::new("test")).get_matches_from(words);
    SpecArgs::from_arg_matches(&matches).unwrap()
}

fn spec(flags: &[(&str, &str)]) -> Spec {
    let data = [("data", "digits:2000+50")];
    parse(&[&data[..], flags].concat()).check().unwrap().spec
}

/// The flags that have to be typed for a spec.
fn typed(spec: &Spec) -> Vec<(String, String)> {
    let given = settings(spec, Some(10)).into_iter().filter(|setting| !setting.is_default);
    given.map(|setting| (setting.flag, setting.value)).collect()
}

#[test]
fn settings_that_follow_from_others_are_defaults() {
    assert_eq!(typed(&spec(&[])), []);
    for objective in ["goodness", "softmax"] {
        for optimizer in ["sgd", "adam"] {
            for placement in ["single-layer", "all-layers", "sequential", "federated"] {
                let all =
                    [("objective", objective), ("optimizer", optimizer), ("placement", placement)];
                let defaults = ["goodness", "sgd", "all-layers"];
                let given = all.iter().zip(defaults).filter(|(given, default)| given.1 != *default);
                let mut given: Vec<(String, String)> =
                    given.map(|(it, _)| (it.0.to_owned(), it.1.to_owned())).collect();
                given.sort();
                assert_eq!(typed(&spec(&all)), given);
            }
        }
    }
}

#[test]
fn flags_come_back_as_they_were_typed() {
    let all = [
        ("activations", "refreshed"),
        ("batch-size", "50"),
        ("chapter-steps", "7"),
        ("classes", "12"),
        ("classifier", "goodness"),
        ("contrast-normalization", "true"),
        ("dropout", "0.25"),
        ("epochs", "500"),
        ("flip", "true"),
        ("head-lr", "0.0003"),
        ("head-weight-decay", "0.5"),
        ("label-embedding", "append"),
        ("label-strength", "2"),
        ("layers", "784,60,60"),
        ("lr", "0.1"),
        ("negative-temperature", "3"),
        ("negatives", "adaptive"),
        ("optimizer", "adam"),
        ("peer-normalization", "0.1"),
        ("placement", "single-layer"),
        ("seed", "18446744073709551615"),
        ("shards", "2"),
        ("shift", "2"),
        ("weight-decay", "0.25"),
        ("wire", "u4"),
    ];
    let found = typed(&spec(&all));
    let found: Vec<_> = found.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    assert_eq!(found, all);
    let flags = parse(&all).to_flags();
    assert_eq!(flags, all.map(|(flag, value)| [format!("--{flag}"), value.to_owned()]).concat());
    // And no flag is left out.
    let command = SpecArgs::augment_args(clap::Command::new("test"));
    let mut flags: Vec<_> = command.get_arguments().filter_map(|it| it.get_long()).collect();
    flags.retain(|flag| {
        !["spec", "data", "objective", "epoch-steps", "branches", "delta"].contains(flag)
    });
    flags.sort_unstable();
    assert_eq!(flags, all.map(|(flag, _)| flag));
    for other in [
        [("objective", "softmax"), ("placement", "federated"), ("epoch-steps", "30")],
        [("objective", "softmax"), ("delta", "f32"), ("branches", "2")],
    ] {
        let found = typed(&spec(&other));
        assert!(other.iter().all(|&(name, value)| found.contains(&(name.into(), value.into()))));
    }
}

/// The default in the help of each flag is the builder's.
#[test]
fn help_tells_the_defaults() {
    let data = Data::open("digits").unwrap();
    let spec = Spec::builder().build(&data).unwrap();
    let found = settings(&spec, None);
    let command = SpecArgs::augment_args(clap::Command::new("test"));
    let mut told = 0;
    for argument in command.get_arguments() {
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let Some((_, default)) = help.split_once("[default: ") else { continue };
        let default = default.split([';', ']']).next().unwrap();
        let flag = argument.get_long().unwrap();
        // Others say in words what they follow from.
        if let Some(setting) = found.iter().find(|it| it.flag == flag && !default.contains(' ')) {
            assert_eq!(default, setting.value, "--{flag}");
            told += 1;
        }
    }
    assert!(told >= 15, "{told}");
    let federated = Spec::builder().placement(Placement::Federated).build(&data).unwrap();
    assert_eq!(federated.network.steps_per_epoch, 600, "as the help of --epoch-steps says");
    assert_eq!(spec.chapter_steps * spec.network.batch_size as u64, 20_000);
}

fn small() -> SpecArgs {
    SpecArgs { data: Some("digits:400+50".to_owned()), ..SpecArgs::default() }
}

#[test]
fn a_wrong_value_names_the_flag_and_what_is_possible() {
    let text = |args: SpecArgs| args.check().unwrap_err().to_string();
    let layers = text(SpecArgs { layers: Some(vec![700, 10]), ..small() });
    assert!(layers.contains("--layers 700,10") && layers.contains("784"), "{layers}");
    let batch = text(SpecArgs { batch_size: Some(401), ..small() });
    assert!(batch.contains("--batch-size 401") && batch.contains("400"), "{batch}");
    let error = SpecArgs { epochs: Some(0), ..small() }.check().unwrap_err();
    assert!(matches!(error, SpecArgsError::Spec(SpecError { problem: Problem::Epochs, .. })));
}

#[test]
fn choices_are_listed_in_the_help() {
    let mut command = SpecArgs::augment_args(clap::Command::new("test"));
    let help = command.render_long_help().to_string();
    for values in
        ["[possible values: u8, u4, f32]", "[possible values: single-layer, all-layers, federated"]
    {
        assert!(help.contains(values), "{help}");
    }
    let wrong = SpecArgs::augment_args(clap::Command::new("test"));
    let error = wrong.try_get_matches_from(["test", "--wire=u7"]).unwrap_err().to_string();
    assert!(error.contains("'u7'") && error.contains("--wire"), "{error}");
}

#[test]
fn flags_override_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    let text = "data = \"digits:400+50\"\nepochs = 3\nbatch-size = 50\nwire = \"u4\"\n";
    std::fs::write(&path, text).unwrap();
    let args = SpecArgs { spec: Some(path.clone()), epochs: Some(2), ..SpecArgs::default() };
    let spec = args.check().unwrap().spec;
    assert_eq!((spec.epochs, spec.network.batch_size), (2, 50));
    assert_eq!(spec.network.encoding, Encoding::U4);
    for (text, says) in [("epoch = 3\n", "epoch"), ("wire = \"u7\"\n", "u8")] {
        std::fs::write(&path, text).unwrap();
        let args = SpecArgs { spec: Some(path.clone()), ..SpecArgs::default() };
        let error = args.check().unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("run.toml"), "{error}");
    }
}

#[test]
fn flags_are_as_short_as_a_user_would_type_them() {
    let args = SpecArgs { dropout: Some(0.3), layers: Some(vec![784, 10]), ..SpecArgs::default() };
    assert_eq!(args.to_flags(), ["--dropout", "0.3", "--layers", "784,10"]);
}
