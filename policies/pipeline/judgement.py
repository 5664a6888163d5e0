"""Tables ENFORCEMENT, REVERSE, DENIED and COMMIT, and their shadows: what rules and defaults make of a packet.

A rule's entries are the same at every VFN that holds it. Its ends are registers or addresses, so a rule between two
segments is one entry a table, however many VMs they have. Where two rules share a priority they share the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import product
from typing import Protocol as Interface

from policies.acl import Acl, Mode, Peer, Service
from policies.entries import Resubmit, SetField, TableEntry
from policies.pipeline.ranges import cover
from policies.pipeline.tables import (
    ACK,
    ARP,
    BROADCAST,
    DESTINATION,
    DESTINATION_LISTS,
    DESTINATION_SEGMENT,
    DESTINATION_SPARED,
    ETHERTYPES,
    FROM_HERE,
    ICMP,
    ICMPV6,
    IPV4,
    IPV6,
    MARK,
    NEIGHBOUR_ADVERTISEMENT,
    NEIGHBOUR_SOLICITATION,
    NOWHERE,
    ROUTER_ADVERTISEMENT,
    RST,
    SCTP,
    SHADOW_DESTINATION_SPARED,
    SHADOW_MARK,
    SHADOW_SOURCE_SPARED,
    SHAPELESS,
    SOURCE_LISTS,
    SOURCE_SEGMENT,
    SOURCE_SPARED,
    SOURCE_VM,
    TCP,
    TO_HERE,
    UDP,
    Matches,
    Table,
    drop,
    go,
    match,
    neighbour_message,
    prefix,
)
from policies.rules import Protocol, Tier, Verdict
from topology.model import Segment

TRANSIT = 65_000
RESOLUTION = Tier.INTEL - 1
_INWARD, _OUTWARD, _SHAPELESS = 3, 2, 1
_NEEDED = 100
_SPARES_SOURCE, _SPARES_DESTINATION = 9199, 9198
"""Above all of a tier, but nothing is decided by it: what is spared is looked up again."""
_DEFAULT_BIT = 1 << 31

ICMP_ANSWERS = {4: (0, 3, 11, 12, 14), 6: (1, 2, 3, 4, 129)}
"""Echo and timestamp replies and errors (RFC 792, RFC 4443), by IP version."""

_KINDS = (ROUTER_ADVERTISEMENT, NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT)
_RESOLVING: tuple[Matches, ...] = (
    {"eth_type": ARP},
    *({"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": kind} for kind in _KINDS),
)
"""Without these no allowed packet would find its way; the guard has seen that nobody lies in them."""
_NUMBERS = {Protocol.TCP: TCP, Protocol.UDP: UDP, Protocol.SCTP: SCTP}


class Numbers(Interface):
    """Register values of names."""

    def segment(self, name: str) -> int:
        """Of a segment, `outside` included."""

    def segments(self) -> Iterable[int]:
        """Of all segments but `outside`."""

    def vm(self, name: str) -> int:
        """Of a VM."""

    def list_bit(self, name: str) -> int:
        """The bit of an address list, as a number with just that bit set."""


@dataclass(frozen=True)
class Chain:
    """A set of tables that judge: the real ones or their shadows."""

    judge: Table
    lookup: Table
    answers: Table
    reverse: Table
    denied: Table
    mark: str
    """Register for the mark of the rule that denies."""
    source_spared: str
    """Register that says whether a restriction of the source leaves the packet to other rules."""
    destination_spared: str


REAL = Chain(
    Table.ENFORCEMENT,
    Table.LOOKUP,
    Table.ANSWERS,
    Table.REVERSE,
    Table.DENIED,
    MARK,
    SOURCE_SPARED,
    DESTINATION_SPARED,
)
SHADOW = Chain(
    Table.SHADOW,
    Table.SHADOW_LOOKUP,
    Table.SHADOW_ANSWERS,
    Table.SHADOW_REVERSE,
    Table.SHADOW_DENIED,
    SHADOW_MARK,
    SHADOW_SOURCE_SPARED,
    SHADOW_DESTINATION_SPARED,
)


def mark(rule_id: str) -> int:
    """1 .. 2^31 - 1. Two rules may have one mark: then they share the entry that counts their drops."""
    return int.from_bytes(blake2b(rule_id.encode(), digest_size=4).digest(), "big") % (_DEFAULT_BIT - 1) + 1


def default_mark(segment: int) -> int:
    """The mark of a segment's default."""
    return _DEFAULT_BIT | segment


