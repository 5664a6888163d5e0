"""All VFNs: what each must hold, what each was last seen to hold, and the messages in between.

Rules come in as firewall rules by id, the policy whole, events of VFNs as control tells them; what goes out are messages
for control and news for the engine. No decision about a rule is made here.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from policies.acl import Policy
from policies.codec import InstalledEntry, SwitchCodec
from policies.cuts import Cuts
from policies.desired import Desired
from policies.entries import TableEntry
from policies.meanings import Meanings
from policies.pipeline.compile import Compiler, Network, compile_urgent, missing_ports
from policies.reconcile import step
from policies.rules import FirewallRule
from policies.vfnstate import (
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
from runtime.settings import OpenFlowSettings
from topology.model import Inventory

_ASIDE_REQUESTS = 1 << 32
"""Requests from here on are sends past the cycle; a VFN's cycle counts from 1."""
_MAX_ASIDE = 10_000


@dataclass(frozen=True)
class UrgentDone:
    """The barrier after an urgent send has come back."""

    rule: str
    seconds: float
    errors: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Refusal:
    """A VFN refuses what is no entry, and goes on without."""

    reason: str
    errors: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class News:
    """Something that the engine has to put on record or act upon."""

    vfn: str
    what: Command | UrgentDone | Refusal


@dataclass(frozen=True)
class Aside:
    """A send past the cycle that waits for its barrier."""

    vfn: str
    rule: str | None
    """The rule that it is for; None: no rule."""
    refused: str
    """What to say when the switch refuses it."""


@dataclass
class Outcome:
    """What follows from an event."""

    control: list[Message] = field(default_factory=list)
    news: list[News] = field(default_factory=list)
    renamed: set[str] = field(default_factory=set)
    """VFNs whose cookies now mean something else to the analyzer."""

    def add(self, other: Outcome) -> None:
        """Take in what follows from another event."""
        self.control += other.control
        self.news += other.news
        self.renamed |= other.renamed


@dataclass(frozen=True)
class Work:
    """A VFN to compile, and the network as it was when the work was given out."""

    vfn: str
    network: Network


class Enforcer:
    """The VFNs of an inventory. Times are seconds of a clock that never goes back."""

    def __init__(self, inventory: Inventory, codec: SwitchCodec, settings: OpenFlowSettings) -> None:
        self._inventory = inventory
        self._codec = codec
        self._settings = settings
        self._network = Network(inventory)
        self._compiler = Compiler(codec.cookies)
        self._rules_of: dict[str, frozenset[str]] = dict.fromkeys(inventory.vfns, frozenset())
        self._behind: dict[str, None] = {}
        self._meanings = Meanings(inventory)
        self._cuts = Cuts(inventory)
        self._aside: dict[int, Aside] = {}
        self._requests = itertools.count(_ASIDE_REQUESTS)
        self.states = {
            name: VfnState(settings.reconcile_seconds, settings.audit_seconds) for name in inventory.vfns
        }

    def set_rules(self, rules: Mapping[str, tuple[FirewallRule, ...]]) -> None:
        """The rules that belong into the switches, by id. VFNs for which they changed follow by `next_work`."""
        before = self._network.rules
        changed = [rule for rule in before.keys() | rules.keys() if before.get(rule) is not rules.get(rule)]
        self._network = replace(self._network, rules=dict(rules))
        touched: dict[str, set[str]] = defaultdict(set)
        for rule in changed:
            for firewall in (*before.get(rule, ()), *rules.get(rule, ())):
                touched[firewall.vfn].add(rule)
        for vfn, some in touched.items():
            here = {rule for rule in some if any(one.vfn == vfn for one in rules.get(rule, ()))}
            self._rules_of[vfn] = self._rules_of[vfn] - some | here
            self._behind[vfn] = None

    def set_policy(self, policy: Policy) -> None:
        """What people have laid down. The VFNs follow by `next_work`."""
        if policy is not self._network.policy:
            self._network = replace(self._network, policy=policy)
            self._behind |= dict.fromkeys(self.states)

    def follows(self, vfn: str) -> bool:
        """Is it connected, and was it read back with what the present policy and rules ask of it?"""
        return self.states[vfn].in_sync and vfn not in self._behind

    @property
    def behind(self) -> bool:
        """Is there a VFN to compile?"""
        return bool(self._behind)

    def next_work(self) -> Work | None:
        """A VFN to compile, which may take long: to be done in the order given out, by `compile`, then `want`.

        Until then nothing of the VFN is judged by what it must hold no more.
        """
        while self._behind:
            vfn = next(iter(self._behind))
            if self.states[vfn].phase is not Phase.AWAY:
                return Work(vfn, self._network)
            del self._behind[vfn]
        return None

    def compile(self, work: Work) -> Desired:
        """What the VFN must hold. Touches nothing but the compiler, so it may run in a thread, one at a time."""
        return self._compiler.compile(work.network, work.vfn)

    def want(self, work: Work, entries: Desired, now: float) -> Outcome:
        """Give a VFN's machine what it must hold."""
        vfn = work.vfn
        if work.network is self._network:
            self._behind.pop(vfn, None)
        if self.states[vfn].phase is Phase.AWAY:
            return Outcome()
        before = self.states[vfn].goal.entries
        goal = Goal(entries, self._rules_of[vfn], work.network.policy.version, self._meters(vfn))
        outcome = self._step(vfn, Wanted(goal), now)
        if self._meanings.follow(vfn, entries, before):
            outcome.renamed.add(vfn)
        return outcome
