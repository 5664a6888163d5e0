"""How many odd names each VM asked for: what copies add to its windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.dns.events import Kind
from analyzer.dns.oddness import TUNNEL_ENTROPY, TUNNEL_LENGTH, WINDOW, absent_names
from analyzer.flows import F8, I8, U8, Array, Bool
from analyzer.keytable import mix

MOST_KEPT = 50_000
"""Names of all VMs together that are remembered; the oldest are forgotten for others, and count again."""


@dataclass(frozen=True)
class NameCount:
    """Names that VMs (none twice) asked for the first time in a minute."""

    feature: str
    """Of `analyzer.observe.SUMS`."""
    time: float
    """Epoch seconds of the newest."""
    vm: I8
    names: F8


class NameCounts:
    """Remembers the odd names of a minute, so that who asks for one again and again has asked for one."""

    def __init__(self) -> None:
        self._keys, self._times = np.empty(0, np.uint64), np.empty(0)

    def of(self, events: Array) -> list[NameCount]:
        """What events (dtype `DNS_EVENT`) add."""
        if not len(events):
            return []
        newest = float(events["time"].max())
        kept = self._times > newest - WINDOW
        self._keys, self._times = self._keys[kept][-MOST_KEPT:], self._times[kept][-MOST_KEPT:]
        coded = (events["kind"] == Kind.QUESTION) & (events["length"] >= TUNNEL_LENGTH)
        coded &= events["entropy"] >= TUNNEL_ENTROPY
        counts = [
            self._count("absent_names", newest, absent_names(events), "domain", 0),
            self._count("coded_names", newest, events[coded], "name", 1),
        ]
        return [count for count in counts if len(count.vm)]

    def _count(self, feature: str, newest: float, events: Array, column: str, salt: int) -> NameCount:
        keys: U8 = mix(salt, events["vm"], events[column])
        _, first = np.unique(keys, return_index=True)
        fresh: Bool = ~np.isin(keys[first], self._keys)
        first = first[fresh]
        self._keys = np.concatenate([self._keys, keys[first]])
        self._times = np.concatenate([self._times, events["time"][first]])
        vms, names = np.unique(events["vm"][first], return_counts=True)
        return NameCount(feature, newest, vms.astype(np.int64), names.astype(np.float64))
