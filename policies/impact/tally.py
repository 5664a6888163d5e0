"""Counts what becomes of recorded flows by the policy in force and by another one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from policies.acl import Acl, AddressList, Mode, Peer, Policy
from policies.impact.ends import Ends
from policies.impact.flows import I4, FlowColumns
from policies.impact.judging import Classes, Judge, Verdicts, with_exceptions
from policies.impact.services import Services
from runtime.errors import PolicyError
from topology.model import OUTSIDE, Inventory

MAX_EXAMPLES = 1000
_EVERYBODY = "everybody"
_BITS = 18
"""A class of flows is a number of three of so many bits, and of the hours' ones above."""
_LOW = 24
"""Bits of a protocol's number and a port, which people ask for."""
_MOST, _MOST_PHASES = 1 << _BITS, 1 << 9
_NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}
_SUMS = ("flows", "packets", "bytes")
Rows = npt.NDArray[np.int64]


class Outcome(StrEnum):
    """What becomes of a flow by the other policy, beside what does by the one in force."""

    PERMITTED = "permitted"
    DROPPED = "would be dropped"
    ALLOWED = "newly allowed"
    DENIED = "denied as before"


OUTCOMES = ((Outcome.DENIED, Outcome.ALLOWED), (Outcome.DROPPED, Outcome.PERMITTED))
"""By whether it is allowed before and after."""


@dataclass(frozen=True)
class Rules:
    """A policy, and what segmentation rules mean beside it."""

    policy: Policy
    issued: tuple[Acl, ...] = ()

    def at(self, now: float) -> tuple[Acl, ...]:
        """What is in force at a moment (epoch seconds)."""
        return (*self.policy.at(now).acls, *self.issued)


@dataclass(frozen=True)
class Example:
    """A flow of a group."""

    opened: float
    source: str
    destination: str
    source_port: int
    destination_port: int


@dataclass(frozen=True)
class Group:
    """Flows from one segment to another, of one service, of which the same becomes."""

    source: str
    destination: str
    service: str
    outcome: Outcome
    flows: int
    packets: int
    bytes: int
    example: Example | None


@dataclass(frozen=True)
class RuleUse:
    """What a rule that is tried out met."""

    rule: str
    mode: Mode
    flows: int
    """That it decides, or, in observe, would decide."""
    denied: int
    """Of these."""


@dataclass(frozen=True)
class Impact:
    """The answer."""

    groups: tuple[Group, ...]
    """Most flows first."""
    rules: tuple[RuleUse, ...]
    vms: tuple[str, ...]
    """VMs with a flow of which something else becomes than before."""
    forged: int
    """Flows with a sender's address that is not its own: dropped by any policy, and not counted elsewhere."""
    unknown: int
    """Flows of VMs that the inventory does not have any more."""

    def flows(self, outcome: Outcome) -> int:
        """How many flows this becomes of."""
        return sum(group.flows for group in self.groups if group.outcome is outcome)


@dataclass(frozen=True)
class _Phase:
    """Judges for the rules of some hours."""

    before: Judge
    after: Judge
    observing: Judge | None
    """With the rules in observe enforced, if there are any."""


@dataclass
class _Use:
    """Classes that a rule decides."""

    allowed: list[Rows] = field(default_factory=list)
    denied: list[Rows] = field(default_factory=list)


