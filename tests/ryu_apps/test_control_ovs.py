"""Control with real bridges: sessions, relaying, counters, settings, and what disturbs them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path

import numpy as np
import pytest
from support.control import INVENTORY, Node, Peer, bridges, echo, until, vsctl
from support.datapath import spoil, works
from support.forwarder import Forwarder
from support.spaces import host

from policies.entries import Field, Output, SetField, TableEntry
from policies.pipeline.tables import Table
from runtime.arrays import COUNTER
from ryu_apps import datapath
from ryu_apps.counters import TABLES
from ryu_apps.wire.codec import WireCodec
from topology.model import Vm

pytestmark = pytest.mark.ovs

ALPHA, BETA = 0xDC00, 0xDC01
CODEC = WireCodec()


class World:
    """A node with its two bridges and peers."""

    def __init__(self, node: Node, engine: Peer, analyzer: Peer) -> None:
        self.node, self.engine, self.analyzer = node, engine, analyzer

    def up(self) -> None:
        """Start control and wait until both VFNs are announced."""
        self.node.start()
        self.engine.wait("hello")
        for dpid in (ALPHA, BETA):
            self.engine.wait("vfn_up", dpid=dpid)

    def apply(self, messages: bytes, request: int, *, freed: bool = False) -> list[dict[str, object]]:
        """Have messages applied at alpha, which end drops or do not; the errors."""
        self.engine.send("apply", {"dpid": ALPHA, "request": request, "urgent": False, "freed": freed}, messages)
        answer = self.engine.wait("applied", dpid=ALPHA, request=request)
        assert 0 < answer.data["seconds"] < 10
        errors: list[dict[str, object]] = answer.data["errors"]
        return errors

    def read(self, request: int) -> bytes:
        """All entries of alpha, raw."""
        self.engine.send("read", {"dpid": ALPHA, "request": request}, CODEC.read())
        raw = b""
        while not (part := self.engine.wait("installed", dpid=ALPHA, request=request)).data["last"]:
            raw += part.body
        return raw + part.body


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Node(tmp_path) as node, bridges("tc0", "tc1"):
        node.run_dir.mkdir()
        engine, analyzer = (Peer(node.run_dir / f"{name}.sock", echo) for name in ("engine", "analyzer"))
        try:
            yield World(node, engine, analyzer)
        finally:
            node.__exit__()
            engine.close()
            analyzer.close()


def entry(number: int, table: int = 6) -> TableEntry:
    """One of many different entries."""
    match = (Field("eth_type", 0x0800), Field("ip_proto", 6), Field("ipv4_dst", 0x0A000000 + number))
    return TableEntry(table, 1000, match, (SetField("reg1", 1),), goto=table + 1)


def many(count: int) -> bytes:
    return bundle(*map(entry, range(count)))


def bundle(*entries: TableEntry) -> bytes:
    """One that adds these."""
    return CODEC.change({CODEC.cookie(one): one for one in entries}, (), {}, 1)


def test_bridges_become_vfns(world: World) -> None:
    """Plain bridges get datapath id, protocol, fail mode, controller and NetFlow; their ports are announced."""
    world.node.start()
    up = world.engine.wait("vfn_up", dpid=ALPHA)
    assert set(up.data["ports"]) == {"tc0-up", "tc0-1"}
    assert world.analyzer.wait("vfn_ports", dpid=ALPHA).data["ports"] == up.data["ports"]
    world.engine.wait("vfn_up", dpid=BETA)
    assert vsctl("get Bridge tc0 fail_mode protocols datapath_id").split() == [
        "secure",
        "[OpenFlow13]",
        '"000000000000dc00"',
    ]
    assert vsctl("get-controller tc1") == f"tcp:127.0.0.1:{world.node.openflow}"
    netflow = vsctl("get Bridge tc1 netflow")
    collector = f'["127.0.0.1:{world.node.settings["netflow"]["port"]}"]'
    assert vsctl(f"get NetFlow {netflow} targets engine_type engine_id").split() == [collector, "0", "1"]


def test_ports_that_come_and_go_are_told(world: World) -> None:
    """By interface name and by iface-id, to engine and analyzer."""
    world.up()
    vsctl("add-port tc0 tc0-2 -- set Interface tc0-2 type=internal external_ids:iface-id=vm-42")
    wanted = {"tc0-up", "tc0-1", "tc0-2", "vm-42"}
    until(lambda: set(world.engine.wait("vfn_ports", dpid=ALPHA).data["ports"]) == wanted, "both names at the engine")
    until(lambda: set(world.analyzer.wait("vfn_ports", dpid=ALPHA).data["ports"]) == wanted, "and at the analyzer")
    vsctl("del-port tc0 tc0-2")
    until(lambda: "tc0-2" not in world.engine.wait("vfn_ports", dpid=ALPHA).data["ports"], "gone")


def test_what_is_applied_is_read_back(world: World) -> None:
    """A bundle goes in, the barrier confirms it, and reading gives exactly it."""
    world.up()
    assert world.read(1) == b""
    assert world.apply(many(300), 2) == []
    installed = CODEC.decode(world.read(3))
    assert {found.cookie for found in installed} == {CODEC.cookie(entry(number)) for number in range(300)}


def test_what_the_data_path_wrongly_drops_ends_with_drops_that_end(world: World) -> None:
    """The tables let the packets pass all the time; any other change leaves the data path as it is."""
    world.up()
    with ExitStack() as stack:
        for number in (1, 2):
            vm = Vm(f"t{number}", number, "", "tc0", f"tc0-v{number}", f"02:00:00:00:dc:0{number}", (_address(number),))
            stack.enter_context(host(vm, "tc0", 10 + number))
        ways = [TableEntry(0, 1, (Field("in_port", a),), (Output(b),)) for a, b in ((11, 12), (12, 11))]
        assert world.apply(bundle(*ways), 1) == []
        ping = "ip", "netns", "exec", "tc0-v1", "ping", "-c", "2", "-i", "0.2", "-W", "1", str(_address(2))
        assert works(*ping)
        spoil("tc0-v1")
        assert world.apply(CODEC.add(entry(1)), 2) == []
        world.read(3)
        assert not works(*ping)
        assert world.apply(CODEC.add(entry(2)), 4, freed=True) == []
        world.read(5)
        assert works(*ping)


def _address(number: int) -> IPv4Address:
    return IPv4Address(f"10.9.7.{number}")


def test_what_the_switch_refuses_is_told(world: World) -> None:
    """Errors come with type, code and the message they are about; the bundle leaves nothing behind."""
    world.up()
    good = entry(1)
    bad = TableEntry(6, 1, (), goto=5)  # goto must lead to a later table
    errors = world.apply(bundle(good, bad), 1)
    assert errors
    assert set(errors[0]) == {"type", "code", "data"}
    assert bytes.fromhex(str(errors[0]["data"]))
    assert world.read(2) == b""
    assert world.apply(CODEC.add(good), 3) == []
    assert len(CODEC.decode(world.read(4))) == 1


def test_counters_reach_the_analyzer(world: World) -> None:
    """Entries of source class and of what rules decide, of no other table."""
    world.up()
    world.apply(b"".join(CODEC.add(entry(table, table)) for table in range(max(Table) + 1)), 1)

    def counted() -> bool:
        message = world.analyzer.wait("counters", dpid=ALPHA)
        counters = np.frombuffer(message.body, dtype=COUNTER)
        assert message.data["n"] == len(counters)
        assert abs(message.data["time"] - time.time()) < 5
        return set(counters["table"].tolist()) == set(TABLES)

    until(counted, "counters of those tables")


def test_a_vfn_that_goes_and_returns_is_told(world: World) -> None:
    """vfn_down when its bridge goes, vfn_up when it is back: settings are made anew as soon as it appears."""
    world.up()
    vsctl("del-br tc0")
    world.engine.wait("vfn_down", dpid=ALPHA)
    with bridges("tc0"):
        world.engine.wait("vfn_up", dpid=ALPHA)


def test_a_datapath_that_is_no_vfn_is_left_alone(world: World) -> None:
    """It may connect, and is logged; nothing is announced."""
    world.up()
    with bridges("tc9"):
        vsctl("set Bridge tc9 protocols=[OpenFlow13] fail_mode=secure other_config:datapath-id=000000000000dcff")
        vsctl(f"set-controller tc9 tcp:127.0.0.1:{world.node.openflow}")
        until(lambda: "datapath 0x000000000000dcff" in world.node.log, "a line about the stranger")
        assert not [message for message in world.engine.got if message.data.get("dpid") == 0xDCFF]


def test_a_new_control_changes_nothing(world: World) -> None:
    """Control is killed and started again: bridges keep their settings and entries, the same engine hears vfn_up."""
    world.up()
    world.apply(many(50), 1)
    before = vsctl("list Controller"), vsctl("list NetFlow"), vsctl("--columns=_uuid,controller,netflow list Bridge")
    world.node.end(signal.SIGKILL)
    world.node.start()
    world.engine.wait("hello")
    world.engine.wait("vfn_up", dpid=ALPHA)
    assert len(CODEC.decode(world.read(2))) == 50
    after = vsctl("list Controller"), vsctl("list NetFlow"), vsctl("--columns=_uuid,controller,netflow list Bridge")
    assert [_settings(text) for text in after] == [_settings(text) for text in before]
    assert world.node.log.count("setting bridge tc0") == 1


def test_the_switch_does_not_wait_behind_others(world: World) -> None:
    """Its daemon's niceness is that of the daemon's group, which alone counts between sessions."""
    daemon = datapath.process(Path("/var/run/openvswitch"))
    group = Path(f"/proc/{daemon}/autogroup")
    if not group.exists() or not (niceness := os.getpriority(os.PRIO_PROCESS, daemon)):
        pytest.skip("no groups of sessions here, or Open vSwitch was started without its script")
    group.write_text("0\n")
    world.up()
    until(lambda: group.read_text().endswith(f"nice {niceness}\n"), "the group has it, too")


def test_another_port_moves_the_bridges_without_a_flush(world: World) -> None:
    """The controller's row is changed in place, so the entries stay through the move."""
    world.up()
    world.apply(many(50), 1)
    world.node.end(signal.SIGKILL)
    moved = Node(world.node.folder)
    with moved:
        moved.start()
        world.engine.wait("hello")
        world.engine.wait("vfn_up", dpid=ALPHA)
        assert vsctl("get-controller tc0") == f"tcp:127.0.0.1:{moved.openflow}"
        assert len(CODEC.decode(world.read(2))) == 50


