//! Sets of files as the commands meet them: the input follows the data, and an error is one line.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::run;

/// The six files of CIFAR-10 with few samples, each of one colour by its label.
fn cifar10(dir: &Path) -> String {
    let file = |name: &str, count: u8| {
        let record = |i: u8| [vec![i % 10], vec![20 * (i % 10); 3072]].concat();
        fs::write(dir.join(name), (0..count).flat_map(record).collect::<Vec<_>>()).unwrap();
    };
    (1..=5).for_each(|i| file(&format!("data_batch_{i}.bin"), 20));
    file("test_batch.bin", 10);
    format!("--data=cifar10:{}", dir.display())
}

#[test]
fn a_run_takes_its_width_from_the_data() {
    let folder = tempfile::tempdir().unwrap();
    let data = cifar10(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (model, meet) = (path("model"), path("meet"));
    let spec = [&data, "--epochs=1", "--batch-size=50"];
    let (code, out, err) = run(&[&["train", "--json", "--out", &model], &spec[..]].concat());
    assert_eq!(code, 0, "{err}");
    let done = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).next_back();
    let hash = done.unwrap()["model"].as_str().unwrap().to_owned();
    // Two nodes get the same model, and the set that it is judged by must suit it.
    let up = ["up", "-n", "2", "--no-mdns", "--rendezvous", &meet, "--out", &model];
    let (code, out, err) = run(&[&up[..], &spec].concat());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&hash), "{out}");
    let (code, out, err) = run(&["eval", &model, &data]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&hash) && out.contains("10 test samples of cifar10:"), "{out}");
    let (code, _, err) = run(&["eval", &model, "--data=digits:10+10"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("784 pixels") && err.contains("3072"), "{err}");
}

#[test]
fn sets_that_cannot_be_used_are_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let file = folder.path().join("set");
    fs::write(&file, "no archive").unwrap();
    let file = file.to_str().unwrap();
    for (data, says) in [
        ("cifar10".to_owned(), "write the path"),
        (format!("cifar10:{path}"), "data_batch_1.bin"),
        (format!("folder:{path}"), "train/<class>"),
        (format!("folder:{file}"), ".tar.gz"),
        (format!("npz:{file}"), "numpy.savez_compressed"),
        ("npz:/no/such/file".to_owned(), "/no/such/file"),
    ] {
        let (code, out, err) = run(&["train", "--data", &data]);
        assert_eq!((code, out.as_str()), (2, ""), "{data}: {err}");
        assert!(err.contains(says) && !err.contains("panicked"), "{data}: {err}");
        assert_eq!(err.trim().lines().count(), 1, "{err}");
    }
}
