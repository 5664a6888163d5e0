"""What telling of IPv6 flows costs the switch: a short TCP connection and a packet of a transfer, with and without.

Both with the whole pipeline; without its set of collectors Open vSwitch makes nothing of the entries that would report.
IPv4 with NetFlow is measured beside.
"""

from __future__ import annotations

import json
import socket
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.rows import Row
from benchmarks.vfn.bench import Bench
from benchmarks.vfn.datapath import FULL, IPERF_PORT, DataPath, data_path, follow
from benchmarks.vfn.headers import PORT
from benchmarks.vfn.measures import switch_seconds
from mininet_labs import marks
from mininet_labs.children import module
from policies.entries import COLLECTOR_SET

ROUNDS, CONNECTIONS, TRANSFER_SECONDS = 7, 1_500, 1.0
NO_LIMIT = 1_000_000
MAX_RATIO = 1.25
_SEGMENT = 1428
"""Bytes of TCP in a full IPv6 frame, with timestamps."""


def rows() -> list[Row]:
    """Ratios of medians over the rounds."""
    found: dict[str, list[float]] = {}
    with data_path(Bench(print, Path("out/bench")), NO_LIMIT) as path:
        for _ in range(ROUNDS):
            with _reporting():
                found.setdefault("with", []).append(_connection(path, 6))
                found.setdefault("packet with", []).append(_packet(path))
            found.setdefault("without", []).append(_connection(path, 6))
            found.setdefault("packet without", []).append(_packet(path))
            found.setdefault("IPv4", []).append(_connection(path, 4))
    told = f"IPv4 with NetFlow: {statistics.median(found['IPv4']):.0f} us"
    return [
        _row("IPv6 flows told by IPFIX, CPU per short TCP connection", found, ("with", "without"), "us", told),
        _row("the same per full packet of a transfer", found, ("packet with", "packet without"), "us", None),
    ]


def _row(measure: str, found: dict[str, list[float]], names: tuple[str, str], unit: str, told: str | None) -> Row:
    ratio = statistics.median(a / b for a, b in zip(found[names[0]], found[names[1]], strict=True))
    ours, theirs = (statistics.median(found[name]) for name in names)
    reason = f"{ours:.3g} {unit}" + ("" if told is None else f"; {told}")
    return Row(f"{measure}, against the same pipeline without", round(ratio, 3), "x", "<=", MAX_RATIO, ROUNDS,
               f"without, {unit}", round(theirs, 2), reason)  # fmt: skip


@contextmanager
def _reporting() -> Iterator[None]:
    """IPFIX goes to a socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        target = f'targets="127.0.0.1:{collector.getsockname()[1]}"'
        uuid = marks.run(
            "ovs-vsctl", "--", "--id=@b", "get", "Bridge", FULL,
            "--", "--id=@i", "create", "IPFIX", target, "cache_active_timeout=1", "cache_max_flows=50000",
            "--", "create", "Flow_Sample_Collector_Set", f"id={COLLECTOR_SET}", "bridge=@b", "ipfix=@i",
        ).split()[-1]  # fmt: skip
        try:
            follow()
            yield
        finally:
            marks.run("ovs-vsctl", "destroy", "Flow_Sample_Collector_Set", uuid)
            follow()


def _connection(path: DataPath, version: int) -> float:
    """Microseconds of the switch daemon."""
    before = switch_seconds()
    path.run("client", *module("benchmarks.vfn.connections", "open", _server(path, version), PORT, CONNECTIONS))
    marks.run("ovs-appctl", "revalidator/purge")
    return 1e6 * (switch_seconds() - before) / CONNECTIONS


def _packet(path: DataPath) -> float:
    before = switch_seconds()
    words = ("iperf3", "-c", _server(path, 6), "-p", IPERF_PORT, "-t", f"{TRANSFER_SECONDS:g}", "-J")
    report = json.loads(path.run("client", *words))
    return 1e6 * (switch_seconds() - before) * _SEGMENT / float(report["end"]["sum_received"]["bytes"])


def _server(path: DataPath, version: int) -> str:
    return str(next(each for each in path.inventory.vms["server"].addresses if each.version == version))
