"""All VFNs: what each must hold, what each was last seen to hold, and the messages in between.

Rules come in as firewall rules by id, events of VFNs as control tells them; what goes out are messages for control and
news for the engine. No decision about a rule is made here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from policies.acl import Policy
from policies.codec import SwitchCodec
from policies.entries import Field, SetField, TableEntry
from policies.pipeline.compile import compile_urgent, compile_vfn, missing_ports
from policies.pipeline.tables import SOURCE_VM, Table
from policies.reconcile import (
    Applied,
    Apply,
    Command,
    Down,
    Event,
    Installed,
    Phase,
    Read,
    Timer,
    Up,
    VfnState,
    Wanted,
    step,
)
from policies.rules import FirewallRule, Verdict
from runtime.channel import Message
from topology.model import Inventory

_LIMIT_REQUEST = 1 << 32
"""The request that limits a VFN's copies."""
_URGENT_REQUESTS = _LIMIT_REQUEST + 1
"""Requests from here on are urgent sends; a VFN's cycle counts from 1."""
_MAX_URGENT = 10_000


@dataclass(frozen=True)
class UrgentDone:
    """The barrier after an urgent send has come back."""

    rule: str
    seconds: float
    errors: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Unlimited:
    """A VFN refuses the meter that limits its copies."""

    errors: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class News:
    """Something that the engine has to put on record or act upon."""

    vfn: str
    what: Command | UrgentDone | Unlimited


@dataclass
class Outcome:
    """What follows from an event."""

    control: list[Message] = field(default_factory=list)
    news: list[News] = field(default_factory=list)
    renamed: set[str] = field(default_factory=set)
    """VFNs whose cookies now mean something else."""

    def add(self, other: Outcome) -> None:
        """Take in what follows from another event."""
        self.control += other.control
        self.news += other.news
        self.renamed |= other.renamed


