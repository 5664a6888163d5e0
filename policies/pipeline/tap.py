"""Table 1: copies of what opens a TCP connection, for the analyzer. Never in the way: every packet goes on.

A copy is taken where a packet enters the network, at a VM's or an outside port, so each is counted once; cables between
VFNs have no entry. How many copies a VFN may send is limited by its controller meter (`SwitchCodec.limit_copies`).
"""

from __future__ import annotations

from collections.abc import Iterator

from policies.entries import TableEntry, ToController
from policies.pipeline.place import Place
from policies.pipeline.tables import ACK, IPV4, IPV6, SYN, TCP, Table, go, match
from runtime.arrays import COPY_BYTES

_COPIED = 1000
_OPENS = (SYN, SYN | ACK)
"""TCP flags, under their mask, of the first packet of a connection."""


def tap(place: Place) -> Iterator[TableEntry]:
    """The whole table."""
    for port in (*place.vms.values(), *place.outside.values()):
        for kind in (IPV4, IPV6):
            opens = match({"in_port": port, "eth_type": kind, "ip_proto": TCP, "tcp_flags": _OPENS})
            yield TableEntry(Table.TAP, _COPIED, opens, (ToController(COPY_BYTES),), Table.SOURCE_LISTS)
    yield go(Table.TAP, 0, {}, Table.SOURCE_LISTS)
