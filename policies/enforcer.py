"""All VFNs: what each must hold, what each was last seen to hold, and the messages in between.

Rules come in as firewall rules by id, the policy whole, events of VFNs as control tells them; what goes out are
messages for control and news for the engine. No decision about a rule is made here.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from policies.acl import Policy
from policies.aside import Way
from policies.codec import SwitchCodec
from policies.cuts import Cuts
from policies.desired import Desired
from policies.entries import TableEntry
from policies.meanings import Meanings
from policies.measures import is_measure
from policies.metering import Metering
from policies.outcome import News, Outcome, Refusal, UrgentDone
from policies.pipeline.compile import Compiler, Network, compile_urgent, missing_ports
from policies.pipeline.payload import copied_port, whatever_copies
from policies.pipeline.tables import Table
from policies.pipeline.taps import Taps
from policies.reconcile import step
from policies.rules import FirewallRule
from policies.vfnstate import (
    Again,
    Ahead,
    Applied,
    Apply,
    Command,
    Count,
    Counted,
    Down,
    DropMeters,
    Event,
    Goal,
    Installed,
    Phase,
    Read,
    Synced,
    Timer,
    Touched,
    Unwatched,
    Up,
    VfnState,
    Wanted,
)
from runtime.channel import Message
from runtime.settings import OpenFlowSettings, PayloadSettings
from topology.model import Inventory, Vm

_HOLD_SECONDS = 1.0
"""What has been sent is read back when all VFNs have been sent what they must hold, or so long after."""
_PAST_REQUESTS = 1 << 32
"""Requests from here on are of what is sent past the cycle; a VFN's cycle counts from 1."""
_MOST_NAMED = 8
"""Rules that a message names for control's log, out of as many entries."""
_MOST_PAST = 10_000
_NEVER = float("inf")
_PAYLOAD_RATE = PayloadSettings().packets_per_second
_USUAL_TAPS = Taps()
_WATCH = "the switch does not tell of changes by others, which are found by reading everything each time"
_METERS = "the switch does not take its meters, so copies and new connections are not limited"
_AGAIN = "the drops of a new rule are not there before the next bundle"
_UNCOPY = "copies that a consent no longer allows are not taken out before the next bundle"
_RAISE = "the port of a VM stays down"


@dataclass(frozen=True)
class _Sent:
    """What was sent past the cycle and waits for its barrier."""

    vfn: str
    rule: str | None = None
    """The rule whose drops they are."""
    refused: str = ""
    """If it is no rule's: what to say when the switch refuses it."""
    leads_to: Event | None = None
    """If it is no rule's: what that means for the VFN's machine."""


@dataclass(frozen=True)
class Work:
    """A VFN to compile, with everything as it was when the work was given out."""

    vfn: str
    network: Network
    rules: frozenset[str]
    """Ids of the rules that concern the VFN."""
    serial: int
    """Rises with every change of the network."""


