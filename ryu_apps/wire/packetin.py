"""Copies of packets as they come from a switch (OpenFlow 1.3 specification 7.4.1, `ofp_packet_in`) and go on."""

from __future__ import annotations

import struct
from typing import NamedTuple

from runtime.errors import TransientError
from ryu_apps.wire.flowmod import HEADER
from ryu_apps.wire.oxm import FIELDS, split, unpack_match

_FIXED = struct.Struct("!IHBBQ")
"""buffer, length of the packet, reason, table, cookie"""
_ROW = struct.Struct("<dQIHHB")
"""One `runtime.arrays.COPY`."""
_IN_PORT = FIELDS["in_port"].exact_header
_DATA_PADDING = 2


class Copied(NamedTuple):
    """A copy on its way: its row, a `COPY`, and the bytes of the packet as far as they were copied."""

    row: bytes
    data: bytes


def encode_copy(raw: bytes, time: float) -> Copied:
    """What a whole PACKET_IN message says.

    Raises:
        TransientError: it is not a PACKET_IN, or does not say where the packet came in.
    """
    if len(raw) < HEADER.size + _FIXED.size:
        raise TransientError(f"a PACKET_IN of {len(raw)} bytes")
    _, length, _, table, cookie = _FIXED.unpack_from(raw, HEADER.size)
    match, after = unpack_match(raw, HEADER.size + _FIXED.size, len(raw))
    for oxm in split(match):
        if oxm.startswith(_IN_PORT):
            in_port = int.from_bytes(oxm[len(_IN_PORT) :], "big")
            data = raw[after + _DATA_PADDING :]
            return Copied(_ROW.pack(time, cookie, in_port, length, len(data), table), data)
    raise TransientError("a PACKET_IN without the port where the packet came in")
