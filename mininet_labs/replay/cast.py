"""Who plays whom: the hosts of a capture, and the lab's endpoints that send in their place. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from topology.model import Inventory

Address = IPv4Address | IPv6Address
Net = IPv4Network | IPv6Network

PRIVATE: tuple[Net, ...] = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
"""Where the capture's own machines are, unless it is said otherwise (RFC 1918, RFC 4193)."""
_STRANGERS: tuple[Net, ...] = tuple(
    ip_network(text) for text in ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "2001:db8:ffff::/112")
)
"""Addresses that hosts outside are given: documentation addresses (RFC 5737, RFC 3849)."""


@dataclass(frozen=True)
class Role:
    """What a host of the capture is in the lab."""

    endpoint: str
    """Name of the VM or outside port that its packets come from."""
    mac: str
    address: Address


def cast(packets: Mapping[Address, int], inventory: Inventory, inside: Sequence[Net] = PRIVATE) -> dict[Address, Role]:
    """A role for each host that there is one for.

    Hosts inside become VMs, the busiest first; hosts outside share the last outside port of the lab, each with an
    address of its own. Who finds no VM or address any more has no role.

    Args:
        packets: how many each host sent and got.
        inventory: the lab's.
        inside: networks of the capture's own machines.
    """
    busiest = [host for host, _ in Counter(packets).most_common() if not is_group(host)]
    own = [host for host in busiest if _is_in(host, inside)]
    roles = {}
    for version in (4, 6):
        vms = ((vm, a) for vm in inventory.vms.values() for a in vm.addresses if a.version == version)
        for host, (vm, address) in zip((host for host in own if host.version == version), vms, strict=False):
            roles[host] = Role(vm.name, vm.mac, address)
    if not inventory.outside:
        return roles
    gate = list(inventory.outside.values())[-1]
    taken = {address for port in inventory.outside.values() for address in port.addresses}
    free = {version: _free(version, taken) for version in (4, 6)}
    for host in busiest:
        if not _is_in(host, inside) and (given := next(free[host.version], None)) is not None:
            roles[host] = Role(gate.name, gate.mac, given)
    return roles


def is_group(address: Address) -> bool:
    """Is it nobody's own: multicast, broadcast, unspecified, loopback, link-local?"""
    everybody = isinstance(address, IPv4Address) and int(address) == 0xFFFFFFFF
    return everybody or address.is_multicast or address.is_unspecified or address.is_loopback or address.is_link_local


def _is_in(host: Address, nets: Iterable[Net]) -> bool:
    return any(host in net for net in nets)


def _free(version: int, taken: set[Address]) -> Iterator[Address]:
    return (a for net in _STRANGERS if net.version == version for a in net.hosts() if a not in taken)
