"""What a VFN would do with a packet, by its table entries: no switch, no state, no guessing.

A packet is a mapping of field names to numbers, with the fields that the switch would parse: `in_port`, `eth_src`,
`eth_dst`, `eth_type`, then `arp_*`, `ipv4_*`, `ipv6_*`, `ip_proto`, ports and so on. Open vSwitch gives zero to
registers at the start, to the VLAN of an untagged frame and to options that a neighbour message does not have; the
other fields match only where the packet has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policies.entries import Field, Output, SetField, TableEntry

Packet = Mapping[str, int]

_ZERO_IF_ABSENT = frozenset({"vlan_vid", *(f"reg{number}" for number in range(16))})
_NEIGHBOUR_FIELDS = frozenset({"nd_target", "nd_sll", "nd_tll"})
_NEIGHBOUR_KINDS = (135, 136)


@dataclass(frozen=True)
class Outcome:
    """Where a packet went."""

    ports: tuple[int, ...]
    """OpenFlow port numbers it leaves by; empty: dropped. Never the port where it came in."""
    path: tuple[TableEntry, ...]
    """The entry that decided in each table; the last one is where it ended."""


class Simulator:
    """One VFN's entries, ready to be asked."""

    def __init__(self, entries: Iterable[TableEntry]) -> None:
        self._tables: dict[int, list[TableEntry]] = {}
        for entry in sorted(entries, key=lambda entry: -entry.priority):
            self._tables.setdefault(entry.table, []).append(entry)

    def run(self, packet: Packet) -> Outcome:
        """Follow a packet from table 0.

        Raises:
            ValueError: two entries of one priority decide differently, so that a switch might do either.
        """
        fields = dict(packet)
        ports: list[int] = []
        path: list[TableEntry] = []
        table: int | None = 0
        while table is not None and (entry := self._decide(table, fields)) is not None:
            path.append(entry)
            for step in entry.steps:
                if isinstance(step, SetField):
                    fields[step.name] = step.value
                elif isinstance(step, Output):
                    ports.append(step.port)
            table = entry.goto
        return Outcome(tuple(port for port in ports if port != packet["in_port"]), tuple(path))

    def _decide(self, table: int, fields: Packet) -> TableEntry | None:
        found: TableEntry | None = None
        for entry in self._tables.get(table, ()):
            if found is not None and entry.priority < found.priority:
                break
            if all(_matches(field, fields) for field in entry.match):
                if found is not None and (found.steps, found.goto) != (entry.steps, entry.goto):
                    raise ValueError(f"both match {dict(fields)}: {found} and {entry}")
                found = entry
        return found


def _matches(field: Field, fields: Packet) -> bool:
    value = fields.get(field.name)
    if value is None:
        neighbour = field.name in _NEIGHBOUR_FIELDS and fields.get("icmpv6_type") in _NEIGHBOUR_KINDS
        if not neighbour and field.name not in _ZERO_IF_ABSENT:
            return False
        value = 0
    return value == field.value if field.mask is None else value & field.mask == field.value & field.mask
