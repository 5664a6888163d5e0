"""What Ryu may parse of what comes in at the OpenFlow port.

Ryu's parsers build an object for every part of a message: 10,000 flow statistics stop the hub for a second, and a part
that says it is 0 bytes long stops it for ever (CVE-2024-34483 to -34489). So only the messages that control needs
reach a parser, each checked before; statistics and copies of packets stay bytes; everything else is passed over, and
a peer that sends what cannot be OpenFlow is disconnected.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

from ryu.controller.handler import DEAD_DISPATCHER
from ryu.ofproto import ofproto_parser, ofproto_v1_3, ofproto_v1_3_parser

from runtime.errors import TransientError
from ryu_apps.wire import multipart

LOG = logging.getLogger("dynseg.control.parsers")

OnRaw = Callable[[Any, bytes], None]
"""Takes a datapath and a whole message; raises `TransientError` when it is not what it must be, and must not block."""

MAX_HELLO = 256
_ELEMENT = struct.Struct("!HH")
_HEADER = ofproto_v1_3.OFP_HEADER_SIZE
_SIMPLE = {
    ofproto_v1_3.OFPT_ERROR,
    ofproto_v1_3.OFPT_ECHO_REQUEST,
    ofproto_v1_3.OFPT_ECHO_REPLY,
    ofproto_v1_3.OFPT_FEATURES_REPLY,
    ofproto_v1_3.OFPT_PACKET_IN,
    ofproto_v1_3.OFPT_PORT_STATUS,
    ofproto_v1_3.OFPT_BARRIER_REPLY,
}
_RAW_KINDS = {multipart.FLOW, multipart.TABLE, multipart.METER_CONFIG, multipart.EXPERIMENTER}
"""Statistics that are passed on as they come. Port descriptions alone are Ryu's, for its handshake."""


def install(on_copy: OnRaw, on_statistics: OnRaw) -> None:
    """Put the guard in front of Ryu's parsers, for every version number a header can name.

    Args:
        on_copy: takes each PACKET_IN.
        on_statistics: takes each multipart reply, except port descriptions.
    """
    for version in range(256):
        ofproto_parser.register_msg_parser(version)(partial(_parse, on_copy, on_statistics))


def _parse(
    on_copy: OnRaw,
    on_statistics: OnRaw,
    datapath: Any,
    version: int,
    msg_type: int,
    msg_len: int,
    xid: int,
    buffer: bytes,
) -> Any:
    """The message, or None when it went elsewhere, is none of ours, or its sender was disconnected for it."""
    if datapath.state == DEAD_DISPATCHER:
        return None
    try:
        if not needed(version, msg_type, buffer):
            return None
        if msg_type == ofproto_v1_3.OFPT_PACKET_IN:
            on_copy(datapath, bytes(buffer))
            return None
        if msg_type == ofproto_v1_3.OFPT_MULTIPART_REPLY and _multipart_kind(buffer) in _RAW_KINDS:
            on_statistics(datapath, bytes(buffer))
            return None
        # A hello is laid out alike in every version, and 1.3's parser keeps the version that the header names.
        return ofproto_v1_3_parser.msg_parser(datapath, version, msg_type, msg_len, xid, buffer)
    except (ValueError, AssertionError, struct.error, IndexError, TypeError, TransientError) as error:
        LOG.warning("disconnecting %s: what it sent is not OpenFlow 1.3 (%s)", datapath.address, error)
        datapath.close()
        return None


def needed(version: int, msg_type: int, buffer: bytes) -> bool:
    """Is this a message that control reads?

    Raises:
        ValueError: it cannot be one of OpenFlow 1.3, or its parts do not fill it.
    """
    if msg_type == ofproto_v1_3.OFPT_HELLO:
        if not 1 <= version <= 6:
            raise ValueError(f"version {version}")
        _check_hello(buffer)
        return True
    if version != ofproto_v1_3.OFP_VERSION:
        raise ValueError(f"version {version} after the hello")
    if msg_type == ofproto_v1_3.OFPT_MULTIPART_REPLY:
        return _check_multipart(buffer)
    return msg_type in _SIMPLE


def _check_hello(buffer: bytes) -> None:
    """Walk the elements as Ryu's parser will: it does not round lengths up, and never ends at a length of 0."""
    if len(buffer) > MAX_HELLO:
        raise ValueError(f"hello of {len(buffer)} bytes")
    offset = _HEADER
    while offset < len(buffer):
        if len(buffer) - offset < _ELEMENT.size:
            raise ValueError("hello cut within an element")
        _, length = _ELEMENT.unpack_from(buffer, offset)
        if length < _ELEMENT.size or offset + length > len(buffer):
            raise ValueError(f"hello element of {length} bytes")
        offset += length


def _check_multipart(buffer: bytes) -> bool:
    if len(buffer) < multipart.SIZE:
        raise ValueError(f"multipart reply of {len(buffer)} bytes")
    kind, body = _multipart_kind(buffer), len(buffer) - multipart.SIZE
    if kind == ofproto_v1_3.OFPMP_PORT_DESC and body % ofproto_v1_3.OFP_PORT_SIZE:
        raise ValueError(f"port descriptions of {body} bytes")
    return kind in _RAW_KINDS or kind == ofproto_v1_3.OFPMP_PORT_DESC


def _multipart_kind(buffer: bytes) -> int:
    return int.from_bytes(buffer[_HEADER : _HEADER + 2], "big")