def denied_by_default(entry: TableEntry) -> int | None:
    """The segment whose default an entry of DENIED counts; None: it counts rules, or is of another table."""
    marks = (field.value for field in entry.match if field.name == MARK)
    return next((value & ~_DEFAULT_BIT for value in marks if value & _DEFAULT_BIT), None)


def priority(acl: Acl) -> int:
    """First match by tier, rank, drop before allow; a drop in observe comes after one that is enforced."""
    drops = acl.verdict is Verdict.DROP
    return acl.tier + 3 * acl.rank + drops * (2 if acl.mode is Mode.ENFORCE else 1)


def contains(acl: Acl) -> bool:
    """Is it a drop that holds for every frame, answers included?"""
    return acl.verdict is Verdict.DROP and acl.tier >= Tier.INTEL


def acl_entries(acl: Acl, numbers: Numbers) -> tuple[TableEntry, ...]:
    """What an enforced rule asks of every VFN that holds it."""
    own = (acl.rule_id,)
    marked = {MARK: mark(acl.rule_id)}
    entries = [*_exceptions(acl, numbers, REAL)]
    for fields in _judged(acl, numbers, REAL):
        if contains(acl):
            entries.append(drop(REAL.judge, priority(acl), fields, own))
        else:
            then = Table.COMMIT if acl.verdict is Verdict.ALLOW else REAL.lookup
            entries.append(go(REAL.judge, priority(acl), fields, then, marked, rules=own))
    for fields in _reversed(acl, numbers):
        then = Table.SENT if acl.verdict is Verdict.ALLOW else REAL.denied
        entries.append(go(REAL.reverse, priority(acl), fields, then, rules=own))
    if acl.verdict is Verdict.DROP and not contains(acl):
        entries.append(drop(REAL.denied, _NEEDED, {MARK: mark(acl.rule_id)}, own))
        entries += _kept_for(acl, numbers)
    return tuple(entries)


def shadow_entries(acl: Acl, numbers: Numbers) -> tuple[TableEntry, ...]:
    """What a rule, in observe or not, asks of the shadow tables. An entry without instructions ends the shadow pass."""
    own, marked = (acl.rule_id,), {SHADOW_MARK: mark(acl.rule_id)}
    counts = acl.mode is Mode.OBSERVE and acl.verdict is Verdict.DROP
    entries = [*_exceptions(acl, numbers, SHADOW)]
    for fields in _judged(acl, numbers, SHADOW):
        if counts:
            then = SHADOW.denied if contains(acl) else SHADOW.lookup
            entries.append(go(SHADOW.judge, priority(acl), fields, then, marked, rules=own))
        else:
            entries.append(drop(SHADOW.judge, priority(acl), fields, own))
    for fields in _reversed(acl, numbers):
        if acl.verdict is Verdict.ALLOW:
            entries.append(drop(SHADOW.reverse, priority(acl), fields, own))
        else:
            entries.append(go(SHADOW.reverse, priority(acl), fields, SHADOW.denied, rules=own))
    if counts:
        entries.append(drop(SHADOW.denied, _NEEDED, {SHADOW_MARK: mark(acl.rule_id)}, own))
        entries += () if contains(acl) else _kept_for(acl, numbers)
    return tuple(entries)


