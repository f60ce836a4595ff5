"""What happens to the speed of a run when one more machine joins it: measured as in lab.py.

Four machines train; when a third of the run is done, a fifth joins. The speed is the work of the chapters that
end within two seconds, row by row, beside the mean of the ten seconds before.

    sudo python3 tests/lab/newcomer.py target/release/ffp2p
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from lab import Case, join
from machines import Machines
from process import Process

BEFORE_S, WINDOW_S, GRACE_S = 10, 2, 8
QUOTA = 0.36


def chapters(node):
    """When a chapter of a row ended, and which row's."""
    return [(at, event["row"]) for at, event in list(node.events) if event["event"] == "chapter"]


def measure(case, program):
    """The speed before, at its lowest and in the end, as shares of the one before."""
    work = case.work()
    machines = len(case.speeds)
    with tempfile.TemporaryDirectory() as folder, Machines([case.quota] * machines, case.link) as them:
        start = lambda number: Process(them, number, join(case, program, f"{folder}/{number}"))
        nodes = [start(number) for number in range(machines - 1)]
        while len(chapters(nodes[0])) < len(work) * case.epochs / 3:
            time.sleep(0.2)
        joined = time.monotonic()
        nodes.append(start(machines - 1))
        ended, _ = nodes[0].wait_for("done")
        for node in nodes:
            node.stop()
    told = chapters(nodes[0])

    def speed(begin, end):
        return sum(work[row] for at, row in told if begin <= at < end) / (end - begin)

    usual = speed(joined - BEFORE_S, joined)
    ticks = [joined + 0.25 * k for k in range(int(4 * (ended - GRACE_S - joined)))]
    windows = [speed(tick, tick + WINDOW_S) / usual for tick in ticks]
    later = [it for tick, it in zip(ticks, windows) if tick > joined + GRACE_S]
    return min(windows), statistics.median(later)


for placement, shards in (("all-layers", 2), ("single-layer", 4)):
    five = Case("a fifth machine joins", (1,) * 5, placement, shards=shards, quota=QUOTA, epochs=150)
    four = Case("", (1,) * 4, placement, shards=shards, epochs=150)
    lowest, later = measure(five, str(Path(sys.argv[1]).resolve()))
    predicted = five.ceiling() / four.ceiling()
    print(f"{placement}: lowest {lowest:.2f} of the speed before, later {later:.2f}; predicted {predicted:.2f}")
