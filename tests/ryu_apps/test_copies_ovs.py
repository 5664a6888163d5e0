"""Copies on real parts: control, the engine's pipeline, Open vSwitch, and TCP between two namespaces."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.control import INVENTORY, Node, Peer, echo, until, vsctl

from analyzer.copies import openings, read
from analyzer.flows import address_halves

pytestmark = pytest.mark.ovs

LIMIT = 200
FLOOD = 3000
VMS = {"web1": ("10.9.0.1", "02:00:00:00:dc:01"), "db1": ("10.9.0.2", "02:00:00:00:dc:02")}
SERVE = "import socket; s = socket.create_server(('10.9.0.2', 8080)); print('up', flush=True); s.accept()"
CONNECT = "import socket, time; print(time.time()); socket.create_connection(('10.9.0.2', 8080), 5).close()"
FLOOD_CODE = f"""
import socket, struct, time
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind(("tcw", 0))
ethernet = bytes.fromhex("02000000dc02" "02000000dc01" "0800")
ends = socket.inet_aton("10.9.0.1") + socket.inet_aton("10.9.0.2")
ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, 6, 0) + ends
began = time.time()
for port in range({FLOOD}):
    out.send(ethernet + ip + struct.pack("!HHIIBBHHH", 40000, port + 1, 1, 0, 0x50, 2, 1024, 0, 0))
    if port % 100 == 99:
        time.sleep(0.01)  # ten thousand a second: more would be lost on the way, with or without copies
print(time.time() - began)
"""


def run(*command: str) -> str:
    """Run a command; its output."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def inside(vm: str, *command: str) -> tuple[str, ...]:
    """A command in a VM's namespace."""
    return "ip", "netns", "exec", f"tc-{vm}", *command


@pytest.fixture
def vms() -> Iterator[None]:
    """Two namespaces with fixed neighbours on a bridge."""
    for vm in VMS:
        run("ip", "netns", "add", f"tc-{vm}")
    try:
        vsctl("--if-exists del-br tc0 -- add-br tc0 -- set Bridge tc0 datapath_type=netdev")
        for vm, other in (("web1", "db1"), ("db1", "web1")):
            address, mac = VMS[vm]
            end = f"tc{vm[0]}"
            run("ip", "link", "add", f"{end}-sw", "type", "veth", "peer", "name", end, "address", mac)
            run("ip", "link", "set", end, "netns", f"tc-{vm}")
            run("ip", "link", "set", f"{end}-sw", "up")
            run(*inside(vm, "ip", "address", "add", f"{address}/24", "dev", end))
            run(*inside(vm, "ip", "link", "set", end, "up"))
            run(*inside(vm, "ip", "neighbour", "add", VMS[other][0], "lladdr", VMS[other][1], "dev", end))
            run(*inside(vm, "ethtool", "-K", end, "tx", "off"))
            vsctl(f"add-port tc0 {end}-sw")
        yield
    finally:
        vsctl("--if-exists del-br tc0")
        for vm in VMS:
            run("ip", "netns", "del", f"tc-{vm}")


@pytest.fixture
def analyzer(vms: None, tmp_path: Path) -> Iterator[Peer]:
    """The analyzer's place, once control and the real engine enforce the pipeline."""
    homes: dict[str, Any] = INVENTORY["vms"]
    ends = {vm: {**homes[vm], "vfn": "alpha", "port": f"tc{vm[0]}-sw"} for vm in VMS}
    vfns = {"alpha": INVENTORY["vfns"]["alpha"]}
    with Node(tmp_path) as node:
        node.write({**INVENTORY, "vms": ends, "vfns": vfns, "links": []})
        node.settings["openflow"]["copies_per_second"] = LIMIT
        node.write_settings()
        node.run_dir.mkdir()
        peer = Peer(node.run_dir / "analyzer.sock", echo)
        try:
            node.start()
            node.wait_up()
            until(lambda: node.ask("GET", "/v1/vfns").is_success and _whole(node), "the pipeline")
            yield peer
        finally:
            node.clean_up()
            peer.close()


def _whole(node: Node) -> bool:
    return all(vfn["enforced_ratio"] == 1.0 for vfn in node.ask("GET", "/v1/vfns").json())


def test_a_connection_is_known_within_100_ms(analyzer: Peer) -> None:
    """From `connect` in one VM to the copy at the analyzer's socket; who, to whom, which port."""
    with subprocess.Popen(inside("db1", sys.executable, "-c", SERVE), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "up\n"
        called = float(run(*inside("web1", sys.executable, "-c", CONNECT)))
        message = analyzer.wait("copies", dpid=0xDC00)
        server.wait(10)
    opened = openings(read(message.data["n"], message.body), 0)
    (side,) = opened.sides
    assert (message.data["n"], opened.rubbish) == (1, 0)
    assert [int(side[f"{end}_lo"]) for end in ("src", "dst")] == [address_halves(VMS[vm][0])[1] for vm in VMS]
    assert side["dst_port"] == 8080
    assert 0 <= side["first"] - called < 0.1


def test_a_flood_is_copied_in_part_and_delivered_whole(analyzer: Peer) -> None:
    """Of thousands of SYNs no more are copied than the meter lets pass; all of them reach the target."""
    counter = inside("db1", "cat", "/sys/class/net/tcd/statistics/rx_packets")
    before = int(run(*counter))
    seconds = float(run(*inside("web1", sys.executable, "-c", FLOOD_CODE)))
    until(lambda: int(run(*counter)) - before >= FLOOD, "every SYN at the target")
    copied = _copies(analyzer)
    print(f"{FLOOD} SYNs in {seconds:.2f} s, {copied} copies")
    assert LIMIT / 10 <= copied <= LIMIT * (seconds + 0.2)


def _copies(analyzer: Peer) -> int:
    """How many copies came, once no more come."""
    quiet_since, count = time.monotonic(), -1
    while time.monotonic() < quiet_since + 0.5:
        if (now := sum(message.data["n"] for message in analyzer.got if message.kind == "copies")) != count:
            quiet_since, count = time.monotonic(), now
    return count
