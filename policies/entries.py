"""OpenFlow-neutral table entries: what the engine compiles and the wire encoder turns into bytes.

Field names are OpenFlow's OXM names as Ryu spells them (`in_port`, `eth_type`, `ipv4_src`, `arp_spa`, `nd_target`,
`tcp_dst`, `tcp_flags`) plus Nicira's registers `reg0`..`reg15` and `ct_state`. Values are plain integers, addresses
too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

OWNER = 0xD75E
"""Owner tag of dynseg, the upper 16 bits of every cookie of its own."""
OWNER_SHIFT = 48


class Field(NamedTuple):
    """One match field; `mask` None: exact. A tuple, because there are many and they are compared and sorted much."""

    name: str
    value: int
    mask: int | None = None


@dataclass(frozen=True)
class SetField:
    """Write a constant into a field or register."""

    name: str
    value: int


@dataclass(frozen=True)
class Output:
    """Send to an OpenFlow port number."""

    port: int


@dataclass(frozen=True)
class ToController:
    """Copy the first `max_len` bytes to the controller."""

    max_len: int
    meter: int | None = None
    """Number of an OpenFlow meter that limits the copies; None: OFPM_CONTROLLER does. The packet itself goes on."""


@dataclass(frozen=True)
class Copy:
    """Copy one field or register into another of its width. What the switch caches then holds for this value only."""

    source: str
    destination: str


@dataclass(frozen=True)
class Track:
    """Hand the packet to connection tracking, `ct()` of ovs-actions(7)."""

    zone: str
    """Register whose lower 16 bits are the zone."""
    commit: bool = False
    """Keep the connection if it is new."""
    goto: int | None = None
    """Table where a copy of the packet goes on with its `ct_state`; None: it goes on here without."""
    mark: str | None = None
    """With `commit`: register that becomes the connection's `ct_mark`."""


@dataclass(frozen=True)
class Resubmit:
    """Look the packet up in another table, then go on here with whatever registers it has then."""

    table: int


@dataclass(frozen=True)
class Sample:
    """Tell of the packet by IPFIX, each time. The flow that it belongs to is known by its fields and both numbers."""

    domain: int
    """Observation domain."""
    point: int
    """Observation point."""


COLLECTOR_SET = OWNER
"""Number of the set of collectors (`Flow_Sample_Collector_Set`) that IPFIX goes to."""

Step = SetField | Output | ToController | Copy | Track | Resubmit | Sample


@dataclass(frozen=True)
class TableEntry:
    """One flow entry. No steps and no `goto`: drop. Timeouts do not exist: expiry is the engine's."""

    table: int
    priority: int
    match: tuple[Field, ...]
    """Sorted by name, each name once."""
    steps: tuple[Step, ...] = ()
    goto: int | None = None
    rules: tuple[str, ...] = ()
    """Ids of the segmentation rules this entry stands for; not part of its content."""
    meter: int | None = None
    """Number of an OpenFlow meter that the packet must pass before the steps."""

    @property
    def drops(self) -> bool:
        """Does it end a packet's way?"""
        return not self.steps and self.goto is None

    @property
    def meters(self) -> tuple[int, ...]:
        """Numbers of all meters that it names: a switch refuses an entry before it has them."""
        copies = (step.meter for step in self.steps if isinstance(step, ToController))
        return tuple(meter for meter in (self.meter, *copies) if meter is not None)
