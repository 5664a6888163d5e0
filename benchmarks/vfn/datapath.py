"""Two bridges side by side: one with the whole pipeline as the compiler makes it, one that forwards like any switch.

The whole: guard, tap (copies of opening packets to a controller that reads them, under their meter), classes, 10,000
rules, 100,000 prefixes on a deny list, connection tracking, NetFlow. `datapath.yaml` is the network.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from benchmarks.vfn import workload
from benchmarks.vfn.bench import Bench
from benchmarks.vfn.headers import PORT
from benchmarks.vfn.openflow import Connection, connection
from mininet_labs import marks
from mininet_labs.children import ROOT, Child, end, module, wait_for
from mininet_labs.network import LabNetwork
from policies.acl import Acl, AddressList, Peer, Policy, Service
from policies.codec import COPIES_METER
from policies.entries import Output, TableEntry
from policies.pipeline.compile import Compiler, Network
from policies.pipeline.taps import Taps, copy_meters
from policies.rules import Protocol, Tier, Verdict
from runtime.settings import OpenFlowSettings
from ryu_apps.wire.codec import WireCodec
from topology import inventory as inventories
from topology.model import Inventory, OutsidePort, Vm

RULES = 10_000
PREFIXES = {4: 80_000, 6: 20_000}
FULL, BARE = "bvfull", "bvbare"
IPERF_PORT = 5201
RUN_DIR = Path("/var/run/openvswitch")

MET = (
    ("client", "server"),
    ("swift1", "swift2"),
    ("bystander", "server"),
    ("bare1", "bare2"),
    ("bare3", "bare2"),
    ("bare3", "server"),
    ("bare4", "server"),
)
"""Clients and servers that are measured."""

_NORMAL = 0xFFFFFFFA
"""OFPP_NORMAL: forward as a learning switch."""
_LENGTHS = {4: ((32, 40), (24, 30), (22, 10), (20, 8), (16, 8), (29, 4)), 6: ((48, 50), (64, 30), (128, 20))}
"""Prefix lengths of the list and their weights, by IP version: as in public block lists."""
_SEED = 7
_CHUNK = 5_000
_USUAL_TAPS = Taps()
_INVENTORY = Path(__file__).with_name("datapath.yaml")


@dataclass(frozen=True)
class DataPath:
    """Both bridges, running."""

    network: LabNetwork
    entries: int
    """Flow entries of the full one."""

    @property
    def inventory(self) -> Inventory:
        """The network's."""
        return self.network.inventory

    def run(self, vm: str, *arguments: object, timeout: float = 60.0) -> str:
        """What a program prints that runs on a VM.

        Raises:
            CalledProcessError: it failed.
            TimeoutExpired: it did not end.
        """
        command = ["mnexec", "-a", str(self.network.pid(vm)), *map(str, arguments)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=timeout, cwd=ROOT)
        return done.stdout


@contextmanager
def data_path(bench: Bench, connections_per_second: int, taps: Taps = _USUAL_TAPS) -> Iterator[DataPath]:
    """Both bridges up, programmed and followed; short connections and iperf3 are served by every server.

    Args:
        connections_per_second: meter of each VM's new connections on the full one.
        taps: what the full one copies to the controller.

    Raises:
        LabError: a bridge or interface of ours is there already, or the switch refuses an entry.
    """
    inventory = inventories.load(_INVENTORY)
    with ExitStack() as stack:
        network = stack.enter_context(LabNetwork(inventory))
        full, bare = stack.enter_context(connection(FULL)), stack.enter_context(connection(BARE))
        bare.send(WireCodec().add(TableEntry(0, 0, (), (Output(_NORMAL),))))
        entries = _program(full, inventory, connections_per_second, taps)
        bench.say(f"{FULL} holds {entries} entries")
        stack.enter_context(_reporting())
        for server in ("server", "swift2", "bare2"):
            for program in (
                module("benchmarks.vfn.connections", "serve", PORT),
                ["iperf3", "-s", "-p", str(IPERF_PORT)],
            ):
                stack.callback(end, network.popen(server, program, cwd=ROOT))
        _meet(network)
        follow()
        yield DataPath(network, entries)


def follow() -> None:
    """Wait until packets are forwarded by the entries as they are now: the second pass has begun after this call."""
    for _ in range(2):
        marks.run("ovs-appctl", "revalidator/wait")