class Enforcer:
    """The VFNs of an inventory. Times are seconds of a clock that never goes back."""

    def __init__(self, inventory: Inventory, codec: SwitchCodec, interval: float, copies_per_second: int) -> None:
        self._inventory = inventory
        self._codec = codec
        self._copies_per_second = copies_per_second
        self._ports: dict[str, Mapping[str, int]] = {}
        self._policy = Policy()
        self._rules: Mapping[str, tuple[FirewallRule, ...]] = {}
        self._behind: set[str] = set()
        self._urgent: dict[int, tuple[str, str]] = {}
        self._urgent_requests = itertools.count(_URGENT_REQUESTS)
        self.states = {name: VfnState(interval) for name in inventory.vfns}

    def set_rules(self, rules: Mapping[str, tuple[FirewallRule, ...]]) -> None:
        """The rules that belong into the switches, by id. VFNs for which they changed follow in `catch_up`."""
        changed = {*rules.items()} ^ {*self._rules.items()}
        self._rules = dict(rules)
        self._behind |= {firewall.vfn for _, group in changed for firewall in group}

    def set_policy(self, policy: Policy) -> None:
        """What people have laid down. The VFNs follow in `catch_up`."""
        if policy is not self._policy:
            self._policy = policy
            self._behind |= self.states.keys()

    def follows(self, vfn: str) -> bool:
        """Is it connected, and was it read back with what the present policy and rules ask of it?"""
        return self.states[vfn].in_sync and vfn not in self._behind

    @property
    def behind(self) -> bool:
        """Is there something for `catch_up` to do?"""
        return bool(self._behind)

    def catch_up(self, now: float) -> Outcome:
        """Compile the VFNs whose rules have changed. Put off until here, so that urgent sends do not wait for it."""
        outcome = Outcome()
        for vfn in sorted(self._behind):
            outcome.add(self._want(vfn, now))
        return outcome

    def send_urgent(self, rule: str) -> Outcome:
        """Send the drops of a rule to its VFNs at once, ahead of their cycles."""
        outcome = Outcome()
        group = self._rules[rule]
        for vfn in dict.fromkeys(firewall.vfn for firewall in group):
            if self.states[vfn].phase is Phase.AWAY:
                continue
            entries = compile_urgent(self._inventory, vfn, self._ports[vfn], group)
            if entries:
                request = next(self._urgent_requests)
                self._urgent[request] = (vfn, rule)
                data = {"dpid": self._dpid(vfn), "request": request, "urgent": True}
                outcome.control.append(Message("apply", data, b"".join(map(self._codec.add, entries))))
        while len(self._urgent) > _MAX_URGENT:
            del self._urgent[next(iter(self._urgent))]
        return outcome

    def up(self, vfn: str, ports: Mapping[str, int], now: float) -> Outcome:
        """A VFN has connected."""
        outcome = self._step(vfn, Up(), now)
        self._ports[vfn] = dict(ports)
        # The limit goes ahead of any entry that copies. It is no entry: setting it again changes nothing in force.
        data = {"dpid": self._dpid(vfn), "request": _LIMIT_REQUEST, "urgent": True}
        outcome.control.append(Message("apply", data, self._codec.limit_copies(self._copies_per_second)))
        outcome.add(self._want(vfn, now))
        return outcome

    def ports(self, vfn: str, ports: Mapping[str, int], now: float) -> Outcome:
        """A VFN's ports are these now."""
        self._ports[vfn] = dict(ports)
        return self._want(vfn, now)

    def down(self, vfn: str, now: float) -> Outcome:
        """A VFN is gone."""
        self._urgent = {request: place for request, place in self._urgent.items() if place[0] != vfn}
        return self._step(vfn, Down(), now)

    def all_down(self, now: float) -> Outcome:
        """Control is gone, and all VFNs with it."""
        outcome = Outcome()
        for vfn in self.states:
            outcome.add(self.down(vfn, now))
        return outcome

    def installed(self, vfn: str, request: int, body: bytes, last: bool, now: float) -> Outcome:
        """A part of a reading.

        Raises:
            runtime.errors.TransientError: the body is not flow statistics.
        """
        return self._step(vfn, Installed(request, self._codec.decode(body), last), now)

    def applied(
        self, vfn: str, request: int, seconds: float, errors: Sequence[Mapping[str, Any]], now: float
    ) -> Outcome:
        """A barrier has come back."""
        if request == _LIMIT_REQUEST:
            return Outcome(news=[News(vfn, Unlimited(errors))] if errors else [])
        if request < _URGENT_REQUESTS:
            return self._step(vfn, Applied(request, seconds, errors), now)
        place = self._urgent.pop(request, None)
        return Outcome() if place is None else Outcome(news=[News(place[0], UrgentDone(place[1], seconds, errors))])

    def timer(self, now: float) -> Outcome:
        """Time has passed."""
        outcome = Outcome()
        for vfn in self.states:
            outcome.add(self._step(vfn, Timer(), now))
        return outcome

    def next_time(self) -> float | None:
        """When `timer` will next have something to do."""
        return min((state.due for state in self.states.values() if state.due is not None), default=None)

    def missing_ports(self, vfn: str) -> tuple[str, ...]:
        """Interface names of the inventory that a connected VFN does not have."""
        return missing_ports(self._inventory, vfn, self._ports.get(vfn, {}))

    def suspects(self, vfn: str, errors: Iterable[Mapping[str, Any]]) -> frozenset[str]:
        """Ids of the rules whose entries a switch refused, as far as its errors tell."""
        cookies = {self._codec.failed_cookie(bytes.fromhex(error["data"])) for error in errors}
        desired = self.states[vfn].desired
        entries = [desired[cookie] for cookie in cookies if cookie is not None and cookie in desired]
        return frozenset(rule for entry in entries for rule in entry.rules)

    def cookies(self, vfn: str) -> Message:
        """What the counted entries of a VFN stand for, for the analyzer."""
        entries = {
            str(cookie): self._meaning(entry)
            for cookie, entry in self.states[vfn].desired.items()
            if entry.table in (Table.SOURCE, Table.ENFORCEMENT)
        }
        return Message("cookies", {"dpid": self._dpid(vfn), "entries": entries})

    def _meaning(self, entry: TableEntry) -> dict[str, Any]:
        parts: tuple[Field | Any, ...] = (*entry.match, *entry.steps)
        numbers = [p.value for p in parts if isinstance(p, (Field, SetField)) and p.name == SOURCE_VM]
        vm = self._inventory.vm_by_number[numbers[0]].name if numbers else None
        verdict = Verdict.DROP if entry.goto is None and not entry.steps else Verdict.ALLOW
        return {"table": entry.table, "vm": vm, "verdict": verdict, "rules": list(entry.rules)}

    def _want(self, vfn: str, now: float) -> Outcome:
        """Compile a VFN that is connected and give its machine what it must hold."""
        self._behind.discard(vfn)
        if self.states[vfn].phase is Phase.AWAY:
            return Outcome()
        own = {rule: group for rule, group in self._rules.items() if any(one.vfn == vfn for one in group)}
        firewall = [one for group in own.values() for one in group]
        entries = compile_vfn(self._inventory, vfn, self._ports[vfn], firewall, self._policy)
        desired = {self._codec.cookie(entry): entry for entry in entries}
        before = self.states[vfn].desired
        outcome = self._step(vfn, Wanted(desired, frozenset(own)), now)
        if desired != before:
            outcome.renamed.add(vfn)
        return outcome

    def _step(self, vfn: str, event: Event, now: float) -> Outcome:
        self.states[vfn], commands = step(self.states[vfn], event, now, self._codec.differences)
        outcome = Outcome()
        for command in commands:
            if isinstance(command, Read):
                data = {"dpid": self._dpid(vfn), "request": command.request}
                outcome.control.append(Message("read", data, self._codec.read()))
            elif isinstance(command, Apply):
                outcome.control.append(self._bundle(vfn, command))
                outcome.news.append(News(vfn, command))
            else:
                outcome.news.append(News(vfn, command))
        return outcome

    def _bundle(self, vfn: str, apply: Apply) -> Message:
        # Deletes go first, to make room in a table that is nearly full.
        messages = [*map(self._codec.delete, apply.delete), *map(self._codec.add, apply.add)]
        data = {"dpid": self._dpid(vfn), "request": apply.request, "urgent": False}
        return Message("apply", data, self._codec.bundle(messages, apply.request))

    def _dpid(self, vfn: str) -> int:
        return self._inventory.vfns[vfn].dpid
