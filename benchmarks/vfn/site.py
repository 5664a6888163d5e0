"""The engine's enforcer and one real bridge, without the processes between them: control's part is played by a socket.

What the enforcer asks for is carried out in its order over a plain OpenFlow connection, and the answers go back to it.
Time between the events is only told, so that nobody has to wait for it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping

from benchmarks.vfn.openflow import Connection
from mininet_labs.errors import LabError
from policies.acl import Policy
from policies.enforcer import Enforcer
from policies.outcome import Outcome, Refusal
from policies.rules import SegmentationRule
from policies.translate import translate
from policies.vfnstate import Failed
from runtime.channel import Message
from runtime.settings import OpenFlowSettings
from ryu_apps.wire import multipart
from ryu_apps.wire.codec import WireCodec
from topology.model import Inventory

_KINDS = {multipart.FLOW: "flows", multipart.METER_CONFIG: "meters", multipart.TABLE: "tables"}
"""The engine's names of statistics."""


class Site:
    """One VFN that is kept by an enforcer.

    Args:
        inventory: has no VFN but this one.
        connection: with its bridge.
    """

    def __init__(self, inventory: Inventory, connection: Connection) -> None:
        self._settings = OpenFlowSettings()
        self._enforcer = Enforcer(inventory, WireCodec(), self._settings)
        (self._vfn,) = inventory.vfns
        self._connection = connection
        self._inventory = inventory
        self._issued: set[str] = set()
        self._now = 0.0
        self._decided = 0.0
        self.compile_seconds = 0.0
        """Of the last compile."""
        self.push_seconds = 0.0
        """Of the last bundle, from the decision to send it to the reply to its last barrier, encoding included."""

    @property
    def entries(self) -> int:
        """How many it must hold."""
        return len(self._enforcer.states[self._vfn].desired)

    def connect(self, policy: Policy, ports: Mapping[str, int] | None = None) -> None:
        """The VFN connects for the first time, with these ports, and is given this policy."""
        self._enforcer.set_policy(policy)
        self._settle(self._enforcer.up(self._vfn, ports or {}, (), self._now))

    def change(self, policy: Policy) -> None:
        """Another policy, until it has been read back."""
        self._enforcer.set_policy(policy)
        self._settle(Outcome())

    def enforce(self, *rules: SegmentationRule) -> None:
        """These segmentation rules and no others, until they have been read back; new ones go ahead of the rest."""
        asked = {rule.id: translate(rule, self._inventory) for rule in rules}
        self._enforcer.change_rules({**dict.fromkeys(self._issued, ()), **asked})
        outcome = Outcome()
        for rule in rules:
            if rule.id not in self._issued:
                outcome.add(self._enforcer.send_urgent(rule.id, self._now))
        self._issued = {rule.id for rule in rules}
        self._settle(outcome)

    def cycle(self) -> None:
        """The time for a look at the VFN has come."""
        self._now += self._settings.reconcile_seconds
        self._settle(self._enforcer.timer(self._now))

    def _settle(self, outcome: Outcome) -> None:
        """Do whatever follows, until nothing is left to do.

        Raises:
            LabError: the switch refused something, or does not hold what it should.
        """
        waiting = deque(self._taken(outcome))
        while True:
            while waiting:
                waiting += self._carry_out(waiting.popleft())
                waiting += self._told()
            work = self._enforcer.next_work()
            if work is None:
                break
            begin = time.perf_counter()
            entries = self._enforcer.compile(work)
            self.compile_seconds = time.perf_counter() - begin
            self._decided = time.perf_counter()
            waiting += self._taken(self._enforcer.want(work, entries, self._now))
        if not self._enforcer.states[self._vfn].in_sync:
            raise LabError(f"VFN {self._vfn} does not hold what it should")

    def _carry_out(self, message: Message) -> Iterable[Message]:
        request = message.data["request"]
        if message.kind == "apply":
            seconds = self._connection.transact(message.body)
            if not message.data["urgent"]:
                self.push_seconds = time.perf_counter() - self._decided
            return self._taken(self._enforcer.applied(self._vfn, request, seconds, (), self._now))
        parts = self._connection.ask(message.body)
        following: list[Message] = []
        for number, part in enumerate(parts, 1):
            self._decided = time.perf_counter()
            kind, last = _KINDS[part.kind], number == len(parts)
            following += self._taken(self._enforcer.installed(self._vfn, request, kind, part.body, last, self._now))
        return following

    def _told(self) -> list[Message]:
        """What follows from the reports of the flow monitor."""
        reports, self._connection.reports = self._connection.reports, []
        events = [self._enforcer.changed(self._vfn, report, self._now) for report in reports]
        return [message for outcome in events for message in self._taken(outcome)]

    def _taken(self, outcome: Outcome) -> list[Message]:
        for news in outcome.news:
            if isinstance(news.what, (Failed, Refusal)):
                raise LabError(f"VFN {news.vfn}: {news.what.reason}")
        return outcome.control
