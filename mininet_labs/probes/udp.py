"""`python -m mininet_labs.probes.udp --spec SPEC --out CSV`: UDP probes between pairs of endpoints, echoed back.

One process serves all pairs: its sockets live in the endpoints' namespaces. SPEC is JSON: ``{"rate": per second,
"port": UDP port, "pairs": [{"name", "source_pid", "target_pid", "source", "target"}]}`` (addresses). Each probe becomes
one line of CSV once its fate is known: ``name,sequence,sent,delivered,returned`` in epoch seconds, empty: never. TERM
stops the sending, waits for what is under way, and ends.
"""

from __future__ import annotations

import argparse
import json
import selectors
import signal
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from mininet_labs.probes.namespaces import inside

_PROBE = struct.Struct("!HI")
FATE = 1.0
"""Seconds after which a probe that is not back is lost."""
_FLUSH = 0.25


@dataclass
class _Pair:
    """One pair and its probes that are under way: sequence -> [sent, delivered]."""

    name: str
    sock: socket.socket
    pending: dict[int, list[float]] = field(default_factory=dict)
    sequence: int = 0


class Prober:
    """Sends, echoes, notes."""

    def __init__(self, spec: dict[str, Any], log: IO[str]) -> None:
        self._log = log
        self._selector = selectors.DefaultSelector()
        self._interval = 1 / (spec["rate"] * len(spec["pairs"]))
        self._pairs = [self._open(pair, spec["port"]) for pair in spec["pairs"]]
        for pid, address in sorted({(pair["target_pid"], pair["target"]) for pair in spec["pairs"]}):
            sock = inside(pid, partial(_bound, (address, spec["port"])))
            self._selector.register(sock, selectors.EVENT_READ, None)
        self._stop = False

    def stop(self, *_: object) -> None:
        """Send no more; `run` returns when the fate of all is known."""
        self._stop = True

    def run(self) -> None:
        """Probe until stopped. Pairs take turns, so that their probes are spread evenly in time."""
        turn, due, flush = 0, time.monotonic(), 0.0
        end: float | None = None
        while end is None or time.monotonic() < end:
            now = time.monotonic()
            if self._stop and end is None:
                end = now + FATE
            while end is None and due <= now:
                self._send(turn % len(self._pairs))
                turn, due = turn + 1, due + self._interval
            for key, _ in self._selector.select(max(0.0, (due if end is None else end) - time.monotonic())):
                if isinstance(key.data, _Pair):
                    self._returned(key.data)
                else:
                    _echo(key.fileobj, self._pairs)  # type: ignore[arg-type]  # registered above as sockets
            if now > flush:
                self._give_up(time.time() - FATE)
                flush = now + _FLUSH
        self._give_up(time.time())

    def _open(self, pair: dict[str, Any], port: int) -> _Pair:
        def make() -> socket.socket:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.connect((pair["target"], port))
            sock.setblocking(False)
            return sock

        opened = _Pair(pair["name"], inside(pair["source_pid"], make))
        self._selector.register(opened.sock, selectors.EVENT_READ, opened)
        return opened

    def _send(self, index: int) -> None:
        pair = self._pairs[index]
        pair.sequence += 1
        pair.pending[pair.sequence] = [time.time(), 0.0]
        try:
            pair.sock.send(_PROBE.pack(index, pair.sequence))
        except OSError:
            return  # unreachable since it is cut off: the probe stays pending and will count as lost

    def _returned(self, pair: _Pair) -> None:
        for data in _datagrams(pair.sock):
            now = time.time()
            _, sequence = _PROBE.unpack(data)
            if (times := pair.pending.pop(sequence, None)) is not None:
                self._log.write(f"{pair.name},{sequence},{times[0]:.6f},{times[1]:.6f},{now:.6f}\n")

    def _give_up(self, before: float) -> None:
        for pair in self._pairs:
            lost = [(number, times) for number, times in pair.pending.items() if times[0] < before]
            for number, (sent, delivered) in lost:
                del pair.pending[number]
                self._log.write(f"{pair.name},{number},{sent:.6f},{f'{delivered:.6f}' if delivered else ''},\n")
        self._log.flush()


def _bound(where: tuple[str, int]) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(where)
    sock.setblocking(False)
    return sock


def _datagrams(sock: socket.socket) -> deque[bytes]:
    """All probes that wait on a connected socket; errors that ICMP reported are lost probes, counted elsewhere."""
    found: deque[bytes] = deque()
    while True:
        try:
            data = sock.recv(64)
        except BlockingIOError:
            return found
        except OSError:
            continue
        if len(data) == _PROBE.size:
            found.append(data)


def _echo(sock: socket.socket, pairs: list[_Pair]) -> None:
    while True:
        try:
            data, sender = sock.recvfrom(64)
        except BlockingIOError:
            return
        if len(data) != _PROBE.size:
            continue
        index, sequence = _PROBE.unpack(data)
        if index < len(pairs) and sequence in pairs[index].pending:
            pairs[index].pending[sequence][1] = time.time()
        try:
            sock.sendto(data, sender)
        except OSError:
            continue  # the way back is cut: the prober sees that nothing returns


def main() -> None:
    """Probe until TERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    with args.out.open("w") as log:
        prober = Prober(json.loads(args.spec.read_text()), log)
        signal.signal(signal.SIGTERM, prober.stop)
        print("ready", flush=True)
        prober.run()


if __name__ == "__main__":
    main()
