"""Names that a VM asks for and nobody would give: data in names (a tunnel), or a search for a server by guessing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.dns.events import DNS_EVENT, Kind
from analyzer.flows import Array, Bool

WINDOW = 60.0
"""Seconds of questions and answers that are looked at together."""
MOST_KEPT = 50_000
"""Events of all VMs together; the oldest are forgotten for others."""
TUNNEL_NAMES = 60
"""Different names below one domain in that time: a page of one site has some ten hosts ..."""
TUNNEL_LENGTH, TUNNEL_ENTROPY = 40.0, 3.4
"""... whose names are short words; encoded data is long, and uses its characters nearly alike (base32: 5 bits)."""
ABSENT_NAMES = 40
"""Different domains that do not exist: a typing error makes one, a search list of a host a few."""
_NXDOMAIN = 3
"""RFC 1035, 4.1.1."""


@dataclass(frozen=True)
class Odd:
    """What is odd about the questions of a VM."""

    vm: int
    time: float
    what: str


class Oddness:
    """Remembers the questions and answers of a minute."""

    def __init__(self) -> None:
        self._kept = np.empty(0, DNS_EVENT)

    def judge(self, events: Array) -> list[Odd]:
        """What stands out once these events (dtype `DNS_EVENT`) have come, by VM."""
        if not len(events):
            return []
        kept = np.concatenate([self._kept, events])
        self._kept = kept[kept["time"] > kept["time"].max() - WINDOW][-MOST_KEPT:]
        active = self._kept[np.isin(self._kept["vm"], np.unique(events["vm"]))]
        return [*_tunnels(active), *_searches(active)]


def absent_names(events: Array) -> Array:
    """Those that say that a name does not exist, which only a resolver's answer does."""
    absent: Bool = (events["kind"] == Kind.ANSWER) & (events["rcode"] == _NXDOMAIN) & events["resolver"]
    return events[absent]


def _tunnels(events: Array) -> list[Odd]:
    asked = _first_of_each(events[events["kind"] == Kind.QUESTION], "name")
    pairs, index = np.unique(asked[["vm", "domain"]], return_inverse=True)
    count = np.bincount(index, minlength=len(pairs))
    length = np.bincount(index, asked["length"], len(pairs)) / np.maximum(count, 1)
    entropy = np.bincount(index, asked["entropy"], len(pairs)) / np.maximum(count, 1)
    odd: Bool = (count >= TUNNEL_NAMES) & (length >= TUNNEL_LENGTH) & (entropy >= TUNNEL_ENTROPY)
    return [
        Odd(
            int(pairs["vm"][i]),
            float(asked["time"][index == i].max()),
            f"asked for {count[i]} names below one domain in {WINDOW:.0f} s, {length[i]:.0f} characters and "
            f"{entropy[i]:.1f} bits a character on average: data in names",
        )
        for i in np.flatnonzero(odd).tolist()
    ]


def _searches(events: Array) -> list[Odd]:
    absent = _first_of_each(absent_names(events), "domain")
    vms, index = np.unique(absent["vm"], return_inverse=True)
    count = np.bincount(index, minlength=len(vms))
    return [
        Odd(
            int(vms[i]),
            float(absent["time"][index == i].max()),
            f"asked for {count[i]} domains that do not exist in {WINDOW:.0f} s: a search for a server by guessing",
        )
        for i in np.flatnonzero(count >= ABSENT_NAMES).tolist()
    ]


def _first_of_each(events: Array, column: str) -> Array:
    """One event for each VM and value."""
    _, first = np.unique(events[["vm", column]], return_index=True)
    return events[first]