class Tally:
    """Takes flows piece by piece."""

    def __init__(self, inventory: Inventory, before: Rules, after: Rules) -> None:
        self._inventory = inventory
        self._before, self._after = before, renamed(after)
        every = (acl for rules in (before, self._after) for acl in (*rules.policy.acls, *rules.issued))
        acls = list(with_exceptions(every))
        lists: dict[str, AddressList] = {**before.policy.lists, **self._after.policy.lists}
        self._ends = Ends(inventory, lists, (end for acl in acls for end in (acl.source, acl.destination)))
        self._services = Services(service for acl in acls for service in acl.services)
        self._phases: dict[tuple[tuple[Acl, ...], tuple[Acl, ...]], int] = {}
        self._judges: list[_Phase] = []
        self._classes: dict[int, int] = {}
        self._allowed = np.zeros((0, 2), bool)
        """Of each class, before and after."""
        self._segments = np.zeros((0, 2), np.int64)
        self._uses: dict[str, _Use] = defaultdict(_Use)
        self._sums: list[pa.Table] = []
        self._examples: dict[int, Example] = {}
        self._touched: set[str] = set()
        self._forged = self._unknown = 0

    def add(self, flows: FlowColumns) -> None:
        """Count these.

        Raises:
            PolicyError: the rules tell more ends or hours apart than can be counted.
        """
        source = self._ends.classes(flows.src_vm, flows.src_ip, np.zeros(len(flows), bool))
        destination = self._ends.classes(flows.dst_vm, flows.dst_ip, flows.everybody)
        known = (source >= 0) & (destination >= 0)
        self._unknown += int((flows.first & ~known & ~flows.forged).sum())
        self._forged += int((flows.first & flows.forged).sum())
        kept = known & ~flows.forged
        if not kept.all():
            rows = np.flatnonzero(kept)
            flows, source, destination = flows.take(rows), source[rows], destination[rows]
        if len(flows):
            self._count(flows, source, destination)

    def _count(self, flows: FlowColumns, source: I4, destination: I4) -> None:
        """Add flows up by all that rules and people tell apart; what these have in common is judged once."""
        phases = self._phase_of(flows.opened)
        sizes = (len(self._judges), len(self._ends.facts.segment), int(self._services.intervals[-1]) + 1)
        if sizes[0] * sizes[1] * sizes[1] * sizes[2] >= 1 << 63 - _LOW:
            raise PolicyError("its rules tell too many ends apart", remedy="put networks into lists")
        keys = (phases * sizes[1] + source) * sizes[1] + destination
        keys = keys * sizes[2] + self._services.intervals[flows.src_port]
        keys = keys << _LOW | flows.proto.astype(np.int64) << 16 | flows.dst_port.astype(np.int64)
        encoded = pa.array(keys).dictionary_encode()
        distinct, index = encoded.dictionary.to_numpy(), encoded.indices.to_numpy()
        numbers = self._classes_of(distinct, sizes)
        columns = {"flows": flows.first, "packets": flows.packets, "bytes": flows.bytes}
        sums = {name: np.bincount(index, column, len(distinct)) for name, column in columns.items()}
        groups = numbers << _LOW | distinct & (1 << _LOW) - 1
        self._sums.append(pa.table({"key": groups, **{name: one.astype(np.int64) for name, one in sums.items()}}))
        changed = (self._allowed[:, 0] != self._allowed[:, 1])[numbers]
        if changed.any():
            rows = np.flatnonzero(changed[index])
            self._touched |= flows.src_vm.among(rows) | flows.dst_vm.among(rows)
            self._show(flows, groups[index[rows]], rows)

    def _classes_of(self, keys: Rows, sizes: tuple[int, int, int]) -> Rows:
        """The class of the flows of each key."""
        rest, source_port = np.divmod(keys >> _LOW, sizes[2])
        rest, destination = np.divmod(rest, sizes[1])
        phase, source = np.divmod(rest, sizes[1])
        version = self._ends.facts.version[source].astype(np.int64)
        ports = (source_port, self._services.intervals[keys & 0xFFFF])
        service = self._services.classes(version, keys >> 16 & 0xFF, *ports)
        return self._judged(phase << 3 * _BITS | source << 2 * _BITS | destination << _BITS | service)

    def _phase_of(self, opened: npt.NDArray[np.float64]) -> Rows:
        """The hours in which flows were opened: which of all rules were in force then."""
        edges, now, last = [-np.inf], float(opened.min()), float(opened.max())
        numbers = [self._phase(now)]
        while (change := self._next_change(now)) is not None and change <= last:
            now = change
            edges.append(now)
            numbers.append(self._phase(now))
        return np.array(numbers, np.int64)[np.searchsorted(edges, opened, "right") - 1]

    def _next_change(self, now: float) -> float | None:
        times = (rules.policy.next_change(now) for rules in (self._before, self._after))
        return min((time for time in times if time is not None), default=None)

    def _phase(self, now: float) -> int:
        before, after = self._before.at(now), self._after.at(now)
        if (before, after) not in self._phases:
            if len(self._judges) == _MOST_PHASES:
                raise PolicyError("its rules come and go in too many ways", remedy="simulate a shorter time")
            known = (self._ends.peers, self._services.services)
            watching = any(acl.mode is Mode.OBSERVE for acl in after)
            judges = [Judge(self._inventory, acls, *known) for acls in (before, after)]
            observing = Judge(self._inventory, after, *known, observed=True) if watching else None
            self._phases[before, after] = len(self._judges)
            self._judges.append(_Phase(judges[0], judges[1], observing))
        return self._phases[before, after]

    def _judged(self, codes: Rows) -> Rows:
        """Numbers of classes; those that are new are judged."""
        if max(len(self._ends.facts.segment), len(self._services.facts.proto)) > _MOST:
            raise PolicyError("its rules tell too many ends apart", remedy="put networks into lists")
        new = np.array([code for code in dict.fromkeys(codes.tolist()) if code not in self._classes], np.int64)
        for phase, judges in enumerate(self._judges):
            self._judge(new[new >> 3 * _BITS == phase], judges)
        return np.fromiter((self._classes[code] for code in codes.tolist()), np.int64, len(codes))

    def _judge(self, codes: Rows, judges: _Phase) -> None:
        if not len(codes):
            return
        parts = [(codes >> shift & _MOST - 1).astype(np.int32) for shift in (2 * _BITS, _BITS, 0)]
        classes = Classes(*parts)
        facts = (self._ends.facts, self._services.facts)
        begin = len(self._classes)
        self._classes |= {code: begin + place for place, code in enumerate(codes.tolist())}
        before, after = (judge.decide(classes, *facts) for judge in (judges.before, judges.after))
        self._note_use(after, begin, Mode.ENFORCE)
        if judges.observing is not None:
            self._note_use(judges.observing.decide(classes, *facts), begin, Mode.OBSERVE)
        self._allowed = np.concatenate([self._allowed, np.column_stack([before.allowed, after.allowed])])
        pairs = np.column_stack([facts[0].segment[classes.source], facts[0].segment[classes.destination]])
        self._segments = np.concatenate([self._segments, pairs])

    def _note_use(self, verdicts: Verdicts, begin: int, mode: Mode) -> None:
        for acl, rows in verdicts.deciding:
            if acl.mode is mode:
                use = self._uses[acl.rule_id]
                allowed = verdicts.allowed[rows]
                use.allowed.append(begin + rows[allowed])
                use.denied.append(begin + rows[~allowed])

    def _show(self, flows: FlowColumns, keys: Rows, rows: Rows) -> None:
        """Keep one flow of each group of which something else becomes than before."""
        if len(self._examples) == MAX_EXAMPLES:
            return
        found, first = np.unique(keys, return_index=True)
        for key, row in zip(found.tolist(), rows[first].tolist(), strict=True):
            if key not in self._examples and len(self._examples) < MAX_EXAMPLES:
                self._examples[key] = _example(flows, row)

    def result(self) -> Impact:
        """What has been counted."""
        if not self._sums:
            return Impact((), tuple(self._used(np.zeros(0, np.int64))), (), self._forged, self._unknown)
        added = pa.concat_tables(self._sums).group_by("key").aggregate([(name, "sum") for name in _SUMS])
        keys = added["key"].to_numpy()
        sums = np.column_stack([added[f"{name}_sum"].to_numpy() for name in _SUMS])
        by_class = np.bincount(keys >> _LOW, sums[:, 0], len(self._classes)).astype(np.int64)
        groups = sorted(self._grouped(keys, sums), key=lambda group: (-group.flows, group.service))
        touched = tuple(sorted(self._touched))
        return Impact(tuple(groups), tuple(self._used(by_class)), touched, self._forged, self._unknown)

    def _grouped(self, keys: Rows, sums: Rows) -> Iterable[Group]:
        """Classes that differ by rule alone are one to people."""
        names = {segment.number: name for name, segment in self._inventory.segments.items()}
        names |= {0: OUTSIDE, -1: _EVERYBODY}
        found: dict[tuple[str, str, str, Outcome], Any] = {}
        examples: dict[tuple[str, str, str, Outcome], Example] = {}
        for key, own in zip(keys.tolist(), sums, strict=True):
            number = key >> _LOW
            source, destination = (names[segment] for segment in self._segments[number].tolist())
            before, after = self._allowed[number].tolist()
            group = (source, destination, service_name(key >> 16 & 0xFF, key & 0xFFFF), OUTCOMES[before][after])
            found[group] = found[group] + own if group in found else own
            if key in self._examples:
                examples.setdefault(group, self._examples[key])
        for group, own in found.items():
            flows, packets, octets = own.tolist()
            yield Group(*group, flows, packets, octets, examples.get(group))

    def _used(self, by_class: Rows) -> Iterable[RuleUse]:
        issued = [acl for acl in self._after.issued if acl not in self._before.issued]
        for acl in {acl.rule_id: acl for acl in (*self._after.policy.acls, *issued)}.values():
            use = self._uses.get(acl.rule_id, _Use())
            allowed, denied = (sum(int(by_class[rows].sum()) for rows in kind) for kind in (use.allowed, use.denied))
            yield RuleUse(acl.rule_id, acl.mode, allowed + denied, denied)


