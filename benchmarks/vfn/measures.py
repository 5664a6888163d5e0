"""What a measurement reads off: the switch daemon's processor time, throughput, round trips."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rows import quantile
from benchmarks.vfn.datapath import IPERF_PORT, RUN_DIR, DataPath
from mininet_labs.errors import LabError

INTERVAL_SECONDS = 0.001
"""Between two pings."""
_TICKS = os.sysconf("SC_CLK_TCK")
_TIME = re.compile(r"time=([\d.]+) ms")


def switch_seconds() -> float:
    """Processor time of ovs-vswitchd so far, user and system (proc(5), fields 14 and 15 of `stat`)."""
    pid = (RUN_DIR / "ovs-vswitchd.pid").read_text().strip()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def throughput(path: DataPath, client: str, server: str, seconds: float) -> float:
    """Gbit/s of one TCP transfer by iperf3, as received."""
    address = path.inventory.vms[server].addresses[0]
    words = ("iperf3", "-c", address, "-p", IPERF_PORT, "-t", f"{seconds:g}", "-J")
    report = json.loads(path.run(client, *words))
    return float(report["end"]["sum_received"]["bits_per_second"]) / 1e9


@dataclass(frozen=True)
class Pings:
    """Echo requests and what came back."""

    sent: int
    milliseconds: Sequence[float]
    """Round trips, rising."""

    @property
    def delivered(self) -> float:
        """Per cent."""
        return 100 * len(self.milliseconds) / self.sent

    def quantile(self, share: float) -> float:
        """Round trip in ms that this share of the answered ones does not exceed."""
        return quantile(self.milliseconds, share)


def pings(path: DataPath, client: str, server: str, count: int) -> Pings:
    """Echo requests, `INTERVAL_SECONDS` apart.

    Raises:
        LabError: none was answered.
    """
    address = path.inventory.vms[server].addresses[0]
    # ping ends with status 1 when requests at the end stay unanswered: that is a finding, not a failure.
    shown = path.run(client, "sh", "-c", f"ping -i {INTERVAL_SECONDS} -c {count} -W 1 {address} || true")
    times = sorted(float(found) for found in _TIME.findall(shown))
    if not times:
        raise LabError(f"no ping of {client} to {server} was answered")
    return Pings(count, times)
