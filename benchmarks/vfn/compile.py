"""Compiling a large network: everything for the first time, then after one VM has moved to another segment.

10,000 VMs in 1,000 default-deny segments on 250 VFNs, 5,000 rules between segments. Time is that of the engine: from
the network as a value to the entries of every VFN with their cookies; after the move, to the difference of every VFN.
Nothing is sent.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from benchmarks.rows import Row
from benchmarks.vfn.bench import Bench
from policies.acl import Acl, Peer, Policy, Service
from policies.desired import Desired
from policies.pipeline.compile import Compiler, Network
from policies.pipeline.lists import masks
from policies.pipeline.tables import Table
from policies.rules import Protocol, Tier, Verdict
from ryu_apps.wire.codec import WireCodec
from topology.model import Inventory, Link, OutsidePort, Segment, Vfn, Vm

VMS, SEGMENTS, VFNS, RULES = 10_000, 1_000, 250, 5_000
SPINES = 10
"""The first VFNs; every other one is linked to one of them, and they to the first."""
MOVES = 20
MAX_SECONDS = 5.0
MAX_MOVE_MS = 20.0


def rows(bench: Bench) -> list[Row]:
    """Seconds to compile everything, milliseconds to all differences after a move."""
    network = large_network()
    compiler = Compiler(WireCodec().cookies)
    begin = time.perf_counter()
    desired = compile_all(compiler, network)
    seconds = time.perf_counter() - begin
    bench.say(f"compiled {VFNS} VFNs in {seconds:.2f} s: {_sizes(desired)}")
    bench.say(f"distinct masks of {next(iter(desired))}: {_masks(desired)}")
    chooser = random.Random(4)
    times, touched = [], []
    for _ in range(MOVES):
        network = moved(network, chooser)
        begin = time.perf_counter()
        after = compile_all(compiler, network)
        differences = {vfn: after[vfn].difference(desired[vfn]) for vfn in after}
        times.append((time.perf_counter() - begin) * 1000)
        touched.append(sum(any(parts) for parts in differences.values()))
        desired = after
    bench.say(
        f"{MOVES} moves: {min(times):.1f} .. {max(times):.1f} ms, each touching {statistics.mean(touched):.0f} VFNs"
    )
    told = f"{VMS} VMs, {SEGMENTS} segments, {RULES} rules, {VFNS} VFNs; {_sizes(desired)}"
    worst = f"worst of {MOVES}: {max(times):.1f} ms"
    return [
        Row("compile of a whole network, cookies included", round(seconds, 2), "s", "<=", MAX_SECONDS, 1, reason=told),
        Row("one VM moved, to the differences of all VFNs", round(statistics.median(times), 1), "ms", "<=",
            MAX_MOVE_MS, MOVES, reason=worst),
    ]  # fmt: skip


def compile_all(compiler: Compiler, network: Network) -> dict[str, Desired]:
    """Every VFN."""
    return {vfn: compiler.compile(network, vfn) for vfn in network.inventory.vfns}


def large_network() -> Network:
    """The network, always the same one. VMs of a segment are on different VFNs."""
    chooser = random.Random(3)
    segments = {f"s{n}": Segment(f"s{n}", n, "deny") for n in range(1, SEGMENTS + 1)}
    vfns = {f"v{n}": Vfn(f"v{n}", n, n + 1, f"v{n}") for n in range(VFNS)}
    links = tuple(Link(f"v{n}", "up", f"v{(n % SPINES) if n >= SPINES else 0}", f"down{n}") for n in range(1, VFNS))
    outside = {"gate": OutsidePort("gate", "v0", "gate", "02:ff:00:00:00:01", (IPv4Address("192.0.2.1"),))}
    vms = {}
    for number in range(1, VMS + 1):
        vm = Vm(
            name=f"m{number}",
            number=number,
            segment=f"s{chooser.randint(1, SEGMENTS)}",
            vfn=f"v{SPINES + number % (VFNS - SPINES)}",
            port=f"p{number}",
            mac=f"02:00:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
            addresses=(IPv4Address((10 << 24) + number), IPv6Address((0xFD << 120) + number)),
        )
        vms[vm.name] = vm
    names = list(segments)
    acls = tuple(_rule(number, chooser.choice(names), chooser.choice(names)) for number in range(RULES))
    inventory = Inventory(segments, vfns, links, vms, outside)
    return Network(inventory, Policy(1, acls), {}, _ports(inventory))


def moved(network: Network, chooser: random.Random) -> Network:
    """The same with one VM in another segment."""
    inventory = network.inventory
    vm = inventory.vms[chooser.choice(list(inventory.vms))]
    segment = chooser.choice([name for name in inventory.segments if name != vm.segment])
    vms = {**inventory.vms, vm.name: replace(vm, segment=segment)}
    return replace(network, inventory=replace(inventory, vms=vms))


def _rule(number: int, source: str, destination: str) -> Acl:
    service = Service(Protocol.TCP, ((8000 + number % 50, 8000 + number % 50),))
    ends = (Peer(segment=source), Peer(segment=destination))
    return Acl(f"r{number}", Tier.POLICY, Verdict.ALLOW, *ends, services=(service,))


def _ports(inventory: Inventory) -> Mapping[str, Mapping[str, int]]:
    names: dict[str, list[str]] = {vfn: [] for vfn in inventory.vfns}
    for link in inventory.links:
        names[link.a].append(link.a_port)
        names[link.b].append(link.b_port)
    ends: list[Vm | OutsidePort] = [*inventory.vms.values(), *inventory.outside.values()]
    for end in ends:
        names[end.vfn].append(end.port)
    return {vfn: {name: number for number, name in enumerate(own, 1)} for vfn, own in names.items()}


def _sizes(desired: Mapping[str, Desired]) -> str:
    sizes = sorted(map(len, desired.values()))
    return f"entries a VFN: least {sizes[0]}, median {sizes[len(sizes) // 2]}, most {sizes[-1]}"


def _masks(desired: Mapping[str, Desired]) -> str:
    found = masks(next(iter(desired.values())).values())
    return ", ".join(f"{Table(table).name} {number}" for table, number in sorted(found.items()))
