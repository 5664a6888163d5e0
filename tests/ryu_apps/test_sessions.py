"""Sessions with switches that behave as real ones rarely do."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.control import Node, Peer, echo, until
from support.rawswitch import (
    BARRIER_REPLY,
    BARRIER_REQUEST,
    ERROR,
    MAC,
    MULTIPART_REPLY,
    MULTIPART_REQUEST,
    PORT_MOD,
    PORT_STATUS,
    RawSwitch,
    describe,
)
from support.rawswitch import message as openflow
from support.reports import HEAD, OWN, report

from policies.codec import Change, Happened
from policies.entries import TableEntry
from ryu_apps.wire import monitor
from ryu_apps.wire.content import installed

pytestmark = pytest.mark.slow

ALPHA = 0xDC00
PORTS = {1: "tc0-up", 2: "tc0-1", 0xFFFFFFFE: "tc0"}
READ = openflow(MULTIPART_REQUEST, 0, struct.pack("!HH4x", 1, 0))
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
        assert engine.wait("vfn_up").data == {"dpid": ALPHA, "ports": {"tc0-up": 1, "tc0-1": 2}, "down": []}
        return switches[-1]

    yield connected
    for switch in switches:
        switch.close()


def test_a_newer_connection_replaces_the_older(connect: Callable[[], RawSwitch], engine: Peer) -> None:
    """The older is closed, the engine hears vfn_up again, and no vfn_down that would be about the newer."""
    first = connect()
    second = connect()
    assert first.closed()
    engine.send("read", {"dpid": ALPHA, "request": 1}, READ)
    xid, _ = second.wait(MULTIPART_REQUEST)
    second.send(openflow(MULTIPART_REPLY, xid, struct.pack("!HH4x", 1, 0)))
    assert engine.wait("installed", request=1).data["last"]
    assert not [m for m in engine.got if m.kind == "vfn_down"]


def test_parts_of_a_reply_are_passed_on_together(connect: Callable[[], RawSwitch], engine: Peer) -> None:
    """Unread, and as far as one message is not too long for them; the one without the MORE flag is the last."""
    switch = connect()
    engine.send("read", {"dpid": ALPHA, "request": 5}, READ)
    xid, _ = switch.wait(MULTIPART_REQUEST)
    switch.send(openflow(MULTIPART_REPLY, xid, struct.pack("!HH4x", 1, 1) + b"x" * 65_000))
    switch.send(openflow(MULTIPART_REPLY, xid, struct.pack("!HH4x", 1, 1) + b"y" * 1_000))
    part = engine.wait("installed", request=5)
    assert (part.data["last"], part.body) == (False, b"x" * 65_000)
    switch.send(openflow(MULTIPART_REPLY, xid, struct.pack("!HH4x", 1, 0) + b"second"))
    part = engine.wait("installed", request=5)
    assert (part.data["last"], part.body) == (True, b"y" * 1_000 + b"second")


def test_several_requests_are_one_question(connect: Callable[[], RawSwitch], engine: Peer) -> None:
    """The last part of the last answer is the last; each part says of what kind it is."""
    switch = connect()
    tables = openflow(MULTIPART_REQUEST, 0, struct.pack("!HH4x", 3, 0))
    engine.send("read", {"dpid": ALPHA, "request": 6}, READ + tables)
    xids = [switch.wait(MULTIPART_REQUEST)[0] for _ in range(2)]
    for xid, kind, more in zip((xids[0], *xids), (1, 1, 3), (1, 0, 0), strict=True):
        switch.send(openflow(MULTIPART_REPLY, xid, struct.pack("!HH4x", kind, more) + b"part"))
    parts = [engine.wait("installed", request=6) for _ in range(2)]
    told = [(part.data["kind"], part.data["last"], part.body) for part in parts]
    assert told == [("flows", False, b"partpart"), ("tables", True, b"part")]


def test_what_a_flow_monitor_reports_is_passed_on(connect: Callable[[], RawSwitch], engine: Peer) -> None:
    """Nobody asked, so it is no part of an answer."""
    switch = connect()
    switch.send(openflow(MULTIPART_REPLY, 0, struct.pack("!HH4x", 0xFFFF, 0) + b"event"))
    assert engine.wait("changed", dpid=ALPHA).body == b"event"


def test_what_a_flow_monitor_reports_at_once_goes_on_at_once(connect: Callable[[], RawSwitch], engine: Peer) -> None:
    """In one message, ahead of the answer to what caused it: whoever waits for that waits for one message more.

    It is read as the reports would be one by one.
    """
    switch = connect()
    engine.send("apply", {"dpid": ALPHA, "request": 4, "urgent": True}, HELLO_MOD)
    barrier, _ = switch.wait(BARRIER_REQUEST)
    entries = [TableEntry(0, priority, (), (), 8) for priority in range(1, 9)]
    bodies = [HEAD + OWN, *(HEAD + report(Happened.ADDED, entry) for entry in entries)]
    reports = [openflow(MULTIPART_REPLY, 0, struct.pack("!HH4x", 0xFFFF, 0) + body) for body in bodies]
    switch.send(b"".join(reports) + openflow(BARRIER_REPLY, barrier))
    engine.wait("applied", request=4)
    (told,) = (message.body for message in engine.got if message.kind == "changed")
    assert monitor.decode_changes(told) == [Change(Happened.ADDED, installed(entry)) for entry in entries]


def test_ports_go_down_ahead_of_the_messages(connect: Callable[[], RawSwitch], engine: Peer) -> None:
    """Port-mods have the port's own address and come first, each after its opposite; a port that is gone has none."""
    switch = connect()
    data = {"dpid": ALPHA, "request": 3, "urgent": True, "down": [2, 9], "up": [1]}
    engine.send("apply", data, HELLO_MOD)
    mods = [struct.unpack("!I4x6s2xIII4x", switch.wait(PORT_MOD)[1]) for _ in range(4)]
    assert [(port, config) for port, _, config, _, _ in mods] == [(2, 0), (2, 1), (1, 1), (1, 0)]
    assert {(mac, mask, features) for _, mac, _, mask, features in mods} == {(MAC, 1, 0)}
    switch.wait(2)
    switch.send(openflow(BARRIER_REPLY, switch.wait(BARRIER_REQUEST)[0]))
    assert engine.wait("applied", request=3).data["errors"] == []


