"""The packet that somebody asks about: as the network carries it, as a switch is told of it, as the rules see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from policies.pipeline.tables import ETHERTYPES
from policies.reference import ICMP, SCTP, TCP, UDP
from policies.reference import Packet as RulesPacket
from policies.requests import ExplainParams
from policies.rules import Protocol
from runtime.errors import PolicyError
from topology.addresses import addresses_of, mac_number, owner, single
from topology.graph import Ways
from topology.model import Address, Inventory, OutsidePort, Vm
from topology.names import nearest

_SYN, _ANSWERING = 0x02, 0x18
"""TCP flags of a packet that opens a connection, and of one in its middle (ACK, PSH)."""
_ECHO = {4: (8, 0), 6: (128, 129)}
"""ICMP types of a request and its reply by IP version."""
_NUMBERS = {Protocol.TCP: TCP, Protocol.UDP: UDP, Protocol.SCTP: SCTP}


@dataclass(frozen=True)
class End:
    """One end of the packet's way."""

    place: Vm | OutsidePort
    address: Address

    @property
    def vm(self) -> str | None:
        """Name of the VM; None: it lies outside."""
        return self.place.name if isinstance(self.place, Vm) else None


@dataclass(frozen=True)
class Visit:
    """A VFN that judges the packet."""

    vfn: str
    port: str
    """Interface by which the packet comes in."""
    enters: bool
    """Is it where the packet enters the network? Else it is where it leaves."""


@dataclass(frozen=True)
class Question:
    """One packet."""

    source: End
    destination: End
    protocol: Protocol
    source_port: int
    port: int
    answer: bool
    """Does it come from the other end of a connection that stands already?"""

    @property
    def version(self) -> int:
        """Of IP."""
        return self.source.address.version

    def forged(self, inventory: Inventory) -> bool:
        """Does its sender use an address that is not its own, or, from outside, a VM's?"""
        place = self.source.place
        if isinstance(place, Vm):
            return self.source.address not in addresses_of(place)
        return owner(inventory, self.source.address) is not None

    def packet_json(self) -> dict[str, Any]:
        """As people read it."""
        ends = {
            "source": f"{self.source.place.name} {self.source.address}",
            "destination": f"{self.destination.place.name} {self.destination.address}",
            "protocol": self.protocol,
        }
        ports = {} if self.protocol is Protocol.ICMP else {"source_port": self.source_port, "port": self.port}
        return {**ends, **ports, "answer": self.answer}

    def packet(self) -> RulesPacket:
        """As the reference takes it."""
        number = _NUMBERS.get(self.protocol, ICMP[self.version])
        flags = (_ANSWERING if self.answer else _SYN) if number == TCP else 0
        kind = _ECHO[self.version][self.answer] if self.protocol is Protocol.ICMP else None
        ends = (self.source.vm, self.destination.vm, self.source.address, self.destination.address)
        return RulesPacket(*ends, number, self.source_port, self.port, flags, kind)

    def fields(self) -> dict[str, int]:
        """As `policies.simulate` takes it, without `in_port`."""
        packet, version = self.packet(), self.version
        fields = {
            "eth_src": mac_number(self.source.place.mac),
            "eth_dst": mac_number(self.destination.place.mac),
            "eth_type": ETHERTYPES[version],
            f"ipv{version}_src": int(self.source.address),
            f"ipv{version}_dst": int(self.destination.address),
            "ip_proto": packet.protocol or 0,
        }
        if packet.icmp_type is not None:
            return {**fields, f"icmpv{version}_type": packet.icmp_type, f"icmpv{version}_code": 0}
        fields |= {f"{self.protocol}_src": self.source_port, f"{self.protocol}_dst": self.port}
        return {**fields, "tcp_flags": packet.tcp_flags} if self.protocol is Protocol.TCP else fields

    def flow(self, in_port: int) -> str:
        """As ovs-fields(7) writes it, for `ofproto/trace`."""
        packet, six = self.packet(), self.version == 6
        word = "ipv6" if six else "nw"
        parts = [
            f"{self.protocol}{'6' if six else ''}",
            f"in_port={in_port},dl_src={self.source.place.mac},dl_dst={self.destination.place.mac}",
            f"{word}_src={self.source.address},{word}_dst={self.destination.address},nw_ttl=64",
        ]
        if packet.icmp_type is not None:
            kind = "icmpv6" if six else "icmp"
            parts.append(f"{kind}_type={packet.icmp_type},{kind}_code=0")
        else:
            parts.append(f"{self.protocol}_src={self.source_port},{self.protocol}_dst={self.port}")
        if self.protocol is Protocol.TCP:
            parts.append(f"tcp_flags={packet.tcp_flags}")
        return ",".join(parts)

    def visits(self, inventory: Inventory) -> tuple[Visit, ...]:
        """The VFNs that judge it: where it enters the network, and where it leaves. Those between only forward."""
        first, last = self.source.place.vfn, self.destination.place.vfn
        enters = Visit(first, self.source.place.port, enters=True)
        if first == last:
            return (enters,)
        return enters, Visit(last, Ways(inventory).hops(last)[first], enters=False)


def ask(params: ExplainParams, inventory: Inventory) -> Question:
    """The packet that is meant.

    Raises:
        PolicyError: an end is nowhere, is no single host or is the other one, or they have no address family in common.
    """
    source_names, destination_names = (_named(inventory, name) for name in (params.source, params.destination))
    forged = None if params.source_address is None else _address("source_address", params.source_address)
    pair = next(
        (
            (one, other)
            for one in ((forged,) if forged is not None else source_names[1])
            for other in destination_names[1]
            if one.version == other.version
        ),
        None,
    )
    if pair is None:
        message = f"{params.source} and {params.destination} have no address family in common"
        raise PolicyError(message, key="destination", remedy="ask about addresses of the same family")
    source, destination = (
        End(place or _outside(inventory, address), address)
        for (place, _), address in zip((source_names, destination_names), pair, strict=True)
    )
    if source.place is destination.place and source.vm is not None:
        raise PolicyError(
            f"{source.vm} talks to itself", key="destination", remedy="no VFN sees that: ask about another"
        )
    has_ports = params.protocol is not Protocol.ICMP
    return Question(
        source,
        destination,
        params.protocol,
        params.source_port if has_ports else 0,
        params.port if has_ports else 0,
        params.answer,
    )


def _named(inventory: Inventory, name: str) -> tuple[Vm | None, tuple[Address, ...]]:
    """A VM and its addresses, or (None, an address outside)."""
    if name in inventory.vms:
        return inventory.vms[name], inventory.vms[name].addresses
    try:
        address = ip_address(name)
    except ValueError:
        remedy = nearest(name, inventory.vms)
        raise PolicyError(f"{name!r} is neither a VM nor an address", remedy=remedy) from None
    if not single(address):
        raise PolicyError(
            f"{name} is not the address of one host", remedy="ask about one that a packet goes to or from"
        )
    return owner(inventory, address), (address,)


def _address(key: str, text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise PolicyError(f"{text!r} is no address", key=key, remedy="write one, like 192.0.2.7") from None


def _outside(inventory: Inventory, address: Address) -> OutsidePort:
    """The port behind which an address is looked for: where it is known to be, else the first."""
    ports: Mapping[str, OutsidePort] = inventory.outside
    known = (port for port in ports.values() if address in port.addresses)
    found = next(known, next(iter(ports.values()), None))
    if found is None:
        raise PolicyError(f"{address} is outside, and no port leads there", remedy="add one to `outside`")
    return found
