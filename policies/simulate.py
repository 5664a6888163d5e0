"""What a VFN would do with a packet, by its table entries: no switch, no clock, no guessing.

A packet is a mapping of field names to numbers, with the fields that the switch would parse: `in_port`, `eth_src`,
`eth_dst`, `eth_type`, then `arp_*`, `ipv4_*`, `ipv6_*`, `ip_proto`, ports and so on. Open vSwitch gives zero to
registers at the start, to the VLAN of an untagged frame and to options that a neighbour message does not have; the
other fields match only where the packet has them. What connection tracking knows is given, and what it learns is told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from policies.entries import Copy, Field, Output, Resubmit, SetField, TableEntry, Track
from policies.pipeline.tables import MARK, SHADOW_MARK

Packet = Mapping[str, int]

_ZERO_IF_ABSENT = frozenset({"vlan_vid", "ct_state", *(f"reg{number}" for number in range(16))})
_NEIGHBOUR_FIELDS = frozenset({"nd_target", "nd_sll", "nd_tll"})
_NEIGHBOUR_KINDS = (135, 136)
_NEW, _ESTABLISHED, _RELATED, _REPLY, _TRACKED = 0x01, 0x02, 0x04, 0x08, 0x20
_ZONE = 0xFFFF
_PORTS = {6: "tcp", 17: "udp"}


@dataclass(frozen=True)
class Connection:
    """A connection as the switch keeps it, in its own direction."""

    zone: int
    protocol: int
    source: int
    destination: int
    source_port: int = 0
    destination_port: int = 0

    @property
    def reverse(self) -> Connection:
        """The direction of its answers."""
        ports = (self.destination_port, self.source_port)
        return Connection(self.zone, self.protocol, self.destination, self.source, *ports)


@dataclass(frozen=True)
class Outcome:
    """Where a packet went."""

    ports: tuple[int, ...]
    """OpenFlow port numbers it leaves by; empty: dropped. Never the port where it came in."""
    path: tuple[TableEntry, ...]
    """The entry that decided in each table; the last one is where it ended."""
    committed: frozenset[Connection] = frozenset()
    """Connections that the switch keeps because of it."""


@dataclass
class _Pass:
    """What has become of a packet so far."""

    ports: list[int] = field(default_factory=list)
    path: list[TableEntry] = field(default_factory=list)
    committed: set[Connection] = field(default_factory=set)
    recirculated: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    """Tables where tracked copies go on, with their fields."""


class Simulator:
    """One VFN's entries, ready to be asked."""

    def __init__(self, entries: Iterable[TableEntry]) -> None:
        self._tables: dict[int, list[TableEntry]] = {}
        for entry in sorted(entries, key=lambda entry: -entry.priority):
            self._tables.setdefault(entry.table, []).append(entry)

    def run(self, packet: Packet, connections: Collection[Connection] = (), *, related: bool = False) -> Outcome:
        """Follow a packet from table 0.

        Args:
            connections: what the switch keeps.
            related: is it an ICMP error about one of these?

        Raises:
            ValueError: two entries of one priority decide differently, so that a switch might do either.
        """
        found = _Pass()
        self._follow(0, dict(packet), found)
        while found.recirculated:
            table, fields = found.recirculated.pop(0)
            fields["ct_state"] = _state(fields, fields.pop("ct_zone"), connections, related)
            self._follow(table, fields, found)
        ports = tuple(port for port in found.ports if port != packet["in_port"])
        return Outcome(ports, tuple(found.path), frozenset(found.committed))

    def _follow(self, table: int | None, fields: dict[str, int], found: _Pass) -> None:
        while table is not None and (entry := self._decide(table, fields)) is not None:
            found.path.append(entry)
            for step in entry.steps:
                match step:
                    case SetField(name, value):
                        fields[name] = value
                    case Copy(source, destination):
                        fields[destination] = fields.get(source, 0)
                    case Output(port):
                        found.ports.append(port)
                    case Resubmit(elsewhere):
                        self._follow(elsewhere, fields, found)
                    case Track():
                        _track(step, fields, found)
            table = entry.goto

    def _decide(self, table: int, fields: Packet) -> TableEntry | None:
        found: TableEntry | None = None
        for entry in self._tables.get(table, ()):
            if found is not None and entry.priority < found.priority:
                break
            if all(_matches(field, fields) for field in entry.match):
                if found is not None and _effect(found) != _effect(entry):
                    raise ValueError(f"both match {dict(fields)}: {found} and {entry}")
                found = entry
        return found


def _effect(entry: TableEntry) -> tuple[object, ...]:
    """What an entry does, but for the mark that it leaves: of two rules that say the same either may be named."""
    marks = (MARK, SHADOW_MARK)
    return entry.goto, [step for step in entry.steps if not (isinstance(step, SetField) and step.name in marks)]


def _track(step: Track, fields: dict[str, int], found: _Pass) -> None:
    zone = fields.get(step.zone, 0) & _ZONE
    if step.commit:
        found.committed.add(_connection(fields, zone))
    if step.goto is not None:
        found.recirculated.append((step.goto, {**fields, "ct_zone": zone}))


def _state(fields: Packet, zone: int, connections: Collection[Connection], related: bool) -> int:
    own = _connection(fields, zone)
    if related:
        return _TRACKED | _RELATED | _REPLY
    if own.reverse in connections:
        return _TRACKED | _ESTABLISHED | _REPLY
    return _TRACKED | (_ESTABLISHED if own in connections else _NEW)


def _connection(fields: Packet, zone: int) -> Connection:
    """The connection that a packet would open. Echo requests and answers share one by their identifier, here 0."""
    family = "ipv4" if "ipv4_src" in fields else "ipv6"
    protocol = fields["ip_proto"]
    name = _PORTS.get(protocol)
    ports = (0, 0) if name is None else (fields.get(f"{name}_src", 0), fields.get(f"{name}_dst", 0))
    return Connection(zone, protocol, fields[f"{family}_src"], fields[f"{family}_dst"], *ports)


def _matches(field: Field, fields: Packet) -> bool:
    value = fields.get(field.name)
    if value is None:
        neighbour = field.name in _NEIGHBOUR_FIELDS and fields.get("icmpv6_type") in _NEIGHBOUR_KINDS
        if not neighbour and field.name not in _ZERO_IF_ABSENT:
            return False
        value = 0
    return value == field.value if field.mask is None else value & field.mask == field.value & field.mask
