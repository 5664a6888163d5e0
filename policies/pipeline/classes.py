"""Tables 3 and 4: whom a packet comes from and whom it goes to, as registers.

The only tables that know where endpoints are by address: what comes after reads registers.
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
from topology.model import Address

_PORT = 1000
_ENDPOINT = 900
_GROUP = 500


def source(place: Place) -> Iterator[TableEntry]:
    """Own VMs and outside ports are known by their port, other VMs by their MAC, which their own VFN has checked."""
    inventory = place.inventory
    for vm in inventory.vms.values():
        registers = {SOURCE_SEGMENT: inventory.segment_number(vm), SOURCE_VM: vm.number}
        if vm.vfn != place.vfn:
            yield go(Table.SOURCE, _ENDPOINT, {"eth_src": mac_number(vm.mac)}, Table.DESTINATION, registers)
        elif vm.name in place.vms:
            fields = {"in_port": place.vms[vm.name]}
            yield go(Table.SOURCE, _PORT, fields, Table.DESTINATION, {**registers, FROM_HERE: 1})
    for port in place.outside.values():
        yield go(Table.SOURCE, _PORT, {"in_port": port}, Table.DESTINATION, {FROM_HERE: 1})
    yield go(Table.SOURCE, 0, {}, Table.DESTINATION)


def destination(place: Place) -> Iterator[TableEntry]:
    """Endpoints are known by MAC, and by their address where somebody asks all for it."""
    inventory = place.inventory
    for vm in inventory.vms.values():
        registers = {DESTINATION_SEGMENT: inventory.segment_number(vm), DESTINATION: vm.number}
        registers[TO_HERE] = int(vm.vfn == place.vfn)
        for fields in _towards(vm.mac, addresses_of(vm)):
            yield go(Table.DESTINATION, _ENDPOINT, fields, Table.OBSERVE, registers)
    for number, end in enumerate(inventory.outside.values(), OUTSIDE_PORT):
        registers = {DESTINATION: number, TO_HERE: int(end.vfn == place.vfn)}
        for fields in _towards(end.mac, end.addresses):
            yield go(Table.DESTINATION, _ENDPOINT, fields, Table.OBSERVE, registers)
    everybody = {DESTINATION_SEGMENT: BROADCAST, TO_HERE: 1}
    yield go(Table.DESTINATION, _GROUP, {"eth_dst": (GROUP_BIT, GROUP_BIT)}, Table.OBSERVE, everybody)
    yield go(Table.DESTINATION, 0, {}, Table.OBSERVE)


def _towards(mac: str, addresses: Iterable[Address]) -> Iterator[Matches]:
    """Frames to a MAC, and broadcast ARP requests and multicast solicitations for the addresses behind it."""
    yield {"eth_dst": mac_number(mac)}
    for address in addresses:
        if isinstance(address, IPv4Address):
            yield {"eth_dst": BROADCAST_MAC, "eth_type": ARP, "arp_op": 1, "arp_tpa": int(address)}
        else:
            solicitation = neighbour_message(NEIGHBOUR_SOLICITATION)
            yield {**solicitation, "eth_dst": (GROUP_BIT, GROUP_BIT), "nd_target": int(address)}
