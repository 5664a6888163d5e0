"""Table GUARD: who may come in. A VM speaks only as itself, a cut VM not at all.

Neighbour discovery as Open vSwitch sees it: the link-layer fields of a message without that option are zero, and all
of its fields are zero when the message has an option twice. So "no option" is matched as zero, and a zero target,
which no honest message has, is dropped first. In fragments it shows no ICMPv6 type; hosts refuse neighbour discovery in
fragments (RFC 6980), and here all fragmented ICMPv6 of VMs is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from policies.entries import TableEntry
from policies.pipeline.place import Place
from policies.pipeline.sixes import REPORTED
from policies.pipeline.tables import (
    ARP,
    ICMPV6,
    IPV4,
    IPV6,
    MLD_QUERY,
    NEIGHBOUR_ADVERTISEMENT,
    NEIGHBOUR_SOLICITATION,
    REDIRECT,
    ROUTER_ADVERTISEMENT,
    ROUTER_SOLICITATION,
    UDP,
    Matches,
    Table,
    drop,
    go,
    match,
    neighbour_message,
)
from topology.addresses import addresses_of, mac_number
from topology.model import Vm

_CUT = 60_000
_MALFORMED = 1400
_TRUSTED = 1300
_CHECKED = 1200
_UNCHECKED = 1100
_OWN = 1000

_VLAN_PRESENT = (0x1000, 0x1000)
_DHCP_CLIENT, _DHCP_SERVER = 68, 67
_EVERYBODY = 0xFFFFFFFF
_ALL_ROUTERS = int(IPv6Address("ff02::2"))
_CHECKED_KINDS = (NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT)
_ROUTERS_KINDS = (MLD_QUERY, ROUTER_ADVERTISEMENT, REDIRECT)
"""What only routers say."""
_FRAGMENTED = 0
"""The ICMPv6 type that Open vSwitch reads in any fragment; no message has it."""


def checks(place: Place, judged_from: Table) -> Iterator[TableEntry]:
    """What the table holds besides own VMs. What comes by cable has been checked by the VFN where it came in.

    Args:
        judged_from: table where packets of other VFNs go on.
    """
    yield drop(Table.GUARD, _MALFORMED, {"vlan_vid": _VLAN_PRESENT})
    for kind in _CHECKED_KINDS:
        yield drop(Table.GUARD, _MALFORMED, {**neighbour_message(kind), "nd_target": 0})
    for port in place.gates:
        yield go(Table.GUARD, _TRUSTED, {"in_port": port}, Table.BORDER)
    for port in place.links:
        yield go(Table.GUARD, _TRUSTED, {"in_port": port}, judged_from)
    yield from _router_talk()
    yield drop(Table.GUARD, 0, {})


def _router_talk() -> Iterator[TableEntry]:
    """What `_own_ipv6` would let through and must not: unchecked neighbour discovery, and acting as a router.

    A fragment could hide either (RFC 7113), so fragmented ICMPv6 is dropped too, large pings with it. What hides behind
    headers that fill the first fragment cannot be told; hosts ignore it (RFC 6980).
    """
    for kind in (*_CHECKED_KINDS, *_ROUTERS_KINDS, _FRAGMENTED):
        yield drop(Table.GUARD, _UNCHECKED, {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": kind})


def from_vm(vm: Vm, port: int) -> Iterator[TableEntry]:
    """What an own VM may send."""
    own = {"in_port": port, "eth_src": mac_number(vm.mac)}
    for fields in (*_own_arp(vm), *_own_ipv4(vm)):
        yield go(Table.GUARD, _OWN, {**own, **fields}, Table.TAP)
    for fields in _own_ipv6(vm):
        yield TableEntry(Table.GUARD, _OWN, match({**own, **fields}), REPORTED, Table.TAP)
    for fields in _own_neighbour_discovery(vm):
        yield go(Table.GUARD, _CHECKED, {**own, **fields}, Table.TAP)


def cut(vm: Vm, port: int | None, rules: tuple[str, ...]) -> Iterator[TableEntry]:
    """Drops of everything from the port, if it is there, and to the MAC of an isolated VM.

    Args:
        rules: ids of the rules that isolate it.
    """
    if port is not None:
        yield drop(Table.GUARD, _CUT, {"in_port": port}, rules)
    yield drop(Table.GUARD, _CUT, {"eth_dst": mac_number(vm.mac)}, rules)


def _own_arp(vm: Vm) -> Iterator[Matches]:
    """ARP in its own name, and probes (RFC 5227) for its own addresses."""
    base = {"eth_type": ARP, "arp_sha": mac_number(vm.mac)}
    for address in vm.addresses:
        if isinstance(address, IPv4Address):
            yield {**base, "arp_spa": int(address)}
            yield {**base, "arp_spa": 0, "arp_op": 1, "arp_tpa": int(address)}


def _own_ipv4(vm: Vm) -> Iterator[Matches]:
    """IPv4 in its own name, and asking a DHCP server for one."""
    for address in vm.addresses:
        if isinstance(address, IPv4Address):
            yield {"eth_type": IPV4, "ipv4_src": int(address)}
    yield {
        "eth_type": IPV4,
        "ipv4_src": 0,
        "ipv4_dst": _EVERYBODY,
        "ip_proto": UDP,
        "udp_src": _DHCP_CLIENT,
        "udp_dst": _DHCP_SERVER,
    }


def _ipv6_of(vm: Vm) -> tuple[int, ...]:
    return tuple(int(address) for address in addresses_of(vm) if isinstance(address, IPv6Address))


def _own_ipv6(vm: Vm) -> Iterator[Matches]:
    """IPv6 in its own name (MLD reports with it), and asking for routers before it has one."""
    for address in _ipv6_of(vm):
        yield {"eth_type": IPV6, "ipv6_src": address}
    solicitation = {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": ROUTER_SOLICITATION, "icmpv6_code": 0}
    yield {**solicitation, "ipv6_src": 0, "ipv6_dst": _ALL_ROUTERS}


def _own_neighbour_discovery(vm: Vm) -> Iterator[Matches]:
    """Solicitations and advertisements whose sender, target and link-layer option are all its own."""
    mac, own = mac_number(vm.mac), _ipv6_of(vm)
    solicitation = neighbour_message(NEIGHBOUR_SOLICITATION)
    advertisement = neighbour_message(NEIGHBOUR_ADVERTISEMENT)
    for address in own:
        for option in (mac, 0):
            yield {**solicitation, "ipv6_src": address, "nd_sll": option}
            for target in own:
                yield {**advertisement, "ipv6_src": address, "nd_target": target, "nd_tll": option}
        # Duplicate address detection (RFC 4862): no sender yet, hence no option.
        yield {**solicitation, "ipv6_src": 0, "nd_target": address, "nd_sll": 0}
