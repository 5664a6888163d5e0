"""One VFN as the compiler sees it: the inventory around it, and which of its ports are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from topology.graph import broadcast_ports, next_hops
from topology.model import Inventory, OutsidePort, Vm


@dataclass(frozen=True)
class Place:
    """A VFN and the OpenFlow numbers of its ports."""

    inventory: Inventory
    vfn: str
    ports: Mapping[str, int]
    """OpenFlow port number by interface name; what is absent here gets no entries."""

    @cached_property
    def vms(self) -> Mapping[str, int]:
        """Port number of each own VM whose port is there, by the VM's name."""
        ends = self.inventory.vms.values()
        return {vm.name: self.ports[vm.port] for vm in ends if vm.vfn == self.vfn and vm.port in self.ports}

    @cached_property
    def outside(self) -> Mapping[str, int]:
        """Port number of each own outside port that is there, by its name."""
        ends = self.inventory.outside.values()
        return {end.name: self.ports[end.port] for end in ends if end.vfn == self.vfn and end.port in self.ports}

    @cached_property
    def links(self) -> tuple[int, ...]:
        """Port numbers of the cables to other VFNs."""
        return self._present(_link_ports(self.inventory, self.vfn))

    @cached_property
    def tree(self) -> tuple[int, ...]:
        """Port numbers of the cables that carry broadcasts."""
        return self._present(broadcast_ports(self.inventory, self.vfn))

    @cached_property
    def hops(self) -> Mapping[str, int]:
        """Port number that leads to each other VFN, by that VFN's name."""
        hops = next_hops(self.inventory, self.vfn)
        return {name: self.ports[port] for name, port in hops.items() if port in self.ports}

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Interface names of the inventory that this VFN does not have (yet)."""
        ends: list[Vm | OutsidePort] = [*self.inventory.vms.values(), *self.inventory.outside.values()]
        named = [*_link_ports(self.inventory, self.vfn), *(end.port for end in ends if end.vfn == self.vfn)]
        return tuple(name for name in named if name not in self.ports)

    def _present(self, names: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(self.ports[name] for name in names if name in self.ports)


def _link_ports(inventory: Inventory, vfn: str) -> tuple[str, ...]:
    def names() -> Iterator[str]:
        for link in inventory.links:
            if link.a == vfn:
                yield link.a_port
            if link.b == vfn:
                yield link.b_port

    return tuple(names())
