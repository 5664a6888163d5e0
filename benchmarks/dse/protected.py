"""Whether an automatic rule ever takes anything from a protected VM or address, over random sequences of rules.

A sequence is a few proposals of the analyzer and rules of people about the same few VMs and addresses, in any order and
with any answer of people, judged by the book as in the engine, while the switch is read back now and then; what is
looked at are the firewall rules in force.
"""

from __future__ import annotations

import logging
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from benchmarks.dse.node import in_memory
from benchmarks.rows import Row
from policies.admission import Admitted, Held
from policies.book import Book
from policies.controls import Modes
from policies.rules import Action, FirewallRule, Mode, Network, Peer, Scope, SegmentationRule, Verdict
from policies.store import Store
from policies.translate import ANALYZER
from policies.vfnstate import Goal, Phase, VfnState
from runtime.errors import PolicyError
from runtime.settings import EngineSettings
from topology.inventory import parse

SEQUENCES = 100_000
_TOGETHER = 500
"""Sequences of one transaction."""
_APART_SECONDS = 40.0
"""Between two sequences: some rules of the one before still stand."""
_PROTECTED = ip_network("192.0.2.53/32")
SETTINGS = EngineSettings(
    protected=("192.0.2.53/32",), budget_vms=2, budget_seconds=120, isolation_seconds=60, repeat_seconds=(90, 120),
    probation_seconds=60, proposal_seconds=60, rejected_seconds=30, forget_seconds=3600,
)  # fmt: skip
NETWORK = parse(
    "segments: {web: , infra: }\nvfns: {v1: {dpid: 1}}\noutside: {gate: {vfn: v1, port: o, mac: '02:00:00:00:ff:01'}}\n"
    "vms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  web2: {segment: web, vfn: v1, port: w2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2]}\n"
    "  web3: {segment: web, vfn: v1, port: w3, mac: '02:00:00:00:00:03', addresses: [10.0.0.3], inspection: true}\n"
    "  dns1: {segment: infra, vfn: v1, port: n1, mac: '02:00:00:00:00:04', addresses: [10.0.0.53], protected: true}\n"
    "  gw1: {segment: web, vfn: v1, port: g1, mac: '02:00:00:00:00:05', addresses: [10.0.0.254], protected: true}\n"
)
_VMS = (*NETWORK.vms, "dns1", "gw1")
_NETS = tuple(map(ip_network, ("198.51.100.7/32", "192.0.2.53/32", "192.0.2.0/24", "0.0.0.0/0", "10.0.0.53/32")))
_ACTIONS = (Action.ISOLATE, Action.ISOLATE, Action.DENY, Action.RESTRICT, Action.RATE_LIMIT, Action.STEER, Action.ALLOW)


@dataclass
class Count:
    """What was tried, and what came of it."""

    sequences: int = 0
    judged: int = 0
    in_force: int = 0
    violations: int = 0


