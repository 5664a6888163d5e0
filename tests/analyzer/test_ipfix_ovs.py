"""IPv6 flows of real packets: the compiled pipeline on Open vSwitch, its IPFIX, and the flows that come of it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from ipaddress import IPv6Address

import numpy as np
import pytest
from support.spaces import host, inside, socket_in

from analyzer import ipfix
from analyzer.attribute import Attribution
from analyzer.collector import Collector
from analyzer.flows import ACK, FIN, ICMP6, RST, SYN, TCP, UDP, FlowBatch, FlowState, address_halves
from analyzer.pair import FlowTable
from benchmarks.vfn.openflow import connection
from mininet_labs import marks
from policies.pipeline.compile import Compiler, Network
from ryu_apps.bridges import Database, Targets, commands
from ryu_apps.wire.codec import WireCodec
from topology.model import Inventory, Segment, Vfn, Vm

pytestmark = pytest.mark.ovs

BRIDGE = "e6a"
DEADLINE = 20.0
VMS = {
    name: Vm(name, number, "all", BRIDGE, f"e6-{name}", f"02:00:00:00:e6:0{number}", (IPv6Address(f"fd06::{number}"),))
    for number, name in enumerate(("one", "two"), 1)
}
NET = Inventory({"all": Segment("all", 1)}, {BRIDGE: Vfn(BRIDGE, 0, 0xE6A, BRIDGE)}, (), VMS)
PORTS = {vm.port: 4 + vm.number for vm in VMS.values()}


def vsctl(*arguments: str) -> None:
    subprocess.run(["ovs-vsctl", *arguments], check=True)


class Flows:
    """From datagrams to flows, as the analyzer makes them."""

    def __init__(self) -> None:
        self.collector = Collector("127.0.0.1", 0)
        self.decoder = ipfix.Decoder()
        self.attribution = Attribution(NET)
        self.attribution.set_ports(0xE6A, PORTS)
        self.table = FlowTable(1000, 7)
        self.forged: list[np.ndarray] = []
        self.datagrams: list[tuple[float, bytes]] = []

    def collect(self) -> None:
        """Take what waits in the socket."""
        self.collector.drain()
        came = self.collector.take_ipfix()
        self.datagrams += came
        decoded = self.decoder.decode(came)
        decoded.sides["port"] = self.attribution.ports_of(decoded.sides["vfn"], decoded.interfaces)
        sides = self.attribution.settle(decoded.sides).sides
        self.forged.append(sides[sides["spoofed"]].copy())
        self.table.update(sides[~sides["spoofed"]])

    def of(self, proto: int) -> np.ndarray:
        """Flows of a protocol with hosts' addresses."""
        rows: FlowBatch = self.table.newest(None, 1000)
        return rows.rows[(rows.rows["proto"] == proto) & (rows.rows["dst_vm"] > 0)]

    def settled(self, proto: int, pkts: int) -> np.ndarray:
        """The flows, once they have so many packets together."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            self.collect()
            found = self.of(proto)
            if found["src_pkts"].sum() + found["dst_pkts"].sum() >= pkts:
                return found
            time.sleep(0.05)
        pytest.fail(f"not within {DEADLINE:.0f} s: {pkts} packets of protocol {proto}; there are {self.of(proto)}")


@pytest.fixture
def flows() -> Iterator[Flows]:
    """Two VMs at a bridge with the compiled entries; its IPFIX comes to the flows."""
    codec, found = WireCodec(), Flows()
    vsctl("--if-exists", "del-br", BRIDGE, "--", "add-br", BRIDGE, "--", "set", "Bridge", BRIDGE,
          "datapath_type=netdev", "fail_mode=secure", "protocols=OpenFlow13")  # fmt: skip
    try:
        with (
            host(VMS["one"], BRIDGE, PORTS["e6-one"]),
            host(VMS["two"], BRIDGE, PORTS["e6-two"]),
            connection(BRIDGE) as session,
        ):
            made = Compiler(codec.cookies).compile(Network(NET, ports={BRIDGE: PORTS}), BRIDGE)
            session.send(codec.set_meters({meter: 10_000 for entry in made.values() for meter in entry.meters}))
            session.send(b"".join(map(codec.add, made.values())))
            report(found.collector.sock.getsockname()[1])
            subprocess.run(["ovs-appctl", "revalidator/wait"], check=True)
            yield found
    finally:
        found.collector.close()
        vsctl("del-br", BRIDGE)
        marks.forget_orphans()


def report(port: int) -> None:
    """Have the bridge report as control would; its other settings are none of this test's."""
    nothing: list[object] = ["set", []]
    bridge = {"name": BRIDGE, "other_config": ["map", []], "fail_mode": "secure", "protocols": "OpenFlow13",
              "controller": nothing, "netflow": nothing}  # fmt: skip
    database = Database({"Open_vSwitch": {"o": {"bridges": ["uuid", "b"]}}, "Bridge": {"b": bridge}})
    wanted = commands(NET.vfns[BRIDGE], Targets("", 1000, 5000, f"127.0.0.1:{port}", 1), database)
    vsctl(*wanted[wanted.index("--id=@ipfix") - 1 :])


