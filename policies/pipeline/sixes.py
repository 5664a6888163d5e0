"""Table FLOWS: IPv6 packets are told of by IPFIX, since NetFlow v5 knows no IPv6. It decides nothing.

The guard has honest packets looked up here where they enter the network, and those that it drops for their sender.
Each packet of a flow is counted (`sample` with the probability 1: Open vSwitch keeps the sums, and needs no entry for
a flow), so packets and bytes are exact. Of TCP flags Open vSwitch tells nothing by flow; so entries tell them apart,
and a record is of packets whose flags have been the same: those of its observation point.

Neighbour discovery and multicast listeners' reports are what ARP and IGMP snooping are to IPv4: left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from policies.entries import Resubmit, Sample, TableEntry
from policies.pipeline.tables import ACK, FIN, ICMPV6, IPV6, RST, SYN, TCP, Matches, Table, drop, match

REPORTED = (Resubmit(Table.FLOWS),)
"""Steps of an entry whose packets are told of."""

_COUNTED, _TCP, _ROOM = 1000, 1100, 10
_FORGED, _HONEST = 400, 1
_CLASSES = ((RST, RST), (FIN | ACK, FIN), (SYN | ACK, SYN | ACK), (SYN, SYN | ACK), (ACK, ACK))
"""Flags of a class, and the mask under which they are looked for; the first that fits counts."""
_LEFT_OUT = (130, 131, 132, 133, 134, 135, 136, 137, 143)
"""Types of ICMPv6: listener queries and reports (RFC 2710, 3810), neighbour discovery (RFC 4861)."""


def flows(vfn: int) -> Iterator[TableEntry]:
    """The whole table, and the entries that lead there: of what the guard drops, and of what comes from outside.

    Args:
        vfn: number of the VFN.
    """
    for place, (flags, mask) in enumerate(_CLASSES):
        fields: Matches = {"eth_type": IPV6, "ip_proto": TCP, "tcp_flags": (flags & mask, mask)}
        yield _counted(_TCP + _ROOM * (len(_CLASSES) - place), fields, vfn, flags)
    for kind in _LEFT_OUT:
        yield drop(Table.FLOWS, _TCP, {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": kind})
    yield _counted(_COUNTED, {"eth_type": IPV6}, vfn, 0)
    yield drop(Table.FLOWS, 0, {})
    six = match({"eth_type": IPV6})
    yield TableEntry(Table.GUARD, _FORGED, six, REPORTED)
    yield TableEntry(Table.BORDER, _HONEST, six, REPORTED, Table.TAP)


def _counted(priority: int, fields: Matches, vfn: int, flags: int) -> TableEntry:
    return TableEntry(Table.FLOWS, priority, match(fields), (Sample(vfn + 1, flags),))
