"""What happens to the speed of a run when one more machine joins it: measured as in lab.py.

Four machines train; when a third of the run is done, a fifth joins. The speed is the work of the chapters that
end within two seconds, row by row, beside the mean of the ten seconds before.

    sudo python3 tests/lab/newcomer.py target/release/ffp2p
"""

import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from lab import LARGE, SHARDS, SMALL, Case, alone, join
from machines import Machines
from process import Process

BEFORE_S, WINDOW_S, GRACE_S = 10, 2, 8
QUOTA = 0.36
SHARE = 6
"""Of the run's epochs, one in so many is trained alone to learn how fast a machine is, for the prediction."""


def chapters(node):
    """When a chapter of a row ended, and which row's."""
    return [(at, event["row"]) for at, event in list(node.events) if event["event"] == "chapter"]


def work(case):
    """Multiply-accumulates of a sample, by row."""
    widths = [int(width) for width in case.trained.layers.split(",")]
    layers = [widths[0] * widths[1] * 2] + [a * b * 5 for a, b in zip(widths[1:], widths[2:])]
    return [cost / case.shards for cost in layers for _ in range(case.shards)]


def measure(case, program):
    """The speed before, at its lowest and in the end, as shares of the one before."""
    costs = work(case)
    machines = len(case.speeds)
    with tempfile.TemporaryDirectory() as folder, Machines([case.quota] * machines, case.link) as them:
        start = lambda number: Process(them, number, join(case, program, f"{folder}/{number}"))
        nodes = [start(number) for number in range(machines - 1)]
        while len(chapters(nodes[0])) < len(costs) * case.trained.epochs / 3:
            time.sleep(0.2)
        joined = time.monotonic()
        nodes.append(start(machines - 1))
        ended, _ = nodes[0].wait_for("done")
        for node in nodes:
            node.stop()
    told = chapters(nodes[0])

    def speed(begin, end):
        return sum(costs[row] for at, row in told if begin <= at < end) / (end - begin)

    usual = speed(joined - BEFORE_S, joined)
    ticks = [joined + 0.25 * k for k in range(int(4 * (ended - GRACE_S - joined)))]
    windows = [speed(tick, tick + WINDOW_S) / usual for tick in ticks]
    later = [it for tick, it in zip(ticks, windows) if tick > joined + GRACE_S]
    return min(windows), statistics.median(later)


PROGRAM = str(Path(sys.argv[1]).resolve())
LONG = replace(LARGE, batch=250, epochs=12)
"""Rows move at a chapter's end, so chapters are short here."""

for placement, trained, shards in (("all-layers", SMALL, 2), ("single-layer", LONG, SHARDS)):
    five = Case("a fifth machine joins", (1,) * 5, placement, trained, shards, quota=QUOTA)
    four = replace(five, speeds=(1,) * 4)
    lowest, later = measure(five, PROGRAM)
    short = replace(five, trained=replace(trained, epochs=trained.epochs // SHARE))
    alone_s = alone(short.spec(), len(five.speeds), QUOTA, PROGRAM)[0] * trained.epochs / short.trained.epochs
    predicted = five.foretell(PROGRAM, alone_s)[1] / four.foretell(PROGRAM, alone_s)[1]
    print(f"{placement}: lowest {lowest:.2f} of the speed before, later {later:.2f}; predicted {predicted:.2f}", flush=True)