def test_settings_that_somebody_changes_are_set_again(world: World) -> None:
    """The database tells of the change; nobody has to poll."""
    world.up()
    vsctl("set Bridge tc0 fail_mode=standalone")
    until(lambda: vsctl("get Bridge tc0 fail_mode") == "secure", "fail_mode secure")
    vsctl("clear Bridge tc1 netflow")
    until(lambda: vsctl("get Bridge tc1 netflow") != "[]", "NetFlow of tc1")


def test_rubbish_at_the_openflow_port_does_no_harm(world: World) -> None:
    """Random bytes, HTTP, endless hello elements and other versions: their connections end, the VFNs stay."""
    world.up()
    hello = struct.pack("!BBHI", 4, 0, 8, 1)
    endless = struct.pack("!BBHI", 4, 0, 16, 1) + struct.pack("!HHI", 2, 0, 0)
    zero_part = struct.pack("!BBHIHH4x", 4, 19, 24, 1, 7, 0) + bytes(8)
    torn = struct.pack("!BBHIHH4x", 4, 19, 24, 1, 13, 0) + bytes(8)
    samples = (
        b"\0" * 64,
        b"GET / HTTP/1.1\r\n\r\n",
        endless,
        hello + zero_part,
        hello + torn,
        hello[:5],
        b"\xff" * 70_000,
    )
    for sample in samples:
        with socket.create_connection(("127.0.0.1", world.node.openflow), timeout=5) as sock:
            _send_and_drain(sock, sample)
    assert world.read(1) == b""
    assert not [message for message in world.engine.got if message.kind == "vfn_down"]
    assert "Traceback" not in world.node.log


