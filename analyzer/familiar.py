"""Is a recording of the network that a baseline was learned from? A function of who talks to whom, and causal.

Live the inventory tells. A recording has none: there the VMs tell. In their own network most of them, or of those that
begin talks most, or some of these with old acquaintances, were there while the baseline was learned, however many are
new; in another one hardly any, and those by a chance of addresses. One of the three is enough: a scan's targets, or
addresses that somebody forges, were never there, but they begin no talk that is answered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.flows import I8, Array, Bool
from analyzer.keytable import mix

MOSTLY = 0.5
"""Share of VMs, from which on having been met is no chance of addresses."""
AGAIN = 0.1
"""The same of those that deal with a VM that they dealt with then: that takes two addresses that agree. Resolvers and
sites outside say nothing, as half the world turns to the same."""
_SALT = 4


@dataclass(frozen=True)
class Company:
    """Who has had part in a recording by some places in it, as counts of VMs.

    Met are those that had part in what was learned, too.
    """

    present: I8
    """Those at either end of any flow."""
    met: I8
    """Of them those that were met."""
    talking: I8
    """Those that have begun a talk."""
    talking_met: I8
    """Of them those that were met."""
    again: I8
    """Of them those that have dealt with a VM that they dealt with then."""

    @property
    def familiar(self) -> Bool:
        """Is it the network that was learned?"""
        talking = (self.talking_met >= MOSTLY * self.talking) | (self.again >= AGAIN * self.talking)
        return np.asarray((self.met >= MOSTLY * self.present) | (talking & (self.talking > 0)))


def company(old: Array, dealt: Array, rows: Array, places: I8) -> Company:
    """Who has had part in a recording, up to and with the rows at some places.

    Args:
        old: numbers of the VMs that had part in what was learned.
        dealt: with whom VMs exchanged packets then (rows of `analyzer.peers.PEER`).
        rows: the recording (dtype FLOW); its VMs bear the same numbers.
        places: row numbers, ascending.
    """
    ends = np.stack([rows["src_vm"], rows["dst_vm"]], axis=1).ravel()
    present = np.flatnonzero(ends > 0)
    talks = np.flatnonzero((rows["src_vm"] > 0) & (rows["src_pkts"] > 0) & (rows["dst_pkts"] > 0))
    vm, talking = ends[present], rows["src_vm"][talks]
    met, talking_met = np.isin(vm, old), np.isin(talking, old)
    dealing = mix(_SALT, talking, rows["dst_hi"][talks], rows["dst_lo"][talks])
    again = np.isin(dealing, mix(_SALT, dealt["vm"], dealt["hi"], dealt["lo"])) & (rows["dst_vm"][talks] > 0)
    at = present // 2
    firsts = (_first(vm, at), _first(vm[met], at[met]), _first(talking, talks),
              _first(talking[talking_met], talks[talking_met]), _first(talking[again], talks[again]))  # fmt: skip
    return Company(*(np.searchsorted(first, places, side="right") for first in firsts))


def _first(vm: Array, places: I8) -> I8:
    """Where each VM comes first, ascending."""
    return np.sort(places[np.unique(vm, return_index=True)[1]])
