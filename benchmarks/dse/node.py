"""An engine with its store and switches in memory, all of which fail when told; nothing waits, time is virtual.

As in the real process what a turn writes is on the disk before anything is sent, and a write that fails ends the
engine; another one begins with what the disk has.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.memory import MemorySwitch, PlainCodec, Time
from policies.engine import Clock, Engine, Outgoing
from policies.pipeline.compile import missing_ports
from policies.service import Service
from policies.store import Store
from runtime.channel import Message
from runtime.errors import AuditError
from runtime.settings import EngineSettings, OpenFlowSettings
from topology.model import Inventory

_PLENTY = 1_000_000
_FULL = "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END"
_LATENCY = 0.001
"""Seconds from a message to its answer."""


def in_memory(otherwise: Path) -> Path:
    """Where files are no disk's: the ten thousands of writes of virtual time would wait for it in real time."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of a name of its own is made in it
    return memory if memory.is_dir() else otherwise


class _KilledError(Exception):
    """The process ends before its turn is on the disk."""


def _survive(killed: bool) -> None:
    if killed:
        raise _KilledError


class Node:
    """One engine after the other on the same store and switches."""

    def __init__(self, inventory: Inventory, path: Path, settings: EngineSettings) -> None:
        self.inventory = inventory
        self.path = path
        self.time = Time()
        self.switches = {name: MemorySwitch() for name in inventory.vfns}
        self.connected: set[str] = set()
        self.told: list[Message] = []
        """What the analyzer has been told since the driver last looked."""
        self.results: dict[int, tuple[int, Any]] = {}
        """What people were answered: by request, status and value."""
        self.starts = 0
        self._settings = settings
        self._codec = PlainCodec()
        self._queue: deque[Outgoing] = deque()
        self._requests = itertools.count(1)
        self._start()

    def _start(self) -> None:
        self.starts += 1
        self.store = Store(self.path)
        clock = Clock(self.time, self.time)
        self.engine = Engine(self.inventory, self._codec, self.store, self._settings, OpenFlowSettings(), clock=clock)
        self.service = Service(self.engine)

    def restart(self) -> None:
        """The process dies as it is, and another begins; VFNs come back to it with what they hold."""
        self.store.close()
        self._queue.clear()
        back, self.connected = sorted(self.connected), set()
        self._start()
        for vfn in back:
            self.connect(vfn)

    def turn(self, work: Callable[[], list[Outgoing]], killed: bool = False) -> bool:
        """Carry out a turn of the process; was it on the disk in the end?

        Args:
            killed: the process dies before that.
        """
        try:
            with self.store.together():
                outgoing = work()
                _survive(killed)
        except (AuditError, _KilledError):
            self._make_room()
            self.restart()
            return False
        self._queue.extend(outgoing)
        return True

    def fill_disk(self) -> None:
        """The next thing that is to be written does not fit."""
        with closing(sqlite3.connect(self.path)) as other:
            other.execute(_FULL)
            other.commit()

    def _make_room(self) -> None:
        with closing(sqlite3.connect(self.path)) as other:
            other.execute("DROP TRIGGER IF EXISTS full")
            other.commit()

    def connect(self, vfn: str, *, empty: bool = False) -> None:
        """A VFN comes up with all its ports, having lost its entries if told so."""
        switch = self.switches[vfn]
        if empty:
            switch.entries.clear()
            switch.meters.clear()
        self.connected.add(vfn)
        ports = {name: number for number, name in enumerate(missing_ports(self.inventory, vfn, {}), 1)}
        data = {"dpid": self.inventory.vfns[vfn].dpid, "ports": ports, "down": sorted(switch.down)}
        self.turn(lambda: self.engine.from_control(Message("vfn_up", data)))

    def disconnect(self, vfn: str) -> None:
        """A VFN goes; what is under way to it is lost."""
        self.connected.discard(vfn)
        data = {"dpid": self.inventory.vfns[vfn].dpid}
        self.turn(lambda: self.engine.from_control(Message("vfn_down", data)))

    def fill_tables(self, vfn: str, more: int) -> None:
        """A VFN takes so many entries more, and refuses what is over it."""
        self.switches[vfn].room = len(self.switches[vfn].entries) + more

    def empty_tables(self) -> None:
        """All VFNs have room again."""
        for switch in self.switches.values():
            switch.room = _PLENTY

    def call(self, method: str, actor: str, params: dict[str, Any], killed: bool = False) -> int:
        """What a person asks; the answer comes with `run`, if at all, under the number that is returned."""
        request = next(self._requests)
        data = {"request": request, "method": method, "params": params, "actor": actor, "role": "operator"}
        self.turn(lambda: self.service.call(Message("call", data)), killed)
        return request

    def say(self, kind: str, data: dict[str, Any], killed: bool = False) -> None:
        """What the analyzer says."""
        self.turn(lambda: self.engine.from_analyzer(Message(kind, data)), killed)

    def run(self, most: int | None = None) -> None:
        """Deliver messages, and what follows from them, until there are no more; or so many at most."""
        delivered = 0
        while most is None or delivered < most:
            if not self._queue:
                if not self.engine.enforcer.behind:
                    return
                self.turn(self.engine.timer)
                continue
            self._deliver(self._queue.popleft())
            delivered += 1

    def pass_time(self, seconds: float) -> None:
        """Let the engine notice that time has passed."""
        self.time.now += seconds
        self.turn(self.engine.timer)

    @property
    def written(self) -> int:
        """How often switches were told to change something."""
        return sum(switch.bundles + switch.urgent + switch.meter_mods for switch in self.switches.values())

    def _deliver(self, out: Outgoing) -> None:
        message = out.message
        if out.to == "analyzer":
            self.told.append(message)
        elif message.kind == "result":
            self.results[message.data["request"]] = (message.data["status"], json.loads(message.body))
        else:
            self._to_switch(message)

    def _to_switch(self, message: Message) -> None:
        vfn = self.inventory.vfn_by_dpid[message.data["dpid"]].name
        if vfn not in self.connected:
            return
        switch, data = self.switches[vfn], {key: message.data[key] for key in ("dpid", "request")}
        self.time.now += _LATENCY
        if message.kind == "read":
            parts = switch.read(message.body)
            answers = [
                Message("installed", {**data, "kind": kind, "last": number == len(parts)}, body)
                for number, (kind, body) in enumerate(parts, 1)
            ]
        else:
            ports = {key: message.data[key] for key in ("down", "up") if key in message.data}
            answers = [Message("applied", {**data, "seconds": _LATENCY, "errors": switch.apply(message.body, **ports)})]
        for answer in answers:
            if not self.turn(lambda answer=answer: self.engine.from_control(answer)):  # type: ignore[misc]
                return
