"""What limits and steering do to a packet that is allowed: as `policies.reference`, slow and obvious.

A packet is handled first for the sake of its source, then of its destination. A redirection ends its way at the
inspection VM; what that one passes on goes the rest of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policies.measures import Measures, Subject
from policies.reference import ICMP, Packet
from policies.rules import Network
from topology.model import Address

_NEIGHBOURS = (133, 134, 135, 136, 137)
"""ICMPv6 that never leaves a link: routers and neighbours (RFC 4861)."""


@dataclass(frozen=True)
class Handling:
    """What is done to a packet that is allowed."""

    limits: tuple[tuple[str, Subject], ...] = ()
    """The limits that it has to pass: `sent` by whom, `received` by whom."""
    copies: tuple[str, ...] = ()
    """Inspection VMs that get a copy."""
    instead: str | None = None
    """The inspection VM that gets it instead; None: it goes where it is going."""


def handle(measures: Mapping[Subject, Measures], packet: Packet, by: str | None = None) -> Handling:
    """What is done to an allowed packet on its way: first for its source's sake, then for its destination's.

    Args:
        measures: of all VFNs.
        by: the inspection VM that has passed it on; None: it comes from its source.
    """
    limits: list[tuple[str, Subject]] = []
    copies: list[str] = []
    source = _subject(packet.source, packet.source_address, packet, measures)
    destination = (
        None if packet.broadcast else _subject(packet.destination, packet.destination_address, packet, measures)
    )
    if by is None and source is not None:
        if measures[source].limits:
            limits.append(("sent", source))
        steering = measures[source].steering
        if steering is not None and _steerable(packet) and packet.destination != steering.target:
            if not steering.mirror:
                return Handling(tuple(limits), instead=steering.target)
            copies.append(steering.target)
    if destination is not None:
        steering = measures[destination].steering
        passing = by or packet.source
        if steering is not None and _steerable(packet) and passing != steering.target:
            if not steering.mirror:
                return Handling(tuple(limits), tuple(copies), steering.target)
            if steering.target not in copies:
                copies.append(steering.target)
        if measures[destination].limits:
            limits.append(("received", destination))
    return Handling(tuple(limits), tuple(copies))


def _subject(
    vm: str | None, address: Address | None, packet: Packet, measures: Mapping[Subject, Measures]
) -> Subject | None:
    """Whose measures an end of a packet is under: a VM's, or those of the longest prefix with its address."""
    if vm is not None:
        return Subject(vm=vm) if Subject(vm=vm) in measures else None
    nets = [s.net for s in measures if s.net is not None and packet.protocol is not None and _within(address, s.net)]
    return Subject(net=max(nets, key=lambda net: net.prefixlen)) if nets else None


def _steerable(packet: Packet) -> bool:
    """IP for somebody, unless it finds out who has an address or where routers are."""
    if packet.protocol is None or packet.broadcast:
        return False
    assert packet.source_address is not None  # every IP packet has one
    return packet.source_address.version == 4 or packet.protocol != ICMP[6] or packet.icmp_type not in _NEIGHBOURS


def _within(address: Address | None, net: Network) -> bool:
    return address is not None and address.version == net.version and address in net
