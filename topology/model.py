"""The network as values: segments, VFNs, links, VMs. An `Inventory` is complete, checked and immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

Address = IPv4Address | IPv6Address
Default = Literal["allow", "deny"]

OUTSIDE = "outside"
"""The segment of everything that the inventory does not name. Its number is 0."""


@dataclass(frozen=True)
class Segment:
    """A named group of VMs."""

    name: str
    number: int
    """1.. in the inventory's order; 0 is `OUTSIDE`. The value of the segment registers."""
    default: Default = "allow"
    """What happens to traffic towards its VMs that no rule decides."""
    outward: Default = "allow"
    """What happens to traffic of its VMs that no rule decides."""
    stateless: bool = False
    """Are answers to connections towards its VMs known by what they look like, instead of by connection tracking?"""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    """Of all its VMs that do not say otherwise; a policy selects by them."""


@dataclass(frozen=True)
class Vfn:
    """An Open vSwitch bridge."""

    name: str
    number: int
    """0.. in the inventory's order. NetFlow's engine type and id (high and low byte)."""
    dpid: int
    bridge: str


@dataclass(frozen=True)
class Link:
    """A cable between two VFNs, by interface names."""

    a: str
    a_port: str
    b: str
    b_port: str


@dataclass(frozen=True)
class Vm:
    """An endpoint on a port of a VFN."""

    name: str
    number: int
    """1.. in the inventory's order; 0 means no VM. The value of the VM registers."""
    segment: str
    vfn: str
    port: str
    """Interface name at the VFN (the OVSDB interface's name or its `external_ids:iface-id`)."""
    mac: str
    """Lower case, colons."""
    addresses: tuple[Address, ...]
    protected: bool = False
    """No rule takes anything from it, but for a person's limit of its rate: gateways, DNS, controllers."""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    """Its segment's, with its own over them. Not in its `repr`: no model depends on them."""
    inspection: bool = field(default=False, repr=False)
    """May other VMs' traffic be steered to it, to be looked at or answered in their peers' name?"""
    remediation: bool = field(default=False, repr=False)
    """May a restricted VM go on talking to it, whoever its peers are: DNS, updates, somebody who repairs it?"""


@dataclass(frozen=True)
class OutsidePort:
    """A port behind which the outside lies: any address that is no VM's may come in here."""

    name: str
    vfn: str
    port: str
    mac: str
    addresses: tuple[Address, ...] = ()
    """Addresses known to live right at this port (documentation hosts of a lab, a router's own)."""


@dataclass(frozen=True)
class Inventory:
    """The whole network, checked by `topology.inventory.load`."""

    segments: Mapping[str, Segment]
    vfns: Mapping[str, Vfn]
    links: tuple[Link, ...]
    vms: Mapping[str, Vm]
    outside: Mapping[str, OutsidePort] = field(default_factory=dict)

    @cached_property
    def vm_by_address(self) -> Mapping[Address, Vm]:
        """The VM that owns an address."""
        return {address: vm for vm in self.vms.values() for address in vm.addresses}

    @cached_property
    def vfn_by_dpid(self) -> Mapping[int, Vfn]:
        """The VFN with a datapath id."""
        return {vfn.dpid: vfn for vfn in self.vfns.values()}

    @cached_property
    def vm_by_number(self) -> Mapping[int, Vm]:
        """The VM with a register value."""
        return {vm.number: vm for vm in self.vms.values()}

    @cached_property
    def segment_numbers(self) -> tuple[int, ...]:
        """Register values of segments by that of their VMs; the first is the outside's."""
        numbers = range(max(self.vm_by_number, default=0) + 1)
        return tuple(self.segment_number(self.vm_by_number.get(number)) for number in numbers)

    def segment_number(self, vm: Vm | None) -> int:
        """Register value of a VM's segment, 0 for the outside."""
        return 0 if vm is None else self.segments[vm.segment].number
