"""A thousand rules with random lives while switches, store and process fail: what has become of each in the end.

Rules come from people and from the analyzer, wait, are approved, rejected, merged, released, rolled back, escalate,
expire and relapse, for ten minutes of virtual time. Then everything works again, and all that was begun is finished.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.dse.node import Node, in_memory
from benchmarks.rows import Row
from policies.lifecycle import OVER
from policies.rules import RuleState
from runtime.settings import EngineSettings
from topology.inventory import parse
from topology.model import Inventory

RULES = 1000
SECONDS = 600.0
_STEP_SECONDS = 5.0
_SETTLED_WITHIN = 7200.0
_VFNS, _VMS, _SEGMENTS = 2, 64, 4
_UNDER_WAY = (RuleState.INSTALLING, RuleState.FAILED, RuleState.APPROVED)
_AFTER_END = (*OVER, RuleState.PROBATION, RuleState.EXPIRING)
SETTINGS = EngineSettings(
    isolation_seconds=60,
    repeat_seconds=(120, 300),
    probation_seconds=45,
    proposal_seconds=90,
    rejected_seconds=60,
    budget_seconds=120,
    budget_vms=6,
)


def network() -> Inventory:
    """VMs on VFNs in a row, two of them protected, and a world outside."""
    lines = ["segments: {" + ", ".join(f"s{number}: " for number in range(_SEGMENTS)) + "}"]
    lines.append("vfns: {" + ", ".join(f"v{number}: {{dpid: {number + 1}}}" for number in range(_VFNS)) + "}")
    cables = (f"{{a: v{n}, a_port: l{n}, b: v{n + 1}, b_port: r{n}}}" for n in range(_VFNS - 1))
    lines.append("links: [" + ", ".join(cables) + "]")
    lines.append("outside: {gate: {vfn: v0, port: gate, mac: '02:00:00:00:ff:01'}}")
    lines.append("vms:")
    for number in range(_VMS):
        protected = ", protected: true" if number < 2 else ""
        lines.append(
            f"  m{number}: {{segment: s{number % _SEGMENTS}, vfn: v{number % _VFNS}, port: p{number}, "
            f"mac: '02:00:00:00:{number // 256:02x}:{number % 256:02x}', addresses: [10.0.0.{number + 1}]{protected}}}"
        )
    return parse("\n".join(lines))


@dataclass
class Count:
    """What a run did, and what was wrong in the end, in words."""

    rules: int = 0
    most: int = 0
    """Rules that were not over at the same time, at most."""
    states: dict[str, int] = field(default_factory=dict)
    restarts: int = 0
    wrong: list[str] = field(default_factory=list)
    """Rules whose state is not what their history says, or what somebody was answered."""
    differing: list[str] = field(default_factory=list)
    """Entries that a switch lacks, or has beside what the store asks for."""


class Lives:
    """A run of random rules."""

    def __init__(self, folder: Path, seed: int, rules: int = RULES, settings: EngineSettings = SETTINGS) -> None:
        self.random = random.Random(seed)
        self.inventory = network()
        self.node = Node(self.inventory, folder / "dynseg.sqlite", settings)
        self.rules = rules
        self.most = 0
        self.answered: dict[int, str] = {}
        """Requests whose answer is awaited, and what they were about."""
        self.ended: set[str] = set()
        """Rules of which somebody was told that they have ended."""
        self.begun: set[str] = set()
        """Rules of which somebody was told that they are there."""
        self._proposal = 0
        self._vms = list(self.inventory.vms)
        for vfn in self.inventory.vfns:
            self.node.connect(vfn)
        self.node.run()

    def live(self, seconds: float) -> None:
        """Random lives for so long, with failures."""
        end = self.node.time.now + seconds
        self._populate(fast=True)
        while self.node.time.now < end:
            self._fail()
            self._populate()
            for _ in range(self.random.randrange(self.rules // 100 + 8)):
                self._meet()
            self.node.run(self.random.choice((None, None, None, 3)))
            self._listen()
            self.node.pass_time(_STEP_SECONDS)
        self.node.run()

    def settle(self) -> None:
        """Everything works again; wait until nothing is under way."""
        self.node.empty_tables()
        for vfn in self.inventory.vfns:
            if vfn not in self.node.connected:
                self.node.connect(vfn)
        end = self.node.time.now + _SETTLED_WITHIN
        while self.node.time.now < end:
            self.node.run()
            self._listen()
            under_way = (r.leaving or r.state in _UNDER_WAY for r in self.node.engine.book.records.values())
            if not any(under_way):
                return
            self.node.pass_time(_STEP_SECONDS)

    def _populate(self, *, fast: bool = False) -> None:
        """As many rules as there are to be, or some more than there were."""
        tries = self.rules * 3 if fast else self.rules // 50 + 5
        while tries and len(self.node.engine.book.records) < self.rules:
            tries -= 1
            self._issue()
            if not fast and self.random.random() < 0.05:
                self.node.run(3)
        self.node.run()
        self._listen()
        self.most = max(self.most, sum(not one.over for one in self.node.engine.book.records.values()))

    def _issue(self) -> None:
        chance, killed = self.random.random(), self.random.random() < 0.002
        seconds = self.random.choice((None, self.random.uniform(5, 900)))
        mode = self.random.choice(("enforce",) * 8 + ("propose",))
        if chance < 0.45:
            deny = {"action": "deny", "source_ip": self._address()}
            self._ask("create", {**deny, "seconds": seconds, "mode": mode}, killed)
        elif chance < 0.6:
            allow = {"action": "allow", "source_ip": self._address(), "destination_vm": self.random.choice(self._vms)}
            service = {"protocol": "tcp", "port": self.random.randrange(1, 1000)}
            self._ask("create", {**allow, **service, "seconds": seconds, "mode": mode}, killed)
        elif chance < 0.65:
            self._ask("isolate", {"name": self.random.choice(self._vms), "seconds": seconds}, killed)
        else:
            self._propose(killed)

    def _propose(self, killed: bool) -> None:
        self._proposal += 1
        action = self.random.choice(("isolate", "rate_limit", "deny", "deny", "deny", "restrict"))
        whom: dict[str, Any] = {"source_ip": self._address()}
        if action in ("isolate", "restrict") or (action == "rate_limit" and self.random.random() < 0.5):
            whom = {"source_vm": self.random.choice(self._vms)}
        more = {"peers": [{"net": "10.0.0.0/28", "protocol": "tcp", "port": 443}]} if action == "restrict" else {}
        data = {"proposal": self._proposal, "action": action, **whom, **more, "risk": self.random.uniform(30, 100)}
        evidence = self.node.time.now - self.random.choice((0.0, 0.0, 0.0, 300.0))
        self.node.say("propose", {**data, "reasons": ["random"], "evidence_time": evidence}, killed)

    def _address(self) -> str:
        return f"198.18.{self.random.randrange(16)}.{self.random.randrange(256)}"

    def _meet(self) -> None:
        """Something happens to a rule, or to all."""
        records = list(self.node.engine.book.records.values())
        if not records:
            return
        record = self.random.choice(records)
        identity, waits = record.rule.id, record.state is RuleState.PROPOSED
        match self.random.random():
            case chance if chance < 0.5:
                flag = {"false_alarm": self.random.random() < 0.2}
                self._ask("release", {"id": identity, **flag}, self.random.random() < 0.002)
            case chance if chance < 0.7 or waits:
                self._ask(self.random.choice(("approve", "reject")), {"id": identity}, False)
            case chance if chance < 0.8 and record.standing:
                self.node.turn(lambda: self.node.engine.roll_back(identity, "it does harm", {"flows": 7}))
            case chance if chance < 0.9:
                self.node.say("calm", {"vm": self.random.choice(self._vms), "since": self.node.time.now})
            case chance if chance < 0.92:
                self._ask("hold", {"on": self.random.random() < 0.3}, False)
            case chance if chance < 0.93:
                segment, mode = self.random.choice(("s1", "s2")), self.random.choice(("propose", None))
                self._ask("set_modes", {"segments": {segment: mode}}, False)

    def _fail(self) -> None:
        """Something breaks, or works again."""
        vfn = self.random.choice(list(self.inventory.vfns))
        match self.random.random():
            case chance if chance < 0.03:
                self.node.restart()
            case chance if chance < 0.05:
                self.node.fill_disk()
            case chance if chance < 0.1 and vfn in self.node.connected:
                self.node.disconnect(vfn)
            case chance if chance < 0.25 and vfn not in self.node.connected:
                self.node.connect(vfn, empty=self.random.random() < 0.3)
            case chance if chance < 0.29:
                self.node.fill_tables(vfn, self.random.randrange(4))
            case chance if chance < 0.6:
                self.node.empty_tables()

    def _ask(self, method: str, params: dict[str, Any], killed: bool) -> None:
        given = {key: value for key, value in params.items() if value is not None or key == "segments"}
        request = self.node.call(method, self.random.choice(("anna", "bert")), given, killed)
        self.answered[request] = method

    def _listen(self) -> None:
        """What was answered has to be true in the end."""
        for request, (status, value) in self.node.results.items():
            method = self.answered.pop(request)
            if method in ("create", "isolate", "approve") and status < 300:
                self.begun.add(value["id"])
            elif method in ("release", "reject") and status < 300:
                self.ended.add(value["id"])
        self.node.results.clear()
        for message in self.node.told:
            if message.kind == "decided" and message.data["state"] != "refused":
                self.begun.add(message.data["rule"])
        self.node.told.clear()

    def verdict(self) -> Count:
        """What has become of everything."""
        node, count = self.node, Count(restarts=self.node.starts - 1, most=self.most)
        count.wrong = [*_history(self), *_unfinished(self)]
        count.differing = _differences(node)
        for record in node.store.rules(limit=10_000_000):
            count.rules += 1
            count.states[record.state] = count.states.get(record.state, 0) + 1
        return count


def _history(lives: Lives) -> list[str]:
    """The audit log, read from its first row, tells the state of every rule; so does what people were answered."""
    store, now = lives.node.store, lives.node.time.now
    states: dict[str, Any] = {}
    expires: dict[str, float | None] = {}
    rows, after = store.audit(0, 10_000), 0
    while rows:
        for row in rows:
            if (state := row.body.get("state")) is not None:
                states |= dict.fromkeys(row.body.get("rules", [row.body.get("rule")]), state)
            if row.kind in ("admitted", "proposed", "merged"):
                expires[row.body["rule"]] = row.body.get("expires")
        after = rows[-1].seq
        rows = store.audit(after, 10_000)
    known = {record.rule.id: record for record in store.rules(limit=10_000_000)}
    wrong = [f"{identity} was answered for, and is not in the store" for identity in lives.begun - known.keys()]
    for identity, record in known.items():
        end = expires.get(identity, record.rule.expires)
        if states.get(identity) != record.state:
            wrong.append(f"{identity} is {record.state}, its history says {states.get(identity)}")
        elif store.history(identity)[-1][1] is not record.state:
            wrong.append(f"{identity} is {record.state}, its list of changes ends otherwise")
        elif identity in lives.ended and record.state not in _AFTER_END:
            wrong.append(f"{identity} is {record.state}, and somebody was told that it has ended")
        elif record.standing and end is not None and end <= now:
            wrong.append(f"{identity} is {record.state}, though its time is over")
        elif record.until is not None and record.until <= now:
            wrong.append(f"{identity} is {record.state}, though that is over")
    return wrong


def _unfinished(lives: Lives) -> list[str]:
    """Whatever is not over is known to the engine, and whatever stands is read back from every switch."""
    book, wrong = lives.node.engine.book, []
    for record in lives.node.store.pending():
        mine = book.records.get(record.rule.id)
        if mine is None or mine.state is not record.state:
            wrong.append(f"{record.rule.id} is {record.state} in the store, and otherwise to the engine")
        elif record.leaving or record.state in _UNDER_WAY:
            wrong.append(f"{record.rule.id} is still {record.state}")
    return wrong


def _differences(node: Node) -> list[str]:
    """Another engine on the same store asks for just the entries that the switches hold."""
    held = {vfn: dict(switch.entries) for vfn, switch in node.switches.items()}
    for vfn in node.switches:  # meters that no entry names any more go with the next whole reading: here it is
        node.disconnect(vfn)
        node.connect(vfn)
    node.run()
    before = node.written
    node.restart()
    node.run()
    found = [f"{node.written - before} times something was sent after a restart"] if node.written > before else []
    for vfn, switch in node.switches.items():
        desired = {entry.cookie for entry in held[vfn].values()} ^ set(node.engine.enforcer.states[vfn].desired)
        found += [f"{vfn}: entry {cookie:#x}" for cookie in desired]
        if switch.down:
            found.append(f"{vfn}: ports {sorted(switch.down)} are down")
    return found


def rows(out: Path, progress: Callable[[str], None] = print) -> list[Row]:
    """Rules that end otherwise than their history says, and what switches hold otherwise than the store."""
    progress(f"{RULES:,} rules for {SECONDS / 60:.0f} minutes of virtual time ...")
    with tempfile.TemporaryDirectory(prefix="lives-", dir=in_memory(out)) as folder:
        began = time.perf_counter()
        lives = Lives(Path(folder), seed=1)
        lives.live(SECONDS)
        lives.settle()
        count = lives.verdict()
        took = time.perf_counter() - began
        lives.node.store.close()
    told = ", ".join(f"{number} {state}" for state, number in sorted(count.states.items()))
    note = f"{count.most} at the same time at most; {count.restarts} restarts; in the end {told}; took {took:.0f} s"
    return [
        Row(f"of {count.rules:,} rules with random lives and failures, in another state than their history says",
            len(count.wrong), "rules", "<=", 0, count.rules, reason="; ".join([note, *count.wrong[:3]])),
        Row("entries or ports that switches then hold otherwise than the store asks for",
            len(count.differing), "entries", "<=", 0, count.rules, reason="; ".join(count.differing[:3]) or None),
    ]  # fmt: skip