def _program(full: Connection, inventory: Inventory, connections_per_second: int, taps: Taps) -> int:
    """Put the compiled entries into the full bridge; returns how many."""
    codec, ports = WireCodec(), _ports()
    everybody: list[Vm | OutsidePort] = [*inventory.vms.values(), *inventory.outside.values()]
    ends = [end.port for end in everybody if end.vfn == FULL]
    most = OpenFlowSettings().copies_per_second
    copies = copy_meters([ports[name] for name in ends], most, taps)
    meters = {vm.number: connections_per_second for vm in inventory.vms.values() if vm.vfn == FULL}
    full.send(codec.drop_meters([COPIES_METER]))
    full.send(codec.set_meters({COPIES_METER: most, **copies, **meters}))
    network = Network(inventory, policy(tuple(inventory.segments)), {}, {FULL: ports}, taps)
    desired = list(Compiler(lambda entries: [codec.cookie(entry) for entry in entries]).compile(network, FULL).values())
    for start in range(0, len(desired), _CHUNK):
        full.send(b"".join(map(codec.add, desired[start : start + _CHUNK])))
    return len(desired)


def _ports() -> Mapping[str, int]:
    """OpenFlow port number of every interface of the full bridge."""
    names = marks.run("ovs-vsctl", "list-ports", FULL).split()
    numbers = (marks.run("ovs-vsctl", "get", "Interface", name, "ofport") for name in names)
    return {name: int(number) for name, number in zip(names, numbers, strict=True)}


@contextmanager
def _reporting() -> Iterator[None]:
    """NetFlow goes to a socket, copies to a reader, as they do in the product."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        target = f'"127.0.0.1:{collector.getsockname()[1]}"'
        create = ["--id=@n", "create", "NetFlow", f"targets={target}", "active_timeout=1"]
        marks.run("ovs-vsctl", *create, "--", "set", "Bridge", FULL, "netflow=@n")
        # The copies themselves are of no interest: /dev/null takes what the reader prints.
        reader = Child(
            "copies", ["ovs-ofctl", "-O", "OpenFlow13", "monitor", FULL, "128"], Path(os.devnull), pipe=False
        )
        try:
            yield
        finally:
            reader.stop()


def _meet(network: LabNetwork) -> None:
    """Every client has once had an answer of its server, so nobody asks for addresses in a measurement."""
    for client, server in MET:
        for address in network.inventory.vms[server].addresses:
            command = ["mnexec", "-a", str(network.pid(client)), "ping", "-c", "1", "-W", "1", str(address)]
            wait_for(
                f"{client} reaches {server} at {address}",
                lambda command=command: not subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode,  # type: ignore[misc]
                20.0,
            )


def policy(segments: tuple[str, ...]) -> Policy:
    """10,000 rules, three for what is measured among them, and the deny list in both directions."""
    served = (
        Service(Protocol.TCP, ((PORT, PORT), (IPERF_PORT, IPERF_PORT))),
        Service(Protocol.ICMP),
        Service(Protocol.UDP, ((20_000, 20_999),)),
    )
    pairs = (("clients", "servers"), ("swift-clients", "swift-servers"), ("swift-clients", "servers"))
    streams = tuple(
        Acl(f"{source} to {target}", Tier.POLICY, Verdict.ALLOW, Peer(segment=source), Peer(segment=target), served)
        for source, target in pairs
    )
    blocked = Peer(list="blocked")
    denies = (
        Acl("from blocked", Tier.INTEL, Verdict.DROP, source=blocked),
        Acl("to blocked", Tier.INTEL, Verdict.DROP, destination=blocked),
    )
    many = workload.acls(RULES - len(streams) - len(denies), segments)
    return Policy(1, (*many, *streams, *denies), {"blocked": AddressList("blocked", _prefixes())})


def _prefixes() -> tuple[IPv4Network | IPv6Network, ...]:
    """Random prefixes of public address space, none of which holds an address of the network."""
    chance = random.Random(_SEED)
    found: set[IPv4Network | IPv6Network] = set()
    for version, count in PREFIXES.items():
        lengths, weights = zip(*_LENGTHS[version], strict=True)
        wanted = len(found) + count
        while len(found) < wanted:
            found.add(_prefix(chance, version, chance.choices(lengths, weights)[0]))
    return tuple(sorted(found, key=lambda net: (net.version, int(net.network_address), net.prefixlen)))


def _prefix(chance: random.Random, version: int, length: int) -> IPv4Network | IPv6Network:
    if version == 4:
        # 64.0.0.0/2: neither private nor documentation addresses.
        return IPv4Network(((1 << 30 | chance.getrandbits(30)) >> (32 - length) << (32 - length), length))
    # 2400::/6, without documentation addresses.
    number = 0x2400 << 112 | chance.getrandbits(122)
    return IPv6Network((number >> (128 - length) << (128 - length), length))
