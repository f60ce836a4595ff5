"""The accuracy of backpropagation on MNIST with the layers, optimiser and schedule of `ffp2p train --objective softmax`.

A ReLU network with one softmax on top: cross-entropy, the smoothed gradient of our `sgd`, dropout after each ReLU,
the rate constant for half of the run and then falling to 0. No augmentation. Prints a line an epoch and a JSON line
at the end: the accuracy after the last epoch on all 10,000 test images. Needs only `numpy`.

    python3 tests/lab/backprop.py DIR --seed 1

The rule: nothing is chosen by the test set within a run; what is reported is the last epoch.
"""

import argparse
import gzip
import json
import time
from pathlib import Path

import numpy

CLASSES, SMOOTHING, HEADER = 10, 0.9, {"images": 16, "labels": 8}


def read(folder, half, kind):
    """One of MNIST's files, packed or not, as bytes after its header."""
    name = f"{half}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
    packed = folder / f"{name}.gz"
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / name).read_bytes()
    return numpy.frombuffer(data, numpy.uint8, offset=HEADER[kind])


def load(folder, half):
    """Pixels from 0 to 1, samples x 784, and labels."""
    labels = read(folder, half, "labels")
    return read(folder, half, "images").reshape(len(labels), -1).astype(numpy.float32) / 255, labels


class Network:
    """Weights and biases of every layer, with smoothed gradients."""

    def __init__(self, widths, rng):
        shapes = list(zip(widths, widths[1:]))
        self.weights = [rng.normal(0, (2 / a) ** 0.5, (a, b)).astype(numpy.float32) for a, b in shapes]
        self.biases = [numpy.zeros(b, numpy.float32) for _, b in shapes]
        self.smooth = [numpy.zeros_like(value) for value in (*self.weights, *self.biases)]

    def forward(self, x, keep=1.0, rng=None):
        """Inputs of every layer, masks of every hidden one (None without dropout), and logits."""
        inputs, masks = [x], []
        for number, (weights, bias) in enumerate(zip(self.weights, self.biases)):
            h = inputs[-1] @ weights + bias
            if number + 1 == len(self.weights):
                return inputs, masks, h
            numpy.maximum(h, 0, out=h)
            mask = (rng.random(h.shape, dtype=numpy.float32) < keep) / numpy.float32(keep) if keep < 1 else None
            inputs.append(h if mask is None else h * mask)
            masks.append(mask)

    def step(self, x, labels, rate, keep, rng):
        """One mini-batch."""
        inputs, masks, logits = self.forward(x, keep, rng)
        odds = numpy.exp(logits - logits.max(1, keepdims=True))
        down = odds / odds.sum(1, keepdims=True)
        down[numpy.arange(len(labels)), labels] -= 1
        down /= len(labels)
        gradients = {}
        for layer in reversed(range(len(self.weights))):
            gradients[layer] = inputs[layer].T @ down
            gradients[layer + len(self.weights)] = down.sum(0)
            if layer:
                down = (down @ self.weights[layer].T) * (inputs[layer] > 0)
                if masks[layer - 1] is not None:
                    down *= masks[layer - 1]
        for number, value in enumerate((*self.weights, *self.biases)):
            smooth = self.smooth[number]
            smooth *= SMOOTHING
            smooth += (1 - SMOOTHING) * gradients[number]
            value -= rate * smooth


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the four IDX files of MNIST")
    parser.add_argument("--layers", default="784,1000,1000,1000")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--lr", type=float, default=0.5)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = numpy.random.default_rng(args.seed)
    network = Network([*map(int, args.layers.split(",")), CLASSES], rng)
    (x, labels), (test_x, test_labels) = load(args.folder, "train"), load(args.folder, "t10k")

    began, right = time.perf_counter(), 0.0
    for epoch in range(args.epochs):
        rate = args.lr * min(1.0, 2 * (1 - epoch / args.epochs))
        order = rng.permutation(len(x))
        for start in range(0, len(x), args.batch_size):
            picked = order[start : start + args.batch_size]
            network.step(x[picked], labels[picked], rate, 1 - args.dropout, rng)
        right = float((network.forward(test_x)[2].argmax(1) == test_labels).mean())
        print(f"epoch {epoch + 1}: {100 * right:.2f} %", flush=True)
    seconds = round(time.perf_counter() - began)
    print(json.dumps({"seed": args.seed, "epochs": args.epochs, "lr": args.lr, "dropout": args.dropout, "accuracy": right, "seconds": seconds}))


if __name__ == "__main__":
    main()
