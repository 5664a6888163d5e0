"""Plays a rewritten capture: every endpoint that sends has a tcpreplay of its own, and says nothing by itself."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from mininet_labs.children import wait_for
from mininet_labs.errors import LabError
from mininet_labs.network import LabNetwork
from mininet_labs.replay.rewrite import Rewritten, Slice

_TOOL = "tcpreplay"


def check() -> None:
    """See that tcpreplay is there.

    Raises:
        LabError: it is not.
    """
    if shutil.which(_TOOL) is None:
        raise LabError(f"{_TOOL} is missing", remedy=f"apt-get install {_TOOL}")


def silence(network: LabNetwork, endpoints: Iterable[str]) -> None:
    """Take the endpoints' addresses: their kernels would answer what the capture has no answer to."""
    for name in endpoints:
        network.popen(name, ["ip", "address", "flush", "dev", f"{name}-eth0"]).wait()


def play(network: LabNetwork, capture: Rewritten, speed: float, logs: Path) -> None:
    """Send everything at the capture's own pace, `speed` times as fast.

    Raises:
        LabError: a tcpreplay failed, or did not end.
    """
    senders = {part: _sender(network, part, speed, logs) for part in capture.slices}
    try:
        patience = 2 * capture.seconds / speed + 30.0
        wait_for("everything is sent", lambda: all(one.poll() is not None for one in senders.values()), patience)
    finally:
        for one in senders.values():
            one.kill()
            one.wait()
    if failed := [part.endpoint for part, one in senders.items() if one.returncode]:
        raise LabError(f"tcpreplay failed at {', '.join(failed)}", remedy=f"see {logs}")


def _sender(network: LabNetwork, part: Slice, speed: float, logs: Path) -> subprocess.Popen[bytes]:
    """Each begins as much later as its first packet does: tcpreplay itself begins at once."""
    replay = f"exec {_TOOL} -q --multiplier={speed} -i {part.endpoint}-eth0 {part.path}"
    with (logs / f"{part.endpoint}.log").open("wb") as log:
        command = ["sh", "-c", f"sleep {part.begins / speed:.6f}; {replay}"]
        return network.popen(part.endpoint, command, output=log)
