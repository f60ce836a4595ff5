"""Several machines imitated on this one: a network namespace and a CPU quota each, on one switch.

The rule: whatever is made is taken down again, also when a run fails. Root and Linux only.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PERIOD_US = 5_000
"""Short, so that a machine at a tenth of a core still answers within milliseconds."""


@dataclass(frozen=True)
class Link:
    """What lies between a machine and the switch, in each direction."""

    name: str
    mbit: int
    delay_ms: float = 0.0
    loss_per_mille: int = 0


LAN = Link("lan", 1000)
WIFI = Link("wifi", 100, delay_ms=3.0, loss_per_mille=1)


def sh(*words, check=True):
    """Runs a command; its complaint is the error."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done


class Quota:
    """A share of one core, by cgroup version 1 or 2."""

    def __init__(self, name, share):
        first = Path("/sys/fs/cgroup/cpu")
        self.is_first = (first / "cpu.cfs_quota_us").exists() or (first / "tasks").exists()
        self.folder = (first if self.is_first else Path("/sys/fs/cgroup")) / name
        self.folder.mkdir(exist_ok=True)
        quota = max(1_000, round(share * PERIOD_US))
        period = max(PERIOD_US, round(quota / share))
        if self.is_first:
            (self.folder / "cpu.cfs_period_us").write_text(str(period))
            (self.folder / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (self.folder / "cpu.max").write_text(f"{quota} {period}")

    def enter(self):
        """The calling process lives under the quota from now on."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        """Takes the quota down; its processes have to be gone."""
        self.folder.rmdir()


class Machines:
    """`shares` of a core, one machine each, on one switch; laboratories of different names know nothing of each other."""

    def __init__(self, shares, link, name="ffp2p"):
        self.link, self.quotas, self.relays = link, [], []
        self.is_relayed = bool(link.delay_ms or link.loss_per_mille)
        self.names = [f"{name}-{number}" for number in range(len(shares))]
        self.switch = f"{name}-switch"
        self.tear_down()
        sh("ip", "netns", "add", self.switch)
        sh("ip", "-n", self.switch, "link", "add", "lan", "type", "bridge", "mcast_snooping", 0)
        sh("ip", "-n", self.switch, "link", "set", "lan", "up")
        # A switch does not look into packets, least of all at the expense of a machine's quota.
        for family in ("ip", "ip6", "arp"):
            setting = f"net.bridge.bridge-nf-call-{family}tables=0"
            sh("ip", "netns", "exec", self.switch, "sysctl", "-q", setting, check=False)
        for number, share in enumerate(shares):
            self.quotas.append(Quota(self.names[number], share))
            self.plug_in(number)
        if self.is_relayed:
            self.relay()

    def plug_in(self, number):
        """A namespace and a cable from it to the switch."""
        name, port = self.names[number], f"port{number}"
        sh("ip", "netns", "add", name)
        sh("ip", "-n", self.switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
        sh("ip", "-n", self.switch, "link", "set", port, "up")
        if self.is_relayed:
            ends = [f"near{number}", f"far{number}"]
            sh("ip", "-n", self.switch, "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
            sh("ip", "-n", self.switch, "link", "set", ends[0], "up")
            sh("ip", "-n", self.switch, "link", "set", ends[1], "master", "lan", "up")
        else:
            sh("ip", "-n", self.switch, "link", "set", port, "master", "lan")
        sh("ip", "-n", name, "link", "set", "lo", "up")
        sh("ip", "-n", name, "addr", "add", f"10.77.0.{number + 1}/24", "dev", "eth0")
        sh("ip", "-n", name, "link", "set", "eth0", "up")
        sh("ip", "-n", name, "route", "add", "224.0.0.0/4", "dev", "eth0")
        for place, device in ((name, "eth0"), (self.switch, port)):
            self.slow_down(place, device)

    def slow_down(self, place, device):
        """Bandwidth, by a token bucket."""
        rate, burst = f"{self.link.mbit}mbit", max(15_000, self.link.mbit * 250)
        words = ["tc", "-n", place, "qdisc", "add", "dev", device, "root", "tbf"]
        sh(*words, "rate", rate, "burst", burst, "latency", "50ms")

    def relay(self):
        """Delay and loss, half at each machine's cable: a way leads over two of them."""
        pairs = [f"port{number}:near{number}" for number in range(len(self.names))]
        halves = [self.link.delay_ms / 2, self.link.loss_per_mille / 2]
        words = ["ip", "netns", "exec", self.switch, sys.executable, Path(__file__).with_name("relay.py")]
        words = [str(word) for word in [*words, *halves, 1, *pairs]]
        self.relays.append(subprocess.Popen(words, stdout=subprocess.PIPE))
        self.relays[0].stdout.readline()

    def start(self, number, command, **options):
        """Starts a command on a machine."""
        inside = ["ip", "netns", "exec", self.names[number], *command]
        return subprocess.Popen(inside, preexec_fn=self.quotas[number].enter, **options)

    def tear_down(self):
        """Removes every namespace and quota of the laboratory."""
        for relay in self.relays:
            relay.kill()
            relay.wait()
        self.relays = []
        for name in [*self.names, self.switch]:
            sh("ip", "netns", "del", name, check=False)
        for quota in self.quotas:
            quota.remove()
        self.quotas = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tear_down()
