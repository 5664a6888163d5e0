"""What each rule has met: packets and bytes by rule and VFN, out of the counters of the entries that stand for it.

A counter begins anew whenever its entry does, so what is kept here are sums of differences, which never fall. They live
as long as the engine and the rule; a new engine begins with what the counters show.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from policies.desired import Desired, Layer
from policies.entries import TableEntry
from policies.pipeline.judgement import denied_by_default
from policies.pipeline.tables import COPIED, Table

_MAX_KNOWN = 2_000_000


class What(StrEnum):
    """What became of packets by a rule."""

    ALLOWED = "allowed"
    DENIED = "denied"
    ANSWERS = "answers"
    """Let through since they answer a connection that the rule allows."""
    OBSERVED = "observed"
    """Would have been denied, limited or steered, were the rule enforced."""
    LIMITED = "limited"
    """Came to a limit, which lets through what its rate allows."""
    STEERED = "steered"
    """Went to an inspection VM, or a copy did."""


@dataclass(frozen=True)
class Hit:
    """A sum."""

    packets: int
    bytes: int


@dataclass(frozen=True)
class Meaning:
    """What an entry's counter counts."""

    what: What
    rules: tuple[str, ...]


def default_of(number: int) -> str:
    """The name under which the denials of a segment's default are counted; no rule is called so."""
    return f"default:{number}"


def meaning(entry: TableEntry) -> Meaning | None:
    """What the packets of an entry have met; None: nothing that is decided there."""
    match entry.table:
        case Table.ENFORCEMENT if entry.drops:
            return Meaning(What.DENIED, entry.rules)
        case Table.ENFORCEMENT if entry.goto == Table.COMMIT:
            return Meaning(What.ALLOWED, entry.rules)
        case Table.REVERSE if entry.goto == Table.SENT:
            return Meaning(What.ANSWERS, entry.rules)
        case Table.SENT | Table.RECEIVED if entry.rules:
            return Meaning(_measured(entry), entry.rules)
        case Table.DENIED:
            segment = denied_by_default(entry)
            return Meaning(What.DENIED, entry.rules if segment is None else (default_of(segment),))
        case Table.SHADOW_DENIED:
            return Meaning(What.OBSERVED, entry.rules)
    return None


def _measured(entry: TableEntry) -> What:
    """What a measure does; of a VM that is limited and steered, it is steered."""
    if entry.steps or any(field.name == COPIED for field in entry.match):
        return What.STEERED
    return What.OBSERVED if entry.meter is None else What.LIMITED


@dataclass
class _Seen:
    """The last counters of one table of a VFN, by rising cookie."""

    cookies: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    packets: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    bytes: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))


class Hits:
    """Sums for every rule."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], _Seen] = {}
        self._sums: dict[str, dict[tuple[str, What], Hit]] = defaultdict(dict)
        self._desired: dict[str, Desired] = {}
        self._meanings: dict[int, Meaning] = {}
        self._scanned: set[Layer] = set()

    def take(self, vfn: str, counters: npt.NDArray[np.void], desired: Desired) -> None:
        """Counters of a VFN (dtype `runtime.arrays.COUNTER`), all of each table that is among them."""
        if self._desired.get(vfn) is not desired:
            self._desired[vfn] = desired
            self._learn(desired)
        for table in np.unique(counters["table"]):
            rows = np.sort(counters[counters["table"] == table], order="cookie")
            now = _Seen(rows["cookie"], rows["packets"], rows["bytes"])
            before = self._seen.get((vfn, int(table)), _Seen())
            self._seen[vfn, int(table)] = now
            packets, octets = _since(now, before)
            changed = np.flatnonzero(packets)
            self._add(vfn, now.cookies[changed].tolist(), packets[changed].tolist(), octets[changed].tolist())

    def of(self, rule: str) -> Mapping[tuple[str, What], Hit]:
        """Sums of a rule by VFN and what became of the packets; only what has happened."""
        return self._sums.get(rule, {})

    def forget(self, rule: str) -> None:
        """Forget the sums of a rule."""
        self._sums.pop(rule, None)

    def keep(self, rules: Collection[str]) -> None:
        """Forget the sums of all rules but these."""
        for rule in [rule for rule in self._sums if rule not in rules]:
            del self._sums[rule]

    def _add(self, vfn: str, cookies: list[int], packets: list[int], octets: list[int]) -> None:
        for cookie, more_packets, more_bytes in zip(cookies, packets, octets, strict=True):
            known = self._meanings.get(cookie)
            if known is None:
                continue  # somebody else's entry, or one that is about to go
            for rule in known.rules:
                sums = self._sums[rule]
                old = sums.get((vfn, known.what), Hit(0, 0))
                sums[vfn, known.what] = Hit(old.packets + more_packets, old.bytes + more_bytes)

    def _learn(self, desired: Desired) -> None:
        """Take in the layers that are new: most are shared between VFNs and stay over changes.

        A rule that is called otherwise has entries of the same cookies in another layer, which says so.
        """
        if len(self._meanings) > _MAX_KNOWN:
            self._meanings.clear()
            self._scanned.clear()
            self._desired.clear()
        for layer in desired.layers():
            if layer not in self._scanned:
                self._scanned.add(layer)
                found = ((cookie, meaning(entry)) for cookie, entry in layer.entries.items())
                self._meanings |= {cookie: known for cookie, known in found if known is not None}


def _since(now: _Seen, before: _Seen) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """(packets, bytes) by which counters have grown; one that is smaller than before has begun anew."""
    if not len(before.cookies):
        return now.packets, now.bytes
    place = np.minimum(np.searchsorted(before.cookies, now.cookies), len(before.cookies) - 1)
    same = before.cookies[place] == now.cookies
    same &= (before.packets[place] <= now.packets) & (before.bytes[place] <= now.bytes)
    zero = np.uint64(0)
    return (
        now.packets - np.where(same, before.packets[place], zero),
        now.bytes - np.where(same, before.bytes[place], zero),
    )
