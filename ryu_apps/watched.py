"""How control itself is watched: what Prometheus scrapes of it, what the time-series database is told, log levels."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.metrics_core import Metric
from ryu.lib import hub

from runtime import loglevel
from runtime.channel import Message
from runtime.exposition import Exposition, counter, gauge
from runtime.health import health
from runtime.tokens import Token
from ryu_apps.peer import Answer, Peer
from ryu_apps.routes import CALL_SECONDS
from ryu_apps.status import Status


class Watched:
    """Control as others see it.

    Args:
        status: what control says of itself.
        peers: the processes that it supervises.
        version: of the product.
        seconds: between two times that the writer of metrics is told.
    """

    def __init__(self, status: Status, peers: Mapping[str, Peer], version: str, seconds: float) -> None:
        self._status = status
        self._peers = peers
        self._seconds = seconds
        self._exposition = Exposition(self._families, "control", version)

    def exposition(self, process: str, token: Token) -> Answer:
        """The text that Prometheus scrapes of a process.

        Raises:
            TransientError: it is away.
        """
        if process == "control":
            return Answer(200, self._exposition.text())
        peer = self._peers.get(process)
        if peer is None:
            known = ", ".join(("control", *self._peers))
            return Answer.problem(404, f"there is no process {process!r}", f"one of {known}")
        return peer.call("exposition", {}, token.name, token.role, CALL_SECONDS)

    def log_level(self, params: Mapping[str, Any], token: Token) -> Answer:
        """Levels of all processes, after those of one, or of all, were changed; one that is away says why."""
        wanted = {key: value for key, value in params.items() if key != "process"}
        only = params.get("process")
        names = ("control", *self._peers)
        if only is not None and only not in names:
            return Answer.problem(400, f"process: there is no {only!r}", f"one of {', '.join(names)}")
        status, own = loglevel.answer(wanted if only in (None, "control") else {})
        if status != 200:
            return Answer(status, json.dumps(own).encode())
        asked = {
            name: hub.spawn(peer.ask, "log_level", wanted if only in (None, name) else {}, token, CALL_SECONDS)
            for name, peer in self._peers.items()
        }
        answers = {name: thread.wait() for name, thread in asked.items()}
        status = max((answer.status for answer in answers.values()), default=200)
        told = {name: json.loads(answer.text) for name, answer in answers.items()}
        if status == 400:
            return Answer(400, next(answer.text for answer in answers.values() if answer.status == 400))
        return Answer(200, json.dumps({"control": own, **told}).encode())

    def run(self) -> None:
        """Tell the writer of metrics, if there is one, how control is, for ever."""
        peer = self._peers.get("metrics")
        while peer is not None:
            if peer.connected:
                peer.send(Message("health", self._told()))
            hub.sleep(self._seconds - time.time() % self._seconds)

    def _told(self) -> Mapping[str, Any]:
        own = self._status.control()
        return {
            "health": health(),
            "hub_lag_seconds": own["hub_lag_ms"] / 1000,
            "waiting": sum(peer.waiting for peer in self._peers.values()),
            "copies_dropped": own["copies"]["dropped"],
            "starts": {name: process["starts"] for name, process in own["processes"].items()},
        }

    def _families(self) -> Iterable[Metric]:
        own = self._status.control()
        lag = own["hub_lag_ms"] / 1000
        yield gauge("dynseg_hub_lag_seconds", "Longest wait of something ready within the last minute.", [({}, lag)])
        yield gauge("dynseg_ovsdb_connected", "1: Open vSwitch's database is reached.", [({}, own["ovsdb_connected"])])
        fates = [({"fate": fate}, count) for fate, count in own["copies"].items()]
        yield counter("dynseg_copies_total", "Copies of packets for the analyzer, by what became of them.", fates)
        vfns = [({"vfn": vfn}, there) for vfn, there in own["vfns"].items()]
        yield gauge("dynseg_vfn_session", "1: the VFN has an OpenFlow session.", vfns)
        processes = own["processes"].items()
        there = [({"process": name}, process["connected"]) for name, process in processes]
        yield gauge("dynseg_process_connected", "1: control reaches the process.", there)
        starts = [({"process": name}, process["starts"]) for name, process in processes]
        yield counter("dynseg_process_starts_total", "How often control has started the process.", starts)
        waiting = [({"process": name}, peer.waiting) for name, peer in self._peers.items()]
        yield gauge("dynseg_process_waiting_messages", "Messages that wait to be sent to the process.", waiting)
