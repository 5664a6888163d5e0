"""The analyzer process: one loop over the NetFlow socket, control's calls and the engine's messages."""

from __future__ import annotations

import gc
import json
import logging
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

from analyzer import warm
from analyzer.archive.schema import Encoder
from analyzer.archive.writer import Writer
from analyzer.collector import Collector
from analyzer.enginelink import CONNECTED, EngineLink
from analyzer.exporters import Exporters, networks_of, reporting_uids
from analyzer.exposition import exposition
from analyzer.live import SLICE_ROWS, Live
from analyzer.measuring import measured
from analyzer.pacing import Pacing
from analyzer.queries import Queries
from runtime import cores, loglevel
from runtime import log as logs
from runtime.channel import Message, Peer, Server
from runtime.ending import ORPHAN_SECONDS, Company, on_signals
from runtime.errors import ChannelError, DynsegError
from runtime.settings import Settings
from topology import inventory as inventories

GATHER_SECONDS = 0.005
"""A burst of datagrams is left to come in for so long before it is worked on."""
COLLECTING_SECONDS = 0.15
"""What waits in the socket is taken for so long at most before what was taken is judged."""
DELAYS_SECONDS = 60.0
"""Of so long the delays are told: from a datagram's receipt by the kernel to the end of its judgement."""
UPKEEP_SECONDS = 1.0
"""Between two looks for failed connections and finished flows."""
SWITCH_SECONDS = 0.0005
"""So soon another thread has its turn while the loop computes: what the loop tells the engine is written by one, and
Python's own 5 ms would be felt by whoever waits for a verdict."""
VERSION = "0.1.0"

log = logging.getLogger("dynseg.analyzer")


