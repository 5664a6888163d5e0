"""ONF bundles on OpenFlow 1.3 (ONF extension 230): messages that take effect together or not at all.

`pieces` writes one down, `stage` says how to send it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from ryu_apps.wire.flowmod import HEADER, TYPE_EXPERIMENTER, TYPE_FLOW_MOD, VERSION, message
from ryu_apps.wire.oxm import ONF

_CONTROL = struct.Struct("!IIIHH")
"""experimenter, kind, bundle, type, flags"""
_ADD = struct.Struct("!III2xH")
"""experimenter, kind, bundle, flags"""
_ENVELOPE = struct.Struct("!BBH4s16s")
"""header of the envelope, what `_ADD` packs; a message follows"""
_CONTROL_SIZE = HEADER.size + _CONTROL.size
_KIND_CONTROL = 2300
_KIND_ADD = 2301
_ATOMIC_ORDERED = 3
_COOKIE = struct.Struct("!Q")
_PIECE = 512
"""Parts of a piece, two for each message."""


class Control(IntEnum):
    """Types of a bundle control message."""

    OPEN_REQUEST = 0
    OPEN_REPLY = 1
    CLOSE_REQUEST = 2
    CLOSE_REPLY = 3
    COMMIT_REQUEST = 4
    COMMIT_REPLY = 5
    DISCARD_REQUEST = 6
    DISCARD_REPLY = 7


@dataclass(frozen=True)
class Staged:
    """A bundle in the two steps in which it must be sent, each with a barrier of its own.

    Open vSwitch refuses a malformed message when it is added and then commits the others: whoever sends the commit
    before having seen the errors of the first step gets a part of the bundle.
    """

    prepare: bytes
    """Open and add; of messages that are no bundle, all of them."""
    commit: bytes
    """To send when the first step had no errors. Empty: no bundle."""
    discard: bytes
    """To send otherwise."""


@dataclass(frozen=True)
class _Message:
    """A bundle control message."""

    xid: int
    bundle_id: int
    control: Control


def _control(xid: int, bundle_id: int, control: Control) -> bytes:
    body = _CONTROL.pack(ONF, _KIND_CONTROL, bundle_id, control, _ATOMIC_ORDERED)
    return message(TYPE_EXPERIMENTER, xid, body)


def pieces(messages: Iterable[bytes], bundle_id: int, open_xid: int, commit_xid: int) -> Iterator[bytes]:
    """A bundle, made while it is being sent: open with the first messages, more of them, the commit by itself.

    Args:
        messages: each with a transaction id of its own, which its envelope takes over as the extension demands.
    """
    piece = [_control(open_xid, bundle_id, Control.OPEN_REQUEST)]
    middle = _ADD.pack(ONF, _KIND_ADD, bundle_id, _ATOMIC_ORDERED)
    for inner in messages:
        piece += (_ENVELOPE.pack(VERSION, TYPE_EXPERIMENTER, _ENVELOPE.size + len(inner), inner[4:8], middle), inner)
        if len(piece) > _PIECE:
            yield b"".join(piece)
            piece.clear()
    if piece:
        yield b"".join(piece)
    yield _control(commit_xid, bundle_id, Control.COMMIT_REQUEST)


def stage(messages: bytes) -> Staged:
    """Take a bundle apart; other messages stay whole."""
    start = len(messages) - _CONTROL_SIZE
    opened, closing = _parse_control(messages), _parse_control(messages[start:]) if start > 0 else None
    if opened is None or closing is None:
        return Staged(messages, b"", b"")
    ours = opened.control is Control.OPEN_REQUEST and closing.control is Control.COMMIT_REQUEST
    if not ours or opened.bundle_id != closing.bundle_id:
        return Staged(messages, b"", b"")
    discard = _control(closing.xid, closing.bundle_id, Control.DISCARD_REQUEST)
    return Staged(messages[:start], messages[start:], discard)


def _parse_control(raw: bytes) -> _Message | None:
    if len(raw) < _CONTROL_SIZE:
        return None
    _, kind, _, xid = HEADER.unpack_from(raw)
    experimenter, subtype, bundle_id, control, _ = _CONTROL.unpack_from(raw, HEADER.size)
    if (kind, experimenter, subtype) != (TYPE_EXPERIMENTER, ONF, _KIND_CONTROL) or control not in set(Control):
        return None
    return _Message(xid, bundle_id, Control(control))


def failed_cookie(data: bytes) -> int | None:
    """Cookie of the flow-mod an error is about, inside a bundle or not; None when it is about something else."""
    inner = data
    if data[:2] == bytes((VERSION, TYPE_EXPERIMENTER)) and data[8:16] == struct.pack("!II", ONF, _KIND_ADD):
        inner = data[HEADER.size + _ADD.size :]
    if inner[:2] != bytes((VERSION, TYPE_FLOW_MOD)) or len(inner) < HEADER.size + _COOKIE.size:
        return None
    return int(_COOKIE.unpack_from(inner, HEADER.size)[0])
