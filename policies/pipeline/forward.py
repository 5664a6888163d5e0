"""Table 8: out to the port of an own endpoint, towards the VFN of another, or to everybody."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from policies.entries import Output, TableEntry
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
    OUTSIDE_PORT,
    ROUTER_ADVERTISEMENT,
    Matches,
    Table,
    drop,
    match,
)
from topology.model import OutsidePort, Vm

_ENDPOINT = 1000
_RESOLVING = 600
_GROUP = 500


def forward(place: Place, cut: Collection[str]) -> Iterator[TableEntry]:
    """The whole table. `cut`: names of VMs that get no broadcasts."""
    for vm in place.inventory.vms.values():
        yield from _unicast(place, vm.number, vm, place.vms)
    for number, end in enumerate(place.inventory.outside.values(), OUTSIDE_PORT):
        yield from _unicast(place, number, end, place.outside)
    yield from _broadcast(place, cut)
    yield drop(Table.FORWARD, 0, {})


def _unicast(place: Place, number: int, end: Vm | OutsidePort, here: Collection[str]) -> Iterator[TableEntry]:
    if end.vfn == place.vfn:
        port = place.ports[end.port] if end.name in here else None
    else:
        port = place.hops.get(end.vfn)
    if port is not None:
        yield _out(_ENDPOINT, {DESTINATION: number}, (port,))


def _broadcast(place: Place, cut: Collection[str]) -> Iterator[TableEntry]:
    """Along the tree, to the outside and to VMs; those of default-deny segments get only what resolves addresses.

    A switch never sends a packet out of the port where it came in, so on a tree nothing comes back.
    """
    vms, segments = place.inventory.vms, place.inventory.segments
    trunk = [*place.tree, *place.outside.values()]
    all_vms = [port for name, port in place.vms.items() if name not in cut]
    open_vms = [
        port for name, port in place.vms.items() if name not in cut and segments[vms[name].segment].default == "allow"
    ]
    everybody = {DESTINATION_SEGMENT: BROADCAST}
    yield _out(_GROUP, everybody, (*trunk, *open_vms))
    if open_vms != all_vms:
        yield _out(_RESOLVING, {**everybody, "eth_type": ARP}, (*trunk, *all_vms))
        for kind in (ROUTER_ADVERTISEMENT, NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT):
            fields = {**everybody, "eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": kind}
            yield _out(_RESOLVING, fields, (*trunk, *all_vms))


def _out(priority: int, fields: Matches, ports: tuple[int, ...]) -> TableEntry:
    return TableEntry(Table.FORWARD, priority, match(fields), tuple(Output(port) for port in ports))
