"""How many entries each table holds (OpenFlow 1.3 specification 7.3.5.3, `ofp_table_stats`).

It costs the switch the same however many entries there are.
"""

from __future__ import annotations

import struct

from runtime.errors import TransientError
from ryu_apps.wire.flowmod import TYPE_MULTIPART_REQUEST, message
from ryu_apps.wire.multipart import TABLE

_HEAD = struct.Struct("!HH4x")
_TABLE = struct.Struct("!B3xIQQ")
"""table, active entries, lookups, hits"""


def request(xid: int) -> bytes:
    """Multipart request of the statistics of all tables."""
    return message(TYPE_MULTIPART_REQUEST, xid, _HEAD.pack(TABLE, 0))


def decode(raw: bytes) -> dict[int, int]:
    """Number of entries of each table that has any.

    Raises:
        TransientError: the bytes are not table statistics.
    """
    if len(raw) % _TABLE.size:
        raise TransientError(f"{len(raw)} bytes are no table statistics")
    return {table: active for table, active, _, _ in _TABLE.iter_unpack(raw) if active}