class Sequences:
    """Random sequences against one book."""

    def __init__(self, store: Store, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 1_000_000.0
        self.count = Count()
        self.book = Book(store, NETWORK, SETTINGS, self.now)
        self._number = 0

    def one(self) -> None:
        """A sequence; afterwards nothing of it may be against what is protected."""
        self.count.sequences += 1
        for _ in range(self.random.randrange(1, 5)):
            self.now += self.random.choice((0.0, 0.1, 5.0, 30.0))
            self.book.pass_time(self.now)
            if self.random.random() < 0.05:
                self._control()
            decision = self.book.judge(self._rule(), self.now)
            self.count.judged += 1
            self.count.in_force += isinstance(decision, Admitted)
            if isinstance(decision, (Held, Admitted)) and self.random.random() < 0.4:
                self._answer(decision.rule.id)
            self.count.violations += sum(1 for _ in self.against())
            if self.random.random() < 0.7:
                self._confirm()
        self.now += _APART_SECONDS

    def against(self) -> Iterator[FirewallRule]:
        """Firewall rules of automatic rules in force that keep anything from, or of, what is protected."""
        records, firewall = self.book.records, self.book.in_force()
        for identity, group in firewall.items():
            if records[identity].rule.issuer == ANALYZER:
                yield from (one for one in group if harms(one))

    def _confirm(self) -> None:
        """The switch is read back, and holds what it should."""
        goal = Goal(rules=frozenset(self.book.in_force()))
        self.book.confirm({"v1": VfnState(1.0, 1.0, Phase.IDLE, goal, goal, settled=True)}, self.now)

    def _rule(self) -> SegmentationRule:
        self._number += 1
        action, issuer = self.random.choice(_ACTIONS), self.random.choice((ANALYZER, ANALYZER, ANALYZER, "anna"))
        outside = action in (Action.DENY, Action.ALLOW) or (action is Action.RATE_LIMIT and self.random.random() < 0.3)
        vm, net = self.random.choice(_VMS), self.random.choice(_NETS)
        return SegmentationRule(
            f"{self._number:012x}",
            action,
            issuer,
            self.now,
            source_vm=None if outside else vm,
            source_ip=net if outside else None,
            destination_vm=vm if action is Action.ALLOW else None,
            scope=self.random.choice(tuple(Scope)) if action is Action.ISOLATE else Scope.ALL,
            peers=(Peer(ip_network("10.0.0.0/30")),) if action is Action.RESTRICT else (),
            target=self.random.choice(("web3", "web3", "dns1")) if action is Action.STEER else None,
            mirror=action is Action.STEER and self.random.random() < 0.5,
            mode=self.random.choice((Mode.ENFORCE, Mode.ENFORCE, Mode.ENFORCE, Mode.PROPOSE, Mode.OBSERVE)),
            risk=self.random.uniform(0, 100),
            ordinary=self.random.choice((0.0, 0.3)),
            evidence_time=self.now if issuer == ANALYZER else None,
            expires=None if issuer == ANALYZER else self.now + self.random.uniform(1, 200),
        )

    def _answer(self, identity: str) -> None:
        try:
            match self.random.randrange(4):
                case 0 | 1:
                    self.book.approve(identity, "bert", self.now)
                case 2:
                    self.book.reject(identity, "bert", "", self.now)
                case _:
                    self.book.release(identity, "bert", "", self.now, false_alarm=self.random.random() < 0.3)
        except PolicyError:
            return  # it is not in a state for that, which is an answer too

    def _control(self) -> None:
        self.book.hold(self.random.random() < 0.3, "anna", "", self.now)
        self.book.set_modes(Modes(segments={"web": self.random.choice((Mode.PROPOSE, Mode.ENFORCE))}), "anna", self.now)


def harms(firewall: FirewallRule) -> bool:
    """Does it drop, limit or divert what a protected VM or address sends or receives?"""
    passes = firewall.verdict is Verdict.ALLOW and not firewall.limits and firewall.target is None
    if firewall.mode is Mode.OBSERVE or firewall.mirror or passes:
        return False
    vms = {firewall.source_vm, firewall.destination_vm, firewall.cut_port_of}
    if any(NETWORK.vms[vm].protected for vm in vms if vm is not None):
        return True
    return any(_overlaps(net) for net in (firewall.source_net, firewall.destination_net) if net is not None)


def _overlaps(net: Network) -> bool:
    protected = [_PROTECTED, *(ip_network(a) for vm in NETWORK.vms.values() if vm.protected for a in vm.addresses)]
    return any(net.version == one.version and net.overlaps(one) for one in protected)


def run(folder: Path, sequences: int, seed: int) -> Count:
    """So many sequences."""
    with closing(Store(folder / "protected.sqlite")) as store:
        tried = Sequences(store, seed)
        while tried.count.sequences < sequences:
            with store.together():
                for _ in range(min(_TOGETHER, sequences - tried.count.sequences)):
                    tried.one()
    return tried.count


def rows(out: Path, progress: Callable[[str], None] = print) -> list[Row]:
    """Automatic rules against protected VMs and addresses."""
    progress(f"{SEQUENCES:,} random sequences of rules ...")
    logging.getLogger("dynseg").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="protected-", dir=in_memory(out)) as folder:
        began = time.perf_counter()
        count = run(Path(folder), SEQUENCES, seed=1)
        took = time.perf_counter() - began
    note = f"{count.judged:,} rules were judged, {count.in_force:,} came into force; took {took:.0f} s"
    measure = "protected VMs or addresses that an automatic rule was against, over random sequences of rules"
    return [Row(measure, count.violations, "times", "<=", 0, count.sequences, reason=note)]
