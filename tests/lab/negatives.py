"""What adaptive negatives cost a pipeline: four machines train with them while four others train with random ones.

Both groups have the same quotas and run at the same time, because a shared host is not as fast in one minute as in the
next. The first chapters, as many as there are layers, draw no label from what the network said; so there are many.

    sudo python3 tests/lab/negatives.py target/release/ffp2p [pairs]

The rule: a pair's figure is the time of `random` over the time of `adaptive`.
"""

import os
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import EQUAL, Case, Spec, join, took
from machines import Machines
from process import Process

QUOTA = 0.2
TRAINED = Spec("784,1200,1200,1200,1200", batch=250, steps=40, epochs=15)
SHARDS = 6
"""Four machines get equal pieces. With 1,000 units in 5 shards they do not, and two groups that share out the shards
differently, by what each measured at the start, differ by a tenth, whatever their negatives."""

KINDS = ("adaptive", "random")


def group(program, negatives):
    """Seconds from the first step of four machines to their last."""
    case = Case(negatives, EQUAL, "single-layer", TRAINED, SHARDS, quota=QUOTA, wire="u4")
    with tempfile.TemporaryDirectory() as folder, Machines([QUOTA] * 4, case.link, f"ffp2p-{negatives}") as machines:
        flags = [f"--negatives={negatives}"]
        nodes = [Process(machines, number, join(case, program, f"{folder}/{number}") + flags) for number in range(4)]
        try:
            return took(nodes)[0]
        finally:
            for node in nodes:
                node.stop()


def pair(program):
    """Both groups at once; seconds by kind."""
    with ThreadPoolExecutor(len(KINDS)) as pool:
        return dict(zip(KINDS, pool.map(lambda kind: group(program, kind), KINDS)))


def main():
    program = str(Path(sys.argv[1]).resolve())
    if os.geteuid() != 0:
        sys.exit("negatives: it makes network namespaces and quotas; run it as root")
    shares = []
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 3):
        seconds = pair(program)
        shares.append(seconds["random"] / seconds["adaptive"])
        told = ", ".join(f"{kind} {seconds[kind]:.1f} s" for kind in KINDS)
        print(f"{told}: {shares[-1]:.3f} of the speed of random negatives", flush=True)
    print(f"middle {statistics.median(shares):.3f}, lowest {min(shares):.3f}, highest {max(shares):.3f}")


if __name__ == "__main__":
    main()
