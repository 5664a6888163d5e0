"""Messages of OpenFlow 1.3 that change and read flow entries, struct-packed (specification 7.3.4.1, 7.3.5.2, 7.3.8)."""

from __future__ import annotations

import struct

from policies.codec import InstalledEntry
from policies.entries import Field, TableEntry
from ryu_apps.wire.instructions import encode_instructions
from ryu_apps.wire.oxm import encode_match, pack_match

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
_ANY = 0xFFFFFFFF
_NO_BUFFER = 0xFFFFFFFF
_ADD, _DELETE, _DELETE_STRICT = 0, 3, 4
_MULTIPART_FLOW = 1

_FLOW_MOD = struct.Struct("!QQBBHHHIIIH2x")
"""cookie, cookie mask, table, command, idle timeout, hard timeout, priority, buffer, out port, out group, flags"""
_MULTIPART = struct.Struct("!HH4x")
_FLOW_REQUEST = struct.Struct("!B3xII4xQQ")
"""table, out port, out group, cookie, cookie mask"""


def message(kind: int, xid: int, body: bytes = b"") -> bytes:
    """A whole OpenFlow 1.3 message."""
    return HEADER.pack(VERSION, kind, HEADER.size + len(body), xid) + body


def _flow_mod(
    xid: int, command: int, table: int, priority: int, oxms: bytes, *, cookie: int, mask: int, instructions: bytes = b""
) -> bytes:
    fixed = _FLOW_MOD.pack(cookie, mask, table, command, 0, 0, priority, _NO_BUFFER, _ANY, _ANY, 0)
    return message(TYPE_FLOW_MOD, xid, fixed + pack_match(oxms) + instructions)


def add(entry: TableEntry, cookie: int, xid: int) -> bytes:
    """ADD: replaces the entry of the same table, priority and match, whatever its cookie and instructions.

    Raises:
        PolicyError: the entry has no OpenFlow form.
    """
    oxms, instructions = encode_match(entry.match), encode_instructions(entry)
    return _flow_mod(xid, _ADD, entry.table, entry.priority, oxms, cookie=cookie, mask=0, instructions=instructions)


def delete_strict(installed: InstalledEntry, xid: int) -> bytes:
    """DELETE_STRICT of exactly this entry: nothing happens when another cookie has taken its place meanwhile."""
    table, priority, match = installed.table, installed.priority, installed.match
    return _flow_mod(xid, _DELETE_STRICT, table, priority, match, cookie=installed.cookie, mask=EXACT_COOKIE)


def delete_by_cookie(cookie: int, mask: int, xid: int, table: int = ALL_TABLES) -> bytes:
    """DELETE of every entry whose cookie equals `cookie` under `mask`; a mask of 0 means every entry."""
    return _flow_mod(xid, _DELETE, table, 0, b"", cookie=cookie, mask=mask)


def barrier_request(xid: int) -> bytes:
    """BARRIER_REQUEST."""
    return message(TYPE_BARRIER_REQUEST, xid)


def flow_stats_request(
    xid: int, table: int = ALL_TABLES, cookie: int = 0, mask: int = 0, match: tuple[Field, ...] = ()
) -> bytes:
    """Multipart request of flow statistics, by table, by cookie under a mask, by (non-strict) match."""
    request = _FLOW_REQUEST.pack(table, _ANY, _ANY, cookie, mask) + pack_match(encode_match(match))
    return message(TYPE_MULTIPART_REQUEST, xid, _MULTIPART.pack(_MULTIPART_FLOW, 0) + request)
