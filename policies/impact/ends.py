"""Which ends of flows are the same to a set of rules.

An end is a VM or the outside, with the address that it uses. The borders of all prefixes that rules name cut the
addresses into intervals, within which no rule tells one from the other; so an end is known by its VM and interval, and
those that the same rules' ends match are one class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from socket import AF_INET6, inet_pton
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from policies.acl import AddressList, Peer
from policies.impact.flows import I4, Named
from policies.prefixes import aggregate
from policies.rules import Network
from topology.model import OUTSIDE, Inventory

Bools = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.bytes_]
"""Addresses in their order, IPv4 before IPv6: a byte for the version and sixteen for the number."""
_KEY = "S17"
_MOST_MARKED = 1 << 22
"""Codes below so much are told apart by marking them in an array, which is quicker than hashing."""
_OUTSIDE, _EVERYBODY, _UNKNOWN = -1, -2, -3
"""Instead of a VM's place in the inventory."""


def _key(version: int, number: int) -> bytes:
    return bytes((version,)) + number.to_bytes(16, "big")


def _numbers_4(addresses: pa.StringArray) -> npt.NDArray[np.int64]:
    """IPv4 addresses as numbers, all at once."""
    octets = pc.list_flatten(pc.split_pattern(addresses, ".")).cast(pa.int64()).to_numpy().reshape(-1, 4)
    return np.asarray(octets @ np.array([1 << 24, 1 << 16, 1 << 8, 1]))


def _distinct(codes: npt.NDArray[np.int64], size: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.integer[Any]]]:
    """The distinct ones of codes below `size`, and the place of each code among them."""
    if size > _MOST_MARKED:
        encoded = pa.array(codes).dictionary_encode()
        return encoded.dictionary.to_numpy(), encoded.indices.to_numpy()
    places = np.zeros(size, np.int32)
    places[codes] = 1
    distinct = np.flatnonzero(places)
    places[distinct] = np.arange(len(distinct))
    return distinct, places[codes]


class _Ranges:
    """A set of addresses as ranges that do not overlap."""

    def __init__(self, nets: Iterable[Network]) -> None:
        fewest = aggregate(nets)
        merged = [(net.version, int(net.network_address), int(net.broadcast_address)) for net in fewest]
        self.first = np.array([_key(version, first) for version, first, _ in merged], _KEY)
        self.last = np.array([_key(version, last) for version, _, last in merged], _KEY)

    def contains(self, keys: Keys) -> Bools:
        if not len(self.first):
            return np.zeros(len(keys), bool)
        at = np.searchsorted(self.first, keys, "right") - 1
        return (at >= 0) & (keys <= self.last[np.maximum(at, 0)])

    def borders(self) -> Iterable[bytes]:
        """First addresses within, and first ones behind."""
        yield from self.first.tolist()
        for last in self.last.tolist():
            whole = last.ljust(17, b"\0")
            yield (int.from_bytes(whole, "big") + 1).to_bytes(17, "big")


@dataclass(frozen=True)
class Facts:
    """Of each class of ends, one element a class."""

    peers: Bools
    """Shape (classes, peers): does it match?"""
    segment: I4
    """Number of the VM's segment; 0: outside; -1: everybody."""
    version: npt.NDArray[np.uint8]
    """Of IP."""


