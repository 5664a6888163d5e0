"""One VFN as the compiler sees it: what of it is there, and where its cables lead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from topology.graph import Ways
from topology.model import OutsidePort, Vm


@dataclass(frozen=True)
class Place:
    """A VFN, its ends, and the OpenFlow numbers of its ports."""

    vfn: str
    vms: tuple[Vm, ...]
    """Own VMs, whether their ports are there or not."""
    outside: tuple[OutsidePort, ...]
    """Own outside ports, the same."""
    ports: Mapping[str, int]
    """OpenFlow port number by interface name; what is absent here gets no entries."""
    ways: Ways

    @cached_property
    def gates(self) -> tuple[int, ...]:
        """Port numbers of the outside ports."""
        return self._present(end.port for end in self.outside)

    @cached_property
    def links(self) -> tuple[int, ...]:
        """Port numbers of the cables to other VFNs."""
        return self._present(self.ways.links[self.vfn])

    @cached_property
    def tree(self) -> tuple[int, ...]:
        """Port numbers of the cables that carry broadcasts."""
        return self._present(self.ways.tree[self.vfn])

    @cached_property
    def outward(self) -> tuple[int, ...]:
        """Those of them behind which there are outside ports of other VFNs."""
        return self._present(self.ways.outward[self.vfn])

    @cached_property
    def hops(self) -> Mapping[str, int | None]:
        """Port number that leads to each other VFN, by that VFN's name; None: the cable's port is not there."""
        return {name: self.ports.get(port) for name, port in self.ways.hops(self.vfn).items()}

    def _present(self, names: Iterable[str]) -> tuple[int, ...]:
        return tuple(self.ports[name] for name in names if name in self.ports)
