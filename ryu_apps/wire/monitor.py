"""The flow monitor of Open vSwitch on OpenFlow 1.3 (ONF extension 187): who has changed the tables, at once.

A connection that watches is told of every entry that somebody else adds, changes or deletes, and of an entry that the
switch takes out by itself; of its own changes only that they were made (`NXFME_ABBREV` in OVS, openflow/nicira-ext.h).
"""

from __future__ import annotations

import struct

from runtime.errors import TransientError
from ryu_apps.wire.flowmod import ALL_TABLES, TYPE_MULTIPART_REQUEST, message
from ryu_apps.wire.multipart import EXPERIMENTER
from ryu_apps.wire.oxm import ONF, pack_match

_EXPERIMENTER = struct.Struct("!HH4xII")
"""multipart kind, flags, experimenter, its own type"""
_HEAD = struct.Struct("!II")
"""experimenter, its own type"""
_REQUEST = struct.Struct("!IHHIB3x")
"""monitor, flags, length of the match, out port, table"""
_EVENT = struct.Struct("!HH")
"""length, event"""
_FLOW_MONITOR = 1870
_ADDED, _DELETED, _MODIFIED = 2, 4, 8
"""Flags of a request: what to tell of. Without the flag for it, own changes come abbreviated."""
_ABBREVIATED = 3
_ANY_PORT = 0xFFFFFFFF
_MATCH_HEADER = 4


def watch(xid: int) -> bytes:
    """Request to be told of every change of any table from now on."""
    head = _EXPERIMENTER.pack(EXPERIMENTER, 0, ONF, _FLOW_MONITOR)
    flags = _ADDED | _DELETED | _MODIFIED
    request = _REQUEST.pack(0, flags, _MATCH_HEADER, _ANY_PORT, ALL_TABLES) + pack_match(b"")
    return message(TYPE_MULTIPART_REQUEST, xid, head + request)


def by_others(raw: bytes) -> bool:
    """Does a report tell of a change that another connection, or the switch itself, has made?

    Args:
        raw: body of an experimenter's multipart reply.

    Raises:
        TransientError: it is no report of a flow monitor.
    """
    if len(raw) < _HEAD.size or _HEAD.unpack_from(raw) != (ONF, _FLOW_MONITOR):
        raise TransientError(f"{len(raw)} bytes are no report of a flow monitor")
    start, found = _HEAD.size, False
    while start < len(raw):
        length, event = _EVENT.unpack_from(raw, start) if start + _EVENT.size <= len(raw) else (0, 0)
        if length < _HEAD.size or start + length > len(raw):
            raise TransientError(f"no event of a flow monitor at byte {start} of {len(raw)}")
        found = found or event != _ABBREVIATED
        start += length
    return found
