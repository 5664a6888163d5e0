"""Three VFNs on Open vSwitch with the product's whole pipeline, ends that send raw frames, and the product's collector.

From the datagram to the decision on a flow everything is the product's; only detection is left out.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import numpy as np

from analyzer.archive.decisions import Decided, InForce
from analyzer.attribute import Attribution
from analyzer.collector import Collector
from analyzer.exporters import Exporters, reporting_uids
from analyzer.flows import Array, FlowBatch
from analyzer.ledger import Parts
from analyzer.names import Names
from analyzer.pair import FlowTable
from benchmarks.traffic.frames import End, udp
from benchmarks.vfn.datapath import follow
from benchmarks.vfn.openflow import connection
from benchmarks.vfn.rig import bridges
from mininet_labs import marks
from mininet_labs.children import end, mortal, wait_for
from mininet_labs.errors import LabError
from mininet_labs.probes.namespaces import inside
from policies.acl import Acl, Peer, Policy, Service
from policies.pipeline.compile import Compiler, Network
from policies.rules import Action, Protocol, SegmentationRule, Tier, Verdict
from policies.translate import translate
from runtime.settings import OvsdbSettings
from ryu_apps.wire.codec import WireCodec
from topology import inventory as inventories
from topology.model import Inventory, OutsidePort, Vm

SERVED = 443
"""The port at which `plain` may turn to `kept` and `loose`."""
ISOLATED = SegmentationRule("5ca1ab1e0001", Action.ISOLATE, "analyzer", 0.0, segment="plain", source_vm="bad")
RECEIVERS = ("gate", "p3", "p4")
"""At each VFN one: when a frame to it has arrived, those that the sender sent before have been dealt with."""
MARKER_PORT = 9
_MARKER_SIZE = 64
_NEVER = 1_000_000
_CHUNK = 500
_PATIENCE = 30.0
_INVENTORY = Path(__file__).with_name("site.yaml")


class Ends:
    """All ends of the network, as raw sockets in a namespace of their own, where nobody answers by himself."""

    def __init__(self, inventory: Inventory, sockets: Mapping[str, socket.socket], pid: int) -> None:
        self._sockets = sockets
        self._pid = pid
        owners = _owners(inventory)
        self.ends = {
            name: End(name, bytes.fromhex(owner.mac.replace(":", "")), IPv4Address(str(owner.addresses[0])))
            for name, owner in owners.items()
        }
        self._mark = 0
        self.markers = 0
        """Rounds of markers sent so far: a frame of `_MARKER_SIZE` from each sender to each receiver."""

    def send(self, frames: Sequence[tuple[str, bytes]], markers: Sequence[str]) -> None:
        """Send frames, each from an end, and wait until all have been dealt with everywhere.

        Args:
            frames: name of the sending end, and bytes; no more of an end than a port's queue holds.
            markers: ends that send a marker after them to each receiver.

        Raises:
            LabError: a marker did not arrive.
        """
        for name, frame in frames:
            self._sockets[name].send(frame)
        self._mark += 1
        wanted = set()
        for name in markers:
            for receiver in RECEIVERS:
                if receiver != name:
                    self._sockets[name].send(self._marker(name, receiver))
                    wanted.add((name, receiver))
        self.markers += 1
        self._await(wanted)

    def received(self) -> dict[str, int]:
        """Frames that each end was handed, by the kernel's counters."""
        command = ["nsenter", "-t", str(self._pid), "-n", "ip", "-s", "-j", "link"]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        packets = {link["ifname"]: int(link["stats64"]["rx"]["packets"]) for link in found}
        return {name: packets[f"e-{name}"] for name in self.ends}

    def _marker(self, name: str, receiver: str) -> bytes:
        frame = udp(self.ends[name], self.ends[receiver], (MARKER_PORT, MARKER_PORT), _MARKER_SIZE)
        return frame[:-4] + struct.pack("!I", self._mark)

    def _await(self, wanted: set[tuple[str, str]]) -> None:
        names = {end.mac: name for name, end in self.ends.items()}
        deadline = time.monotonic() + _PATIENCE
        while wanted:
            ready, _, _ = select.select([self._sockets[name] for name in RECEIVERS], [], [], _PATIENCE)
            if not ready or time.monotonic() > deadline:
                raise LabError(f"frames did not arrive: {sorted(wanted)}")
            for name in RECEIVERS:
                if self._sockets[name] in ready:
                    frame = self._sockets[name].recv(2048)
                    if frame[23] == socket.IPPROTO_UDP and frame[-4:] == struct.pack("!I", self._mark):
                        wanted.discard((names.get(frame[6:12], ""), name))


