"""Whose bridge is it? Labs and benchmarks mark theirs in OVSDB, so that what a killed run left behind is known.

The mark `external_ids:dynseg-lab` names the process that made the bridge; nothing without a dead process's mark is ever
touched.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mininet_labs.errors import LabError

MARK = "dynseg-lab"


def own() -> str:
    """What this process marks its bridges with, as `ovs-vsctl set Bridge` takes it."""
    return f"external_ids:{MARK}={_of(os.getpid())}"


def remove_own() -> None:
    """Delete this process's bridges together with the interfaces that are plugged into them."""
    _remove(_with(_of(os.getpid())))


def sweep() -> list[str]:
    """Remove what labs of dead processes left behind; returns the names of the bridges removed."""
    marks = {mark for mark in _marks().values() if _of(int(mark.partition("-")[0])) != mark}
    dead = [bridge for mark in marks for bridge in _with(mark)]
    _remove(dead)
    return dead


def run(*command: str) -> str:
    """What a command of Open vSwitch prints.

    Raises:
        LabError: it failed.
    """
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"`{' '.join(command)}` failed: {done.stderr.strip()}", remedy="deploy/ovs start, as root")
    return done.stdout


def _of(pid: int) -> str:
    """`PID-STARTTIME` of a living process (a number that a later process cannot share), or `PID-gone`."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        started = "gone"
    return f"{pid}-{started}"


def _marks() -> dict[str, str]:
    """Bridge -> mark, of every lab on this machine."""
    rows = json.loads(run("ovs-vsctl", "--format=json", "--columns=name,external_ids", "list", "Bridge"))["data"]
    return {name: dict(ids)[MARK] for name, (_, ids) in rows if MARK in dict(ids)}


def _with(mark: str) -> list[str]:
    return [bridge for bridge, found in _marks().items() if found == mark]


def _remove(bridges: Sequence[str]) -> None:
    """Delete bridges together with the interfaces that are plugged into them."""
    if not bridges:
        return
    ports = run("ovs-vsctl", *(word for bridge in bridges for word in ("--", "list-ports", bridge))).split()
    run("ovs-vsctl", *(word for bridge in bridges for word in ("--", "--if-exists", "del-br", bridge)))
    for port in ports:
        if Path(f"/sys/class/net/{port}").exists():
            # The other end's deletion may take this one along in between: gone is what is wanted.
            subprocess.run(["ip", "link", "del", port], check=False, stderr=subprocess.DEVNULL)
