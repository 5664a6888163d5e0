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
from typing import Any

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
    forget_orphans()
    return dead


def forget_orphans() -> None:
    """Remove sets of IPFIX collectors whose bridge has been deleted.

    They keep the bridge's row, and a new bridge of its name would be one of two. A control that runs, or ends orderly,
    leaves none.
    """
    alive = set(_uuids(_rows("Open_vSwitch", "bridges")[0][0]))
    sets = _rows("Flow_Sample_Collector_Set", "_uuid,bridge")
    dead = [uuid for (_, uuid), bridge in sets if not alive.intersection(_uuids(bridge))]
    if dead:
        run(
            "ovs-vsctl",
            *(w for uuid in dead for w in ("--", "--if-exists", "destroy", "Flow_Sample_Collector_Set", uuid)),
        )


def _rows(table: str, columns: str) -> list[list[Any]]:
    found: list[list[Any]] = json.loads(run("ovs-vsctl", "--format=json", f"--columns={columns}", "list", table))[
        "data"
    ]
    return found


def _uuids(value: Any) -> list[str]:
    """Of a reference, or a set of them, as OVSDB writes them (RFC 7047, 5.1)."""
    return [uuid for _, uuid in (value[1] if value[0] == "set" else [value])]


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
    rows = _rows("Bridge", "name,external_ids")
    return {name: dict(ids)[MARK] for name, (_, ids) in rows if MARK in dict(ids)}


def _with(mark: str) -> list[str]:
    return [bridge for bridge, found in _marks().items() if found == mark]


def _remove(bridges: Sequence[str]) -> None:
    """Delete bridges together with the interfaces that are plugged into them."""
    if not bridges:
        return
    ports = run("ovs-vsctl", *(word for bridge in bridges for word in ("--", "list-ports", bridge))).split()
    run("ovs-vsctl", *(word for bridge in bridges for word in ("--", "--if-exists", "del-br", bridge)))
    forget_orphans()
    for port in ports:
        if Path(f"/sys/class/net/{port}").exists():
            # The other end's deletion may take this one along in between: gone is what is wanted.
            subprocess.run(["ip", "link", "del", port], check=False, stderr=subprocess.DEVNULL)
