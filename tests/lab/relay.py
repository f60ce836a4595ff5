"""A cable with delay and loss, in user space, for kernels without netem.

    relay.py DELAY_MS LOSS_PER_MILLE SEED LEFT:RIGHT [LEFT:RIGHT ...]

Passes frames between the two devices of each pair, in order and each way alike. Frames keep the kernel's own
header in front (what is to be segmented, which checksum is still to be made), so they pass as they are.
"""

import random
import selectors
import socket
import sys
import time
from collections import deque

ETH_P_ALL, SOL_PACKET, PACKET_VNET_HDR, OUTGOING = 3, 263, 15, 4
LARGEST_FRAME = 1 << 17
WAITING = 4_096
"""Frames on one cable in one direction, at most; more are lost, as in any queue."""


def open_device(name):
    """A socket that reads and writes whole frames of a device."""
    device = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    device.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    device.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    device.bind((name, ETH_P_ALL))
    device.setblocking(False)
    return device


def main():
    delay, loss = float(sys.argv[1]) / 1e3, float(sys.argv[2]) / 1e3
    chance, ready, ways = random.Random(int(sys.argv[3])), selectors.DefaultSelector(), []
    for pair in sys.argv[4:]:
        left, right = map(open_device, pair.split(":"))
        for source, target in ((left, right), (right, left)):
            waiting = deque(maxlen=WAITING)
            ways.append((target, waiting))
            ready.register(source, selectors.EVENT_READ, waiting)
    print("ready", flush=True)
    while True:
        due = min((waiting[0][0] for _, waiting in ways if waiting), default=None)
        patience = None if due is None else max(0.0, due - time.monotonic())
        for key, _ in ready.select(patience):
            now = time.monotonic()
            while True:
                try:
                    frame, address = key.fileobj.recvfrom(LARGEST_FRAME)
                except BlockingIOError:
                    break
                if address[2] != OUTGOING and chance.random() >= loss and len(key.data) < WAITING:
                    key.data.append((now + delay, frame))
        now = time.monotonic()
        for target, waiting in ways:
            while waiting and waiting[0][0] <= now:
                _, frame = waiting.popleft()
                try:
                    target.send(frame)
                except OSError:
                    # The device's own queue is full: the frame is lost.
                    pass


main()
