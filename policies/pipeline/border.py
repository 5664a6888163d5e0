"""Table BORDER: what comes in from outside. Nobody there is a VM: not by MAC, not by address, not by claiming one.

Claims are the same at every VFN with an outside port, and whichever port it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from policies.entries import TableEntry
from policies.pipeline.tables import (
    ARP,
    IPV4,
    IPV6,
    NEIGHBOUR_ADVERTISEMENT,
    NEIGHBOUR_SOLICITATION,
    Matches,
    Table,
    drop,
    go,
    neighbour_message,
)
from topology.addresses import addresses_of, mac_number
from topology.model import Vm

_CLAIM = 1000


def honest() -> TableEntry:
    """What claims to be no VM goes on."""
    return go(Table.BORDER, 0, {}, Table.TAP)


def claims_of(vm: Vm) -> Iterator[TableEntry]:
    """Drops of what claims to be this VM, or answers for it."""
    return (drop(Table.BORDER, _CLAIM, fields) for fields in _claims(vm))


def _claims(vm: Vm) -> Iterator[Matches]:
    yield {"eth_src": mac_number(vm.mac)}
    for address in addresses_of(vm):
        number = int(address)
        if isinstance(address, IPv4Address):
            yield {"eth_type": IPV4, "ipv4_src": number}
            yield {"eth_type": ARP, "arp_spa": number}
            yield {"eth_type": ARP, "arp_spa": 0, "arp_tpa": number}
        else:
            yield {"eth_type": IPV6, "ipv6_src": number}
            yield {**neighbour_message(NEIGHBOUR_ADVERTISEMENT), "nd_target": number}
            yield {**neighbour_message(NEIGHBOUR_SOLICITATION), "ipv6_src": 0, "nd_target": number}