class Assembly:
    """From the collector's socket to flows with a decision, as the analyzer does it."""

    def __init__(self, inventory: Inventory, collector: Collector) -> None:
        self.collector = collector
        self.attribution = Attribution(inventory)
        self._table = FlowTable(1_000_000, 7, recorded=True)
        self._in_force = InForce(Names(inventory))
        self._segment = np.array(inventory.segment_numbers)
        self._parts: list[Parts] = []
        self._recorded = 0.0
        self.packets = 0
        """Reported so far where they entered the network."""
        self.beyond = 0
        """Packets of which the last VFN on the way, behind a cable, has reported what it did with them."""
        self.forged: list[Array] = []
        """Sides under an address that is not the VM's at whose port they came in."""
        self.forged_outside = 0

    def isolate(self, vm: str) -> None:
        """The engine says that a VM is isolated."""
        rule = {"id": ISOLATED.id, "action": "isolate", "source_vm": vm, "scope": "all", "source_ip": None}
        self._in_force.update([rule], time.time())

    def collect(self) -> None:
        """Take what waits in the socket, and put on record what is over."""
        while True:
            attributed = self.attribution.attribute(self.collector.drain())
            self.forged.append(attributed.spoofed)
            self.forged_outside += attributed.forged_outside
            self._table.witness(attributed.beyond)
            self.beyond += int(attributed.beyond["pkts"].sum())
            events: FlowBatch = self._table.update(attributed.own)
            self.packets += int(events.rows["src_pkts"].sum() + events.rows["dst_pkts"].sum())
            if not self.collector.backlog:
                break
        if time.monotonic() > self._recorded + 1.0:
            self._recorded = time.monotonic()
            self._table.finish(time.time())
            self._parts.append(self._table.record(300.0))

    def result(self) -> tuple[Parts, Decided]:
        """Everything, and what became of it."""
        parts = Parts.concat([*self._parts, self._table.record(0.0)])
        for side in ("src", "dst"):
            vm = parts.rows[f"{side}_vm"]
            parts.rows[f"{side}_segment"] = np.where(vm >= 0, self._segment[np.maximum(vm, 0)], -1)
        return parts, self._in_force.decide(parts.rows, parts.opened)


@contextmanager
def site(exporters_only: bool = False) -> Iterator[tuple[Ends, Assembly, Inventory]]:
    """The network, up and programmed; NetFlow of it comes to the assembly.

    Args:
        exporters_only: only whom the product trusts may report.
    """
    inventory = inventories.load(_INVENTORY)
    with ExitStack() as stack:
        stack.enter_context(bridges(tuple(vfn.bridge for vfn in inventory.vfns.values())))
        ends = stack.enter_context(_ends(inventory))
        ports = {vfn: _ports(vfn) for vfn in inventory.vfns}
        for name in inventory.vfns:
            _program(inventory, name, ports)
        collector = _collector(inventory, exporters_only)
        stack.callback(collector.close)
        assembly = Assembly(inventory, collector)
        for name, vfn in inventory.vfns.items():
            assembly.attribution.set_ports(vfn.dpid, ports[name])
            target = f'targets="127.0.0.1:{collector.sock.getsockname()[1]}"'
            engine = [f"engine_type={vfn.number >> 8}", f"engine_id={vfn.number & 255}"]
            create = ["--id=@n", "create", "NetFlow", target, "active_timeout=1", *engine]
            marks.run("ovs-vsctl", *create, "--", "set", "Bridge", vfn.bridge, "netflow=@n")
        follow()
        yield ends, assembly, inventory