def default_entries(segment: Segment) -> tuple[TableEntry, ...]:
    """What a segment's defaults ask of every VFN that knows it. Both `allow`: nothing."""
    entries: list[TableEntry] = []
    for says, level, ours, theirs in (
        (segment.default, _INWARD, DESTINATION_SEGMENT, SOURCE_SEGMENT),
        (segment.outward, _OUTWARD, SOURCE_SEGMENT, DESTINATION_SEGMENT),
    ):
        if says == "deny":
            marked = {MARK: default_mark(segment.number)}
            entries.append(go(REAL.judge, level, {ours: segment.number}, REAL.lookup, marked))
            entries.append(go(REAL.reverse, level, {theirs: segment.number}, REAL.denied))
            entries.append(go(Table.COMMIT, _NEEDED, {theirs: segment.number}, Table.KEEP))
    if entries:
        entries.append(drop(REAL.denied, _NEEDED, {MARK: default_mark(segment.number)}))
    return tuple(entries)


def shadow_default_entries(segment: Segment) -> tuple[TableEntry, ...]:
    """The same for the shadow tables, where a default is no rule in observe: only for answers."""
    entries: list[TableEntry] = []
    if segment.default == "deny":
        entries.append(go(SHADOW.reverse, _INWARD, {SOURCE_SEGMENT: segment.number}, SHADOW.denied))
    if segment.outward == "deny":
        entries.append(go(SHADOW.reverse, _OUTWARD, {DESTINATION_SEGMENT: segment.number}, SHADOW.denied))
    return tuple(entries)


def fixed_entries() -> Iterator[TableEntry]:
    """What every VFN has in these tables."""
    yield go(REAL.judge, TRANSIT, {FROM_HERE: 0, TO_HERE: 0}, Table.FORWARD)
    for fields in _RESOLVING:
        yield go(REAL.judge, RESOLUTION, fields, Table.SENT)
    yield go(REAL.judge, 0, {}, Table.COMMIT)
    yield go(REAL.reverse, _SHAPELESS, {SHAPELESS: 1}, REAL.denied)
    yield go(REAL.reverse, 0, {}, Table.SENT)
    yield drop(REAL.denied, 0, {})
    yield go(Table.COMMIT, 0, {}, Table.SENT)


def shadow_fixed_entries() -> Iterator[TableEntry]:
    """What every VFN that observes has in the shadow tables. A packet is observed once: where it enters the network."""
    yield drop(SHADOW.judge, TRANSIT, {FROM_HERE: 0})
    for fields in _RESOLVING:
        yield drop(SHADOW.judge, RESOLUTION, fields)
    yield go(SHADOW.reverse, _SHAPELESS, {SHAPELESS: 1}, SHADOW.denied)
    for table in (SHADOW.judge, SHADOW.reverse, SHADOW.denied):
        yield drop(table, 0, {})


def _kept_for(acl: Acl, numbers: Numbers) -> Iterator[TableEntry]:
    """A packet whose answers this rule would deny: its connection must be known then."""
    for ends in _reversed_ends(acl, numbers):
        yield go(Table.COMMIT, _NEEDED, ends, Table.KEEP, rules=(acl.rule_id,))


def _judged(acl: Acl, numbers: Numbers, chain: Chain) -> Iterator[Matches]:
    """Packets that a rule decides about; of a restriction those that none of the same VM's has spared."""
    spared = {} if acl.unless is None else {_spared(acl, chain): 0}
    for fields in (*_matches(acl, numbers), *_looking_like_answers(acl, numbers)):
        yield {**fields, **spared}


def _spared(acl: Acl, chain: Chain) -> str:
    """The register in which a restriction notes what it spares."""
    return chain.destination_spared if acl.source.vm is None else chain.source_spared


def _exceptions(acl: Acl, numbers: Numbers, chain: Chain) -> Iterator[TableEntry]:
    """What a restriction leaves to the other rules is noted, and looked up once more."""
    if acl.unless is None:
        return
    register = _spared(acl, chain)
    level = acl.tier + (_SPARES_SOURCE if acl.source.vm is not None else _SPARES_DESTINATION)
    noted = (SetField(register, 1), Resubmit(chain.judge))
    for fields in _sparing(acl, numbers):
        yield TableEntry(chain.judge, level, match({**fields, register: 0}), noted, None, (acl.rule_id,))


