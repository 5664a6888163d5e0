"""Table 6: firewall rules by tier, then the segments' defaults. Judged where a packet enters or leaves the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policies.entries import TableEntry
from policies.pipeline.tables import (
    ACK,
    ARP,
    BROADCAST,
    DESTINATION,
    DESTINATION_SEGMENT,
    FROM_HERE,
    ICMP,
    ICMPV6,
    IPV4,
    IPV6,
    NEIGHBOUR_ADVERTISEMENT,
    NEIGHBOUR_SOLICITATION,
    ROUTER_ADVERTISEMENT,
    RST,
    SOURCE_VM,
    TCP,
    TO_HERE,
    UDP,
    Matches,
    Table,
    drop,
    go,
    neighbour_message,
)
from policies.rules import FirewallRule, Network, Protocol, Verdict
from topology.model import Inventory

_TRANSIT = 65_000
_RESOLUTION = 2
_DEFAULT_DENY = 1

_ICMP_ANSWERS = {4: (0, 3, 11, 12, 14), 6: (1, 2, 3, 4, 129)}
"""Echo and timestamp replies and errors (RFC 792, RFC 4443), by IP version."""

_ROUTING_ICMPV6 = (ROUTER_ADVERTISEMENT, NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT)
_RESOLVING: tuple[Matches, ...] = (
    {"eth_type": ARP},
    *({"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": kind} for kind in _ROUTING_ICMPV6),
)
"""Without these no allowed packet would find its way."""


def enforcement(inventory: Inventory, rules: Iterable[FirewallRule]) -> Iterator[TableEntry]:
    """The whole table."""
    yield go(Table.ENFORCEMENT, _TRANSIT, {FROM_HERE: 0, TO_HERE: 0}, Table.FORWARD)
    yield from judgements(inventory, rules)
    for segment in inventory.segments.values():
        if segment.default == "deny":
            here = {DESTINATION_SEGMENT: segment.number, TO_HERE: 1}
            for fields in _RESOLVING:
                yield go(Table.ENFORCEMENT, _RESOLUTION, {**here, **fields}, Table.COMMIT)
            yield drop(Table.ENFORCEMENT, _DEFAULT_DENY, here)
    yield go(Table.ENFORCEMENT, 0, {}, Table.COMMIT)


def judgements(inventory: Inventory, rules: Iterable[FirewallRule]) -> Iterator[TableEntry]:
    """The entries of firewall rules. Within a tier the longer prefix decides, and at equal length the drop."""
    for rule in rules:
        if rule.cut_port_of is not None:
            continue  # that is the guard's
        priority = rule.tier + 2 * _prefix_length(rule) + (rule.verdict is Verdict.DROP)
        for ends in _ends(inventory, rule):
            for fields in _traffic(rule):
                if rule.verdict is Verdict.DROP:
                    yield drop(Table.ENFORCEMENT, priority, {**ends, **fields}, (rule.rule_id,))
                else:
                    to = Table.COMMIT
                    yield go(Table.ENFORCEMENT, priority, {**ends, **fields}, to, rules=(rule.rule_id,))


def _prefix_length(rule: FirewallRule) -> int:
    net = rule.source_net or rule.destination_net
    return 0 if net is None else net.prefixlen


def _ends(inventory: Inventory, rule: FirewallRule) -> Iterator[dict[str, int]]:
    """The registers that a rule's VMs and segments mean."""
    ends: dict[str, int] = {}
    if rule.source_vm is not None:
        ends[SOURCE_VM] = inventory.vms[rule.source_vm].number
    if rule.destination_vm is not None:
        ends[DESTINATION] = inventory.vms[rule.destination_vm].number
    if rule.not_destination_segment is None:
        yield ends
        return
    own = inventory.segments[rule.not_destination_segment].number
    # "Any but one" is no match of OpenFlow, and an entry for the one could not leave the judgement to lower tiers.
    numbers = [0, BROADCAST, *(segment.number for segment in inventory.segments.values())]
    yield from ({**ends, DESTINATION_SEGMENT: number} for number in numbers if number != own)


def _traffic(rule: FirewallRule) -> Iterator[Matches]:
    """The addresses, protocols and ports of a rule, one match for each combination that OpenFlow tells apart."""
    net = rule.source_net or rule.destination_net
    if net is None and rule.protocol is Protocol.ANY and not rule.reply:
        yield {}
        return
    for version in (4, 6) if net is None else (net.version,):
        kind = IPV4 if version == 4 else IPV6
        side = "src" if rule.source_net else "dst"
        address = {} if net is None else _prefix(f"ipv{version}_{side}", net)
        for fields in _protocol(rule, version):
            yield {"eth_type": kind, **address, **fields}
        if net is not None:
            yield from _resolution(rule, net, address)


def _resolution(rule: FirewallRule, net: Network, address: Matches) -> Iterator[Matches]:
    """Who is allowed to be talked to may be resolved; who is denied is denied that as well."""
    if net.version == 4:
        yield {"eth_type": ARP, **_prefix("arp_spa" if rule.source_net else "arp_tpa", net)}
        return
    if rule.verdict is Verdict.ALLOW:
        for kind in (NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT):
            yield {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": kind, **address}
    if rule.destination_net is not None:
        yield {**neighbour_message(NEIGHBOUR_SOLICITATION), **_prefix("nd_target", net)}


def _protocol(rule: FirewallRule, version: int) -> Iterator[Matches]:
    wanted = rule.protocol
    if wanted is Protocol.ANY and not rule.reply:
        yield {}
        return
    if wanted in (Protocol.TCP, Protocol.ANY):
        tcp: dict[str, int | tuple[int, int]] = {"ip_proto": TCP, **_ports("tcp", rule)}
        if rule.reply:
            yield from ({**tcp, "tcp_flags": (flag, flag)} for flag in (ACK, RST))
        else:
            yield tcp
    if wanted in (Protocol.UDP, Protocol.ANY):
        yield {"ip_proto": UDP, **_ports("udp", rule)}
    if wanted in (Protocol.ICMP, Protocol.ANY):
        icmp = {"ip_proto": ICMP[version]}
        if rule.reply:
            yield from ({**icmp, f"icmpv{version}_type": kind} for kind in _ICMP_ANSWERS[version])
        else:
            yield icmp


def _ports(protocol: str, rule: FirewallRule) -> dict[str, int]:
    ports = {f"{protocol}_src": rule.source_port, f"{protocol}_dst": rule.destination_port}
    return {name: port for name, port in ports.items() if port is not None}


def _prefix(name: str, net: Network) -> dict[str, int | tuple[int, int]]:
    """A match of a network: exact for one address, nothing for all of them."""
    value, mask = int(net.network_address), int(net.netmask)
    if net.prefixlen == 0:
        return {}
    return {name: value if net.num_addresses == 1 else (value, mask)}