def test_a_port_that_is_down_is_told(connect: Callable[[], RawSwitch], engine: Peer) -> None:
    """The engine hears of it when it happens."""
    switch = connect()
    switch.send(openflow(PORT_STATUS, 0, struct.pack("!B7x", 2) + describe(2, "tc0-1", config=1)))
    assert engine.wait("vfn_ports").data["down"] == [2]


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
    engine.send("read", {"dpid": ALPHA, "request": 1}, READ)
    engine.wait("vfn_down", dpid=ALPHA)
    assert 4.5 < time.monotonic() - began < 8
    assert switch.closed()
    until(lambda: "no answer to statistics within 5 s" in node.log, "the reason in the log")
    connect()


def test_a_switch_that_goes_during_a_read_is_told_once(connect: Callable[[], RawSwitch], engine: Peer) -> None:
    """vfn_down, no answer to the read, and control goes on."""
    switch = connect()
    engine.send("read", {"dpid": ALPHA, "request": 1}, READ)
    switch.wait(MULTIPART_REQUEST)
    switch.close()
    engine.wait("vfn_down", dpid=ALPHA)
    connect()
    assert not [m for m in engine.got if m.kind in {"installed", "vfn_down"}]


def test_refused_statistics_end_the_session(connect: Callable[[], RawSwitch], engine: Peer, node: Node) -> None:
    """A switch that cannot be read cannot be known to enforce anything."""
    switch = connect()
    engine.send("read", {"dpid": ALPHA, "request": 1}, READ)
    xid, body = switch.wait(MULTIPART_REQUEST)
    switch.send(openflow(ERROR, xid, struct.pack("!HH", 1, 2) + openflow(MULTIPART_REQUEST, xid, body)))
    engine.wait("vfn_down", dpid=ALPHA)
    assert "refused statistics (error 1/2)" in node.log