def renamed(rules: Rules) -> Rules:
    """Its lists under names that the lists of the policy in force cannot have."""
    lists = {f"after {name}": replace(one, name=f"after {name}") for name, one in rules.policy.lists.items()}

    def end(peer: Peer) -> Peer:
        return peer if peer.list is None else replace(peer, list=f"after {peer.list}")

    def of(acl: Acl) -> Acl:
        if acl.source.list is None and acl.destination.list is None:
            return acl
        return replace(acl, source=end(acl.source), destination=end(acl.destination))

    acls, issued = (tuple(of(acl) for acl in some) for some in (rules.policy.acls, rules.issued))
    return Rules(replace(rules.policy, acls=acls, lists=lists), issued)


def _example(flows: FlowColumns, row: int) -> Example:
    source, destination = (
        f"{vm[row]} {address[row]}" if vm[row] else str(address[row])
        for vm, address in ((flows.src_vm, flows.src_ip), (flows.dst_vm, flows.dst_ip))
    )
    ports = int(flows.src_port[row]), int(flows.dst_port[row])
    return Example(float(flows.opened[row]), source, destination, *ports)


def service_name(proto: int, port: int) -> str:
    """As in `tcp/443`, `icmp`, `47`."""
    name = _NAMES.get(proto, str(proto))
    return f"{name}/{port}" if port else name


