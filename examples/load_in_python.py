#!/usr/bin/env python3
"""Load an exported model with safetensors and numpy, and classify MNIST with it.

    pip install numpy safetensors
    python examples/load_in_python.py model.safetensors path/to/mnist

The second argument is a folder with the IDX test files (t10k-*), packed or not. Prints the
accuracy of both classifiers, which is what `ffp2p eval` prints, to within a sample that rounding
decides.

The network is: where the spec asks for it, subtract each image's mean and scale the rest to mean
square 1; write the label over the first pixels, or before them where labels have slots of
their own; scale the row to mean square 1; then for each layer h = relu(W x + b), goodness =
sum(h^2), and h scaled to mean square 1 goes up. With shards, each group of neurons is scaled by
itself. A network trained for the softmax objective has no label in its input: its heads' answers
are summed over all layers, or the last one's is taken.
"""
import gzip
import json
import pathlib
import sys

import numpy as np
from safetensors import safe_open


def read_idx(folder, stem):
    """The bytes of an IDX file as an array, packed or not."""
    for name in (stem, stem + ".gz"):
        path = pathlib.Path(folder) / name
        if path.exists():
            data = path.read_bytes()
            data = gzip.decompress(data) if name.endswith(".gz") else data
            shape = np.frombuffer(data, ">u4", data[3], 4)
            return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)
    sys.exit(f"{folder}: there is no {stem}, packed or not")


def scaled(x, groups=1):
    """Each group of each row with mean square 1; rows of zeros stay zero."""
    parts = x.reshape(len(x), groups, -1)
    rms = np.sqrt((parts**2).mean(axis=2, keepdims=True))
    return (parts / np.where(rms > 0, rms, 1)).reshape(x.shape)


def pass_up(x, layers, shards):
    """The goodness (one per image) and the outputs of every layer."""
    for weight, bias in layers:
        h = np.maximum(x @ weight.T + bias, 0)
        x = scaled(h, shards)
        yield (h**2).sum(axis=1), x


def classify(images, network, layers, heads):
    """The labels by the heads (one neutral pass), and by goodness (one pass per label) or, with
    the softmax objective, by the last head alone."""
    classes, strength = network["classes"], network["label_strength"]
    x = images.reshape(len(images), -1).astype(np.float32) / 255
    if network.get("contrast_normalization", False):
        x = scaled(x - x.mean(axis=1, keepdims=True))
    if network["objective"] == "softmax":
        outputs = [out for _, out in pass_up(scaled(x), layers, network["shards"])]
        logits = [out @ head.T for out, head in zip(outputs, heads)]
        return sum(logits).argmax(axis=1), logits[-1].argmax(axis=1)
    first = 1 if len(layers) > 1 else 0
    if network["label_embedding"] == "append":
        x = np.pad(x, ((0, 0), (classes, 0)))
    x[:, :classes] = strength / classes
    outputs = [out for _, out in pass_up(scaled(x), layers, network["shards"])]
    logits = sum(out @ head.T for out, head in zip(outputs[first:], heads[first:]))
    goodness = []
    for label in range(classes):
        x[:, :classes] = 0
        x[:, label] = strength
        good = [good for good, _ in pass_up(scaled(x), layers, network["shards"])]
        goodness.append(sum(good[first:]))
    return logits.argmax(axis=1), np.argmax(goodness, axis=0)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with safe_open(sys.argv[1], framework="numpy") as file:
        network = json.loads(file.metadata()["ffp2p.spec"])["network"]
        depth = range(len(network["layers"]) - 1)
        get = file.get_tensor
        layers = [(get(f"layers.{i}.weight"), get(f"layers.{i}.bias")) for i in depth]
        heads = [get(f"heads.{i}.weight") for i in depth]
        print("model", file.metadata()["ffp2p.model"])
    images = read_idx(sys.argv[2], "t10k-images-idx3-ubyte")
    labels = read_idx(sys.argv[2], "t10k-labels-idx1-ubyte")
    right = np.zeros(2)
    for at in range(0, len(labels), 1000):
        part = slice(at, at + 1000)
        answers = classify(images[part], network, layers, heads)
        right += [(answer == labels[part]).sum() for answer in answers]
    other = "last layer" if network["objective"] == "softmax" else "goodness"
    print(f"{'softmax':10} {100 * right[0] / len(labels):.2f} %")
    print(f"{other:10} {100 * right[1] / len(labels):.2f} %")


if __name__ == "__main__":
    main()
