"""Whose packets a NetFlow record counts: the VM on the port where they came in, never the one they claim to be from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analyzer.flows import NOBODY, TCP, U8, UDP, Array, Bool, address_halves, is_group, v4_low
from analyzer.keytable import mix
from analyzer.netflow import Records
from topology.model import Inventory

SIDE = np.dtype(
    [
        ("first", "<f8"),
        ("last", "<f8"),
        ("src_hi", "<u8"),
        ("src_lo", "<u8"),
        ("dst_hi", "<u8"),
        ("dst_lo", "<u8"),
        ("pkts", "<u8"),
        ("bytes", "<u8"),
        ("src_port", "<u2"),
        ("dst_port", "<u2"),
        ("proto", "u1"),
        ("flags", "u1"),
        ("vfn", "<i2"),
        ("port", "<i4"),
        ("src_vm", "<i4"),  # the VM on the port; 0 for an outside port
        ("dst_vm", "<i4"),  # the VM with the destination address; 0 outside; NOBODY
        ("spoofed", "?"),
    ]
)
"""One direction of one flow, counted where it entered the network."""

_DHCP_CLIENT = 68


class AddressBook:
    """Address -> VM number, for whole columns."""

    def __init__(self, inventory: Inventory) -> None:
        pairs = [(address_halves(str(a)), vm.number) for a, vm in inventory.vm_by_address.items()]
        high = np.array([p[0][0] for p in pairs], np.uint64)
        low = np.array([p[0][1] for p in pairs], np.uint64)
        keys = mix(0, high, low)
        order = np.argsort(keys)
        self._keys, self._high, self._low = keys[order], high[order], low[order]
        self._numbers = np.array([p[1] for p in pairs], np.int32)[order]

    def vm_of(self, high: U8, low: U8) -> Array:
        """VM numbers (int32), 0 where an address is no VM's."""
        if not len(self._keys):
            return np.zeros(len(high), np.int32)
        at = np.minimum(np.searchsorted(self._keys, mix(0, high, low)), len(self._keys) - 1)
        same = (self._high[at] == high) & (self._low[at] == low)
        return np.where(same, self._numbers[at], 0).astype(np.int32)


@dataclass(frozen=True)
class Attributed:
    """What is left of a burst of records: sides (dtype `SIDE`) and how many records were set aside."""

    sides: Array
    transit: int
    """Came in at a link, or at a port nobody is known to be on."""
    forged_outside: int
    """Came in from outside under a VM's address: evidence against nobody here."""


class Attribution:
    """Knows which VM or outside port is on which OpenFlow port of which VFN."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._book = AddressBook(inventory)
        self._ports: dict[int, dict[int, int]] = {}
        self._keys = np.empty(0, np.int64)
        self._vms = np.empty(0, np.int32)

    def set_ports(self, dpid: int, ports: Mapping[str, int]) -> bool:
        """Take over the ports of a VFN (interface name -> OpenFlow port); False when the inventory has no such VFN."""
        vfn = self._inventory.vfn_by_dpid.get(dpid)
        if vfn is None:
            return False
        here = {vm.port: vm.number for vm in self._inventory.vms.values() if vm.vfn == vfn.name}
        here |= {out.port: 0 for out in self._inventory.outside.values() if out.vfn == vfn.name}
        self._ports[vfn.number] = {ports[name]: number for name, number in here.items() if name in ports}
        known = sorted((v << 32 | port, vm) for v, table in self._ports.items() for port, vm in table.items())
        self._keys = np.array([key for key, _ in known], np.int64)
        self._vms = np.array([vm for _, vm in known], np.int32)
        return True

    def owner(self, vfn: Array, port: Array) -> Array:
        """VM number on each (VFN number, OpenFlow port); 0 an outside port; NOBODY a link or unknown (int32)."""
        if not len(self._keys):
            return np.full(len(vfn), NOBODY, np.int32)
        wanted = vfn.astype(np.int64) << 32 | port.astype(np.int64)
        at = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return np.where(self._keys[at] == wanted, self._vms[at], NOBODY).astype(np.int32)

    def attribute(self, records: Records) -> Attributed:
        """Keep what entered the network at a VM's or outside port: so each direction of a flow counts exactly once."""
        return self.settle(_sides(records))

    def settle(self, sides: Array) -> Attributed:
        """Say whose each side is (`src_vm`, `dst_vm`, `spoofed`), and leave out what nobody here sent."""
        owner = self.owner(sides["vfn"], sides["port"])
        entered = owner != NOBODY
        sides["src_vm"] = owner
        group = is_group(sides["dst_hi"], sides["dst_lo"])
        sides["dst_vm"] = np.where(group, NOBODY, self._book.vm_of(sides["dst_hi"], sides["dst_lo"]))
        sides = sides[entered]
        claimed = self._book.vm_of(sides["src_hi"], sides["src_lo"])
        forged = (sides["src_vm"] == 0) & (claimed != 0)
        sides["spoofed"] = (sides["src_vm"] > 0) & (claimed != sides["src_vm"]) & ~_asks_for_address(sides)
        return Attributed(sides[~forged], int((~entered).sum()), int(forged.sum()))


def _sides(records: Records) -> Array:
    raw = records.raw
    sides = np.zeros(len(raw), SIDE)
    sides["first"], sides["last"] = records.first, np.maximum(records.first, records.last)
    sides["src_lo"], sides["dst_lo"] = v4_low(raw["src"]), v4_low(raw["dst"])
    sides["pkts"], sides["bytes"] = raw["packets"], raw["bytes"]
    with_ports = (raw["proto"] == TCP) | (raw["proto"] == UDP)  # else type and code of ICMP stand there
    sides["src_port"] = np.where(with_ports, raw["src_port"], 0)
    sides["dst_port"] = np.where(with_ports, raw["dst_port"], 0)
    for name in ("proto", "flags"):
        sides[name] = raw[name]
    sides["vfn"], sides["port"] = records.vfn, raw["input"]
    return sides


def _asks_for_address(sides: Array) -> Bool:
    """DHCP from 0.0.0.0: a VM that has no address yet."""
    unspecified = sides["src_lo"] == np.uint64(0xFFFF_0000_0000)
    return np.asarray(unspecified & (sides["proto"] == UDP) & (sides["src_port"] == _DHCP_CLIENT))
