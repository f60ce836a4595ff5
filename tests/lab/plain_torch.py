"""The training step of `ffp2p train` written in plain PyTorch: what `ffp2p bench step` is measured against.

Positive, negative and neutral pass, Hinton's smoothed gradient, peer normalisation, and a softmax head a
layer, with made-up images. Prints one JSON line. Needs only `torch`.

    python3 tests/lab/plain_torch.py --layers 784,1000,1000,1000 --batch-size 100 --threads 1
"""

import argparse
import json
import time

import torch

CLASSES, LR, HEAD_LR, DECAY, HEAD_DECAY, PEER, SAMPLES = 10, 0.01, 0.1, 0.001, 0.003, 0.03, 60_000


class Layer:
    """Weights, bias and head of a layer, with smoothed gradients."""

    def __init__(self, inputs, width):
        self.values = [torch.randn(inputs, width) / inputs**0.5, torch.zeros(width), torch.zeros(width, CLASSES)]
        self.smooth = [torch.zeros_like(value) for value in self.values]
        self.peers = torch.full((width,), 0.5)

    def step(self, x, labels, below, batch):
        """One step on 3B x inputs; returns normalised outputs and accumulated logits."""
        weights, bias, head = self.values
        width = weights.shape[1]
        h = torch.relu(torch.addmm(bias, x, weights))
        goodness = (h * h).sum(1)
        states = h * torch.rsqrt(goodness / width + 1e-12)[:, None]
        positive, negative = h[:batch], h[batch : 2 * batch]
        self.peers.mul_(0.9).add_(positive.mean(0), alpha=0.1)
        up = torch.sigmoid(width - goodness[:batch])[:, None] * positive + PEER * (self.peers.mean() - self.peers)
        down = -torch.sigmoid(goodness[batch : 2 * batch] - width)[:, None] * negative
        directions = torch.cat([up, down])
        neutral = states[2 * batch :]
        logits = below + neutral @ head
        errors = torch.nn.functional.one_hot(labels, CLASSES) - torch.softmax(logits, 1)
        gradients = [x[: 2 * batch].T @ directions, directions.sum(0), neutral.T @ errors]
        rates = [(LR, DECAY), (LR, 0.0), (HEAD_LR, HEAD_DECAY)]
        for value, smooth, gradient, (rate, decay) in zip(self.values, self.smooth, gradients, rates):
            smooth.mul_(0.9).add_(gradient, alpha=0.1 / batch)
            value.add_(smooth - decay * value, alpha=rate)
        return states, logits


def rounded(states):
    """Activations as one byte each, with a scale a row."""
    scale = states.amax(1, keepdim=True) / 255
    return (states / scale.clamp_min(1e-30) + 0.5).to(torch.uint8).float() * scale


def images(batch, data, every_label):
    """Labelled images of the three passes, each row of mean square 1."""
    samples = torch.randint(len(data), (batch,))
    pixels, labels = data[samples].float() / 255, every_label[samples]
    wrong = (labels + torch.randint(1, CLASSES, (batch,))) % CLASSES
    passes = []
    for slots in (torch.nn.functional.one_hot(labels, CLASSES), torch.nn.functional.one_hot(wrong, CLASSES), 0.1):
        image = pixels.clone()
        image[:, :CLASSES] = slots
        passes.append(image)
    x = torch.cat(passes)
    return x * torch.rsqrt((x * x).mean(1, keepdim=True) + 1e-12), labels


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", default="784,1000,1000,1000")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--wire", choices=["u8", "f32"], default="u8")
    parser.add_argument("--seconds", type=float, default=8.0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    torch.manual_seed(1)
    widths, batch = [int(width) for width in args.layers.split(",")], args.batch_size
    layers = [Layer(*shape) for shape in zip(widths, widths[1:])]

    data = torch.randint(256, (SAMPLES, widths[0]), dtype=torch.uint8)
    every_label = torch.randint(CLASSES, (SAMPLES,))

    def step():
        x, labels = images(batch, data, every_label)
        logits = torch.zeros(batch, CLASSES)
        for layer in layers:
            if layer is not layers[0] and args.wire == "u8":
                x = rounded(x)
            x, logits = layer.step(x, labels, logits, batch)

    for _ in range(3):
        step()
    times, end = [], time.perf_counter() + args.seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    middle = sorted(times)[len(times) // 2]
    print(json.dumps({"layers": widths, "batch_size": batch, "threads": args.threads, "wire": args.wire, "samples_per_second": batch / middle}))


main()
