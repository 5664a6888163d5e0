"""`python -m mininet_labs.attacks.push --address A --port N --rate R`: pushes data out until it is ended.

At R bytes a second over one TCP connection; when that one stalls for a second it is given up for a new one, as somebody
does who wants the data out. Prints how many bytes went when it is ended with TERM.
"""

from __future__ import annotations

import argparse
import random
import signal
import socket
import time

_BLOCK = random.Random(0).randbytes(1 << 16)
PATIENCE = 1.0


class Pusher:
    """Sends until it is told to stop."""

    def __init__(self, address: str, port: int, rate: float) -> None:
        self._where = (address, port)
        self._rate = rate
        self._stop = False
        self.sent = 0

    def stop(self, *_: object) -> None:
        """End `run`."""
        self._stop = True

    def run(self) -> None:
        """One connection after the other."""
        while not self._stop:
            try:
                with socket.create_connection(self._where, timeout=PATIENCE) as sock:
                    self._push(sock)
            except OSError:
                time.sleep(0.1)

    def _push(self, sock: socket.socket) -> None:
        due = time.monotonic()
        while not self._stop:
            sock.sendall(_BLOCK)
            self.sent += len(_BLOCK)
            due += len(_BLOCK) / self._rate
            time.sleep(max(0.0, due - time.monotonic()))


def main() -> None:
    """Push until TERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    args = parser.parse_args()
    pusher = Pusher(args.address, args.port, args.rate)
    signal.signal(signal.SIGTERM, pusher.stop)
    pusher.run()
    print(f"{pusher.sent} bytes handed over")


if __name__ == "__main__":
    main()
