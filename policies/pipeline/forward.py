"""Table FORWARD: out to the port of an own endpoint, towards the VFN of another, or to everybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from policies.entries import Output, Resubmit, TableEntry
from policies.pipeline.classes import next_vfn
from policies.pipeline.place import Place
from policies.pipeline.tables import (
    ARP,
    BROADCAST,
    DESTINATION,
    DESTINATION_SEGMENT,
    ICMPV6,
    IPV6,
    NEIGHBOUR_ADVERTISEMENT,
    NEIGHBOUR_SOLICITATION,
    NEXT_VFN,
    NOWHERE,
    OUTSIDE_PORT,
    ROUTER_ADVERTISEMENT,
    SOURCE_SEGMENT,
    TO_HERE,
    Matches,
    Table,
    drop,
    match,
)
from topology.model import OutsidePort, Vfn, Vm

_KNOWN = 1000
_FROM_WITHIN = 900
_FROM_OUTSIDE = 800
_FROM_VM = 700
_TELLING = 600
_GROUP = 500
_ELSEWHERE = 100

_TO_ALL: Matches = {DESTINATION_SEGMENT: BROADCAST}
_ICMPV6_TO_ALL: Matches = {**_TO_ALL, "eth_type": IPV6, "ip_proto": ICMPV6}
_ASKING: tuple[Matches, ...] = (
    {**_TO_ALL, "eth_type": ARP, "arp_op": 1},
    {**_ICMPV6_TO_ALL, "icmpv6_type": NEIGHBOUR_SOLICITATION},
)
_RESOLVING: tuple[Matches, ...] = (
    {**_TO_ALL, "eth_type": ARP},
    {**_ICMPV6_TO_ALL, "icmpv6_type": ROUTER_ADVERTISEMENT},
    {**_ICMPV6_TO_ALL, "icmpv6_type": NEIGHBOUR_ADVERTISEMENT},
)


def to_vm(vm: Vm, port: int, *, tapped: bool) -> TableEntry:
    """Out to an own VM.

    Args:
        tapped: is anything that VMs get copied?
    """
    copies = (Resubmit(Table.DELIVERED),) if tapped else ()
    return TableEntry(Table.FORWARD, _KNOWN, match({DESTINATION: vm.number}), (*copies, Output(port)))


def onward(place: Place, vfns: Mapping[str, Vfn], outside: Collection[OutsidePort]) -> Iterator[TableEntry]:
    """To own outside ports, and towards other VFNs. Most of these lie behind one cable: the others are the exceptions.

    Args:
        vfns: all of the network.
        outside: all of the network, in its order.
    """
    for number, end in enumerate(outside, OUTSIDE_PORT):
        if end.vfn == place.vfn and end.port in place.ports:
            yield _out(_KNOWN, {DESTINATION: number}, (place.ports[end.port],))
    usual, _ = next(iter(Counter(place.hops.values()).most_common(1)), (None, 0))
    for name, port in place.hops.items():
        if port != usual:
            yield _out(_KNOWN, {NEXT_VFN: next_vfn(vfns[name])}, () if port is None else (port,))
    if usual is not None:
        yield _out(_ELSEWHERE, {TO_HERE: 0}, (usual,))
    yield drop(Table.FORWARD, _GROUP, {DESTINATION_SEGMENT: NOWHERE})
    yield drop(Table.FORWARD, 0, {})


def to_all(place: Place, vms: Collection[str], wary: Collection[str]) -> Iterator[TableEntry]:
    """Along the tree, to the outside and to VMs; those of default-deny segments get only what resolves addresses.

    A VM that asks for the address of another that it may talk to has been led there by the destination table. What is
    left are addresses of the outside and of nobody, and no VM needs to hear of them. The outside is not held to that:
    its routers announce themselves by asking. But nobody is outside behind a cable that leads to no outside port: what
    comes from there is a VM's, known or not. A switch never sends a packet out of the port where it came in, so on a
    tree nothing comes back.

    Args:
        vms: names of the own VMs that get anything at all.
        wary: those of default-deny segments among them.
    """
    there = {vm.name: place.ports[vm.port] for vm in place.vms if vm.name in vms and vm.port in place.ports}
    trunk = (*place.tree, *place.gates)
    everybody = (*trunk, *there.values())
    outwards = (*place.outward, *place.gates)
    for fields in _ASKING:
        for port in place.tree:
            if port not in place.outward:
                yield _out(_FROM_WITHIN, {**fields, "in_port": port}, outwards)
        yield _out(_FROM_OUTSIDE, {**fields, SOURCE_SEGMENT: 0}, everybody)
        yield _out(_FROM_VM, fields, outwards)
    for fields in _RESOLVING:
        yield _out(_TELLING, fields, everybody)
    yield _out(_GROUP, _TO_ALL, (*trunk, *(port for name, port in there.items() if name not in wary)))


def _out(priority: int, fields: Matches, ports: tuple[int, ...]) -> TableEntry:
    """Out of these ports; none: nowhere."""
    return TableEntry(Table.FORWARD, priority, match(fields), tuple(Output(port) for port in ports))
