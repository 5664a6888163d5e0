"""Raw frames at a steady rate, in the name of the namespace's first interface."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

_DEVICES = Path("/sys/class/net")
_TICKS_PER_SECOND = 1000
_BEGINS = "begins"


def announce() -> None:
    """Say that the attack begins now; `begun` reads it."""
    print(f"{_BEGINS} {time.time():.6f}", flush=True)


def begun(log: Path) -> float | None:
    """When the attack began (epoch seconds) whose tool writes this log; None: the tool does not say."""
    word, _, moment = log.read_text(errors="replace").partition("\n")[0].partition(" ")
    return float(moment) if word == _BEGINS else None


def first_interface() -> str:
    """The name of the namespace's first interface, the loopback device apart."""
    return next(path.name for path in sorted(_DEVICES.iterdir()) if path.name != "lo")


def packed(mac: str) -> bytes:
    """A MAC address as it stands in a frame."""
    return bytes.fromhex(mac.replace(":", ""))


def mac_of(interface: str) -> bytes:
    """An interface's own MAC address, packed."""
    return packed((_DEVICES / interface / "address").read_text().strip())


def send(
    frames: Sequence[bytes], interface: str, rate: int, seconds: float = math.inf, behind: float = 0.5
) -> tuple[int, float]:
    """Send them round and round, some each millisecond; returns how many, and in how many seconds.

    A sender that was held up catches up for `behind` seconds at most.
    """
    batch = max(1, rate // _TICKS_PER_SECOND)
    endless = cycle(frames)
    sent = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        begin = due = time.monotonic()
        while (now := time.monotonic()) - begin < seconds:
            if now < due:
                time.sleep(due - now)
                continue
            for _ in range(batch):
                sock.send(next(endless))
            sent += batch
            due = max(due + batch / rate, now - behind)
        return sent, time.monotonic() - begin
