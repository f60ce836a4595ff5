"""How much faster several machines are than one: measured on one host that imitates them.

Each case trains one spec twice: alone, by `ffp2p train` on a machine of its own under the first machine's quota,
and together, by `ffp2p join` on every machine. Both run at the same time, because a shared host is not as fast in
one minute as in the next: while one trains alone, the others train together, again and again; the middle of those
runs counts. Times run from the first step to the last. Prints a table and writes it as CSV and SVG.

    sudo python3 tests/lab/lab.py target/release/ffp2p --out docs/lab            # all cases
    sudo python3 tests/lab/lab.py target/release/ffp2p --only all-layers

The rule: a figure is a ratio of two times under the same quota, and the models of both have the same hash.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from machines import LAN, WIFI, Link, Machines
from plot import bars
from process import Process


@dataclass(frozen=True)
class Spec:
    """What is trained; an epoch is a chapter of `steps` steps of `batch` samples."""

    layers: str
    batch: int
    steps: int
    epochs: int


@dataclass(frozen=True)
class Case:
    """Machines (shares of the first one's speed), what joins them, and what they train."""

    name: str
    speeds: tuple
    placement: str
    trained: Spec
    shards: int
    link: Link = LAN
    quota: float = 0.36
    wire: str = "u8"
    more: tuple = ("--delta=f32",)

    def spec(self):
        """The flags; the model does not depend on the placement."""
        it = self.trained
        return (
            f"--data=digits:{it.batch * it.steps}+100", f"--layers={it.layers}", f"--shards={self.shards}",
            f"--epochs={it.epochs}", f"--batch-size={it.batch}", f"--chapter-steps={it.steps}", f"--wire={self.wire}",
            *self.more,
        )

    def foretell(self, program, alone_s, *more):
        """What `ffp2p sim` says of this case on machines that take so long alone."""

        def rehearse(gflops, *more):
            speeds = ",".join(f"{gflops * speed:.4f}" for speed in self.speeds)
            link = f"{self.link.mbit}/{self.link.delay_ms}/{self.link.loss_per_mille / 10}"
            flags = [f"--nodes={len(self.speeds)}", f"--gflops={speeds}", f"--link={link}", f"--placement={self.placement}"]
            words = [program, "sim", "--json", *flags, *more, *self.spec()]
            told = subprocess.run(words, capture_output=True, text=True, check=True)
            return json.loads(told.stdout.splitlines()[-1])

        return rehearse(10.0 * rehearse(10.0)["alone_seconds"] / alone_s, *more)


SMALL = Spec("784,280,280,280,280", batch=500, steps=40, epochs=100)
"""A chapter is an epoch of 20,000 samples, the default's most, and there are 100 of them, as in the paper. What a step
and a checkpoint cost besides the training does not get less with a network so small, so steps are few."""

TWELVE = replace(SMALL, layers="784,288,288,288,288")
"""For eight machines, which eight shards keep busy less well than twelve."""

LARGE = Spec("784,2000,2000,2000,2000", batch=500, steps=40, epochs=4)
"""Shards are worth spreading where they are large; checkpoints then are, too."""

SHORT = replace(LARGE, epochs=2)
"""For many slow machines, which take long alone."""

LONG = replace(LARGE, epochs=6)
"""Enough chapters for the first and the last, in which some wait, to weigh little."""

BRANCHES = ("--objective=softmax", "--branches=4", "--delta=u8")

EQUAL, UNEQUAL = (1, 1, 1, 1), (1, 1, 0.5, 0.25)

SHARDS = 5
"""Of up to ten, five give four and eight machines the most equal contiguous pieces of LARGE (ceilings 3.95 and 7.90)."""

CASES = [
    Case("4 machines, all-layers, LAN", EQUAL, "all-layers", SMALL, 2),
    Case("4 machines, all-layers, Wi-Fi", EQUAL, "all-layers", SMALL, 2, link=WIFI),
    Case("speeds 1, 1, 0.5, 0.25, all-layers, LAN", UNEQUAL, "all-layers", SMALL, 2),
    Case("4 machines, 4 branches, LAN", EQUAL, "all-layers", LONG, 1, more=BRANCHES),
    Case("4 machines, 4 branches, Wi-Fi", EQUAL, "all-layers", LONG, 1, link=WIFI, more=BRANCHES),
    Case("speeds 1, 1, 0.5, 0.25, 4 branches, LAN", UNEQUAL, "all-layers", LONG, 1, more=BRANCHES),
    Case("8 machines, 4 branches, LAN", (1,) * 8, "all-layers", LONG, 1, quota=0.2, more=BRANCHES),
    Case("4 machines, single-layer, one shard a layer, LAN", EQUAL, "single-layer", LARGE, 1, wire="u4"),
    Case("4 machines, single-layer, LAN", EQUAL, "single-layer", LARGE, SHARDS, wire="u4"),
    Case("speeds 1, 1, 0.5, 0.25, single-layer, LAN", UNEQUAL, "single-layer", LARGE, SHARDS, wire="u4"),
    Case("4 machines, single-layer, Wi-Fi", EQUAL, "single-layer", SHORT, SHARDS, link=WIFI, wire="u4"),
    Case("8 machines, single-layer, LAN", (1,) * 8, "single-layer", SHORT, SHARDS, quota=0.2, wire="u4"),
    Case("8 machines, all-layers, LAN", (1,) * 8, "all-layers", TWELVE, 3, quota=0.2),
]
"""With a third of a core a machine spends much of it on bytes, whatever the link: `single-layer` sends half a byte a value."""


class Alone:
    """A machine that trains alone, as long as it takes."""

    def __init__(self, machines, number, program, spec):
        self.run = Process(machines, number, [program, "train", "--json", "--threads=1", "--store=none", *spec])

    def is_done(self):
        return self.run.first("done") is not None

    def wait(self):
        """Seconds from the first step to the last, and the model's hash."""
        done, event = self.run.wait_for("done")
        began, _ = self.run.first("ready")
        self.run.stop()
        return done - began, event["model"]


def join(case, program, folder):
    """The command of a node, which finds others by multicast only."""
    flags = ["--json", "--threads=1", "--store=none", f"--placement={case.placement}", f"--rendezvous={folder}"]
    return [program, "join", *flags, *case.spec()]


def took(nodes):
    """Seconds from the first step to the last, once all are done, and what each then said."""
    done = [node.wait_for("done") for node in nodes]
    began = min(it[0] for it in (node.first("training") for node in nodes) if it)
    return min(at for at, _ in done) - began, [event for _, event in done]


def together(case, program, machines, folder):
    """All machines of a case train once: how long, which model, and what it cost each."""
    nodes = [Process(machines, number, join(case, program, f"{folder}/{number}")) for number in range(len(case.speeds))]
    seconds, events = took(nodes)
    used = [node.threads() for node in nodes]
    for node in nodes:
        node.stop()
    return {
        "seconds": seconds,
        "model": events[0]["model"],
        "megabytes_a_link_and_epoch": max(e["bytes_in"] + e["bytes_out"] for e in events) / 1e6 / case.trained.epochs,
        "gossip_percent": 100 * sum(e["gossip_in"] for e in events) / sum(e["bytes_in"] for e in events),
        "network_cpu_s": sum(times["network"] for times, _ in used),
        "cpu_s": sum(sum(times.values()) for times, _ in used),
        "peak_memory_mb": max(peak for _, peak in used),
    }


def measure(case, program):
    """One line of the table."""
    shares = [case.quota * speed for speed in (*case.speeds, 1)]
    with tempfile.TemporaryDirectory() as folder, Machines(shares, case.link) as machines:
        single, runs = Alone(machines, len(case.speeds), program, case.spec()), []
        while not single.is_done():
            runs.append(together(case, program, machines, f"{folder}/{len(runs)}"))
        alone_s, model = single.wait()
    # The last one had the host to itself for a while, once the machine alone was done.
    runs = runs[:-1] or runs
    if any(run["model"] != model for run in runs):
        raise RuntimeError(f"{case.name}: another model than alone")
    found = {key: statistics.median(run[key] for run in runs) for key in runs[0] if key != "model"}
    speed_ups = [alone_s / run["seconds"] for run in runs]
    told = case.foretell(program, alone_s)
    ceiling, predicted = told["ceiling"], told["speed_up"]
    speed_up = statistics.median(speed_ups)
    return {
        "case": case.name, "machines": len(case.speeds), "placement": case.placement, "link": case.link.name, "wire": case.wire,
        "alone_s": round(alone_s, 1), "together_s": round(found.pop("seconds"), 1), "runs": len(runs),
        "speed_up": round(speed_up, 2), "lowest": round(min(speed_ups), 2), "highest": round(max(speed_ups), 2),
        "predicted": round(predicted, 2), "ceiling": round(ceiling, 2), "share": round(speed_up / ceiling, 3),
        **{key: round(value, 2) for key, value in found.items()},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--out", type=Path, help="folder for lab.csv and lab.svg")
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("lab: it makes network namespaces and quotas; run it as root")
    lines = []
    for case in CASES:
        if args.only not in case.name:
            continue
        try:
            line = measure(case, str(args.program.resolve()))
        except RuntimeError as error:
            print(f"{case.name}: not measured: {error}", file=sys.stderr)
            continue
        lines.append(line)
        print("  ".join(f"{key} {value}" for key, value in line.items()), flush=True)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            with open(args.out / "lab.csv", "w", newline="") as file:
                writer = csv.DictWriter(file, lines[0].keys())
                writer.writeheader()
                writer.writerows(lines)
            (args.out / "lab.svg").write_text(bars(lines))


if __name__ == "__main__":
    main()
