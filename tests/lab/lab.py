"""How much faster several machines are than one: measured on one host that imitates them.

Each case trains one spec twice: alone, by `ffp2p train` (as many copies at once as the case has machines,
each under the first machine's quota, so that both share the host's caches alike; the middle one counts, for all
cases that would do the same), and together, by `ffp2p join` on every machine. Both times run from the first
step to the last. Prints a table and writes it as CSV and SVG.

    sudo python3 tests/lab/lab.py target/release/ffp2p --out docs/lab            # all cases
    sudo python3 tests/lab/lab.py target/release/ffp2p --only all-layers

The rule: a figure is a ratio of two times under the same quota, and the models of both have the same hash.
"""

import argparse
import csv
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from machines import LAN, WIFI, Link, Machines
from plot import bars
from process import Process

STEPS, BATCH = 40, 500
"""Of a chapter, which is an epoch: 20,000 samples, as many as a chapter has by default at most. What a step and
what a checkpoint cost beside the training does not get less with a network so small, so steps are few."""


@dataclass(frozen=True)
class Case:
    """Machines (shares of the first one's speed), what joins them, and what they train."""

    name: str
    speeds: tuple
    placement: str
    shards: int = 2
    layers: str = "784,280,280,280,280"
    link: Link = LAN
    epochs: int = 100
    quota: float = 0.4

    def spec(self):
        """What is trained; the model does not depend on the placement."""
        return (
            f"--data=digits:{BATCH * STEPS}+100", f"--layers={self.layers}", f"--shards={self.shards}",
            f"--epochs={self.epochs}", f"--batch-size={BATCH}", f"--chapter-steps={STEPS}",
        )

    def work(self):
        """Of a step, by row: multiply-accumulates of a sample."""
        widths = [int(width) for width in self.layers.split(",")]
        work = [widths[0] * widths[1] * 2] + [a * b * 5 for a, b in zip(widths[1:], widths[2:])]
        return [cost / self.shards for cost in work for _ in range(self.shards)]

    def ceiling(self):
        """What the schedule allows. A row's chapters follow each other, whoever trains them, so no run is
        faster than its slowest row; and with single-layer, than the machine with the most work."""
        rows = self.work()
        if self.placement == "all-layers":
            # The last machine starts when the first rows of the chapters before are done.
            late = max(rows) * (len(self.speeds) - 1)
            together = max(sum(rows) / sum(self.speeds), max(rows) / max(self.speeds)) + late / self.epochs
            return sum(rows) / together
        loads = [0.0] * len(self.speeds)
        for row in sorted(rows, reverse=True):
            best = min(range(len(loads)), key=lambda k: (loads[k] + row) / self.speeds[k])
            loads[best] += row
        slowest = max(load / speed for load, speed in zip(loads, self.speeds))
        return sum(rows) / (slowest * (1 + (len(rows) // self.shards - 1) / self.epochs))


CASES = [
    Case("4 machines, all-layers, LAN", (1, 1, 1, 1), "all-layers"),
    Case("4 machines, single-layer, one row a layer, LAN", (1, 1, 1, 1), "single-layer", shards=1),
    Case("4 machines, single-layer, LAN", (1, 1, 1, 1), "single-layer", shards=4),
    Case("8 machines, single-layer, LAN", (1,) * 8, "single-layer", shards=4, quota=0.2),
    Case("speeds 1, 1, 0.5, 0.25, all-layers, LAN", (1, 1, 0.5, 0.25), "all-layers"),
    Case("speeds 1, 1, 0.5, 0.25, single-layer, LAN", (1, 1, 0.5, 0.25), "single-layer", shards=4),
    Case("4 machines, all-layers, Wi-Fi", (1, 1, 1, 1), "all-layers", link=WIFI),
    Case("4 machines, single-layer, Wi-Fi", (1, 1, 1, 1), "single-layer", shards=4, link=WIFI),
]


@cache
def alone(spec, machines, quota, program):
    """Seconds from the first step to the last of a machine that trains alone, and the model's hash."""
    with Machines([quota] * machines, LAN) as them:
        command = [program, "train", "--json", "--threads=1", *spec]
        runs = [Process(them, number, command) for number in range(machines)]
        times, model = [], None
        for run in runs:
            done, event = run.wait_for("done")
            began, _ = run.first("ready")
            times.append(done - began)
            model = event["model"]
            run.stop()
    return statistics.median(times), model


def join(case, program, folder):
    """The command of a node, which finds others by multicast only."""
    flags = ["--json", "--threads=1", f"--placement={case.placement}", f"--rendezvous={folder}"]
    return [program, "join", *flags, *case.spec()]


def together(case, program):
    """The same for all machines, and what the run cost each."""
    shares = [case.quota * speed for speed in case.speeds]
    with tempfile.TemporaryDirectory() as folder, Machines(shares, case.link) as machines:
        nodes = []
        for number in range(len(shares)):
            nodes.append(Process(machines, number, join(case, program, f"{folder}/{number}")))
        done = [node.wait_for("done") for node in nodes]
        began = min(it[0] for it in (node.first("training") for node in nodes) if it)
        used = [node.threads() for node in nodes]
        for node in nodes:
            node.stop()
    events = [event for _, event in done]
    return {
        "seconds": min(at for at, _ in done) - began,
        "model": events[0]["model"],
        "megabytes_a_link_and_epoch": max(e["bytes_in"] + e["bytes_out"] for e in events) / 1e6 / case.epochs,
        "network_cpu_s": sum(times["network"] for times, _ in used),
        "cpu_s": sum(sum(times.values()) for times, _ in used),
        "peak_memory_mb": max(peak for _, peak in used),
    }


def measure(case, program):
    """One line of the table."""
    single, model = alone(case.spec(), len(case.speeds), case.quota, program)
    found = together(case, program)
    if found.pop("model") != model:
        raise RuntimeError(f"{case.name}: another model than alone")
    speed_up, ceiling = single / found["seconds"], case.ceiling()
    return {
        "case": case.name, "machines": len(case.speeds), "placement": case.placement, "link": case.link.name,
        "alone_s": round(single, 1), "together_s": round(found.pop("seconds"), 1),
        "speed_up": round(speed_up, 2), "ceiling": round(ceiling, 2), "share": round(speed_up / ceiling, 3),
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
