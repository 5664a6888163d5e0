"""Table 2: copies of what opens a TCP connection, for the analyzer. Never in the way: every packet goes on.

Only what enters the network here comes by this table, from a VM's or an outside port, so each is copied once. How many
copies a VFN may send is limited by its controller meter (`policies.codec.COPIES_METER`).
"""

from __future__ import annotations

from collections.abc import Iterator

from policies.entries import TableEntry, ToController
from policies.pipeline.tables import ACK, IPV4, IPV6, SYN, TCP, Matches, Table, go, match
from runtime.arrays import COPY_BYTES

_UNDER_WAY = 1100
_COPIED = 1000
_OPENS = (SYN, SYN | ACK)
"""TCP flags, under their mask, of the first packet of a connection."""


def tap(judged_from: Table) -> Iterator[TableEntry]:
    """The whole table.

    Args:
        judged_from: table where packets go on.
    """
    for kind in (IPV4, IPV6):
        # Looking at ACK alone first: the switch caches one decision for all that a server sends, not one for each flag.
        under_way: Matches = {"eth_type": kind, "ip_proto": TCP, "tcp_flags": (ACK, ACK)}
        yield go(Table.TAP, _UNDER_WAY, under_way, judged_from)
        opens = match({"eth_type": kind, "ip_proto": TCP, "tcp_flags": _OPENS})
        yield TableEntry(Table.TAP, _COPIED, opens, (ToController(COPY_BYTES),), judged_from)
    yield go(Table.TAP, 0, {}, judged_from)