def impact_json(impact: Impact, limit: int) -> Mapping[str, Any]:
    """As REST and the command line tell it, with at most `limit` groups."""
    return {
        "flows": {outcome.value: impact.flows(outcome) for outcome in Outcome},
        "vms": list(impact.vms),
        "forged": impact.forged,
        "unknown": impact.unknown,
        "segments": _by_segment(impact.groups),
        "groups": [_group_json(group) for group in _worst_first(impact.groups)[:limit]],
        "more": max(0, len(impact.groups) - limit),
        "rules": [
            {"rule": use.rule, "mode": use.mode, "flows": use.flows, "denied": use.denied} for use in impact.rules
        ],
        "never_used": [use.rule for use in impact.rules if not use.flows],
    }


def _by_segment(groups: Sequence[Group]) -> dict[str, dict[str, int]]:
    """Of each segment, how many flows with an end in it pass now, and how many of these would be dropped."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: {"passing": 0, "dropped": 0})
    for group in groups:
        for segment in {group.source, group.destination}:
            passing = group.outcome in (Outcome.PERMITTED, Outcome.DROPPED)
            found[segment]["passing"] += group.flows * passing
            found[segment]["dropped"] += group.flows * (group.outcome is Outcome.DROPPED)
    return dict(sorted(found.items()))


def _worst_first(groups: Sequence[Group]) -> list[Group]:
    order = (Outcome.DROPPED, Outcome.ALLOWED, Outcome.DENIED, Outcome.PERMITTED)
    return sorted(groups, key=lambda group: order.index(group.outcome))


def _group_json(group: Group) -> dict[str, Any]:
    example = group.example
    told = {
        "from": group.source,
        "to": group.destination,
        "service": group.service,
        "outcome": group.outcome,
        "flows": group.flows,
        "packets": group.packets,
        "bytes": group.bytes,
    }
    if example is None:
        return {**told, "example": None}
    ports = {"source_port": example.source_port, "port": example.destination_port}
    return {
        **told,
        "example": {"time": example.opened, "source": example.source, "destination": example.destination, **ports},
    }
