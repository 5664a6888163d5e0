"""Copies of packets as they come from a switch (OpenFlow 1.3 specification 7.4.1, `ofp_packet_in`) and go on."""

from __future__ import annotations

import struct

from runtime.arrays import COPY_BYTES
from runtime.errors import TransientError
from ryu_apps.wire.flowmod import HEADER
from ryu_apps.wire.oxm import FIELDS, split, unpack_match

_FIXED = struct.Struct("!IHBBQ")
"""buffer, length of the packet, reason, table, cookie"""
_COPY = struct.Struct(f"<dIH{COPY_BYTES}s")
_IN_PORT = FIELDS["in_port"].exact_header
_DATA_PADDING = 2


def encode_copy(raw: bytes, time: float) -> bytes:
    """One `COPY` out of a whole PACKET_IN message.

    Raises:
        TransientError: it is not a PACKET_IN, or does not say where the packet came in.
    """
    if len(raw) < HEADER.size + _FIXED.size:
        raise TransientError(f"a PACKET_IN of {len(raw)} bytes")
    length = _FIXED.unpack_from(raw, HEADER.size)[1]
    match, after = unpack_match(raw, HEADER.size + _FIXED.size, len(raw))
    for oxm in split(match):
        if oxm.startswith(_IN_PORT):
            in_port = int.from_bytes(oxm[len(_IN_PORT) :], "big")
            return _COPY.pack(time, in_port, length, raw[after + _DATA_PADDING : after + _DATA_PADDING + COPY_BYTES])
    raise TransientError("a PACKET_IN without the port where the packet came in")