def _sparing(acl: Acl, numbers: Numbers) -> Iterator[Matches]:
    """What a restricted VM may send, or get: what its exceptions allow, what answers that, and who has an address."""
    for ends in _named_ends(acl.source, acl.destination, numbers):
        yield from ({**ends, **fields} for fields in _RESOLVING)
    for allow in acl.unless or ():
        same = (allow.source.vm, allow.destination.vm) == (acl.source.vm, acl.destination.vm)
        yield from _ip_matches(allow, numbers) if same else _answering(allow, numbers)


def _matches(acl: Acl, numbers: Numbers) -> Iterator[Matches]:
    """Packets that a rule means: of any kind if it contains, else IP."""
    everything = not acl.services or any(service.protocol is Protocol.ANY for service in acl.services)
    above = acl.tier >= Tier.INTEL
    if everything and above and not acl.source.nets and not acl.destination.nets and not _by_list(acl):
        yield from _named_ends(acl.source, acl.destination, numbers)
        return
    yield from _ip_matches(acl, numbers)
    if above and (everything or acl.verdict is Verdict.ALLOW):
        yield from _resolution(acl, numbers, everything)


def _ip_matches(acl: Acl, numbers: Numbers) -> Iterator[Matches]:
    """IP packets that a rule means."""
    for version in (4, 6):
        for ends in _ip_ends(acl.source, acl.destination, version, numbers):
            yield from ({**ends, **fields} for fields in _traffic(acl, version))


def _looking_like_answers(acl: Acl, numbers: Numbers) -> Iterator[Matches]:
    """What an allow lets through beside what it says: containment below it drops ahead of any connection tracking."""
    if acl.verdict is not Verdict.ALLOW or acl.tier < Tier.INTEL:
        return
    yield from _answering(acl, numbers)
    mirrored = replace(acl, source=acl.destination, destination=acl.source)
    yield from _resolution(mirrored, numbers, everything=False)


def _answering(acl: Acl, numbers: Numbers) -> Iterator[Matches]:
    """IP packets that look like answers to what a rule means."""
    for fields in _answers(acl, numbers):
        yield from ({**fields, **shape} for shape in _shapes(fields))


def _shapes(fields: Matches) -> Iterator[Matches]:
    """What answers look like among IP packets of a kind, as far as a protocol tells."""
    protocol, version = fields.get("ip_proto"), 4 if fields["eth_type"] == IPV4 else 6
    icmp = ICMP[version]
    shapes: list[Matches] = [{"ip_proto": TCP, "tcp_flags": (flag, flag)} for flag in (ACK, RST)]
    shapes += [{"ip_proto": icmp, f"icmpv{version}_type": kind} for kind in ICMP_ANSWERS[version]]
    shapes += [{"ip_proto": UDP}, {"ip_proto": SCTP}]
    return (shape for shape in shapes if protocol in (None, shape["ip_proto"]))


def _reversed(acl: Acl, numbers: Numbers) -> Iterator[Matches]:
    """What a rule says of connections by their answers. A restriction has looked at these themselves."""
    return iter(()) if acl.unless is not None else _answers(acl, numbers)


def _answers(acl: Acl, numbers: Numbers) -> Iterator[Matches]:
    """IP packets that go the other way than those a rule means."""
    for version in (4, 6):
        for ends in _ip_ends(acl.destination, acl.source, version, numbers):
            yield from ({**ends, **fields} for fields in _traffic(acl, version, swapped=True))


def _reversed_ends(acl: Acl, numbers: Numbers) -> Iterator[Matches]:
    """Who sends, and to whom, what the other direction of which a rule means."""
    if acl.source.nets or acl.destination.nets:
        for version in (4, 6):
            yield from _ip_ends(acl.destination, acl.source, version, numbers)
    else:
        yield from _named_ends(acl.destination, acl.source, numbers)


def _by_list(acl: Acl) -> bool:
    return acl.source.list is not None or acl.destination.list is not None


def _named_ends(source: Peer, destination: Peer, numbers: Numbers) -> Iterator[Matches]:
    """Registers of ends that are no addresses."""
    for one, other in product(_registers(source, numbers, source=True), _registers(destination, numbers)):
        yield {**one, **other}


