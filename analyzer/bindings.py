"""Who claims to be at which address (ARP), and who is given which (DHCP), against the inventory.

What differs is put on record. It never moves a VM: what a port may be is for the inventory to say.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

import dpkt

from analyzer.packets import Claim
from topology.model import Inventory, Vm

_BAD = (dpkt.Error, struct.error, IndexError, ValueError, KeyError, TypeError, AttributeError)
_ACKNOWLEDGES = 5
"""DHCPACK (RFC 2132 9.6)."""
_ETHERNET = 6


class Bindings:
    """Judges what is claimed by what the inventory says."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._by_mac = {vm.mac: vm for vm in inventory.vms.values()}

    def forged(self, claim: Claim, sender: Vm) -> str | None:
        """What a VM claims of itself in ARP, if it is not what the inventory says; the guard has dropped it."""
        other = self._inventory.vm_by_address.get(claim.address)
        if other is sender and claim.mac == sender.mac:
            return None
        whose = "nobody here" if other is None else other.name
        return f"claims by ARP to be {claim.address} (of {whose}) at {claim.mac}; the guard dropped it"

    def given(self, payload: bytes) -> tuple[Vm, str] | None:
        """Whom a DHCP server has just given an address that is not its own by the inventory.

        Raises:
            ValueError: it is no DHCP message.
        """
        try:
            message = dpkt.dhcp.DHCP(payload)
            kind = dict(message.opts).get(dpkt.dhcp.DHCP_OPT_MSGTYPE, b"")
            address, mac = IPv4Address(message.yiaddr), bytes(message.chaddr[:_ETHERNET]).hex(":")
        except _BAD as error:
            raise ValueError(type(error).__name__) from None
        vm = self._by_mac.get(mac)
        if kind != bytes((_ACKNOWLEDGES,)) or vm is None or not int(address) or address in vm.addresses:
            return None
        return vm, f"was given {address} by DHCP, which the inventory does not have for it"
