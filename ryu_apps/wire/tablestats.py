"""How many entries each table has (OpenFlow 1.3 specification 7.3.5.3, `ofp_table_stats`)."""

from __future__ import annotations

import struct

from runtime.errors import TransientError
from ryu_apps.wire import multipart
from ryu_apps.wire.flowmod import TYPE_MULTIPART_REQUEST, message

_TABLE = struct.Struct("!B3xI16x")
"""table, entries; lookups and hits, of which Open vSwitch knows nothing worth having"""


def request(xid: int) -> bytes:
    """Multipart request of the statistics of all tables."""
    return message(TYPE_MULTIPART_REQUEST, xid, multipart.head(multipart.TABLE))


def decode_counts(raw: bytes) -> dict[int, int]:
    """Entries by table out of a raw body, for those that have any.

    Raises:
        TransientError: the bytes are not table statistics.
    """
    if len(raw) % _TABLE.size:
        raise TransientError(f"no table statistics: {len(raw)} bytes")
    return {table: entries for table, entries in _TABLE.iter_unpack(raw) if entries}
