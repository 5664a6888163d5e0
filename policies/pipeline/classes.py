"""Tables SOURCE and DESTINATION: whom a packet comes from and whom it goes to, as registers.

The only tables that know where endpoints are by address: what comes after reads registers. What is said of a VM from
afar is the same at every VFN, the VM's own included; there the entries of its port have the higher priority.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

from policies.entries import TableEntry
from policies.pipeline.place import Place
from policies.pipeline.tables import (
    ARP,
    BROADCAST,
    BROADCAST_MAC,
    DESTINATION,
    DESTINATION_SEGMENT,
    FROM_HERE,
    GROUP_BIT,
    NEIGHBOUR_SOLICITATION,
    NEXT_VFN,
    NOWHERE,
    OUTSIDE_PORT,
    SOURCE_SEGMENT,
    SOURCE_VM,
    TO_HERE,
    Matches,
    Table,
    go,
    neighbour_message,
)
from topology.addresses import addresses_of, mac_number
from topology.model import Address, OutsidePort, Vfn, Vm

_HERE = 1000
_AFAR = 900
_GROUP = 500


def next_vfn(vfn: Vfn) -> int:
    """Value of the register `NEXT_VFN`."""
    return vfn.number + 1


def source_here(vm: Vm, segment: int, port: int, *, alone: bool = True) -> TableEntry:
    """An own VM is known by its port. `segment`: number of its segment, here and below.

    Args:
        alone: does nobody else's traffic come in there? What is steered to an inspection VM does.
    """
    registers = {SOURCE_SEGMENT: segment, SOURCE_VM: vm.number, FROM_HERE: 1}
    own: Matches = {"in_port": port} if alone else {"in_port": port, "eth_src": mac_number(vm.mac)}
    return go(Table.SOURCE, _HERE, own, Table.DESTINATION, registers)


def source_afar(vm: Vm, segment: int) -> TableEntry:
    """Another VFN's VM is known by its MAC, which that VFN has checked."""
    registers = {SOURCE_SEGMENT: segment, SOURCE_VM: vm.number}
    return go(Table.SOURCE, _AFAR, {"eth_src": mac_number(vm.mac)}, Table.DESTINATION, registers)


def destination_here(vm: Vm, segment: int) -> Iterator[TableEntry]:
    """An own VM is known by its MAC, and by its addresses where somebody asks all for them."""
    registers = {DESTINATION_SEGMENT: segment, DESTINATION: vm.number, TO_HERE: 1}
    return _towards(_HERE, vm.mac, addresses_of(vm), registers)


def destination_afar(vm: Vm, segment: int, way: int) -> Iterator[TableEntry]:
    """The same of a VM of another VFN; `way`: that one's `next_vfn`."""
    registers = {DESTINATION_SEGMENT: segment, DESTINATION: vm.number, NEXT_VFN: way}
    return _towards(_AFAR, vm.mac, addresses_of(vm), registers)


def strangers(place: Place, outside: Iterable[tuple[OutsidePort, Vfn]]) -> Iterator[TableEntry]:
    """Everything that is no VM: outside ports and what lies right at them, groups, the outside, and nobody.

    Args:
        outside: all outside ports of the network, in its order, with their VFNs.
    """
    for port in place.gates:
        yield go(Table.SOURCE, _HERE, {"in_port": port}, Table.DESTINATION, {FROM_HERE: 1})
    yield go(Table.SOURCE, 0, {}, Table.DESTINATION)
    for number, (end, vfn) in enumerate(outside, OUTSIDE_PORT):
        way = {TO_HERE: 1} if vfn.name == place.vfn else {NEXT_VFN: next_vfn(vfn)}
        yield from _towards(_HERE, end.mac, end.addresses, {DESTINATION: number, **way})
    # A packet to everybody is judged where it enters the network, and from there on only forwarded.
    yield go(
        Table.DESTINATION, _GROUP, {"eth_dst": (GROUP_BIT, GROUP_BIT)}, Table.OBSERVE, {DESTINATION_SEGMENT: BROADCAST}
    )
    yield go(Table.DESTINATION, 0, {}, Table.OBSERVE, {DESTINATION_SEGMENT: NOWHERE})


def _towards(priority: int, mac: str, addresses: Iterable[Address], registers: dict[str, int]) -> Iterator[TableEntry]:
    """Frames to a MAC, and broadcast ARP requests and multicast solicitations for the addresses behind it."""
    return (go(Table.DESTINATION, priority, fields, Table.OBSERVE, registers) for fields in _names(mac, addresses))


def _names(mac: str, addresses: Iterable[Address]) -> Iterator[Matches]:
    yield {"eth_dst": mac_number(mac)}
    for address in addresses:
        if isinstance(address, IPv4Address):
            yield {"eth_dst": BROADCAST_MAC, "eth_type": ARP, "arp_op": 1, "arp_tpa": int(address)}
        else:
            solicitation = neighbour_message(NEIGHBOUR_SOLICITATION)
            yield {**solicitation, "eth_dst": (GROUP_BIT, GROUP_BIT), "nd_target": int(address)}
