"""Flows as a network of a thousand VMs makes them: what the benchmarks of the analyzer are fed with."""

from __future__ import annotations

import numpy as np

from analyzer.flows import ACK, FIN, PSH, SYN, FlowBatch, FlowState, address_halves
from analyzer.site import SEGMENT

VMS = 1000
PEERS = 12
"""Services inside that a VM uses."""
START = 1_800_000_000.0
_PORTS = np.array([443, 80, 53, 5432, 8080, 123, 445, 389], np.uint16)


class Load:
    """Draws whole flows, each its own event, in order of their ends."""

    def __init__(self, seed: int = 7, vms: int = VMS) -> None:
        self._rng = np.random.default_rng(seed)
        self.segment = np.full(vms + 1, SEGMENT, np.int16)
        self.low = np.zeros(vms + 1, np.uint64)
        """Lower halves of the VMs' addresses."""
        for vm in range(1, vms + 1):
            self.low[vm] = address_halves(f"10.0.{vm >> 8}.{vm & 255}")[1]
        self._peers = self._rng.integers(1, vms + 1, (vms + 1, PEERS))
        self._outside = np.uint64(address_halves("198.18.0.0")[1])

    def flows(self, count: int, begin: float, seconds: float) -> FlowBatch:
        """`count` flows that end within `seconds` from `begin` on."""
        rng = self._rng
        batch = FlowBatch.empty(count)
        rows = batch.rows
        rows["src_vm"] = rng.integers(1, len(self.segment), count)
        away = rng.random(count) < 0.3
        peer = rng.integers(0, PEERS, count)
        rows["dst_vm"] = np.where(away, 0, self._peers[rows["src_vm"], peer])
        rows["src_lo"] = self.low[rows["src_vm"]]
        rows["dst_lo"] = np.where(
            away, self._outside + rng.zipf(1.6, count).astype(np.uint64) % 4096, self.low[rows["dst_vm"]]
        )
        rows["src_segment"], rows["dst_segment"] = SEGMENT, np.where(away, 0, SEGMENT)
        rows["end"] = begin + np.sort(rng.random(count)) * seconds
        rows["start"] = rows["end"] - rng.exponential(0.5, count)
        rows["src_port"], rows["dst_port"] = rng.integers(32768, 61000, count), _PORTS[peer % len(_PORTS)]
        rows["proto"] = np.where(np.isin(rows["dst_port"], (53, 123)), 17, 6)
        rows["flags"] = np.where(rows["proto"] == 6, SYN | ACK | PSH | FIN, 0)
        for name, mean in (("src_pkts", 12), ("dst_pkts", 15)):
            rows[name] = rng.poisson(mean, count) + 1
        rows["src_bytes"] = rows["src_pkts"] * rng.integers(60, 600, count).astype(np.uint64)
        rows["dst_bytes"] = rows["dst_pkts"] * rng.integers(60, 1400, count).astype(np.uint64)
        failed = rng.random(count) < 0.005
        rows["state"] = np.where(failed, FlowState.FAILED, 0) | FlowState.NEW | FlowState.FINAL
        rows["vfn"] = rows["port"] = -1
        return batch