def test_echo_is_answered_within_100_ms_while_10000_entries_are_read(world: World) -> None:
    """Reading, relaying and counting never hold the hub."""
    world.up()
    began = time.monotonic()
    assert world.apply(many(10_000), 1) == []
    print(f"10,000 entries applied in {time.monotonic() - began:.2f} s")
    longest, next_turn = 0.0, threading.Event()
    with socket.create_connection(("127.0.0.1", world.node.openflow), timeout=5) as sock:
        sock.sendall(struct.pack("!BBHI", 4, 0, 8, 1))
        stream = sock.makefile("rb")
        for number in range(30):
            if number % 10 == 0:
                world.engine.send("read", {"dpid": ALPHA, "request": 100 + number}, CODEC.read())
            asked = time.perf_counter()
            sock.sendall(struct.pack("!BBHI", 4, 2, 8, 1000 + number))
            while True:
                _, kind, length, xid = struct.unpack("!BBHI", stream.read(8))
                stream.read(length - 8)
                if (kind, xid) == (3, 1000 + number):
                    break
            longest = max(longest, time.perf_counter() - asked)
            next_turn.wait(0.05)
    lag = world.node.ask("GET", "/v1/status").json()["control"]["hub_lag_ms"]
    print(f"longest echo {1000 * longest:.1f} ms, hub lag {lag} ms")
    parts = [message for message in world.engine.got if message.kind == "installed"]
    assert sum(message.data["last"] for message in parts) == 3
    assert sum(len(CODEC.decode(message.body)) for message in parts) == 30_000
    assert longest < 0.1


def test_an_open_vswitch_that_stops_answering_is_waited_for(world: World, tmp_path: Path) -> None:
    """OVSDB goes away and returns: control says so, keeps serving, and follows again."""
    relay = Forwarder(tmp_path / "db.sock")
    world.node.settings["ovsdb"]["endpoint"] = f"unix:{tmp_path}/db.sock"
    world.node.write(INVENTORY)
    try:
        world.up()
        relay.cut()
        until(lambda: "trying again" in world.node.log, "a warning")
        assert world.node.ask("GET", "/v1/status").json()["control"]["vfns"] == {"alpha": True, "beta": True}
        relay.listen()
        until(lambda: world.node.ask("GET", "/v1/status").json()["control"]["ovsdb_connected"], "followed again")
    finally:
        relay.cut()


def _send_and_drain(sock: socket.socket, data: bytes) -> None:
    """Until control has closed the connection, which it may do before everything is sent."""
    with contextlib.suppress(OSError):
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass


def _settings(text: str) -> list[str]:
    """A listing without what changes by itself."""
    volatile = ("status", "is_connected", "role")
    return [line for line in text.splitlines() if not line.startswith(volatile)]
