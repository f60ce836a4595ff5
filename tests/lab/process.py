"""A process of ours on an imitated machine, and what it tells.

The rule: an event has the time at which it was told, by one clock for all machines.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

GIVE_UP_S = 1_800


class Process:
    """A process of ours that tells events, each with the time it was told."""

    def __init__(self, machines, number, command):
        self.events = []
        self.process = machines.start(number, command, stdout=-1, stderr=sys.stderr, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.events.append((time.monotonic(), json.loads(line)))

    def first(self, *names):
        """When the first such event came, and the event."""
        return next(((at, it) for at, it in list(self.events) if it["event"] in names), None)

    def wait_for(self, name):
        end = time.monotonic() + GIVE_UP_S
        while (found := self.first(name)) is None:
            if time.monotonic() > end or self.process.poll() not in (None, 0):
                raise RuntimeError(f"no event {name}")
            time.sleep(0.05)
        return found

    def threads(self):
        """Seconds of CPU by what threads do: `train` or `network`; and the peak of memory in MB."""
        used, tick = {"train": 0.0, "network": 0.0}, os.sysconf("SC_CLK_TCK")
        root = Path(f"/proc/{self.process.pid}")
        for task in (root / "task").iterdir():
            name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
            words = rest.split()
            used["train" if name.startswith("train") else "network"] += (int(words[11]) + int(words[12])) / tick
        status = (root / "status").read_text()
        return used, int(status.split("VmHWM:")[1].split()[0]) / 1024

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()
        self.reader.join()