def _ip_ends(source: Peer, destination: Peer, version: int, numbers: Numbers) -> Iterator[Matches]:
    """Ends of IP packets of a version; none if an end has no address of it."""
    kind = {"eth_type": ETHERTYPES[version]}
    sources = _end(source, version, numbers, f"ipv{version}_src", source=True)
    for one, other in product(sources, _end(destination, version, numbers, f"ipv{version}_dst")):
        yield {**kind, **one, **other}


def _end(peer: Peer, version: int, numbers: Numbers, field: str, *, source: bool = False) -> Iterator[Matches]:
    """An end as registers, or as addresses of a version in this field."""
    if not peer.nets:
        return _registers(peer, numbers, source)
    nets = (net for net in peer.nets if net.version == version)
    return (prefix(field, int(net.network_address), net.prefixlen, net.max_prefixlen) for net in nets)


def _registers(peer: Peer, numbers: Numbers, source: bool = False) -> Iterator[Matches]:
    """An end as registers. "Every segment but one" is no match of OpenFlow: one for each of the others."""
    segment = SOURCE_SEGMENT if source else DESTINATION_SEGMENT
    if peer.vm is not None:
        yield {SOURCE_VM if source else DESTINATION: numbers.vm(peer.vm)}
    elif peer.segment is not None:
        yield {segment: numbers.segment(peer.segment)}
    elif peer.not_segment is not None:
        own = numbers.segment(peer.not_segment)
        others = [0, *numbers.segments(), *(() if source else (BROADCAST, NOWHERE))]
        yield from ({segment: number} for number in others if number != own)
    elif peer.list is not None:
        bit = numbers.list_bit(peer.list)
        yield {SOURCE_LISTS if source else DESTINATION_LISTS: (bit, bit)}
    else:
        yield {}


def _traffic(acl: Acl, version: int, *, swapped: bool = False) -> Iterator[Matches]:
    """Protocols and ports of a rule; `swapped`: of the answers."""
    if not acl.services:
        yield {}
    for service in acl.services:
        yield from _service(service, version, swapped)


def _service(service: Service, version: int, swapped: bool) -> Iterator[Matches]:
    if service.protocol is Protocol.ANY:
        yield {}
    elif service.protocol is Protocol.ICMP:
        yield {"ip_proto": ICMP[version]}
    else:
        name = service.protocol.value
        sources, targets = (service.ports, service.source_ports) if swapped else (service.source_ports, service.ports)
        for source, target in product(_ports(f"{name}_src", sources), _ports(f"{name}_dst", targets)):
            yield {"ip_proto": _NUMBERS[service.protocol], **source, **target}


def _ports(name: str, ranges: Iterable[tuple[int, int]]) -> list[Matches]:
    """Ports in any of these ranges; no range: any port."""
    covers = list(dict.fromkeys(part for first, last in ranges for part in cover(first, last)))
    if not covers or any(mask == 0 for _, mask in covers):
        return [{}]
    return [{name: value if mask == 0xFFFF else (value, mask)} for value, mask in covers]


def _resolution(acl: Acl, numbers: Numbers, everything: bool) -> Iterator[Matches]:
    """Who is denied is denied that as well; who may be talked to may be resolved."""
    if _by_list(acl):
        return  # lists are of addresses of IP packets
    askers = _end(acl.source, 4, numbers, "arp_spa", source=True)
    for one, other in product(askers, _end(acl.destination, 4, numbers, "arp_tpa")):
        yield {"eth_type": ARP, **one, **other}
    for ends in () if everything else _ip_ends(acl.source, acl.destination, 6, numbers):
        yield from ({**ends, "ip_proto": ICMPV6, "icmpv6_type": kind} for kind in _KINDS)
    if acl.destination.nets:
        asks = neighbour_message(NEIGHBOUR_SOLICITATION)
        askers = _end(acl.source, 6, numbers, "ipv6_src", source=True)
        for one, other in product(askers, _end(acl.destination, 6, numbers, "nd_target")):
            yield {**asks, **one, **other}
