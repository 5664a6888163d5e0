"""Whose packets a NetFlow record counts: the VM on the port where they came in, never the one they claim to be from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analyzer.compiled import compiled, signed
from analyzer.flows import ICMP, NOBODY, TCP, U8, UDP, Array, Fate, address_halves, is_group
from analyzer.keytable import KeyTable, mix, mixed, place_of
from analyzer.netflow import Records, words
from topology.addresses import addresses_of
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
        ("fate", "u1"),  # Fate: what the VFN did with the packets; 0: it is not known
        ("answers", "?"),  # ICMP replies or errors: nobody opens a flow with them
    ]
)
"""One direction of one flow, counted where it entered the network."""

DROPPED_TO = 65533
"""NetFlow's output interface of what went nowhere (NF_OUT_DROP in Open vSwitch's ofproto/netflow.h)."""
NO_PORT = -1
"""There is no report of where packets went."""
_DHCP_CLIENT = 68
_ICMP_ANSWERS = (0, 3, 11, 12, 14)
"""Types of replies and errors (RFC 792)."""
_V4 = np.uint64(0xFFFF_0000_0000)
_ZERO = np.uint64(0)
_FORWARDED, _DELIVERED = int(Fate.FORWARDED), int(Fate.DELIVERED)
_DROPPED, _STOPPED = int(Fate.DROPPED), int(Fate.STOPPED)


@dataclass(frozen=True)
class Attributed:
    """What is left of a burst of records: sides (dtype `SIDE`) and how many records were set aside."""

    sides: Array
    transit: int
    """Came in at a link, or at a port nobody is known to be on."""
    forged_outside: int
    """Came in from outside under a VM's address: evidence against nobody here."""
    beyond: Array
    """Dtype `SIDE`: what the last VFN on the way, where they come in over a link, did with packets (`fate`)."""

    @property
    def own(self) -> Array:
        """Sides under an address of the VM on the port."""
        spoofed = self.sides["spoofed"]
        return np.asarray(self.sides[~spoofed]) if spoofed.any() else self.sides

    @property
    def spoofed(self) -> Array:
        """Sides under any other."""
        return np.asarray(self.sides[self.sides["spoofed"]])


class _Numbers:
    """A mapping from rows of two 64-bit numbers to VM numbers, for compiled loops."""

    def __init__(self, numbers: Mapping[tuple[int, int], int]) -> None:
        table = KeyTable(len(numbers))
        self.high, self.low = (np.zeros(table.size, np.uint64) for _ in range(2))
        self.vms = np.full(table.size, NOBODY, np.int32)
        high, low = (np.array([pair[half] for pair in numbers], np.uint64) for half in (0, 1))
        at, _ = table.insert(mix(0, high, low))
        self.high[at], self.low[at], self.vms[at] = high, low, list(numbers.values())
        self.keys = table.keys

    @property
    def columns(self) -> tuple[U8, U8, U8, Array]:
        """Keys, both halves and VM numbers by slot."""
        return self.keys, self.high, self.low, self.vms


class Attribution:
    """Knows which VM or outside port is on which OpenFlow port of which VFN."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._vms = _Numbers(
            {address_halves(str(a)): vm.number for vm in inventory.vms.values() for a in addresses_of(vm)}
        )
        self._ports: dict[int, dict[int, int]] = {}
        self._interfaces: dict[int, Mapping[str, int]] = {}
        self._owners = _Numbers({})

    def set_ports(self, dpid: int, ports: Mapping[str, int]) -> bool:
        """Take over the ports of a VFN (interface name -> OpenFlow port); False when the inventory has no such VFN."""
        vfn = self._inventory.vfn_by_dpid.get(dpid)
        if vfn is None:
            return False
        # An inspection VM passes on what others say, as a cable does: nothing that comes in there counts against it.
        here = {vm.port: vm.number for vm in self._inventory.vms.values() if vm.vfn == vfn.name and not vm.inspection}
        here |= {out.port: 0 for out in self._inventory.outside.values() if out.vfn == vfn.name}
        self._interfaces[vfn.number] = ports
        self._ports[vfn.number] = {ports[name]: number for name, number in here.items() if name in ports}
        self._owners = _Numbers(
            {(number, port): vm for number, table in self._ports.items() for port, vm in table.items()}
        )
        return True

    def ports_of(self, vfn: Array, interfaces: Array) -> Array:
        """OpenFlow port (int32) of each interface (S16) of a VFN; `NO_PORT` where there is none of that name."""
        named = np.array([interfaces, vfn.astype("S6")]).T if len(vfn) else np.zeros((0, 2), "S16")
        unique, of = np.unique(named, axis=0, return_inverse=True)
        found = [
            self._interfaces.get(int(number), {}).get(name.decode(errors="replace"), NO_PORT) for name, number in unique
        ]
        return np.array(found, np.int32)[of.ravel()]

    def attribute(self, records: Records) -> Attributed:
        """Keep what entered the network at a VM's or outside port: so each direction of a flow counts exactly once."""
        sides = np.empty(len(records), SIDE)
        output = np.empty(len(records), np.int32)
        _read(words(records.raw), records.vfn, records.first, records.last, sides, output)
        return self.settle(sides, output)

    def settle(self, sides: Array, output: Array | None = None) -> Attributed:
        """Say whose each side is (`src_vm`, `dst_vm`, `spoofed`, `fate`), and leave out what nobody here sent.

        Args:
            sides: overwritten.
            output: OpenFlow port that packets went to, `DROPPED_TO`, or `NO_PORT` where it is not known (all, without).
        """
        if output is None:
            output = np.full(len(sides), NO_PORT, np.int32)
        group = is_group(sides["dst_hi"], sides["dst_lo"])
        beyond = np.empty(len(sides), SIDE)
        kept, seen, transit, forged = _settle(
            sides, output.astype(np.int32), group, beyond, self._owners.columns, self._vms.columns
        )
        return Attributed(sides[:kept], transit, forged, beyond[:seen])


