"""Copies on real parts: control, the engine's pipeline, Open vSwitch, and TCP between two namespaces."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import namespaces
from support.control import INVENTORY, Node, Peer, echo, until
from support.namespaces import run
from support.packets import answer, arp, question

from analyzer.copies import OPENINGS, openings, read
from analyzer.firstpackets import FirstPackets
from analyzer.flows import address_halves
from runtime.settings import TapSettings
from topology.inventory import parse

pytestmark = pytest.mark.ovs

LIMIT = 200
"""Copies a second of each kind, of the VFN's two ports together."""
FLOOD = 3000
QUIET = 20
"""Connections that the other VM opens meanwhile."""
VMS = {"web1": ("10.9.0.1", "02:00:00:00:dc:01"), "db1": ("10.9.0.2", "02:00:00:00:dc:02")}
SERVE = "import socket; s = socket.create_server(('10.9.0.2', 8080)); print('up', flush=True); s.accept()"
CONNECT = "import socket, time; print(time.time()); socket.create_connection(('10.9.0.2', 8080), 5).close()"
OPEN = f"""
import socket, time
for port in range({QUIET}):
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.connect_ex(("10.9.0.1", 2000 + port))
        time.sleep(0.01)
"""
RESOLVE = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("10.9.0.2", 53))
print("up", flush=True)
_, client = server.recvfrom(512)
server.sendto(bytes.fromhex(sys.argv[1]), client)
"""
ASK = """
import socket, sys
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(5)
asking.sendto(bytes.fromhex(sys.argv[1]), ("10.9.0.2", 53))
asking.recv(512)
"""
SEND = """
import socket, sys
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind(("tcw-sw-in", 0))
out.send(bytes.fromhex(sys.argv[1]))
"""
FLOOD_CODE = f"""
import socket, struct, time
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind(("tcw-sw-in", 0))
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


def inside(vm: str, *command: str) -> tuple[str, ...]:
    """A command in a VM's namespace."""
    return namespaces.inside("tc", vm, *command)


@pytest.fixture
def vms() -> Iterator[None]:
    """Two namespaces with fixed neighbours on a bridge."""
    with namespaces.pair("tc", VMS):
        yield


@pytest.fixture
def analyzer(vms: None, tmp_path: Path) -> Iterator[Peer]:
    """The analyzer's place, once control and the real engine enforce the pipeline."""
    with Node(tmp_path) as node:
        node.write(_inventory())
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


def _inventory() -> dict[str, Any]:
    """Both VMs at one VFN."""
    homes: dict[str, Any] = INVENTORY["vms"]
    ends = {vm: {**homes[vm], "vfn": "alpha", "port": f"tc{vm[0]}-sw"} for vm in VMS}
    return {**INVENTORY, "vms": ends, "vfns": {"alpha": INVENTORY["vfns"]["alpha"]}, "links": []}


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


def test_a_flood_is_copied_in_part_and_delivered_whole_and_costs_nobody_else_a_copy(analyzer: Peer) -> None:
    """No more SYNs are copied than the VM's share; all reach their target, and all of the other's are copied."""
    counter = inside("db1", "cat", "/sys/class/net/tcd-sw-in/statistics/rx_packets")
    before = int(run(*counter))
    with subprocess.Popen(inside("web1", sys.executable, "-c", FLOOD_CODE), stdout=subprocess.PIPE, text=True) as flood:
        until(lambda: int(run(*counter)) > before, "the flood")
        run(*inside("db1", sys.executable, "-c", OPEN))
        assert flood.stdout is not None
        seconds = float(flood.stdout.read())
    until(lambda: int(run(*counter)) - before >= FLOOD, "every SYN at the target")
    copied = _openings(analyzer)
    loud, quiet = (copied.count(address_halves(VMS[vm][0])[1]) for vm in ("web1", "db1"))
    print(f"{FLOOD} SYNs in {seconds:.2f} s, {loud} copies; {quiet} of the other's {QUIET}")
    assert LIMIT / 20 <= loud <= LIMIT / 2 * (seconds + 1.2)
    assert quiet == QUIET


def test_dns_and_forged_arp_are_known_from_copies(analyzer: Peer) -> None:
    """A question and its answer name an address for who asked; a claim to another's address is evidence."""
    inventory = parse(yaml.safe_dump(_inventory()))
    first = FirstPackets(inventory, TapSettings(resolvers=(ip_address("10.9.0.2"),)), 1)
    first.set_ports(0xDC00, analyzer.wait("vfn_ports", dpid=0xDC00).data["ports"])
    asked = question("www.example.org")
    told = answer(asked, "www.example.org. 60 IN A 203.0.113.9")
    with subprocess.Popen(
        inside("db1", sys.executable, "-c", RESOLVE, told.hex()), stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "up\n"
        run(*inside("web1", sys.executable, "-c", ASK, asked.to_wire().hex()))
        server.wait(10)
    run(*inside("web1", sys.executable, "-c", SEND, arp(VMS["web1"][1], "10.9.0.2").hex()))

    def known() -> bool:
        for message in [each for each in analyzer.got if each.kind == "copies"]:
            analyzer.got.remove(message)
            first.take(message.data["dpid"], read(message.data["n"], message.body))
        return bool(first.evidence.newest(1)) and len(first.dns) > 0

    until(known, "a name and evidence")
    assert first.dns.name_of(inventory.vms["web1"].number, ip_address("203.0.113.9")) == "www.example.org"
    assert [(row["kind"], row["who"]) for row in first.evidence.newest(9)] == [("forged-arp", "web1")]


def _openings(analyzer: Peer) -> list[int]:
    """Source addresses (lower halves) of the copies that came, once no more come."""
    quiet_since, found = time.monotonic(), []
    while time.monotonic() < quiet_since + 0.5:
        messages = [message for message in analyzer.got if message.kind == "copies"]
        copies = [read(message.data["n"], message.body).made_by(OPENINGS) for message in messages]
        now = [int(source) for each in copies for source in openings(each, 0).sides["src_lo"]]
        if len(now) != len(found):
            quiet_since, found = time.monotonic(), now
        time.sleep(0.01)
    return found
