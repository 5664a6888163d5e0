"""Names as register values. They follow from the inventory and the policy alone, so a restart changes none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from topology.model import OUTSIDE, Inventory


@dataclass(frozen=True)
class Registers:
    """The `policies.pipeline.judgement.Numbers` of a network."""

    inventory: Inventory
    lists: tuple[str, ...]
    """Names of the address lists, in the policy's order."""

    def segment(self, name: str) -> int:
        """Of a segment, `outside` included."""
        return 0 if name == OUTSIDE else self.inventory.segments[name].number

    def segments(self) -> Iterable[int]:
        """Of all segments but `outside`."""
        return (segment.number for segment in self.inventory.segments.values())

    def vm(self, name: str) -> int:
        """Of a VM."""
        return self.inventory.vms[name].number

    def list_bit(self, name: str) -> int:
        """The bit of an address list, as a number with just that bit set."""
        return self._bits[name]

    @cached_property
    def _bits(self) -> Mapping[str, int]:
        return {name: 1 << position for position, name in enumerate(self.lists)}