class Ends:
    """Classes of ends; there are more as more flows are seen."""

    def __init__(self, inventory: Inventory, lists: Mapping[str, AddressList], peers: Iterable[Peer]) -> None:
        self._inventory = inventory
        self.peers = tuple(dict.fromkeys(peers))
        self._ranges = {peer: _Ranges(lists[peer.list].nets) for peer in self.peers if peer.list is not None}
        self._ranges |= {peer: _Ranges(peer.nets) for peer in self.peers if peer.nets}
        borders = {border for ranges in self._ranges.values() for border in ranges.borders()}
        self._borders = np.array(sorted(borders | {b"\x06"}), _KEY)
        fours = self._borders[self._borders < b"\x06"].tolist()
        self._borders_4 = np.array([int.from_bytes(border.ljust(17, b"\0")[1:]) for border in fours], np.int64)
        self._numbers = {name: place for place, name in enumerate(inventory.vms)}
        vms = inventory.vms.values()
        self._segments = np.array([*(inventory.segments[vm.segment].number for vm in vms), 0], np.int32)
        self._class: dict[int, int] = {}
        """By place, as `_shifted`, plus interval."""
        self._signatures: dict[bytes, int] = {}
        empty = (np.zeros((0, len(self.peers)), bool), np.zeros(0, np.int32), np.zeros(0, np.uint8))
        self.facts = Facts(*empty)

    def classes(self, vms: Named, addresses: Named, everybody: Bools) -> I4:
        """The class of each end; -1: its VM is not in the inventory."""
        names = [self._numbers.get(name, _UNKNOWN) for name in vms.names.to_pylist()]
        # One more place, so that -1 finds the outside.
        places = self._shifted(np.array([*names, _OUTSIDE], np.int64))[vms.codes]
        if everybody.any():
            places = np.where(everybody, self._shifted(np.array(_EVERYBODY)), places)
        codes = places + self._intervals(addresses.names)[addresses.codes]
        distinct, index = _distinct(codes, (len(self._numbers) - _UNKNOWN) * (len(self._borders) + 1))
        new = [code for code in distinct.tolist() if code not in self._class]
        if new:
            self._classify(new)
        found = np.fromiter((self._class[code] for code in distinct.tolist()), np.int32, len(distinct))
        return np.asarray(found[index])

    def _shifted(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Places as numbers to which that of an interval can be added."""
        return (places - _UNKNOWN) * (len(self._borders) + 1)

    def _intervals(self, addresses: pa.StringArray) -> npt.NDArray[np.int64]:
        """The interval of each address; no rule tells addresses of one apart."""
        encoded = addresses.dictionary_encode()
        addresses = encoded.dictionary
        six = pc.match_substring(addresses, ":").to_numpy(zero_copy_only=False)
        found = np.zeros(len(addresses), np.int64)
        found[~six] = np.searchsorted(self._borders_4, _numbers_4(addresses.filter(pa.array(~six))), "right")
        if six.any():
            texts = addresses.filter(pa.array(six)).to_pylist()
            keys = np.array([b"\x06" + inet_pton(AF_INET6, text) for text in texts], _KEY)
            found[six] = np.searchsorted(self._borders, keys, "right")
        return np.asarray(found[encoded.indices.to_numpy()])

    def _classify(self, codes: Sequence[int]) -> None:
        """Find the class of VMs, or the outside, with any address of an interval."""
        every, intervals = np.divmod(np.array(codes, np.int64), len(self._borders) + 1)
        places = every + _UNKNOWN
        # An interval's addresses are alike, so its first stands for them.
        keys = self._borders[np.maximum(intervals - 1, 0)]
        keys[intervals == 0] = _key(4, 0)
        segments = np.where(places == _EVERYBODY, -1, self._segments[np.maximum(places, -1)]).astype(np.int32)
        versions = np.where(keys < b"\x06", 4, 6).astype(np.uint8)
        peers = np.zeros((len(codes), len(self.peers)), bool)
        for number, peer in enumerate(self.peers):
            peers[:, number] = self._matches(peer, places, segments, keys)
        rows = np.packbits(peers, axis=1)
        fresh: list[int] = []
        for row, code in enumerate(codes):
            if places[row] == _UNKNOWN:
                self._class[code] = -1
                continue
            signature = rows[row].tobytes() + segments[row].tobytes() + versions[row].tobytes()
            if signature not in self._signatures:
                self._signatures[signature] = len(self._signatures)
                fresh.append(row)
            self._class[code] = self._signatures[signature]
        known = self.facts
        self.facts = Facts(
            np.concatenate([known.peers, peers[fresh]]),
            np.concatenate([known.segment, segments[fresh]]),
            np.concatenate([known.version, versions[fresh]]),
        )

    def _matches(self, peer: Peer, places: Any, segments: Any, keys: Keys) -> Bools:
        """Are these ends the one that a rule means?"""
        if peer.vm is not None:
            return np.asarray(places == self._numbers[peer.vm])
        if peer.segment is not None:
            return np.asarray(segments == self._number(peer.segment))
        if peer.not_segment is not None:
            return np.asarray(segments != self._number(peer.not_segment))
        if peer in self._ranges:
            return self._ranges[peer].contains(keys)
        return np.ones(len(places), bool)

    def _number(self, segment: str) -> int:
        return 0 if segment == OUTSIDE else self._inventory.segments[segment].number
