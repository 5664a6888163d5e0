"""Flow monitors: the switch tells of every change of its entries as it happens.

On OpenFlow 1.3 Open vSwitch speaks ONF extension 187 (ofp-monitor.c, `onf_flow_monitor_request`,
`ofp_flow_update_full`): experimenter multiparts, whose reports have the transaction id 0. A session's own changes are
abbreviated to the transaction id of their message. What a switch cannot send at once it sends later; so its notes that
it pauses and resumes (experimenter messages) need no answer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from policies.codec import Change, Happened, InstalledEntry
from runtime.errors import TransientError
from ryu_apps.wire import multipart
from ryu_apps.wire.flowmod import ALL_TABLES, TYPE_MULTIPART_REQUEST, message
from ryu_apps.wire.oxm import ONF, pack_match, unpack_match

_MONITOR = 1870
_HEAD = struct.Struct("!II")
"""experimenter, its kind"""
_OURS = _HEAD.pack(ONF, _MONITOR)
_REQUEST = struct.Struct("!IHHIB3x")
"""monitor, flags, length of the match, out port, table; the match follows"""
_ANY_PORT = 0xFFFFFFFF
_EMPTY_MATCH = 4
"""Bytes of a match without fields, padding not counted."""
_ADD_DELETE_MODIFY_ACTIONS = 0x1E
_EVENT = struct.Struct("!HH")
"""length, event"""
_UPDATE = struct.Struct("!HHHHHHHBxQ")
"""length, event, reason, priority, idle timeout, hard timeout, length of the match, table, cookie; match and
instructions follow"""
_ABBREVIATED = 3


def request(xid: int, monitor: int = 0) -> bytes:
    """Multipart request to be told of all changes of all tables from now on, for as long as the session lasts."""
    body = _REQUEST.pack(monitor, _ADD_DELETE_MODIFY_ACTIONS, _EMPTY_MATCH, _ANY_PORT, ALL_TABLES) + pack_match(b"")
    head = multipart.head(multipart.EXPERIMENTER) + _OURS
    return message(TYPE_MULTIPART_REQUEST, xid, head + body)


def together(reports: Sequence[bytes]) -> bytes:
    """Bodies of several reports as one: each began with a head of its own."""
    return reports[0] + b"".join(raw.removeprefix(_OURS) for raw in reports[1:])


def decode_changes(raw: bytes) -> list[Change]:
    """Changes by others out of the body of an experimenter multipart reply; those of the session itself are left out.

    Raises:
        TransientError: it is no report of a flow monitor.
    """
    if not raw.startswith(_OURS):
        raise TransientError(f"no report of a flow monitor: {raw[: _HEAD.size].hex()}")
    return [_change(raw, start, end) for event, start, end in _walk(raw) if event != _ABBREVIATED]


def _walk(raw: bytes) -> Iterator[tuple[int, int, int]]:
    """(event, start, end) of each report."""
    start = _HEAD.size
    while start < len(raw):
        length, event = _EVENT.unpack_from(raw, start) if start + _EVENT.size <= len(raw) else (0, 0)
        if length < _HEAD.size or start + length > len(raw):
            raise TransientError(f"no change at byte {start} of {len(raw)}: length {length}")
        yield event, start, start + length
        start += length


def _change(raw: bytes, start: int, end: int) -> Change:
    if end - start < _UPDATE.size or raw[start + 3] not in set(Happened):
        raise TransientError(f"no change at byte {start}: {raw[start:end].hex()}")
    _, event, _, priority, _, _, _, table, cookie = _UPDATE.unpack_from(raw, start)
    match, after = unpack_match(raw, start + _UPDATE.size, end)
    return Change(Happened(event), InstalledEntry(table, priority, cookie, match, raw[after:end], 0, 0))
