"""Networks and policies of any size, for measurements: the same every time."""

from __future__ import annotations

from policies.entries import SetField, TableEntry
from policies.pipeline.tables import DESTINATION_SEGMENT, IPV4, MARK, SOURCE_SEGMENT, TCP, Table, match
from policies.rules import Tier

SEGMENTS = 100


def entries(count: int) -> tuple[TableEntry, ...]:
    """So many entries as an allowed service between two segments makes."""
    return tuple(
        TableEntry(
            Table.ENFORCEMENT,
            Tier.POLICY + 2000,
            match({
                SOURCE_SEGMENT: 1 + number % SEGMENTS,
                DESTINATION_SEGMENT: 1 + number // SEGMENTS % SEGMENTS,
                "eth_type": IPV4,
                "ip_proto": TCP,
                "tcp_dst": 1000 + number // SEGMENTS**2,
            }),
            (SetField(MARK, 1 + number),),
            Table.COMMIT,
        )
        for number in range(count)
    )  # fmt: skip
