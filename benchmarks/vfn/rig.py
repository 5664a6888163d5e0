"""What measurements stand on: bridges that are gone after their block, a switch at rest.

What a killed run left of bridges `mininet_labs.marks` sweeps.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mininet_labs import marks

PID_FILE = Path("/var/run/openvswitch/ovs-vswitchd.pid")
_QUIET_SECONDS = 0.05
"""Without a tick (10 ms) of the processor: what is left to do is not worth waiting for."""
_PATIENCE_SECONDS = 5.0


@contextmanager
def bridges(names: Sequence[str]) -> Iterator[None]:
    """Bridges in userspace without ports or controller, which forward nothing until they are told to.

    Raises:
        LabError: one of them is there already and is not ours.
    """
    settings = ["datapath_type=netdev", "fail_mode=secure", "protocols=OpenFlow13", marks.own()]
    adds = [word for name in names for word in ("--", "add-br", name, "--", "set", "Bridge", name, *settings)]
    try:
        marks.run("ovs-vsctl", *adds)
        yield
    finally:
        marks.remove_own()


def wait_until_idle() -> None:
    """Wait until the switch has done what it puts off, such as freeing entries, or a while at most."""
    before, quiet_since = _ticks(), time.monotonic()
    deadline = quiet_since + _PATIENCE_SECONDS
    while (now := time.monotonic()) < min(deadline, quiet_since + _QUIET_SECONDS):
        time.sleep(_QUIET_SECONDS / 5)
        if (ticks := _ticks()) != before:
            before, quiet_since = ticks, now


def _ticks() -> int:
    """Processor time of the switch daemon, user and system (proc(5))."""
    pid = int(PID_FILE.read_text())
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
