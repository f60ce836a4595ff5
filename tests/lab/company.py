"""What the others notice when a machine stalls, joins or is killed, with branches: measured as in newcomer.py.

Four machines train. At a fifth of the run one is stopped for 20 s (SIGSTOP), at half of it a fifth machine joins, and at
three quarters one is killed for good. Speeds are the work of all machines' own steps in two seconds each, as shares of the mean
before the event.

    sudo python3 tests/lab/company.py target/release/ffp2p
"""

import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from lab import BRANCHES, EQUAL, Case, Spec, join
from machines import Machines
from newcomer import QUOTA, costs, curve, done, progress
from process import Process

TRAINED = Spec("784,1000,1000,1000,1000", batch=500, steps=40, epochs=26)
STALLED, KILLED = 3, 2
STALL_S, WINDOW_S, GRACE_S, SHOWN_S = 20, 2, 8, 20


def windows(speed, begin, seconds):
    """The speed in each two seconds from `begin` on."""
    return [speed(begin + at, begin + at + WINDOW_S) for at in range(0, seconds, WINDOW_S)]


def told(name, speeds, later):
    """One line of the result."""
    shown = " ".join(f"{speed:.2f}" for speed in speeds)
    print(f"{name}: {shown}; mean {statistics.fmean(speeds):.2f}, later {later:.2f}", flush=True)


def main():
    program = str(Path(sys.argv[1]).resolve())
    case = Case("company", EQUAL, "all-layers", TRAINED, 1, quota=QUOTA, more=BRANCHES)
    weights = costs(case)
    with tempfile.TemporaryDirectory() as folder, Machines([QUOTA] * 5, case.link) as machines:
        nodes = [Process(machines, number, join(case, program, f"{folder}/{number}")) for number in range(4)]

        def until(share):
            while progress(nodes[0]) < share:
                time.sleep(0.1)
            return time.monotonic()

        stalled = until(0.2)
        nodes[STALLED].process.send_signal(signal.SIGSTOP)
        time.sleep(STALL_S)
        nodes[STALLED].process.send_signal(signal.SIGCONT)
        joined = until(0.5)
        nodes.append(Process(machines, 4, join(case, program, f"{folder}/4")))
        killed = until(0.75)
        nodes[KILLED].process.kill()
        nodes[0].wait_for("done")
        for node in nodes:
            node.stop()
    curves = [curve(node, weights) for node in nodes]

    def of(who, normal):
        return lambda begin, end: sum(done(curves[n], end) - done(curves[n], begin) for n in who) / (end - begin) / normal

    everybody, awake = range(5), [n for n in range(4) if n != STALLED]
    begun = nodes[0].first("training")[0] + GRACE_S
    four = of(everybody, 1)(begun, stalled)
    others = of(awake, four * len(awake) / 4)
    told("stalled, the others", windows(others, stalled, STALL_S), others(stalled + STALL_S, stalled + STALL_S + GRACE_S))
    five = of(everybody, of(everybody, 1)(stalled + STALL_S + GRACE_S, joined))
    told("a fifth joined", windows(five, joined, SHOWN_S), five(joined + GRACE_S, killed))
    left = of(everybody, of(everybody, 1)(joined + GRACE_S, killed))
    told("one of five killed", windows(left, killed, SHOWN_S), left(killed + GRACE_S, killed + SHOWN_S))


if __name__ == "__main__":
    main()
