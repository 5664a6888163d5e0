"""What a policy says of a packet, on one page: slow, obvious, and without a line of the compiler that has to equal it.

Rules are first judged by what a packet itself is (`judge`), then by whose connection it belongs to (`decide`):

- The first match decides, by tier, then rank, then drop before allow. What no rule decides: deny if the source's
  segment says `outward: deny` or the destination's `default: deny`, else allow.
- Drops of the tiers `INTEL` and above contain: they hold for every frame. Allows there mean their answers, too, by what
  they look like. Below, the resolution of addresses always passes, and `POLICY` and `LEARNED` decide about IP only.
- A restriction is a drop that contains and has exceptions: what they allow, what looks like its answers and all
  resolution of addresses is judged as if there were no restriction.
- What these tiers or a default deny passes all the same if it answers a connection whose own direction is allowed now;
  by a rule, where nothing tells answers from other packets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from policies.acl import Acl, AddressList, Mode, Peer, Policy, Service
from policies.rules import Network, Protocol, Tier, Verdict
from topology.model import OUTSIDE, Address, Inventory, Segment

TCP, UDP, SCTP = 6, 17, 132
ICMP = {4: 1, 6: 58}
"""Protocol number by IP version."""
_ICMP_ANSWERS = {4: (0, 3, 11, 12, 14), 6: (1, 2, 3, 4, 129)}
"""Echo and timestamp replies and errors (RFC 792, RFC 4443), by IP version."""
_RESOLVING = (134, 135, 136)
"""ICMPv6: router advertisement, neighbour solicitation and advertisement (RFC 4861)."""
_ACK, _RST = 0x10, 0x04


@dataclass(frozen=True)
class Packet:
    """A frame that the guard has let in. Which fields are set says what it is.

    No addresses: neither IP nor ARP. Addresses, but no protocol: ARP, with its own sender's and target's address.
    """

    source: str | None
    """Name of the VM it comes from; None: from outside."""
    destination: str | None
    """Name of the VM it is for (whose MAC it has, or for whose address it asks all); None: for the outside."""
    source_address: Address | None = None
    destination_address: Address | None = None
    protocol: int | None = None
    source_port: int = 0
    destination_port: int = 0
    tcp_flags: int = 0
    icmp_type: int | None = None
    target: Address | None = None
    """The address that a neighbour solicitation asks for."""
    broadcast: bool = False
    """Is it for everybody? `destination` is None then."""


class Tracked(StrEnum):
    """What connection tracking knows of a packet."""

    NEW = "new"
    """Nothing, or that it goes along with the connection's own direction."""
    REPLY = "reply"
    """It comes from the other end of a connection that was allowed."""
    RELATED = "related"
    """It is an ICMP error about such a connection."""


@dataclass(frozen=True)
class Judgement:
    """What is said of a packet by itself."""

    verdict: Verdict
    acls: tuple[Acl, ...] = ()
    """The rules that decide: several if they have tier, rank and verdict in common. None: a default, or resolution."""
    default: str | None = None
    """The segment whose default denies."""

    @property
    def contains(self) -> bool:
        """Is it a drop that holds for answers and the resolution of addresses, too?"""
        return self.verdict is Verdict.DROP and any(acl.tier >= Tier.INTEL for acl in self.acls)


@dataclass(frozen=True)
class Decision:
    """What becomes of a packet."""

    verdict: Verdict
    judgement: Judgement
    """What decided: about the packet itself, or, `by_answer`, about the connection that it answers."""
    by_answer: bool = False
    """Does it pass only since it answers a connection that is allowed?"""


def judge(
    inventory: Inventory, policy: Policy, rules: Iterable[Acl], packet: Packet, *, observed: bool = False
) -> Judgement:
    """What is said of a packet in its own direction.

    Args:
        rules: what segmentation rules mean, beside the policy's own.
        observed: are rules in observe enforced?
    """
    acls = [acl for acl in (*policy.acls, *rules) if observed or acl.mode is Mode.ENFORCE]
    lists = policy.lists
    matching = [
        acl for acl in acls if _matches(inventory, lists, acl, packet) or _expects(inventory, lists, acl, packet)
    ]
    matching = [acl for acl in matching if not _spared(inventory, lists, acls, acl, packet)]
    if is_resolution(packet) or packet.protocol is None:
        matching = [acl for acl in matching if acl.tier >= Tier.INTEL]
    if matching:
        first = max(map(_order, matching))
        deciding = tuple(acl for acl in matching if _order(acl) == first)
        return Judgement(deciding[0].verdict, deciding)
    if is_resolution(packet):
        return Judgement(Verdict.ALLOW)
    inward, outward = _segment(inventory, packet.destination), _segment(inventory, packet.source)
    if inward is not None and inward.default == "deny":
        return Judgement(Verdict.DROP, default=inward.name)
    if outward is not None and outward.outward == "deny":
        return Judgement(Verdict.DROP, default=outward.name)
    return Judgement(Verdict.ALLOW)