def policy() -> Policy:
    """`plain` may turn to the others at one port."""
    served = tuple(Service(protocol, ((SERVED, SERVED),)) for protocol in (Protocol.TCP, Protocol.UDP))
    return Policy(
        1,
        tuple(
            Acl(f"plain to {target}", Tier.POLICY, Verdict.ALLOW, Peer(segment="plain"), Peer(segment=target), served)
            for target in ("kept", "loose")
        ),
    )


def _collector(inventory: Inventory, exporters_only: bool) -> Collector:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    exporters = None
    if exporters_only:
        vfns = [vfn.number for vfn in inventory.vfns.values()]
        exporters = Exporters(vfns, (), reporting_uids(OvsdbSettings().endpoint), ("127.0.0.1", port))
    return Collector("127.0.0.1", port, exporters)


def _program(inventory: Inventory, vfn: str, ports: Mapping[str, Mapping[str, int]]) -> None:
    codec = WireCodec()
    rules = {ISOLATED.id: translate(ISOLATED, inventory)}
    network = Network(inventory, policy(), rules, ports)
    entries = list(Compiler(lambda made: [codec.cookie(entry) for entry in made]).compile(network, vfn).values())
    meters = {meter: _NEVER for entry in entries for meter in entry.meters}
    with connection(inventory.vfns[vfn].bridge) as session:
        session.send(codec.set_meters(meters))
        for start in range(0, len(entries), _CHUNK):
            session.send(b"".join(map(codec.add, entries[start : start + _CHUNK])))


def _ports(bridge: str) -> dict[str, int]:
    """OpenFlow port number of every interface of a bridge."""
    names = marks.run("ovs-vsctl", "list-ports", bridge).split()
    return {name: int(marks.run("ovs-vsctl", "get", "Interface", name, "ofport")) for name in names}


def _owners(inventory: Inventory) -> dict[str, Vm | OutsidePort]:
    return {**inventory.vms, **inventory.outside}


@contextmanager
def _ends(inventory: Inventory) -> Iterator[Ends]:
    """Cables between VFNs, and from each VFN to a namespace where all ends are; gone with their bridges."""
    holder = subprocess.Popen(mortal(["unshare", "--net", "sleep", "infinity"]))
    sockets: dict[str, socket.socket] = {}
    try:
        own = Path("/proc/self/ns/net").readlink()
        wait_for("a namespace", lambda: Path(f"/proc/{holder.pid}/ns/net").readlink() != own, 10.0)
        for link in inventory.links:
            _cable(link.a_port, link.b_port)
            _plug(link.a, link.a_port)
            _plug(link.b, link.b_port)
        for name, owner in _owners(inventory).items():
            far = f"e-{name}"
            _cable(owner.port, far)
            marks.run("ip", "link", "set", far, "netns", str(holder.pid))
            inner = f"echo 1 > /proc/sys/net/ipv6/conf/{far}/disable_ipv6; ip link set {far} arp off up"
            marks.run("nsenter", "-t", str(holder.pid), "-n", "sh", "-c", inner)
            _plug(owner.vfn, owner.port)
            sockets[name] = inside(holder.pid, lambda far=far, name=name: _socket(far, name in RECEIVERS))  # type: ignore[misc]
        yield Ends(inventory, sockets, holder.pid)
    finally:
        for sock in sockets.values():
            sock.close()
        end(holder)


def _cable(one: str, other: str) -> None:
    marks.run("ip", "link", "add", one, "type", "veth", "peer", "name", other)
    for port in (one, other):
        Path(f"/proc/sys/net/ipv6/conf/{port}/disable_ipv6").write_text("1")
        marks.run("ethtool", "-K", port, "tx", "off")


def _plug(bridge: str, port: str) -> None:
    marks.run("ip", "link", "set", port, "up")
    marks.run("ovs-vsctl", "add-port", bridge, port)


def _socket(interface: str, receives: bool) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    if receives:
        sock.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), 64 << 20)
    sock.bind((interface, 0x0003 if receives else 0))  # ETH_P_ALL of linux/if_ether.h
    return sock
