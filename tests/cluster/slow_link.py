"""A slow and lossy link between two network interfaces; run by `Host.slow`, in their namespace.

    python slow_link.py ONE OTHER DELAY_SECONDS LOST_SHARE

`tc netem` does the same where the kernel has it, which many have not. What comes in at one
interface leaves at the other after the delay, or never. When it is told to end, it says how many
frames came, and how many of them it lost.
"""

import contextlib
import random
import select
import signal
import socket
import sys
import time
from collections import deque

EVERY_PROTOCOL = 3
SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
LARGEST = 1 << 17  # the kernel hands over what it has not cut into frames yet


def opened(interface):
    """Return what gets and sends the frames of an interface, whoever they are for."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
    end.bind((interface, EVERY_PROTOCOL))
    end.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)  # with it, checksums may be left to the kernel
    end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    return end


def carry(one, other, delay, loss, counts):
    """Carry frames both ways, for ever."""
    across, late = {one: other, other: one}, deque()
    while True:
        patience = max(0.0, late[0][0] - time.monotonic()) if late else None
        for end in select.select([one, other], [], [], patience)[0]:
            frame, lost = end.recv(LARGEST), random.random() < loss
            counts["came"] += 1
            counts["lost"] += lost
            if not lost:
                late.append((time.monotonic() + delay, across[end], frame))
        while late and late[0][0] <= time.monotonic():
            _, end, frame = late.popleft()
            with contextlib.suppress(OSError):  # the interface is down, or has no room
                end.send(frame)


if __name__ == "__main__":
    counts = {"came": 0, "lost": 0}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"{counts['came']} {counts['lost']}"))
    ends = map(opened, sys.argv[1:3])
    carry(*ends, *map(float, sys.argv[3:5]), counts)
