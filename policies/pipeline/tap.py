"""Tables TAP and COPIES to DELIVERED: copies for the analyzer. Never in the way: packets go on as if there were none.

TAP takes what enters the network here, from a VM's or an outside port, by COPIES, which tells by its protocol what is
copied; DELIVERED does the same with what goes out to a VM. OPENINGS, NAMES and HELLOS then copy it under the meter of
the port that it counts for (`policies.pipeline.taps`). The table that copied is what tells the analyzer why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policies.entries import Resubmit, Step, TableEntry, ToController
from policies.pipeline.masks import exact_ports
from policies.pipeline.tables import (
    ACK,
    ARP,
    DESTINATION,
    IPV4,
    IPV6,
    PSH,
    SYN,
    TCP,
    UDP,
    Matches,
    Table,
    drop,
    match,
)
from policies.pipeline.taps import PortMeters, Taps
from runtime.arrays import OPENING_BYTES, WHOLE_BYTES
from topology.model import Vm

_SPOKEN = 1200
_UNDER_WAY = 1100
_COPIED = 1000
_LOOKED_AT = 1
_DELIVERED_TO = 1100
_FORGED_ARP = 500
_OPENS = (SYN, SYN | ACK)
"""TCP flags, under their mask, of the first packet of a connection."""
_DNS = 53
_DHCP_SERVER = 67
_FAMILIES = (IPV4, IPV6)


def tap(judged_from: Table, taps: Taps, gates: Iterable[int]) -> Iterator[TableEntry]:
    """What these tables hold besides own VMs.

    Args:
        judged_from: table where packets go on.
        taps: what is copied.
        gates: port numbers of the outside ports.
    """
    yield TableEntry(Table.TAP, 0, (), (Resubmit(Table.COPIES),), judged_from)
    yield from _openings()
    if taps.first_payload:
        yield from _spoken(taps.first_payload, Table.HELLOS)
    if taps.dns:
        yield from _spoken((_DNS,), Table.NAMES)
    if taps.dns or taps.bindings:
        yield from _datagrams(taps)
    for port in gates:
        yield from _from_port(port, PortMeters.of(port), taps)
    for table in (Table.COPIES, Table.OPENINGS, Table.NAMES, Table.HELLOS, Table.DELIVERED):
        yield drop(table, 0, {})


def copies_of(vm: Vm, port: int, meters: PortMeters, taps: Taps) -> Iterator[TableEntry]:
    """What they hold of an own VM."""
    yield from _from_port(port, meters, taps)
    if taps.dns:
        yield _copy(Table.NAMES, _DELIVERED_TO, {DESTINATION: vm.number}, WHOLE_BYTES, meters.names)
    if taps.bindings:
        # Honest ARP says what the inventory says; what the guard drops is a claim to be somebody else.
        forged = match({"in_port": port, "eth_type": ARP})
        yield TableEntry(Table.GUARD, _FORGED_ARP, forged, (Resubmit(Table.NAMES),))


def _openings() -> Iterator[TableEntry]:
    for kind in _FAMILIES:
        # Looking at ACK alone first: the switch caches one decision for all that a server sends, not one for each flag.
        yield drop(Table.COPIES, _UNDER_WAY, {"eth_type": kind, "ip_proto": TCP, "tcp_flags": (ACK, ACK)})
        yield _on(Table.COPIES, _COPIED, {"eth_type": kind, "ip_proto": TCP, "tcp_flags": _OPENS}, Table.OPENINGS)


def _spoken(ports: Iterable[int], to: Table) -> Iterator[TableEntry]:
    """What clients say to these TCP ports. PSH is looked at behind: other ports' cached decisions stay one each."""
    for kind in _FAMILIES:
        for port in ports:
            fields: Matches = {"eth_type": kind, "ip_proto": TCP, "tcp_flags": (ACK, ACK), "tcp_dst": port}
            yield _on(Table.COPIES, _SPOKEN, fields, to)


def _datagrams(taps: Taps) -> Iterator[TableEntry]:
    """Where both ports of IPv6 may be looked at they are made exact, see `policies.pipeline.masks`."""
    six = exact_ports(UDP)
    for kind, steps in ((IPV4, ()), (IPV6, six)):
        udp: Matches = {"eth_type": kind, "ip_proto": UDP}
        if taps.dns:
            yield _on(Table.COPIES, _COPIED, {**udp, "udp_dst": _DNS}, Table.NAMES, steps)
            yield _on(Table.DELIVERED, _COPIED, {**udp, "udp_src": _DNS}, Table.NAMES, steps)
    if taps.dns:
        yield _on(Table.DELIVERED, _COPIED, {"eth_type": IPV4, "ip_proto": TCP, "tcp_src": _DNS}, Table.NAMES)
        others = match({"eth_type": IPV6, "ip_proto": UDP})
        for table in (Table.COPIES, Table.DELIVERED):
            yield TableEntry(table, _LOOKED_AT, others, six)
    if taps.bindings:
        yield _on(Table.COPIES, _COPIED, {"eth_type": IPV4, "ip_proto": UDP, "udp_src": _DHCP_SERVER}, Table.NAMES)


def _from_port(port: int, meters: PortMeters, taps: Taps) -> Iterator[TableEntry]:
    """Copies of what came in at a port, each kind under the port's own meter."""
    came: Matches = {"in_port": port}
    yield _copy(Table.OPENINGS, _COPIED, came, OPENING_BYTES, meters.openings)
    if taps.dns or taps.bindings:
        yield _copy(Table.NAMES, _COPIED, came, WHOLE_BYTES, meters.names)
    if taps.first_payload:
        for kind in _FAMILIES:
            fields = {**came, "eth_type": kind, "ip_proto": TCP, "tcp_flags": (PSH, PSH)}
            yield _copy(Table.HELLOS, _COPIED, fields, WHOLE_BYTES, meters.hellos)


def _copy(table: Table, priority: int, fields: Matches, most: int, meter: int) -> TableEntry:
    return TableEntry(table, priority, match(fields), (ToController(most, meter),))


def _on(table: Table, priority: int, fields: Matches, to: Table, steps: tuple[Step, ...] = ()) -> TableEntry:
    """An entry that has a packet looked up in another table of these, and ends there."""
    return TableEntry(table, priority, match(fields), (*steps, Resubmit(to)))
