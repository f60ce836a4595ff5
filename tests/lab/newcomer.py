"""What happens to the speed of a run when one more machine joins it: measured as in lab.py.

Four machines train; when a third of the run is done, a fifth joins. The speed is the work of all machines' own
steps, as each reports them once a second, over two seconds, as a share of the mean of the twenty seconds before. How much
it wavers before is printed as well.

    sudo python3 tests/lab/newcomer.py target/release/ffp2p
"""

import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from lab import LARGE, SMALL, Alone, Case, join
from machines import Machines
from process import Process

BEFORE_S, WINDOW_S, TICK_S, GRACE_S = 20, 2, 0.25, 8
QUOTA = 0.36
SHARE = 6
"""Of the run's epochs, one in `SHARE` is trained alone to learn how fast a machine is, for the prediction."""


def costs(case):
    """Multiply-accumulates of a sample, by shard."""
    widths = [int(width) for width in case.trained.layers.split(",")]
    layers = [widths[0] * widths[1] * 2] + [a * b * 5 for a, b in zip(widths[1:], widths[2:])]
    return [cost / case.shards for cost in layers for _ in range(case.shards)]


def curve(node, weights):
    """The work that a node has told of, by time."""
    told = [(at, event["own_steps"]) for at, event in list(node.events) if event["event"] == "progress"]
    return [(at, sum(steps * weight for steps, weight in zip(by_shard, weights))) for at, by_shard in told]


def done(told, at):
    """The work until a time, between two reports in proportion to it."""
    before = max((it for it in told if it[0] <= at), default=None)
    after = min((it for it in told if it[0] > at), default=None)
    if before is None:
        return 0.0
    if after is None:
        return before[1]
    return before[1] + (after[1] - before[1]) * (at - before[0]) / (after[0] - before[0])


def progress(node):
    """The share of the run that is done, as a node sees it."""
    events = [event for _, event in list(node.events)]
    steps = next((event["steps"] for event in events if event["event"] == "ready"), None)
    shards = next((event["shards"] for event in reversed(events) if event["event"] == "progress"), [0])
    return sum(shards) / len(shards) / steps if steps else 0.0


def longest(windows, least):
    """Seconds for which every window was slower than that."""
    longest = now = 0
    for speed in windows:
        now = now + 1 if speed < least else 0
        longest = max(longest, now)
    return longest * TICK_S


def measure(case, program):
    """The speeds in two seconds each, before and after the fifth joined, as shares of the mean before."""
    weights, machines = costs(case), len(case.speeds)
    with tempfile.TemporaryDirectory() as folder, Machines([case.quota] * machines, case.link) as them:
        start = lambda number: Process(them, number, join(case, program, f"{folder}/{number}"))
        nodes = [start(number) for number in range(machines - 1)]
        while progress(nodes[0]) < 1 / 3:
            time.sleep(0.2)
        joined = time.monotonic()
        nodes.append(start(machines - 1))
        ended, _ = nodes[0].wait_for("done")
        for node in nodes:
            node.stop()
    curves = [curve(node, weights) for node in nodes]

    def speed(begin, end):
        return sum(done(it, end) - done(it, begin) for it in curves) / (end - begin)

    def windows(begin, end):
        ticks = [begin + TICK_S * k for k in range(int((end - WINDOW_S - begin) / TICK_S))]
        return [speed(tick, tick + WINDOW_S) / normal for tick in ticks]

    normal = speed(joined - BEFORE_S, joined)
    # The pipeline empties at the end of a run, whoever joined.
    end = joined + 0.8 * (ended - joined)
    return windows(joined - BEFORE_S, joined), windows(joined, end), windows(joined + GRACE_S, end)


def main():
    program = str(Path(sys.argv[1]).resolve())
    # Rows move at a chapter's end, so chapters are short here; a fifth machine gains little with five shards.
    long = replace(LARGE, batch=250, epochs=12)
    for placement, trained, shards in (("all-layers", SMALL, 2), ("single-layer", long, 8)):
        five = Case("a fifth machine joins", (1,) * 5, placement, trained, shards, quota=QUOTA)
        before, after, later = measure(five, program)
        short = replace(five, trained=replace(trained, epochs=trained.epochs // SHARE))
        with Machines([QUOTA] * 5, five.link) as machines:
            singles = [Alone(machines, number, program, short.spec()) for number in range(5)]
            seconds = statistics.median(single.wait()[0] for single in singles)
        alone_s = seconds * trained.epochs / short.trained.epochs
        told = five.foretell(program, alone_s, "--joins=33")["newcomer"]
        print(
            f"{placement}: lowest before {min(before):.2f}, after {min(after):.2f}, below 0.90 for "
            f"{longest(after, 0.9):.1f} s; later {statistics.fmean(later):.2f}; predicted {told['lowest_before']:.2f}, "
            f"{told['lowest_after']:.2f}, {told['slow_seconds']:.1f} s, {told['later']:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
