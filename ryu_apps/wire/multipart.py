"""Multipart messages as they come and go (OpenFlow 1.3 specification 7.3.5), without reading what they carry."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from runtime.errors import TransientError
from ryu_apps.wire.flowmod import HEADER

_HEAD = struct.Struct("!HH4x")
"""kind, flags"""
_XID_AT = 4
_MORE = 1
SIZE = HEADER.size + _HEAD.size
"""Bytes ahead of the body."""

FLOW, TABLE, METER_CONFIG, EXPERIMENTER = 1, 3, 10, 0xFFFF
"""Kinds of statistics; flow monitors speak as experimenter."""


def head(kind: int) -> bytes:
    """What stands ahead of the body of a request."""
    return _HEAD.pack(kind, 0)


@dataclass(frozen=True)
class Part:
    """A multipart reply, or one part of it."""

    xid: int
    """0: nobody asked; a flow monitor reports."""
    kind: int
    more: bool
    """Do other parts of the same reply follow?"""
    body: bytes


def split(message: bytes) -> Part:
    """Take a whole multipart reply apart.

    Raises:
        TransientError: it is too short.
    """
    if len(message) < SIZE:
        raise TransientError(f"a multipart reply of {len(message)} bytes")
    kind, flags = _HEAD.unpack_from(message, HEADER.size)
    return Part(HEADER.unpack_from(message)[3], kind, bool(flags & _MORE), message[SIZE:])


def relabel(requests: bytes, xid: int) -> tuple[bytes, int]:
    """The same messages with one transaction id for all of them, and how many they are.

    Raises:
        TransientError: the bytes are not whole OpenFlow messages.
    """
    labelled, start, count = bytearray(requests), 0, 0
    while start < len(requests):
        length = HEADER.unpack_from(requests, start)[2] if start + HEADER.size <= len(requests) else 0
        if length < HEADER.size or start + length > len(requests):
            raise TransientError(f"no OpenFlow message at byte {start} of {len(requests)}")
        labelled[start + _XID_AT : start + HEADER.size] = xid.to_bytes(4, "big")
        start, count = start + length, count + 1
    return bytes(labelled), count