class Process:
    """Sockets around a `Live`."""

    def __init__(self, settings: Settings) -> None:
        """Bind everything.

        Raises:
            DynsegError: the inventory is wrong, or a socket or port cannot be had.
        """
        self._inventory = inventories.load(settings.inventory)
        self._settings = settings
        warm.up()
        self._collector = Collector(settings.netflow.listen, settings.netflow.port, self._exporters())
        try:
            self._server = Server(settings.analyzer_socket)
        except ChannelError:
            self._collector.close()
            raise
        self._archive = self._start_archive()
        self._live = Live(settings, self._inventory, self._archive)
        self._engine = EngineLink(settings.engine_socket, VERSION)
        self._control = Company()
        self._upkeep = 0.0
        self._waiting_since: float | None = None
        self._pacing = Pacing(SLICE_ROWS)
        self._delays: deque[tuple[float, float]] = deque()
        self._queries = Queries(self._live, self._collector, self._inventory, self._own_status)
        segments = {segment.number: segment.name for segment in self._inventory.segments.values()}
        self._exposition = exposition(self._queries.status, segments, VERSION)

    def run(self) -> int:
        """Work until told to stop, or until nobody wants the process any more."""
        gc.collect()
        sys.setswitchinterval(SWITCH_SECONDS)
        gc.freeze()  # what is there by now stays; to look through it again and again takes longer than a burst may wait
        with closing(self), on_signals() as ending:
            for file in (self._collector.sock, self._engine, ending, self._live.payload):
                self._server.watch(file.fileno())
            log.info("collecting NetFlow at %s:%d/udp", self._settings.netflow.listen, self._settings.netflow.port)
            while not ending.asked and not self._control.missed():
                self._turn()
        if not ending.asked:
            log.warning("nobody has asked for the analyzer in %g s: ending", ORPHAN_SECONDS)
        return 0

    def close(self) -> None:
        """Give all sockets back."""
        self._engine.close()
        self._collector.close()
        self._server.close()
        self._live.close()
        if self._archive is not None:
            self._archive.close()

    def _exporters(self) -> Exporters:
        netflow, uids = self._settings.netflow, reporting_uids(self._settings.ovsdb.endpoint)
        vfns = [vfn.number for vfn in self._inventory.vfns.values()]
        return Exporters(vfns, networks_of(netflow.exporters), uids, (netflow.listen, netflow.port))

    def _start_archive(self) -> Writer | None:
        settings = self._settings
        if not settings.archive.enabled:
            return None
        return Writer(settings.flow_archive, settings.archive, Encoder(self._inventory))

    def _turn(self) -> None:
        """Wait for what comes, at most until something is due, and deal with it."""
        now = time.monotonic()
        due = min(self._upkeep, self._pacing.due(self._live.copies_waiting))
        if self._waiting_since is not None:
            due = min(due, self._waiting_since + GATHER_SECONDS)
        for event in self._server.poll(due - now):
            if event.peer is not None:
                self._from_control(event.peer, event.message)
            elif event.fileno == self._engine.fileno():
                self._from_engine()
            elif event.fileno == self._collector.sock.fileno():
                self._waiting_since = time.monotonic()
                self._server.unwatch(self._collector.sock.fileno())  # it stays readable: polling would spin
            elif event.fileno == self._live.payload.fileno():
                self._send(self._live.payload_found())
        now = time.monotonic()
        if now >= self._pacing.due(self._live.copies_waiting):
            self._send(self._live.feed_copies())
            self._pacing.counted(now, time.monotonic())
        if self._waiting_since is not None and now >= self._waiting_since + GATHER_SECONDS:
            self._waiting_since = None
            self._server.watch(self._collector.sock.fileno())
            self._take_waiting()
        if now >= self._upkeep:
            self._upkeep = now + UPKEEP_SECONDS
            self._send(self._live.tick(time.time(), now))

    def _take_waiting(self) -> None:
        """Make flows of all that waits in the socket, for `COLLECTING_SECONDS` at most, then judge them."""
        begun, before, oldest = time.monotonic(), self._collector.datagrams, None
        while True:
            records = self._collector.drain()
            if oldest is None and self._collector.datagrams > before:
                oldest = self._collector.oldest
            self._live.absorb(records, time.time())
            if datagrams := self._collector.take_ipfix():
                self._live.absorb_ipfix(datagrams)
            if not self._collector.backlog or time.monotonic() > begun + COLLECTING_SECONDS:
                break
        self._send(self._live.judge())
        if oldest is not None:
            self._note_delay(time.time() - oldest)

    def _send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self._engine.send(message)
            if message.kind == "propose":
                data = message.data
                carried = {"proposal": data["proposal"], "flows": self._live.newest_flows(data.get("source_vm"))}
                log.info("proposing: %s", data, extra=carried)

    def _note_delay(self, seconds: float) -> None:
        now = time.monotonic()
        self._delays.append((now, seconds))
        while self._delays[0][0] < now - DELAYS_SECONDS:
            self._delays.popleft()

    def _own_status(self) -> dict[str, object]:
        """What only the loop knows."""
        delays = sorted(delay for _, delay in self._delays) or [0.0]
        return {
            "engine_connected": self._engine.connected,
            "engine_dropped": self._engine.dropped,
            "delay_ms": round(1000 * delays[-1], 1),
            "delay_p99_ms": round(1000 * delays[min(len(delays) - 1, int(0.99 * len(delays)))], 1),
            "archive": None if self._archive is None else self._archive.status(),
        }

    def _from_engine(self) -> None:
        for message in self._engine.received():
            if message.kind == CONNECTED:
                log.info("connected to the engine")
                self._send(self._live.outstanding())
                continue
            try:
                self._live.take_from_engine(message, time.time())
                if message.kind == "decided":
                    told = {name: message.data.get(name) for name in ("rule", "proposal", "state", "reason")}
                    log.info("the engine has decided", extra=told)
            except (KeyError, TypeError, ValueError, AttributeError):
                log.exception("the engine sent a %s that is not understood: %s", message.kind, message.data)

    def _from_control(self, peer: Peer, message: Message | None) -> None:
        if message is None:
            self._control.left(peer)
            if peer.fault:
                log.warning("dropped a peer: %s", peer.fault)
            return
        try:
            self._take(peer, message)
        except (KeyError, TypeError, ValueError, AttributeError, ChannelError):
            log.exception("control sent a %s that is not understood: %s", message.kind, message.data)

    def _take(self, peer: Peer, message: Message) -> None:
        data = message.data
        if message.kind == "hello":
            if data.get("role") == "control":
                self._control.came(peer)
        elif message.kind == "vfn_ports":
            self._live.set_ports(int(data["dpid"]), data["ports"])
        elif message.kind == "copies":
            self._live.take_copies(int(data["dpid"]), int(data["n"]), message.body)
        elif message.kind == "counters":
            self._live.take_counters(int(data["dpid"]), float(data["time"]), message.body)
        elif message.kind == "call":
            # As text in the body, which control passes on unread: a long time line would stop its hub.
            status, text = self._answer(str(data["method"]), data["params"])
            self._server.send(peer, Message("result", {"request": data["request"], "status": status}, text))
        elif message.kind == "measure":
            self._server.send(peer, measured(self._live.tally, int(data["after"]), self._queries.status()))
        else:
            log.error("a message of unknown kind %r came in", message.kind)

    def _answer(self, method: str, params: Mapping[str, Any]) -> tuple[int, bytes]:
        """HTTP status and text of the answer to a call."""
        if method == "exposition":
            return 200, self._exposition.text()
        status, value = loglevel.answer(params) if method == "log_level" else self._queries.answer(method, params)
        return status, json.dumps(value).encode()


def run(settings: Settings) -> int:
    """Run the analyzer; its exit status. Ends on SIGTERM, or `ORPHAN_SECONDS` after control has gone."""
    logs.configure("analyzer", settings.log_level, settings.log_format)
    cores.forbid()
    try:
        process = Process(settings)
    except DynsegError as error:
        log.critical("%s", error)
        return 1
    return process.run()
