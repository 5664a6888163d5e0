"""The other end of the engine: switches that keep entries in memory, and a control that relays to them at once."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import pickle
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from policies.codec import Change, InstalledEntry
from policies.engine import Clock, Engine, Outgoing
from policies.entries import OWNER, OWNER_SHIFT, TableEntry
from policies.pipeline.compile import missing_ports
from policies.service import Service
from policies.store import Store
from runtime.channel import Message
from runtime.settings import EngineSettings, OpenFlowSettings, PayloadSettings
from topology.model import Inventory

TABLE_FULL = {"type": 5, "code": 1}


class PlainCodec:
    """A `SwitchCodec` whose messages are pickled values."""

    def cookie(self, entry: TableEntry) -> int:
        content = repr((entry.table, entry.priority, entry.match, entry.steps, entry.goto)).encode()
        return OWNER << OWNER_SHIFT | int.from_bytes(hashlib.blake2b(content, digest_size=6).digest(), "big")

    def cookies(self, entries: Iterable[TableEntry]) -> list[int]:
        return [self.cookie(entry) for entry in entries]

    def identity(self, entry: TableEntry) -> tuple[int, int, int, bytes]:
        return entry.table, entry.priority, self.cookie(entry), repr(entry.match).encode()

    def installed(self, entry: TableEntry) -> InstalledEntry:
        table, priority, cookie, match = self.identity(entry)
        return InstalledEntry(table, priority, cookie, match, repr((entry.steps, entry.goto)).encode(), 0, 0)

    def add(self, entry: TableEntry) -> bytes:
        return pickle.dumps(("add", self.installed(entry)))

    def delete(self, installed: InstalledEntry) -> bytes:
        return pickle.dumps(("delete", installed))

    def remove(self, entries: Mapping[int, TableEntry]) -> bytes:
        return b"".join(self.delete(self.installed(entry)) for entry in entries.values())

    def bundle(self, messages: Sequence[bytes], bundle_id: int) -> bytes:
        return pickle.dumps(("bundle", [pickle.loads(message) for message in messages]))

    def change(
        self,
        add: Mapping[int, TableEntry],
        delete: Sequence[InstalledEntry],
        remove: Mapping[int, TableEntry],
        bundle_id: int,
    ) -> bytes:
        gone = [*map(self.delete, delete), *(self.delete(self.installed(entry)) for entry in remove.values())]
        return self.bundle([*gone, *map(self.add, add.values())], bundle_id)

    def set_meters(self, meters: Mapping[int, int], there: Collection[int] = ()) -> bytes:
        return b"".join(pickle.dumps(("meter", number, rate, number in there)) for number, rate in meters.items())

    def drop_meters(self, meters: Collection[int]) -> bytes:
        return b"".join(pickle.dumps(("drop meter", number)) for number in meters)

    def read_meters(self) -> bytes:
        return pickle.dumps(("read meters",))

    def decode_meters(self, raw: bytes) -> dict[int, int]:
        meters: dict[int, int] = pickle.loads(raw)
        return meters

    def failed_cookie(self, data: bytes) -> int | None:
        return int.from_bytes(data, "big") if data else None

    def read(self, cookies: Sequence[int] | None = None) -> bytes:
        return pickle.dumps(("read", cookies))

    def watch(self) -> bytes:
        return pickle.dumps(("watch",))

    def decode_changes(self, raw: bytes) -> Sequence[Change]:
        changes: Sequence[Change] = pickle.loads(raw)
        return changes

    def count(self) -> bytes:
        return pickle.dumps(("count",))

    def decode_counts(self, raw: bytes) -> Mapping[int, int]:
        counts: Mapping[int, int] = pickle.loads(raw)
        return counts

    def decode(self, raw: bytes) -> Sequence[InstalledEntry]:
        return pickle.loads(raw)

    def differences(
        self, desired: Mapping[int, TableEntry], installed: Sequence[InstalledEntry]
    ) -> tuple[dict[int, TableEntry], list[InstalledEntry]]:
        there = {(one.table, one.priority, one.match): one for one in installed}
        wanted = {(one.table, one.priority, one.match): one for one in map(self.installed, desired.values())}
        add = {
            cookie: entry
            for cookie, entry in desired.items()
            if there.get(_key(self.installed(entry))) != self.installed(entry)
        }
        return add, [one for key, one in there.items() if key not in wanted]


def _key(installed: InstalledEntry) -> tuple[int, int, bytes]:
    return installed.table, installed.priority, installed.match


def _messages(body: bytes) -> list[Any]:
    stream, found = io.BytesIO(body), []
    while stream.tell() < len(body):
        found.append(pickle.load(stream))
    return found


@dataclass
class MemorySwitch:
    """Entries of one VFN; `room` limits their number, bundles are all or nothing."""

    room: int = 1_000_000
    entries: dict[tuple[int, int, bytes], InstalledEntry] = field(default_factory=dict)
    meters: dict[int, int] = field(default_factory=dict)
    down: set[int] = field(default_factory=set)
    """Numbers of the ports that are down."""
    bundles: int = 0
    urgent: int = 0
    """Sends of entries without a bundle."""
    meter_mods: int = 0
    refuses: str = ""
    """Kind of message that it does not take."""

    def apply(self, body: bytes, down: Collection[int] = (), up: Collection[int] = ()) -> list[dict[str, Any]]:
        """Carry out messages; the errors."""
        self.down = (self.down | set(down)) - set(up)
        parts = _messages(body)
        if parts and parts[0][0] == "bundle":
            self.bundles += 1
            before = dict(self.entries)
            errors = [error for part in parts[0][1] if (error := self._one(*part)) is not None]
            if errors:
                self.entries = before
            return errors[:1]
        self.urgent += any(part[0] == "add" for part in parts)
        return [error for part in parts if (error := self._one(*part)) is not None]

    def read(self, body: bytes) -> list[tuple[str, bytes]]:
        """Answers to requests: kind and body of each part."""
        answers = []
        for name, *cookies in _messages(body):
            if name == "read meters":
                answers.append(("meters", pickle.dumps(self.meters)))
            elif name == "count":
                answers.append(("tables", pickle.dumps(dict(Counter(entry.table for entry in self.entries.values())))))
            else:
                wanted = cookies[0]
                found = [one for one in self.entries.values() if wanted is None or one.cookie in wanted]
                answers += [
                    ("flows", pickle.dumps(part)) for part in (found[: len(found) // 2], found[len(found) // 2 :])
                ]
        return answers

    def _one(self, kind: str, *what: Any) -> dict[str, Any] | None:
        if kind == self.refuses:
            return {"type": 1, "code": 2, "data": ""}
        if kind == "meter":
            self.meter_mods += 1
            number, rate, there = what
            if there != (number in self.meters):
                return {"type": 12, "code": 1, "data": ""}
            self.meters[number] = rate
        elif kind == "drop meter":
            self.meter_mods += 1
            self.meters.pop(what[0], None)
        elif kind == "delete":
            self.entries.pop(_key(what[0]), None)
        elif kind == "add":
            (entry,) = what
            if _key(entry) not in self.entries and len(self.entries) >= self.room:
                return {**TABLE_FULL, "data": entry.cookie.to_bytes(8, "big").hex()}
            self.entries[_key(entry)] = entry
        return None


@dataclass
class Time:
    """A clock that moves when told."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


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
