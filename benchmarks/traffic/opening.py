"""`python -m benchmarks.traffic.opening ADDRESS PORT COUNT PAUSE`: opens connections, and says when it began each.

Prints one line each, the epoch seconds right before the first packet was handed to the kernel and the own port, and
does not wait for an answer. The pauses are PAUSE seconds on average and of no even length.
"""

from __future__ import annotations

import random
import socket
import sys
import time
from collections.abc import Sequence

FIRST_PORT = 20_000
"""Source port of the first; below those that the kernel gives out."""


def main(arguments: Sequence[str]) -> None:
    """Open them."""
    address, port, count, pause = arguments[0], int(arguments[1]), int(arguments[2]), float(arguments[3])
    for number in range(count):
        time.sleep(random.uniform(0.5, 1.5) * pause)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            sock.bind(("", FIRST_PORT + number))
            begun = time.time()
            sock.connect_ex((address, port))
            print(f"{begun:.6f} {FIRST_PORT + number}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