@compiled
def _vm_at(table: tuple[U8, U8, U8, Array], high: np.uint64, low: np.uint64, otherwise: int) -> int:
    keys, highs, lows, vms = table
    key = mixed(mixed(_ZERO, high), low)
    place = place_of(keys, max(key, np.uint64(1)))
    if keys[place] != _ZERO and highs[place] == high and lows[place] == low:
        return signed(vms[place])
    return otherwise


@compiled
def _read(words: Array, vfn: Array, first: Array, last: Array, sides: Array, output: Array) -> None:
    """Records as sides; `words` is their 32-bit words, (records, 12)."""
    for i in range(len(words)):
        side, word = sides[i], words[i]
        proto = (word[9] >> np.uint32(8)) & np.uint32(0xFF)
        side.first, side.last = first[i], max(first[i], last[i])
        side.src_hi = side.dst_hi = 0
        side.src_lo, side.dst_lo = _V4 | np.uint64(word[0]), _V4 | np.uint64(word[1])
        side.pkts, side.bytes = word[4], word[5]
        ported = proto in {TCP, UDP}  # else type and code of ICMP stand there
        side.src_port = word[8] >> np.uint32(16) if ported else np.uint32(0)
        side.dst_port = word[8] & np.uint32(0xFFFF) if ported else np.uint32(0)
        side.proto, side.flags = proto, (word[9] >> np.uint32(16)) & np.uint32(0xFF)
        side.vfn, side.port = vfn[i], word[3] >> np.uint32(16)
        side.src_vm = side.dst_vm = 0
        side.spoofed, side.fate = False, 0
        side.answers = proto == ICMP and (word[8] >> np.uint32(8)) & np.uint32(0xFF) in _ICMP_ANSWERS
        output[i] = word[3] & np.uint32(0xFFFF)
        if side.answers and output[i] == DROPPED_TO:
            output[i] = NO_PORT  # it may have passed as an answer


@compiled
def _settle(
    sides: Array,
    output: Array,
    group: Array,
    beyond: Array,
    owners: tuple[U8, U8, U8, Array],
    vms: tuple[U8, U8, U8, Array],
) -> tuple[int, int, int, int]:
    """Move what is kept to the front of `sides`, and what is known of transit to that of `beyond`."""
    kept = seen = transit = forged = 0
    for i in range(len(sides)):
        side = sides[i]
        vfn = np.uint64(side.vfn)
        owner = _vm_at(owners, vfn, np.uint64(side.port), NOBODY)
        out = output[i]
        delivered = out >= 0 and _vm_at(owners, vfn, np.uint64(out), NOBODY) != NOBODY
        if owner == NOBODY:
            transit += 1
            if delivered or out == DROPPED_TO:
                side.fate = _DELIVERED if delivered else _STOPPED
                beyond[seen] = side
                seen += 1
            continue
        claimed = _vm_at(vms, side.src_hi, side.src_lo, 0)
        if owner == 0 and claimed != 0:
            forged += 1
            continue
        side.src_vm = owner
        side.dst_vm = NOBODY if group[i] else _vm_at(vms, side.dst_hi, side.dst_lo, 0)
        nameless = side.src_hi == _ZERO and side.src_lo == _V4  # 0.0.0.0: a VM that asks for an address (DHCP)
        asks = nameless and side.proto == UDP and side.src_port == _DHCP_CLIENT
        side.spoofed = owner > 0 and claimed != owner and not asks
        if out == DROPPED_TO:
            side.fate = _DROPPED
        elif out >= 0:
            side.fate = _FORWARDED | _DELIVERED if delivered else _FORWARDED
        sides[kept] = side
        kept += 1
    return kept, seen, transit, forged