def test_tcp_is_one_flow_with_all_its_packets(flows: Flows) -> None:
    """Who opened it, how many packets and bytes went each way by the kernel's counters, and its flags."""
    before = counters()
    with socket_in("e6-two", socket.SOCK_STREAM, 6) as listener, socket_in("e6-one", socket.SOCK_STREAM, 6) as client:
        listener.bind(("fd06::2", 443))
        listener.listen()
        client.connect(("fd06::2", 443))
        server, _ = listener.accept()
        for _ in range(20):
            client.sendall(bytes(1000))
            left = 1000
            while left:
                left -= len(server.recv(left))
        server.sendall(bytes(300))
        assert client.recv(300)
        client.close()
        server.close()
    (flow,) = flows.settled(TCP, 26)
    sent = [after - earlier for after, earlier in zip(counters(), before, strict=True)]
    assert (flow["src_vm"], flow["dst_vm"]) == (1, 2)
    assert (flow["src_lo"], flow["dst_port"]) == (address_halves("fd06::1")[1], 443)
    assert flow["src_pkts"] + flow["dst_pkts"] == sum(sent)
    assert flow["src_bytes"] >= 20_000 + 86 * flow["src_pkts"] - 12
    assert flow["flags"] & (SYN | ACK | FIN) == SYN | ACK | FIN
    assert not flow["state"] & FlowState.FAILED


def counters() -> tuple[int, int]:
    """TCP segments that each VM's kernel has sent."""
    found = []
    for vm in VMS.values():
        with inside(vm.port):
            command = ["nstat", "-asz", "TcpOutSegs", "TcpOutRsts"]
            shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found.append(sum(int(line.split()[1]) for line in shown.splitlines() if line.startswith("TcpOutSegs")))
    return found[0], found[1]


def test_a_refused_connection_has_failed(flows: Flows) -> None:
    """The reset is told apart from other segments."""
    with socket_in("e6-one", socket.SOCK_STREAM, 6) as client, pytest.raises(ConnectionRefusedError):
        client.connect(("fd06::2", 99))
    (flow,) = flows.settled(TCP, 2)
    assert flow["state"] & FlowState.FAILED
    assert flow["flags"] & RST


def test_udp_and_pings_are_counted_exactly(flows: Flows) -> None:
    """Also those of a burst; both directions of a ping are one flow, which the asking VM opened."""
    with socket_in("e6-two", socket.SOCK_DGRAM, 6) as sink, socket_in("e6-one", socket.SOCK_DGRAM, 6) as sender:
        sink.bind(("fd06::2", 5000))
        sender.connect(("fd06::2", 5000))
        for _ in range(200):
            sender.send(bytes(100))
            sink.recv(200)
    (flow,) = flows.settled(UDP, 200)
    assert (flow["src_vm"], flow["src_pkts"], flow["src_bytes"], flow["dst_pkts"]) == (1, 200, 200 * 162, 0)
    command = ["ip", "netns", "exec", "e6-two", "ping", "-c", "3", "-i", "0.2", "fd06::1"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (ping,) = flows.settled(ICMP6, 6)
    assert (ping["src_vm"], ping["src_pkts"], ping["dst_pkts"], ping["src_bytes"]) == (2, 3, 3, 3 * 118)
    assert sum(map(len, flows.forged)) == 0
    assert flows.decoder.status() == {"records": flows.decoder.records, "lost": 0, "rubbish": 0, "unread": 0}


def test_forged_senders_count_against_their_port(flows: Flows) -> None:
    """What the guard drops has no flow on the innocent's record, and the port where it came in is known."""
    forged = (bytes.fromhex("02000000e602 02000000e601 86dd 6000000000081140")
              + IPv6Address("fd06::99").packed + IPv6Address("fd06::2").packed
              + bytes.fromhex("1388138900080000"))  # fmt: skip
    with inside("e6-one"), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("e6-one-in", 0))
        for _ in range(7):
            raw.send(forged)
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end and sum(side["pkts"].sum() for side in flows.forged) < 7:
        flows.collect()
        time.sleep(0.05)
    sides = np.concatenate(flows.forged)
    assert set(sides["src_vm"]) == {1}
    assert sides["pkts"].sum() == 7
    assert not len(flows.of(UDP))


def test_the_usual_layouts_are_the_switchs(flows: Flows) -> None:
    """Those that are known beforehand, for an analyzer that starts between two announcements."""
    with socket_in("e6-one", socket.SOCK_DGRAM, 6) as sender:
        sender.sendto(b"x", ("fd06::2", 5000))
    flows.settled(UDP, 1)
    announced = {
        number: fields
        for _, datagram in flows.datagrams
        for kind, body in ipfix._sets(datagram)[2]
        if kind == 2
        for number, fields in ipfix._announced(body)
    }
    assert {number: announced[number] for number in ipfix.USUAL} == ipfix.USUAL
