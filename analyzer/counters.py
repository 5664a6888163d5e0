"""Entry counters of the VFNs as window features: what each VM sends, and what of it enforcement drops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analyzer.flows import F8, I8, U8, Array
from runtime.arrays import COUNTER
from runtime.errors import ChannelError
from topology.model import Inventory

SOURCE_CLASS, ENFORCEMENT = 5, 8
_FEATURE = {SOURCE_CLASS: "switch_packets", ENFORCEMENT: "denied"}


@dataclass(frozen=True)
class Counted:
    """Packets of VMs since the last reading, for one feature."""

    feature: str
    vm: I8
    packets: F8


class Counters:
    """Turns readings into differences. What the engine has not named (`cookies`) is left out."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._names: dict[int, tuple[U8, Array, Array]] = {}
        self._last: dict[int, tuple[U8, U8]] = {}

    def name(self, dpid: int, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """What the cookies of a VFN stand for: {decimal cookie: {table, vm, verdict, rules}}."""
        found = sorted(
            (int(cookie), int(entry["table"]), self._inventory.vms[entry["vm"]].number)
            for cookie, entry in entries.items()
            if self._counts(dpid, entry)
        )
        cookies = np.array([cookie for cookie, _, _ in found], np.uint64)
        places = np.array([(table, vm) for _, table, vm in found], np.int64).reshape(-1, 2)
        self._names[dpid] = cookies, places[:, 0], places[:, 1]

    def _counts(self, dpid: int, entry: Mapping[str, Any]) -> bool:
        """A VM's own entry at its own VFN (elsewhere its packets only pass), or one that drops its packets."""
        vm = self._inventory.vms.get(entry.get("vm") or "")
        if vm is None:
            return False
        if entry["table"] == SOURCE_CLASS:
            return self._inventory.vfns[vm.vfn].dpid == dpid
        return bool(entry["table"] == ENFORCEMENT and entry.get("verdict") == "drop")

    def read(self, dpid: int, body: bytes) -> list[Counted]:
        """Take a reading (`COUNTER` rows); the first of a VFN only sets the marks.

        Raises:
            ChannelError: the body is no whole number of counters.
        """
        if len(body) % COUNTER.itemsize:
            raise ChannelError(f"{len(body)} bytes are no whole number of counters of {COUNTER.itemsize}")
        rows = np.frombuffer(body, COUNTER)
        cookies, first = np.unique(rows["cookie"], return_index=True)
        packets = rows["packets"][first].astype(np.uint64)
        before = self._last.get(dpid)
        self._last[dpid] = cookies, packets
        if before is None or dpid not in self._names:
            return []
        common, here, there = np.intersect1d(cookies, before[0], assume_unique=True, return_indices=True)
        grown = np.where(packets[here] >= before[1][there], packets[here] - before[1][there], packets[here])
        return self._by_vm(dpid, common, grown)

    def _by_vm(self, dpid: int, cookies: U8, packets: U8) -> list[Counted]:
        names, tables, vms = self._names[dpid]
        _, here, there = np.intersect1d(cookies, names, assume_unique=True, return_indices=True)
        found = []
        for table, feature in _FEATURE.items():
            of = tables[there] == table
            vm, group = np.unique(vms[there][of], return_inverse=True)
            if len(vm):
                counts: F8 = np.bincount(group, weights=packets[here][of]).astype(np.float64)
                found.append(Counted(feature, vm, counts))
        return found
