"""Tables SENT and RECEIVED: what is done to packets that pass, for the sake of their source and of their destination.

A limit is a meter of the packets that its subject sends and another of those that it gets, so neither direction starves
the other. Steering hands IP packets of the VM to the port of an inspection VM of the same VFN: instead of to where they
were going, or, a mirror, also. Not steered are broadcasts, what finds out who has an address, and what goes to the
inspection VM anyway.

What an inspection VM passes on comes in at its port with the MAC of the VM, or of whoever talks to the VM. It is let in
as what comes by a cable: nothing in it is from here (`FROM_HERE`), so it is not steered again where it was sent, and
where it is received what came in at the inspection port is not sent back there. So nothing goes in circles, and each
packet passes a limit once: where it is sent before it is steered, where it is received after that. Of what both its
ends are mirrored for at one inspection port, that port gets one copy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import repeat

from policies.codec import FIRST_LIMIT
from policies.entries import Output, SetField, TableEntry
from policies.measures import Measures, Steering
from policies.pipeline.tables import (
    BROADCAST,
    COPIED,
    COPIED_TO,
    DESTINATION,
    DESTINATION_SEGMENT,
    ETHERTYPES,
    FROM_HERE,
    ICMPV6,
    IPV4,
    IPV6,
    NEIGHBOUR_ADVERTISEMENT,
    NEIGHBOUR_SOLICITATION,
    OUTSIDE_PORT,
    REDIRECT,
    ROUTER_ADVERTISEMENT,
    ROUTER_SOLICITATION,
    SOURCE_SEGMENT,
    SOURCE_VM,
    TO_HERE,
    Matches,
    Table,
    go,
    match,
    prefix,
)
from policies.rules import Network
from topology.addresses import mac_number
from topology.model import Vm

_EXEMPT, _COPIED, _STEERED, _LIMITED, _WATCHED = 1200, 1150, 1100, 1000, 500
_OUTSIDE = 600
"""And the length of the prefix: the longest decides."""
_PASSED_ON = 950
_KNOWN_BY_MAC = 1100
_RESOLVING = (
    ROUTER_SOLICITATION,
    ROUTER_ADVERTISEMENT,
    NEIGHBOUR_SOLICITATION,
    NEIGHBOUR_ADVERTISEMENT,
    REDIRECT,
)
_PLACES = 1 << 14
_RECEIVED, _OUTSIDE_NETS = 1 << 14, 1 << 15
"""Bits of the number of a meter."""


@dataclass(frozen=True)
class Meters:
    """Numbers of the meters of a subject."""

    sent: int
    received: int

    @classmethod
    def at(cls, place: int) -> Meters:
        """Those of a place among all."""
        return cls(FIRST_LIMIT + place, FIRST_LIMIT + place + _RECEIVED)

    @classmethod
    def of_port(cls, port: int) -> Meters:
        """Those of the VM on a port. VMs on ports beyond 16,383 share one."""
        return cls.at(port if port < _PLACES else 0)


def meters_of_nets(nets: Collection[Network]) -> dict[Network, Meters]:
    """Those of addresses outside: by a digest, so that one limit more or less does not change the meters of others."""
    places: dict[int, Network] = {}
    for net in sorted(nets, key=str):
        place = int.from_bytes(blake2b(str(net).encode(), digest_size=4).digest(), "big") % _PLACES
        while place in places and len(places) < _PLACES:
            place = (place + 1) % _PLACES
        places.setdefault(place, net)
    return {net: Meters.at(_OUTSIDE_NETS + place) for place, net in places.items()}


def fixed_measures() -> Iterator[TableEntry]:
    """What every VFN has in these tables."""
    yield go(Table.SENT, 0, {}, Table.RECEIVED)
    yield go(Table.RECEIVED, 0, {}, Table.FORWARD)


@dataclass(frozen=True)
class _Direction:
    """One of the two tables."""

    table: Table
    goto: Table
    subject: Matches
    """What the subject sends, or gets."""
    meter: int | None


def of_vm(vm: Vm, port: int, measures: Measures, inspector: tuple[Vm, int] | None) -> Iterator[TableEntry]:
    """The measures of an own VM.

    Args:
        port: number of its port.
        inspector: the VM to which it is steered and the number of its port; None: nowhere, or that port is not there.
    """
    meters = Meters.of_port(port) if measures.limits else None
    sent = _Direction(
        Table.SENT, Table.RECEIVED, {SOURCE_VM: vm.number, FROM_HERE: 1}, None if meters is None else meters.sent
    )
    received = _Direction(
        Table.RECEIVED, Table.FORWARD, {DESTINATION: vm.number}, None if meters is None else meters.received
    )
    for way in (sent, received):
        yield from _limited(way, measures, _LIMITED, _WATCHED)
    if inspector is not None and measures.steering is not None:
        target, at = inspector
        rules = tuple(sorted({*measures.limiting, *measures.steering.rules}))
        yield from _exempt(sent, measures, {DESTINATION_SEGMENT: BROADCAST}, {DESTINATION: target.number})
        yield from _exempt(received, measures, {"in_port": at})
        yield from _steered(sent, measures.steering, at, rules, first=True)
        yield from _steered(received, measures.steering, at, rules, first=False)
        if measures.steering.mirror:
            copied = match({**received.subject, COPIED: COPIED_TO + at})
            yield TableEntry(received.table, _COPIED, copied, (), received.goto, rules, received.meter)


def of_net(net: Network, measures: Measures, meters: Meters) -> Iterator[TableEntry]:
    """The measures of addresses outside, at a VFN with an outside port."""
    says: Matches = {SOURCE_VM: 0, FROM_HERE: 1}
    gets: Matches = {DESTINATION: (OUTSIDE_PORT, OUTSIDE_PORT), TO_HERE: 1}
    ways = (
        (_Direction(Table.SENT, Table.RECEIVED, says, meters.sent), "src"),
        (_Direction(Table.RECEIVED, Table.FORWARD, gets, meters.received), "dst"),
    )
    for way, field in ways:
        name = f"ipv{net.version}_{field}"
        addresses = prefix(name, int(net.network_address), net.prefixlen, net.max_prefixlen)
        about: Matches = {**way.subject, "eth_type": ETHERTYPES[net.version], **addresses}
        limited = replace(way, subject=about, meter=way.meter if measures.limits else None)
        yield from _limited(limited, measures, *repeat(_OUTSIDE + net.prefixlen, 2))


def passed_on(vm: Vm, segment: int, at: int, judged_from: Table) -> Iterator[TableEntry]:
    """What an inspection VM may send besides its own: what one of the VMs that are steered to it says, and is told.

    Args:
        segment: number of the VM's segment.
        at: number of the inspection VM's port.
        judged_from: table where packets go on that were checked where they came in.
    """
    mac = mac_number(vm.mac)
    for kind in (IPV4, IPV6):
        for end in ("eth_src", "eth_dst"):
            yield go(Table.GUARD, _PASSED_ON, {"in_port": at, "eth_type": kind, end: mac}, judged_from)
    named = {SOURCE_SEGMENT: segment, SOURCE_VM: vm.number}
    yield go(Table.SOURCE, _KNOWN_BY_MAC, {"in_port": at, "eth_src": mac}, Table.DESTINATION, named)


def limited_rates(vms: Mapping[int, Measures], nets: Mapping[Network, Measures], usual: int) -> dict[int, int]:
    """Packets per second by meter.

    Args:
        vms: measures of own VMs by the number of their port.
        usual: of limits that do not say.
    """
    meters = meters_of_nets(nets.keys())
    limited = [(Meters.of_port(port), measures) for port, measures in vms.items()]
    limited += [(meters[net], measures) for net, measures in nets.items()]
    rates: dict[int, int] = {}
    for numbers, measures in limited:
        if measures.limits:
            for number in (numbers.sent, numbers.received):
                rates[number] = min(measures.rate(usual), rates.get(number, measures.rate(usual)))
    return rates


def _limited(way: _Direction, measures: Measures, limited: int, watched: int) -> Iterator[TableEntry]:
    """All that the subject sends or gets, if it is limited; else what rules in observe count. With priorities."""
    if way.meter is not None:
        yield _entry(way, limited, {}, measures.limiting)
    elif measures.watching:
        yield _entry(way, watched, {}, measures.watching)


def _exempt(way: _Direction, measures: Measures, *ends: Matches) -> Iterator[TableEntry]:
    """What is limited, but not steered."""
    kinds: Iterator[Matches] = ({"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": kind} for kind in _RESOLVING)
    for fields in (*ends, *kinds):
        yield _entry(way, _EXEMPT, fields, measures.limiting)


def _steered(
    way: _Direction, steering: Steering, at: int, rules: tuple[str, ...], *, first: bool
) -> Iterator[TableEntry]:
    """Out to the inspection port; `first`: before the packet has been there, so that it passes its limit now."""
    for kind in (IPV4, IPV6):
        fields: Matches = {**way.subject, "eth_type": kind}
        goto = way.goto if steering.mirror else None
        meter = way.meter if first or steering.mirror else None
        noted = (SetField(COPIED, COPIED_TO + at),) if first and steering.mirror else ()
        yield TableEntry(way.table, _STEERED, match(fields), (Output(at), *noted), goto, rules, meter)


def _entry(way: _Direction, priority: int, fields: Matches, rules: tuple[str, ...]) -> TableEntry:
    return TableEntry(way.table, priority, match({**way.subject, **fields}), (), way.goto, rules, way.meter)