def decide(
    inventory: Inventory,
    policy: Policy,
    rules: Iterable[Acl],
    packet: Packet,
    tracked: Tracked = Tracked.NEW,
    *,
    observed: bool = False,
) -> Decision:
    """What becomes of a packet, its connection considered. Arguments as of `judge`."""
    rules = tuple(rules)
    own = judge(inventory, policy, rules, packet, observed=observed)
    if own.verdict is Verdict.ALLOW or own.contains or packet.protocol is None or packet.broadcast:
        return Decision(own.verdict, own)
    if not by_shape(inventory, packet) and tracked is Tracked.RELATED:
        return Decision(Verdict.ALLOW, own, by_answer=True)
    if answers(inventory, packet, tracked):
        remaining = [acl for acl in rules if acl.unless is None]  # a restriction has looked at the packet itself
        connection = judge(inventory, policy, remaining, reverse(packet), observed=observed)
        if connection.verdict is Verdict.ALLOW and (connection.acls or not shapeless(inventory, packet)):
            return Decision(Verdict.ALLOW, connection, by_answer=True)
    return Decision(Verdict.DROP, own)


def observe(
    inventory: Inventory, policy: Policy, rules: Iterable[Acl], packet: Packet, tracked: Tracked = Tracked.NEW
) -> tuple[str, ...]:
    """Ids of the rules in observe that would drop the packet where it enters the network, were all of them enforced.

    Args:
        rules: what segmentation rules mean that stand at that VFN: others stop it further on, if at all.
    """
    decision = decide(inventory, policy, rules, packet, tracked, observed=True)
    if decision.verdict is Verdict.ALLOW:
        return ()
    return tuple(acl.rule_id for acl in decision.judgement.acls if acl.mode is Mode.OBSERVE)


def reverse(packet: Packet) -> Packet:
    """The same with its ends and ports swapped: the direction of the connection that it answers."""
    return replace(
        packet,
        source=packet.destination,
        destination=packet.source,
        source_address=packet.destination_address,
        destination_address=packet.source_address,
        source_port=packet.destination_port,
        destination_port=packet.source_port,
    )


def answers(inventory: Inventory, packet: Packet, tracked: Tracked) -> bool:
    """Does an IP packet answer a connection?"""
    if not by_shape(inventory, packet):
        return tracked is Tracked.REPLY
    return _has_shape(packet) if packet.protocol in (TCP, ICMP[_version(packet)]) else True


def by_shape(inventory: Inventory, packet: Packet) -> bool:
    """Is an IP packet's being an answer told by what it looks like?

    So it is where Open vSwitch tracks no connections of the protocol, and where the segment to which the connection
    leads (from which it comes, if it leads outside) is stateless.
    """
    if packet.protocol not in (TCP, UDP, ICMP[_version(packet)]):
        return True
    segment = _segment(inventory, packet.source) or _segment(inventory, packet.destination)
    return segment is not None and segment.stateless


def shapeless(inventory: Inventory, packet: Packet) -> bool:
    """Is there nothing to tell by whether an IP packet is an answer?

    Then a rule has to allow the connection: defaults would let anybody in whom a VM might have asked something.
    """
    return by_shape(inventory, packet) and packet.protocol not in (TCP, ICMP[_version(packet)])


def is_resolution(packet: Packet) -> bool:
    """Does it only find out who has an address: ARP, neighbour discovery, router advertisement?"""
    if packet.protocol is None:
        return packet.source_address is not None
    return packet.protocol == ICMP[6] == ICMP[_version(packet)] and packet.icmp_type in _RESOLVING


def _order(acl: Acl) -> tuple[int, int, int]:
    drops = acl.verdict is Verdict.DROP
    return acl.tier, acl.rank, drops * (2 if acl.mode is Mode.ENFORCE else 1)


@dataclass(frozen=True)
class _End:
    """One end of a packet, as a rule may mean it."""

    vm: str | None
    segment: str | None
    """None: everybody's, so no segment's."""
    addresses: tuple[Address | None, ...]
    listed: Address | None
    """The address that lists know: that of an IP packet."""


