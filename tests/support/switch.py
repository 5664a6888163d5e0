"""The other end of the engine: switches that keep entries in memory, and a control that relays to them at once."""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.memory import TABLE_FULL, MemorySwitch, PlainCodec, Time
from policies.codec import Change
from policies.engine import Clock, Engine, Outgoing
from policies.pipeline.compile import missing_ports
from policies.service import Service
from policies.store import Store
from runtime.channel import Message
from runtime.settings import EngineSettings, OpenFlowSettings, PayloadSettings
from topology.model import Inventory

__all__ = ["TABLE_FULL", "MemorySwitch", "PlainCodec", "Site", "Time"]


class Site:
    """An engine with its store, switches in memory, and what it says to the analyzer and to people."""

    def __init__(self, inventory: Inventory, path: Path, settings: EngineSettings | None = None) -> None:
        self.inventory = inventory
        self.path = path
        self.time = Time()
        self.codec = PlainCodec()
        self.settings = settings or EngineSettings()
        self.switches = {name: MemorySwitch() for name in inventory.vfns}
        self.connected: set[str] = set()
        self.held: list[Message] | None = None
        """Messages to control that wait, when a test holds them."""
        self._requests = itertools.count(1)
        self.start()

    def start(self) -> None:
        """A new engine on the same database."""
        self.store = Store(self.path)
        clock = Clock(self.time, self.time)
        self.engine = Engine(
            self.inventory,
            self.codec,
            self.store,
            self.settings,
            OpenFlowSettings(copies_per_second=70, connections_per_second=30),
            PayloadSettings(patterns=self.path.parent / "patterns", packets_per_second=20),
            clock=clock,
        )
        self.service = Service(self.engine)
        self.to_analyzer: list[Message] = []
        self.results: dict[int, tuple[int, Any]] = {}
        self.sent: list[Message] = []

    def restart(self) -> None:
        """End the engine as a crash would, and start another one."""
        self.store.close()
        self.connected.clear()
        self.start()

    def ports(self, vfn: str) -> dict[str, int]:
        """Every port of a VFN, numbered."""
        return {name: number for number, name in enumerate(missing_ports(self.inventory, vfn, {}), 1)}

    def connect(self, *vfns: str) -> None:
        """VFNs come up with all their ports."""
        for vfn in vfns or self.inventory.vfns:
            self.connected.add(vfn)
            data = {"dpid": self.inventory.vfns[vfn].dpid, "ports": self.ports(vfn)}
            down = sorted(self.switches[vfn].down)
            self.pump(self.engine.from_control(Message("vfn_up", {**data, "down": down})))

    def disconnect(self, vfn: str) -> None:
        """A VFN goes; it keeps its entries."""
        self.connected.discard(vfn)
        self.pump(self.engine.from_control(Message("vfn_down", {"dpid": self.inventory.vfns[vfn].dpid})))

    def call(self, method: str, actor: str = "anna", **params: Any) -> tuple[int, Any]:
        """What a person asks."""
        request = next(self._requests)
        data = {"request": request, "method": method, "params": params, "actor": actor, "role": "operator"}
        self.pump(self.service.call(Message("call", data)))
        return self.results[request]

    def say(self, kind: str, **data: Any) -> None:
        """What the analyzer says."""
        self.pump(self.engine.from_analyzer(Message(kind, data)))

    def pass_time(self, seconds: float) -> None:
        """Let the engine notice that time has passed."""
        self.time.now += seconds
        self.pump(self.engine.timer())

    def pump(self, outgoing: Sequence[Outgoing]) -> None:
        """Deliver messages, and answers to them, until nothing is under way."""
        waiting = list(outgoing)
        while waiting or self.engine.enforcer.behind:
            waiting = waiting or self.engine.timer()
            if not waiting:
                continue
            out = waiting.pop(0)
            message = out.message
            if out.to == "analyzer":
                self.to_analyzer.append(message)
            elif message.kind == "result":
                self.results[message.data["request"]] = (message.data["status"], json.loads(message.body))
            elif self.held is not None:
                self.held.append(message)
            else:
                waiting += self._deliver(message)

    def deliver_held(self) -> None:
        """Stop holding messages and deliver them."""
        held, self.held = self.held or [], None
        self.pump([Outgoing("control", message) for message in held])

    def _deliver(self, message: Message) -> list[Outgoing]:
        self.sent.append(message)
        vfn = self.inventory.vfn_by_dpid[message.data["dpid"]].name
        if vfn not in self.connected:
            return []
        switch = self.switches[vfn]
        data = {"dpid": message.data["dpid"], "request": message.data["request"]}
        self.time.now += 0.001
        if message.kind == "read":
            parts = switch.read(message.body)
            answers = [
                Message("installed", {**data, "kind": kind, "last": number == len(parts)}, body)
                for number, (kind, body) in enumerate(parts, 1)
            ]
        else:
            ports = {key: message.data[key] for key in ("down", "up") if key in message.data}
            answers = [Message("applied", {**data, "seconds": 0.001, "errors": switch.apply(message.body, **ports)})]
        return [out for answer in answers for out in self.engine.from_control(answer)]

    def report(self, vfn: str, *changes: Change) -> None:
        """A VFN's flow monitor reports changes by others; none: its own."""
        data = {"dpid": self.inventory.vfns[vfn].dpid}
        self.pump(self.engine.from_control(Message("changed", data, pickle.dumps(changes))))

    def audit(self, kind: str | None = None) -> list[Mapping[str, Any]]:
        """Bodies of the audit log, of one kind if given."""
        return [row.body for row in self.store.audit(0, 10_000, kind)]

    def rule(self, identity: str) -> dict[str, Any]:
        """A rule as REST shows it."""
        status, value = self.call("rule", id=identity)
        assert status == 200
        return value
