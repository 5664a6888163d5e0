"""Messages of OpenFlow 1.3 that change flow entries, struct-packed (specification 7.3.4.1, 7.3.8)."""

from __future__ import annotations

import struct

from policies.codec import InstalledEntry
from policies.entries import TableEntry
from ryu_apps.wire.layouts import laid_out
from ryu_apps.wire.oxm import pack_match

VERSION = 0x04
HEADER = struct.Struct("!BBHI")
"""version, type, length, xid"""
TYPE_ERROR = 1
TYPE_EXPERIMENTER = 4
TYPE_FLOW_MOD = 14
TYPE_MULTIPART_REQUEST = 18
TYPE_BARRIER_REQUEST = 20

ALL_TABLES = 0xFF
EXACT_COOKIE = 0xFFFF_FFFF_FFFF_FFFF
_ADD, _DELETE, _DELETE_STRICT = 0, 3, 4

_FLOW_MOD = struct.Struct("!BBHIQQBB4xH12sH2x")
"""header, cookie, cookie mask, table, command, (no timeouts,) priority, `_ANYWHERE`, flags"""
_RESET_COUNTS = 4
_ANYWHERE = bytes([0xFF]) * 12
"""No buffered packet, any out port, any out group."""


def message(kind: int, xid: int, body: bytes = b"") -> bytes:
    """A whole OpenFlow 1.3 message."""
    return HEADER.pack(VERSION, kind, HEADER.size + len(body), xid) + body


def add(entry: TableEntry, cookie: int, xid: int) -> bytes:
    """ADD: replaces the entry of the same table, priority and match, whatever its cookie and instructions.

    What the entry counts begins at 0; without the flag for it an entry inherits what the one it replaces has counted.

    Raises:
        PolicyError: the entry has no OpenFlow form.
    """
    layout, values = laid_out(entry)
    return _flow_mod(xid, cookie, 0, entry.table, _ADD, entry.priority, layout.body(values))


def remove(entry: TableEntry, cookie: int, xid: int) -> bytes:
    """DELETE_STRICT of an entry as it was added: nothing happens when another cookie has taken its place meanwhile.

    Raises:
        PolicyError: the entry has no OpenFlow form.
    """
    layout, values = laid_out(entry)
    return _flow_mod(xid, cookie, EXACT_COOKIE, entry.table, _DELETE_STRICT, entry.priority, layout.match(values))


def delete(installed: InstalledEntry, xid: int) -> bytes:
    """DELETE_STRICT of an entry as it was read, whoever made it; likewise."""
    table, priority, match = installed.table, installed.priority, pack_match(installed.match)
    return _flow_mod(xid, installed.cookie, EXACT_COOKIE, table, _DELETE_STRICT, priority, match)


def delete_by_cookie(cookie: int, mask: int, xid: int, table: int = ALL_TABLES) -> bytes:
    """DELETE of every entry whose cookie equals `cookie` under `mask`; a mask of 0 means every entry."""
    return _flow_mod(xid, cookie, mask, table, _DELETE, 0, pack_match(b""))


def _flow_mod(xid: int, cookie: int, mask: int, table: int, command: int, priority: int, rest: bytes) -> bytes:
    length, flags = _FLOW_MOD.size + len(rest), _RESET_COUNTS if command == _ADD else 0
    head = (VERSION, TYPE_FLOW_MOD, length, xid, cookie, mask, table, command, priority, _ANYWHERE, flags)
    return _FLOW_MOD.pack(*head) + rest


def barrier_request(xid: int) -> bytes:
    """BARRIER_REQUEST."""
    return message(TYPE_BARRIER_REQUEST, xid)