class Enforcer:
    """The VFNs of an inventory. Times are seconds of a clock that never goes back.

    Args:
        payload_rate: packets per second that are copied of a VM whose payload is inspected.
        taps: what is copied of every VM.
        way: whose right of way compiling gives to whom, where it is done in a thread.
    """

    def __init__(
        self,
        inventory: Inventory,
        codec: SwitchCodec,
        settings: OpenFlowSettings,
        payload_rate: int = _PAYLOAD_RATE,
        taps: Taps = _USUAL_TAPS,
        way: Way | None = None,
    ) -> None:
        self._inventory = inventory
        self._codec = codec
        self._network = Network(inventory, taps=taps)
        self._way = Way() if way is None else way
        self._compiler = Compiler(self._cookies)
        self._rules_of: dict[str, frozenset[str]] = dict.fromkeys(inventory.vfns, frozenset())
        self._measures: dict[str, dict[str, FirewallRule]] = {name: {} for name in inventory.vfns}
        """Limits and steering, by the id of their rule."""
        self._behind: dict[str, None] = {}
        self._serial = 0
        self._at_work: str | None = None
        self._hurried: dict[str, int] = {}
        self._meanings = Meanings(inventory)
        self._cuts = Cuts(inventory)
        self._own_vms = {name: [vm for vm in inventory.vms.values() if vm.vfn == name] for name in inventory.vfns}
        self._metering = Metering(inventory, self._own_vms, settings, payload_rate)
        self._past: dict[int, _Sent] = {}
        self._requests = itertools.count(_PAST_REQUESTS)
        self._held: list[tuple[str, int]] = []
        self._held_since = 0.0
        self._earliest = _NEVER
        """No VFN has anything due before."""
        self.states = {name: VfnState(settings.reconcile_seconds, settings.audit_seconds) for name in inventory.vfns}

    def change_rules(self, turned: Mapping[str, tuple[FirewallRule, ...]]) -> None:
        """These rules belong into the switches now, by id; those that mean nothing do no longer.

        VFNs for which something changed follow by `next_work`. What is asked for already causes nothing.
        """
        before = self._network.rules
        changed = {rule: group for rule, group in turned.items() if before.get(rule, ()) != group}
        if not changed:
            return
        rules = {**before, **changed}
        for rule in [rule for rule, group in changed.items() if not group]:
            del rules[rule]
        self._change(rules=rules)
        concerned: dict[str, set[str]] = defaultdict(set)
        for rule, group in changed.items():
            for firewall in (*before.get(rule, ()), *group):
                concerned[firewall.vfn].add(rule)
                self._measures[firewall.vfn].pop(rule, None)
            self._measure(group)
        for vfn, some in concerned.items():
            here = {rule for rule in some if any(one.vfn == vfn for one in changed[rule])}
            self._rules_of[vfn] = self._rules_of[vfn] - some | here
            self._behind[vfn] = None
        self.remember(changed)

    def _measure(self, group: Iterable[FirewallRule]) -> None:
        for firewall in filter(is_measure, group):
            self._measures[firewall.vfn][firewall.rule_id] = firewall

    def remember(self, rules: Mapping[str, tuple[FirewallRule, ...]]) -> None:
        """These rules are, or were, in force: they may have left ports down."""
        for group in rules.values():
            self._cuts.remember(group)

    def set_policy(self, policy: Policy) -> None:
        """What people have laid down. The VFNs follow by `next_work`."""
        if policy is not self._network.policy:
            self._change(policy=policy)
            self._behind |= dict.fromkeys(self.states)

    def set_inspected(self, vms: frozenset[str], now: float) -> Outcome:
        """Whose payload is to be copied, by name. Copies of others end at once, new ones begin by `next_work`."""
        before, outcome = self._network.inspected, Outcome()
        if vms == before:
            return outcome
        self._change(inspected=vms)
        for vfn, own in self._own_vms.items():
            if any(vm.name in before ^ vms for vm in own):
                self._behind[vfn] = None
            if gone := [vm for vm in own if vm.name in before - vms]:
                outcome.add(self._uncopy(vfn, gone, now))
        return outcome

    def _uncopy(self, vfn: str, vms: Iterable[Vm], now: float) -> Outcome:
        """Delete the copies of these VMs ahead of the VFN's cycle, which then makes sure that they are gone."""
        state = self.states[vfn]
        if state.phase is Phase.AWAY:
            return Outcome()
        self._hurried[vfn] = self._serial  # what is being compiled would put them back
        if state.phase is Phase.IDLE and not state.fresh:
            return Outcome()  # just connected: nothing may be done by its goal of before, with other ports perhaps
        ports = self._network.ports[vfn]
        there = [entry for vm in vms if vm.port in ports for entry in whatever_copies(vm, ports[vm.port])]
        copies = dict(zip(self._codec.cookies(there), there, strict=True))
        held = {cookie: entry for cookie, entry in copies.items() if cookie in state.desired}
        if not held:
            return Outcome()
        goal = replace(state.goal, entries=state.desired.without(held), size=state.goal.size - len(held))
        sent = self._send_past(_Sent(vfn, refused=_UNCOPY), self._codec.remove(held))
        outcome = Outcome(control=[sent])
        outcome.add(self._step(vfn, Wanted(goal, {}, held), now))
        return outcome

    def follows(self, vfn: str) -> bool:
        """Is it connected, and was it read back with what the present policy and rules ask of it?"""
        return self.states[vfn].in_sync and vfn not in self._behind and vfn != self._at_work

    @property
    def compiling(self) -> bool:
        """Is a VFN still to be compiled?"""
        return bool(self._behind) or self._at_work is not None

    @property
    def behind(self) -> int:
        """How many VFNs `next_work` has to give out; none while one is being compiled."""
        return len(self._behind) if self._at_work is None else 0

    def next_work(self) -> Work | None:
        """A VFN to compile, which may take long: to be done by `compile` and then given to `want`. One at a time."""
        while self.behind:
            vfn = next(iter(self._behind))
            del self._behind[vfn]
            if self.states[vfn].phase is not Phase.AWAY:
                self._at_work = vfn
                return Work(vfn, self._network, self._rules_of[vfn], self._serial)
        return None

    def compile(self, work: Work) -> Desired:
        """What the VFN must hold. Touches nothing but the compiler, so it may run in a thread, one at a time."""
        self._way.begin()
        return self._compiler.compile(work.network, work.vfn)

    def _cookies(self, entries: Sequence[TableEntry]) -> Sequence[int]:
        """Of a layer that is being compiled."""
        self._way.give()
        return self._codec.cookies(entries)

    def want(self, work: Work, entries: Desired, now: float) -> Outcome:
        """Give a VFN's machine what it must hold."""
        vfn, self._at_work = work.vfn, None
        if self.states[vfn].phase is Phase.AWAY:
            return Outcome()
        if work.serial < self._hurried.get(vfn, 0):
            return Outcome()  # it knows nothing yet of drops that have been sent since, and would take them out
        before = self.states[vfn].goal
        added, removed = entries.difference(before.entries)
        size = before.size + len(added) - len(removed)
        meters = self._metering.of(vfn, self._network, self._measures[vfn].values())
        goal = Goal(entries, size, work.rules, work.network.policy.version, meters)
        outcome = self._step(vfn, Wanted(goal, added, removed), now)
        if self._meanings.follow(vfn, added, removed):
            outcome.renamed.add(vfn)
        return outcome

    def send_urgent(self, rule: str, now: float) -> Outcome:
        """Send the drops of a rule to its VFNs at once, ahead of their cycles, and take down the ports that it cuts."""
        outcome = Outcome()
        group = self._network.rules[rule]
        for vfn in dict.fromkeys(firewall.vfn for firewall in group):
            if self.states[vfn].phase is Phase.AWAY:
                continue
            ports = self._network.ports[vfn]
            beside = [one for other, one in self._measures[vfn].items() if other != rule]
            entries = compile_urgent(self._inventory, vfn, ports, group, beside)
            down = self._cuts.take_down(vfn, group, ports)
            if entries or down:
                meters = self._missing(vfn, {meter for entry in entries for meter in entry.meters})
                body = self._codec.set_meters(meters, meters.keys() & self.states[vfn].meters.keys())
                body += b"".join(map(self._codec.add, entries))
                outcome.control.append(self._send_past(_Sent(vfn, rule), body, down=down))
                self._hurried[vfn] = self._serial
                ahead = Ahead(dict(zip(self._codec.cookies(entries), entries, strict=True)), meters)
                outcome.add(self._step(vfn, ahead, now))
        return outcome

    def _missing(self, vfn: str, meters: Iterable[int]) -> dict[int, int]:
        """Those of these meters that a VFN does not have, or with another rate, as far as is known."""
        wanted = self._metering.limits(vfn, self._network, self._measures[vfn].values())
        there = self.states[vfn].meters
        return {number: wanted[number] for number in sorted(meters) if there.get(number) != wanted[number]}

    def up(self, vfn: str, ports: Mapping[str, int], down: Iterable[int], now: float) -> Outcome:
        """A VFN has connected.

        Args:
            ports: OpenFlow port number by interface name.
            down: numbers of the ports that are administratively down.
        """
        outcome = self._step(vfn, Up(), now)
        watch = _Sent(vfn, refused=_WATCH, leads_to=Unwatched())
        outcome.control.append(self._send_past(watch, self._codec.watch(), entries=False))
        self.ports(vfn, ports, down)
        return outcome

    def ports(self, vfn: str, ports: Mapping[str, int], down: Iterable[int]) -> None:
        """A VFN's ports are these now."""
        self._cuts.told(vfn, down)
        if ports != self._network.ports.get(vfn):
            self._change(ports={**self._network.ports, vfn: dict(ports)})
        self._behind[vfn] = None

    def down(self, vfn: str, now: float) -> Outcome:
        """A VFN is gone."""
        self._past = {request: sent for request, sent in self._past.items() if sent.vfn != vfn}
        self._hurried.pop(vfn, None)
        return self._step(vfn, Down(), now)

    def all_down(self, now: float) -> Outcome:
        """Control is gone, and all VFNs with it."""
        outcome = Outcome()
        for vfn in self.states:
            outcome.add(self.down(vfn, now))
        return outcome

    def installed(self, vfn: str, request: int, kind: str, body: bytes, last: bool, now: float) -> Outcome:
        """A part of a reading.

        Args:
            kind: `flows`, `meters` or `tables`.

        Raises:
            runtime.errors.TransientError: the body is not what `kind` says.
        """
        if request != self.states[vfn].request:
            return Outcome()  # of an earlier connection; decoding it would take time
        event: Event
        if kind == "tables":
            event = Counted(request, self._codec.decode_counts(body))
        elif kind == "meters":
            event = Installed(request, meters=self._codec.decode_meters(body), last=last)
        else:
            event = Installed(request, self._codec.decode(body), last=last)
        return self._step(vfn, event, now)

    def changed(self, vfn: str, body: bytes, now: float) -> Outcome:
        """A VFN's flow monitor reports.

        Raises:
            runtime.errors.TransientError: the body is no report.
        """
        return self.touched(vfn, now) if self._codec.decode_changes(body) else Outcome()

    def touched(self, vfn: str, now: float) -> Outcome:
        """Others may have changed what a VFN holds."""
        return self._step(vfn, Touched(), now)

    def applied(
        self, vfn: str, request: int, seconds: float, errors: Sequence[Mapping[str, Any]], now: float
    ) -> Outcome:
        """A barrier has come back."""
        if request < _PAST_REQUESTS:
            return self._step(vfn, Applied(request, seconds, errors), now)
        sent = self._past.pop(request, None)
        if sent is None:
            return Outcome()
        if sent.rule is not None:
            return Outcome(news=[News(vfn, UrgentDone(sent.rule, seconds, errors))])
        if not errors:
            return Outcome()
        outcome = Outcome(news=[News(vfn, Refusal(sent.refused, errors))])
        if sent.leads_to is not None:
            outcome.add(self._step(vfn, sent.leads_to, now))
        return outcome

    def timer(self, now: float) -> Outcome:
        """Time has passed."""
        outcome = Outcome(control=self._release(now))
        if self._earliest <= now:
            for vfn, state in self.states.items():
                if state.due is not None and state.due <= now:
                    outcome.add(self._step(vfn, Timer(), now))
            self._earliest = min((state.due for state in self.states.values() if state.due is not None), default=_NEVER)
        return outcome

    def next_time(self) -> float | None:
        """When `timer` will next have something to do, or a little earlier."""
        earliest = min(self._earliest, self._held_since + _HOLD_SECONDS) if self._held else self._earliest
        return None if earliest == _NEVER else earliest

    def missing_ports(self, vfn: str) -> tuple[str, ...]:
        """Interface names of the inventory that a connected VFN does not have."""
        return missing_ports(self._inventory, vfn, self._network.ports.get(vfn, {}))

    def ports_of(self, vfn: str) -> Mapping[str, int]:
        """OpenFlow port number by interface name, as last told; none: it has not connected yet."""
        return self._network.ports.get(vfn, {})

    def suspects(self, vfn: str, errors: Iterable[Mapping[str, Any]]) -> frozenset[str]:
        """Ids of the rules whose entries a switch refused, as far as its errors tell."""
        return frozenset(rule for entry in self._refused(vfn, errors) for rule in entry.rules)

    def refused_copies(self, vfn: str, errors: Iterable[Mapping[str, Any]]) -> frozenset[str]:
        """Names of the VMs the copies of whose payload a switch refused, likewise."""
        refused = {copied_port(entry) for entry in self._refused(vfn, errors)} - {None}
        ports = self._network.ports.get(vfn, {})
        return frozenset(vm.name for vm in self._own_vms[vfn] if ports.get(vm.port) in refused)

    def _refused(self, vfn: str, errors: Iterable[Mapping[str, Any]]) -> list[TableEntry]:
        cookies = {self._codec.failed_cookie(bytes.fromhex(error["data"])) for error in errors}
        desired = self.states[vfn].desired
        return [desired[cookie] for cookie in cookies if cookie is not None and cookie in desired]

    def cookies(self, vfn: str) -> Message:
        """What the counted entries of a VFN stand for, for the analyzer."""
        return Message("cookies", {"dpid": self._dpid(vfn), "entries": self._meanings.of(vfn)})

    def _change(self, **parts: Any) -> None:
        self._network = replace(self._network, **parts)
        self._serial += 1

    def _step(self, vfn: str, event: Event, now: float) -> Outcome:
        state, commands = step(self.states[vfn], event, now, self._codec.differences)
        self.states[vfn] = state
        if state.due is not None:
            self._earliest = min(self._earliest, state.due)
        outcome = Outcome()
        for command in commands:
            if isinstance(command, Read) and command.cookies is None and state.rounds and self.compiling:
                self._hold(vfn, command.request, now)
            else:
                outcome.control += self._messages(vfn, command)
            if not isinstance(command, (Read, Count, Again, DropMeters)):
                outcome.news.append(News(vfn, command))
        return outcome

    def _hold(self, vfn: str, request: int, now: float) -> None:
        """Put a reading of what has just been sent off: what others have not been sent yet comes first."""
        if not self._held:
            self._held_since = now
        self._held.append((vfn, request))

    def _release(self, now: float) -> list[Message]:
        """Readings that have waited long enough, but for those that nobody waits for any more."""
        if not self._held or (self.compiling and now < self._held_since + _HOLD_SECONDS):
            return []
        held, self._held = self._held, []
        due = [(vfn, Read(request)) for vfn, request in held if self.states[vfn].request == request]
        return [message for vfn, read in due for message in self._messages(vfn, read)]

    def _messages(self, vfn: str, command: Command) -> list[Message]:
        """What a command of a VFN's machine means for control."""
        match command:
            case Read(request, None):
                return [self._message("read", vfn, request, self._codec.read_meters() + self._codec.read())]
            case Read(request, cookies):
                return [self._message("read", vfn, request, self._codec.read(cookies))]
            case Count(request):
                return [self._message("read", vfn, request, self._codec.count())]
            case Apply():
                return self._bundle(vfn, command)
            case Again(entries):
                return [self._send_past(_Sent(vfn, refused=_AGAIN), b"".join(map(self._codec.add, entries)))]
            case DropMeters(meters):
                return [self._send_past(_Sent(vfn, refused=_METERS), self._codec.drop_meters(meters), entries=False)]
            case Synced():
                held = self.states[vfn].rules
                up = self._cuts.bring_up(vfn, held, self._network.rules.keys(), self._network.ports[vfn])
                return [self._send_past(_Sent(vfn, refused=_RAISE), b"", entries=False, up=up)] if up else []
        return []

    def _bundle(self, vfn: str, apply: Apply) -> list[Message]:
        """The meters go first: the entries name them."""
        messages = []
        if apply.meters:
            meters = self._codec.set_meters(apply.meters, apply.there)
            messages.append(self._send_past(_Sent(vfn, refused=_METERS), meters, entries=False))
        bundle = self._codec.change(apply.add, apply.delete, apply.remove, apply.request)
        more = {"rules": _named(apply), "freed": any(map(_stops, apply.remove.values()))}
        return [*messages, self._message("apply", vfn, apply.request, bundle, urgent=False, **more)]

    def _send_past(
        self, sent: _Sent, body: bytes, *, entries: bool = True, down: Sequence[int] = (), up: Sequence[int] = ()
    ) -> Message:
        """Messages that go past the cycle of a VFN, with ports to take down or bring up.

        Args:
            entries: do they change entries? Then the next reading waits until packets meet them.
        """
        request = next(self._requests)
        self._past[request] = sent
        while len(self._past) > _MOST_PAST:
            del self._past[next(iter(self._past))]
        ports = {key: list(numbers) for key, numbers in (("down", down), ("up", up)) if numbers}
        rules = [] if sent.rule is None else [sent.rule]
        return self._message("apply", sent.vfn, request, body, urgent=True, entries=entries, rules=rules, **ports)

    def _message(self, kind: str, vfn: str, request: int, body: bytes, **more: Any) -> Message:
        return Message(kind, {"dpid": self._dpid(vfn), "request": request, **more}, body)

    def _dpid(self, vfn: str) -> int:
        return self._inventory.vfns[vfn].dpid


def _stops(entry: TableEntry) -> bool:
    """Does it keep packets from where they were to go?"""
    return entry.drops and entry.table <= Table.DENIED


def _named(apply: Apply) -> list[str]:
    """Some of the rules that a bundle is about."""
    changed = itertools.islice(itertools.chain(apply.add.values(), apply.remove.values()), _MOST_NAMED)
    return sorted({rule for entry in changed for rule in entry.rules})[:_MOST_NAMED]
