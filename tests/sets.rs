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
    assert!(err.contains("28 x 28 grey") && err.contains("32 x 32 RGB"), "{err}");
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

/// A folder of two classes of grey images, with a file that is none.
fn folder(dir: &Path) -> String {
    for (half, class) in [("train", "cat"), ("train", "dog"), ("test", "cat"), ("test", "dog")] {
        let class_folder = dir.join(half).join(class);
        fs::create_dir_all(&class_folder).unwrap();
        for (i, name) in ["1.png", "2.png"].iter().enumerate() {
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, 4, 4);
            encoder.set_color(png::ColorType::Grayscale);
            let mut writer = encoder.write_header().unwrap();
            writer.write_image_data(&[(40 * i + class.len()) as u8; 16]).unwrap();
            writer.finish().unwrap();
            fs::write(class_folder.join(name), bytes).unwrap();
        }
    }
    fs::write(dir.join("train/cat/3.webp"), b"?").unwrap();
    format!("--data=folder:{}", dir.display())
}

#[test]
fn what_was_found_is_told_before_training() {
    let dir = tempfile::tempdir().unwrap();
    let data = folder(dir.path());
    let spec = [&data, "--layers=16,8", "--epochs=1", "--batch-size=2"];
    let says = "found 4 images to train on and 4 to test on, 4 x 4 grey, 2 classes: cat, dog; 1 \
                file left out: 1 .webp";
    let (code, out, err) = run(&[&["train"], &spec[..]].concat());
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.lines().next().unwrap(), says);
    let (code, out, err) = run(&[&["train", "--json"], &spec[..]].concat());
    assert_eq!(code, 0, "{err}");
    let first: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!((first["event"].as_str(), first["message"].as_str()), (Some("note"), Some(says)));
    // Each node tells it; a user sees it once.
    let meet = dir.path().join("meet");
    let out_file = dir.path().join("model");
    let (meet, out_file) = (meet.to_str().unwrap(), out_file.to_str().unwrap());
    let up = ["up", "-n", "2", "--no-mdns", "--rendezvous", meet, "--out", out_file];
    let (code, out, err) = run(&[&up[..], &spec].concat());
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.matches(says).count(), 1, "{out}");
}

#[cfg(target_os = "linux")]
#[test]
fn names_cannot_act_on_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let data = folder(dir.path());
    fs::write(dir.path().join("train/dog/\x1b]0;x\x07\n\u{202e}.png"), b"?").unwrap();
    let (code, _, err) = run(&["train", &data]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains(r"train/dog/\u{1b}]0;x\u{7}\n\u{202e}.png is of another kind"), "{err}");
    let (code, _, err) = run(&["train", "--spec", "no\x1b[31m\nfile"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains(r"no\u{1b}[31m\nfile") && err.trim().lines().count() == 1, "{err}");
}