def _source(inventory: Inventory, packet: Packet) -> _End:
    own = packet.source_address
    listed = own if packet.protocol is not None else None
    return _End(packet.source, _segment_name(inventory, packet.source), (own,), listed)


def _destination(inventory: Inventory, packet: Packet) -> _End:
    own = packet.destination_address
    listed = own if packet.protocol is not None else None
    segment = None if packet.broadcast else _segment_name(inventory, packet.destination)
    return _End(packet.destination, segment, (own, packet.target), listed)


def _matches(inventory: Inventory, lists: Mapping[str, AddressList], acl: Acl, packet: Packet) -> bool:
    return (
        _is(lists, acl.source, _source(inventory, packet))
        and _is(lists, acl.destination, _destination(inventory, packet))
        and _serves(acl, packet)
    )


def _expects(inventory: Inventory, lists: Mapping[str, AddressList], acl: Acl, packet: Packet) -> bool:
    """Does it look like an answer to what an allow of the higher tiers means?

    Drops of these tiers hold for answers, so that there is no other way for those of what stands above them.
    """
    if acl.verdict is not Verdict.ALLOW or acl.tier < Tier.INTEL:
        return False
    services = tuple(Service(service.protocol, service.source_ports, service.ports) for service in acl.services)
    mirrored = replace(acl, source=acl.destination, destination=acl.source, services=services)
    told = is_resolution(packet) or packet.protocol in (UDP, SCTP) or _has_shape(packet)
    return told and _matches(inventory, lists, mirrored, packet)


def _spared(
    inventory: Inventory, lists: Mapping[str, AddressList], acls: Iterable[Acl], acl: Acl, packet: Packet
) -> bool:
    """Is a rule a restriction, and the packet what it, or another of the same VM, leaves to other rules?"""
    if acl.unless is None:
        return False
    ends = (acl.source, acl.destination)
    same = (other.unless for other in acls if other.unless is not None and (other.source, other.destination) == ends)
    return is_resolution(packet) or any(
        packet.protocol is not None
        and (_matches(inventory, lists, allow, packet) or _expects(inventory, lists, allow, packet))
        for allows in same
        for allow in allows
    )


def _has_shape(packet: Packet) -> bool:
    """Is it what answers of TCP and ICMP look like?"""
    if packet.protocol == TCP:
        return bool(packet.tcp_flags & (_ACK | _RST))
    return packet.icmp_type is not None and packet.icmp_type in _ICMP_ANSWERS[_version(packet)]


def _is(lists: Mapping[str, AddressList], peer: Peer, end: _End) -> bool:
    """Is this end of a packet the one that a rule means? An empty list is nobody."""
    if peer.vm is not None:
        return end.vm == peer.vm
    if peer.segment is not None:
        return end.segment == peer.segment
    if peer.not_segment is not None:
        return end.segment != peer.not_segment
    if peer.list is not None:
        return _among(end.listed, lists[peer.list].nets)
    return not peer.nets or any(_among(address, peer.nets) for address in end.addresses)


def _among(address: Address | None, nets: Iterable[Network]) -> bool:
    return address is not None and any(address.version == net.version and address in net for net in nets)


def _serves(acl: Acl, packet: Packet) -> bool:
    """Is it the traffic that a rule means? Who may be talked to may also be resolved."""
    by_list = acl.source.list is not None or acl.destination.list is not None
    if not acl.services or (acl.verdict is Verdict.ALLOW and is_resolution(packet) and not by_list):
        return True
    return any(_is_service(service, packet) for service in acl.services)


def _is_service(service: Service, packet: Packet) -> bool:
    if service.protocol is Protocol.ANY:
        return True
    if packet.protocol is None:
        return False
    if service.protocol is Protocol.ICMP:
        return packet.protocol == ICMP[_version(packet)]
    numbers = {Protocol.TCP: TCP, Protocol.UDP: UDP, Protocol.SCTP: SCTP}
    return (
        packet.protocol == numbers[service.protocol]
        and _within(packet.destination_port, service.ports)
        and _within(packet.source_port, service.source_ports)
    )


def _within(port: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return not ranges or any(first <= port <= last for first, last in ranges)


def _segment_name(inventory: Inventory, vm: str | None) -> str:
    return OUTSIDE if vm is None else inventory.vms[vm].segment


def _segment(inventory: Inventory, vm: str | None) -> Segment | None:
    return None if vm is None else inventory.segments[inventory.vms[vm].segment]


def _version(packet: Packet) -> int:
    assert packet.source_address is not None  # every IP packet has one
    return packet.source_address.version
