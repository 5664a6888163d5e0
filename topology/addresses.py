"""Addresses: who owns one, and which one a MAC owns by itself."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from topology.model import Address, Inventory, Vm

_FE80 = 0xFE80 << 112
_BROADCAST = IPv4Address("255.255.255.255")


def mac_number(mac: str) -> int:
    """A MAC as a 48-bit number."""
    return int(mac.replace(":", ""), 16)


def link_local(mac: str) -> IPv6Address:
    """The IPv6 link-local address that a MAC gives by modified EUI-64 (RFC 4291, appendix A)."""
    number = mac_number(mac) ^ (0x02 << 40)
    high, low = number >> 24, number & 0xFFFFFF
    return IPv6Address(_FE80 | high << 40 | 0xFFFE << 24 | low)


def single(address: Address) -> bool:
    """Can it be one host's on a network: not a group's, nobody's, or with a meaning on one machine only?"""
    if isinstance(address, IPv6Address) and (address.scope_id or address.ipv4_mapped):
        return False
    return not (address.is_multicast or address.is_unspecified or address.is_loopback or address == _BROADCAST)


def addresses_of(vm: Vm) -> tuple[Address, ...]:
    """Everything that a VM may call itself: its addresses and its link-local address."""
    own = link_local(vm.mac)
    return vm.addresses if own in vm.addresses else (*vm.addresses, own)


def owner(inventory: Inventory, address: Address) -> Vm | None:
    """The VM that an address belongs to; None: the address lies outside."""
    found = inventory.vm_by_address.get(address)
    if found is None and isinstance(address, IPv6Address) and address.is_link_local:
        return next((vm for vm in inventory.vms.values() if link_local(vm.mac) == address), None)
    return found
