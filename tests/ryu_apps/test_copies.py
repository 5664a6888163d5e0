"""Copies on their way to the analyzer."""

from __future__ import annotations

import struct
from types import SimpleNamespace

from policies.entries import Field, TableEntry
from runtime.channel import Message
from ryu_apps.copies import Copies
from ryu_apps.peer import Peer
from ryu_apps.sessions import Sessions
from ryu_apps.wire.content import installed
from ryu_apps.wire.oxm import pack_match
from topology.inventory import parse

NETWORK = parse("segments: {web: }\nvfns: {v1: {dpid: 1}}\n")
IN_PORT = pack_match(installed(TableEntry(0, 0, (Field("in_port", 1),))).match)
RAW = bytes(8) + struct.pack("!IHBBQ", 0, 60, 1, 1, 7) + IN_PORT + bytes(62)


def test_without_an_analyzer_copies_are_dropped_and_counted() -> None:
    """Nothing is kept for one that may come."""
    announced: list[Message] = []
    sessions = Sessions(NETWORK, announced.append)
    datapath = SimpleNamespace(id=1, address=("127.0.0.1", 1), close=lambda: None)
    sessions.on_connected(datapath)
    copies = Copies(sessions, Peer("analyzer", announced.append))
    for _ in range(3):
        copies.take(datapath, RAW)
    assert (copies.passed, copies.dropped) == (0, 3)
