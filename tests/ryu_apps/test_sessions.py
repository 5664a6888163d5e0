"""Sessions with switches that behave as real ones rarely do."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.control import Node, Peer, echo, until
from support.rawswitch import BARRIER_REPLY, BARRIER_REQUEST, ERROR, MULTIPART_REPLY, MULTIPART_REQUEST, RawSwitch
from support.rawswitch import message as openflow

pytestmark = pytest.mark.slow

ALPHA = 0xDC00
PORTS = {1: "tc0-up", 2: "tc0-1", 0xFFFFFFFE: "tc0"}
HELLO_MOD = openflow(2, 77)
"""Any message that control can relay: an echo request is harmless."""


@pytest.fixture
def engine(node: Node) -> Iterator[Peer]:
    node.run_dir.mkdir()
    engine, analyzer = (Peer(node.run_dir / f"{name}.sock", echo) for name in ("engine", "analyzer"))
    try:
        node.start()
        node.wait_up()
        engine.wait("hello")
        yield engine
    finally:
        node.__exit__()
        engine.close()
        analyzer.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path, manage_bridges=False) as node:
        node.settings["openflow"]["statistics_seconds"] = 1000
        node.write_settings()
        yield node


@pytest.fixture
def connect(node: Node, engine: Peer) -> Iterator[Callable[[], RawSwitch]]:
    switches: list[RawSwitch] = []

    def connected() -> RawSwitch:
        switches.append(RawSwitch(node.openflow, ALPHA, PORTS))
        assert engine.wait("vfn_up").data == {"dpid": ALPHA, "ports": {"tc0-up": 1, "tc0-1": 2}}
        return switches[-1]

    yield connected
    for switch in switches:
        switch.close()


def test_a_newer_connection_replaces_the_older(connect: Callable[[], RawSwitch], engine: Peer) -> None:
    """The older is closed, the engine hears vfn_up again, and no vfn_down that would be about the newer."""
    first = connect()
    second = connect()
    assert first.closed()
    engine.send("read", {"dpid": ALPHA, "request": 1})
    xid, _ = second.wait(MULTIPART_REQUEST)
    second.send(openflow(MULTIPART_REPLY, xid, struct.pack("!HH4x", 1, 0)))
    assert engine.wait("installed", request=1).data["last"]
    assert not [m for m in engine.got if m.kind == "vfn_down"]


def test_parts_are_passed_on_as_they_come(connect: Callable[[], RawSwitch], engine: Peer) -> None:
    """Each part by itself, unread; only the one without the MORE flag is the last."""
    switch = connect()
    engine.send("read", {"dpid": ALPHA, "request": 5})
    xid, _ = switch.wait(MULTIPART_REQUEST)
    switch.send(openflow(MULTIPART_REPLY, xid, struct.pack("!HH4x", 1, 1) + b"first"))
    part = engine.wait("installed", request=5)
    assert (part.data["last"], part.body) == (False, b"first")
    switch.send(openflow(MULTIPART_REPLY, xid, struct.pack("!HH4x", 1, 0) + b"second"))
    part = engine.wait("installed", request=5)
    assert (part.data["last"], part.body) == (True, b"second")


def test_errors_belong_to_the_barrier_that_follows_them(connect: Callable[[], RawSwitch], engine: Peer) -> None:
    """Of two that are under way, the one that was refused is told so."""
    switch = connect()
    for request in (1, 2):
        engine.send("apply", {"dpid": ALPHA, "request": request, "urgent": request == 2}, HELLO_MOD)
    barriers = [switch.wait(BARRIER_REQUEST)[0] for _ in range(2)]
    switch.send(openflow(BARRIER_REPLY, barriers[0]))
    switch.send(openflow(ERROR, 77, struct.pack("!HH", 5, 1) + HELLO_MOD))
    switch.send(openflow(ERROR, 78, struct.pack("!HHI", 0xFFFF, 2300, 0x4F4E4600) + HELLO_MOD))
    switch.send(openflow(BARRIER_REPLY, barriers[1]))
    assert engine.wait("applied", request=1).data["errors"] == []
    assert engine.wait("applied", request=2).data["errors"] == [
        {"type": 5, "code": 1, "data": HELLO_MOD.hex()},
        {"type": 0xFFFF, "code": 2300, "data": HELLO_MOD.hex()},
    ]


def test_a_switch_that_does_not_answer_is_dropped(connect: Callable[[], RawSwitch], engine: Peer, node: Node) -> None:
    """No statistics within 5 s: the session ends, so that the engine can start afresh when it returns."""
    switch = connect()
    began = time.monotonic()
    engine.send("read", {"dpid": ALPHA, "request": 1})
    engine.wait("vfn_down", dpid=ALPHA)
    assert 4.5 < time.monotonic() - began < 8
    assert switch.closed()
    until(lambda: "no answer to flow statistics within 5 s" in node.log, "the reason in the log")
    connect()


def test_a_switch_that_goes_during_a_read_is_told_once(connect: Callable[[], RawSwitch], engine: Peer) -> None:
    """vfn_down, no answer to the read, and control goes on."""
    switch = connect()
    engine.send("read", {"dpid": ALPHA, "request": 1})
    switch.wait(MULTIPART_REQUEST)
    switch.close()
    engine.wait("vfn_down", dpid=ALPHA)
    connect()
    assert not [m for m in engine.got if m.kind in {"installed", "vfn_down"}]


def test_refused_statistics_end_the_session(connect: Callable[[], RawSwitch], engine: Peer, node: Node) -> None:
    """A switch that cannot be read cannot be known to enforce anything."""
    switch = connect()
    engine.send("read", {"dpid": ALPHA, "request": 1})
    xid, body = switch.wait(MULTIPART_REQUEST)
    switch.send(openflow(ERROR, xid, struct.pack("!HH", 1, 2) + openflow(MULTIPART_REQUEST, xid, body)))
    engine.wait("vfn_down", dpid=ALPHA)
    assert "refused flow statistics (error 1/2)" in node.log
